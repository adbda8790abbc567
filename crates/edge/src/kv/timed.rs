//! A time limit for every operation of a [`KvNamespace`]: KV itself has none, and a request that
//! waits for it without end says less than one that is told to come back.
//!
//! The limit is on the waiting, not on the operation, which the runtime cannot call back: a write
//! that is given up may still take place, even after a later one to the same key.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::{Either, select};

use super::{KvError, KvListing, KvNamespace, KvPut};
use crate::Clock;

/// The longest wait for a `get` or a `list`. KV answers in milliseconds where a key is known and
/// within a second where it is not; and a look at KV and the request to WorkOS that follows it, ten
/// seconds at the most, must fit into the fifteen that others wait for both.
pub const KV_READ_MAX_MILLIS: u32 = 5_000;
/// The longest wait for a `put` or a `delete`. Longer than for a read: giving up a write leaves
/// unknown what has become of it.
pub const KV_WRITE_MAX_MILLIS: u32 = 10_000;

/// A namespace that answers in time, if only with an error.
pub struct TimedKv {
    kv: Arc<dyn KvNamespace>,
    clock: Arc<dyn Clock>,
}

impl TimedKv {
    /// Limits what `kv` may take, on `clock`.
    #[must_use]
    pub fn new(kv: Arc<dyn KvNamespace>, clock: Arc<dyn Clock>) -> Self {
        Self { kv, clock }
    }

    async fn within<T>(
        &self,
        max_millis: u32,
        operation: &'static str,
        answer: impl Future<Output = Result<T, KvError>> + Send + Unpin,
    ) -> Result<T, KvError> {
        match select(answer, self.clock.time_limit(max_millis)).await {
            Either::Left((answer, _)) => answer,
            Either::Right(_) => {
                let reason = format!("no answer within {} s", max_millis / 1000);
                Err(KvError { operation, reason })
            }
        }
    }
}

#[async_trait]
impl KvNamespace for TimedKv {
    async fn get(&self, key: &str) -> Result<Option<String>, KvError> {
        self.within(KV_READ_MAX_MILLIS, "get", self.kv.get(key)).await
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<String>>, KvError> {
        self.within(KV_READ_MAX_MILLIS, "get", self.kv.get_many(keys)).await
    }

    async fn put(&self, key: &str, value: &str, options: KvPut<'_>) -> Result<(), KvError> {
        self.within(KV_WRITE_MAX_MILLIS, "put", self.kv.put(key, value, options)).await
    }

    async fn delete(&self, key: &str) -> Result<(), KvError> {
        self.within(KV_WRITE_MAX_MILLIS, "delete", self.kv.delete(key)).await
    }

    async fn list(
        &self,
        prefix: &str,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<KvListing, KvError> {
        self.within(KV_READ_MAX_MILLIS, "list", self.kv.list(prefix, limit, cursor)).await
    }
}
