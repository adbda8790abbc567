//! The stored form of an expense: JSON with `description`, `amount` (a string), `currency`, `category`,
//! `date`, and `created_at` and `updated_at` in Unix seconds. The id is in the key.

use std::borrow::Cow;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::{
    amount::Amount,
    model::{Category, Currency, Description, Expense, ExpenseContent, ExpenseId, Timestamp},
};

/// The stored form of an expense.
#[derive(Serialize, Deserialize)]
pub(super) struct ExpenseRecord<'a> {
    #[serde(borrow)]
    description: Cow<'a, str>,
    #[serde(borrow)]
    amount: Cow<'a, str>,
    #[serde(borrow)]
    currency: Cow<'a, str>,
    #[serde(borrow)]
    category: Cow<'a, str>,
    #[serde(borrow)]
    date: Cow<'a, str>,
    created_at: i64,
    updated_at: i64,
}

impl<'a> From<&'a Expense> for ExpenseRecord<'a> {
    fn from(expense: &'a Expense) -> Self {
        let Expense { content, created_at, updated_at, .. } = expense;
        Self {
            description: Cow::Borrowed(&content.description),
            amount: content.amount.to_string().into(),
            currency: Cow::Borrowed(&content.currency),
            category: Cow::Borrowed(&content.category),
            date: content.date.to_string().into(),
            created_at: created_at.unix_secs(),
            updated_at: updated_at.unix_secs(),
        }
    }
}

impl ExpenseRecord<'_> {
    /// The expense; `None` if a field is invalid.
    pub(super) fn into_expense(self, id: ExpenseId) -> Option<Expense> {
        Some(Expense {
            id,
            content: ExpenseContent {
                description: Description::parse(&self.description).ok()?,
                amount: Amount::parse(&self.amount)?,
                currency: Currency::parse(&self.currency).ok()?,
                category: Category::parse(&self.category).ok()?,
                date: parse_date(&self.date)?,
            },
            created_at: Timestamp::from_unix_secs(self.created_at)?,
            updated_at: Timestamp::from_unix_secs(self.updated_at)?,
        })
    }
}

/// Decodes a record; `None` if it is unreadable.
pub(super) fn decode(id: ExpenseId, record: &str) -> Option<Expense> {
    let record: ExpenseRecord<'_> = serde_json::from_slice(record.as_bytes()).ok()?;
    record.into_expense(id)
}

/// Parses `YYYY-MM-DD`.
pub(super) fn parse_date(text: &str) -> Option<NaiveDate> {
    let (year, rest) = text.split_once('-')?;
    let (month, day) = rest.split_once('-')?;
    let number = |digits: &str, length| {
        let is_number = digits.len() == length && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| digits.parse::<u32>().ok()).flatten()
    };
    let year = number(year, 4)?.cast_signed();
    NaiveDate::from_ymd_opt(year, number(month, 2)?, number(day, 2)?)
}

#[cfg(test)]
mod tests {
    use super::*;

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
