//! What an expense is. Every type refuses, when it is made, what it could not mean.

use std::{borrow::Cow, fmt};

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use serde::{Serialize, Serializer, ser::Error};
use serde_json::Number;
use thiserror::Error;
use ulid::Ulid;
use utoipa::ToSchema;

use super::schema;
use crate::runtime::random_bytes;

/// An expense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expense {
    /// Its name in paths.
    pub id: ExpenseId,
    /// What the user can change.
    pub content: ExpenseContent,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl Expense {
    /// A new one, made at `now`.
    #[must_use]
    pub fn new(content: ExpenseContent, now: DateTime<Utc>) -> Self {
        let id = ExpenseId::new(now);
        Self { id, content, created_at: now.into(), updated_at: now.into() }
    }
}

/// An expense as the API shows it.
#[derive(Serialize, ToSchema)]
#[schema(as = Expense)]
pub struct ExpenseResponse<'a> {
    /// Its name in paths.
    id: ExpenseId,
    #[schema(schema_with = schema::description)]
    description: &'a str,
    amount: Amount,
    #[schema(schema_with = schema::currency)]
    currency: &'a str,
    #[schema(schema_with = schema::category)]
    category: &'a str,
    /// The day it was spent.
    #[schema(schema_with = schema::date)]
    date: NaiveDate,
    /// When it was made.
    created_at: Timestamp,
    /// When it was last changed.
    updated_at: Timestamp,
}

impl Serialize for Expense {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { id, content, created_at, updated_at } = self;
        let ExpenseContent { description, amount, currency, category, date } = content;
        ExpenseResponse {
            id: *id,
            description,
            amount: *amount,
            currency,
            category,
            date: *date,
            created_at: *created_at,
            updated_at: *updated_at,
        }
        .serialize(serializer)
    }
}

/// The part of an expense that comes from the user, valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpenseContent {
    /// 1–200 characters, trimmed.
    pub description: String,
    /// More than zero.
    pub amount: Amount,
    /// Three letters of ISO 4217.
    pub currency: String,
    /// 1–50 characters, trimmed.
    pub category: String,
    /// The day it was spent.
    pub date: NaiveDate,
}

/// Which expenses are meant. What is `None` leaves none out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Exactly this category.
    pub category: Option<String>,
    /// On this day or later.
    pub from: Option<NaiveDate>,
    /// On this day or earlier.
    pub to: Option<NaiveDate>,
}

impl Filter {
    /// Whether every expense is meant.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// A text that differs where filters do.
    #[must_use]
    pub fn signature(&self) -> String {
        let day = |date: Option<NaiveDate>| date.map(|date| date.to_string()).unwrap_or_default();
        // No day has a colon in it, and no category is empty.
        let category = self.category.as_deref().unwrap_or_default();
        format!("{}:{}:{category}", day(self.from), day(self.to))
    }

    /// Whether an expense is meant.
    #[must_use]
    pub fn matches(&self, content: &ExpenseContent) -> bool {
        self.category.as_ref().is_none_or(|category| *category == content.category)
            && self.from.is_none_or(|from| from <= content.date)
            && self.to.is_none_or(|to| content.date <= to)
    }
}

/// The name of an expense: 26 characters in the form of a ULID whose time runs backwards, so that
/// in byte order, which is KV's, the newest comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExpenseId(Ulid);

/// The text is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not an expense id")]
pub struct NotAnId;

impl ExpenseId {
    /// The largest time a ULID holds: 48 bits of milliseconds, the year 10889.
    const MAX_MILLIS: u64 = (1 << Ulid::TIME_BITS) - 1;

    /// A new id for an expense made at `now`.
    #[must_use]
    pub fn new(now: DateTime<Utc>) -> Self {
        let millis = u64::try_from(now.timestamp_millis()).unwrap_or_default();
        let random = u128::from_be_bytes(random_bytes());
        Self(Ulid::from_parts(Self::MAX_MILLIS.saturating_sub(millis), random))
    }

