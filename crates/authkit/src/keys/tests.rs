use std::sync::atomic::{AtomicUsize, Ordering};

use crate::outage::Outage;
use edge_host::{
    KvOperation,
    memory::{BackgroundTasks, MemoryKv},
};
use futures_util::future::join_all;
use serde_json::json;

use super::*;
use crate::{
    fixtures::{BASE_URL, CURRENT, NEXT, TestClock, noon, password},
    seal::Purpose,
};

const KV_KEY: &str = "authkit:jwks:client_test";

/// A key source that publishes what a test sets, and counts its fetches.
struct Source {
    base_url: &'static str,
    published: Mutex<Result<Published, Outage>>,
    fetches: AtomicUsize,
    is_held: Mutex<bool>,
}

impl Source {
    fn new(keys: &[Value]) -> Arc<Self> {
        Arc::new(Self {
            base_url: BASE_URL,
            published: Mutex::new(Ok(published(keys, None))),
            fetches: AtomicUsize::new(0),
            is_held: Mutex::default(),
        })
    }

    fn publish(&self, keys: &[Value]) {
        *self.published.lock().unwrap() = Ok(published(keys, None));
    }

    fn publish_metadata(&self, metadata: &str) {
        *self.published.lock().unwrap() = Ok(published(&[CURRENT.jwk()], Some(metadata)));
    }

    fn fail(&self) -> Outage {
        let outage = Outage { reason: "down".to_owned(), retry_after_secs: 7 };
        *self.published.lock().unwrap() = Err(outage.clone());
        outage
    }

    fn hold(&self, is_held: bool) {
        *self.is_held.lock().unwrap() = is_held;
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::Relaxed)
    }
}

/// A source that a cache and a test share.
struct Shared(Arc<Source>);

#[async_trait]
impl KeySource for Shared {
    fn name(&self) -> &'static str {
        "session"
    }

    fn base_url(&self) -> &str {
        self.0.base_url
    }

    async fn fetch(&self) -> Result<Published, Outage> {
        self.0.fetches.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        while *self.0.is_held.lock().unwrap() {
            tokio::task::yield_now().await;
        }
        self.0.published.lock().unwrap().clone()
    }
}

fn published(keys: &[Value], metadata: Option<&str>) -> Published {
    let keys = serde_json::from_value(json!({"keys": keys})).unwrap();
    Published { keys, metadata: metadata.map(str::to_owned) }
}

/// Several isolates with one KV and one clock.
struct World {
    source: Arc<Source>,
    kv: Arc<MemoryKv>,
    clock: Arc<TestClock>,
}

impl World {
    fn new() -> Self {
        let source = Source::new(&[CURRENT.jwk()]);
        Self { source, kv: Arc::default(), clock: TestClock::at_noon() }
    }

    fn isolate(&self) -> Arc<KeySetCache> {
        self.isolate_for(&self.source, Purpose::KeySet)
    }

    fn isolate_for(&self, source: &Arc<Source>, purpose: Purpose) -> Arc<KeySetCache> {
        Arc::new(KeySetCache::new(
            Box::new(Shared(Arc::clone(source))),
            Arc::clone(&self.kv) as _,
            KV_KEY.to_owned(),
            Sealer::new(purpose, &password(), None),
            Arc::clone(&self.clock) as _,
        ))
    }

    fn advance_secs(&self, secs: i64) {
        self.clock.advance(Duration::seconds(secs));
    }
}

async fn lookup(cache: &Arc<KeySetCache>, kid: &str) -> Result<(), KeyError> {
    let set = cache.set_with(kid, &WaitUntil::default()).await?;
    assert!(set.find(kid).is_some(), "{kid}");
    Ok(())
}

async fn metadata(cache: &Arc<KeySetCache>) -> Result<String, KeyError> {
    cache.metadata(&WaitUntil::default()).await.map(|text| text.to_string())
}

fn finds(keys: &[Value], kid: &str) -> bool {
    KeySet::from(published(keys, None).keys).find(kid).is_some()
}

#[tokio::test]
async fn set_without_a_usable_key_is_an_outage() {
    let world = World::new();
    let isolate = world.isolate();
    lookup(&isolate, CURRENT.kid).await.unwrap();
    *world.source.published.lock().unwrap() = Ok(published(&[], None));
    world.advance_secs(60);
    assert!(isolate.set_with("unknown", &WaitUntil::default()).await.is_err());
    lookup(&isolate, CURRENT.kid).await.unwrap();
    lookup(&world.isolate(), CURRENT.kid).await.unwrap();
}

