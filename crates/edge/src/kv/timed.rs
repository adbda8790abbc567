//! A time limit and a measurement for every operation of a [`KvNamespace`]. KV itself has none, and a request that
//! waits for KV without end tells its client less than a response that says to try again.
//!
//! The limit ends the wait, not the operation, which the runtime cannot cancel: a write whose wait ended may
//! still take place, even after a later write to the same key.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::{Either, select};

use super::{KvError, KvListing, KvNamespace, KvOperation, KvPut};
use crate::{Cause, Clock, Emit as _, HostEvent, Wait};

opaque_debug!(TimedKv);

/// The longest wait for a `get` or a `list`. KV responds within milliseconds where it has a key cached, and
/// within a second where it has not. A caller that adds other waits asserts their sum.
pub const KV_READ_MAX_MILLIS: u32 = 5_000;
/// The longest wait for a `put` or a `delete`. It is longer than for a read, because a write whose wait ends
/// has an unknown outcome.
pub const KV_WRITE_MAX_MILLIS: u32 = 10_000;

/// The service in the scope of a request.
const SERVICE: &str = "kv";

/// A namespace whose operations fail after a time limit. It measures each operation, and reports each failure.
pub struct TimedKv {
    kv: Arc<dyn KvNamespace>,
    clock: Arc<dyn Clock>,
}

impl TimedKv {
    /// Limits the operations of `kv` by `clock`.
    #[must_use]
    pub fn new(kv: Arc<dyn KvNamespace>, clock: Arc<dyn Clock>) -> Self {
        Self { kv, clock }
    }

    async fn within<T>(
        &self,
        max_millis: u32,
        operation: KvOperation,
        response: impl Future<Output = Result<T, KvError>> + Send + Unpin,
    ) -> Result<T, KvError> {
        let wait = Wait::begin(SERVICE, &*self.clock);
        let result = if self.kv.limits_time() {
            response.await
        } else {
            match select(response, self.clock.time_limit(max_millis)).await {
                Either::Left((response, _)) => response,
                Either::Right(_) => Err(KvError::timed_out(operation, max_millis)),
            }
        };
        wait.end(&*self.clock);
        if let Err(error) = &result {
            report(error);
        }
        result
    }
}

#[cold]
fn report(error: &KvError) {
    let (operation, kind) = (error.operation.name(), error.kind.name());
    HostEvent::KvFailed { operation, kind, cause: Cause(&error.reason) }.emit();
}

#[async_trait]
impl KvNamespace for TimedKv {
    async fn get(&self, key: &str) -> Result<Option<String>, KvError> {
        self.within(KV_READ_MAX_MILLIS, KvOperation::Get, self.kv.get(key)).await
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<String>>, KvError> {
        self.within(KV_READ_MAX_MILLIS, KvOperation::Get, self.kv.get_many(keys)).await
    }

    async fn put(&self, key: &str, value: &str, options: KvPut<'_>) -> Result<(), KvError> {
        self.within(KV_WRITE_MAX_MILLIS, KvOperation::Put, self.kv.put(key, value, options)).await
    }

    async fn delete(&self, key: &str) -> Result<(), KvError> {
        self.within(KV_WRITE_MAX_MILLIS, KvOperation::Delete, self.kv.delete(key)).await
    }

    async fn list(
        &self,
        prefix: &str,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<KvListing, KvError> {
        self.within(KV_READ_MAX_MILLIS, KvOperation::List, self.kv.list(prefix, limit, cursor))
            .await
    }
}
