//! Deleted expenses can be restored for as long as the ledger remembers them.

use chrono::Duration;
use edge_host::{KvOperation, ObjectStorage};
use http::Method;
use serde_json::Value;

use crate::support::{
    ADA, Client, GRACE, TestApp,
    app::{TestResponse, request},
};

const LUNCH: &str = r#"{"description": "Lunch", "amount": 1, "category": "meals"}"#;

async fn send(app: &TestApp, method: Method, path: &str, body: &'static str) -> TestResponse {
    app.bearer(&app.authkit.access_token(ADA)).send_json(method, path, body).await
}

async fn create(app: &TestApp) -> (String, Value) {
    let made = send(app, Method::POST, "/expenses", LUNCH).await.expect(201).json();
    (format!("/expenses/{}", made["id"].as_str().unwrap()), made)
}

async fn delete(app: &TestApp, path: &str) {
    send(app, Method::DELETE, path, "").await.expect(204);
}

async fn restore(app: &TestApp, path: &str) -> TestResponse {
    app.bearer(&app.authkit.access_token(ADA)).post(&format!("{path}/restore"), "").await
}

#[tokio::test]
async fn restored_expense_is_as_before_with_new_time() {
    let app = TestApp::new();
    let (path, made) = create(&app).await;
    app.pass(Duration::minutes(1)).await;
    delete(&app, &path).await;
    app.pass(Duration::minutes(9)).await;
    let response = restore(&app, &path).await.expect(200);
    let restored = response.json();
    assert_eq!(restored["updated_at"], "2026-11-23T12:10:00Z");
    let mut expected = made;
    expected["updated_at"] = restored["updated_at"].clone();
    assert_eq!(restored, expected);
    let shown = send(&app, Method::GET, &path, "").await.expect(200);
    assert_eq!((shown.header("etag"), shown.json()), (response.header("etag"), restored.clone()));
    // A second request finds the expense there.
    assert_eq!(restore(&app, &path).await.expect(200).json(), restored);
    assert_eq!(app.expenses_of(ADA).await, [restored]);
    // KV has it too, once the log has forgotten it.
    app.pass(Duration::minutes(20)).await;
    assert!(app.ledgers.storage("user_ada").list("log:").unwrap().is_empty());
    assert_eq!(restore(&app, &path).await.expect(200).json(), expected);
    assert_eq!(app.expenses_of(ADA).await.len(), 1);
}

#[tokio::test]
async fn forgotten_expense_is_404() {
    let app = TestApp::new();
    let (path, _) = create(&app).await;
    delete(&app, &path).await;
    app.pass(Duration::minutes(15)).await;
    restore(&app, &path).await.expect(404);
    restore(&app, "/expenses/7ZZZZZZZZZ0123456789ABCDEF").await.expect(404);
    restore(&app, "/expenses/unknown").await.expect(404);
    assert!(app.expenses_of(ADA).await.is_empty());
}

#[tokio::test]
async fn expense_is_restored_while_kv_fails() {
    let app = TestApp::new();
    let (path, _) = create(&app).await;
    app.pass(Duration::minutes(20)).await;
    delete(&app, &path).await;
    app.kv.fail(Some(KvOperation::Get));
    app.ledgers.evict_all();
    restore(&app, &path).await.expect(200);
    // The log does not have this one, so KV has to say whether it is there.
    restore(&app, "/expenses/7ZZZZZZZZZ0123456789ABCDEF").await.expect(503);
    app.kv.fail(None);
    assert_eq!(app.expenses_of(ADA).await.len(), 1);
}

#[tokio::test]
async fn restoration_with_a_lost_response_takes_effect_once() {
    let app = TestApp::new();
    let (path, _) = create(&app).await;
    delete(&app, &path).await;
    app.ledgers.lose_responses(true);
    restore(&app, &path).await.expect(503);
    app.ledgers.lose_responses(false);
    assert_eq!(app.expenses_of(ADA).await.len(), 1);
    delete(&app, &path).await;
    app.ledgers.set_unreachable(true);
    restore(&app, &path).await.expect(503);
    app.ledgers.set_unreachable(false);
    assert!(app.expenses_of(ADA).await.is_empty());
}

/// A version without `removed` writes an entry again when KV has it, and drops the member.
#[tokio::test]
async fn removal_of_an_earlier_version_is_not_restored() {
    let app = TestApp::new();
    let (path, _) = create(&app).await;
    delete(&app, &path).await;
    let storage = app.ledgers.storage("user_ada");
    let (key, row) = storage.list("log:").unwrap().remove(0);
    let mut row: Value = serde_json::from_str(&row).unwrap();
    assert!(row.as_object_mut().unwrap().remove("removed").is_some(), "{row}");
    storage.put(&key, &row.to_string()).unwrap();
    app.ledgers.evict_all();
    restore(&app, &path).await.expect(404);
}

#[tokio::test]
async fn nobody_restores_what_is_anothers_or_erased() {
    let app = TestApp::new();
    let (path, _) = create(&app).await;
    delete(&app, &path).await;
    let mut grace = app.bearer(&app.authkit.access_token(GRACE));
    grace.post(&format!("{path}/restore"), "").await.expect(404);
    app.anonymous().post(&format!("{path}/restore"), "").await.expect(401);
    let mut browser = app.signed_in(ADA).await;
    let foreign =
        request(Method::POST, &format!("{path}/restore")).header("sec-fetch-site", "cross-site");
    browser.send(foreign, axum::body::Body::empty()).await.expect(403);
    assert!(app.expenses_of(ADA).await.is_empty());
    let erase = r#"{"v":1,"owner":"user_ada","request":"r","command":"erase"}"#;
    edge_host::ObjectNamespace::send(&app.ledgers, "user_ada", erase).await.unwrap();
    restore(&app, &path).await.expect(403);
}