    /// Reads an id in its one form: 26 capital letters and digits.
    ///
    /// # Errors
    ///
    /// [`NotAnId`].
    pub fn parse(text: &str) -> Result<Self, NotAnId> {
        let id = Self(Ulid::from_string(text).map_err(|_| NotAnId)?);
        // Crockford's base 32 reads small letters too; then one expense would have two paths.
        if id.to_string() == text { Ok(id) } else { Err(NotAnId) }
    }
}

impl fmt::Display for ExpenseId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl Serialize for ExpenseId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A moment, to the second: `2026-11-23T18:00:00Z` (RFC 3339).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timestamp(DateTime<Utc>);

impl Timestamp {
    /// The moment `secs` after 1970 began, if the calendar has it.
    #[must_use]
    pub fn from_unix_secs(secs: i64) -> Option<Self> {
        DateTime::from_timestamp(secs, 0).map(Self)
    }

    /// Seconds since 1970 began.
    #[must_use]
    pub fn unix_secs(self) -> i64 {
        self.0.timestamp()
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(time: DateTime<Utc>) -> Self {
        Self(time)
    }
}

impl From<Timestamp> for DateTime<Utc> {
    fn from(timestamp: Timestamp) -> Self {
        timestamp.0
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.to_rfc3339_opts(SecondsFormat::Secs, true))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An amount of money: hundredths, exact, more than zero, at most twelve digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount {
    hundredths: u64,
}

/// Why a text is no amount. The order is the order of the checks, Pydantic's for a constrained
/// `Decimal`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AmountError {
    /// Not a decimal number.
    #[error("Input should be a valid decimal")]
    NotADecimal,
    /// `NaN` or `Infinity`.
    #[error("Input should be a finite number")]
    NotFinite,
    /// More digits than [`Amount::MAX_DIGITS`].
    #[error("Decimal input should have no more than 12 digits in total")]
    TooManyDigits,
    /// More decimal places than [`Amount::MAX_PLACES`].
    #[error("Decimal input should have no more than 2 decimal places")]
    TooManyPlaces,
    /// More digits before the point than leaves room for the places.
    #[error("Decimal input should have no more than 10 digits before the decimal point")]
    TooManyWholeDigits,
    /// Zero or less.
    #[error("Input should be greater than 0")]
    NotPositive,
}

impl Amount {
    /// Most digits, on both sides of the point together.
    pub const MAX_DIGITS: i64 = 12;
    /// Most digits after the point.
    pub const MAX_PLACES: i64 = 2;

