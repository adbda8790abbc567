//! Key sets (RFC 7517): selects the keys that may verify a token, fetches them from their issuer, and caches
//! them.
//!
//! The first token that needs a key set causes its fetch. A `kid` that is missing from the cached set may
//! belong to a newer key, so the set is fetched again, but at most once in 30 seconds: a flood of invented
//! `kid`s causes no flood of requests to WorkOS. While WorkOS is unavailable, the cached set stays in use at
//! any age.
//!
//! The metadata of an issuer (RFC 8414) is fetched and cached with its key set. Metadata expires even while
//! WorkOS is unavailable, because clients cannot use it then.
//!
//! KV stores the fetched set and metadata beyond the isolate, so that a new isolate does not fetch them:
//!
//! | key | value | lives |
//! | --- | --- | --- |
//! | `authkit:jwks:{client_id}`, for sessions | sealed `{"base_url", "fetched_at": Unix seconds, "keys", "metadata"}` | without expiry |
//! | `authkit:connect-jwks:{client_id}`, for Connect | the same | without expiry |
//!
//! An isolate reads KV before it sends a request to WorkOS, because another isolate may have fetched the set. A
//! read of KV may be a minute old, so in the worst case every isolate fetches the set once in 30 seconds.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Duration, Utc};
use futures_util::{FutureExt, future::BoxFuture};
use serde::Serialize;
use serde_json::Value;
use thiserror::Error;

use crate::{
    events::AuthKitEvent,
    outage::Outage,
    seal::Sealer,
    workos::{JwkSet, WorkosClient},
};
use edge_host::{
    Cause, Clock, Emit as _, HTTP_MAX_MILLIS, KV_READ_MAX_MILLIS, KvNamespace, KvPut, RsaPublicKey,
    WaitUntil,
};

edge_host::opaque_debug!(KeySetCache);

/// The age at which a key set is fetched again. While WorkOS is available, tokens of a retired key are refused
/// after this time at the latest.
const TTL_SECS: i64 = 60 * 60;
/// The shortest time between two fetches of a key set. A new key of WorkOS is usable after this time.
const COOL_DOWN_SECS: i64 = 30;
/// The interval at which a request checks for the result of another request's fetch.
const WAIT_STEP_MILLIS: u32 = 20;
/// The time after which a fetch without a result counts as cancelled, so that the next request fetches too. The
/// fetch of the session keys takes a read of KV and one request. Connect's takes up to three requests; if they
/// are slow, two fetches overlap.
const FETCH_MAX_SECS: i64 = 15;
const _: () = assert!((KV_READ_MAX_MILLIS + HTTP_MAX_MILLIS) as i64 <= FETCH_MAX_SECS * 1000);

/// Fetches the key set of one issuer.
#[async_trait]
pub trait KeySource: Send + Sync {
    /// Its name in events.
    fn name(&self) -> &'static str;

    /// The issuer's URL. A stored set of another URL, such as an emulator's, is ignored.
    fn base_url(&self) -> &str;

    /// Fetches the key set, and the metadata of an issuer that publishes it.
    async fn fetch(&self) -> Result<Published, Outage>;
}

#[async_trait]
impl KeySource for WorkosClient {
    fn name(&self) -> &'static str {
        "session"
    }

    fn base_url(&self) -> &str {
        WorkosClient::base_url(self)
    }

    async fn fetch(&self) -> Result<Published, Outage> {
        Ok(Published { keys: self.session_keys().await?, metadata: None })
    }
}

/// The documents that an issuer publishes.
#[derive(Debug, Clone)]
pub struct Published {
    /// The key set.
    pub keys: JwkSet,
    /// The metadata, byte for byte; `None` for an issuer without metadata.
    pub metadata: Option<String>,
}

impl Published {
    /// Whether a key of the set can verify signatures. An issuer that publishes none has an outage.
    fn is_usable(&self) -> bool {
        self.keys.keys.iter().any(|key| verification_key(key).is_some())
    }
}

