//! API keys as credentials, with `WORKOS_API_KEYS=on`: `Authorization: Bearer sk_…`.
//!
//! WorkOS decides whether a key is valid, and who owns it. An isolate keeps the result under a keyed hash of the key
//! and never the key: an accepted key for 60 seconds, a refused one for 10. So a revoked key works for up to 60 seconds
//! more. Concurrent requests with one key share one check.
//!
//! A check costs a request to WorkOS, so the limit of the client's address counts it first. Refused keys have a memory
//! of their own: however many a client invents, they evict no accepted key.
//!
//! While WorkOS is unavailable nothing is known of a key: 503, never 401.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Duration, Utc};
use edge_host::{Clock, HTTP_MAX_MILLIS};

pub use crate::workos::api_keys::{ApiKey, ApiKeyOwner};
use crate::{
    outage::Outage, rate_limiter::RateLimiter, rejection::Rejection, seal::ApiKeyHasher,
    secret::Secret, workos::WorkosClient,
};

/// The prefix of WorkOS's keys. No JWT begins with it.
const PREFIX: &str = "sk_";
/// WorkOS's keys have about 60 characters.
const VALUE_MAX_BYTES: usize = 255;

/// How long an isolate relies on an accepted key.
const ACCEPTED_SECS: i64 = 60;
/// How long an isolate relies on a refusal. A key that was just created works after this time at the latest.
const REFUSED_SECS: i64 = 10;
/// How long the requests that waited for a check share its failure.
const UNAVAILABLE_SECS: i64 = 1;
/// The time after which a check without a result counts as cancelled.
const CHECK_MAX_SECS: i64 = 15;
const _: () = assert!(HTTP_MAX_MILLIS as i64 <= CHECK_MAX_SECS * 1000);
/// The interval at which a request looks for the result of another request's check.
const WAIT_STEP_MILLIS: u32 = 20;
/// The most accepted keys in memory, and the most others. A search of so many hashes takes microseconds.
const MAX_KEYS: usize = 1_000;
/// The most of them that one owner, or one address, has: a new one replaces the owner's oldest. So an owner with many
/// keys evicts only their own.
const MAX_KEYS_OF_ONE: usize = 100;

type KeyHash = [u8; 32];

/// The checked keys of one isolate.
pub(crate) struct ApiKeys {
    client: WorkosClient,
    clock: Arc<dyn Clock>,
    hasher: ApiKeyHasher,
    /// `WORKOS_API_KEY`, which authenticates the application to WorkOS and nobody here.
    server_key: Secret,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    /// Accepted keys, by owner.
    accepted: Vec<Entry>,
    /// Refused keys and checks under way, by the address of the client.
    others: Vec<Entry>,
}

struct Entry {
    hash: KeyHash,
    owner: Box<str>,
    verdict: Verdict,
    until: DateTime<Utc>,
}

/// Adds an entry as the newest, and removes those that it replaces.
fn insert(entries: &mut Vec<Entry>, new: Entry, now: DateTime<Utc>) {
    entries.retain(|entry| entry.hash != new.hash && now < entry.until);
    let own = entries.iter().filter(|entry| entry.owner == new.owner).count();
    if own >= MAX_KEYS_OF_ONE
        && let Some(oldest) = entries.iter().position(|entry| entry.owner == new.owner)
    {
        entries.remove(oldest);
    } else if entries.len() >= MAX_KEYS {
        entries.remove(0);
    }
    entries.push(new);
}

#[derive(Clone)]
enum Verdict {
    Accepted(Arc<ApiKey>),
    Refused,
    Unavailable(Outage),
    /// Another request checks the key.
    Pending,
}

/// Why a key authenticates nobody.
#[derive(Debug)]
pub(crate) enum ApiKeyError {
    /// WorkOS does not know the key. `is_counted`: the limit of the client's address has counted the request.
    Refused { is_counted: bool },
    /// WorkOS gave no usable response.
    Unavailable(Outage),
    /// The client's address has sent too many requests.
    Rejected(Rejection),
}

/// The next step of a request, by the memory.
enum Step {
    Known(Verdict),
    Count,
    Check,
}

impl ApiKeys {
    pub fn new(
        client: WorkosClient,
        clock: Arc<dyn Clock>,
        password: &Secret,
        server_key: &Secret,
    ) -> Self {
        Self {
            client,
            clock,
            hasher: ApiKeyHasher::new(password),
            server_key: server_key.clone(),
            memory: Mutex::default(),
        }
    }

