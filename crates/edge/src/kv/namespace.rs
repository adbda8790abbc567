//! The trait of a KV namespace, and KV's limits.

use async_trait::async_trait;

use super::{KvError, KvListing};

/// The longest key that KV accepts.
/// <https://developers.cloudflare.com/kv/platform/limits/>
pub const KV_KEY_MAX_BYTES: usize = 512;

/// The longest value that KV accepts, and the most that one bulk `get` returns.
/// <https://developers.cloudflare.com/kv/platform/limits/>
pub const KV_VALUE_MAX_BYTES: usize = 25 * 1024 * 1024;

/// The longest metadata that KV accepts with a key, as JSON without white space.
/// <https://developers.cloudflare.com/kv/platform/limits/>
pub const KV_METADATA_MAX_BYTES: usize = 1024;

/// The most keys in one response of `list`.
/// <https://developers.cloudflare.com/kv/api/list-keys/>
pub const KV_LIST_MAX_KEYS: usize = 1000;

/// The shortest time to live that KV accepts, in seconds.
/// <https://developers.cloudflare.com/kv/api/write-key-value-pairs/>
pub const KV_TTL_MIN_SECS: u64 = 60;

/// The longest time to live that the runtime accepts, in seconds: it converts the number to 32 bits.
pub const KV_TTL_MAX_SECS: u64 = i32::MAX as u64;

/// The most keys in one bulk `get`.
/// <https://developers.cloudflare.com/kv/api/read-key-value-pairs/>
pub const KV_BULK_MAX_KEYS: usize = 100;

/// A Workers KV namespace, with KV's own rules: a key has 1 to [`KV_KEY_MAX_BYTES`] bytes and is neither
/// `.` nor `..`; `list` returns keys in byte order.
///
/// # Errors
///
/// Every method returns [`KvError`]: of the kind [`KvErrorKind::InvalidRequest`](super::KvErrorKind::InvalidRequest) when an argument breaks a
/// rule, and of another kind when KV fails.
#[async_trait]
pub trait KvNamespace: Send + Sync {
    /// Whether the namespace itself ends a wait for KV after the limits of [`TimedKv`](super::TimedKv), as on
    /// Workers, where a timer next to the call costs least.
    fn limits_time(&self) -> bool {
        false
    }

    /// The value at `key`, or `None`.
    async fn get(&self, key: &str) -> Result<Option<String>, KvError>;

    /// The values at 1 to [`KV_BULK_MAX_KEYS`] keys, in their order, for the price of one read. The values
    /// may have [`KV_VALUE_MAX_BYTES`] together.
    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<String>>, KvError>;

    /// Writes `value`, of at most [`KV_VALUE_MAX_BYTES`], at `key`. It replaces the value, the metadata and
    /// the time to live that were there.
    async fn put(&self, key: &str, value: &str, options: KvPut<'_>) -> Result<(), KvError>;

    /// Removes `key`. A key that does not exist is not an error.
    async fn delete(&self, key: &str) -> Result<(), KvError>;

    /// Up to `limit` keys (1 to [`KV_LIST_MAX_KEYS`]) that begin with `prefix`, in byte order, from
    /// `cursor` on.
    async fn list(
        &self,
        prefix: &str,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<KvListing, KvError>;
}

/// Options of a `put`.
#[derive(Debug, Clone, Copy, Default)]
pub struct KvPut<'a> {
    /// JSON that `list` returns with the key; at most [`KV_METADATA_MAX_BYTES`].
    pub metadata: Option<&'a str>,
    /// Seconds after which the key expires; [`KV_TTL_MIN_SECS`] to [`KV_TTL_MAX_SECS`].
    pub expiration_ttl_secs: Option<u64>,
}
