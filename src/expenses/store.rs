//! Stores expenses in KV: one key per expense, so that no write overwrites another expense's record.
//! `super::keys` has the keys, `super::record` the record, `super::row` the row. The value is the record with its row.
//! The metadata is the row, if it fits KV's 1,024 bytes, so that one `list` returns a page whose texts are copied.
//!
//! Versions without rows have written the record as value and as metadata. This version reads both forms. Those
//! versions read the values of this one, and look for a value where the metadata is a row.
//!
//! Only the ledger writes. Operations: a page needs 1 `list` (and 1 `get` for each hundred rows too long for
//! metadata), one expense 1 `get`, a new expense 1 `put`, a change 1 `put` and a removal 1 `delete` (with 1 `get`
//! each if the ledger's log does not have the expense), and a summary 1 `list` per thousand expenses. Each of them
//! is also one request to the ledger.

use std::{cell::RefCell, fmt, ops::Range, sync::Arc};

use futures_util::future::BoxFuture;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::Value;
use thiserror::Error;

use super::{
    events::ExpensesEvent,
    keys::Owner,
    model::{Expense, ExpenseId},
    record::{ExpenseRecord, decode},
    row::{Row, RowBuffer, Rows},
};
use edge_host::{
    Emit as _, KV_BULK_MAX_KEYS, KV_METADATA_MAX_BYTES, KvError, KvListing, KvNamespace, KvPage,
    KvPut, json,
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
pub(super) struct ExpenseStore {
    kv: Arc<dyn KvNamespace>,
}

/// The result of one `list`.
pub(super) struct Batch {
    /// The rows, newest first. An unreadable one is reported and left out, so that it does not hide others.
    pub(super) rows: Rows,
    /// The end of the last key, after the owner's prefix; `None` if there is no key.
    pub(super) end: Option<String>,
    /// KV's cursor for the next `list`.
    pub(super) next: Option<String>,
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
    pub(super) async fn get(&self, owner: &Owner, id: ExpenseId) -> Result<Option<Row>, GetError> {
        let Some(record) = self.kv.get(&owner.expense_key(id)).await? else { return Ok(None) };
        let row = decode(id, &record);
        if row.is_none() {
            unreadable(id);
        }
        row.map(Some).ok_or(GetError::Unreadable(id))
    }

    /// Writes a new or changed expense with the stored text of its row. After an error the write may or may not take
    /// effect.
    pub(super) async fn put(
        &self,
        owner: &Owner,
        expense: &Expense,
        row: &str,
    ) -> Result<(), KvError> {
        // A struct of strings and numbers always serializes.
        let record = ExpenseRecord::from(expense).with_row(row);
        let value = json::write(&record);
        let metadata = json::write(&row);
        let metadata = (metadata.len() <= KV_METADATA_MAX_BYTES).then_some(&*metadata);
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
        let (page, mut buffer) = read_page(&listing)?;
        let end = page.keys.last().and_then(|key| key.name.strip_prefix(&*prefix));
        let (end, next) = (end.map(str::to_owned), page.next_cursor().map(str::to_owned));
        let mut found = Vec::with_capacity(page.keys.len());
        let mut is_complete = true;
        for key in page.keys {
            let Some(Ok(id)) = key.name.strip_prefix(&*prefix).map(ExpenseId::parse) else {
                ExpensesEvent::KeyMalformed {}.emit();
                continue;
            };
            let place = match key.metadata {
                Some(Metadata::Row(place)) => Some(place).filter(|place| buffer.is_of(id, place)),
                Some(Metadata::Earlier(earlier)) => earlier.row(id).map(|row| buffer.push(&row)),
                Some(Metadata::UnknownRow) | None => None,
            };
            is_complete &= place.is_some();
            found.push((id, place));
        }
        if !is_complete {
            self.read_values(owner, &mut found, &mut buffer).await?;
        }
        let rows = found.into_iter().filter_map(|(id, place)| Some((id, place?))).collect();
        Ok(Batch { rows: Rows::new(buffer, rows), end, next })
    }

    /// Reads the values of rows that have no place: the metadata has no row or an unreadable one, and the value may
    /// still be readable. In a box, which keeps its code out of the usual list.
    fn read_values<'a>(
        &'a self,
        owner: &'a Owner,
        found: &'a mut [(ExpenseId, Option<Range<usize>>)],
        buffer: &'a mut RowBuffer,
    ) -> BoxFuture<'a, Result<(), KvError>> {
        Box::pin(async move {
            let mut in_values: Vec<_> =
                found.iter_mut().filter(|(_, place)| place.is_none()).collect();
            for chunk in in_values.chunks_mut(KV_BULK_MAX_KEYS) {
                let keys: Vec<String> =
                    chunk.iter().map(|(id, _)| owner.expense_key(*id)).collect();
                let values = self.kv.get_many(&keys).await?;
                for ((id, place), value) in chunk.iter_mut().zip(values) {
                    // A deleted key, which `list` may still have.
                    let Some(value) = value else { continue };
                    *place = decode(*id, &value).map(|row| buffer.push(&row));
                    if place.is_none() {
                        unreadable(*id);
                    }
                }
            }
            Ok(())
        })
    }
}