// The keys of a set.

#[test]
fn set_keeps_only_keys_for_rs256_signatures() {
    let with = |name: &str, value: Value| {
        let mut jwk = CURRENT.jwk();
        jwk[name] = value;
        jwk
    };
    let without = |name: &str| {
        let mut jwk = CURRENT.jwk();
        jwk.as_object_mut().unwrap().remove(name);
        jwk
    };
    for jwk in [
        CURRENT.jwk(),
        without("alg"),
        without("use"),
        with("alg", Value::Null),
        with("key_ops", json!(["sign", "verify"])),
        with("x5c", json!([5])),
    ] {
        assert!(finds(std::slice::from_ref(&jwk), CURRENT.kid), "{jwk}");
    }
    for jwk in [
        with("kty", json!("EC")),
        with("kty", json!("oct")),
        with("alg", json!("RS512")),
        with("alg", json!("none")),
        with("use", json!("enc")),
        with("key_ops", json!(["sign"])),
        with("key_ops", json!([])),
        with("n", json!("not base64!")),
        with("n", json!("AQAB")),
        with("n", json!("")),
        with("e", json!("AQ")),
        with("e", json!("Ag")),
        with("e", json!("")),
        without("n"),
        without("e"),
        without("kty"),
        without("kid"),
        with("kid", json!(5)),
    ] {
        assert!(!finds(std::slice::from_ref(&jwk), CURRENT.kid), "{jwk}");
    }
    assert!(!finds(&[with("kid", json!(""))], ""));
}

#[test]
fn set_keeps_only_rsa_keys_of_secure_sizes() {
    let of_bits = |bits: usize| {
        let mut modulus = vec![0xff; bits / 8];
        modulus[0] = 0xff >> (bits.next_multiple_of(8) - bits);
        let mut jwk = CURRENT.jwk();
        jwk["n"] = json!(URL_SAFE_NO_PAD.encode(modulus));
        jwk
    };
    for bits in [2048, 3072, 4096] {
        assert!(finds(&[of_bits(bits)], CURRENT.kid), "{bits}");
    }
    // Short keys are insecure; signature checks with long keys are slow.
    for bits in [512, 1024, 2040, 4104, 8192, 16_384] {
        assert!(!finds(&[of_bits(bits)], CURRENT.kid), "{bits}");
    }
}

#[test]
fn invalid_key_leaves_the_others_usable() {
    let keys = [json!("nonsense"), json!(null), json!({"kty": "EC", "kid": "ec"}), CURRENT.jwk()];
    assert!(finds(&keys, CURRENT.kid));
    assert!(!finds(&keys, "ec"));
    assert!(!finds(&[], CURRENT.kid));
}

#[test]
fn keys_with_the_same_kid_are_refused() {
    let mut twin = NEXT.jwk();
    twin["kid"] = json!(CURRENT.kid);
    assert!(!finds(&[CURRENT.jwk(), twin.clone()], CURRENT.kid));
    assert!(!finds(&[CURRENT.jwk(), CURRENT.jwk()], CURRENT.kid));
    assert!(finds(&[CURRENT.jwk(), twin, NEXT.jwk()], NEXT.kid));
}

// Fetches.

#[tokio::test]
async fn set_is_fetched_once_an_hour() {
    let world = World::new();
    let cache = world.isolate();
    for _ in 0..6 {
        lookup(&cache, CURRENT.kid).await.unwrap();
        world.advance_secs(10 * 60 - 1);
    }
    assert_eq!(world.source.fetches(), 1);
    world.advance_secs(6);
    lookup(&cache, CURRENT.kid).await.unwrap();
    assert_eq!(world.source.fetches(), 2);
}

#[tokio::test]
async fn concurrent_requests_share_one_fetch() {
    let world = World::new();
    let cache = world.isolate();
    let results = join_all((0..50).map(|_| lookup(&cache, CURRENT.kid))).await;
    assert!(results.iter().all(Result::is_ok));
    let unknown = join_all((0..50).map(|_| lookup(&cache, "key_other"))).await;
    assert!(unknown.iter().all(|result| *result == Err(KeyError::Unknown)));
    assert_eq!(world.source.fetches(), 1);
}

