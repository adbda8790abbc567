//! `POST /webhooks/workos`: accepts events signed by WorkOS only, and handles repeated ones.

use axum::body::Body;
use chrono::Duration;
use hmac::{Hmac, Mac};
use http::Method;
use serde_json::json;
use sha2::Sha256;

use crate::support::{
    ADA, Client, GRACE, KvOperation, TestApp,
    app::{TestResponse, request},
    logs,
};

const PATH: &str = "/webhooks/workos";
const SECRET: &str = "whsec_of_this_endpoint";
const LUNCH: &str = r#"{"description": "Team lunch", "amount": 42.5}"#;
/// The operations that one invocation may spend.
const MAX_OPERATIONS: usize = 900;

/// The variables of a Worker that accepts events.
pub const VARIABLES: &[(&str, &str)] = &[("WORKOS_WEBHOOK_SECRET", SECRET)];

fn app() -> TestApp {
    TestApp::with_variables(VARIABLES)
}

pub fn event(name: &str, user_id: &str) -> String {
    json!({
        "id": "event_01", "event": name, "created_at": "2026-11-23T12:00:00.000Z",
        "data": {"object": "user", "id": user_id, "email": "ada@example.com", "first_name": null},
    })
    .to_string()
}

fn hex(secret: &str, time: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{time}.").as_bytes());
    mac.update(body);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn millis(app: &TestApp, ahead: Duration) -> String {
    use edge_host::Clock;
    (app.clock.now() + ahead).timestamp_millis().to_string()
}

/// `t` and `v1` of a signature by WorkOS on this body, now.
fn signed(app: &TestApp, body: &[u8]) -> (String, String) {
    let time = millis(app, Duration::zero());
    let v1 = hex(SECRET, &time, body);
    (time, v1)
}

async fn post(app: &TestApp, signatures: &[&str], body: impl Into<Body>) -> TestResponse {
    let mut request = request(Method::POST, PATH).header("content-type", "application/json");
    for signature in signatures {
        request = request.header("workos-signature", *signature);
    }
    app.send(request.body(body.into()).unwrap()).await
}

/// Delivers an event as WorkOS does.
pub async fn deliver(app: &TestApp, body: &str) -> TestResponse {
    let (t, v1) = signed(app, body.as_bytes());
    post(app, &[&format!("t={t}, v1={v1}")], body.to_owned()).await
}

#[tokio::test]
async fn path_is_404_without_a_secret() {
    let app = TestApp::new();
    let elsewhere = app.anonymous().get("/webhooks/elsewhere").await.expect(404);
    assert_eq!(app.anonymous().get(PATH).await.expect(404).body, elsewhere.body);
    let body = event("user.deleted", ADA.id);
    for secret in ["", SECRET] {
        let v1 = hex(secret, &millis(&app, Duration::zero()), body.as_bytes());
        let signature = format!("t={}, v1={v1}", millis(&app, Duration::zero()));
        let response = post(&app, &[&signature], body.clone()).await.expect(404);
        assert_eq!(response.body, elsewhere.body);
    }
    assert_eq!(
        app.isolate_with_variables(&[("WORKOS_WEBHOOK_SECRET", "")])
            .anonymous()
            .get(PATH)
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn removal_leaves_no_idempotency_key() {
    let app = app();
    for number in 0..600 {
        app.create_with_key(ADA, &number.to_string(), LUNCH).await.expect(201);
    }
    let rows = |prefix| app.ledgers.storage(ADA.id).list(prefix).unwrap().len();
    assert_eq!((rows("key:"), rows("keys")), (600, 1));
    deliver(&app, &event("user.deleted", ADA.id)).await.expect(200);
    assert_eq!((rows("key:"), rows("keys"), rows("log:")), (0, 0, 0));
}

#[tokio::test]
async fn path_accepts_only_posts() {
    let app = app();
    let response = app.anonymous().get(PATH).await.expect(405);
    assert_eq!(response.header("allow"), "POST");
}

#[tokio::test]
async fn delivery_without_a_valid_signature_is_refused() {
    let app = app();
    app.create_with_key(ADA, "key", LUNCH).await.expect(201);
    let keys = app.kv.keys();
    app.kv.take_operations();
    logs::take();
    let body = event("user.deleted", ADA.id);
    let (t, v1) = signed(&app, body.as_bytes());
    let with = |secret| hex(secret, &t, body.as_bytes());
    for signature in [
        String::new(),
        format!("t={t}"),
        format!("v1={v1}"),
        format!("t={t}, v1="),
        format!("t={t}, v1={}", &v1[..62]),
        format!("t={t}, v1={v1}00"),
        format!("t={t}, v1={}", "zz".repeat(32)),
        format!("t={t}, v1={}", "+1".repeat(32)),
        format!("t={t}, v1={}", "00".repeat(32)),
        format!("t={t}, v2={v1}"),
        format!("t={t}; v1={v1}"),
        format!("t={t}, t={t}, v1={v1}"),
        format!("t=0, t={t}, v1={v1}"),
        format!("t={t}, v1={v1}, nonsense"),
        format!("t=+{t}, v1={v1}"),
        format!("t=0{t}, v1={v1}"),
        format!("t={t}, v1={}", with("whsec_wrong")),
        format!("t={t}, v1={}", with("")),
        // A signature of the body without the time.
        format!("t={t}, v1={}", hex(SECRET, "", body.as_bytes())),
    ] {
        let response = post(&app, &[&signature], body.clone()).await;
        assert_eq!(response.status, 400, "{signature}");
        assert!(response.detail().to_lowercase().contains("signature"), "{}", response.body);
    }
    let good = format!("t={t}, v1={v1}");
    assert!(
        post(&app, &[], body.clone())
            .await
            .expect(400)
            .detail()
            .contains("WorkOS-Signature header")
    );
    post(&app, &[&good, &good], body.clone()).await.expect(400);
    for changed in [
        body.replace("user_ada", "user_adb"),
        format!("{body} "),
        body[1..].to_owned(),
        String::new(),
    ] {
        let response = post(&app, &[&good], changed).await.expect(400);
        assert!(response.detail().contains("does not match the body"), "{}", response.body);
    }
    assert_eq!(app.kv.take_operations(), []);
    assert_eq!(app.kv.keys(), keys);
    // Each leaves one event, which has nothing of the request.
    let lines = logs::take();
    assert_eq!(lines.len(), 25);
    for line in lines {
        let reasons = ["no_signature", "mismatch", "stale"];
        let is_expected = |reason: &&str| {
            let event = r#"{"event":"webhook_refused","request":"ray-of-the-test""#;
            line == format!(r#"{event},"reason":"{reason}"}}"#)
        };
        assert!(reasons.iter().any(is_expected), "{line}");
    }
}

#[tokio::test]
async fn deleted_users_data_is_removed_and_no_others() {
    let app = app();
    for user in [ADA, GRACE] {
        app.create_with_key(user, "key", LUNCH).await.expect(201);
        let token = app.authkit.access_token(user);
        app.bearer(&token).post("/expenses", LUNCH).await.expect(201);
    }
    // Keys next to the prefix, of users who are not deleted.
    for key in
        ["expense:user_ada", "expense:user_adah:x", "expense:user_ada%3A:x", "authkit:user_ada:x"]
    {
        app.kv.insert_raw(key, "{}", None);
    }
    app.kv.insert_raw("expense:user_ada:not-an-id", "{", None);
    app.kv.insert_raw("idempotency:user_ada:x", "{}", None);
    app.kv.insert_raw("idempotency:user_grace:x", "{}", None);
    app.kv.take_operations();
    deliver(&app, &event("user.deleted", ADA.id)).await.expect(200);
    assert_eq!(app.kv.take_operations(), []);
    app.pass(Duration::zero()).await;
    assert_eq!(
        app.kv.take_operations(),
        [
            KvOperation::List,
            KvOperation::Delete,
            KvOperation::Delete,
            KvOperation::Delete,
            KvOperation::List,
            KvOperation::Delete
        ]
    );
    let left = app.kv.keys();
    assert_eq!(left.iter().filter(|key| key.contains(":user_grace:")).count(), 3);
    assert_eq!(left.len(), 3 + 4, "{left:?}");
    assert_eq!(app.expenses_of(ADA).await.len(), 0);
    assert_eq!(app.expenses_of(GRACE).await.len(), 2);
}

#[tokio::test]
async fn repeated_or_late_event_is_harmless() {
    let app = app();
    app.create_with_key(ADA, "key", LUNCH).await.expect(201);
    for name in ["user.deleted", "user.deleted", "user.created", "user.updated", "user.deleted"] {
        app.clock.advance(Duration::hours(1));
        deliver(&app, &event(name, ADA.id)).await.expect(200);
        app.pass(Duration::zero()).await;
        assert_eq!(app.kv.keys(), [""; 0], "{name}");
    }
    deliver(&app, &event("user.deleted", "user_that_never_was")).await.expect(200);
}

#[tokio::test]
async fn other_events_are_acknowledged_and_ignored() {
    let app = app();
    app.create_with_key(ADA, "key", LUNCH).await.expect(201);
    app.kv.take_operations();
    let deep = format!(
        r#"{{"data": {}{}, "event": "dsync.user.updated"}}"#,
        "[".repeat(50_000),
        "]".repeat(50_000)
    );
    for body in [
        event("user.updated", ADA.id),
        event("USER.DELETED", ADA.id),
        event("dsync.user.deleted", ADA.id),
        event("session.revoked", ADA.id),
        event("something.of.next.year", ADA.id),
        r#"{"event": "ping"}"#.to_owned(),
        deep,
    ] {
        deliver(&app, &body).await.expect(200);
    }
    assert_eq!(app.kv.take_operations(), []);
}

#[tokio::test]
async fn signed_body_that_is_not_an_event_is_400() {
    let app = app();
    app.create_with_key(ADA, "key", LUNCH).await.expect(201);
    app.kv.take_operations();
    for body in [
        "",
        "{",
        "[]",
        "null",
        r#""user.deleted""#,
        "{}",
        r#"{"event": 1}"#,
        r#"{"event": "user.deleted"}"#,
        r#"{"event": "user.deleted", "data": null}"#,
        r#"{"event": "user.deleted", "data": {}}"#,
        r#"{"event": "user.deleted", "data": {"id": null}}"#,
        r#"{"event": "user.deleted", "data": {"id": ["user_ada"]}}"#,
    ] {
        let response = deliver(&app, body).await.expect(400);
        assert_eq!(response.detail(), "The body is not an event", "{body}");
    }
    assert_eq!(app.kv.take_operations(), []);
}

#[tokio::test]
async fn body_over_256_kib_is_refused() {
    let app = app();
    let body =
        |bytes: usize| format!(r#"{{"event": "x", "padding": "{}"}}"#, "x".repeat(bytes - 29));
    let longest = body(256 * 1024);
    assert_eq!(longest.len(), 256 * 1024);
    deliver(&app, &longest).await.expect(200);
    deliver(&app, &body(256 * 1024 + 1)).await.expect(413);
}

fn seed(app: &TestApp, count: usize) {
    for index in 0..count {
        app.kv.insert_raw(&format!("expense:user_ada:{index:026}"), "{}", None);
    }
}

#[tokio::test]
async fn removal_continues_over_several_alarms() {
    for count in [2_500, MAX_OPERATIONS - 1, MAX_OPERATIONS] {
        let app = app();
        seed(&app, count);
        for index in 0..30 {
            app.kv.insert_raw(&format!("idempotency:user_ada:{index:064}"), "{}", None);
        }
        app.kv.insert_raw("expense:user_grace:x", "{}", None);
        deliver(&app, &event("user.deleted", ADA.id)).await.expect(200);
        let mut runs = 0;
        while app.kv.keys() != ["expense:user_grace:x"] {
            app.kv.take_operations();
            app.pass(if runs == 0 { Duration::zero() } else { Duration::minutes(1) }).await;
            runs += 1;
            assert!(app.kv.take_operations().len() <= MAX_OPERATIONS);
        }
        assert_eq!(runs, count.div_ceil(MAX_OPERATIONS - 1).max(2), "{count}");
    }
}

#[tokio::test]
async fn removal_goes_on_after_kv_failures() {
    for (operation, successes) in [
        (KvOperation::List, 0),
        (KvOperation::Delete, 0),
        (KvOperation::Delete, 40),
        (KvOperation::List, 1),
    ] {
        let app = app();
        seed(&app, 100);
        app.kv.fail_after(Some(operation), successes);
        deliver(&app, &event("user.deleted", ADA.id)).await.expect(200);
        app.pass(Duration::hours(1)).await;
        assert_eq!(app.expenses_of(ADA).await.len(), 0, "{operation} {successes}");
        app.kv.fail(None);
        app.pass(Duration::minutes(6)).await;
        assert_eq!(app.kv.keys(), [""; 0]);
    }
}

#[tokio::test]
async fn removal_looks_again_for_late_writes() {
    let app = app();
    seed(&app, 1);
    deliver(&app, &event("user.deleted", ADA.id)).await.expect(200);
    app.pass(Duration::minutes(2)).await;
    assert_eq!(app.kv.keys(), [""; 0]);
    // KV performs a write that has timed out before the erasure.
    seed(&app, 1);
    assert_eq!(app.expenses_of(ADA).await.len(), 0);
    app.pass(Duration::minutes(30)).await;
    assert_eq!(app.kv.keys(), [""; 0]);
    assert_eq!(app.ledgers.next_alarm(), None);
}

#[tokio::test]
async fn unreachable_ledger_is_503() {
    let app = app();
    app.create_with_key(ADA, "key", LUNCH).await.expect(201);
    app.ledgers.set_unreachable(true);
    let response = deliver(&app, &event("user.deleted", ADA.id)).await.expect(503);
    assert_eq!(response.header("retry-after"), "60");
    assert!(response.detail().contains("deliver the event again"), "{}", response.body);
    app.ledgers.set_unreachable(false);
    assert_eq!(app.expenses_of(ADA).await.len(), 1);
}

#[tokio::test]
async fn deleted_users_token_restores_nothing_by_reading() {
    let app = app();
    let made = app.create_with_key(ADA, "key", LUNCH).await.expect(201).json();
    deliver(&app, &event("user.deleted", ADA.id)).await.expect(200);
    let token = app.authkit.access_token(ADA);
    let path = format!("/expenses/{}", made["id"].as_str().unwrap());
    for isolate in [&app, &app.isolate()] {
        assert_eq!(isolate.bearer(&token).get("/expenses").await.expect(200).body, "[]");
        isolate.bearer(&token).get("/expenses/summary").await.expect(200);
        isolate.bearer(&token).get(&path).await.expect(404);
        for response in [
            isolate.bearer(&token).send_json(Method::PATCH, &path, "{}").await,
            isolate.bearer(&token).send_json(Method::PUT, &path, LUNCH).await,
            isolate.bearer(&token).delete(&path).await,
            isolate.bearer(&token).post("/expenses", LUNCH).await,
            isolate.create_with_key(ADA, "key", LUNCH).await,
        ] {
            assert!(response.expect(403).detail().contains("account was deleted"));
        }
    }
    app.pass(Duration::zero()).await;
    assert_eq!(app.kv.keys(), [""; 0]);
}

#[tokio::test]
async fn secrets_appear_in_no_log_line_or_response() {
    let app = app();
    seed(&app, 2_000);
    logs::take();
    let body = event("user.deleted", ADA.id);
    let (t, v1) = signed(&app, body.as_bytes());
    app.ledgers.set_unreachable(true);
    let mut responses = vec![deliver(&app, &body).await.expect(503)];
    responses.push(post(&app, &[&format!("t={t}, v1={v1}")], format!("{body} ")).await.expect(400));
    responses.push(
        deliver(&app, r#"{"event": "user.deleted", "data": "ada@example.com"}"#).await.expect(400),
    );
    app.ledgers.set_unreachable(false);
    app.kv.fail(Some(KvOperation::Delete));
    responses.push(deliver(&app, &body).await.expect(200));
    app.pass(Duration::hours(1)).await;
    let lines = logs::take();
    assert!(lines.iter().any(|line| line.contains("503")), "{lines:?}");
    let said: Vec<String> =
        responses.iter().map(|response| format!("{response:?}")).chain(lines).collect();
    for text in said {
        for secret in [SECRET, v1.as_str(), "user_ada", "ada@example.com"] {
            assert!(!text.contains(secret), "{secret} is in {text}");
        }
    }
}
