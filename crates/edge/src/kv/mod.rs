//! Workers KV: the trait of a namespace, KV's limits, and the responses.

mod error;
mod listing;
mod namespace;
#[cfg(any(feature = "memory", target_arch = "wasm32"))]
pub(crate) mod rules;
mod timed;

#[cfg(target_arch = "wasm32")]
pub(crate) use error::kind_of_message;
pub use error::{KvError, KvErrorKind, KvOperation};
pub use listing::{KvKey, KvListing, KvPage};
pub use namespace::{
    KV_BULK_MAX_KEYS, KV_KEY_MAX_BYTES, KV_LIST_MAX_KEYS, KV_METADATA_MAX_BYTES, KV_TTL_MAX_SECS,
    KV_TTL_MIN_SECS, KV_VALUE_MAX_BYTES, KvNamespace, KvPut,
};
pub use timed::{KV_READ_MAX_MILLIS, KV_WRITE_MAX_MILLIS, TimedKv};
