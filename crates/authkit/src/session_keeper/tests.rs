use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use chrono::{DateTime, Duration};
use edge_host::{
    Clock, HttpClientError, ObjectNamespace, WaitUntil,
    memory::{BackgroundTasks, ManualClock, MemoryHost, MemoryObjectStorage, MemoryObjects},
};
use futures_util::{FutureExt, future::join_all};
use serde_json::{Value, json};

use super::client::{RefreshError, Renewed, SessionKeepers, keeper_name};
use crate::{
    fixtures::{
        API_KEY, BASE_URL, CLIENT_ID, PASSWORD, ScriptedHttp, authenticate_body, changed, config,
        json_response, response, session_claims, unsigned_token,
    },
    outage::Outage,
    session::Session,
    session_keeper,
    workos::{ClientInfo, WorkosClient},
};

const ACCESS_TOKEN_SECS: i64 = 300;
const COOKIE_MAX_AGE_SECS: i64 = 34_560_000;
const REVOKE_PATH: &str = "/user_management/sessions/revoke";

/// Several isolates with one WorkOS, the keepers of all sessions, and one clock.
struct World {
    http: Arc<ScriptedHttp>,
    clock: Arc<ManualClock>,
    objects: MemoryObjects,
    tasks: BackgroundTasks,
}

/// A WorkOS with one session, which accepts the refresh tokens `refresh_1`, `refresh_2`, … once each, in this
/// order, and revokes sessions.
fn rotating(clock: &Arc<ManualClock>) -> Arc<ScriptedHttp> {
    let (spent, clock) = (AtomicUsize::new(0), Arc::clone(clock));
    ScriptedHttp::new(move |request| {
        if request.uri().path() == REVOKE_PATH {
            return Ok(response(200, ""));
        }
        let body: Value = serde_json::from_slice(request.body()).unwrap();
        let token = body["refresh_token"].as_str().unwrap();
        let number: usize = token.strip_prefix("refresh_").unwrap().parse().unwrap();
        if spent.compare_exchange(number - 1, number, Ordering::Relaxed, Ordering::Relaxed).is_err()
        {
            return Ok(json_response(400, &json!({"error": "invalid_grant"})));
        }
        Ok(json_response(200, &tokens(clock.now(), number + 1)))
    })
}

/// WorkOS's response with the refresh token of this number and an access token of this time.
fn tokens(now: DateTime<chrono::Utc>, number: usize) -> Value {
    let times = json!({
        "sid": "session_1", "iat": now.timestamp(), "exp": now.timestamp() + ACCESS_TOKEN_SECS,
    });
    let access_token = unsigned_token(&changed(&session_claims(), times));
    let body = authenticate_body("user_ada", "session_1", &format!("refresh_{number}"));
    changed(&body, json!({"access_token": access_token}))
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::default());
        let http = rotating(&clock);
        let variables = [
            ("WORKOS_API_KEY", API_KEY),
            ("WORKOS_CLIENT_ID", CLIENT_ID),
            ("WORKOS_COOKIE_PASSWORD", PASSWORD),
            ("WORKOS_BASE_URL", BASE_URL),
        ];
        let host = MemoryHost::default()
            .with_clock(Arc::clone(&clock))
            .with_http_client(Arc::clone(&http) as _);
        let host = variables.iter().fold(host, |host, (name, value)| host.with_var(name, value));
        let tasks = BackgroundTasks::default();
        let class = move |context| Arc::new(session_keeper(&host, context)) as _;
        let spawned = tasks.clone();
        let objects = MemoryObjects::new(class, move |work| spawned.spawn(work));
        Self { http, clock, objects, tasks }
    }

    fn isolate(&self) -> Arc<SessionKeepers> {
        let workos = WorkosClient::new(Arc::clone(&self.http) as _, Arc::new(config(&[])));
        let clock = Arc::clone(&self.clock) as _;
        Arc::new(SessionKeepers::new(Arc::new(self.objects.clone()), workos, clock))
    }

    /// The session of a sign-in now.
    fn sign_in(&self, number: usize) -> Session {
        serde_json::from_value(tokens(self.clock.now(), number)).unwrap()
    }

    fn refuse(&self, status: u16, body: Value) {
        self.http.set_script(move |_| Ok(json_response(status, &body)));
    }

    fn count(&self, path: &str) -> usize {
        self.http.requests().iter().filter(|request| request.uri().path() == path).count()
    }

    fn exchanges(&self) -> usize {
        self.count("/user_management/authenticate")
    }

    fn revocations(&self) -> usize {
        self.count(REVOKE_PATH)
    }

    fn expire(&self) {
        self.clock.advance(Duration::seconds(ACCESS_TOKEN_SECS));
    }

    fn name(&self) -> String {
        keeper_name(&self.sign_in(1))
    }

    fn storage(&self) -> Arc<MemoryObjectStorage> {
        self.objects.storage(&self.name())
    }

    fn row(&self) -> Option<Value> {
        use edge_host::ObjectStorage;
        let row = self.storage().get("session").unwrap()?;
        Some(serde_json::from_str(&row).unwrap())
    }

    async fn run_alarms(&self) {
        self.objects.run_due_alarms(&*self.clock).await;
    }
}

