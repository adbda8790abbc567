//! The types of an expense. Constructors reject invalid values.

use std::{fmt, ops::Deref};

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use serde::{Serialize, Serializer};
use thiserror::Error;
use ulid::Ulid;

use super::amount::Amount;
use edge_host::random_bytes;

/// An expense. As JSON it is one object, the fields of its content included.
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

impl Serialize for Expense {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Json<'a> {
            id: ExpenseId,
            description: &'a str,
            amount: Amount,
            currency: &'a str,
            category: &'a str,
            date: NaiveDate,
            created_at: Timestamp,
            updated_at: Timestamp,
        }

        let Self { id, content, created_at, updated_at } = self;
        let ExpenseContent { description, amount, currency, category, date } = content;
        Json {
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
    #[must_use]
    pub fn apply(self, content: ExpenseContent, today: NaiveDate) -> ExpenseContent {
        ExpenseContent {
            description: self.description.unwrap_or(content.description),
            amount: self.amount.unwrap_or(content.amount),
            currency: self.currency.apply(content.currency, || Currency::DEFAULT),
            category: self.category.apply(content.category, Category::fallback),
            date: self.date.apply(content.date, || today),
        }
    }
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

/// A currency code: three letters of ISO 4217.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Currency([u8; 3]);

/// The error for a text that is not three capital letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the text is not three capital letters")]
pub struct CurrencyError;

impl Currency {
    /// The currency of an expense without one.
    pub const DEFAULT: Self = Self(*b"USD");
    /// The codes, as a regular expression.
    pub const PATTERN: &str = "^[A-Z]{3}$";

    /// Parses a code.
    ///
    /// # Errors
    ///
    /// [`CurrencyError`].
    pub fn parse(text: &str) -> Result<Self, CurrencyError> {
        match *text.as_bytes() {
            [a @ b'A'..=b'Z', b @ b'A'..=b'Z', c @ b'A'..=b'Z'] => Ok(Self([a, b, c])),
            _ => Err(CurrencyError),
        }
    }
}

impl Deref for Currency {
    type Target = str;

    fn deref(&self) -> &str {
        // The bytes are ASCII letters.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
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
    /// The largest time of a ULID: 48 bits of milliseconds, the year 10889.
    const MAX_MILLIS: u64 = (1 << Ulid::TIME_BITS) - 1;

    /// A new id for an expense that is added at `now`.
    #[must_use]
    pub fn new(now: DateTime<Utc>) -> Self {
        let millis = u64::try_from(now.timestamp_millis()).unwrap_or_default();
        let random = u128::from_be_bytes(random_bytes());
        Self(Ulid::from_parts(Self::MAX_MILLIS.saturating_sub(millis), random))
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
        if id.to_string() == text { Ok(id) } else { Err(ExpenseIdError) }
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
    fn texts_are_trimmed_and_measured_in_characters() {
        assert_eq!(&*Description::parse(" Lunch\n").unwrap(), "Lunch");
        assert_eq!(Category::parse(" \t"), Err(TextError::Empty));
        assert!(Category::parse(&"é".repeat(50)).is_ok());
        let error = TextError::TooLong { max_chars: 50 };
        assert_eq!(Category::parse(&"é".repeat(51)), Err(error));
    }

    #[test]
    fn currency_is_three_capital_letters() {
        assert_eq!(&*Currency::parse("EUR").unwrap(), "EUR");
        for text in ["", "EU", "EURO", "eur", "EU1", " EUR", "ÄU"] {
            assert_eq!(Currency::parse(text), Err(CurrencyError), "{text}");
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
}
