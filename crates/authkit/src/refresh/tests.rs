use std::{
    pin::Pin,
    sync::atomic::{AtomicUsize, Ordering},
};

use crate::outage::Outage;
use edge_host::{
    KvOperation,
    memory::{DistantKv, MemoryKv},
};
use serde_json::{Value, json};

use super::*;
use crate::{
    seal::Purpose,
    testing::{
        ScriptedHttp, TestClock, authenticate_body, config, json_response, noon, password, session,
    },
};

const COOKIE_MAX_AGE_SECS: u32 = 34_560_000;

/// Several isolates with one WorkOS, one KV and one clock.
struct World {
    http: Arc<ScriptedHttp>,
    kv: Arc<MemoryKv>,
    clock: Arc<TestClock>,
}

/// A WorkOS with one session, which accepts the refresh tokens `refresh_1`, `refresh_2`, … once each, in this
/// order.
fn rotating() -> Arc<ScriptedHttp> {
    let spent = AtomicUsize::new(0);
    ScriptedHttp::new(move |request| {
        let body: Value = serde_json::from_slice(request.body()).unwrap();
        let token = body["refresh_token"].as_str().unwrap();
        let number: usize = token.strip_prefix("refresh_").unwrap().parse().unwrap();
        if spent.compare_exchange(number - 1, number, Ordering::Relaxed, Ordering::Relaxed).is_err()
        {
            return Ok(json_response(400, &json!({"error": "invalid_grant"})));
        }
        let next = format!("refresh_{}", number + 1);
        Ok(json_response(200, &authenticate_body("user_ada", "session_1", &next)))
    })
}

impl World {
    fn new() -> Self {
        Self { http: rotating(), kv: Arc::default(), clock: TestClock::at_noon() }
    }

    fn isolate(&self) -> Arc<Refresher> {
        self.isolate_on(Arc::clone(&self.kv) as _)
    }

    fn isolate_on(&self, kv: Arc<dyn KvNamespace>) -> Arc<Refresher> {
        let client = WorkosClient::new(Arc::clone(&self.http) as _, Arc::new(config(&[])));
        let signed_out = SignedOutSessions::new(Arc::clone(&kv), COOKIE_MAX_AGE_SECS);
        let sealer = Sealer::new(Purpose::Rotation, &password(), None);
        let clock = Arc::clone(&self.clock) as _;
        Arc::new(Refresher::new(client, kv, sealer, Arc::new(signed_out), clock))
    }

    fn refuse(&self, status: u16, body: Value) {
        self.http.set_script(move |_| Ok(json_response(status, &body)));
    }

    fn exchanges(&self) -> usize {
        self.http.requests().len()
    }

    fn advance_secs(&self, secs: i64) {
        self.clock.advance(Duration::seconds(secs));
    }
}

/// The session in the browser's cookie.
fn old() -> Session {
    session("user_ada", "session_1", "refresh_1")
}

async fn refresh(refresher: &Arc<Refresher>, session: &Session) -> Result<Renewed, RefreshError> {
    let requester = ClientInfo::default();
    refresher.refresh(session, Some(noon()), None, &requester, &WaitUntil::default()).await
}

async fn switch(
    refresher: &Arc<Refresher>,
    session: &Session,
    organization_id: &str,
) -> Result<Renewed, RefreshError> {
    let requester = ClientInfo::default();
    refresher
        .refresh(session, Some(noon()), Some(organization_id), &requester, &WaitUntil::default())
        .await
}

/// The refresh token of a renewed session, and whether it is fresh.
fn outcome(renewed: Result<Renewed, RefreshError>) -> Result<(String, bool), RefreshError> {
    renewed.map(|renewed| (renewed.session.refresh_token.expose().to_owned(), renewed.is_fresh))
}

async fn newest(refresher: &Refresher, session: &Session) -> Option<String> {
    let newest = refresher.newest(Arc::new(session.clone()), noon()).await?;
    Some(newest.refresh_token.expose().to_owned())
}

fn fresh(token: &str) -> Result<(String, bool), RefreshError> {
    Ok((token.to_owned(), true))
}

