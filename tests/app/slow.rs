//! A KV that does not respond: every request gets its response within a time limit, and no response guesses.

use chrono::Duration;
use edge_host::{Clock, KV_READ_MAX_MILLIS};
use http::Method;
use serde_json::json;

use crate::support::{
    ADA, Client, KvOperation, TestApp,
    app::{Browser, TestResponse},
    logs,
};

const LUNCH: &str = r#"{"description": "Team lunch", "amount": 42.5}"#;

/// Sends a request while KV holds an operation; the response and the time it took.
async fn send_while_held(
    app: &TestApp,
    operation: KvOperation,
    method: &Method,
    path: &str,
) -> (TestResponse, Duration) {
    app.kv.hold_operation(Some(operation));
    let began = app.clock.now();
    let mut client = app.bearer(&app.authkit.access_token(ADA));
    let response = app.let_time_pass(&app.kv, client.send_json(method.clone(), path, LUNCH)).await;
    app.kv.hold_operation(None);
    (response, app.clock.now() - began)
}

#[tokio::test]
async fn slow_kv_is_503_in_time_and_loses_nothing() {
    let app = TestApp::new();
    let token = app.authkit.access_token(ADA);
    let path = format!("/expenses/{}", app.store_expense(ADA, "Team lunch"));
    let long = json!({"description": "🧾".repeat(200), "category": "🧾".repeat(50), "amount": 1});
    app.clock.advance(Duration::seconds(1));
    app.bearer(&token).post("/expenses", long.to_string()).await.expect(201);
    for (operation, method, path) in [
        (KvOperation::List, Method::GET, "/expenses"),
        (KvOperation::List, Method::GET, "/expenses/summary"),
        // A record too long for metadata is read with `get`.
        (KvOperation::Get, Method::GET, "/expenses"),
        (KvOperation::Get, Method::GET, &*path),
        (KvOperation::Get, Method::PUT, &*path),
        (KvOperation::Get, Method::DELETE, &*path),
    ] {
        logs::take();
        let (response, took) = send_while_held(&app, operation, &method, path).await;
        let case = format!("{operation} in {method} {path}");
        let response = response.expect(503);
        assert_eq!(response.header("retry-after"), "2", "{case}");
        assert!(!response.detail().contains("may or may not"), "{case}");
        assert_eq!(took, Duration::milliseconds(KV_READ_MAX_MILLIS.into()), "{case}");
        let lines = logs::take().join("\n");
        assert!(lines.contains(&format!("KV {operation} failed: no response within")), "{lines}");
    }
    // Writes do not wait for KV's writes.
    for (operation, method, path) in [
        (KvOperation::Put, Method::POST, "/expenses"),
        (KvOperation::Put, Method::PUT, &*path),
        (KvOperation::Put, Method::PATCH, &*path),
        (KvOperation::Delete, Method::DELETE, &*path),
    ] {
        let (response, took) = send_while_held(&app, operation, &method, path).await;
        assert!(response.status.is_success(), "{operation} in {method}: {response:?}");
        assert_eq!(took, Duration::zero(), "{operation} in {method}");
    }
    assert_eq!(app.expenses_of(ADA).await.len(), 2);
}

#[tokio::test]
async fn operation_just_within_the_limit_succeeds() {
    let app = TestApp::new();
    app.kv.hold(true);
    let token = app.authkit.access_token(ADA);
    let response = async {
        let mut client = app.bearer(&token);
        let response = client.get("/expenses");
        let release = async {
            let end = app.clock.now() + Duration::milliseconds(KV_READ_MAX_MILLIS.into());
            while app.clock.now() < end - Duration::milliseconds(100) {
                tokio::task::yield_now().await;
            }
            app.kv.hold(false);
        };
        tokio::join!(response, release).0
    };
    app.let_time_pass(&app.kv, response).await.expect(200);
}

#[tokio::test]
async fn session_is_renewed_while_kv_does_not_respond() {
    for operation in [KvOperation::Get, KvOperation::Put] {
        let app = TestApp::new();
        let mut browser = app.signed_in(ADA).await;
        app.expire_tokens();
        app.authkit_kv.hold_operation(Some(operation));
        let response = app.let_time_pass(&app.authkit_kv, browser.get("/me")).await;
        response.expect(200);
        assert_eq!(app.authkit.refresh_count(), 1);
        browser.get("/expenses").await.expect(200);
    }
}

#[tokio::test]
async fn late_cookie_is_renewed_while_kv_does_not_respond() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    app.expire_tokens();
    let mut late = Browser { app: app.isolate(), ..browser.clone() };
    browser.get("/me").await.expect(200);
    app.authkit_kv.hold_operation(Some(KvOperation::Get));
    app.let_time_pass(&app.authkit_kv, late.get("/me")).await.expect(200);
    assert_eq!(app.authkit.refresh_count(), 1);
}

#[tokio::test]
async fn token_is_verified_while_kv_does_not_respond() {
    let app = TestApp::new();
    app.authkit_kv.hold(true);
    let token = app.authkit.access_token(ADA);
    app.let_time_pass(&app.authkit_kv, app.bearer(&token).get("/me")).await.expect(200);
}
