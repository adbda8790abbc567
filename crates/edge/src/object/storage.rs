//! An object's storage.

use chrono::{DateTime, Utc};

use super::error::ObjectFault;

/// The longest value in an object's storage, with its key.
/// <https://developers.cloudflare.com/durable-objects/platform/limits/>
pub const OBJECT_VALUE_MAX_BYTES: usize = 2 * 1024 * 1024;

/// The rows that [`ObjectStorage::each`] reads at a time.
const PAGE_ROWS: usize = 500;

/// The storage of one object. Writes between two awaits become durable together, before a response or an outgoing
/// request leaves the object. A panic between two of them, or a failure of the second, leaves the first: rows that
/// belong together are written by [`put_all`](Self::put_all).
/// <https://developers.cloudflare.com/durable-objects/api/sqlite-storage-api/#synchronous-kv-api>
///
/// # Errors
///
/// Methods return [`ObjectFault`] when the storage fails.
pub trait ObjectStorage: Send + Sync {
    /// The value at `key`, or `None`.
    fn get(&self, key: &str) -> Result<Option<String>, ObjectFault>;

    /// The first `limit` keys that begin with `prefix` and come after `after`, in byte order, with their values.
    fn page(
        &self,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, String)>, ObjectFault>;

    /// Visits every key that begins with `prefix`, in byte order, with its value. The rows are read page by page:
    /// together they may be more than the memory of an object holds. The visitor may delete the row.
    fn each(
        &self,
        prefix: &str,
        visit: &mut dyn FnMut(&str, &str) -> Result<(), ObjectFault>,
    ) -> Result<(), ObjectFault> {
        let mut after = String::new();
        loop {
            let rows = self.page(prefix, &after, PAGE_ROWS)?;
            for (key, value) in &rows {
                visit(key, value)?;
            }
            match rows.into_iter().nth(PAGE_ROWS - 1) {
                Some((last, _)) => after = last,
                None => return Ok(()),
            }
        }
    }

    /// Writes `value` at `key`; together they have at most [`OBJECT_VALUE_MAX_BYTES`]. It counts as one row
    /// written.
    fn put(&self, key: &str, value: &str) -> Result<(), ObjectFault>;

    /// Writes rows, each as [`put`](Self::put) does, all or none.
    fn put_all(&self, rows: &[(String, String)]) -> Result<(), ObjectFault>;

    /// Removes `key`. A key that does not exist is not an error. It counts as one row written.
    fn delete(&self, key: &str) -> Result<(), ObjectFault>;

    /// Removes every key and the alarm, so that nothing is left of the object. An alarm that is set afterwards stays.
    fn delete_all(&self) -> Result<(), ObjectFault>;

    /// Runs [`Object::alarm`](super::Object::alarm) at this time, or as soon as possible if it has passed; `None` for never. An object
    /// has one alarm: this replaces the time that was set. It counts as one row written.
    fn set_alarm(&self, at: Option<DateTime<Utc>>) -> Result<(), ObjectFault>;
}
