//! The key set: fetched on demand, cached, fetched again for an unknown key, used during an outage.

use axum::body::Body;
use chrono::Duration;
use edge_host::{Clock, WaitUntil};
use futures_util::FutureExt;
use http::Method;
use serde_json::json;

use crate::support::{
    ADA, Client, KvOperation, TestApp,
    app::request,
    authkit::{CURRENT, NEXT, Outage, STRANGER},
};

#[tokio::test]
async fn cached_token_is_refused_once_its_key_is_withdrawn() {
    let app = TestApp::new();
    app.authkit.set_extra_claims(json!({"exp": 4_000_000_000_u32}));
    let token = app.authkit.access_token(ADA);
    app.bearer(&token).get("/me").await.expect(200);
    app.bearer(&token).get("/me").await.expect(200);
    app.authkit.publish(&[NEXT.jwk()]);
    app.clock.advance(Duration::hours(1));
    app.bearer(&token).get("/me").await.expect(401);
}

#[tokio::test]
async fn known_cookie_is_refused_once_its_key_is_withdrawn() {
    let app = TestApp::new();
    app.authkit.set_extra_claims(json!({"exp": 4_000_000_000_u32}));
    let mut browser = app.signed_in(ADA).await;
    browser.get("/me").await.expect(200);
    browser.get("/me").await.expect(200);
    assert_eq!(app.authkit.refresh_count(), 0);
    app.authkit.publish(&[NEXT.jwk()]);
    app.authkit.sign_with(&NEXT);
    app.clock.advance(Duration::hours(1));
    browser.get("/me").await.expect(200);
    assert_eq!(app.authkit.refresh_count(), 1);
}

#[tokio::test]
async fn outage_without_cached_keys_is_503() {
    let app = TestApp::new();
    app.authkit.set_outage(Some(Outage::NoAnswer));
    let token = app.authkit.access_token(ADA);
    for _ in 0..3 {
        let response = app.bearer(&token).get("/me").await.expect(503);
        assert_ne!(response.header("retry-after"), "");
    }
    assert_eq!(app.authkit.jwks_count(), 1);
    app.authkit.set_outage(None);
    app.clock.advance(Duration::seconds(30));
    app.bearer(&token).get("/me").await.expect(200);
}

#[tokio::test]
async fn browser_keeps_its_session_during_an_outage() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    let cookies = browser.cookies.clone();
    browser.app = app.isolate();
    app.authkit.set_outage(Some(Outage::NoAnswer));
    app.authkit_kv.fail(Some(KvOperation::Get));
    browser.open("/expenses").await.expect(503);
    browser.open("/").await.expect(503);
    assert_eq!(browser.cookies, cookies);
}

#[tokio::test]
async fn cached_keys_of_another_base_url_are_ignored() {
    let app = TestApp::new();
    app.bearer(&app.authkit.access_token(ADA)).get("/me").await.expect(200);
    let moved = app.isolate_with_variables(&[("WORKOS_BASE_URL", "https://other.test")]);
    moved.bearer(&app.authkit.access_token(ADA)).get("/me").await.expect(200);
    assert_eq!(app.authkit.jwks_count(), 2);
}

#[tokio::test]
async fn cached_token_is_refused_once_its_key_changes() {
    let app = TestApp::new();
    app.authkit.set_extra_claims(json!({"exp": 4_000_000_000_u32}));
    let token = app.authkit.access_token(ADA);
    app.bearer(&token).get("/me").await.expect(200);
    let mut other_key = NEXT.jwk();
    other_key["kid"] = json!(CURRENT.kid);
    app.authkit.publish(&[other_key]);
    app.clock.advance(Duration::hours(1));
    app.bearer(&token).get("/me").await.expect(401);
}

#[tokio::test]
async fn key_fetch_finishes_after_the_client_disconnects() {
    let app = TestApp::new();
    let token = app.authkit.access_token(ADA);
    let request = request(Method::GET, "/me")
        .extension(WaitUntil::new(|work| drop(tokio::spawn(work))))
        .header("authorization", format!("Bearer {token}"));
    {
        let mut abandoned = Box::pin(app.send(request.body(Body::empty()).unwrap()));
        while app.authkit.jwks_count() == 0 {
            assert!((&mut abandoned).now_or_never().is_none());
        }
    }
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    app.authkit.set_outage(Some(Outage::NoAnswer));
    app.bearer(&token).get("/me").await.expect(200);
}

#[tokio::test]
async fn first_list_does_not_wait_for_the_stored_keys() {
    let app = TestApp::new();
    app.authkit_kv.hold_operation(Some(KvOperation::Put));
    let token = app.authkit.access_token(ADA);
    let request = request(Method::GET, "/expenses")
        .extension(WaitUntil::new(|work| drop(tokio::spawn(work))))
        .header("authorization", format!("Bearer {token}"));
    let mut list = Box::pin(app.send(request.body(Body::empty()).unwrap()));
    for _ in 0..100 {
        if let Some(response) = (&mut list).now_or_never() {
            response.expect(200);
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("the list waits for KV");
}

#[tokio::test]
async fn sign_in_with_an_unfetched_key_is_postponed() {
    let app = TestApp::new();
    app.bearer(&app.authkit.access_token(ADA)).get("/me").await.expect(200);
    app.authkit.publish(&[CURRENT.jwk(), NEXT.jwk()]);
    app.authkit.sign_with(&NEXT);
    let mut browser = app.signed_in(ADA).await;
    browser.get("/me").await.expect(503);
    app.clock.advance(Duration::seconds(30));
    browser.get("/me").await.expect(200);
}

#[tokio::test]
async fn key_set_planted_in_kv_is_ignored() {
    let app = TestApp::new();
    let keys = json!({
        "base_url": "https://workos.test", "fetched_at": app.clock.now().timestamp(),
        "keys": {"keys": [STRANGER.jwk()]},
    });
    app.authkit_kv.insert_raw("authkit:jwks:client_test", &keys.to_string(), None);
    app.authkit.set_outage(Some(Outage::NoAnswer));
    let forged = STRANGER.sign(&STRANGER.header(), &app.authkit.claims(ADA));
    app.bearer(&forged).get("/me").await.expect(503);
    app.authkit.set_outage(None);
    app.isolate().bearer(&forged).get("/me").await.expect(401);
}