#[tokio::test]
async fn unknown_kids_cause_one_fetch_in_30_seconds() {
    let world = World::new();
    let cache = world.isolate();
    for number in 0..30 {
        let kid = format!("key_{number}");
        assert_eq!(lookup(&cache, &kid).await, Err(KeyError::Unknown));
        world.advance_secs(1);
    }
    assert_eq!(world.source.fetches(), 1);
    assert_eq!(lookup(&cache, "key_30").await, Err(KeyError::Unknown));
    assert_eq!(world.source.fetches(), 2);
}

#[tokio::test]
async fn unknown_kids_cause_one_fetch_across_isolates() {
    let world = World::new();
    for number in 0..10 {
        let kid = format!("key_{number}");
        assert_eq!(lookup(&world.isolate(), &kid).await, Err(KeyError::Unknown));
    }
    assert_eq!(world.source.fetches(), 1);
}

#[tokio::test]
async fn new_key_is_found_after_30_seconds() {
    let world = World::new();
    let cache = world.isolate();
    lookup(&cache, CURRENT.kid).await.unwrap();
    world.source.publish(&[CURRENT.jwk(), NEXT.jwk()]);
    world.advance_secs(29);
    assert_eq!(lookup(&cache, NEXT.kid).await, Err(KeyError::Unknown));
    world.advance_secs(1);
    lookup(&cache, NEXT.kid).await.unwrap();
    lookup(&cache, CURRENT.kid).await.unwrap();
    assert_eq!(world.source.fetches(), 2);
}

#[tokio::test]
async fn retired_key_is_refused_within_the_hour() {
    let world = World::new();
    let cache = world.isolate();
    lookup(&cache, CURRENT.kid).await.unwrap();
    world.source.publish(&[NEXT.jwk()]);
    world.advance_secs(60 * 60 - 1);
    lookup(&cache, CURRENT.kid).await.unwrap();
    world.advance_secs(1);
    assert_eq!(lookup(&cache, CURRENT.kid).await, Err(KeyError::Unknown));
    lookup(&cache, NEXT.kid).await.unwrap();
}

#[tokio::test]
async fn newer_key_set_refuses_a_retired_key() {
    let world = World::new();
    let cache = world.isolate();
    lookup(&cache, CURRENT.kid).await.unwrap();
    world.source.publish(&[NEXT.jwk()]);
    world.advance_secs(30);
    lookup(&cache, NEXT.kid).await.unwrap();
    assert_eq!(lookup(&cache, CURRENT.kid).await, Err(KeyError::Unknown));
}

// Outages.

#[tokio::test]
async fn old_set_is_used_while_its_issuer_is_down() {
    let world = World::new();
    let cache = world.isolate();
    lookup(&cache, CURRENT.kid).await.unwrap();
    let error = world.source.fail();
    world.advance_secs(3 * 24 * 60 * 60);
    for _ in 0..5 {
        lookup(&cache, CURRENT.kid).await.unwrap();
        // The cached set may be too old to have the key, and a newer one cannot be fetched.
        let unavailable = KeyError::Unavailable(error.clone());
        assert_eq!(lookup(&cache, NEXT.kid).await, Err(unavailable));
        world.advance_secs(1);
    }
    assert_eq!(world.source.fetches(), 2, "one fetch for all requests");
    world.source.publish(&[NEXT.jwk()]);
    world.advance_secs(25);
    lookup(&cache, NEXT.kid).await.unwrap();
    assert_eq!(lookup(&cache, CURRENT.kid).await, Err(KeyError::Unknown));
}

#[tokio::test]
async fn outage_without_a_set_causes_one_fetch() {
    let world = World::new();
    let cache = world.isolate();
    let error = world.source.fail();
    for _ in 0..3 {
        let unavailable = KeyError::Unavailable(error.clone());
        assert_eq!(lookup(&cache, CURRENT.kid).await, Err(unavailable));
    }
    assert_eq!(world.source.fetches(), 1);
    world.source.publish(&[CURRENT.jwk()]);
    world.advance_secs(30);
    lookup(&cache, CURRENT.kid).await.unwrap();
}

