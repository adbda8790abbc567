//! Stores expenses in KV: one key per expense, so that no write overwrites another expense's record.
//! `super::keys` has the keys, `super::record` the record. The value always has the record. The metadata
//! also has it if it fits KV's 1,024 bytes, so that one `list` returns a page.
//!
//! Only the ledger writes. Operations: a page needs 1 `list` (and 1 `get` for each hundred rows too long for
//! metadata), one expense 1 `get`, a new expense 1 `put`, a change 1 `put` and a removal 1 `delete` (with 1 `get`
//! each if the ledger's log does not have the expense), and a summary 1 `list` per thousand expenses. Each of them
//! is also one request to the ledger.

use std::sync::Arc;

use serde_json::Value;
use thiserror::Error;

use super::{
    keys::Owner,
    model::{Expense, ExpenseId},
    record::{ExpenseRecord, decode},
};
use edge_host::{
    KV_BULK_MAX_KEYS, KV_METADATA_MAX_BYTES, KvError, KvKey, KvNamespace, KvPage, KvPut,
};

/// The name of the Workers KV binding.
pub const BINDING: &str = "EXPENSES";

/// Why an expense cannot be read.
#[derive(Debug, Clone, Error)]
pub enum GetError {
    /// The expense is stored, but its record is unreadable. Replacing the expense repairs it.
    #[error("the stored record of expense {0} cannot be read")]
    Unreadable(ExpenseId),
    /// KV failed: whether the expense exists is unknown.
    #[error(transparent)]
    Kv(#[from] KvError),
}

/// The expenses of every owner.
#[derive(Clone)]
pub(super) struct ExpenseStore {
    kv: Arc<dyn KvNamespace>,
}

/// The result of one `list`.
pub(super) struct Batch {
    /// The expenses, newest first. An unreadable record is logged and left out, so that it does not hide others.
    pub(super) expenses: Vec<Expense>,
    /// The end of the last key, after the owner's prefix; `None` if there is no key.
    pub(super) end: Option<String>,
    /// KV's cursor for the next `list`.
    pub(super) next: Option<String>,
}

/// One row of a `list`.
struct Row {
    id: ExpenseId,
    /// `None` if the metadata has no record, until the value is read.
    expense: Option<Expense>,
}

impl ExpenseStore {
    pub(super) fn new(kv: Arc<dyn KvNamespace>) -> Self {
        Self { kv }
    }

    /// The namespace, for records of other kinds.
    pub(super) fn kv(&self) -> &dyn KvNamespace {
        &*self.kv
    }

    /// Reads an expense; `None` if it does not exist.
    pub(super) async fn get(
        &self,
        owner: &Owner,
        id: ExpenseId,
    ) -> Result<Option<Expense>, GetError> {
        let Some(record) = self.kv.get(&owner.expense_key(id)).await? else { return Ok(None) };
        let expense = decode(id, &record);
        if expense.is_none() {
            log::error!("the stored record of expense {id} cannot be read");
        }
        expense.map(Some).ok_or(GetError::Unreadable(id))
    }

    /// Writes a new or changed expense. After an error the write may or may not take effect.
    pub(super) async fn put(&self, owner: &Owner, expense: &Expense) -> Result<(), KvError> {
        // A struct of strings and numbers always serializes.
        let value = serde_json::to_string(&ExpenseRecord::from(expense)).unwrap_or_default();
        let metadata = (value.len() <= KV_METADATA_MAX_BYTES).then_some(&*value);
        let options = KvPut { metadata, ..KvPut::default() };
        self.kv.put(&owner.expense_key(expense.id), &value, options).await
    }

    /// Deletes an expense. After an error the deletion may or may not take effect.
    pub(super) async fn delete(&self, owner: &Owner, id: ExpenseId) -> Result<(), KvError> {
        self.kv.delete(&owner.expense_key(id)).await
    }

    /// Performs one `list`.
    pub(super) async fn list(
        &self,
        owner: &Owner,
        limit: usize,
        kv_cursor: Option<&str>,
    ) -> Result<Batch, KvError> {
        let prefix = owner.expense_prefix();
        let listing = self.kv.list(&prefix, limit, kv_cursor).await?;
        let (mut rows, end, next): (Vec<Row>, _, _) = match listing.page::<ExpenseRecord<'_>>() {
            Ok(page) => {
                let (end, next) = end_of(&prefix, &page);
                let row = |key: KvKey<'_, ExpenseRecord<'_>>| {
                    row(&prefix, &key.name, |id| key.metadata?.into_expense(id))
                };
                (page.keys.into_iter().filter_map(row).collect(), end, next)
            }
            // Some metadata is not a record, so each key's metadata is parsed separately.
            Err(_) => {
                let page = listing.page::<Value>()?;
                let (end, next) = end_of(&prefix, &page);
                let row = |key: KvKey<'_, Value>| {
                    row(&prefix, &key.name, |id| decode(id, &key.metadata?.to_string()))
                };
                (page.keys.into_iter().filter_map(row).collect(), end, next)
            }
        };
        let mut in_values: Vec<&mut Row> =
            rows.iter_mut().filter(|row| row.expense.is_none()).collect();
        for chunk in in_values.chunks_mut(KV_BULK_MAX_KEYS) {
            let keys: Vec<String> = chunk.iter().map(|row| owner.expense_key(row.id)).collect();
            let values = self.kv.get_many(&keys).await?;
            for (row, value) in chunk.iter_mut().zip(values) {
                row.expense = value.and_then(|value| decode(row.id, &value));
                if row.expense.is_none() {
                    log::error!("the stored expense {} cannot be read and is left out", row.id);
                }
            }
        }
        Ok(Batch { expenses: rows.into_iter().filter_map(|row| row.expense).collect(), end, next })
    }
}

/// The end of a page, and KV's cursor for the next one.
fn end_of<M>(prefix: &str, page: &KvPage<'_, M>) -> (Option<String>, Option<String>) {
    let end = page.keys.last().and_then(|key| key.name.strip_prefix(prefix));
    (end.map(str::to_owned), page.next_cursor().map(str::to_owned))
}

/// The row of a key; `read` parses its metadata. If the metadata is unreadable, the value may still be
/// readable. A key without an expense's id is logged and left out.
fn row(prefix: &str, key: &str, read: impl FnOnce(ExpenseId) -> Option<Expense>) -> Option<Row> {
    let Some(Ok(id)) = key.strip_prefix(prefix).map(ExpenseId::parse) else {
        log::error!("a key under an owner's prefix does not end in an expense id");
        return None;
    };
    Some(Row { id, expense: read(id) })
}
