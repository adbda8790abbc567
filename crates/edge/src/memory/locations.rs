//! A KV namespace as the locations of Workers see it, by KV's documented worst case.
//!
//! - `list` results and `get` results, misses included, may be [`KvBehavior::max_lag_millis`] old. A location
//!   usually, not always, sees its own writes at once.
//! - A key accepts one write per second; a daily quota limits each operation.
//! - An operation fails before or after it took effect, responds late, or takes effect long after its caller has
//!   given up: then also after a later write to the same key.
//!
//! <https://developers.cloudflare.com/kv/concepts/how-kv-works/>,
//! <https://developers.cloudflare.com/kv/platform/limits/>

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use chrono::{DateTime, Duration, DurationRound, Utc};
use serde_json::{Value, json};

use super::{Simulation, kv::Written};
use crate::{
    Clock, KvError, KvErrorKind, KvListing, KvNamespace, KvOperation, KvPut,
    kv::rules::{
        check_bulk, check_bulk_values, check_key, check_list_limit, check_prefix, check_ttl,
        check_value, parse_metadata,
    },
};

opaque_debug!(KvLocation, MemoryKvLocations);

/// How a [`MemoryKvLocations`] behaves. Probabilities are per mille, and count only in a namespace whose choices
/// a [`Simulation`] makes.
#[derive(Debug, Clone)]
pub struct KvBehavior {
    /// The age of the oldest result of a read.
    pub max_lag_millis: u32,
    /// Whether a location sees its own writes at once; in a simulation usually, otherwise always.
    pub sees_own_writes: bool,
    /// Whether a second write to a key within a second fails.
    pub limits_writes_per_second: bool,
    /// The operations of each kind in a day, UTC: Cloudflare's free plan has 100,000 reads and 1,000 of each other
    /// kind.
    pub daily_quota: Option<DailyQuota>,
    /// Every operation fails without an effect.
    pub is_down: bool,
    /// An operation fails without an effect.
    pub fails_before: u32,
    /// A write fails after it took effect.
    pub fails_after: u32,
    /// An operation takes longer than the limits of [`TimedKv`](crate::TimedKv).
    pub is_slow: u32,
    /// A write fails or has no response, and takes effect up to [`Self::late_max_millis`] later.
    pub lands_late: u32,
    /// The longest time until a late write takes effect.
    pub late_max_millis: u32,
}

/// The operations of each kind that a day allows.
#[derive(Debug, Clone, Copy)]
pub struct DailyQuota {
    /// `get`
    pub reads: u32,
    /// `put`
    pub writes: u32,
    /// `delete`
    pub deletes: u32,
    /// `list`
    pub lists: u32,
}

impl Default for KvBehavior {
    /// KV that lags and limits writes as documented, and does not fail.
    fn default() -> Self {
        Self {
            max_lag_millis: 60_000,
            sees_own_writes: true,
            limits_writes_per_second: true,
            daily_quota: None,
            is_down: false,
            fails_before: 0,
            fails_after: 0,
            is_slow: 0,
            lands_late: 0,
            late_max_millis: 0,
        }
    }
}

impl KvBehavior {
    /// The worst case without failures: no location sees a write before it must, not even its own.
    #[must_use]
    pub fn worst() -> Self {
        Self { sees_own_writes: false, ..Self::default() }
    }

    /// No lag, no limit, no failure.
    #[must_use]
    pub fn healthy() -> Self {
        Self { max_lag_millis: 0, limits_writes_per_second: false, ..Self::default() }
    }
}

/// One namespace, seen from several locations. Clones are the same namespace.
#[derive(Clone)]
pub struct MemoryKvLocations(Arc<Shared>);

struct Shared {
    clock: Arc<dyn Clock>,
    /// Makes the choices; without it every read is as old as it may be, and nothing fails by chance.
    simulation: Option<Simulation>,
    state: Mutex<State>,
}

struct State {
    behavior: KvBehavior,
    /// The versions of each key, the oldest first.
    keys: BTreeMap<String, Vec<Version>>,
    /// When each key accepted a write last.
    accepted_at: BTreeMap<String, DateTime<Utc>>,
    /// The operations of a day.
    spent: BTreeMap<(i64, u8), u32>,
    operations: Vec<(KvOperation, String)>,
}

/// A value that a key had from a time on.
#[derive(Clone)]
struct Version {
    at: DateTime<Utc>,
    location: usize,
    /// `None` for a deleted key.
    value: Option<(String, Written)>,
    expires_at: Option<DateTime<Utc>>,
}

impl Version {
    fn alive(&self, now: DateTime<Utc>) -> Option<&(String, Written)> {
        self.value.as_ref().filter(|_| self.expires_at.is_none_or(|end| now < end))
    }
}