/// The record in KV.
#[derive(Serialize)]
struct KeySetRecord {
    base_url: String,
    /// Unix seconds.
    fetched_at: i64,
    keys: JwkSet,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<String>,
}

/// The keys of a JWK set that may verify RS256 signatures.
#[derive(Debug)]
pub struct KeySet {
    keys: Vec<(String, RsaPublicKey)>,
}

impl From<JwkSet> for KeySet {
    fn from(set: JwkSet) -> Self {
        Self { keys: set.keys.iter().filter_map(verification_key).collect() }
    }
}

/// The key and its `kid`, if it is an RSA key of a secure size for RS256 signatures (RFC 7517, section 4, and
/// RFC 7518, section 6.3.1).
fn verification_key(jwk: &Value) -> Option<(String, RsaPublicKey)> {
    // A member of another type makes the key unusable.
    let optional = |name: &str| match jwk.get(name) {
        None | Some(Value::Null) => Some(None),
        Some(member) => member.as_str().map(Some),
    };
    let required = |name: &str| optional(name)?;
    let may_verify = match jwk.get("key_ops") {
        None | Some(Value::Null) => true,
        Some(operations) => {
            let operations: Option<Vec<&str>> =
                operations.as_array()?.iter().map(Value::as_str).collect();
            operations?.contains(&"verify")
        }
    };
    let (key_type, kid) = (required("kty")?, required("kid")?);
    let is_for_rs256 = key_type == "RSA"
        && optional("alg")?.is_none_or(|alg| alg == "RS256")
        && optional("use")?.is_none_or(|public_key_use| public_key_use == "sig")
        && may_verify;
    if !is_for_rs256 || kid.is_empty() {
        return None;
    }
    let number = |name| URL_SAFE_NO_PAD.decode(required(name)?).ok();
    Some((kid.to_owned(), RsaPublicKey::new(&number("n")?, &number("e")?).ok()?))
}

impl KeySet {
    /// The key with this `kid`. `None` if two keys have it, because it does not identify one of them.
    #[must_use]
    pub fn find(&self, kid: &str) -> Option<&RsaPublicKey> {
        let mut matching = self.keys.iter().filter(|(name, _)| name == kid);
        let (_, key) = matching.next()?;
        matching.next().is_none().then_some(key)
    }
}

/// Why a key set lookup failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeyError {
    /// The issuer's current set has no such key, or the issuer has no metadata.
    #[error("the issuer publishes no such key or metadata")]
    Unknown,
    /// The issuer is unavailable, and no cached set has the key.
    #[error(transparent)]
    Unavailable(Outage),
}

/// The key set of one issuer, shared by every request of an isolate.
pub struct KeySetCache {
    source: Box<dyn KeySource>,
    kv: Arc<dyn KvNamespace>,
    kv_key: String,
    sealer: Sealer,
    clock: Arc<dyn Clock>,
    state: Mutex<CacheState>,
}

#[derive(Default)]
struct CacheState {
    /// The newest set that this isolate has seen.
    cached: Option<CachedSet>,
    /// The time of the last fetch, and its error.
    last_fetch: Option<(DateTime<Utc>, Option<Outage>)>,
    /// The start of the fetch that is under way.
    fetching_since: Option<DateTime<Utc>>,
}

/// A fetched key set and metadata.
#[derive(Clone)]
struct CachedSet {
    set: Arc<KeySet>,
    metadata: Option<Arc<str>>,
    fetched_at: DateTime<Utc>,
}

/// The document that a request needs.
#[derive(Clone, Copy)]
enum Wanted<'a> {
    /// The key with this `kid`. A set of any age serves while a newer one is unavailable.
    Key(&'a str),
    /// Metadata that has not expired.
    Metadata,
}

/// A request's next step, by the state of the cache.
enum Step {
    Use(CachedSet),
    Fail(KeyError),
    Wait,
    Fetch,
}

