//! Key sets (RFC 7517): which keys may verify a token, where they come from, how long they are kept.
//!
//! A key set is fetched when a token needs it and then kept. A `kid` that it does not have may be a
//! key that is newer than the set, so the set is fetched again, but not more than once in 30
//! seconds: a flood of made-up `kid`s costs WorkOS nothing. While WorkOS cannot be reached the set
//! that was there goes on being used, whatever its age.
//!
//! An issuer that publishes metadata (RFC 8414) has it kept beside its keys, and may be asked for that
//! too. It is never shown when it is old: while WorkOS cannot be reached, nobody could act on it.
//!
//! What was fetched is kept past the isolate in KV, under `authkit:jwks:{client_id}` for sessions and
//! `authkit:connect-jwks:{client_id}` for Connect, so that a new isolate begins with it: sealed
//! `{"base_url", "fetched_at": Unix seconds, "keys": …, "metadata"}`, without an expiry. Before an
//! isolate asks WorkOS it looks whether another has just done so; KV may tell it a minute late, so over
//! many isolates it is once in 30 seconds each at the worst.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Duration, Utc};
use futures_util::FutureExt;
use jwt_compact::{
    alg::{RsaPublicKey, StrongKey},
    jwk::JsonWebKey,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use super::{
    seal::Sealer,
    workos::{JwkSet, WorkosClient, WorkosError},
};
use edge_host::{Clock, KvNamespace, KvPut, WaitUntil};

/// How long a key set is used before it is asked for again. A key that WorkOS retires stops
/// working here within this time.
const TTL_SECS: i64 = 60 * 60;
/// Least time between two requests for a key set.
const COOL_DOWN_SECS: i64 = 30;
/// How often a request looks for the result of another's fetch.
const WAIT_STEP_MILLIS: u32 = 20;
/// After this long whoever was fetching is gone: its request was cancelled. (Or its issuer is very
/// slow; then the next one asks too.)
const FETCH_MAX_SECS: i64 = 15;

/// Where a key set comes from.
#[async_trait]
pub trait KeySource: Send + Sync {
    /// Whose keys these are: what was kept of another's, an emulator's for one, is not believed.
    fn base_url(&self) -> &str;

    /// What the issuer publishes now.
    async fn fetch(&self) -> Result<Published, WorkosError>;
}

#[async_trait]
impl KeySource for WorkosClient {
    fn base_url(&self) -> &str {
        WorkosClient::base_url(self)
    }

    async fn fetch(&self) -> Result<Published, WorkosError> {
        Ok(Published { keys: self.session_keys().await?, metadata: None })
    }
}

/// What an issuer publishes.
#[derive(Debug, Clone)]
pub struct Published {
    /// Its key set.
    pub keys: JwkSet,
    /// Its metadata, as it is written; `None` for an issuer without.
    pub metadata: Option<String>,
}

/// A key set as it lies in KV.
#[derive(Deserialize, Serialize)]
struct KeySetRecord {
    base_url: String,
    /// Unix seconds.
    fetched_at: i64,
    keys: JwkSet,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    metadata: Option<String>,
}

/// The keys of a set that may verify RS256 signatures.
#[derive(Debug)]
pub struct KeySet {
    keys: Vec<(String, StrongKey<RsaPublicKey>)>,
}

/// The members of an RSA key (RFC 7517, section 4, and RFC 7518, section 6.3.1).
#[derive(Deserialize)]
struct RsaJwk {
    kty: String,
    kid: String,
    n: String,
    e: String,
    alg: Option<String>,
    #[serde(rename = "use")]
    public_key_use: Option<String>,
    key_ops: Option<Vec<String>>,
}

impl From<JwkSet> for KeySet {
    fn from(set: JwkSet) -> Self {
        Self { keys: set.keys.iter().filter_map(verification_key).collect() }
    }
}

/// The key, if it is an RSA key of a sound size that is meant to verify RS256 signatures.
fn verification_key(jwk: &Value) -> Option<(String, StrongKey<RsaPublicKey>)> {
    let jwk = RsaJwk::deserialize(jwk).ok()?;
    let is_for_rs256 = jwk.kty == "RSA"
        && jwk.alg.is_none_or(|alg| alg == "RS256")
        && jwk.public_key_use.is_none_or(|public_key_use| public_key_use == "sig")
        && jwk.key_ops.is_none_or(|ops| ops.iter().any(|op| op == "verify"));
    if !is_for_rs256 || jwk.kid.is_empty() {
        return None;
    }
    let key = RsaPublicKey::try_from(&JsonWebKey::Rsa {
        modulus: URL_SAFE_NO_PAD.decode(jwk.n).ok()?.into(),
        public_exponent: URL_SAFE_NO_PAD.decode(jwk.e).ok()?.into(),
        private_parts: None,
    })
    .ok()?;
    Some((jwk.kid, StrongKey::try_from(key).ok()?))
}

impl KeySet {
    /// The key called `kid`. Two keys of one name are none: which one signed could not be told.
    #[must_use]
    pub fn find(&self, kid: &str) -> Option<&StrongKey<RsaPublicKey>> {
        let mut matching = self.keys.iter().filter(|(name, _)| name == kid);
        let (_, key) = matching.next()?;
        matching.next().is_none().then_some(key)
    }
}

/// Why there is no key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeyError {
    /// The set was fetched and has no such key.
    #[error("no key of that name")]
    Unknown,
    /// Whether there is such a key could not be told.
    #[error(transparent)]
    Unavailable(WorkosError),
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
    /// The newest there is.
    known: Option<Known>,
    /// When a set was last asked for, with the failure if it has failed.
    last_fetch: Option<(DateTime<Utc>, Option<WorkosError>)>,
    /// When the fetch that is under way began.
    fetching_since: Option<DateTime<Utc>>,
}