impl MemoryKvLocations {
    /// An empty namespace that behaves so at every operation: reads are as old as they may be.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, behavior: KvBehavior) -> Self {
        Self::with(clock, None, behavior)
    }

    /// An empty namespace in a simulation, whose seed makes the choices.
    #[must_use]
    pub fn in_simulation(simulation: &Simulation, behavior: KvBehavior) -> Self {
        Self::with(Arc::new(simulation.clone()), Some(simulation.clone()), behavior)
    }

    fn with(clock: Arc<dyn Clock>, simulation: Option<Simulation>, behavior: KvBehavior) -> Self {
        let state = State {
            behavior,
            keys: BTreeMap::new(),
            accepted_at: BTreeMap::new(),
            spent: BTreeMap::new(),
            operations: Vec::new(),
        };
        Self(Arc::new(Shared { clock, simulation, state: Mutex::new(state) }))
    }

    /// The namespace as a location sees it.
    #[must_use]
    pub fn location(&self, number: usize) -> KvLocation {
        KvLocation { kv: self.clone(), number }
    }

    /// Changes how the namespace behaves from now on.
    pub fn behave(&self, behavior: KvBehavior) {
        self.state().behavior = behavior;
    }

    /// How the namespace behaves.
    #[must_use]
    pub fn behavior(&self) -> KvBehavior {
        self.state().behavior.clone()
    }

    /// Every key with its newest value and metadata, without lag.
    #[must_use]
    pub fn entries(&self) -> BTreeMap<String, (String, Written)> {
        let now = self.0.clock.now();
        let state = self.state();
        let newest = state.keys.iter().filter_map(|(key, versions)| {
            Some((key.clone(), versions.last()?.alive(now)?.clone()))
        });
        newest.collect()
    }

    /// The operations since the last call with their keys or prefixes, in order.
    #[must_use]
    pub fn take_operations(&self) -> Vec<(KvOperation, String)> {
        std::mem::take(&mut self.state().operations)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn chance(&self, per_mille: u32, kind: &'static str) -> bool {
        let Some(simulation) = &self.0.simulation else { return false };
        let happens = simulation.chance(per_mille);
        if happens {
            simulation.note_fault(kind);
        }
        happens
    }

    /// The latency of an operation. Only a simulation has one.
    async fn delay(&self) {
        let Some(simulation) = &self.0.simulation else { return };
        let millis = match simulation.within(0..10) {
            0..7 => simulation.within(0..15),
            7..9 => simulation.within(15..300),
            _ => simulation.within(300..2_000),
        };
        simulation.sleep(millis).await;
    }

    /// Counts an operation, and lets it wait or fail without an effect.
    async fn begin(&self, operation: KvOperation, key: &str) -> Result<KvBehavior, KvError> {
        let behavior = self.behavior();
        self.state().operations.push((operation, key.to_owned()));
        self.delay().await;
        let unavailable = |reason| KvError::new(operation, KvErrorKind::Unavailable, reason);
        if behavior.is_down {
            if let Some(simulation) = &self.0.simulation {
                simulation.note_fault("kv: down");
            }
            return Err(unavailable("KV is down"));
        }
        self.spend(operation, &behavior)?;
        if self.chance(behavior.fails_before, "kv: failure before the effect") {
            return Err(unavailable("made to fail"));
        }
        if let Some(simulation) = &self.0.simulation
            && self.chance(behavior.is_slow, "kv: slow response")
        {
            // Longer than KV_READ_MAX_MILLIS, and sometimes than KV_WRITE_MAX_MILLIS.
            simulation.sleep(simulation.within(4_000..20_000)).await;
        }
        Ok(behavior)
    }

    fn spend(&self, operation: KvOperation, behavior: &KvBehavior) -> Result<(), KvError> {
        let Some(quota) = behavior.daily_quota else { return Ok(()) };
        let (kind, limit) = match operation {
            KvOperation::Get => (0, quota.reads),
            KvOperation::Put => (1, quota.writes),
            KvOperation::Delete => (2, quota.deletes),
            KvOperation::List => (3, quota.lists),
        };
        let day = self.0.clock.now().timestamp().div_euclid(86_400);
        let mut state = self.state();
        let spent = state.spent.entry((day, kind)).or_default();
        if *spent < limit {
            *spent += 1;
            return Ok(());
        }
        drop(state);
        if let Some(simulation) = &self.0.simulation {
            simulation.note_fault("kv: quota exceeded");
        }
        Err(KvError::new(operation, KvErrorKind::QuotaExceeded, "limit exceeded for the day"))
    }

    /// Performs a write, or one of its failures.
    async fn write(
        &self,
        location: usize,
        operation: KvOperation,
        key: &str,
        value: Option<(String, Written)>,
    ) -> Result<(), KvError> {
        let behavior = self.begin(operation, key).await?;
        let failed = |kind, reason| Err(KvError::new(operation, kind, reason));
        if behavior.limits_writes_per_second {
            let now = self.0.clock.now();
            let mut state = self.state();
            let last = state.accepted_at.get(key);
            if last.is_some_and(|at| now - *at < Duration::seconds(1)) {
                drop(state);
                if let Some(simulation) = &self.0.simulation {
                    simulation.note_fault("kv: write rate exceeded");
                }
                return failed(KvErrorKind::RateLimited, "429 Too Many Requests");
            }
            state.accepted_at.insert(key.to_owned(), now);
        }
        if let Some(simulation) = &self.0.simulation
            && self.chance(behavior.lands_late, "kv: write lands late")
        {
            let millis = simulation.within(1..behavior.late_max_millis.max(2));
            let (kv, key) = (self.clone(), key.to_owned());
            let clock = simulation.clone();
            simulation.spawn(async move {
                clock.sleep(millis).await;
                clock.trace(|| format!("kv: late {operation} of {key} takes effect"));
                kv.apply(location, &key, value);
            });
            if simulation.chance(500) {
                simulation.sleep(60_000).await;
            }
            return failed(KvErrorKind::Unavailable, "made to fail, with a late effect");
        }
        self.apply(location, key, value);
        if self.chance(behavior.fails_after, "kv: failure after the effect") {
            return failed(KvErrorKind::Unavailable, "made to fail after the effect");
        }
        Ok(())
    }

    fn apply(&self, location: usize, key: &str, value: Option<(String, Written)>) {
        let now = self.0.clock.now();
        let ttl_secs = value.as_ref().and_then(|(_, written)| written.expiration_ttl_secs);
        // KV keeps the end of a key in whole seconds.
        let expires_at = ttl_secs.and_then(|secs| {
            let now = now.duration_trunc(Duration::seconds(1)).ok()?;
            now.checked_add_signed(Duration::seconds(i64::try_from(secs).ok()?))
        });
        let mut state = self.state();
        let versions = state.keys.entry(key.to_owned()).or_default();
        versions.push(Version { at: now, location, value, expires_at });
    }

    /// The value that a location's read returns now.
    fn read(&self, state: &State, location: usize, key: &str) -> Option<(String, Written)> {
        let versions = state.keys.get(key)?;
        let now = self.0.clock.now();
        let max_lag = state.behavior.max_lag_millis;
        let (lag, sees_own) = match &self.0.simulation {
            // Mostly either fresh or as old as possible.
            Some(simulation) => {
                let lag = match simulation.within(0..4) {
                    0 => 0,
                    1 => max_lag,
                    _ => simulation.within(0..max_lag + 1),
                };
                (lag, state.behavior.sees_own_writes && !simulation.chance(100))
            }
            None => (max_lag, state.behavior.sees_own_writes),
        };
        let seen_until = now - Duration::milliseconds(lag.into());
        let is_seen = |version: &&Version| {
            version.at <= seen_until || (sees_own && version.location == location)
        };
        versions.iter().rev().find(is_seen)?.alive(now).cloned()
    }
}

