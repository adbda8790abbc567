//! `POST /webhooks/workos`: believed only from WorkOS, and harmless however often it comes.

use axum::body::Body;
use chrono::Duration;
use edge_host::WaitUntil;
use futures_util::FutureExt;
use hmac::{Hmac, Mac};
use http::Method;
use serde_json::json;
use sha2::Sha256;

use crate::support::{
    ADA, GRACE, KvOperation, TestApp,
    app::{Answer, request},
    logs,
};

const PATH: &str = "/webhooks/workos";
const SECRET: &str = "whsec_of_this_endpoint";
const LUNCH: &str = r#"{"description": "Team lunch", "amount": 42.5}"#;
/// As many operations as one invocation may spend on it.
const MAX_OPERATIONS: usize = 900;

fn app() -> TestApp {
    TestApp::with_variables(&[("WORKOS_WEBHOOK_SECRET", SECRET)])
}

fn event(name: &str, user_id: &str) -> String {
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

/// `t` and `v1` as WorkOS would sign this body now.
fn signed(app: &TestApp, body: &[u8]) -> (String, String) {
    let time = millis(app, Duration::zero());
    let v1 = hex(SECRET, &time, body);
    (time, v1)
}

async fn post(app: &TestApp, signatures: &[&str], body: impl Into<Body>) -> Answer {
    let mut request = request(Method::POST, PATH).header("content-type", "application/json");
    for signature in signatures {
        request = request.header("workos-signature", *signature);
    }
    app.send(request.body(body.into()).unwrap()).await
}

/// As WorkOS does it.
async fn deliver(app: &TestApp, body: &str) -> Answer {
    let (t, v1) = signed(app, body.as_bytes());
    post(app, &[&format!("t={t}, v1={v1}")], body.to_owned()).await
}

#[tokio::test]
async fn without_a_secret_there_is_no_such_path() {
    let app = TestApp::new();
    let elsewhere = app.get("/webhooks/elsewhere").await.expect(404);
    assert_eq!(app.get(PATH).await.expect(404).body, elsewhere.body);
    let body = event("user.deleted", ADA.id);
    for secret in ["", SECRET] {
        let v1 = hex(secret, &millis(&app, Duration::zero()), body.as_bytes());
        let signature = format!("t={}, v1={v1}", millis(&app, Duration::zero()));
        let answer = post(&app, &[&signature], body.clone()).await.expect(404);
        assert_eq!(answer.body, elsewhere.body);
    }
    assert_eq!(
        app.isolate_with_variables(&[("WORKOS_WEBHOOK_SECRET", "")]).get(PATH).await.status,
        404
    );
}

#[tokio::test]
async fn with_a_secret_the_path_takes_posts_alone() {
    let app = app();
    let answer = app.get(PATH).await.expect(405);
    assert_eq!(answer.header("allow"), "POST");
}

#[tokio::test]
async fn what_is_not_signed_by_workos_is_refused_and_does_nothing() {
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
        // Over the body alone.
        format!("t={t}, v1={}", hex(SECRET, "", body.as_bytes())),
    ] {
        let answer = post(&app, &[&signature], body.clone()).await;
        assert_eq!(answer.status, 400, "{signature}");
        assert!(answer.detail().to_lowercase().contains("signature"), "{}", answer.body);
    }
    let good = format!("t={t}, v1={v1}");
    assert!(post(&app, &[], body.clone()).await.expect(400).detail().contains("no WorkOS-Sig"));
    post(&app, &[&good, &good], body.clone()).await.expect(400);
    for changed in [
        body.replace("user_ada", "user_adb"),
        format!("{body} "),
        body[1..].to_owned(),
        String::new(),
    ] {
        let answer = post(&app, &[&good], changed).await.expect(400);
        assert!(answer.detail().contains("not that of this body"), "{}", answer.body);
    }
    assert_eq!(app.kv.take_operations(), []);
    assert_eq!(app.kv.keys(), keys);
    // Anybody can send these: they fill no log.
    assert_eq!(logs::take(), [""; 0]);
}

