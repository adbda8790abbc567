//! KV as another location sees it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use chrono::{DateTime, Duration, Utc};

use super::MemoryKv;
use crate::{Clock, KvError, KvListing, KvNamespace, KvPut};

/// A [`MemoryKv`] as one location sees it: it sees a write of another location some time later, and keeps a
/// miss for a minute.
/// <https://developers.cloudflare.com/kv/concepts/how-kv-works/>
pub struct DistantKv {
    kv: Arc<MemoryKv>,
    clock: Arc<dyn Clock>,
    lag: Duration,
    misses: Mutex<BTreeMap<String, DateTime<Utc>>>,
}

impl DistantKv {
    /// This location sees a write to `kv` after `lag_millis`.
    #[must_use]
    pub fn new(kv: Arc<MemoryKv>, clock: Arc<dyn Clock>, lag_millis: i64) -> Self {
        Self { kv, clock, lag: Duration::milliseconds(lag_millis), misses: Mutex::default() }
    }

    fn misses(&self) -> MutexGuard<'_, BTreeMap<String, DateTime<Utc>>> {
        self.misses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl KvNamespace for DistantKv {
    async fn get(&self, key: &str) -> Result<Option<String>, KvError> {
        let now = self.clock.now();
        if self.misses().get(key).is_some_and(|at| now - *at < Duration::seconds(60)) {
            return Ok(None);
        }
        let written_at = self.kv.written_at(key);
        let is_seen = written_at.is_none_or(|at| now - at >= self.lag);
        let value = if is_seen { self.kv.get(key).await? } else { None };
        if value.is_none() {
            self.misses().insert(key.to_owned(), now);
        }
        Ok(value)
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<String>>, KvError> {
        self.kv.get_many(keys).await
    }

    async fn put(&self, key: &str, value: &str, options: KvPut<'_>) -> Result<(), KvError> {
        self.kv.put(key, value, options).await?;
        self.kv.set_written_at(key, self.clock.now());
        Ok(())
    }

    async fn delete(&self, key: &str) -> Result<(), KvError> {
        self.kv.delete(key).await
    }

    async fn list(
        &self,
        prefix: &str,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<KvListing, KvError> {
        self.kv.list(prefix, limit, cursor).await
    }
}