async fn renew(isolate: &SessionKeepers, session: &Session) -> Result<String, RefreshError> {
    let renewed = isolate.renew(session, None, &ClientInfo::default()).await;
    renewed.map(refresh_token)
}

async fn switch(
    isolate: &SessionKeepers,
    session: &Session,
    organization_id: &str,
) -> Result<String, RefreshError> {
    let renewed = isolate.renew(session, Some(organization_id), &ClientInfo::default()).await;
    renewed.map(refresh_token)
}

fn refresh_token(renewed: Renewed) -> String {
    renewed.session.refresh_token.expose().to_owned()
}

async fn newest(world: &World, isolate: &SessionKeepers, session: &Session) -> Option<String> {
    let newest = isolate.newest(Arc::new(session.clone()), world.clock.now()).await?;
    Some(newest.refresh_token.expose().to_owned())
}

async fn sign_out(isolate: &Arc<SessionKeepers>, session: &Session) -> Result<(), Outage> {
    isolate.sign_out(session, &WaitUntil::default()).await
}

fn ok(token: &str) -> Result<String, RefreshError> {
    Ok(token.to_owned())
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// Polls `future` until WorkOS has received this many exchanges. `future` still waits for the response.
fn poll_until_exchange<T>(world: &World, future: &mut Boxed<'_, T>, exchanges: usize) {
    while world.exchanges() < exchanges {
        assert!(future.now_or_never().is_none());
    }
}

// One exchange.

#[tokio::test]
async fn concurrent_renewals_of_many_isolates_are_one_exchange() {
    let world = World::new();
    let old = world.sign_in(1);
    world.expire();
    let isolates: Vec<_> = (0..50).map(|_| world.isolate()).collect();
    let renewed = join_all(isolates.iter().map(|isolate| renew(isolate, &old))).await;
    assert!(renewed.iter().all(|token| *token == ok("refresh_2")), "{renewed:?}");
    assert_eq!(world.exchanges(), 1);
}

#[tokio::test]
async fn requests_share_an_exchange_of_eight_seconds() {
    let world = World::new();
    let old = world.sign_in(1);
    world.expire();
    let (first, second) = (world.isolate(), world.isolate());
    world.http.hold(true);
    let mut slow: Boxed<'_, _> = Box::pin(renew(&first, &old));
    poll_until_exchange(&world, &mut slow, 1);
    world.clock.advance(Duration::seconds(8));
    let mut late: Boxed<'_, _> = Box::pin(renew(&second, &old));
    assert!((&mut late).now_or_never().is_none());
    world.http.hold(false);
    assert_eq!((slow.await, late.await), (ok("refresh_2"), ok("refresh_2")));
    assert_eq!(world.exchanges(), 1);
}

#[tokio::test]
async fn exchange_continues_without_its_requests() {
    let world = World::new();
    let old = world.sign_in(1);
    world.expire();
    let isolate = world.isolate();
    let mut cancelled: Boxed<'_, _> = Box::pin(renew(&isolate, &old));
    poll_until_exchange(&world, &mut cancelled, 1);
    drop(cancelled);
    world.tasks.settle().await;
    assert_eq!(renew(&world.isolate(), &old).await, ok("refresh_2"));
    assert_eq!(world.exchanges(), 1);
}

#[tokio::test]
async fn failure_is_shared_and_then_forgotten() {
    for (status, body) in [(403, json!({"error": "sso_required"})), (503, json!({}))] {
        let world = World::new();
        let old = world.sign_in(1);
        world.expire();
        world.refuse(status, body);
        let isolate = world.isolate();
        world.http.hold(true);
        let mut requests: Vec<Boxed<'_, Result<String, RefreshError>>> =
            (0..20).map(|_| Box::pin(renew(&isolate, &old)) as Boxed<'_, _>).collect();
        for request in &mut requests {
            assert!(request.now_or_never().is_none());
        }
        world.http.hold(false);
        let results = join_all(requests).await;
        assert!(results.iter().all(|result| *result == results[0] && result.is_err()));
        assert_eq!(world.exchanges(), 1);
        let row = world.row();
        assert!(renew(&isolate, &old).await.is_err());
        assert_eq!(world.exchanges(), 2);
        assert_eq!(world.row(), row, "the failure is not stored");
    }
}

#[tokio::test]
async fn refresh_sends_the_client_info() {
    let world = World::new();
    let client = ClientInfo {
        ip_address: Some("192.0.2.7".to_owned()),
        user_agent: Some("Browser/1.0".to_owned()),
    };
    world.isolate().renew(&world.sign_in(1), None, &client).await.unwrap();
    let body: Value = serde_json::from_slice(world.http.requests()[0].body()).unwrap();
    assert_eq!(body["refresh_token"], "refresh_1");
    assert_eq!(
        (&body["ip_address"], &body["user_agent"]),
        (&json!("192.0.2.7"), &json!("Browser/1.0"))
    );
    assert_eq!(body.get("organization_id"), None);
}

#[tokio::test]
async fn unrotated_token_is_exchanged_once_for_each_expiry() {
    let world = World::new();
    let old = world.sign_in(1);
    let clock = Arc::clone(&world.clock);
    world.http.set_script(move |_| Ok(json_response(200, &tokens(clock.now(), 1))));
    for count in 1..=3 {
        world.expire();
        let isolates: Vec<_> = (0..5).map(|_| world.isolate()).collect();
        let renewed = join_all(isolates.iter().map(|isolate| renew(isolate, &old))).await;
        assert!(renewed.iter().all(|token| *token == ok("refresh_1")), "{renewed:?}");
        assert_eq!(world.exchanges(), count);
    }
}

// Late requests.

#[tokio::test]
async fn spent_token_leads_to_the_newest_session() {
    let world = World::new();
    let first = world.sign_in(1);
    let mut session = first.clone();
    for number in 2..=40 {
        world.expire();
        let renewed = world.isolate().renew(&session, None, &ClientInfo::default()).await.unwrap();
        session = Session::clone(&renewed.session);
        assert_eq!(session.refresh_token.expose(), format!("refresh_{number}"));
    }
    assert_eq!(renew(&world.isolate(), &first).await, ok("refresh_40"));
    assert_eq!(newest(&world, &world.isolate(), &first).await.as_deref(), Some("refresh_40"));
    assert_eq!(world.exchanges(), 39);
    world.clock.advance(Duration::days(30));
    assert_eq!(renew(&world.isolate(), &first).await, ok("refresh_41"), "the newest has expired");
    assert_eq!(world.exchanges(), 40);
}

#[tokio::test]
async fn unknown_token_with_earlier_time_leads_to_the_newest() {
    let world = World::new();
    let unknown = world.sign_in(77);
    world.clock.advance(Duration::seconds(1));
    let old = world.sign_in(1);
    world.expire();
    assert_eq!(renew(&world.isolate(), &old).await, ok("refresh_2"));
    assert_eq!(renew(&world.isolate(), &unknown).await, ok("refresh_2"));
    assert_eq!(world.exchanges(), 1);
}

#[tokio::test]
async fn unknown_token_with_later_time_becomes_the_newest() {
    let world = World::new();
    let old = world.sign_in(1);
    world.expire();
    assert_eq!(renew(&world.isolate(), &old).await, ok("refresh_2"));
    world.expire();
    let again = world.sign_in(50);
    let clock = Arc::clone(&world.clock);
    world.http.set_script(move |_| Ok(json_response(200, &tokens(clock.now(), 51))));
    assert_eq!(renew(&world.isolate(), &again).await, ok("refresh_51"));
    // The chain before it leads to it.
    assert_eq!(renew(&world.isolate(), &old).await, ok("refresh_51"));
    assert_eq!(world.exchanges(), 2);
}

#[tokio::test]
async fn refused_new_token_falls_back_to_the_newest() {
    let world = World::new();
    let old = world.sign_in(1);
    world.expire();
    assert_eq!(renew(&world.isolate(), &old).await, ok("refresh_2"));
    // Another version of the Worker has spent this token.
    let spent = world.sign_in(50);
    assert_eq!(renew(&world.isolate(), &spent).await, ok("refresh_2"));
    assert_eq!(world.exchanges(), 2);
}

// Eviction.

#[tokio::test]
async fn eviction_before_and_after_the_exchange_loses_nothing() {
    let world = World::new();
    let old = world.sign_in(1);
    world.expire();
    world.objects.evict_all();
    assert_eq!(renew(&world.isolate(), &old).await, ok("refresh_2"));
    world.objects.evict_all();
    assert_eq!(renew(&world.isolate(), &old).await, ok("refresh_2"));
    assert_eq!(world.exchanges(), 1);
}

#[tokio::test]
async fn eviction_before_workos_responds_repeats_the_exchange() {
    let world = World::new();
    let old = world.sign_in(1);
    world.expire();
    let isolates: Vec<_> = (0..5).map(|_| world.isolate()).collect();
    world.http.hold(true);
    let mut requests: Vec<Boxed<'_, Result<String, RefreshError>>> =
        isolates.iter().map(|isolate| Box::pin(renew(isolate, &old)) as Boxed<'_, _>).collect();
    for request in &mut requests {
        assert!(request.now_or_never().is_none());
    }
    poll_until_exchange(&world, &mut requests[0], 1);
    // WorkOS has not processed the request of the instance that ends here.
    world.objects.evict_all();
    world.http.hold(false);
    let renewed = join_all(requests).await;
    assert!(renewed.iter().all(|token| *token == ok("refresh_2")), "{renewed:?}");
    assert_eq!(world.exchanges(), 2);
}

#[tokio::test]
async fn eviction_ends_the_request_to_workos() {
    let world = World::new();
    let old = world.sign_in(1);
    let isolate = world.isolate();
    let users = Arc::strong_count(&world.http);
    world.http.hold(true);
    let mut waiting: Boxed<'_, _> = Box::pin(renew(&isolate, &old));
    poll_until_exchange(&world, &mut waiting, 1);
    drop(waiting);
    world.objects.evict_all();
    world.tasks.settle().await;
    assert_eq!(Arc::strong_count(&world.http), users, "nothing of the instance is left");
}

#[tokio::test]
async fn lost_response_is_asked_for_again() {
    let world = World::new();
    let old = world.sign_in(1);
    world.expire();
    world.objects.lose_responses(true);
    assert!(matches!(renew(&world.isolate(), &old).await, Err(RefreshError::Unavailable(_))));
    world.objects.lose_responses(false);
    assert_eq!(renew(&world.isolate(), &old).await, ok("refresh_2"));
    assert_eq!(world.exchanges(), 1);
}

#[tokio::test]
async fn failed_write_of_a_renewal_is_repeated() {
    let world = World::new();
    let old = world.sign_in(1);
    world.expire();
    let isolate = world.isolate();
    let mut waiting: Boxed<'_, _> = Box::pin(renew(&isolate, &old));
    poll_until_exchange(&world, &mut waiting, 1);
    world.storage().fail(true);
    assert!(matches!(waiting.await, Err(RefreshError::Unavailable(_))));
    assert!(matches!(renew(&isolate, &old).await, Err(RefreshError::Unavailable(_))));
    world.storage().fail(false);
    assert_eq!(renew(&isolate, &old).await, ok("refresh_2"));
    world.objects.evict_all();
    assert_eq!(renew(&isolate, &old).await, ok("refresh_2"));
    assert_eq!(world.exchanges(), 1);
}

#[tokio::test]
async fn token_is_not_spent_while_nothing_can_be_stored() {
    let world = World::new();
    let old = world.sign_in(1);
    world.expire();
    let isolate = world.isolate();
    world.storage().fail(true);
    for _ in 0..2 {
        assert!(matches!(renew(&isolate, &old).await, Err(RefreshError::Unavailable(_))));
        world.objects.evict_all();
    }
    assert_eq!(world.exchanges(), 0);
    world.storage().fail(false);
    assert_eq!(renew(&isolate, &old).await, ok("refresh_2"));
}

// The end of a session.

#[tokio::test]
async fn refused_exchange_ends_session_until_next_sign_in() {
    let world = World::new();
    let old = world.sign_in(1);
    world.expire();
    world.refuse(400, json!({"error": "invalid_grant"}));
    for _ in 0..3 {
        assert_eq!(renew(&world.isolate(), &old).await, Err(RefreshError::Ended));
        assert_eq!(newest(&world, &world.isolate(), &old).await, None);
    }
    assert_eq!(world.exchanges(), 1);
    world.objects.evict_all();
    assert_eq!(renew(&world.isolate(), &old).await, Err(RefreshError::Ended));
    assert_eq!(world.exchanges(), 1);

    let again = world.sign_in(50);
    let clock = Arc::clone(&world.clock);
    world.http.set_script(move |_| Ok(json_response(200, &tokens(clock.now(), 51))));
    assert_eq!(newest(&world, &world.isolate(), &again).await.as_deref(), Some("refresh_50"));
    assert_eq!(renew(&world.isolate(), &again).await, ok("refresh_51"));
    assert_eq!(renew(&world.isolate(), &old).await, ok("refresh_51"));
}

#[tokio::test]
async fn signed_out_session_is_not_renewed() {
    let world = World::new();
    let old = world.sign_in(1);
    world.expire();
    let isolate = world.isolate();
    sign_out(&isolate, &old).await.unwrap();
    assert!(isolate.is_signed_out(&old));
    world.objects.evict_all();
    for isolate in [isolate, world.isolate()] {
        assert_eq!(renew(&isolate, &old).await, Err(RefreshError::Ended));
        assert_eq!(switch(&isolate, &old, "org_2").await, Err(RefreshError::Ended));
        assert_eq!(newest(&world, &isolate, &old).await, None);
        assert!(isolate.is_signed_out(&old), "the isolate has learned of the sign-out");
    }
    assert_eq!(world.exchanges(), 0);
}

#[tokio::test]
async fn sign_out_overrides_a_renewal_under_way() {
    let world = World::new();
    let old = world.sign_in(1);
    world.expire();
    let (first, second) = (world.isolate(), world.isolate());
    let mut renewals: Vec<Boxed<'_, _>> =
        vec![Box::pin(renew(&first, &old)), Box::pin(renew(&second, &old))];
    world.http.hold(true);
    poll_until_exchange(&world, &mut renewals[0], 1);
    assert!(renewals[1].as_mut().now_or_never().is_none());
    sign_out(&world.isolate(), &old).await.unwrap();
    world.http.hold(false);
    for renewal in renewals {
        assert_eq!(renewal.await, Err(RefreshError::Ended));
    }
    assert_eq!(world.row().unwrap()["state"]["newest"], Value::Null, "the successor is dropped");
}

#[tokio::test]
async fn alarm_revokes_a_signed_out_session_once() {
    let world = World::new();
    let old = world.sign_in(1);
    let isolate = world.isolate();
    sign_out(&isolate, &old).await.unwrap();
    sign_out(&isolate, &old).await.unwrap();
    world.clock.advance(Duration::seconds(59));
    world.run_alarms().await;
    assert_eq!(world.revocations(), 0);
    world.clock.advance(Duration::seconds(1));
    world.objects.evict_all();
    world.run_alarms().await;
    assert_eq!(world.revocations(), 1);
    {
        let requests = world.http.requests();
        assert_eq!(requests[0].headers()["authorization"], format!("Bearer {API_KEY}"));
        let body: Value = serde_json::from_slice(requests[0].body()).unwrap();
        assert_eq!(body, json!({"session_id": "session_1"}));
    }
    sign_out(&isolate, &old).await.unwrap();
    world.clock.advance(Duration::days(2));
    world.run_alarms().await;
    assert_eq!(world.revocations(), 1);
    assert_eq!(renew(&world.isolate(), &old).await, Err(RefreshError::Ended));
}

#[tokio::test]
async fn revocation_is_repeated_until_workos_responds() {
    for (status, is_repeated) in [(503, true), (429, true), (401, true), (404, false), (400, false)]
    {
        let world = World::new();
        sign_out(&world.isolate(), &world.sign_in(1)).await.unwrap();
        world.refuse(status, json!({"message": "…"}));
        world.clock.advance(Duration::seconds(60));
        world.run_alarms().await;
        assert_eq!(world.revocations(), 1);
        world.clock.advance(Duration::seconds(120));
        world.run_alarms().await;
        assert_eq!(world.revocations(), if is_repeated { 2 } else { 1 }, "{status}");
        world.http.set_script(|_| Ok(response(200, "")));
        world.clock.advance(Duration::days(2));
        world.run_alarms().await;
        assert_eq!(world.revocations(), if is_repeated { 3 } else { 1 }, "{status}");
        assert!(world.row().unwrap()["state"]["revocation"].is_null());
    }
}

#[tokio::test]
async fn sign_out_without_keeper_revokes_at_workos() {
    let world = World::new();
    let old = world.sign_in(1);
    let isolate = world.isolate();
    world.objects.set_unreachable(true);
    world.http.set_script(|_| Err(HttpClientError::Timeout));
    assert!(sign_out(&isolate, &old).await.is_err());
    assert!(!isolate.is_signed_out(&old), "the user is still signed in");
    world.http.set_script(|_| Ok(response(200, "")));
    sign_out(&isolate, &old).await.unwrap();
    assert!(isolate.is_signed_out(&old));
    assert_eq!(world.revocations(), 2);
}

#[tokio::test]
async fn replaced_session_is_absent_from_late_responses() {
    let world = World::new();
    let old = world.sign_in(1);
    let began = world.clock.now();
    world.clock.advance(Duration::seconds(1));
    world.isolate().replace(&old, &WaitUntil::default()).await;
    let late = world.isolate().newest(Arc::new(old.clone()), began).await;
    assert!(late.is_none());
    // The response to the sign-in may still be under way.
    world.clock.advance(Duration::seconds(1));
    assert!(newest(&world, &world.isolate(), &old).await.is_none());
    // A later request carries the session only if the browser dropped the new one.
    world.clock.advance(Duration::seconds(10));
    assert_eq!(newest(&world, &world.isolate(), &old).await.as_deref(), Some("refresh_1"));
    assert_eq!(renew(&world.isolate(), &old).await, ok("refresh_2"));
}

// Organizations.

#[tokio::test]
async fn switch_exchanges_the_newest_session() {
    let world = World::new();
    let old = world.sign_in(1);
    assert_eq!(renew(&world.isolate(), &old).await, ok("refresh_2"));
    assert_eq!(switch(&world.isolate(), &old, "org_2").await, ok("refresh_3"));
    assert_eq!(switch(&world.isolate(), &old, "org_3").await, ok("refresh_4"));
    let bodies: Vec<Value> = world
        .http
        .requests()
        .iter()
        .map(|request| serde_json::from_slice::<Value>(request.body()).unwrap())
        .map(|body| json!([body["refresh_token"], body["organization_id"]]))
        .collect();
    assert_eq!(
        bodies,
        [json!(["refresh_1", null]), json!(["refresh_2", "org_2"]), json!(["refresh_3", "org_3"])]
    );
}

#[tokio::test]
async fn renewal_shares_a_concurrent_switch() {
    let world = World::new();
    let old = world.sign_in(1);
    world.expire();
    let (first, second) = (world.isolate(), world.isolate());
    let mut switched: Boxed<'_, _> = Box::pin(switch(&first, &old, "org_2"));
    poll_until_exchange(&world, &mut switched, 1);
    let (switched, renewed) = futures_util::future::join(switched, renew(&second, &old)).await;
    assert_eq!((switched, renewed), (ok("refresh_2"), ok("refresh_2")));
    assert_eq!(world.exchanges(), 1);
}

#[tokio::test]
async fn switch_follows_a_concurrent_renewal() {
    let world = World::new();
    let old = world.sign_in(1);
    world.expire();
    let (first, second) = (world.isolate(), world.isolate());
    let mut renewed: Boxed<'_, _> = Box::pin(renew(&first, &old));
    poll_until_exchange(&world, &mut renewed, 1);
    let (renewed, switched) =
        futures_util::future::join(renewed, switch(&second, &old, "org_2")).await;
    assert_eq!(switched, ok("refresh_3"));
    assert!(renewed == ok("refresh_2") || renewed == ok("refresh_3"), "{renewed:?}");
    assert_eq!(world.exchanges(), 2);
}

#[tokio::test]
async fn refused_switch_leaves_the_session_renewable() {
    for code in ["sso_required", "invalid_grant"] {
        let world = World::new();
        let old = world.sign_in(1);
        world.expire();
        world.refuse(403, json!({"error": code}));
        assert!(switch(&world.isolate(), &old, "org_2").await.is_err());
        let clock = Arc::clone(&world.clock);
        world.http.set_script(move |_| Ok(json_response(200, &tokens(clock.now(), 2))));
        assert_eq!(renew(&world.isolate(), &old).await, ok("refresh_2"), "{code}");
    }
}

// Outages.

#[tokio::test]
async fn unreachable_keeper_is_an_outage() {
    let world = World::new();
    let old = world.sign_in(1);
    world.objects.set_unreachable(true);
    assert!(matches!(renew(&world.isolate(), &old).await, Err(RefreshError::Unavailable(_))));
    assert_eq!(newest(&world, &world.isolate(), &old).await.as_deref(), Some("refresh_1"));
    assert_eq!(world.exchanges(), 0);
}

#[tokio::test]
async fn unknown_version_is_an_outage_and_changes_nothing() {
    use edge_host::ObjectStorage;
    let world = World::new();
    let old = world.sign_in(1);
    let row = r#"{"v":2,"state":{"sessions":[]}}"#;
    world.storage().put("session", row).unwrap();
    world.storage().set_alarm(Some(world.clock.now())).unwrap();
    assert!(matches!(renew(&world.isolate(), &old).await, Err(RefreshError::Unavailable(_))));
    world.isolate().replace(&old, &WaitUntil::default()).await;
    world.objects.run_alarm(&world.name(), world.clock.now() + Duration::days(1)).await;
    assert_eq!(world.storage().get("session").unwrap().as_deref(), Some(row));
    for message in [
        r#"{"v":2,"message":{"renew":{}}}"#,
        r#"{"v":1,"message":{"renew":{}}}"#,
        r#"{"v":1,"message":{"forget":{}}}"#,
        "{}",
        "",
    ] {
        assert!(world.objects.send("other", message).await.is_err(), "{message}");
    }
    assert_eq!(world.exchanges(), 0);
}

#[tokio::test]
async fn session_without_id_is_renewed() {
    let world = World::new();
    let without_id = |mut tokens: Value| {
        let claims = changed(&session_claims(), json!({"sid": null}));
        tokens["access_token"] = unsigned_token(&claims).into();
        tokens
    };
    let old: Session = serde_json::from_value(without_id(tokens(world.clock.now(), 1))).unwrap();
    let clock = Arc::clone(&world.clock);
    world.http.set_script(move |_| Ok(json_response(200, &without_id(tokens(clock.now(), 2)))));
    let renewed = world.isolate().renew(&old, None, &ClientInfo::default()).await.unwrap();
    world.expire();
    // The spent token leads to its successor, which has a keeper of its own.
    assert_eq!(renew(&world.isolate(), &old).await, ok("refresh_2"));
    assert_eq!(world.exchanges(), 1);
    assert_ne!(keeper_name(&old), keeper_name(&renewed.session));
    sign_out(&world.isolate(), &old).await.unwrap();
}

// Storage.

#[tokio::test]
async fn row_shows_no_token() {
    let world = World::new();
    let old = world.sign_in(1);
    world.expire();
    renew(&world.isolate(), &old).await.unwrap();
    sign_out(&world.isolate(), &old).await.unwrap();
    let row = world.row().unwrap().to_string();
    for secret in ["refresh_1", "refresh_2", "session_1", old.access_token.expose()] {
        assert!(!row.contains(secret), "{row}");
    }
}

#[tokio::test]
async fn renewal_writes_its_row_twice() {
    let world = World::new();
    let old = world.sign_in(1);
    world.expire();
    let renewed = world.isolate().renew(&old, None, &ClientInfo::default()).await.unwrap();
    assert_eq!(world.storage().take_rows_written(), 3, "with the alarm");
    world.expire();
    world.isolate().renew(&renewed.session, None, &ClientInfo::default()).await.unwrap();
    assert_eq!(world.storage().take_rows_written(), 2);
    newest(&world, &world.isolate(), &old).await.unwrap();
    assert_eq!(world.storage().take_rows_written(), 0);
}

#[tokio::test]
async fn storage_is_cleaned_after_the_last_cookie() {
    let world = World::new();
    let old = world.sign_in(1);
    let renewed = world.isolate().renew(&old, None, &ClientInfo::default()).await.unwrap();
    world.clock.advance(Duration::days(200));
    world.isolate().renew(&renewed.session, None, &ClientInfo::default()).await.unwrap();
    world.clock.advance(Duration::seconds(COOKIE_MAX_AGE_SECS) - Duration::days(1));
    world.run_alarms().await;
    assert!(world.row().is_some());
    world.clock.advance(Duration::days(2));
    world.run_alarms().await;
    assert!(world.row().is_none());
    assert_eq!(world.objects.next_alarm(), None);
}
