//! The key set: fetched when needed, kept, fetched again for a new key, used through an outage.

use authkit_edge::runtime::WaitUntil;
use axum::body::Body;
use chrono::Duration;
use futures_util::{FutureExt, future::join_all};
use http::Method;
use serde_json::{Value, json};

use crate::support::{
    ADA, KvOperation, TestApp,
    app::request,
    authkit::{CURRENT, NEXT, Outage},
};

fn next_token(app: &TestApp) -> String {
    NEXT.sign(&NEXT.header(), &app.authkit.claims(ADA))
}

#[tokio::test]
async fn the_set_is_fetched_once_and_kept() {
    let app = TestApp::new();
    for _ in 0..3 {
        let token = app.authkit.access_token(ADA);
        app.get_as(&token, "/me").await.expect(200);
        app.clock.advance(Duration::minutes(10));
    }
    assert_eq!(app.authkit.jwks_count(), 1);
}

#[tokio::test]
async fn requests_that_come_together_share_one_fetch() {
    let app = TestApp::new();
    let token = app.authkit.access_token(ADA);
    let answers = join_all((0..50).map(|_| app.get_as(&token, "/me"))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(app.authkit.jwks_count(), 1);
}

#[tokio::test]
async fn a_new_key_is_found_without_a_restart() {
    let app = TestApp::new();
    app.get_as(&app.authkit.access_token(ADA), "/me").await.expect(200);
    app.authkit.publish(&[CURRENT.jwk(), NEXT.jwk()]);
    app.clock.advance(Duration::seconds(30));
    app.get_as(&next_token(&app), "/me").await.expect(200);
    app.get_as(&app.authkit.access_token(ADA), "/me").await.expect(200);
    assert_eq!(app.authkit.jwks_count(), 2);
}

#[tokio::test]
async fn a_flood_of_unknown_kids_costs_one_request_in_30_seconds() {
    let app = TestApp::new();
    let claims = app.authkit.claims(ADA);
    let token =
        |kid: usize| CURRENT.sign(&json!({"alg": "RS256", "kid": format!("key_{kid}")}), &claims);
    for kid in 0..20 {
        app.get_as(&token(kid), "/me").await.expect(401);
        app.clock.advance(Duration::seconds(1));
    }
    assert_eq!(app.authkit.jwks_count(), 1);
    app.clock.advance(Duration::seconds(10));
    app.get_as(&token(99), "/me").await.expect(401);
    assert_eq!(app.authkit.jwks_count(), 2);
}

#[tokio::test]
async fn a_retired_key_stops_working_when_the_set_has_grown_old() {
    let app = TestApp::new();
    app.get_as(&app.authkit.access_token(ADA), "/me").await.expect(200);
    app.authkit.publish(&[NEXT.jwk()]);
    app.clock.advance(Duration::minutes(59));
    app.get_as(&app.authkit.access_token(ADA), "/me").await.expect(200);
    app.clock.advance(Duration::minutes(1));
    app.get_as(&app.authkit.access_token(ADA), "/me").await.expect(401);
    app.get_as(&next_token(&app), "/me").await.expect(200);
}

#[tokio::test]
async fn a_token_that_was_verified_before_stops_working_with_its_key() {
    let app = TestApp::new();
    app.authkit.set_extra_claims(json!({"exp": 4_000_000_000_u32}));
    let token = app.authkit.access_token(ADA);
    app.get_as(&token, "/me").await.expect(200);
    app.get_as(&token, "/me").await.expect(200);
    app.authkit.publish(&[NEXT.jwk()]);
    app.clock.advance(Duration::hours(1));
    app.get_as(&token, "/me").await.expect(401);
}

#[tokio::test]
async fn an_old_set_is_used_while_authkit_is_down_however_long() {
    let app = TestApp::new();
    app.get_as(&app.authkit.access_token(ADA), "/me").await.expect(200);
    for outage in [Outage::NoAnswer, Outage::Status(500), Outage::Status(429)] {
        app.authkit.set_outage(Some(outage));
        app.clock.advance(Duration::days(3));
        for _ in 0..5 {
            app.get_as(&app.authkit.access_token(ADA), "/me").await.expect(200);
        }
    }
    assert_eq!(app.authkit.jwks_count(), 1 + 3, "one try each time, not one a request");
}

#[tokio::test]
async fn without_any_set_an_outage_is_503_and_not_401() {
    let app = TestApp::new();
    app.authkit.set_outage(Some(Outage::NoAnswer));
    let token = app.authkit.access_token(ADA);
    for _ in 0..3 {
        let answer = app.get_as(&token, "/me").await.expect(503);
        assert_ne!(answer.header("retry-after"), "");
    }
    assert_eq!(app.authkit.jwks_count(), 1);
    app.authkit.set_outage(None);
    app.clock.advance(Duration::seconds(30));
    app.get_as(&token, "/me").await.expect(200);
}

#[tokio::test]
async fn a_browser_keeps_its_session_through_an_outage() {
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
async fn only_keys_that_are_meant_for_rs256_signatures_are_used() {
    let change = |name: &str, value: Value| {
        let mut jwk = CURRENT.jwk();
        jwk[name] = value;
        jwk
    };
    for jwk in [
        change("use", json!("enc")),
        change("alg", json!("RS512")),
        change("key_ops", json!(["sign"])),
        change("kty", json!("oct")),
        change("e", json!("AQ")),
        change("n", json!("AQAB")),
    ] {
        let app = TestApp::new();
        app.authkit.publish(&[jwk.clone(), json!("nonsense"), json!({"kid": 5})]);
        app.get_as(&app.authkit.access_token(ADA), "/me").await.expect(401);
    }
}

#[tokio::test]
async fn a_key_of_no_use_does_not_spoil_the_others() {
    let app = TestApp::new();
    app.authkit.publish(&[json!("nonsense"), json!({"kty": "EC", "kid": "ec"}), CURRENT.jwk()]);
    app.get_as(&app.authkit.access_token(ADA), "/me").await.expect(200);
}

#[tokio::test]
async fn two_keys_of_one_name_are_none() {
    let app = TestApp::new();
    let mut other = NEXT.jwk();
    other["kid"] = json!(CURRENT.kid);
    app.authkit.publish(&[CURRENT.jwk(), other]);
    app.get_as(&app.authkit.access_token(ADA), "/me").await.expect(401);
}

#[tokio::test]
async fn a_new_isolate_begins_with_the_set_that_was_kept() {
    let app = TestApp::new();
    app.get_as(&app.authkit.access_token(ADA), "/me").await.expect(200);
    let cold = app.isolate();
    app.authkit.set_outage(Some(Outage::NoAnswer));
    cold.get_as(&app.authkit.access_token(ADA), "/me").await.expect(200);
    assert_eq!(app.authkit.jwks_count(), 1);
    app.clock.advance(Duration::days(30));
    let cold = app.isolate();
    cold.get_as(&app.authkit.access_token(ADA), "/me").await.expect(200);
}

#[tokio::test]
async fn over_several_isolates_a_flood_of_unknown_kids_costs_one_request_in_30_seconds() {
    let app = TestApp::new();
    let claims = app.authkit.claims(ADA);
    for kid in 0..10 {
        let token = CURRENT.sign(&json!({"alg": "RS256", "kid": format!("key_{kid}")}), &claims);
        app.isolate().get_as(&token, "/me").await.expect(401);
    }
    assert_eq!(app.authkit.jwks_count(), 1);
}

#[tokio::test]
async fn a_kept_set_that_was_written_by_someone_else_is_not_believed() {
    let app = TestApp::new();
    let forged = json!({"fetched_at": 1_795_435_200, "keys": {"keys": [NEXT.jwk()]}}).to_string();
    app.authkit_kv.insert_raw("authkit:jwks:client_test", &forged, None);
    app.get_as(&next_token(&app), "/me").await.expect(401);
}

#[tokio::test]
async fn a_failing_kv_only_costs_a_fetch() {
    for operation in [KvOperation::Get, KvOperation::Put] {
        let app = TestApp::new();
        app.authkit_kv.fail(Some(operation));
        app.get_as(&app.authkit.access_token(ADA), "/me").await.expect(200);
    }
}

#[tokio::test]
async fn another_workos_kept_set_is_not_believed() {
    let app = TestApp::new();
    app.get_as(&app.authkit.access_token(ADA), "/me").await.expect(200);
    let moved = app.isolate_with_variables(&[("WORKOS_BASE_URL", "https://other.test")]);
    moved.get_as(&app.authkit.access_token(ADA), "/me").await.expect(200);
    assert_eq!(app.authkit.jwks_count(), 2);
}

#[tokio::test]
async fn a_token_that_was_verified_before_does_not_outlive_a_change_of_its_key() {
    let app = TestApp::new();
    app.authkit.set_extra_claims(json!({"exp": 4_000_000_000_u32}));
    let token = app.authkit.access_token(ADA);
    app.get_as(&token, "/me").await.expect(200);
    let mut other_key = NEXT.jwk();
    other_key["kid"] = json!(CURRENT.kid);
    app.authkit.publish(&[other_key]);
    app.clock.advance(Duration::hours(1));
    app.get_as(&token, "/me").await.expect(401);
}

#[tokio::test]
async fn a_key_fetch_goes_on_when_its_client_goes_away() {
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
    app.get_as(&token, "/me").await.expect(200);
}

#[tokio::test]
async fn a_sign_in_by_a_key_that_may_not_be_asked_for_yet_is_put_off() {
    let app = TestApp::new();
    app.get_as(&app.authkit.access_token(ADA), "/me").await.expect(200);
    app.authkit.publish(&[CURRENT.jwk(), NEXT.jwk()]);
    app.authkit.sign_with(&NEXT);
    let mut browser = app.signed_in(ADA).await;
    browser.get("/me").await.expect(503);
    app.clock.advance(Duration::seconds(30));
    browser.get("/me").await.expect(200);
}

#[tokio::test]
async fn nobody_waits_for_a_slow_kv_to_keep_the_set() {
    let app = TestApp::new();
    app.authkit_kv.hold_operation(Some(KvOperation::Put));
    let token = app.authkit.access_token(ADA);
    let mut first = Box::pin(app.get_as(&token, "/me"));
    while app.authkit.jwks_count() == 0 {
        assert!((&mut first).now_or_never().is_none());
    }
    assert!((&mut first).now_or_never().is_none(), "it keeps the set itself");
    app.get_as(&token, "/me").await.expect(200);
    assert_eq!(app.authkit.jwks_count(), 1);
}
