//! The types of an expense. Constructors reject invalid values.

use std::{fmt, ops::Deref};

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, SecondsFormat, Timelike, Utc};
use serde::{Serialize, Serializer};
use thiserror::Error;
use ulid::{ULID_LEN, Ulid};

use super::amount::{Amount, AmountError};
pub use super::currency::{Currency, CurrencyError};
use edge_host::random_bytes;

/// An expense. `super::row` has its JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expense {
    /// The id, which paths contain.
    pub id: ExpenseId,
    /// The fields that the user can change.
    pub content: ExpenseContent,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl Expense {
    /// A new expense, added at `now`.
    #[must_use]
    pub fn new(content: ExpenseContent, now: DateTime<Utc>) -> Self {
        let id = ExpenseId::new(now);
        Self { id, content, created_at: now.into(), updated_at: now.into() }
    }
}

/// The fields of an expense that the user can change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpenseContent {
    /// What the money was spent on.
    pub description: Description,
    /// The amount.
    pub amount: Amount,
    /// The currency.
    pub currency: Currency,
    /// The user's own category.
    pub category: Category,
    /// The day the money was spent.
    pub date: NaiveDate,
}

/// A new expense, or the replacement of an expense. `None` is the default of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewExpense {
    /// What the money was spent on.
    pub description: Description,
    /// How much.
    pub amount: Amount,
    /// Default: [`Currency::DEFAULT`].
    pub currency: Option<Currency>,
    /// Default: [`Category::DEFAULT`].
    pub category: Option<Category>,
    /// Default: today (UTC).
    pub date: Option<NaiveDate>,
}

impl From<ExpenseContent> for NewExpense {
    fn from(content: ExpenseContent) -> Self {
        let ExpenseContent { description, amount, currency, category, date } = content;
        let (currency, category, date) = (Some(currency), Some(category), Some(date));
        Self { description, amount, currency, category, date }
    }
}

impl NewExpense {
    /// The content; the default date is `today`.
    #[must_use]
    pub fn into_content(self, today: NaiveDate) -> ExpenseContent {
        let Self { description, amount, currency, category, date } = self;
        ExpenseContent {
            description,
            amount,
            currency: currency.unwrap_or(Currency::DEFAULT),
            category: category.unwrap_or_else(Category::fallback),
            date: date.unwrap_or(today),
        }
    }
}

/// Changes to an expense. `None` keeps a field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExpenseChanges {
    /// A new description.
    pub description: Option<Description>,
    /// A new amount.
    pub amount: Option<Amount>,
    /// The currency's update.
    pub currency: Update<Currency>,
    /// The category's update.
    pub category: Update<Category>,
    /// The date's update.
    pub date: Update<NaiveDate>,
}

/// A change of a field that has a default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Update<T> {
    /// Keep the value.
    #[default]
    Keep,
    /// Reset the field to its default.
    Reset,
    /// Set another value.
    Set(T),
}

impl<T> Update<T> {
    fn apply(self, current: T, default: impl FnOnce() -> T) -> T {
        match self {
            Self::Keep => current,
            Self::Reset => default(),
            Self::Set(value) => value,
        }
    }
}

impl ExpenseChanges {
    /// Applies the changes to `content`; the default date is `today`.
    ///
    /// # Errors
    ///
    /// [`UnfitAmount`], if the amount or the currency changes. A stored amount stays as it is otherwise.
    pub fn apply(
        self,
        content: ExpenseContent,
        today: NaiveDate,
    ) -> Result<ExpenseContent, UnfitAmount> {
        let currency = self.currency.apply(content.currency, || Currency::DEFAULT);
        let mut amount = self.amount.unwrap_or(content.amount);
        if self.amount.is_some() || currency != content.currency {
            amount = amount.in_currency(currency).map_err(|reason| UnfitAmount {
                amount,
                currency,
                reason,
            })?;
        }
        Ok(ExpenseContent {
            description: self.description.unwrap_or(content.description),
            amount,
            currency,
            category: self.category.apply(content.category, Category::fallback),
            date: self.date.apply(content.date, || today),
        })
    }
}

