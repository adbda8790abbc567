//! An object's storage.

use chrono::{DateTime, Utc};

use super::error::ObjectFault;

/// The longest value in an object's storage, with its key.
/// <https://developers.cloudflare.com/durable-objects/platform/limits/>
pub const OBJECT_VALUE_MAX_BYTES: usize = 2 * 1024 * 1024;

/// The storage of one object. Writes between two awaits take effect together or not at all, and they are durable
/// before a response or an outgoing request leaves the object.
/// <https://developers.cloudflare.com/durable-objects/api/sqlite-storage-api/#synchronous-kv-api>
///
/// # Errors
///
/// Methods return [`ObjectFault`] when the storage fails.
pub trait ObjectStorage: Send + Sync {
    /// The value at `key`, or `None`.
    fn get(&self, key: &str) -> Result<Option<String>, ObjectFault>;

    /// Every key that begins with `prefix`, in byte order, with its value.
    fn list(&self, prefix: &str) -> Result<Vec<(String, String)>, ObjectFault>;

    /// Writes `value` at `key`; together they have at most [`OBJECT_VALUE_MAX_BYTES`]. It counts as one row
    /// written.
    fn put(&self, key: &str, value: &str) -> Result<(), ObjectFault>;

    /// Removes `key`. A key that does not exist is not an error. It counts as one row written.
    fn delete(&self, key: &str) -> Result<(), ObjectFault>;

    /// Removes every key and the alarm, so that nothing is left of the object. An alarm that is set afterwards stays.
    fn delete_all(&self) -> Result<(), ObjectFault>;

    /// Runs [`Object::alarm`](super::Object::alarm) at this time, or as soon as possible if it has passed; `None` for never. An object
    /// has one alarm: this replaces the time that was set. It counts as one row written.
    fn set_alarm(&self, at: Option<DateTime<Utc>>) -> Result<(), ObjectFault>;
}