    /// The key with this value, and whether WorkOS accepted it for this request. `limit` counts the checks of the
    /// client's `network`. A request without an address, which did not come through Cloudflare, has no limit.
    pub async fn check(
        &self,
        value: &str,
        network: Option<&str>,
        limit: &RateLimiter,
    ) -> Result<(Arc<ApiKey>, bool), ApiKeyError> {
        let mut is_counted = false;
        let mut is_fresh = false;
        if !is_well_formed(value) || self.server_key == Secret::from(value) {
            return Err(ApiKeyError::Refused { is_counted });
        }
        let hash = self.hasher.hash(value);
        let owner = network.unwrap_or_default();
        let verdict = loop {
            match self.next_step(&hash, owner, is_counted) {
                Step::Known(Verdict::Pending) => self.clock.sleep(WAIT_STEP_MILLIS).await,
                Step::Known(verdict) => break verdict,
                Step::Count => {
                    if let Some(network) = network {
                        limit.check(network).await.map_err(ApiKeyError::Rejected)?;
                    }
                    is_counted = true;
                }
                Step::Check => {
                    let verdict = self.ask(value).await;
                    self.remember(hash, owner, &verdict);
                    is_fresh = true;
                    break verdict;
                }
            }
        };
        match verdict {
            Verdict::Accepted(key) => Ok((key, is_fresh)),
            Verdict::Unavailable(outage) => Err(ApiKeyError::Unavailable(outage)),
            Verdict::Refused | Verdict::Pending => Err(ApiKeyError::Refused { is_counted }),
        }
    }

    /// Forgets the key with this id, which its owner has revoked. Other isolates rely on it until a minute has passed.
    pub fn forget(&self, id: &str) {
        let is_other =
            |entry: &Entry| !matches!(&entry.verdict, Verdict::Accepted(key) if key.id == id);
        self.memory().accepted.retain(is_other);
    }

    fn next_step(&self, hash: &KeyHash, address: &str, is_counted: bool) -> Step {
        let now = self.clock.now();
        let mut memory = self.memory();
        let mut entries = memory.accepted.iter().chain(&memory.others);
        if let Some(entry) = entries.find(|entry| entry.hash == *hash && now < entry.until) {
            return Step::Known(entry.verdict.clone());
        }
        if !is_counted {
            return Step::Count;
        }
        let until = now + Duration::seconds(CHECK_MAX_SECS);
        let pending =
            Entry { hash: *hash, owner: address.into(), verdict: Verdict::Pending, until };
        insert(&mut memory.others, pending, now);
        Step::Check
    }

    async fn ask(&self, value: &str) -> Verdict {
        match self.client.validate_api_key(value).await {
            Ok(Some(key)) => Verdict::Accepted(Arc::new(key)),
            Ok(None) => Verdict::Refused,
            // WorkOS refuses a key by a response without one.
            Err(error) => Verdict::Unavailable(error.into_outage()),
        }
    }

    fn remember(&self, hash: KeyHash, address: &str, verdict: &Verdict) {
        let secs = match verdict {
            Verdict::Accepted(_) => ACCEPTED_SECS,
            Verdict::Refused => REFUSED_SECS,
            Verdict::Unavailable(_) | Verdict::Pending => UNAVAILABLE_SECS,
        };
        let now = self.clock.now();
        let owner = match verdict {
            Verdict::Accepted(key) => key.owner.id(),
            _ => address,
        };
        let until = now + Duration::seconds(secs);
        let entry = Entry { hash, owner: owner.into(), verdict: verdict.clone(), until };
        let mut memory = self.memory();
        let Memory { accepted, others } = &mut *memory;
        let (entries, former) = match verdict {
            Verdict::Accepted(_) => (accepted, others),
            _ => (others, accepted),
        };
        former.retain(|entry| entry.hash != hash);
        insert(entries, entry, now);
    }