#[tokio::test]
async fn what_a_deleted_user_had_is_gone_and_nobody_elses() {
    let app = app();
    for user in [ADA, GRACE] {
        app.create_with_key(user, "key", LUNCH).await.expect(201);
        let token = app.authkit.access_token(user);
        app.post_as(&token, "/expenses", LUNCH).await.expect(201);
    }
    // Neighbours of the prefix, whose owners nobody has deleted.
    for key in
        ["expense:user_ada", "expense:user_adah:x", "expense:user_ada%3A:x", "authkit:user_ada:x"]
    {
        app.kv.insert_raw(key, "{}", None);
    }
    app.kv.insert_raw("expense:user_ada:not-an-id", "{", None);
    app.kv.take_operations();
    deliver(&app, &event("user.deleted", ADA.id)).await.expect(200);
    let operations = app.kv.take_operations();
    assert_eq!(
        operations,
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
async fn an_event_that_comes_again_or_late_does_no_harm() {
    let app = app();
    app.create_with_key(ADA, "key", LUNCH).await.expect(201);
    for name in ["user.deleted", "user.deleted", "user.created", "user.updated", "user.deleted"] {
        app.clock.advance(Duration::hours(1));
        deliver(&app, &event(name, ADA.id)).await.expect(200);
        assert_eq!(app.kv.keys(), [""; 0], "{name}");
    }
    deliver(&app, &event("user.deleted", "user_that_never_was")).await.expect(200);
}

#[tokio::test]
async fn events_that_are_not_ours_are_taken_and_do_nothing() {
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
async fn what_workos_has_signed_and_is_no_event_is_400() {
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
        let answer = deliver(&app, body).await.expect(400);
        assert_eq!(answer.detail(), "The body is not an event", "{body}");
    }
    assert_eq!(app.kv.take_operations(), []);
}

#[tokio::test]
async fn a_body_of_256_kib_is_read_and_a_longer_one_is_not() {
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
async fn more_than_one_delivery_may_remove_is_removed_by_the_next_ones() {
    for count in [2_500, MAX_OPERATIONS - 1, MAX_OPERATIONS] {
        let app = app();
        seed(&app, count);
        for index in 0..30 {
            app.kv.insert_raw(&format!("idempotency:user_ada:{index:064}"), "{}", None);
        }
        app.kv.insert_raw("expense:user_grace:x", "{}", None);
        let mut deliveries = 0;
        loop {
            let before = app.kv.keys().len();
            app.kv.take_operations();
            let answer = deliver(&app, &event("user.deleted", ADA.id)).await;
            deliveries += 1;
            let operations = app.kv.take_operations();
            assert!(operations.len() <= MAX_OPERATIONS, "{}", operations.len());
            let removed =
                operations.iter().filter(|operation| **operation == KvOperation::Delete).count();
            assert_eq!(app.kv.keys().len(), before - removed, "what is done stays done");
            if answer.status == 200 {
                break;
            }
            let answer = answer.expect(503);
            assert_eq!(answer.header("retry-after"), "60");
            assert!(answer.detail().contains("deliver the event again"), "{}", answer.body);
            assert!(removed > MAX_OPERATIONS - 5, "{removed}");
        }
        assert_eq!(deliveries, count.div_ceil(MAX_OPERATIONS - 1).max(2), "{count}");
        assert_eq!(app.kv.keys(), ["expense:user_grace:x"]);
    }
}

#[tokio::test]
async fn a_failing_kv_is_503_and_what_was_removed_before_is_gone() {
    for (operation, successes, left) in [
        (KvOperation::List, 0, 100),
        (KvOperation::Delete, 0, 100),
        (KvOperation::Delete, 40, 60),
        (KvOperation::List, 1, 0),
    ] {
        let app = app();
        seed(&app, 100);
        app.kv.fail_after(Some(operation), successes);
        let answer = deliver(&app, &event("user.deleted", ADA.id)).await.expect(503);
        assert_eq!(answer.header("retry-after"), "60");
        assert!(!answer.body.contains("made to fail"), "{}", answer.body);
        assert_eq!(app.kv.keys().len(), left, "{operation} {successes}");
        app.kv.fail(None);
        deliver(&app, &event("user.deleted", ADA.id)).await.expect(200);
        assert_eq!(app.kv.keys(), [""; 0]);
    }
}

#[tokio::test]
async fn a_kv_that_gives_no_answer_is_503_in_time() {
    for operation in [KvOperation::List, KvOperation::Delete] {
        let app = app();
        seed(&app, 10);
        app.kv.hold_operation(Some(operation));
        let body = event("user.deleted", ADA.id);
        app.let_time_pass(&app.kv, deliver(&app, &body)).await.expect(503);
        app.kv.hold_operation(None);
        deliver(&app, &body).await.expect(200);
        assert_eq!(app.kv.keys(), [""; 0]);
    }
}

#[tokio::test]
async fn removing_goes_on_although_workos_waits_no_longer() {
    let app = app();
    seed(&app, 10);
    app.kv.hold_operation(Some(KvOperation::Delete));
    let body = event("user.deleted", ADA.id);
    let (t, v1) = signed(&app, body.as_bytes());
    let request = request(Method::POST, PATH)
        .header("workos-signature", format!("t={t}, v1={v1}"))
        .extension(WaitUntil::new(|work| drop(tokio::spawn(work))));
    let mut delivery = Box::pin(app.send(request.body(body.into()).unwrap()));
    while !app.kv.is_waiting() {
        assert!((&mut delivery).now_or_never().is_none());
    }
    drop(delivery);
    app.kv.hold_operation(None);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(app.kv.keys(), [""; 0]);
}

#[tokio::test]
async fn a_deleted_users_token_brings_nothing_back_by_reading() {
    let app = app();
    let made = app.create_with_key(ADA, "key", LUNCH).await.expect(201).json();
    deliver(&app, &event("user.deleted", ADA.id)).await.expect(200);
    let token = app.authkit.access_token(ADA);
    let path = format!("/expenses/{}", made["id"].as_str().unwrap());
    for isolate in [&app, &app.isolate()] {
        assert_eq!(isolate.get_as(&token, "/expenses").await.expect(200).body, "[]");
        isolate.get_as(&token, "/expenses/summary").await.expect(200);
        isolate.get_as(&token, &path).await.expect(404);
        isolate.send_as(&token, Method::PATCH, &path, "{}").await.expect(404);
        isolate.send_as(&token, Method::PUT, &path, LUNCH).await.expect(404);
        isolate.delete_as(&token, &path).await.expect(404);
        assert_eq!(app.kv.keys(), [""; 0]);
    }
}

#[tokio::test]
async fn no_secret_signature_or_body_reaches_a_log_line_or_an_answer() {
    let app = app();
    seed(&app, 2_000);
    logs::take();
    let body = event("user.deleted", ADA.id);
    let (t, v1) = signed(&app, body.as_bytes());
    let mut answers = vec![deliver(&app, &body).await.expect(503)];
    answers.push(post(&app, &[&format!("t={t}, v1={v1}")], format!("{body} ")).await.expect(400));
    answers.push(
        deliver(&app, r#"{"event": "user.deleted", "data": "ada@example.com"}"#).await.expect(400),
    );
    app.kv.fail(Some(KvOperation::Delete));
    answers.push(deliver(&app, &body).await.expect(503));
    let lines = logs::take();
    assert!(lines.iter().any(|line| line.contains("503")), "{lines:?}");
    let said: Vec<String> =
        answers.iter().map(|answer| format!("{answer:?}")).chain(lines).collect();
    for text in said {
        for secret in [SECRET, v1.as_str(), "user_ada", "ada@example.com"] {
            assert!(!text.contains(secret), "{secret} is in {text}");
        }
    }
}