fn shared(token: &str) -> Result<(String, bool), RefreshError> {
    Ok((token.to_owned(), false))
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// Polls `future` until WorkOS has received this many requests. `future` still waits for the response.
fn poll_until_exchange<T>(world: &World, future: &mut Boxed<'_, T>, exchanges: usize) {
    while world.exchanges() < exchanges {
        assert!(future.now_or_never().is_none());
    }
}

// One exchange.

#[tokio::test]
async fn concurrent_requests_share_one_exchange() {
    let (world, old) = (World::new(), old());
    let isolate = world.isolate();
    let results = join_all((0..50).map(|_| refresh(&isolate, &old))).await;
    let tokens: Vec<_> = results.into_iter().map(|result| outcome(result).unwrap()).collect();
    assert!(tokens.iter().all(|(token, _)| token == "refresh_2"));
    assert_eq!(tokens.iter().filter(|(_, is_fresh)| *is_fresh).count(), 1);
    assert_eq!(world.exchanges(), 1);
}

#[tokio::test]
async fn concurrent_requests_share_each_failure() {
    for (status, body, expected) in [
        (400, json!({"error": "invalid_grant"}), RefreshError::Ended),
        (
            403,
            json!({"error": "sso_required", "error_description": "Use SSO."}),
            RefreshError::Refused {
                code: "sso_required".to_owned(),
                description: Some("Use SSO.".to_owned()),
            },
        ),
        (
            500,
            json!({}),
            RefreshError::Unavailable(Outage {
                reason: "status 500".to_owned(),
                retry_after_secs: 5,
            }),
        ),
    ] {
        let (world, old) = (World::new(), old());
        let isolate = world.isolate();
        world.refuse(status, body);
        let results = join_all((0..50).map(|_| refresh(&isolate, &old))).await;
        for result in results {
            assert_eq!(result.unwrap_err(), expected);
        }
        assert_eq!(world.exchanges(), 1, "{expected}");
    }
}

#[tokio::test]
async fn failure_is_forgotten_after_a_second() {
    for (status, body) in [(403, json!({"error": "sso_required"})), (503, json!({}))] {
        let (world, old) = (World::new(), old());
        let isolate = world.isolate();
        world.refuse(status, body);
        assert!(refresh(&isolate, &old).await.is_err());
        world.clock.advance(Duration::milliseconds(999));
        assert!(refresh(&isolate, &old).await.is_err());
        assert_eq!(world.exchanges(), 1);
        world.clock.advance(Duration::milliseconds(1));
        assert!(refresh(&isolate, &old).await.is_err());
        assert_eq!(world.exchanges(), 2);
    }
}

#[tokio::test]
async fn ended_session_is_remembered_for_a_minute() {
    let (world, old) = (World::new(), old());
    let isolate = world.isolate();
    world.refuse(400, json!({"error": "invalid_grant"}));
    for expected in [1, 1, 2] {
        assert_eq!(refresh(&isolate, &old).await.unwrap_err(), RefreshError::Ended);
        assert_eq!(world.exchanges(), expected);
        world.advance_secs(30);
    }
}

#[tokio::test]
async fn spent_token_leads_to_its_successor() {
    let (world, old) = (World::new(), old());
    let isolate = world.isolate();
    assert_eq!(outcome(refresh(&isolate, &old).await), fresh("refresh_2"));
    world.advance_secs(9 * 60);
    // Another isolate reads the successor from KV, this isolate from its memory.
    assert_eq!(newest(&world.isolate(), &old).await.as_deref(), Some("refresh_2"));
    assert_eq!(outcome(refresh(&world.isolate(), &old).await), shared("refresh_2"));
    world.kv.fail(Some(KvOperation::Get));
    assert_eq!(outcome(refresh(&isolate, &old).await), shared("refresh_2"));
    assert_eq!(newest(&isolate, &old).await.as_deref(), Some("refresh_2"));
    assert_eq!(world.exchanges(), 1);
}

#[tokio::test]
async fn successor_is_exchanged_when_it_expires() {
    let (world, old) = (World::new(), old());
    let isolate = world.isolate();
    let second = refresh(&isolate, &old).await.unwrap().session;
    assert_eq!(outcome(refresh(&isolate, &second).await), fresh("refresh_3"));
    assert_eq!(newest(&isolate, &old).await.as_deref(), Some("refresh_3"));
    assert_eq!(world.exchanges(), 2);
}

#[tokio::test]
async fn unrotated_token_counts_as_fresh_for_two_seconds() {
    let (world, old) = (World::new(), old());
    let isolate = world.isolate();
    let body = authenticate_body("user_ada", "session_1", "refresh_1");
    world.http.set_script(move |_| Ok(json_response(200, &body)));
    assert_eq!(outcome(refresh(&isolate, &old).await), fresh("refresh_1"));
    world.clock.advance(Duration::milliseconds(1999));
    assert_eq!(outcome(refresh(&isolate, &old).await), shared("refresh_1"));
    world.clock.advance(Duration::milliseconds(1));
    assert_eq!(outcome(refresh(&isolate, &old).await), fresh("refresh_1"));
    assert_eq!(world.exchanges(), 2);
    // The token has no successor: KV stores none, and the isolate's chain has no circle.
    assert_eq!(world.kv.keys(), [""; 0]);
    assert_eq!(newest(&isolate, &old).await.as_deref(), Some("refresh_1"));
}

#[tokio::test]
async fn cancelled_exchange_is_repeated_after_15_seconds() {
    let (world, old) = (World::new(), old());
    let isolate = world.isolate();
    let mut cancelled: Boxed<'_, _> = Box::pin(refresh(&isolate, &old));
    poll_until_exchange(&world, &mut cancelled, 1);
    drop(cancelled);
    // WorkOS has not processed the cancelled request, so the token is unspent.
    assert_eq!(outcome(refresh(&isolate, &old).await), fresh("refresh_2"));
    assert_eq!(world.exchanges(), 2);
    let waited = world.clock.now() - noon();
    assert!((Duration::seconds(15)..Duration::seconds(16)).contains(&waited), "{waited}");
}

#[tokio::test]
async fn exchange_continues_when_its_client_disconnects() {
    let (world, old) = (World::new(), old());
    let isolate = world.isolate();
    let requester = ClientInfo::default();
    let wait_until = WaitUntil::new(|work| drop(tokio::spawn(work)));
    let mut abandoned: Boxed<'_, _> =
        Box::pin(isolate.refresh(&old, None, None, &requester, &wait_until));
    poll_until_exchange(&world, &mut abandoned, 1);
    drop(abandoned);
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    assert_eq!(outcome(refresh(&isolate, &old).await), shared("refresh_2"));
    assert_eq!(outcome(refresh(&world.isolate(), &old).await), shared("refresh_2"));
    assert_eq!(world.exchanges(), 1);
}

#[tokio::test]
async fn refresh_sends_the_client_info() {
    let (world, old) = (World::new(), old());
    let requester = ClientInfo {
        ip_address: Some("192.0.2.7".to_owned()),
        user_agent: Some("Browser/1.0".to_owned()),
    };
    world.isolate().refresh(&old, None, None, &requester, &WaitUntil::default()).await.unwrap();
    let body: Value = serde_json::from_slice(world.http.requests()[0].body()).unwrap();
    assert_eq!(body["refresh_token"], "refresh_1");
    assert_eq!(
        (&body["ip_address"], &body["user_agent"]),
        (&json!("192.0.2.7"), &json!("Browser/1.0"))
    );
    assert_eq!(body.get("organization_id"), None);
}

// Across isolates.

#[tokio::test]
async fn refused_exchange_finds_another_isolates_result() {
    for lag_millis in [0, 100, 250, 900] {
        let (world, old) = (World::new(), old());
        let isolates: Vec<_> = (0..4)
            .map(|_| {
                let kv = Arc::clone(&world.kv);
                let kv = DistantKv::new(kv, Arc::clone(&world.clock) as _, lag_millis);
                world.isolate_on(Arc::new(kv))
            })
            .collect();
        let results = join_all(isolates.iter().map(|isolate| refresh(isolate, &old))).await;
        let tokens: Vec<_> = results.into_iter().map(|result| outcome(result).unwrap()).collect();
        assert!(tokens.iter().all(|(token, _)| token == "refresh_2"), "{lag_millis} ms");
        assert_eq!(tokens.iter().filter(|(_, is_fresh)| *is_fresh).count(), 1);
        assert!(world.exchanges() <= 4);
    }
}

#[tokio::test]
async fn renewed_session_is_stored_sealed_under_three_keys() {
    let (world, old) = (World::new(), old());
    refresh(&world.isolate(), &old).await.unwrap();
    let hash = URL_SAFE_NO_PAD.encode(Sha256::digest("refresh_1"));
    let expected: Vec<_> = (0..3).map(|n| format!("authkit:rotated:{n}:{hash}")).collect();
    assert_eq!(world.kv.keys(), expected);
    let sealer = Sealer::new(Purpose::Rotation, &password(), None);
    for key in expected {
        let (value, options) = world.kv.entry(&key).unwrap();
        assert_eq!(options.expiration_ttl_secs, Some(600));
        assert!(!value.contains(['_', '.', '{']), "no token: {value}");
        let record: Value =
            serde_json::from_slice(&sealer.open(&value).unwrap().plaintext).unwrap();
        assert_eq!(
            (&record["spent"], &record["session"]["refresh_token"]),
            (&json!(hash), &json!("refresh_2"))
        );
    }
}

#[tokio::test]
async fn stored_session_outlives_the_old_access_token() {
    for (remaining_secs, expected) in [
        (None, 600),
        (Some(-1000), 600),
        (Some(300), 600),
        (Some(301), 601),
        (Some(3600), 3900),
        (Some(86_100), 86_400),
        (Some(10_000_000), 86_400),
    ] {
        let world = World::new();
        let expires_at = remaining_secs.map(|secs| noon() + Duration::seconds(secs));
        let requester = ClientInfo::default();
        world
            .isolate()
            .refresh(&old(), expires_at, None, &requester, &WaitUntil::default())
            .await
            .unwrap();
        let (_, options) = world.kv.entry(&world.kv.keys()[0]).unwrap();
        assert_eq!(options.expiration_ttl_secs, Some(expected), "{remaining_secs:?}");
    }
}

#[tokio::test]
async fn record_copied_to_another_key_is_ignored() {
    let (world, old) = (World::new(), old());
    refresh(&world.isolate(), &old).await.unwrap();
    let (adas, _) = world.kv.entry(&world.kv.keys()[0]).unwrap();
    let grace = session("user_grace", "session_2", "refresh_9");
    let graces = |n: usize| rotation_key(n, &token_hash(&grace.refresh_token));
    (0..LOOKS).for_each(|n| world.kv.insert_raw(&graces(n), &adas, None));
    let body = authenticate_body("user_grace", "session_2", "refresh_10");
    world.http.set_script(move |_| Ok(json_response(200, &body)));
    assert_eq!(outcome(refresh(&world.isolate(), &grace).await), fresh("refresh_10"));
    // The looks after a refused exchange ignore it too.
    (0..LOOKS).for_each(|n| world.kv.insert_raw(&graces(n), &adas, None));
    world.refuse(400, json!({"error": "invalid_grant"}));
    assert_eq!(refresh(&world.isolate(), &grace).await.unwrap_err(), RefreshError::Ended);
}

#[tokio::test]
async fn record_that_does_not_open_is_ignored() {
    let (world, old) = (World::new(), old());
    let hash = token_hash(&old.refresh_token);
    let record = serde_json::to_vec(&RotationRecord {
        spent: hash.clone(),
        session: session("user_mallory", "session_9", "refresh_9"),
    })
    .unwrap();
    let plain = String::from_utf8(record.clone()).unwrap();
    let as_session = Sealer::new(Purpose::Session, &password(), None).seal(&record);
    let nonsense = Sealer::new(Purpose::Rotation, &password(), None).seal(b"{}");
    for value in [plain, as_session, nonsense, String::new()] {
        world.kv.insert_raw(&rotation_key(0, &hash), &value, None);
        assert_eq!(newest(&world.isolate(), &old).await.as_deref(), Some("refresh_1"));
    }
    assert_eq!(outcome(refresh(&world.isolate(), &old).await), fresh("refresh_2"));
}

#[tokio::test]
async fn failing_kv_prevents_no_renewal() {
    for operation in [KvOperation::Get, KvOperation::Put] {
        let world = World::new();
        let isolate = world.isolate();
        world.kv.fail(Some(operation));
        assert_eq!(outcome(refresh(&isolate, &old()).await), fresh("refresh_2"), "{operation}");
        assert_eq!(newest(&isolate, &old()).await.as_deref(), Some("refresh_2"));
    }
}

#[tokio::test]
async fn refused_exchange_with_failing_kv_is_unavailable() {
    let (world, old) = (World::new(), old());
    refresh(&world.isolate(), &old).await.unwrap();
    world.kv.fail(Some(KvOperation::Get));
    let late = world.isolate();
    let error = refresh(&late, &old).await.unwrap_err();
    assert!(
        matches!(error, RefreshError::Unavailable(Outage { retry_after_secs: 1, .. })),
        "{error}"
    );
    world.kv.fail(None);
    world.advance_secs(1);
    assert_eq!(outcome(refresh(&late, &old).await), shared("refresh_2"));
}

#[tokio::test]
async fn slow_write_to_kv_delays_no_other_request() {
    let (world, old) = (World::new(), old());
    let isolate = world.isolate();
    world.kv.hold_operation(Some(KvOperation::Put));
    let mut first: Boxed<'_, _> = Box::pin(refresh(&isolate, &old));
    while !world.kv.is_waiting() {
        assert!((&mut first).now_or_never().is_none());
    }
    assert_eq!(outcome(refresh(&isolate, &old).await), shared("refresh_2"));
}

// Sign-out.

#[tokio::test]
async fn signed_out_session_is_not_exchanged() {
    let (world, old) = (World::new(), old());
    let isolate = world.isolate();
    assert!(!isolate.is_signed_out(&old));
    isolate.sign_out(&old, &WaitUntil::default()).await;
    assert!(isolate.is_signed_out(&old));
    for isolate in [isolate, world.isolate()] {
        assert_eq!(refresh(&isolate, &old).await.unwrap_err(), RefreshError::Ended);
        assert_eq!(switch(&isolate, &old, "org_2").await.unwrap_err(), RefreshError::Ended);
        assert_eq!(newest(&isolate, &old).await, None);
    }
    assert_eq!(world.exchanges(), 0);
    // Another session of the user continues.
    let other = session("user_ada", "session_2", "refresh_1");
    assert_eq!(outcome(refresh(&world.isolate(), &other).await), fresh("refresh_2"));
}

#[tokio::test]
async fn sign_out_overrides_a_renewal_under_way() {
    let (world, old) = (World::new(), old());
    let isolate = world.isolate();
    let mut late: Boxed<'_, _> = Box::pin(refresh(&isolate, &old));
    poll_until_exchange(&world, &mut late, 1);
    isolate.sign_out(&old, &WaitUntil::default()).await;
    assert_eq!(late.await.unwrap_err(), RefreshError::Ended);
    // Neither KV nor the isolate has the renewed session.
    let keys = world.kv.keys();
    assert!(keys.iter().all(|key| key.starts_with("authkit:signed-out:")), "{keys:?}");
    assert_eq!(newest(&isolate, &old).await, None);
}

#[tokio::test]
async fn sign_out_in_another_isolate_ends_renewed_session() {
    let (world, old) = (World::new(), old());
    let isolate = world.isolate();
    let renewed = refresh(&isolate, &old).await.unwrap().session;
    world.isolate().sign_out(&renewed, &WaitUntil::default()).await;
    assert_eq!(newest(&isolate, &old).await, None);
    assert_eq!(newest(&isolate, &renewed).await, None);
}

#[tokio::test]
async fn signed_out_session_leads_to_no_successor() {
    let (world, old) = (World::new(), old());
    let isolate = world.isolate();
    refresh(&isolate, &old).await.unwrap();
    isolate.sign_out(&old, &WaitUntil::default()).await;
    // Neither this isolate's memory nor KV leads to the successor.
    for isolate in [isolate, world.isolate()] {
        assert_eq!(refresh(&isolate, &old).await.unwrap_err(), RefreshError::Ended);
    }
    assert_eq!(world.exchanges(), 1);
}

#[tokio::test]
async fn waiting_request_sees_a_sign_out() {
    let (world, old) = (World::new(), old());
    let isolate = world.isolate();
    let mut first: Boxed<'_, _> = Box::pin(refresh(&isolate, &old));
    poll_until_exchange(&world, &mut first, 1);
    let mut second: Boxed<'_, _> = Box::pin(refresh(&isolate, &old));
    assert!((&mut second).now_or_never().is_none());
    isolate.sign_out(&old, &WaitUntil::default()).await;
    assert_eq!(second.await.unwrap_err(), RefreshError::Ended);
}

#[tokio::test]
async fn workos_decides_on_sign_out_with_failing_kv() {
    let (world, old) = (World::new(), old());
    world.isolate().sign_out(&old, &WaitUntil::default()).await;
    world.kv.fail(Some(KvOperation::Get));
    assert_eq!(outcome(refresh(&world.isolate(), &old).await), fresh("refresh_2"));
}

#[tokio::test]
async fn replaced_session_is_absent_from_late_responses() {
    let (world, old) = (World::new(), old());
    let isolate = world.isolate();
    let began = world.clock.now();
    world.advance_secs(1);
    isolate.replace(&old);
    assert!(isolate.newest(Arc::new(old.clone()), began).await.is_none());
    // A later request carries the session only if the browser dropped the new one.
    world.advance_secs(1);
    let after = world.clock.now();
    assert!(isolate.newest(Arc::new(old.clone()), after).await.is_some());
    assert!(!isolate.is_signed_out(&old));
}

// Organizations.

#[tokio::test]
async fn switch_exchanges_the_newest_session_of_the_chain() {
    let (world, old) = (World::new(), old());
    let isolate = world.isolate();
    refresh(&isolate, &old).await.unwrap();
    assert_eq!(outcome(switch(&isolate, &old, "org_2").await), fresh("refresh_3"));
    // Another isolate reads the newest session from KV.
    assert_eq!(outcome(switch(&world.isolate(), &old, "org_3").await), fresh("refresh_4"));
    let organizations: Vec<Value> = world
        .http
        .requests()
        .iter()
        .map(|request| serde_json::from_slice::<Value>(request.body()).unwrap())
        .map(|body| json!([body["refresh_token"], body["organization_id"]]))
        .collect();
    let last = [json!(["refresh_2", "org_2"]), json!(["refresh_3", "org_3"])];
    assert_eq!(organizations[0], json!(["refresh_1", null]));
    assert_eq!(organizations[1], last[0]);
    assert_eq!(organizations.last(), Some(&last[1]));
}

#[tokio::test]
async fn refused_switch_leaves_the_session_renewable() {
    let (world, old) = (World::new(), old());
    let isolate = world.isolate();
    world.refuse(403, json!({"error": "sso_required"}));
    assert!(matches!(switch(&isolate, &old, "org_2").await, Err(RefreshError::Refused { .. })));
    world.http.set_script(|_| {
        Ok(json_response(200, &authenticate_body("user_ada", "session_1", "refresh_2")))
    });
    // The renewal does not wait: the isolate remembers neither the failure nor an exchange.
    assert_eq!(outcome(refresh(&isolate, &old).await), fresh("refresh_2"));
    assert_eq!(world.clock.now(), noon());
}

// Bounds.

#[tokio::test]
async fn user_with_many_renewals_evicts_only_their_own() {
    let world = World::new();
    let isolate = world.isolate();
    world.http.set_script(|request| {
        let body: Value = serde_json::from_slice(request.body()).unwrap();
        let next = format!("{}+", body["refresh_token"].as_str().unwrap());
        Ok(json_response(200, &authenticate_body("user", "session", &next)))
    });
    let grace = session("user_grace", "session_g", "grace");
    refresh(&isolate, &grace).await.unwrap();
    let adas: Vec<_> = (0..=MAX_REMEMBERED)
        .map(|number| session("user_ada", &format!("session_{number}"), &format!("ada {number}")))
        .collect();
    world.kv.fail(Some(KvOperation::Get));
    for ada in &adas {
        refresh(&isolate, ada).await.unwrap();
    }
    let is_known =
        |session: &Session| isolate.rotations().get(&token_hash(&session.refresh_token)).is_some();
    assert_eq!(adas.iter().filter(|ada| is_known(ada)).count(), MAX_REMEMBERED - 1);
    assert!(!is_known(&adas[1]) && is_known(&adas[2]), "the oldest rotation was evicted");
    let exchanges = world.exchanges();
    assert_eq!(outcome(refresh(&isolate, &grace).await), shared("grace+"));
    assert_eq!(outcome(refresh(&isolate, &adas[MAX_REMEMBERED]).await), shared("ada 1000+"));
    assert_eq!(world.exchanges(), exchanges);
}

#[tokio::test]
async fn rotation_is_forgotten_after_ten_minutes() {
    let (world, old) = (World::new(), old());
    let isolate = world.isolate();
    refresh(&isolate, &old).await.unwrap();
    world.advance_secs(10 * 60);
    let other = session("user_grace", "session_2", "refresh_9");
    assert!(refresh(&isolate, &other).await.is_err());
    assert!(isolate.rotations().get(&token_hash(&old.refresh_token)).is_none());
}
