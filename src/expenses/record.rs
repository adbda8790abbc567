//! The record of an expense: JSON with `description`, `amount` (a string), `currency`, `category`, `date`, and
//! `created_at` and `updated_at` in Unix seconds. The id is in the key. In KV a record also has `row`, the row that
//! lists copy: `super::row`.
//!
//! Versions of the Worker without rows read and write records alone. They ignore `row`, and a record that they write
//! has none.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{
    amount::Amount,
    model::{
        Category, Currency, Description, Expense, ExpenseContent, ExpenseId, Timestamp, parse_date,
    },
    row::Row,
};

/// The record of an expense.
#[derive(Serialize, Deserialize)]
pub(super) struct ExpenseRecord<'a> {
    #[serde(borrow)]
    pub(super) description: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) amount: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) currency: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) category: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) date: Cow<'a, str>,
    pub(super) created_at: i64,
    pub(super) updated_at: i64,
    /// The stored text of the row.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(super) row: Option<Text<'a>>,
}

/// A string, borrowed unless it has escapes. An `Option<Cow<str>>` is never borrowed.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

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
            row: None,
        }
    }
}

impl<'a> ExpenseRecord<'a> {
    /// The record with the stored text of its row.
    pub(super) fn with_row(self, row: &'a str) -> Self {
        Self { row: Some(Text(row.into())), ..self }
    }

    /// The row: the stored one if this version reads it, or else the row of the record. `None` if a field is invalid.
    pub(super) fn into_row(self, id: ExpenseId) -> Option<Row> {
        let stored = self.row.as_ref().and_then(|Text(row)| Row::from_stored(id, row));
        stored.or_else(|| self.into_expense(id).as_ref().map(Row::from))
    }

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

/// The row of a record; `None` if it is unreadable.
pub(super) fn decode(id: ExpenseId, record: &str) -> Option<Row> {
    if let Some(row) = plain_row(record).and_then(|row| Row::from_stored(id, row)) {
        return Some(row);
    }
    let record: ExpenseRecord<'_> = edge_host::json::read(record).ok()?;
    record.into_row(id)
}

/// The stored text of the row in a record, where it is the last member and has no escapes, as [`ExpenseRecord`] writes
/// it. The rest of the record is not read.
fn plain_row(record: &str) -> Option<&str> {
    // Without a backslash before it, the quote is the beginning of the string, and what is before it a member's name.
    let content = record.strip_suffix("\"}")?;
    // Byte by byte: the search in words, `rsplit_once`, is more code than the row is long.
    let quote = content.bytes().rposition(|byte| byte == b'"')?;
    let (before, row) = (content.get(..quote)?, content.get(quote + 1..)?);
    (before.ends_with(",\"row\":") && !row.as_bytes().contains(&b'\\')).then_some(row)
}
