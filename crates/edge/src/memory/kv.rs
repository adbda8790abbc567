//! A [`KvNamespace`] in memory. It keeps KV's rules for arguments and expires keys; a test can make
//! operations fail or wait, and sees which operations took place.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
};

use async_trait::async_trait;
use chrono::{DateTime, Duration, DurationRound, Utc};
use serde_json::{Value, json};

use super::ManualClock;
use crate::{
    Clock, KvError, KvErrorKind, KvListing, KvNamespace, KvOperation, KvPut,
    kv::rules::{
        check_bulk, check_bulk_values, check_key, check_list_limit, check_prefix, check_ttl,
        check_value, parse_metadata,
    },
};

opaque_debug!(MemoryKv);

/// A namespace in memory. The default has a clock of its own, which stands still: no key expires.
pub struct MemoryKv {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    entries: BTreeMap<String, Entry>,
    operations: Vec<KvOperation>,
    /// The operation that fails, and how often it succeeds before.
    failing: Option<(KvOperation, usize)>,
    loses_responses: bool,
    limits_writes: bool,
    latency_millis: u32,
    is_held: bool,
    held: Option<KvOperation>,
    is_waiting: bool,
    running: usize,
    most_at_once: usize,
}

/// An operation without a response yet.
struct Running<'a>(&'a MemoryKv);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.state().running -= 1;
    }
}

struct Entry {
    value: String,
    written: Written,
    expires_at: Option<DateTime<Utc>>,
}

/// The options that a value was written with.
#[derive(Debug, Clone, Default)]
pub struct Written {
    /// The metadata.
    pub metadata: Option<Value>,
    /// Seconds after which the key expires.
    pub expiration_ttl_secs: Option<u64>,
}

impl Entry {
    fn is_alive(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }
}

impl Default for MemoryKv {
    fn default() -> Self {
        Self::new(Arc::new(ManualClock::default()))
    }
}