    /// Reads a decimal number as Python's `Decimal` does: a sign, digits with a point, an exponent,
    /// underscores anywhere. Zeros at the end of the decimal places count for nothing.
    ///
    /// # Errors
    ///
    /// [`AmountError`].
    pub fn parse(text: &str) -> Result<Self, AmountError> {
        if let Some(amount) = Self::parse_shown(text) {
            return Ok(amount);
        }
        let mut text = Cow::Borrowed(text.trim());
        if text.contains('_') {
            text = Cow::Owned(text.replace('_', ""));
        }
        let Literal { is_negative, digits, exponent } = Literal::parse(&text)?;
        if digits.is_empty() {
            return Err(AmountError::NotPositive);
        }
        let count = i64::try_from(digits.len()).unwrap_or(i64::MAX);
        let places = exponent.saturating_neg().max(0);
        let total = count.saturating_add(exponent.max(0)).max(places);
        if total > Self::MAX_DIGITS {
            return Err(AmountError::TooManyDigits);
        }
        if places > Self::MAX_PLACES {
            return Err(AmountError::TooManyPlaces);
        }
        if total - places > Self::MAX_DIGITS - Self::MAX_PLACES {
            return Err(AmountError::TooManyWholeDigits);
        }
        if is_negative {
            return Err(AmountError::NotPositive);
        }
        // Both checks above leave at most twelve digits here.
        let zeros = usize::try_from(exponent + Self::MAX_PLACES).unwrap_or_default();
        let hundredths = format!("{digits}{}", "0".repeat(zeros));
        hundredths
            .parse()
            .map(|hundredths| Self { hundredths })
            .map_err(|_| AmountError::TooManyDigits)
    }
}

impl Amount {
    /// Reads an amount as it is shown and stored, without a detour: up to ten digits, a point and two
    /// more.
    fn parse_shown(text: &str) -> Option<Self> {
        let (whole, cents) = text.split_once('.')?;
        let max_whole_digits = usize::try_from(Self::MAX_DIGITS - Self::MAX_PLACES).ok()?;
        if cents.len() != 2 || !(1..=max_whole_digits).contains(&whole.len()) {
            return None;
        }
        let hundredths = whole.bytes().chain(cents.bytes()).try_fold(0, |sum, byte| {
            byte.is_ascii_digit().then(|| sum * 10 + u64::from(byte - b'0'))
        });
        hundredths.filter(|hundredths| *hundredths > 0).map(|hundredths| Self { hundredths })
    }
}

/// `digits × 10^exponent`, with no zero at either end of the digits; no digits are zero.
struct Literal {
    is_negative: bool,
    digits: String,
    exponent: i64,
}

impl Literal {
    fn parse(text: &str) -> Result<Self, AmountError> {
        let (is_negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        // A NaN may carry digits.
        let unnumbered = unsigned.trim_end_matches(|digit: char| digit.is_ascii_digit());
        if ["inf", "infinity"].iter().any(|name| unsigned.eq_ignore_ascii_case(name))
            || ["nan", "snan"].iter().any(|name| unnumbered.eq_ignore_ascii_case(name))
        {
            return Err(AmountError::NotFinite);
        }
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            // Past 64 bits Python refuses it too.
            Some((mantissa, exponent)) => {
                (mantissa, exponent.parse().map_err(|_| AmountError::NotADecimal)?)
            }
            None => (unsigned, 0_i64),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all_digits = format!("{whole}{fraction}");
        if all_digits.is_empty() || !all_digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(AmountError::NotADecimal);
        }
        let significant = all_digits.trim_start_matches('0');
        let digits = significant.trim_end_matches('0');
        let length = |text: &str| i64::try_from(text.len()).unwrap_or(i64::MAX);
        let dropped_zeros = length(significant) - length(digits);
        let exponent = exponent.saturating_sub(length(fraction)).saturating_add(dropped_zeros);
        Ok(Self { is_negative, digits: digits.to_owned(), exponent })
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{:02}", self.hundredths / 100, self.hundredths % 100)
    }
}

/// A sum of amounts: exact, however many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Total {
    hundredths: u128,
}

impl Total {
    /// Adds one amount.
    pub fn add(&mut self, amount: Amount) {
        self.hundredths += u128::from(amount.hundredths);
    }

    /// A hundredth is the unit.
    #[must_use]
    pub fn hundredths(self) -> u128 {
        self.hundredths
    }

    /// How far two totals are apart.
    #[must_use]
    pub fn abs_diff(self, other: Self) -> Self {
        Self { hundredths: self.hundredths.abs_diff(other.hundredths) }
    }
}

/// Of so many hundredths.
impl From<u128> for Total {
    fn from(hundredths: u128) -> Self {
        Self { hundredths }
    }
}

impl fmt::Display for Total {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{:02}", self.hundredths / 100, self.hundredths % 100)
    }
}

/// A JSON number with two decimal places.
impl Serialize for Total {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_number(self, serializer)
    }
}

/// A JSON number with two decimal places.
impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_number(self, serializer)
    }
}