/// An amount that its currency does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{amount} is no amount of {}: {reason}", &**.currency)]
pub struct UnfitAmount {
    /// The amount.
    pub amount: Amount,
    /// The currency.
    pub currency: Currency,
    /// Why the currency does not have it.
    pub reason: AmountError,
}

/// The error for a text that is too short or too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TextError {
    /// The text is empty or only white space.
    #[error("the text is empty")]
    Empty,
    /// The text is too long.
    #[error("the text has more than {max_chars} characters")]
    TooLong {
        /// The most characters.
        max_chars: usize,
    },
    /// The text has too many words.
    #[error("the text has more than {max_words} different words")]
    TooManyWords {
        /// The most different words.
        max_words: usize,
    },
}

/// Trims the text, which must then have 1 to `max_chars` characters.
///
/// # Errors
///
/// [`TextError`].
pub fn trimmed_text(text: &str, max_chars: usize) -> Result<&str, TextError> {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Err(TextError::Empty);
    }
    // A character has at least one byte.
    if trimmed.len() > max_chars && trimmed.chars().count() > max_chars {
        return Err(TextError::TooLong { max_chars });
    }
    Ok(trimmed)
}

macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident: $max_chars:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name(String);

        impl $name {
            /// The most characters.
            pub const MAX_CHARS: usize = $max_chars;

            /// Trims and checks the text.
            ///
            /// # Errors
            ///
            /// [`TextError`].
            pub fn parse(text: &str) -> Result<Self, TextError> {
                trimmed_text(text, Self::MAX_CHARS).map(|text| Self(text.to_owned()))
            }
        }

        impl Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }
    };
}

text_type! {
    /// What money was spent on: 1 to 200 characters.
    Description: 200
}
text_type! {
    /// A user-defined category: 1 to 50 characters.
    Category: 50
}

impl Category {
    /// The category of an expense without one.
    pub const DEFAULT: &str = "other";

    fn fallback() -> Self {
        Self(Self::DEFAULT.to_owned())
    }
}

/// Parses `YYYY-MM-DD`.
pub(super) fn parse_date(text: &str) -> Option<NaiveDate> {
    (text.len() == "YYYY-MM-DD".len()).then(|| date_of(text.as_bytes()))?
}

/// The id of an expense: 26 characters in the form of a ULID whose time counts down, so that the newest
/// comes first in byte order, which is KV's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExpenseId(Ulid);

/// The error for a text that is not the id of an expense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the text is not an expense id")]
pub struct ExpenseIdError;

impl ExpenseId {
    /// The length of the text.
    pub const LENGTH: usize = ULID_LEN;
    /// The largest time of a ULID: 48 bits of milliseconds, the year 10889.
    const MAX_MILLIS: u64 = (1 << Ulid::TIME_BITS) - 1;

    /// A new id for an expense that is added at `now`.
    #[must_use]
    pub fn new(now: DateTime<Utc>) -> Self {
        let millis = u64::try_from(now.timestamp_millis()).unwrap_or_default();
        let random = u128::from_be_bytes(random_bytes());
        Self(Ulid::from_parts(Self::MAX_MILLIS.saturating_sub(millis), random))
    }

    /// The id of an expense from a file, which is the same whenever the file is read: the expense counts as added on
    /// `date`, and `digest` tells it from the others of that day.
    #[must_use]
    pub fn of_import(date: NaiveDate, digest: u128) -> Self {
        let millis = date.and_time(NaiveTime::MIN).and_utc().timestamp_millis();
        let millis = u64::try_from(millis).unwrap_or_default();
        Self(Ulid::from_parts(Self::MAX_MILLIS.saturating_sub(millis), digest))
    }

    /// The id of a row that equals `repetition` earlier rows of its file.
    #[must_use]
    pub fn nth(self, repetition: usize) -> Self {
        Self(Ulid(self.0.0.wrapping_add(repetition as u128)))
    }

    /// The time in the id, when the expense was added; `None` for a time outside of the calendar.
    #[must_use]
    pub fn created_at(self) -> Option<Timestamp> {
        let millis = Self::MAX_MILLIS.saturating_sub(self.0.timestamp_ms());
        DateTime::from_timestamp_millis(millis.try_into().ok()?).map(Timestamp)
    }