#[tokio::test]
async fn old_key_set_verifies_during_a_fetch() {
    let world = World::new();
    let cache = world.isolate();
    lookup(&cache, CURRENT.kid).await.unwrap();
    world.advance_secs(60 * 60);
    world.source.hold(true);
    let mut first = Box::pin(lookup(&cache, CURRENT.kid));
    while world.source.fetches() < 2 {
        assert!((&mut first).now_or_never().is_none());
    }
    // The second request does not wait for the fetch.
    lookup(&cache, CURRENT.kid).now_or_never().unwrap().unwrap();
    world.source.hold(false);
    first.await.unwrap();
    assert_eq!(world.source.fetches(), 2);
}

#[tokio::test]
async fn cancelled_fetch_is_repeated_after_15_seconds() {
    let world = World::new();
    let cache = world.isolate();
    world.source.hold(true);
    let mut cancelled = Box::pin(lookup(&cache, CURRENT.kid));
    while world.source.fetches() == 0 {
        assert!((&mut cancelled).now_or_never().is_none());
    }
    drop(cancelled);
    world.source.hold(false);
    // The request waits until the fetch counts as cancelled, and then fetches itself.
    lookup(&cache, CURRENT.kid).await.unwrap();
    assert_eq!(world.source.fetches(), 2);
    let waited = world.clock.now() - noon();
    assert!((Duration::seconds(15)..Duration::seconds(16)).contains(&waited), "{waited}");
}

#[tokio::test]
async fn fetch_continues_when_its_client_disconnects() {
    let world = World::new();
    let cache = world.isolate();
    let wait_until = WaitUntil::new(|work| drop(tokio::spawn(work)));
    {
        let mut abandoned = Box::pin(cache.set_with(CURRENT.kid, &wait_until));
        while world.source.fetches() == 0 {
            assert!((&mut abandoned).now_or_never().is_none());
        }
    }
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    world.source.fail();
    lookup(&cache, CURRENT.kid).await.unwrap();
    assert_eq!(world.source.fetches(), 1);
}

// The copy in KV.

#[tokio::test]
async fn new_isolate_begins_with_the_stored_set() {
    let world = World::new();
    lookup(&world.isolate(), CURRENT.kid).await.unwrap();
    let (sealed, written) = world.kv.entry(KV_KEY).unwrap();
    assert_eq!(written.expiration_ttl_secs, None);
    assert!(!sealed.contains(CURRENT.kid) && !sealed.contains('{'), "sealed");
    world.source.fail();
    lookup(&world.isolate(), CURRENT.kid).await.unwrap();
    assert_eq!(world.source.fetches(), 1);
    // A set that is years old still serves while its issuer is unavailable.
    world.clock.advance(Duration::days(1000));
    lookup(&world.isolate(), CURRENT.kid).await.unwrap();
    assert_eq!(world.source.fetches(), 2);
}

#[tokio::test]
async fn stored_set_keeps_its_age() {
    let world = World::new();
    lookup(&world.isolate(), CURRENT.kid).await.unwrap();
    world.source.publish(&[NEXT.jwk()]);
    world.advance_secs(60 * 60 - 1);
    let cold = world.isolate();
    lookup(&cold, CURRENT.kid).await.unwrap();
    world.advance_secs(1);
    assert_eq!(lookup(&cold, CURRENT.kid).await, Err(KeyError::Unknown));
    // Another isolate uses the set that the first one has fetched.
    let other = world.isolate();
    lookup(&other, NEXT.kid).await.unwrap();
    assert_eq!(world.source.fetches(), 2);
}

#[tokio::test]
async fn stored_set_is_used_only_with_a_valid_seal() {
    let record = |base_url: &str| {
        let keys = json!({"keys": [NEXT.jwk()]});
        json!({"base_url": base_url, "fetched_at": noon().timestamp(), "keys": keys}).to_string()
    };
    let sealed =
        |purpose, record: &str| Sealer::new(purpose, &password(), None).seal(record.as_bytes());
    let good = sealed(Purpose::KeySet, &record(BASE_URL));
    for (value, is_used) in [
        (good.clone(), true),
        (record(BASE_URL), false),
        (sealed(Purpose::ConnectKeySet, &record(BASE_URL)), false),
        (sealed(Purpose::Session, &record(BASE_URL)), false),
        (sealed(Purpose::KeySet, &record("https://other.test")), false),
        (sealed(Purpose::KeySet, "{}"), false),
        (
            sealed(
                Purpose::KeySet,
                &record(BASE_URL).replace("fetched_at\":", "fetched_at\":99999"),
            ),
            false,
        ),
        (format!("A{}", &good[1..]), good.starts_with('A')),
        (String::new(), false),
    ] {
        let world = World::new();
        world.kv.insert_raw(KV_KEY, &value, None);
        let result = lookup(&world.isolate(), NEXT.kid).await;
        assert_eq!(result.is_ok(), is_used, "{value}");
        assert_eq!(world.source.fetches(), usize::from(!is_used));
    }
}