/// What an issuer has published.
#[derive(Clone)]
struct Known {
    set: Arc<KeySet>,
    metadata: Option<Arc<str>>,
    fetched_at: DateTime<Utc>,
}

/// What a request needs of an issuer.
#[derive(Clone, Copy)]
enum Wanted<'a> {
    /// The key of this name; while there is no newer set, one of any age may have it.
    Key(&'a str),
    /// The metadata, of now.
    Metadata,
}

/// What a look at the cache tells a request to do.
enum Step {
    Use(Known),
    Fail(KeyError),
    Wait,
    Fetch,
}

impl KeySetCache {
    /// An empty cache; the set is fetched when the first token needs it, and kept in `kv` under
    /// `kv_key`.
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

    /// A key set that has the key `kid`.
    ///
    /// # Errors
    ///
    /// [`KeyError::Unknown`] when WorkOS's set, asked for at most 30 seconds ago, has no such key;
    /// [`KeyError::Unavailable`] when WorkOS could not be asked and no kept set has it.
    pub async fn set_with(
        self: &Arc<Self>,
        kid: &str,
        wait_until: &WaitUntil,
    ) -> Result<Arc<KeySet>, KeyError> {
        Ok(self.known(Wanted::Key(kid), wait_until).await?.set)
    }

    /// The issuer's metadata, at most an hour old.
    ///
    /// # Errors
    ///
    /// [`KeyError::Unavailable`]; [`KeyError::Unknown`] for an issuer without metadata.
    pub async fn metadata(self: &Arc<Self>, wait_until: &WaitUntil) -> Result<Arc<str>, KeyError> {
        self.known(Wanted::Metadata, wait_until).await?.metadata.ok_or(KeyError::Unknown)
    }