    /// Parses an id: 26 capital letters and digits.
    ///
    /// # Errors
    ///
    /// [`ExpenseIdError`].
    pub fn parse(text: &str) -> Result<Self, ExpenseIdError> {
        let id = Self(Ulid::from_string(text).map_err(|_| ExpenseIdError)?);
        // Crockford's base 32 also allows lower-case letters, which would give an expense a second path.
        if id.encode().as_str() == text { Ok(id) } else { Err(ExpenseIdError) }
    }

    /// The text of the id, without an allocation.
    #[must_use]
    pub fn encode(self) -> IdText {
        let mut text = [0; ULID_LEN];
        self.0.array_to_str(&mut text);
        IdText(text)
    }
}

/// The text of an id.
#[derive(Debug, Clone, Copy)]
pub struct IdText([u8; ULID_LEN]);

impl IdText {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // The bytes are ASCII characters.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for ExpenseId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.encode().as_str())
    }
}

impl Serialize for ExpenseId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An instant, to the second: `2026-11-23T18:00:00Z` (RFC 3339).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timestamp(DateTime<Utc>);

impl Timestamp {
    /// The instant of a Unix time, if the calendar has it.
    #[must_use]
    pub fn from_unix_secs(secs: i64) -> Option<Self> {
        DateTime::from_timestamp(secs, 0).map(Self)
    }

    /// The Unix time in seconds.
    #[must_use]
    pub fn unix_secs(self) -> i64 {
        self.0.timestamp()
    }

    /// Parses the form that [`Display`](fmt::Display) writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (date, [b'T', h1, h2, b':', m1, m2, b':', s1, s2, b'Z']) =
            text.as_bytes().split_last_chunk()?
        else {
            return None;
        };
        let [hour, minute, second] = [[*h1, *h2], [*m1, *m2], [*s1, *s2]].map(two_digits);
        let time = date_of(date)?.and_hms_opt(hour?, minute?, second?)?;
        Some(Self(time.and_utc()))
    }
}

/// The date in a text that ends with `-MM-DD`.
fn date_of(text: &[u8]) -> Option<NaiveDate> {
    let (year, [b'-', m1, m2, b'-', d1, d2]) = text.split_last_chunk()? else { return None };
    let [month, day] = [[*m1, *m2], [*d1, *d2]].map(two_digits);
    NaiveDate::from_ymd_opt(year_of(str::from_utf8(year).ok()?)?, month?, day?)
}

/// A year of four digits, or of more with a sign.
fn year_of(text: &str) -> Option<i32> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_year = digits.len() >= 4 && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_year.then(|| text.parse().ok()).flatten()
}

