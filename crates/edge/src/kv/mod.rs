//! Workers KV.

mod error;
mod listing;
mod timed;

use async_trait::async_trait;

pub use error::KvError;
pub use listing::{KvKey, KvListing, KvPage};
pub use timed::{KV_READ_MAX_MILLIS, KV_WRITE_MAX_MILLIS, TimedKv};

/// Longest key KV takes.
/// <https://developers.cloudflare.com/kv/platform/limits/>
pub const KV_KEY_MAX_BYTES: usize = 512;
/// Most metadata KV takes with a key, as serialized JSON.
/// <https://developers.cloudflare.com/kv/platform/limits/>
pub const KV_METADATA_MAX_BYTES: usize = 1024;
/// Most keys in one `list`.
/// <https://developers.cloudflare.com/kv/api/list-keys/>
pub const KV_LIST_MAX_KEYS: usize = 1000;

/// Shortest time to live that KV takes, in seconds.
/// <https://developers.cloudflare.com/kv/api/write-key-value-pairs/>
pub const KV_TTL_MIN_SECS: u64 = 60;

/// Most keys in one bulk `get`.
/// <https://developers.cloudflare.com/kv/api/read-key-value-pairs/>
pub const KV_BULK_MAX_KEYS: usize = 100;

/// A Workers KV namespace, with KV's own rules: keys of at most 512 bytes, metadata of at most
/// 1,024 bytes of JSON, `list` in the keys' byte order, 1,000 a page.
#[async_trait]
pub trait KvNamespace: Send + Sync {
    /// The value at `key`, or `None`.
    async fn get(&self, key: &str) -> Result<Option<String>, KvError>;

    /// The values at up to [`KV_BULK_MAX_KEYS`] keys, in their order, for the price of one read.
    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<String>>, KvError>;

    /// Writes `value` at `key`, replacing what was there.
    async fn put(&self, key: &str, value: &str, options: KvPut<'_>) -> Result<(), KvError>;

    /// Removes `key`; that there is none is not an error.
    async fn delete(&self, key: &str) -> Result<(), KvError>;

    /// Up to `limit` (1–1,000) keys that begin with `prefix`, in byte order, from `cursor` on.
    async fn list(
        &self,
        prefix: &str,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<KvListing, KvError>;
}

/// What is written beside a value.
#[derive(Debug, Clone, Copy, Default)]
pub struct KvPut<'a> {
    /// JSON that `list` returns with the key; at most [`KV_METADATA_MAX_BYTES`].
    pub metadata: Option<&'a str>,
    /// Seconds after which the key is gone; at least 60.
    pub expiration_ttl_secs: Option<u64>,
}