    /// Ignores poisoning: the code under the lock cannot panic halfway through a change of the entries.
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a bearer token is meant as an API key.
pub(crate) fn is_api_key(token: &str) -> bool {
    token.starts_with(PREFIX)
}

/// Whether WorkOS can have made the key.
fn is_well_formed(value: &str) -> bool {
    value.len() > PREFIX.len()
        && value.len() <= VALUE_MAX_BYTES
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use serde_json::{Value, json};

    use super::*;
    use crate::fixtures::{API_KEY, ScriptedHttp, TestClock, config, json_response, password};
    use edge_host::{
        HttpClientError,
        memory::{ManualClock, MemoryHost, MemoryRateLimit},
    };

    const VALUE: &str = "sk_live_hunter2hunter2";
    const ADDRESS: &str = "192.0.2.7";

    struct World {
        keys: ApiKeys,
        http: Arc<ScriptedHttp>,
        clock: Arc<TestClock>,
        limit: RateLimiter,
    }

    fn key_of(user_id: &str) -> Value {
        json!({"api_key": {
            "id": "api_key_1", "owner": {"type": "user", "id": user_id, "organization_id": "org_1"},
            "permissions": ["expenses:read"],
        }})
    }

    /// WorkOS knows the keys that begin with [`VALUE`].
    fn world() -> World {
        let http = ScriptedHttp::new(|request| {
            let body: Value = serde_json::from_slice(request.body()).unwrap();
            let value = body["value"].as_str().unwrap();
            let known = value.starts_with(VALUE).then(|| key_of("user_ada"));
            Ok(json_response(200, &known.unwrap_or(json!({"api_key": null}))))
        });
        let clock = TestClock::at_noon();
        let client = WorkosClient::new(Arc::clone(&http) as _, Arc::new(config(&[])));
        let server_key = Secret::from(API_KEY);
        let keys = ApiKeys::new(client, Arc::clone(&clock) as _, &password(), &server_key);
        World { keys, http, clock, limit: RateLimiter::default() }
    }

    impl World {
        async fn check(&self, value: &str) -> Result<(Arc<ApiKey>, bool), ApiKeyError> {
            self.keys.check(value, Some(ADDRESS), &self.limit).await
        }

        /// Whether the key is accepted; `None` while that is unknown.
        async fn accepts(&self, value: &str) -> Option<bool> {
            match self.check(value).await {
                Ok(_) => Some(true),
                Err(ApiKeyError::Refused { .. }) => Some(false),
                Err(_) => None,
            }
        }

        fn checks(&self) -> usize {
            self.http.requests().len()
        }

        fn fail(&self) {
            self.http.set_script(|_| Err(HttpClientError::Timeout));
        }

        fn answer(&self, body: Value) {
            self.http.set_script(move |_| Ok(json_response(200, &body)));
        }
    }

    #[tokio::test]
    async fn accepted_key_is_checked_once_a_minute() {
        let world = world();
        let (key, is_fresh) = world.check(VALUE).await.unwrap();
        assert_eq!((key.owner.id(), is_fresh), ("user_ada", true));
        world.clock.advance(Duration::milliseconds(59_999));
        let (_, is_fresh) = world.check(VALUE).await.unwrap();
        assert_eq!((world.checks(), is_fresh), (1, false));
        world.clock.advance(Duration::milliseconds(1));
        assert!(world.check(VALUE).await.unwrap().1);
        assert_eq!(world.checks(), 2);
    }

    #[tokio::test]
    async fn refused_key_is_checked_again_after_ten_seconds() {
        let world = world();
        assert_eq!(world.accepts("sk_unknown").await, Some(false));
        world.clock.advance(Duration::milliseconds(9_999));
        assert_eq!(world.accepts("sk_unknown").await, Some(false));
        assert_eq!(world.checks(), 1);
        world.answer(key_of("user_ada"));
        world.clock.advance(Duration::milliseconds(1));
        assert_eq!(world.accepts("sk_unknown").await, Some(true));
    }

    #[tokio::test]
    async fn revoked_key_is_refused_after_a_minute() {
        let world = world();
        assert_eq!(world.accepts(VALUE).await, Some(true));
        world.answer(json!({"api_key": null}));
        assert_eq!(world.accepts(VALUE).await, Some(true));
        world.clock.advance(Duration::seconds(60));
        assert_eq!(world.accepts(VALUE).await, Some(false));
    }

    #[tokio::test]
    async fn forgotten_key_is_checked_at_once() {
        let world = world();
        assert_eq!(world.accepts(VALUE).await, Some(true));
        world.keys.forget("api_key_2");
        world.answer(json!({"api_key": null}));
        assert_eq!(world.accepts(VALUE).await, Some(true));
        world.keys.forget("api_key_1");
        assert_eq!(world.accepts(VALUE).await, Some(false));
    }

    #[tokio::test]
    async fn outage_is_no_refusal_and_lasts_a_second() {
        let world = world();
        world.fail();
        assert_eq!(world.accepts(VALUE).await, None);
        assert_eq!(world.accepts(VALUE).await, None);
        assert_eq!(world.checks(), 1);
        world.answer(key_of("user_ada"));
        world.clock.advance(Duration::seconds(1));
        assert_eq!(world.accepts(VALUE).await, Some(true));
        // An accepted key is relied on during an outage, and not beyond its minute.
        world.fail();
        assert_eq!(world.accepts(VALUE).await, Some(true));
        world.clock.advance(Duration::seconds(60));
        assert_eq!(world.accepts(VALUE).await, None);
    }

    #[tokio::test]
    async fn malformed_key_reaches_no_service() {
        let world = world();
        let long = format!("sk_{}", "a".repeat(VALUE_MAX_BYTES - 2));
        for value in ["sk_", "sk_a b", "sk_é", "sk_a.b", "sk_a\"b", &long, API_KEY] {
            assert_eq!(world.accepts(value).await, Some(false), "{value}");
        }
        assert_eq!(world.checks(), 0);
        assert_eq!(world.accepts(&long[..VALUE_MAX_BYTES]).await, Some(false));
        assert_eq!(world.checks(), 1);
    }

    #[tokio::test]
    async fn address_limit_counts_each_check_first() {
        let clock = Arc::new(ManualClock::default());
        let limit = MemoryRateLimit::new(2, 60, clock);
        let host = MemoryHost::default().with_rate_limit("LIMIT", Arc::new(limit));
        let world = World { limit: RateLimiter::bound(&host, "LIMIT", 60), ..world() };
        for _ in 0..5 {
            assert_eq!(world.accepts(VALUE).await, Some(true));
        }
        let refused = world.check("sk_1").await.unwrap_err();
        assert!(matches!(refused, ApiKeyError::Refused { is_counted: true }), "{refused:?}");
        // A refusal from memory is counted by the caller, as other refused credentials are.
        let refused = world.check("sk_1").await.unwrap_err();
        assert!(matches!(refused, ApiKeyError::Refused { is_counted: false }), "{refused:?}");
        let rejected = world.check("sk_2").await.unwrap_err();
        assert!(matches!(rejected, ApiKeyError::Rejected(_)), "{rejected:?}");
        assert_eq!(world.checks(), 2);
        assert_eq!(world.accepts(VALUE).await, Some(true));
    }

    #[tokio::test]
    async fn concurrent_requests_share_one_check() {
        let world = world();
        world.http.hold(true);
        let release = async {
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            world.http.hold(false);
        };
        let (first, second, third, ()) =
            tokio::join!(world.accepts(VALUE), world.accepts(VALUE), world.accepts(VALUE), release);
        assert_eq!([first, second, third], [Some(true); 3]);
        assert_eq!(world.checks(), 1);
    }

    #[tokio::test]
    async fn check_without_a_result_is_repeated_after_15_seconds() {
        let world = world();
        world.http.hold(true);
        let mut abandoned = Box::pin(world.accepts(VALUE));
        for _ in 0..5 {
            assert!((&mut abandoned).now_or_never().is_none());
        }
        drop(abandoned);
        world.http.hold(false);
        assert_eq!(world.accepts(VALUE).await, Some(true));
        assert_eq!(world.checks(), 2);
    }

    /// Remembers so many other keys with this result.
    fn fill(world: &World, address: &str, verdict: &Verdict, count: usize) {
        for number in 0..count {
            let mut hash = [1; 32];
            hash[..8].copy_from_slice(&number.to_le_bytes());
            world.keys.remember(hash, address, verdict);
        }
    }

    #[tokio::test]
    async fn invented_keys_evict_no_accepted_key() {
        let world = world();
        assert_eq!(world.accepts(VALUE).await, Some(true));
        assert_eq!(world.accepts("sk_other").await, Some(false));
        for number in 0..2 * MAX_KEYS {
            fill(&world, &format!("192.0.2.{number}"), &Verdict::Refused, 2);
        }
        fill(&world, ADDRESS, &Verdict::Refused, 2 * MAX_KEYS);
        assert!(world.keys.memory().others.len() <= MAX_KEYS);
        assert_eq!(world.accepts(VALUE).await, Some(true));
        assert_eq!(world.checks(), 2);
    }

    #[tokio::test]
    async fn owner_with_many_keys_evicts_only_their_own() {
        let world = world();
        assert_eq!(world.accepts(VALUE).await, Some(true));
        world.answer(key_of("user_grace"));
        let (graces, _) = world.check("sk_grace").await.unwrap();
        fill(&world, ADDRESS, &Verdict::Accepted(graces), 2 * MAX_KEYS);
        assert_eq!(world.keys.memory().accepted.len(), 1 + MAX_KEYS_OF_ONE);
        world.fail();
        assert_eq!(world.accepts(VALUE).await, Some(true));
    }

    #[tokio::test]
    async fn expired_entries_leave_the_memory() {
        let world = world();
        fill(&world, ADDRESS, &Verdict::Refused, MAX_KEYS_OF_ONE);
        world.clock.advance(Duration::seconds(REFUSED_SECS));
        assert_eq!(world.accepts("sk_other").await, Some(false));
        assert_eq!(world.keys.memory().others.len(), 1);
    }
}