/// Writes the digits as they are shown: the number is kept as text until then (serde_json's
/// `arbitrary_precision`).
fn serialize_number<S: Serializer>(
    shown: &impl fmt::Display,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let number: Number = shown.to_string().parse().map_err(S::Error::custom)?;
    number.serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::Duration;

    fn noon() -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_435_200, 0).unwrap()
    }

    #[test]
    fn amounts_are_exact() {
        for (text, shown) in [
            ("42.50", "42.50"),
            ("42.5", "42.50"),
            ("0.01", "0.01"),
            (".5", "0.50"),
            ("5.", "5.00"),
            ("+7", "7.00"),
            (" 7 ", "7.00"),
            ("007", "7.00"),
            ("42.5000", "42.50"),
            ("1e3", "1000.00"),
            ("1.25E+1", "12.50"),
            ("12500e-3", "12.50"),
            ("9999999999.99", "9999999999.99"),
            ("1e9", "1000000000.00"),
            ("1_000.5_0", "1000.50"),
            ("1e_1", "10.00"),
        ] {
            assert_eq!(Amount::parse(text).unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused_for_what_it_is() {
        use AmountError::*;
        let long = "1".repeat(400);
        for (text, error) in [
            ("", NotADecimal),
            (".", NotADecimal),
            ("abc", NotADecimal),
            ("1,5", NotADecimal),
            ("1e", NotADecimal),
            ("1e5e5", NotADecimal),
            ("0x10", NotADecimal),
            ("--1", NotADecimal),
            ("٣", NotADecimal),
            ("_", NotADecimal),
            ("nan1.5", NotADecimal),
            ("inf1", NotADecimal),
            ("0e99999999999999999999", NotADecimal),
            ("1e99999999999999999999", NotADecimal),
            ("1e-99999999999999999999", NotADecimal),
            ("NaN", NotFinite),
            ("-sNaN12", NotFinite),
            ("-Infinity", NotFinite),
            ("0", NotPositive),
            ("-0", NotPositive),
            ("0e999999999999999999", NotPositive),
            ("-5", NotPositive),
            ("-5.123", TooManyPlaces),
            ("0.001", TooManyPlaces),
            ("1e-3", TooManyPlaces),
            ("0.1234567890123", TooManyDigits),
            ("1234567890123", TooManyDigits),
            ("12345678901.12", TooManyDigits),
            ("12345678901", TooManyWholeDigits),
            ("1e10", TooManyWholeDigits),
            ("1e999999999999999999", TooManyDigits),
            ("1e-999999999999999999", TooManyDigits),
            (&long, TooManyDigits),
        ] {
            assert_eq!(Amount::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn an_amount_is_a_json_number_with_two_places() {
        let amount = Amount::parse("9999999999.90").unwrap();
        assert_eq!(serde_json::to_string(&amount).unwrap(), "9999999999.90");
    }

    #[test]
    fn a_sum_of_a_million_amounts_is_exact() {
        let mut total = Total::default();
        for index in 0..1_000_000_u32 {
            // 0.01 to 99.99, over and over.
            let amount = format!("{}.{:02}", index % 100, index % 99 + 1);
            total.add(Amount::parse(&amount).unwrap());
        }
        let expected: u64 =
            (0..1_000_000_u64).map(|index| index % 100 * 100 + index % 99 + 1).sum();
        assert_eq!(total.to_string(), format!("{}.{:02}", expected / 100, expected % 100));
        let mut total = Total::default();
        total.add(Amount::parse("0.1").unwrap());
        total.add(Amount::parse("0.2").unwrap());
        assert_eq!(serde_json::to_string(&total).unwrap(), "0.30");
    }

    #[test]
    fn ids_sort_newest_first() {
        let older = ExpenseId::new(noon()).to_string();
        let newer = ExpenseId::new(noon() + Duration::milliseconds(1)).to_string();
        assert!(newer < older, "{newer} {older}");
    }

    #[test]
    fn ids_of_one_moment_differ() {
        assert_ne!(ExpenseId::new(noon()), ExpenseId::new(noon()));
    }

    #[test]
    fn an_id_has_one_form() {
        let id = ExpenseId::new(noon());
        let text = id.to_string();
        assert_eq!(ExpenseId::parse(&text), Ok(id));
        for other in [text.to_lowercase(), format!("{text}0"), text[1..].to_owned(), "..".into()] {
            assert_eq!(ExpenseId::parse(&other), Err(NotAnId), "{other}");
        }
    }
}
