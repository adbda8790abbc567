//! The entries of a ledger's log: the latest write of each expense that KV may not show yet.

use std::{borrow::Cow, cell::OnceCell};

use edge_host::{ObjectFault, ObjectStorage};
use serde::{Deserialize, Serialize};

use super::{
    messages::{UnknownVersion, VERSION, json, parse, versioned},
    times::KV_LAG_MAX_MILLIS,
};
use crate::expenses::{
    model::{Expense, ExpenseId},
    record::ExpenseRecord,
    row::Row,
};

/// The last requests of an entry: one that is sent again is recognized.
const MAX_REQUESTS: usize = 8;

pub(super) const LOG: &str = "log:";

#[derive(Serialize, Deserialize)]
struct EntryRow<'a> {
    v: u32,
    #[serde(borrow)]
    record: Option<ExpenseRecord<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    removed: Option<ExpenseRecord<'a>>,
    at: i64,
    kv_at: Option<i64>,
    uncertain: bool,
    requests: Cow<'a, [String]>,
}

versioned!(EntryRow<'_>);

/// The latest write of an expense.
#[derive(Clone)]
pub(super) struct Entry {
    /// `None`: removed.
    pub(super) expense: Option<Expense>,
    /// The expense that a removal has removed, unless it was unreadable.
    pub(super) removed: Option<Box<Expense>>,
    pub(super) at: i64,
    pub(super) kv_at: Option<i64>,
    pub(super) uncertain: bool,
    pub(super) requests: Vec<String>,
    /// Attempts to write to KV that failed in a row. Not stored.
    pub(super) failures: u32,
    /// When KV may be written again. Not stored.
    pub(super) not_before: i64,
    /// Whether this instance repeats an uncertain write now, without a failure so far. Not stored.
    pub(super) repeats: bool,
    /// The stored text of the row, made at the first read. Not stored.
    row: OnceCell<String>,
}

impl Entry {
    /// A write by `request`, after `before`.
    pub(super) fn new(
        expense: Option<Expense>,
        request: &str,
        now: i64,
        before: Option<&Self>,
    ) -> Self {
        let mut requests = before.map(|before| before.requests.clone()).unwrap_or_default();
        if requests.len() >= MAX_REQUESTS {
            requests.remove(0);
        }
        requests.push(request.to_owned());
        Self {
            expense,
            removed: None,
            at: now,
            kv_at: None,
            uncertain: before.is_some_and(|before| before.uncertain),
            requests,
            failures: before.map_or(0, |before| before.failures),
            not_before: before.map_or(0, |before| before.not_before),
            repeats: false,
            row: OnceCell::new(),
        }
    }

    pub(super) fn parse(id: ExpenseId, json: &str) -> Result<Self, ObjectFault> {
        let row: EntryRow<'_> = parse("row of an expense", json)?;
        let expense = match row.record {
            Some(record) => Some(record.into_expense(id).ok_or(UnknownVersion("row's record"))?),
            None => None,
        };
        // Without it nothing is lost but the way back.
        let removed = row.removed.and_then(|record| record.into_expense(id)).map(Box::new);
        Ok(Self {
            expense,
            removed,
            at: row.at,
            kv_at: row.kv_at,
            // An instance that ended may have begun a write to KV.
            uncertain: row.uncertain || row.kv_at.is_none(),
            requests: row.requests.into_owned(),
            failures: 0,
            not_before: 0,
            repeats: false,
            row: OnceCell::new(),
        })
    }

    /// Whether the request made one of the last writes: then it was sent again.
    pub(super) fn is_of(&self, request: &str) -> bool {
        self.requests.iter().any(|known| known == request)
    }

    /// The stored text of the expense's row; `None` for a removal.
    pub(super) fn row(&self) -> Option<&str> {
        let expense = self.expense.as_ref()?;
        Some(self.row.get_or_init(|| Row::from(expense).stored()))
    }

    pub(super) fn store(
        &self,
        id: ExpenseId,
        storage: &dyn ObjectStorage,
    ) -> Result<(), ObjectFault> {
        let row = EntryRow {
            v: VERSION,
            record: self.expense.as_ref().map(ExpenseRecord::from),
            removed: self.removed.as_deref().map(ExpenseRecord::from),
            at: self.at,
            kv_at: self.kv_at,
            uncertain: self.uncertain,
            requests: Cow::Borrowed(&self.requests),
        };
        storage.put(&format!("{LOG}{id}"), &json(&row))
    }

    /// When KV is to be written; `None` if it has the entry for good.
    pub(super) fn due_at(&self) -> Option<i64> {
        match self.kv_at {
            None => Some(self.not_before),
            Some(at) if self.uncertain => Some(self.not_before.max(at + KV_LAG_MAX_MILLIS)),
            Some(_) => None,
        }
    }
}