/// A KV namespace as one location sees it.
#[derive(Clone)]
pub struct KvLocation {
    kv: MemoryKvLocations,
    number: usize,
}

#[async_trait]
impl KvNamespace for KvLocation {
    async fn get(&self, key: &str) -> Result<Option<String>, KvError> {
        check_key(KvOperation::Get, key)?;
        self.kv.begin(KvOperation::Get, key).await?;
        let value = self.kv.read(&self.kv.state(), self.number, key);
        Ok(value.map(|(value, _)| value))
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<String>>, KvError> {
        check_bulk(keys)?;
        self.kv.begin(KvOperation::Get, &keys.join(" ")).await?;
        let state = self.kv.state();
        let read = |key: &String| self.kv.read(&state, self.number, key).map(|(value, _)| value);
        let values: Vec<_> = keys.iter().map(read).collect();
        check_bulk_values(&values)?;
        Ok(values)
    }

    async fn put(&self, key: &str, value: &str, options: KvPut<'_>) -> Result<(), KvError> {
        check_key(KvOperation::Put, key)?;
        check_value(value)?;
        let metadata = options.metadata.map(parse_metadata).transpose()?;
        options.expiration_ttl_secs.map_or(Ok(()), check_ttl)?;
        let written = Written { metadata, expiration_ttl_secs: options.expiration_ttl_secs };
        let value = Some((value.to_owned(), written));
        self.kv.write(self.number, KvOperation::Put, key, value).await
    }

    async fn delete(&self, key: &str) -> Result<(), KvError> {
        check_key(KvOperation::Delete, key)?;
        self.kv.write(self.number, KvOperation::Delete, key, None).await
    }

    async fn list(
        &self,
        prefix: &str,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<KvListing, KvError> {
        check_prefix(prefix)?;
        check_list_limit(limit)?;
        self.kv.begin(KvOperation::List, prefix).await?;
        let state = self.kv.state();
        let from = state.keys.range(prefix.to_owned()..);
        let mut listed = from
            .take_while(|(key, _)| key.starts_with(prefix))
            .filter(|(key, _)| cursor.is_none_or(|cursor| key.as_str() > cursor))
            .filter_map(|(key, _)| Some((key, self.kv.read(&state, self.number, key)?.1)));
        let page: Vec<_> = listed.by_ref().take(limit).collect();
        let cursor = listed.next().and_then(|_| page.last().map(|(key, _)| key.as_str()));
        let keys: Vec<Value> = page
            .iter()
            .map(|(key, written)| json!({"name": key, "metadata": written.metadata}))
            .collect();
        let response = json!({"keys": keys, "list_complete": cursor.is_none(), "cursor": cursor});
        Ok(KvListing::from_json(response.to_string().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{TimedKv, memory::ManualClock};

    fn two_locations(behavior: KvBehavior) -> (Arc<ManualClock>, KvLocation, KvLocation) {
        let clock = Arc::new(ManualClock::default());
        let kv = MemoryKvLocations::new(Arc::clone(&clock) as _, behavior);
        (clock, kv.location(0), kv.location(1))
    }

    async fn names(kv: &KvLocation) -> Vec<String> {
        let listing = kv.list("", 10, None).await.unwrap();
        let page = listing.page::<Value>().unwrap();
        page.keys.into_iter().map(|key| key.name.into_owned()).collect()
    }

    #[tokio::test]
    async fn other_location_sees_a_write_after_a_minute() {
        let (clock, here, there) = two_locations(KvBehavior::default());
        here.put("key", "value", KvPut::default()).await.unwrap();
        assert_eq!(here.get("key").await.unwrap().as_deref(), Some("value"));
        assert_eq!((there.get("key").await.unwrap(), names(&there).await), (None, vec![]));
        clock.advance(Duration::seconds(60));
        assert_eq!(there.get("key").await.unwrap().as_deref(), Some("value"));
        there.delete("key").await.unwrap();
        assert_eq!((names(&there).await, names(&here).await), (vec![], vec!["key".to_owned()]));
    }

    #[tokio::test]
    async fn writer_misses_its_own_write_in_the_worst_case() {
        let (_, here, _) = two_locations(KvBehavior::worst());
        here.put("key", "value", KvPut::default()).await.unwrap();
        assert_eq!(here.get("key").await.unwrap(), None);
    }

    #[tokio::test]
    async fn second_write_within_a_second_fails() {
        let (clock, here, there) = two_locations(KvBehavior::default());
        here.put("key", "1", KvPut::default()).await.unwrap();
        let error = there.put("key", "2", KvPut::default()).await.unwrap_err();
        assert_eq!(error.kind, KvErrorKind::RateLimited);
        clock.advance(Duration::seconds(1));
        there.put("key", "3", KvPut::default()).await.unwrap();
    }

    #[tokio::test]
    async fn spent_quota_fails_until_midnight() {
        let quota = DailyQuota { reads: 9, writes: 1, deletes: 9, lists: 9 };
        let behavior = KvBehavior { daily_quota: Some(quota), ..KvBehavior::healthy() };
        let (clock, here, _) = two_locations(behavior);
        here.put("key", "1", KvPut::default()).await.unwrap();
        let error = here.put("other", "2", KvPut::default()).await.unwrap_err();
        assert_eq!(error.kind, KvErrorKind::QuotaExceeded);
        clock.advance(Duration::hours(12));
        here.put("other", "2", KvPut::default()).await.unwrap();
    }

    #[test]
    fn late_write_lands_after_a_later_one() {
        let simulation = Simulation::new(1);
        let inner = simulation.clone();
        let end = simulation.run(1_000, async move {
            let late =
                KvBehavior { lands_late: 1000, late_max_millis: 300_000, ..KvBehavior::healthy() };
            let kv = MemoryKvLocations::in_simulation(&inner, late);
            let timed = TimedKv::new(Arc::new(kv.location(0)), Arc::new(inner.clone()));
            timed.put("key", "first", KvPut::default()).await.unwrap_err();
            kv.behave(KvBehavior::healthy());
            timed.put("key", "second", KvPut::default()).await.unwrap();
            let value = || kv.entries().get("key").map(|(value, _)| value.clone());
            let before = value();
            inner.sleep(300_000).await;
            (before, value())
        });
        let values = |before: &str, after: &str| (Some(before.to_owned()), Some(after.to_owned()));
        assert_eq!(end, Ok(values("second", "first")));
    }
}