fn two_digits(digits: [u8; 2]) -> Option<u32> {
    let [tens, ones] = digits.map(|digit| char::from(digit).to_digit(10));
    Some(tens? * 10 + ones?)
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
        let time = self.0;
        if !(0..=9999).contains(&time.year()) {
            return formatter.write_str(&time.to_rfc3339_opts(SecondsFormat::Secs, true));
        }
        let (year, month, day) = (time.year(), time.month(), time.day());
        let (hour, minute, second) = (time.hour(), time.minute(), time.second());
        write!(formatter, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::Duration;

    fn noon() -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_435_200, 0).unwrap()
    }

    #[test]
    fn ids_sort_newest_first() {
        let older = ExpenseId::new(noon()).to_string();
        let newer = ExpenseId::new(noon() + Duration::milliseconds(1)).to_string();
        assert!(newer < older, "{newer} {older}");
    }

    #[test]
    fn id_contains_the_time_of_the_addition() {
        assert_eq!(ExpenseId::new(noon()).created_at(), Some(noon().into()));
        let first = ExpenseId::parse("00000000000000000000000000").unwrap();
        assert!(first.created_at().is_some(), "the year 10889");
        assert!(ExpenseId::parse("7ZZZZZZZZZZZZZZZZZZZZZZZZZ").unwrap().created_at().is_some());
    }

    #[test]
    fn timestamp_parses_its_own_text() {
        for secs in
            [0, 1_795_435_200, -62_135_596_800, 253_402_300_799, 253_402_300_800, -99_999_999_999]
        {
            let time = Timestamp::from_unix_secs(secs).unwrap();
            let text = DateTime::<Utc>::from(time).to_rfc3339_opts(SecondsFormat::Secs, true);
            assert_eq!(time.to_string(), text);
            assert_eq!(Timestamp::parse(&text), Some(time), "{text}");
        }
        for text in [
            "",
            "2026-11-23",
            "2026-11-23T12:00:00",
            "2026-11-23 12:00:00Z",
            "2026-11-31T12:00:00Z",
            "2026-11-23T24:00:00Z",
            "2026-11-23T12:00:60Z",
            "2026-11-23T12:00:0Z",
            "2026-11-23T12:00:00.5Z",
            "26-11-23T12:00:00Z",
        ] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }

    #[test]
    fn texts_are_trimmed_and_measured_in_characters() {
        assert_eq!(&*Description::parse(" Lunch\n").unwrap(), "Lunch");
        assert_eq!(Category::parse(" \t"), Err(TextError::Empty));
        assert!(Category::parse(&"é".repeat(50)).is_ok());
        let error = TextError::TooLong { max_chars: 50 };
        assert_eq!(Category::parse(&"é".repeat(51)), Err(error));
    }

    #[test]
    fn changed_amount_must_fit_the_currency() {
        let content = |amount: &str, currency: &str| ExpenseContent {
            description: Description::parse("x").unwrap(),
            amount: Amount::parse(amount).unwrap(),
            currency: Currency::parse(currency).unwrap(),
            category: Category::fallback(),
            date: noon().date_naive(),
        };
        let applied = |before: (&str, &str), amount: Option<&str>, currency: Option<&str>| {
            let changes = ExpenseChanges {
                amount: amount.map(|amount| Amount::parse(amount).unwrap()),
                currency: match currency {
                    None => Update::Keep,
                    Some("") => Update::Reset,
                    Some(code) => Update::Set(Currency::parse(code).unwrap()),
                },
                ..ExpenseChanges::default()
            };
            let content = changes.apply(content(before.0, before.1), noon().date_naive());
            content.map(|content| content.amount.to_string()).map_err(|error| error.reason)
        };
        let too_many = |max| Err(AmountError::TooManyPlaces { max });
        for (before, amount, currency, after) in [
            (("42.50", "EUR"), None, Some("JPY"), too_many(0)),
            (("42.00", "EUR"), None, Some("JPY"), Ok("42.00")),
            (("42.50", "EUR"), None, Some("BHD"), Ok("42.500")),
            (("1.234", "BHD"), None, Some(""), too_many(2)),
            (("1.230", "BHD"), None, Some(""), Ok("1.23")),
            (("42.50", "EUR"), Some("1.234"), None, too_many(2)),
            (("42.50", "BHD"), Some("1.23"), None, Ok("1.230")),
            // Stored before currencies had places of their own.
            (("100.50", "JPY"), None, None, Ok("100.50")),
            (("100.50", "JPY"), None, Some("JPY"), Ok("100.50")),
            (("100.50", "JPY"), Some("100.50"), None, too_many(0)),
            (("42.50", "BHD"), None, None, Ok("42.50")),
        ] {
            let after = after.map(str::to_owned);
            assert_eq!(
                applied(before, amount, currency),
                after,
                "{before:?} {amount:?} {currency:?}"
            );
        }
    }

    #[test]
    fn ids_of_the_same_instant_differ() {
        assert_ne!(ExpenseId::new(noon()), ExpenseId::new(noon()));
    }

    #[test]
    fn id_has_only_one_valid_form() {
        let id = ExpenseId::new(noon());
        let text = id.to_string();
        assert_eq!(ExpenseId::parse(&text), Ok(id));
        for other in [text.to_lowercase(), format!("{text}0"), text[1..].to_owned(), "..".into()] {
            assert_eq!(ExpenseId::parse(&other), Err(ExpenseIdError), "{other}");
        }
    }

    #[test]
    fn parse_date_accepts_only_the_stored_form() {
        for text in ["0001-01-01", "2026-11-23", "2028-02-29", "9999-12-31"] {
            assert_eq!(parse_date(text).unwrap().to_string(), text);
        }
        for text in
            ["", "2026", "2026-11", "2026-11-3", "2026-02-29", "2026-11-23T00:00", "+026-01-01"]
        {
            assert_eq!(parse_date(text), None, "{text}");
        }
    }
}
