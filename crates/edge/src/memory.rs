//! A [`KvNamespace`] in memory, as strict as KV about keys, metadata and pages, with switches to
//! make it fail and counters of what it was asked. For tests: nothing else keeps data in memory.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
};

use async_trait::async_trait;
use chrono::{DateTime, Duration, Utc};
use serde_json::{Value, json};

use super::{
    Clock, KV_BULK_MAX_KEYS, KV_KEY_MAX_BYTES, KV_LIST_MAX_KEYS, KV_METADATA_MAX_BYTES, KvError,
    KvListing, KvNamespace, KvPut,
};

/// See the module's documentation.
#[derive(Default)]
pub struct MemoryKv {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    entries: BTreeMap<String, (String, Written)>,
    /// When [`DistantKv`]s have written a key.
    written_at: BTreeMap<String, DateTime<Utc>>,
    operations: Vec<&'static str>,
    /// The operation that fails, after so many that do not.
    failing: Option<(&'static str, usize)>,
    loses_answers: bool,
    is_held: bool,
    held: Option<&'static str>,
    is_waiting: bool,
}

/// What a value was written with.
#[derive(Debug, Clone, Default)]
pub struct Written {
    /// The metadata.
    pub metadata: Option<Value>,
    /// Seconds after which the key is gone.
    pub expiration_ttl_secs: Option<u64>,
}

impl MemoryKv {
    /// Makes every `operation` (`get`, `put`, `delete`, `list`) fail until told otherwise.
    pub fn fail(&self, operation: Option<&'static str>) {
        self.fail_after(operation, 0);
    }

    /// Makes every `operation` fail once so many have not.
    pub fn fail_after(&self, operation: Option<&'static str>, successes: usize) {
        self.state().failing = operation.map(|operation| (operation, successes));
    }

    /// Makes writes that fail take place all the same.
    pub fn lose_answers(&self, loses_answers: bool) {
        self.state().loses_answers = loses_answers;
    }

    /// The operations since the last call, in order.
    pub fn take_operations(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.state().operations)
    }

    /// Every key, in order.
    pub fn keys(&self) -> Vec<String> {
        self.state().entries.keys().cloned().collect()
    }

    /// Writes an entry as it is, past every rule.
    pub fn insert_raw(&self, key: &str, value: &str, metadata: Option<Value>) {
        let written = Written { metadata, ..Written::default() };
        self.state().entries.insert(key.to_owned(), (value.to_owned(), written));
    }

    /// Takes an entry away.
    pub fn remove_raw(&self, key: &str) {
        self.state().entries.remove(key);
    }

    /// The value at `key` and what it was written with.
    pub fn entry(&self, key: &str) -> Option<(String, Written)> {
        self.state().entries.get(key).cloned()
    }

    /// Makes every operation wait until it is told otherwise.
    pub fn hold(&self, is_held: bool) {
        self.state().is_held = is_held;
    }

    /// Makes every `operation` (`get`, `put`, `delete`, `list`) wait until it is told otherwise.
    pub fn hold_operation(&self, operation: Option<&'static str>) {
        self.state().held = operation;
    }

    /// Whether an operation has come since and waits.
    pub fn is_waiting(&self) -> bool {
        self.state().is_waiting
    }