impl MemoryKv {
    /// An empty namespace whose keys expire by `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Mutex::default() }
    }

    /// Makes every `operation` fail; `None` makes none fail.
    pub fn fail(&self, operation: Option<KvOperation>) {
        self.fail_after(operation, 0);
    }

    /// Makes every `operation` fail once it has succeeded so many times.
    pub fn fail_after(&self, operation: Option<KvOperation>, successes: usize) {
        self.state().failing = operation.map(|operation| (operation, successes));
    }

    /// Makes failing writes take place all the same.
    pub fn lose_responses(&self, loses_responses: bool) {
        self.state().loses_responses = loses_responses;
    }

    /// Makes every write fail with 429 and without an effect.
    pub fn limit_writes(&self, limits_writes: bool) {
        self.state().limits_writes = limits_writes;
    }

    /// Makes every operation respond after so many milliseconds by the namespace's clock. A write takes effect
    /// at once.
    pub fn delay_responses(&self, latency_millis: u32) {
        self.state().latency_millis = latency_millis;
    }

    /// The operations since the last call, in order.
    pub fn take_operations(&self) -> Vec<KvOperation> {
        std::mem::take(&mut self.state().operations)
    }

    /// The most operations that ran at the same time since the last call.
    pub fn take_most_at_once(&self) -> usize {
        let mut state = self.state();
        let running = state.running;
        std::mem::replace(&mut state.most_at_once, running)
    }

    /// Every key that has not expired, in order.
    pub fn keys(&self) -> Vec<String> {
        let now = self.clock.now();
        let state = self.state();
        let alive = state.entries.iter().filter(|(_, entry)| entry.is_alive(now));
        alive.map(|(key, _)| key.clone()).collect()
    }

    /// Writes an entry without a check of KV's rules.
    pub fn insert_raw(&self, key: &str, value: &str, metadata: Option<Value>) {
        let written = Written { metadata, ..Written::default() };
        let entry = Entry { value: value.to_owned(), written, expires_at: None };
        self.state().entries.insert(key.to_owned(), entry);
    }

    /// Removes an entry; this is no operation.
    pub fn remove_raw(&self, key: &str) {
        self.state().entries.remove(key);
    }

    /// The value at `key` and the options that it was written with.
    pub fn entry(&self, key: &str) -> Option<(String, Written)> {
        let now = self.clock.now();
        let state = self.state();
        let entry = state.entries.get(key).filter(|entry| entry.is_alive(now))?;
        Some((entry.value.clone(), entry.written.clone()))
    }

    /// Makes every operation wait, until it is called with `false`.
    pub fn hold(&self, is_held: bool) {
        self.state().is_held = is_held;
    }

    /// Makes every `operation` wait, until it is called with another one or with `None`.
    pub fn hold_operation(&self, operation: Option<KvOperation>) {
        self.state().held = operation;
    }

    /// Whether the latest operation waits.
    pub fn is_waiting(&self) -> bool {
        self.state().is_waiting
    }

    /// Counts an operation until it has its response.
    fn run(&self) -> Running<'_> {
        let mut state = self.state();
        state.running += 1;
        state.most_at_once = state.most_at_once.max(state.running);
        Running(self)
    }

    /// Waits while `operation` is held. It sets no waker, so the caller must be polled again.
    async fn turn(&self, operation: KvOperation) {
        std::future::poll_fn(|_| {
            let mut state = self.state();
            state.is_waiting = state.is_held || state.held == Some(operation);
            if state.is_waiting { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }

    /// Waits for the response.
    async fn latency(&self) {
        let millis = self.state().latency_millis;
        if millis > 0 {
            self.clock.time_limit(millis).await;
        }
    }

    fn begin(&self, operation: KvOperation) -> Result<MutexGuard<'_, State>, KvError> {
        let (state, failure) = self.begin_write(operation);
        failure.map_or(Ok(state), Err)
    }

    /// The failure to return comes separately: the write may take place all the same.
    fn begin_write(&self, operation: KvOperation) -> (MutexGuard<'_, State>, Option<KvError>) {
        let mut state = self.state();
        state.operations.push(operation);
        let is_write = matches!(operation, KvOperation::Put | KvOperation::Delete);
        if state.limits_writes && is_write {
            let refused =
                KvError::new(operation, KvErrorKind::RateLimited, "429 Too Many Requests");
            return (state, Some(refused));
        }
        let failure = match &mut state.failing {
            Some((failing, 0)) if *failing == operation => {
                Some(KvError::new(operation, KvErrorKind::Unavailable, "made to fail"))
            }
            Some((failing, successes)) if *failing == operation => {
                *successes -= 1;
                None
            }
            _ => None,
        };
        (state, failure)
    }

    fn put_now(&self, key: &str, value: &str, options: KvPut<'_>) -> Result<(), KvError> {
        let (mut state, failure) = self.begin_write(KvOperation::Put);
        check_key(KvOperation::Put, key)?;
        check_value(value)?;
        let metadata = options.metadata.map(parse_metadata).transpose()?;
        options.expiration_ttl_secs.map_or(Ok(()), check_ttl)?;
        if failure.is_none() || state.loses_responses {
            let expiration_ttl_secs = options.expiration_ttl_secs;
            let entry = Entry {
                value: value.to_owned(),
                written: Written { metadata, expiration_ttl_secs },
                expires_at: expiration_ttl_secs.and_then(|secs| self.end(secs)),
            };
            state.entries.insert(key.to_owned(), entry);
        }
        failure.map_or(Ok(()), Err)
    }

    fn delete_now(&self, key: &str) -> Result<(), KvError> {
        let (mut state, failure) = self.begin_write(KvOperation::Delete);
        check_key(KvOperation::Delete, key)?;
        if failure.is_none() || state.loses_responses {
            state.entries.remove(key);
        }
        failure.map_or(Ok(()), Err)
    }

    fn value(&self, state: &State, key: &str) -> Option<String> {
        let entry = state.entries.get(key)?;
        entry.is_alive(self.clock.now()).then(|| entry.value.clone())
    }

    /// KV keeps the end of a key in whole seconds.
    fn end(&self, ttl_secs: u64) -> Option<DateTime<Utc>> {
        let now = self.clock.now().duration_trunc(Duration::seconds(1)).ok()?;
        now.checked_add_signed(Duration::seconds(i64::try_from(ttl_secs).ok()?))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl KvNamespace for MemoryKv {
    async fn get(&self, key: &str) -> Result<Option<String>, KvError> {
        let _running = self.run();
        self.turn(KvOperation::Get).await;
        self.latency().await;
        let state = self.begin(KvOperation::Get)?;
        check_key(KvOperation::Get, key)?;
        Ok(self.value(&state, key))
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<String>>, KvError> {
        let _running = self.run();
        self.turn(KvOperation::Get).await;
        self.latency().await;
        let state = self.begin(KvOperation::Get)?;
        check_bulk(keys)?;
        let values: Vec<_> = keys.iter().map(|key| self.value(&state, key)).collect();
        check_bulk_values(&values)?;
        Ok(values)
    }

    async fn put(&self, key: &str, value: &str, options: KvPut<'_>) -> Result<(), KvError> {
        let _running = self.run();
        self.turn(KvOperation::Put).await;
        let result = self.put_now(key, value, options);
        self.latency().await;
        result
    }

    async fn delete(&self, key: &str) -> Result<(), KvError> {
        let _running = self.run();
        self.turn(KvOperation::Delete).await;
        let result = self.delete_now(key);
        self.latency().await;
        result
    }

    async fn list(
        &self,
        prefix: &str,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<KvListing, KvError> {
        let _running = self.run();
        self.turn(KvOperation::List).await;
        self.latency().await;
        let state = self.begin(KvOperation::List)?;
        check_prefix(prefix)?;
        check_list_limit(limit)?;
        let now = self.clock.now();
        let mut matching = state
            .entries
            .iter()
            .filter(|(name, entry)| name.starts_with(prefix) && entry.is_alive(now))
            .filter(|(name, _)| cursor.is_none_or(|cursor| name.as_str() > cursor));
        let page: Vec<_> = matching.by_ref().take(limit).collect();
        // KV's cursor is the end of the page, too.
        let cursor = matching.next().and_then(|_| page.last().map(|(name, _)| name.as_str()));
        let keys: Vec<Value> = page
            .iter()
            .map(|(name, entry)| json!({"name": name, "metadata": entry.written.metadata}))
            .collect();
        let response = json!({"keys": keys, "list_complete": cursor.is_none(), "cursor": cursor});
        Ok(KvListing::from_json(response.to_string().into_bytes()))
    }
}