/// The keys of a listing, and the texts of their rows.
fn read_page(listing: &KvListing) -> Result<(KvPage<'_, Metadata<'_>>, RowBuffer), KvError> {
    let buffer = RefCell::new(RowBuffer::with_capacity(listing.len_bytes()));
    let read = ReadMetadata(&buffer);
    let page = match listing.page_with(read) {
        Ok(page) => page,
        Err(_) => read_foreign_page(listing, read)?,
    };
    Ok((page, buffer.into_inner()))
}

/// The keys of a listing with metadata as no version has written it.
#[cold]
#[inline(never)]
fn read_foreign_page<'a>(
    listing: &'a KvListing,
    read: ReadMetadata<'_>,
) -> Result<KvPage<'a, Metadata<'a>>, KvError> {
    read.0.borrow_mut().clear();
    Ok(listing.page()?.map(|metadata: Value| match metadata {
        Value::String(stored) => read.row(&stored),
        value => Metadata::Earlier(Earlier::Unknown(value)),
    }))
}

/// Reports a stored expense that cannot be read.
fn unreadable(id: ExpenseId) {
    ExpensesEvent::ExpenseUnreadable { expense: &id.to_string() }.emit();
}

/// The metadata of a key.
enum Metadata<'a> {
    /// The place of the row in the buffer.
    Row(Range<usize>),
    /// A row of another version.
    UnknownRow,
    Earlier(Earlier<'a>),
}

/// Metadata without a row.
enum Earlier<'a> {
    /// A record, as versions without rows have written it.
    Record(Box<ExpenseRecord<'a>>),
    /// Any value, which may be a record.
    Unknown(Value),
}

impl Earlier<'_> {
    /// The row of the record; `None` if it is none, or cannot be read.
    #[cold]
    #[inline(never)]
    fn row(self, id: ExpenseId) -> Option<Row> {
        match self {
            Self::Record(record) => record.into_row(id),
            Self::Unknown(value) => decode(id, &json::write(&value)),
        }
    }
}

/// Reads metadata; rows go into the buffer.
#[derive(Clone, Copy)]
struct ReadMetadata<'b>(&'b RefCell<RowBuffer>);

impl ReadMetadata<'_> {
    fn row<'a>(self, stored: &str) -> Metadata<'a> {
        let place = self.0.borrow_mut().push_stored(stored);
        place.map_or(Metadata::UnknownRow, Metadata::Row)
    }
}

impl<'de> DeserializeSeed<'de> for ReadMetadata<'_> {
    type Value = Metadata<'de>;

    fn deserialize<D: Deserializer<'de>>(self, metadata: D) -> Result<Metadata<'de>, D::Error> {
        metadata.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ReadMetadata<'_> {
    type Value = Metadata<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a row or a record")
    }

    fn visit_str<E>(self, stored: &str) -> Result<Metadata<'de>, E> {
        Ok(self.row(stored))
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Metadata<'de>, A::Error> {
        let record = ExpenseRecord::deserialize(MapAccessDeserializer::new(members))?;
        Ok(Metadata::Earlier(Earlier::Record(Box::new(record))))
    }
}