impl KeySetCache {
    /// An empty cache. The first token that needs the set causes its fetch, and `kv` stores it under `kv_key`.
    #[must_use]
    pub fn new(
        source: Box<dyn KeySource>,
        kv: Arc<dyn KvNamespace>,
        kv_key: String,
        sealer: Sealer,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { source, kv, kv_key, sealer, clock, state: Mutex::default() }
    }

    /// A key set that contains the key `kid`.
    ///
    /// # Errors
    ///
    /// [`KeyError::Unknown`] if the issuer's set, fetched at most 30 seconds ago, has no such key;
    /// [`KeyError::Unavailable`] if the issuer is unavailable and the cached set has no such key.
    pub async fn set_with(
        self: &Arc<Self>,
        kid: &str,
        wait_until: &WaitUntil,
    ) -> Result<Arc<KeySet>, KeyError> {
        Ok(self.cached(Wanted::Key(kid), wait_until).await?.set)
    }

    /// The issuer's metadata, at most an hour old.
    ///
    /// # Errors
    ///
    /// [`KeyError::Unavailable`]; [`KeyError::Unknown`] for an issuer without metadata.
    pub async fn metadata(self: &Arc<Self>, wait_until: &WaitUntil) -> Result<Arc<str>, KeyError> {
        self.cached(Wanted::Metadata, wait_until).await?.metadata.ok_or(KeyError::Unknown)
    }

    async fn cached(
        self: &Arc<Self>,
        wanted: Wanted<'_>,
        wait_until: &WaitUntil,
    ) -> Result<CachedSet, KeyError> {
        // The loop ends: each fetch either finds a newer set in KV or begins a cool-down, during which
        // `next_step` returns `Use` or `Fail`.
        loop {
            match self.next_step(wanted) {
                Step::Use(cached) => return Ok(cached),
                Step::Fail(error) => return Err(error),
                Step::Fetch => {
                    // Other requests wait for the fetch, so it continues when this client disconnects.
                    let fetch = Arc::clone(self).fetch(wait_until.clone()).boxed().shared();
                    wait_until.keep_alive(fetch.clone());
                    fetch.await;
                }
                Step::Wait => self.clock.sleep(WAIT_STEP_MILLIS).await,
            }
        }
    }

    fn next_step(&self, wanted: Wanted<'_>) -> Step {
        let now = self.clock.now();
        let mut state = self.state();
        let is_fetching =
            state.fetching_since.is_some_and(|since| is_within(since, FETCH_MAX_SECS, now));
        let is_cooling_down =
            state.last_fetch.as_ref().is_some_and(|(at, _)| is_within(*at, COOL_DOWN_SECS, now));
        let usable = state.cached.as_ref().filter(|cached| match wanted {
            Wanted::Key(kid) => cached.set.find(kid).is_some(),
            Wanted::Metadata => true,
        });
        let accepts_old = matches!(wanted, Wanted::Key(_)) && (is_fetching || is_cooling_down);
        if let Some(cached) = usable
            && (is_within(cached.fetched_at, TTL_SECS, now) || accepts_old)
        {
            return Step::Use(cached.clone());
        }
        if is_fetching {
            return Step::Wait;
        }
        if is_cooling_down {
            let failure = state.last_fetch.as_ref().and_then(|(_, failure)| failure.clone());
            return Step::Fail(failure.map_or(KeyError::Unknown, KeyError::Unavailable));
        }
        state.fetching_since = Some(now);
        Step::Fetch
    }

    /// Gets a newer set from KV, where another isolate may have stored one, or from the issuer.
    async fn fetch(self: Arc<Self>, wait_until: WaitUntil) {
        if let Some((published, fetched_at)) = self.read_stored().await {
            let mut state = self.state();
            if state.cached.as_ref().is_none_or(|cached| cached.fetched_at < fetched_at) {
                state.cached = Some(CachedSet::new(published, fetched_at));
                // If this set lacks the key and is old, the next step fetches again.
                state.last_fetch = Some((fetched_at, None));
                state.fetching_since = None;
                return;
            }
        }
        self.fetch_from_source(wait_until).await;
    }