#[tokio::test]
async fn older_stored_set_replaces_no_newer_one() {
    let world = World::new();
    let cache = world.isolate();
    lookup(&cache, CURRENT.kid).await.unwrap();
    let (old, _) = world.kv.entry(KV_KEY).unwrap();
    world.source.publish(&[NEXT.jwk()]);
    world.advance_secs(60);
    lookup(&cache, NEXT.kid).await.unwrap();
    world.kv.insert_raw(KV_KEY, &old, None);
    world.advance_secs(60);
    assert_eq!(lookup(&cache, CURRENT.kid).await, Err(KeyError::Unknown));
    assert_eq!(world.source.fetches(), 3);
}

#[tokio::test]
async fn failing_kv_causes_only_a_fetch() {
    for operation in [KvOperation::Get, KvOperation::Put] {
        let world = World::new();
        world.kv.fail(Some(operation));
        lookup(&world.isolate(), CURRENT.kid).await.unwrap();
        lookup(&world.isolate(), CURRENT.kid).await.unwrap();
        assert_eq!(world.source.fetches(), 2, "{operation}");
    }
}

#[tokio::test]
async fn slow_write_to_kv_delays_no_other_request() {
    let world = World::new();
    let cache = world.isolate();
    world.kv.hold_operation(Some(KvOperation::Put));
    let mut first = Box::pin(lookup(&cache, CURRENT.kid));
    while !world.kv.is_waiting() {
        assert!((&mut first).now_or_never().is_none());
    }
    lookup(&cache, CURRENT.kid).await.unwrap();
    assert_eq!(world.source.fetches(), 1);
}

#[tokio::test]
async fn request_does_not_wait_for_the_write_to_kv() {
    let world = World::new();
    let cache = world.isolate();
    world.kv.hold_operation(Some(KvOperation::Put));
    let background = BackgroundTasks::default();
    let tasks = background.clone();
    let wait_until = WaitUntil::new(move |work| tasks.spawn(work));
    let mut first = Box::pin(cache.set_with(CURRENT.kid, &wait_until));
    for _ in 0..20 {
        if let Some(set) = (&mut first).now_or_never() {
            assert!(set.unwrap().find(CURRENT.kid).is_some());
            assert!(world.kv.entry(KV_KEY).is_none());
            // The write continues after the response.
            world.kv.hold_operation(None);
            background.settle().await;
            assert!(world.kv.entry(KV_KEY).is_some());
            return;
        }
    }
    panic!("the request waits for KV");
}

// Metadata.

#[tokio::test]
async fn metadata_is_at_most_an_hour_old() {
    let world = World::new();
    let cache = world.isolate();
    world.source.publish_metadata("one");
    assert_eq!(metadata(&cache).await.unwrap(), "one");
    world.source.publish_metadata("two");
    world.advance_secs(60 * 60 - 1);
    assert_eq!(metadata(&cache).await.unwrap(), "one");
    world.advance_secs(1);
    // Requests during the fetch wait for the new metadata.
    for result in join_all((0..20).map(|_| metadata(&cache))).await {
        assert_eq!(result.unwrap(), "two");
    }
    assert_eq!(world.source.fetches(), 2);
    // Another isolate reads it from KV.
    assert_eq!(metadata(&world.isolate()).await.unwrap(), "two");
    assert_eq!(world.source.fetches(), 2);
}

#[tokio::test]
async fn old_metadata_is_unavailable_while_its_issuer_is_down() {
    let world = World::new();
    let cache = world.isolate();
    world.source.publish_metadata("one");
    assert_eq!(metadata(&cache).await.unwrap(), "one");
    let error = world.source.fail();
    world.advance_secs(60 * 60);
    for cache in [cache, world.isolate()] {
        assert_eq!(metadata(&cache).await, Err(KeyError::Unavailable(error.clone())));
        lookup(&cache, CURRENT.kid).await.unwrap();
    }
}

#[tokio::test]
async fn metadata_is_unknown_for_an_issuer_without_it() {
    let world = World::new();
    assert_eq!(metadata(&world.isolate()).await, Err(KeyError::Unknown));
}