    async fn known(
        self: &Arc<Self>,
        wanted: Wanted<'_>,
        wait_until: &WaitUntil,
    ) -> Result<Known, KeyError> {
        // Ends: a fetch finds a newer set in KV or is followed by a cool-down, in which no step is
        // `Fetch` or `Wait`.
        loop {
            match self.next_step(wanted) {
                Step::Use(known) => return Ok(known),
                Step::Fail(error) => return Err(error),
                Step::Fetch => {
                    // Goes on when whoever began it goes away: others wait for it.
                    let fetch = Arc::clone(self).fetch().boxed().shared();
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
        let usable = state.known.as_ref().filter(|known| match wanted {
            Wanted::Key(kid) => known.set.find(kid).is_some(),
            Wanted::Metadata => true,
        });
        let may_be_old = matches!(wanted, Wanted::Key(_)) && (is_fetching || is_cooling_down);
        if let Some(known) = usable
            && (is_within(known.fetched_at, TTL_SECS, now) || may_be_old)
        {
            return Step::Use(known.clone());
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

    /// Gets a newer set, from whoever in this Worker has just fetched one, or from its source.
    async fn fetch(self: Arc<Self>) {
        if let Some((published, fetched_at)) = self.kept().await {
            let mut state = self.state();
            if state.known.as_ref().is_none_or(|ours| ours.fetched_at < fetched_at) {
                state.known = Some(Known::new(published, fetched_at));
                // The set may answer the question; if it does not and is old, WorkOS will be asked.
                state.last_fetch = Some((fetched_at, None));
                state.fetching_since = None;
                return;
            }
        }
        let fetched = self.source.fetch().await;
        let now = self.clock.now();
        match fetched {
            Ok(published) => {
                // Known here before it is kept: nobody waits for KV.
                self.finish_fetch(Some(published.clone()), None, now);
                self.keep(published, now).await;
            }
            Err(error) => {
                log::warn!("the key set could not be fetched: {error}");
                self.finish_fetch(None, Some(error), now);
            }
        }
    }

    fn finish_fetch(
        &self,
        published: Option<Published>,
        failure: Option<WorkosError>,
        now: DateTime<Utc>,
    ) {
        let mut state = self.state();
        if let Some(published) = published {
            state.known = Some(Known::new(published, now));
        }
        state.last_fetch = Some((now, failure));
        state.fetching_since = None;
    }

    /// The set in KV. That there is none, or that it cannot be read, only costs a request.
    async fn kept(&self) -> Option<(Published, DateTime<Utc>)> {
        let sealed = match self.kv.get(&self.kv_key).await {
            Ok(sealed) => sealed?,
            Err(error) => {
                log::warn!("the kept key set cannot be looked up: {error}");
                return None;
            }
        };
        let opened = self.sealer.open(&sealed).ok()?;
        let record: KeySetRecord = serde_json::from_slice(&opened.plaintext).ok()?;
        if record.base_url != self.source.base_url() {
            return None;
        }
        let published = Published { keys: record.keys, metadata: record.metadata };
        Some((published, DateTime::from_timestamp(record.fetched_at, 0)?))
    }

    async fn keep(&self, published: Published, now: DateTime<Utc>) {
        let record = KeySetRecord {
            base_url: self.source.base_url().to_owned(),
            fetched_at: now.timestamp(),
            keys: published.keys,
            metadata: published.metadata,
        };
        let sealed = self.sealer.seal(&serde_json::to_vec(&record).unwrap_or_default());
        if let Err(error) = self.kv.put(&self.kv_key, &sealed, KvPut::default()).await {
            log::warn!("the key set cannot be kept: {error}");
        }
    }

    /// A panic cannot leave the state half-written: nothing in here runs foreign code.
    fn state(&self) -> MutexGuard<'_, CacheState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_within(since: DateTime<Utc>, secs: i64, now: DateTime<Utc>) -> bool {
    now - since < Duration::seconds(secs)
}

impl Known {
    fn new(published: Published, fetched_at: DateTime<Utc>) -> Self {
        let Published { keys, metadata } = published;
        Self { set: Arc::new(keys.into()), metadata: metadata.map(Arc::from), fetched_at }
    }
}

#[cfg(test)]
mod tests;