    /// Gets a set from the issuer, and stores it. In a box: KV nearly always has one.
    fn fetch_from_source(self: Arc<Self>, wait_until: WaitUntil) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let fetched =
                self.source.fetch().await.and_then(|published| match published.is_usable() {
                    true => Ok(published),
                    false => Err(Outage::new("the key set has no usable key")),
                });
            let now = self.clock.now();
            match fetched {
                Ok(published) => {
                    // Requests need the isolate's copy; KV's is for other isolates, and no request waits for its write.
                    self.finish_fetch(Some(published.clone()), None, now);
                    wait_until.finish(async move { self.store(published, now).await }).await;
                }
                Err(error) => {
                    let issuer = self.source.name();
                    AuthKitEvent::KeysNotFetched { issuer, cause: Cause(&error) }.emit();
                    self.finish_fetch(None, Some(error), now);
                }
            }
        })
    }

    fn finish_fetch(
        &self,
        published: Option<Published>,
        failure: Option<Outage>,
        now: DateTime<Utc>,
    ) {
        let mut state = self.state();
        if let Some(published) = published {
            let cached = CachedSet::new(published, now);
            let keys = u32::try_from(cached.set.keys.len()).unwrap_or(u32::MAX);
            AuthKitEvent::KeysFetched { issuer: self.source.name(), keys }.emit();
            state.cached = Some(cached);
        }
        state.last_fetch = Some((now, failure));
        state.fetching_since = None;
    }

    /// The set in KV. `None` if KV has no readable set, which costs a request to the issuer.
    async fn read_stored(&self) -> Option<(Published, DateTime<Utc>)> {
        let sealed = match self.kv.get(&self.kv_key).await {
            Ok(sealed) => sealed?,
            Err(error) => {
                let issuer = self.source.name();
                AuthKitEvent::KeysNotRead { issuer, cause: Cause(&error) }.emit();
                return None;
            }
        };
        let opened = self.sealer.open(&sealed).ok()?;
        let mut record: Value = serde_json::from_slice(&opened.plaintext).ok()?;
        if record.get("base_url")?.as_str()? != self.source.base_url() {
            return None;
        }
        let metadata = record.get("metadata").and_then(Value::as_str).map(str::to_owned);
        let keys = JwkSet::of(record.get_mut("keys")?.take())?;
        let fetched_at = DateTime::from_timestamp(record.get("fetched_at")?.as_i64()?, 0)?;
        Some((Published { keys, metadata }, fetched_at))
            .filter(|(published, _)| published.is_usable())
    }

    async fn store(&self, published: Published, now: DateTime<Utc>) {
        let record = KeySetRecord {
            base_url: self.source.base_url().to_owned(),
            fetched_at: now.timestamp(),
            keys: published.keys,
            metadata: published.metadata,
        };
        let sealed = self.sealer.seal(edge_host::json::write(&record).as_bytes());
        if let Err(error) = self.kv.put(&self.kv_key, &sealed, KvPut::default()).await {
            let issuer = self.source.name();
            AuthKitEvent::KeysNotStored { issuer, cause: Cause(&error) }.emit();
        }
    }

    /// Ignores poisoning: the code under the lock cannot panic halfway through a change of the state.
    fn state(&self) -> MutexGuard<'_, CacheState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_within(since: DateTime<Utc>, secs: i64, now: DateTime<Utc>) -> bool {
    now - since < Duration::seconds(secs)
}

impl CachedSet {
    fn new(published: Published, fetched_at: DateTime<Utc>) -> Self {
        let Published { keys, metadata } = published;
        Self { set: Arc::new(keys.into()), metadata: metadata.map(Arc::from), fetched_at }
    }
}

#[cfg(test)]
mod tests;
