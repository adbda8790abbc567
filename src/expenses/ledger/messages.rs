//! The messages to a ledger and its responses: JSON with a version. Isolates of two versions of the Worker send
//! messages during a deployment: new members are optional, and another meaning gets another version.
//!
//! Expenses in responses are rows, which the isolate copies.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

use crate::expenses::{
    amount::Amount,
    model::{Category, Currency, Description, ExpenseChanges, ExpenseId, Update, parse_date},
    record::{ExpenseRecord, Text},
    version::{Condition, Versions},
};

/// The version of messages, responses and stored rows.
pub(super) const VERSION: u32 = 1;

/// A message, a response or a stored row has another version, or is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the {0} has an unknown version")]
pub(super) struct UnknownVersion(pub(super) &'static str);

/// Parses JSON of [`VERSION`]; `name` says what it is.
pub(super) fn parse<'a, T: Deserialize<'a> + Versioned>(
    name: &'static str,
    json: &'a str,
) -> Result<T, UnknownVersion> {
    let value: T = edge_host::json::read(json).map_err(|_| UnknownVersion(name))?;
    if value.version() == VERSION { Ok(value) } else { Err(UnknownVersion(name)) }
}

/// The id in a message.
pub(super) fn id_of(text: &str) -> Result<ExpenseId, UnknownVersion> {
    ExpenseId::parse(text).map_err(|_| UnknownVersion("message's id"))
}

/// What a message's record has; `None` for one that cannot be read.
pub(super) fn of_record<T>(read: Option<T>) -> Result<T, UnknownVersion> {
    read.ok_or(UnknownVersion("message's record"))
}

/// A message, a response or a stored row.
pub(super) trait Versioned {
    /// The member `v`.
    fn version(&self) -> u32;
}

macro_rules! versioned {
    ($($name:ty),*) => {
        $(impl $crate::expenses::ledger::messages::Versioned for $name {
            fn version(&self) -> u32 {
                self.v
            }
        })*
    };
}
pub(super) use versioned;

versioned!(Message<'_>, Response<'_>);

/// As [`write`](edge_host::json::write), in a buffer of so many bytes: one that grows to megabytes is there twice while
/// it moves.
pub(super) fn json_of_length(bytes: usize, value: &impl Serialize) -> String {
    let mut text = Vec::with_capacity(bytes);
    edge_host::json::write_to(&mut text, value);
    String::from_utf8(text).unwrap_or_default()
}

/// The bytes of a message with these rows, about.
pub(super) fn rows_length(rows: &[RowMessage<'_>]) -> usize {
    const OTHERS_BYTES: usize = 60;
    let length = |Text(row): &Text<'_>| {
        let escapes = row.bytes().filter(|byte| matches!(byte, b'"' | b'\\')).count();
        row.len() + escapes
    };
    let row = |row: &RowMessage<'_>| row.row.as_ref().map_or(0, length) + OTHERS_BYTES;
    128 + rows.iter().map(row).sum::<usize>()
}

/// A message. A message that is sent twice has the same `request`.
#[derive(Serialize, Deserialize)]
pub(super) struct Message<'a> {
    pub(super) v: u32,
    #[serde(borrow)]
    pub(super) owner: Cow<'a, str>,
    /// Empty in reads, which the ledger performs each time.
    #[serde(borrow)]
    pub(super) request: Cow<'a, str>,
    /// Always `true`: a ledger of an earlier version responds with records otherwise.
    #[serde(default)]
    pub(super) reads_rows: bool,
    #[serde(borrow)]
    pub(super) command: Command<'a>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Command<'a> {
    #[serde(borrow, with = "apart")]
    Add(AddMessage<'a>),
    #[serde(borrow, with = "apart")]
    Replace(ReplaceMessage<'a>),
    #[serde(with = "apart")]
    Change(ChangeMessage),
    #[serde(with = "apart")]
    Remove(RemoveMessage),
    /// A removed expense that the log still has is the expense again. A ledger of an earlier version does not know
    /// the command, and does not respond.
    Restore {
        id: String,
    },
    #[serde(borrow, with = "apart")]
    Import(ImportMessage<'a>),
    Get {
        id: String,
    },
    /// The entries with larger ids, up to `until`, as far as a page of `limit` expenses needs them. Without either, all
    /// of them; a ledger of an earlier version does not know `until`.
    List {
        #[serde(borrow)]
        after: Option<Text<'a>>,
        #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
        until: Option<Text<'a>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<usize>,
    },
    Erase,
}

/// Reads and writes the content of a variant in functions of its own. A new isolate compiles each function that it
/// calls, as a whole, and a read needs none of what the writes need.
mod apart {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[inline(never)]
    pub(super) fn serialize<T: Serialize, S: Serializer>(
        content: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        content.serialize(serializer)
    }

    #[inline(never)]
    pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        T::deserialize(deserializer)
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct AddMessage<'a> {
    pub(super) id: String,
    #[serde(borrow)]
    pub(super) record: ExpenseRecord<'a>,
    pub(super) key: Option<KeyMessage>,
}

/// The ledger keeps the stored time of the addition and sets the time of the change.
#[derive(Serialize, Deserialize)]
pub(super) struct ReplaceMessage<'a> {
    pub(super) id: String,
    #[serde(borrow)]
    pub(super) record: ExpenseRecord<'a>,
    #[serde(default)]
    pub(super) condition: ConditionMessage,
}

#[derive(Serialize, Deserialize)]
pub(super) struct ChangeMessage {
    pub(super) id: String,
    pub(super) changes: ChangesMessage,
    #[serde(default)]
    pub(super) condition: ConditionMessage,
}

#[derive(Serialize, Deserialize)]
pub(super) struct RemoveMessage {
    pub(super) id: String,
    #[serde(default)]
    pub(super) condition: ConditionMessage,
}

/// Adds these expenses, all or none. Those that the log has already stay as they are. A ledger of an earlier version
/// does not know the command, and does not respond.
#[derive(Serialize, Deserialize)]
pub(super) struct ImportMessage<'a> {
    #[serde(borrow)]
    pub(super) rows: Vec<RowMessage<'a>>,
}

/// An idempotency key, and the body that it was sent with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct KeyMessage {
    pub(super) hash: String,
    pub(super) body_hash: String,
}

/// `null` is no condition, an empty list of texts is met by no version.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct ConditionMessage {
    #[serde(default)]
    is_one_of: Option<VersionsMessage>,
    #[serde(default)]
    is_none_of: Option<VersionsMessage>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum VersionsMessage {
    Any,
    Listed(Vec<String>),
}

impl From<Condition> for ConditionMessage {
    fn from(condition: Condition) -> Self {
        let message = |versions: Versions| match versions {
            Versions::Any => VersionsMessage::Any,
            Versions::Listed(listed) => VersionsMessage::Listed(listed),
        };
        let Condition { is_one_of, is_none_of } = condition;
        Self { is_one_of: is_one_of.map(message), is_none_of: is_none_of.map(message) }
    }
}

impl From<ConditionMessage> for Condition {
    fn from(message: ConditionMessage) -> Self {
        let versions = |message: VersionsMessage| match message {
            VersionsMessage::Any => Versions::Any,
            VersionsMessage::Listed(listed) => Versions::Listed(listed),
        };
        let ConditionMessage { is_one_of, is_none_of } = message;
        Self { is_one_of: is_one_of.map(versions), is_none_of: is_none_of.map(versions) }
    }
}

/// Changes. An absent member keeps the field, `null` resets it to its default.
#[derive(Serialize, Deserialize)]
pub(super) struct ChangesMessage {
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<String>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    currency: Option<Option<String>>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    category: Option<Option<String>>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    date: Option<Option<String>>,
}

/// A member that is there, `null` or not.
fn present<'de, D: Deserializer<'de>>(member: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(member).map(Some)
}

impl From<ExpenseChanges> for ChangesMessage {
    fn from(changes: ExpenseChanges) -> Self {
        fn update<T>(update: Update<T>, text: impl FnOnce(T) -> String) -> Option<Option<String>> {
            match update {
                Update::Keep => None,
                Update::Reset => Some(None),
                Update::Set(value) => Some(Some(text(value))),
            }
        }
        let ExpenseChanges { description, amount, currency, category, date } = changes;
        Self {
            description: description.map(|description| description.to_string()),
            amount: amount.map(|amount| amount.to_string()),
            currency: update(currency, |currency| currency.to_string()),
            category: update(category, |category| category.to_string()),
            date: update(date, |date| date.to_string()),
        }
    }
}

impl ChangesMessage {
    /// The changes; `None` if a value is invalid.
    pub(super) fn into_changes(self) -> Option<ExpenseChanges> {
        fn update<T>(
            member: Option<Option<String>>,
            parse: impl FnOnce(&str) -> Option<T>,
        ) -> Option<Update<T>> {
            Some(match member {
                None => Update::Keep,
                Some(None) => Update::Reset,
                Some(Some(text)) => Update::Set(parse(&text)?),
            })
        }
        let Self { description, amount, currency, category, date } = self;
        let description = description.map(|text| Description::parse(&text)).transpose().ok()?;
        Some(ExpenseChanges {
            description,
            amount: match amount {
                Some(text) => Some(Amount::parse(&text)?),
                None => None,
            },
            currency: update(currency, |text| Currency::parse(text).ok())?,
            category: update(category, |text| Category::parse(text).ok())?,
            date: update(date, parse_date)?,
        })
    }
}

/// A response.
#[derive(Serialize, Deserialize)]
pub(super) struct Response<'a> {
    pub(super) v: u32,
    #[serde(borrow)]
    pub(super) outcome: Outcome<'a>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome<'a> {
    /// The write is committed; this is the expense.
    #[serde(borrow, with = "apart")]
    SavedRow(SavedRowMessage<'a>),
    /// The removal is committed.
    Removed,
    /// The expense does not exist.
    Absent,
    /// The expense has a record that cannot be read, so it cannot be changed.
    Unreadable,
    /// The expense does not meet the condition.
    NotMet,
    /// The idempotency key was used with another body.
    KeyReused,
    /// The log has as many entries as it can have.
    Full,
    /// KV did not respond with the expense to change. Nothing is written.
    NotRead { reason: String },
    /// The currency does not have the amount that the expense would have. Nothing is written.
    #[serde(with = "apart")]
    UnfitAmount(UnfitAmountMessage),
    /// So many expenses of an import are new, and committed.
    Imported { added: usize },
    /// The user is deleted, and the data with it.
    Erased,
    /// An entry of the log; `None` for an expense that the log does not have.
    Row {
        #[serde(borrow)]
        entry: Option<RowMessage<'a>>,
    },
    /// Entries of the log.
    Rows {
        #[serde(borrow)]
        entries: Vec<RowMessage<'a>>,
    },
}

/// An expense as a write has left it.
#[derive(Serialize, Deserialize)]
pub(super) struct SavedRowMessage<'a> {
    #[serde(borrow)]
    pub(super) id: Cow<'a, str>,
    /// The stored text.
    #[serde(borrow)]
    pub(super) row: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct UnfitAmountMessage {
    pub(super) amount: String,
    pub(super) currency: String,
}

/// The latest write of an expense; a removal has no row.
#[derive(Serialize, Deserialize)]
pub(super) struct RowMessage<'a> {
    #[serde(borrow)]
    pub(super) id: Cow<'a, str>,
    /// The stored text.
    #[serde(borrow)]
    pub(super) row: Option<Text<'a>>,
    /// The row that a removal has removed; only in the response to `Get`.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(super) removed: Option<Text<'a>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_keep_their_meaning_in_a_message() {
        let changes = ExpenseChanges {
            description: Some(Description::parse("Lunch").unwrap()),
            amount: Amount::parse("1.20"),
            currency: Update::Reset,
            category: Update::Set(Category::parse("meals").unwrap()),
            date: Update::Keep,
        };
        let json = serde_json::to_string(&ChangesMessage::from(changes.clone())).unwrap();
        let read: ChangesMessage = serde_json::from_str(&json).unwrap();
        assert_eq!(read.into_changes(), Some(changes), "{json}");
        let none: ChangesMessage = serde_json::from_str("{}").unwrap();
        assert_eq!(none.into_changes(), Some(ExpenseChanges::default()));
        let invalid: ChangesMessage = serde_json::from_str(r#"{"amount":"-1"}"#).unwrap();
        assert_eq!(invalid.into_changes(), None);
    }

    /// Versions of the Worker exchange them while a deployment replaces one by another.
    #[test]
    fn messages_and_responses_keep_their_json() {
        let condition = r#"{"is_one_of":{"listed":["a"]},"is_none_of":"any"}"#;
        let expense = r#"{"description":"Lunch","amount":"1.20","currency":"EUR","category":"meals","date":"2026-11-20","created_at":1,"updated_at":2}"#;
        let add = format!(
            r#"{{"add":{{"id":"1","record":{expense},"key":{{"hash":"h","body_hash":"b"}}}}}}"#
        );
        let replace =
            format!(r#"{{"replace":{{"id":"1","record":{expense},"condition":{condition}}}}}"#);
        let change = format!(
            r#"{{"change":{{"id":"1","changes":{{"amount":"1.20","date":null}},"condition":{condition}}}}}"#
        );
        let remove = format!(r#"{{"remove":{{"id":"1","condition":{condition}}}}}"#);
        for command in [
            &*add,
            &replace,
            &change,
            &remove,
            r#"{"restore":{"id":"1"}}"#,
            r#"{"import":{"rows":[{"id":"1","row":"text"}]}}"#,
            r#"{"get":{"id":"1"}}"#,
            r#"{"list":{"after":null}}"#,
            r#"{"list":{"after":"1","until":"2","limit":3}}"#,
            r#""erase""#,
        ] {
            let json = format!(
                r#"{{"v":1,"owner":"user_ada","request":"r","reads_rows":true,"command":{command}}}"#
            );
            let message: Message<'_> = parse("message", &json).unwrap();
            assert_eq!(edge_host::json::write(&message), json);
        }
        for outcome in [
            r#"{"saved_row":{"id":"1","row":"text"}}"#,
            r#""removed""#,
            r#""absent""#,
            r#""unreadable""#,
            r#""not_met""#,
            r#""key_reused""#,
            r#""full""#,
            r#"{"not_read":{"reason":"KV"}}"#,
            r#"{"unfit_amount":{"amount":"1.20","currency":"JPY"}}"#,
            r#"{"imported":{"added":2}}"#,
            r#""erased""#,
            r#"{"row":{"entry":null}}"#,
            r#"{"row":{"entry":{"id":"1","row":null,"removed":"text"}}}"#,
            r#"{"rows":{"entries":[{"id":"1","row":"text"}]}}"#,
        ] {
            let json = format!(r#"{{"v":1,"outcome":{outcome}}}"#);
            let response: Response<'_> = parse("response", &json).unwrap();
            assert_eq!(edge_host::json::write(&response), json);
        }
    }

    #[test]
    fn another_version_is_unknown() {
        for json in [r#"{"v":2,"outcome":"removed"}"#, r#"{"outcome":"removed"}"#, "", "[1]"] {
            assert!(parse::<Response<'_>>("response", json).is_err(), "{json}");
        }
        let newer = r#"{"v":1,"outcome":"removed","since":"a later version"}"#;
        assert!(matches!(
            parse("response", newer),
            Ok(Response { v: 1, outcome: Outcome::Removed })
        ));
    }
}