    /// Waits while operations are held: without a waker, so the caller must be polled again.
    async fn turn(&self, operation: &'static str) {
        std::future::poll_fn(|_| {
            let mut state = self.state();
            state.is_waiting = state.is_held || state.held == Some(operation);
            if state.is_waiting { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }

    fn begin(&self, operation: &'static str) -> Result<MutexGuard<'_, State>, KvError> {
        let (state, failure) = self.begin_write(operation);
        failure.map_or(Ok(state), Err)
    }

    /// What a write is to answer comes apart: it may take place all the same.
    fn begin_write(&self, operation: &'static str) -> (MutexGuard<'_, State>, Option<KvError>) {
        let mut state = self.state();
        state.operations.push(operation);
        let failure = match &mut state.failing {
            Some((failing, 0)) if *failing == operation => Some(refused(operation, "made to fail")),
            Some((failing, successes)) if *failing == operation => {
                *successes -= 1;
                None
            }
            _ => None,
        };
        (state, failure)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A [`MemoryKv`] as one place on earth sees it: a write elsewhere shows some time later, and a key
/// that was asked for and not there is not there for a minute.
/// <https://developers.cloudflare.com/kv/concepts/how-kv-works/>
pub struct DistantKv {
    kv: Arc<MemoryKv>,
    clock: Arc<dyn Clock>,
    lag: Duration,
    misses: Mutex<BTreeMap<String, DateTime<Utc>>>,
}

impl DistantKv {
    /// What was written to `kv` is seen after `lag_millis`.
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
        let written_at = self.kv.state().written_at.get(key).copied();
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
        self.kv.state().written_at.insert(key.to_owned(), self.clock.now());
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

fn refused(operation: &'static str, reason: &str) -> KvError {
    KvError { operation, reason: reason.to_owned() }
}

fn check_key(operation: &'static str, key: &str) -> Result<(), KvError> {
    if key.is_empty() || key.len() > KV_KEY_MAX_BYTES || matches!(key, "." | "..") {
        return Err(refused(operation, "not a key"));
    }
    Ok(())
}

#[async_trait]
impl KvNamespace for MemoryKv {
    async fn get(&self, key: &str) -> Result<Option<String>, KvError> {
        self.turn("get").await;
        let state = self.begin("get")?;
        check_key("get", key)?;
        Ok(state.entries.get(key).map(|(value, _)| value.clone()))
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<String>>, KvError> {
        self.turn("get").await;
        let state = self.begin("get")?;
        if keys.len() > KV_BULK_MAX_KEYS {
            return Err(refused("get", "too many keys"));
        }
        keys.iter().try_for_each(|key| check_key("get", key))?;
        let value = |key: &String| state.entries.get(key).map(|(value, _)| value.clone());
        Ok(keys.iter().map(value).collect())
    }

    async fn put(&self, key: &str, value: &str, options: KvPut<'_>) -> Result<(), KvError> {
        self.turn("put").await;
        let (mut state, failure) = self.begin_write("put");
        check_key("put", key)?;
        if options.metadata.is_some_and(|metadata| metadata.len() > KV_METADATA_MAX_BYTES) {
            return Err(refused("put", "metadata too long"));
        }
        let metadata = options.metadata.map(serde_json::from_str).transpose();
        let metadata = metadata.map_err(|_| refused("put", "metadata that is no JSON"))?;
        if options.expiration_ttl_secs.is_some_and(|secs| secs < 60) {
            return Err(refused("put", "expiration too soon"));
        }
        if failure.is_none() || state.loses_answers {
            let written = Written { metadata, expiration_ttl_secs: options.expiration_ttl_secs };
            state.entries.insert(key.to_owned(), (value.to_owned(), written));
        }
        failure.map_or(Ok(()), Err)
    }

    async fn delete(&self, key: &str) -> Result<(), KvError> {
        self.turn("delete").await;
        let (mut state, failure) = self.begin_write("delete");
        check_key("delete", key)?;
        if failure.is_none() || state.loses_answers {
            state.entries.remove(key);
        }
        failure.map_or(Ok(()), Err)
    }

    async fn list(
        &self,
        prefix: &str,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<KvListing, KvError> {
        self.turn("list").await;
        let state = self.begin("list")?;
        check_key("list", prefix)?;
        if !(1..=KV_LIST_MAX_KEYS).contains(&limit) {
            return Err(refused("list", "limit out of range"));
        }
        let mut matching = state
            .entries
            .iter()
            .filter(|(name, _)| name.starts_with(prefix))
            .filter(|(name, _)| cursor.is_none_or(|cursor| name.as_str() > cursor))
            .map(|(name, (_, written))| (name, &written.metadata));
        let page: Vec<_> = matching.by_ref().take(limit).collect();
        // As KV does, the cursor is where this page has ended.
        let cursor = matching.next().and_then(|_| page.last().map(|(name, _)| name.as_str()));
        let keys: Vec<Value> = page
            .iter()
            .map(|(name, metadata)| json!({"name": name, "metadata": metadata}))
            .collect();
        let answer = json!({"keys": keys, "list_complete": cursor.is_none(), "cursor": cursor});
        Ok(KvListing::from_json(answer.to_string().into_bytes()))
    }
}
