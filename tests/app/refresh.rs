//! Renewal of sessions: once per expired session, never ending a session by mistake.

use axum::body::Body;
use chrono::Duration;
use edge_host::WaitUntil;
use futures_util::{FutureExt, future::join_all};
use http::{Method, header};
use serde_json::json;

use crate::support::{
    ADA, Client, KvOperation, TestApp,
    app::{Browser, SESSION_COOKIE, request},
    authkit::{CURRENT, NEXT, Outage},
};

/// A browser whose access token has expired.
async fn expired_browser(app: &TestApp) -> Browser {
    let browser = app.signed_in(ADA).await;
    app.expire_tokens();
    browser
}

#[tokio::test]
async fn response_sets_the_renewed_session() {
    let app = TestApp::new();
    let mut browser = expired_browser(&app).await;
    let old = browser.cookies.clone();
    browser.get("/me").await.expect(200);
    assert_ne!(browser.cookies, old);
    assert_eq!(app.authkit.refresh_count(), 1);
    browser.get("/me").await.expect(200);
    assert_eq!(app.authkit.refresh_count(), 1);
    app.expire_tokens();
    browser.get("/me").await.expect(200);
    assert_eq!(app.authkit.refresh_count(), 2);
}

#[tokio::test]
async fn renewed_session_keeps_the_impersonator() {
    let app = TestApp::new();
    app.authkit.set_extra_claims(json!({"act": {"sub": "help@workos.test"}}));
    app.authkit.impersonate(json!({"email": "help@workos.test", "reason": "ticket 7"}));
    let mut browser = app.signed_in(ADA).await;
    let mut late = Browser { app: app.isolate(), ..browser.clone() };
    let expected = json!({"email": "help@workos.test", "reason": "ticket 7"});
    for round in 1..=2 {
        app.expire_tokens();
        let me = browser.get("/me").await.expect(200).json();
        assert_eq!(me["impersonator"], expected, "round {round}");
        assert_eq!(app.authkit.refresh_count(), round);
    }
    // The session keeper has renewed this session before.
    let me = late.get("/me").await.expect(200).json();
    assert_eq!(me["impersonator"], expected);
    assert_eq!(app.authkit.refresh_count(), 2);
    // The signed token names the impersonator, whatever the response of WorkOS says.
    app.authkit.impersonate(json!(null));
    app.expire_tokens();
    let me = browser.get("/me").await.expect(200).json();
    assert_eq!(me["impersonator"]["email"], "help@workos.test");
    assert!(browser.open("/").await.expect(200).body.contains("help@workos.test"));
}

#[tokio::test]
async fn every_protected_path_renews_the_session() {
    let app = TestApp::new();
    app.kv.fail(Some(KvOperation::List));
    for (method, path, status) in [
        (Method::GET, "/expenses", 503),
        (Method::POST, "/expenses", 422),
        (Method::GET, "/expenses/x", 404),
        (Method::DELETE, "/expenses/x", 404),
        (Method::GET, "/me", 200),
        (Method::POST, "/organization", 422),
    ] {
        let mut browser = expired_browser(&app).await;
        let old = browser.cookies.clone();
        browser.fetch(method.clone(), path).await.expect(status);
        assert_ne!(browser.cookies, old, "{method} {path}");
    }
    let mut browser = expired_browser(&app).await;
    let old = browser.cookies.clone();
    browser.open("/").await.expect(503);
    assert_ne!(browser.cookies, old);
    app.kv.fail(None);
    let mut browser = expired_browser(&app).await;
    let old = browser.cookies.clone();
    assert!(browser.open("/").await.expect(200).body.contains(ADA.email));
    assert_ne!(browser.cookies, old);
}

#[tokio::test]
async fn refresh_sends_the_browsers_address() {
    let app = TestApp::new();
    let mut browser = expired_browser(&app).await;
    let request = request(Method::GET, "/me")
        .header("cf-connecting-ip", "192.0.2.7")
        .header("user-agent", "Browser/1.0");
    browser.send(request, Body::empty()).await.expect(200);
    let body = app.authkit.token_requests().pop().unwrap();
    assert_eq!(body["ip_address"], "192.0.2.7");
    assert_eq!(body["user_agent"], "Browser/1.0");
}

#[tokio::test]
async fn concurrent_requests_with_one_expired_session_refresh_once() {
    let app = TestApp::new();
    let browser = expired_browser(&app).await;
    let mut browsers = vec![browser; 50];
    let responses = join_all(browsers.iter_mut().map(|browser| browser.get("/me"))).await;
    assert!(responses.iter().all(|response| response.status == 200), "{responses:?}");
    assert_eq!(app.authkit.refresh_count(), 1);
    app.expire_tokens();
    for browser in &mut browsers {
        browser.get("/me").await.expect(200);
    }
}

#[tokio::test]
async fn concurrent_isolates_share_one_refresh() {
    let app = TestApp::new();
    let browser = expired_browser(&app).await;
    let isolates: Vec<TestApp> = (0..5).map(|_| app.isolate()).collect();
    let mut browsers: Vec<Browser> = (0..50)
        .map(|index| Browser { app: isolates[index % 5].clone(), ..browser.clone() })
        .collect();
    let responses = join_all(browsers.iter_mut().map(|browser| browser.get("/me"))).await;
    assert!(responses.iter().all(|response| response.status == 200), "{responses:?}");
    assert_eq!(app.authkit.refresh_count(), 1);
    app.expire_tokens();
    for browser in &mut browsers {
        browser.get("/me").await.expect(200);
    }
}

#[tokio::test]
async fn stale_cookie_gets_the_renewed_session() {
    let app = TestApp::new();
    let mut browser = expired_browser(&app).await;
    let mut late = Browser { app: app.isolate(), ..browser.clone() };
    browser.get("/me").await.expect(200);
    app.clock.advance(Duration::minutes(4));
    late.get("/me").await.expect(200);
    assert_eq!(app.authkit.refresh_count(), 1);
}

#[tokio::test]
async fn cookie_a_month_late_gets_the_newest_session() {
    let app = TestApp::new();
    let mut browser = expired_browser(&app).await;
    let mut late = Browser { app: app.isolate(), ..browser.clone() };
    for _ in 0..35 {
        browser.get("/me").await.expect(200);
        app.expire_tokens();
    }
    app.sessions.evict_all();
    app.clock.advance(Duration::days(30));
    late.get("/me").await.expect(200);
    browser.get("/me").await.expect(200);
    assert_eq!(app.authkit.refresh_count(), 36);
}

#[tokio::test]
async fn cookie_several_rotations_old_gets_the_newest_session() {
    let app = TestApp::new();
    let mut browser = expired_browser(&app).await;
    let mut late = Browser { app: app.isolate(), ..browser.clone() };
    browser.get("/me").await.expect(200);
    app.expire_tokens();
    browser.get("/me").await.expect(200);
    late.get("/me").await.expect(200);
    assert_eq!(app.authkit.refresh_count(), 2);
}

#[tokio::test]
async fn refresh_token_that_workos_does_not_rotate_works() {
    let app = TestApp::new();
    app.authkit.reuse_refresh_tokens();
    let mut browser = expired_browser(&app).await;
    for _ in 0..3 {
        browser.get("/me").await.expect(200);
        app.expire_tokens();
    }
    browser.post("/organization", r#"{"organization_id": "org_2"}"#).await.expect(200);
    assert_eq!(browser.get("/me").await.json()["organization_id"], "org_2");
}

#[tokio::test]
async fn ended_session_is_cleared() {
    let app = TestApp::new();
    let mut browser = expired_browser(&app).await;
    app.authkit.end_sessions();
    let mut other = browser.clone();
    browser.get("/me").await.expect(401);
    assert_eq!(browser.cookies, []);
    other.open("/expenses").await.expect(302);
    assert_eq!(other.cookies, []);
    assert_eq!(app.authkit.refresh_count(), 1, "the keeper has recorded the end");
}

#[tokio::test]
async fn workos_outage_is_503_and_keeps_the_session() {
    for outage in [Outage::NoAnswer, Outage::Status(500), Outage::Status(503), Outage::Status(429)]
    {
        let app = TestApp::new();
        let mut browser = expired_browser(&app).await;
        let cookies = browser.cookies.clone();
        app.authkit.set_outage(Some(outage));
        let response = browser.get("/me").await.expect(503);
        assert_ne!(response.header("retry-after"), "");
        assert_eq!(response.set_cookies(), [""; 0]);
        browser.open("/expenses").await.expect(503);
        browser.open("/").await.expect(503);
        assert_eq!(browser.cookies, cookies);
        app.authkit.set_outage(None);
        app.clock.advance(Duration::seconds(2));
        browser.get("/me").await.expect(200);
    }
}

#[tokio::test]
async fn concurrent_requests_during_an_outage_ask_workos_once() {
    let app = TestApp::new();
    let browser = expired_browser(&app).await;
    app.authkit.set_outage(Some(Outage::Status(500)));
    let mut browsers = vec![browser; 50];
    let mut requests: Vec<_> =
        browsers.iter_mut().map(|browser| Box::pin(browser.get("/me"))).collect();
    app.authkit.hold(true);
    // Every request waits for the exchange of the first.
    for request in &mut requests {
        assert!(request.now_or_never().is_none());
    }
    app.authkit.hold(false);
    let responses = join_all(requests).await;
    assert!(responses.iter().all(|response| response.status == 503));
    assert_eq!(app.authkit.refresh_count(), 1);
}

#[tokio::test]
async fn unreachable_keeper_is_503_and_keeps_the_session() {
    let app = TestApp::new();
    let mut browser = expired_browser(&app).await;
    let mut late = Browser { app: app.isolate(), ..browser.clone() };
    browser.get("/me").await.expect(200);
    app.sessions.set_unreachable(true);
    let cookies = late.cookies.clone();
    let response = late.get("/me").await.expect(503);
    assert_ne!(response.header("retry-after"), "");
    assert_eq!(late.cookies, cookies);
    late.open("/expenses").await.expect(503);
    app.sessions.set_unreachable(false);
    late.get("/me").await.expect(200);
}

#[tokio::test]
async fn slow_kv_writes_delay_no_renewal() {
    let app = TestApp::new();
    let browser = expired_browser(&app).await;
    let mut first = browser.clone();
    let mut second = browser;
    // KV serves reads at once and delays writes.
    app.authkit_kv.hold_operation(Some(KvOperation::Put));
    let request =
        || request(Method::GET, "/me").extension(WaitUntil::new(|work| drop(tokio::spawn(work))));
    first.send(request(), Body::empty()).await.expect(200);
    app.clock.advance(Duration::seconds(20));
    second.send(request(), Body::empty()).await.expect(200);
    assert_eq!(app.authkit.refresh_count(), 1);
}

#[tokio::test]
async fn ended_session_cookie_hides_no_live_one() {
    let app = TestApp::new();
    let dead = app.signed_in(ADA).await;
    app.authkit.end_sessions();
    app.expire_tokens();
    let mut browser = app.signed_in(ADA).await;
    // A cookie of the same name for another scope, which the browser sends first.
    browser.cookies.insert(0, dead.cookies[0].clone());
    let me = browser.get("/me").await.expect(200).json();
    assert_eq!(me["user"]["email"], ADA.email);
    browser.open("/expenses").await.expect(200);
}

#[tokio::test]
async fn sign_out_clears_the_host_only_duplicate_too() {
    let app = TestApp::with_variables(&[("WORKOS_COOKIE_DOMAIN", "app.test")]);
    let mut browser = app.signed_in(ADA).await;
    let twin = browser.cookies[0].clone();
    browser.cookies.push(twin);
    let response = browser.fetch(Method::POST, "/logout").await.expect(303);
    let is_cleared =
        |cookie: &&str| cookie.starts_with("wos-session=") && cookie.contains("Max-Age=0");
    let clears: Vec<_> = response.set_cookies().into_iter().filter(is_cleared).collect();
    assert_eq!(clears.iter().filter(|cookie| cookie.contains("Domain=app.test")).count(), 1);
    assert_eq!(clears.iter().filter(|cookie| !cookie.contains("Domain=")).count(), 1);
}

#[tokio::test]
async fn late_renewal_does_not_undo_a_sign_out() {
    let app = TestApp::new();
    let mut browser = expired_browser(&app).await;
    let mut late = browser.clone();
    let held = hold_up(&app, &mut late).await;
    browser.fetch(Method::POST, "/logout").await.expect(303);
    let response = held.await.expect(200);
    assert_eq!(response.set_cookies(), [""; 0]);
}

#[tokio::test]
async fn refused_switch_keeps_the_session() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    app.authkit.close_organization("org_gone", json!({"error": "invalid_grant"}));
    let body = r#"{"organization_id": "org_gone"}"#;
    browser.post("/organization", body).await.expect(403);
    app.expire_tokens();
    browser.get("/me").await.expect(200);
}

#[tokio::test]
async fn refusal_that_needs_sign_in_keeps_the_cookie() {
    let app = TestApp::new();
    let mut browser = expired_browser(&app).await;
    let cookies = browser.cookies.clone();
    app.authkit.refuse(Some((403, json!({"code": "mfa_enrollment", "message": "…"}))));
    browser.get("/me").await.expect(401);
    browser.open("/expenses").await.expect(302);
    assert_eq!(browser.cookies, cookies);
}

#[tokio::test]
async fn refresh_finishes_after_the_browser_disconnects() {
    let app = TestApp::new();
    let browser = expired_browser(&app).await;
    let mut gone = browser.clone();
    let request =
        request(Method::GET, "/me").extension(WaitUntil::new(|work| drop(tokio::spawn(work))));
    {
        let mut abandoned = Box::pin(gone.send(request, Body::empty()));
        // WorkOS has received the request but not responded yet.
        while app.authkit.refresh_count() == 0 {
            assert!((&mut abandoned).now_or_never().is_none());
        }
    }
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    let mut again = Browser { app: app.isolate(), ..browser };
    again.get("/me").await.expect(200);
    assert_eq!(app.authkit.refresh_count(), 1);
}

#[tokio::test]
async fn late_response_does_not_restore_a_spent_session() {
    let app = TestApp::new();
    let mut browser = expired_browser(&app).await;
    let mut late = browser.clone();
    // Both requests renew into the same session; this one waits for KV after that …
    let held = hold_up(&app, &mut late).await;
    browser.get("/me").await.expect(200);
    // … while this one spends the renewed session.
    browser.post("/organization", r#"{"organization_id": "org_2"}"#).await.expect(200);
    let response = held.await;
    browser.keep_cookies(&response.expect(200));
    assert_eq!(browser.get("/me").await.expect(200).json()["organization_id"], "org_2");
    app.expire_tokens();
    browser.get("/me").await.expect(200);
}

#[tokio::test]
async fn late_response_restores_no_session_spent_in_another_isolate() {
    let app = TestApp::new();
    let mut browser = expired_browser(&app).await;
    let mut late = browser.clone();
    let held = hold_up(&app, &mut late).await;
    browser.app = app.isolate();
    browser.post("/organization", r#"{"organization_id": "org_2"}"#).await.expect(200);
    browser.keep_cookies(&held.await.expect(200));
    assert_eq!(browser.get("/me").await.expect(200).json()["organization_id"], "org_2");
}

/// A request that has renewed its session and waits for KV until it is polled again.
async fn hold_up<'a>(
    app: &TestApp,
    browser: &'a mut Browser,
) -> std::pin::Pin<Box<dyn Future<Output = crate::support::app::TestResponse> + 'a>> {
    let count = app.authkit.refresh_count();
    let mut held: std::pin::Pin<Box<dyn Future<Output = _> + 'a>> =
        Box::pin(browser.get("/expenses"));
    app.kv.hold(true);
    while app.authkit.refresh_count() == count || !app.kv.is_waiting() {
        assert!((&mut held).now_or_never().is_none());
    }
    app.kv.hold(false);
    held
}

#[tokio::test]
async fn session_is_resealed_after_a_password_rotation() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    let old = browser.cookies.clone();
    let new_password = "the new password of 32 characters";
    browser.app = app.isolate_with_variables(&[
        ("WORKOS_COOKIE_PASSWORD", new_password),
        ("WORKOS_COOKIE_PASSWORD_PREVIOUS", crate::support::app::PASSWORD),
    ]);
    browser.get("/me").await.expect(200);
    assert_ne!(browser.cookies, old);
    let response = browser.get("/me").await.expect(200);
    assert_eq!(response.set_cookies(), [""; 0], "once is enough");
    // The previous password is not needed any more.
    browser.app = app.isolate_with_variables(&[("WORKOS_COOKIE_PASSWORD", new_password)]);
    browser.get("/me").await.expect(200);
}

#[tokio::test]
async fn resealing_does_not_restore_a_spent_session() {
    let app = TestApp::new();
    let stale = app.signed_in(ADA).await;
    let mut browser = stale.clone();
    let variables = [
        ("WORKOS_COOKIE_PASSWORD", "the new password of 32 characters"),
        ("WORKOS_COOKIE_PASSWORD_PREVIOUS", crate::support::app::PASSWORD),
    ];
    browser.app = app.isolate_with_variables(&variables);
    browser.post("/organization", r#"{"organization_id": "org_2"}"#).await.expect(200);
    // An earlier request with the spent session, in an isolate that has not seen it.
    let mut stale = Browser { app: app.isolate_with_variables(&variables), ..stale };
    let response = stale.get("/me").await.expect(200);
    browser.keep_cookies(&response);
    assert_eq!(browser.get("/me").await.expect(200).json()["organization_id"], "org_2");
}

#[tokio::test]
async fn session_signed_by_a_retired_key_is_renewed() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    app.authkit.publish(&[NEXT.jwk()]);
    app.authkit.sign_with(&NEXT);
    app.clock.advance(Duration::days(20));
    browser.app = app.isolate();
    browser.get("/me").await.expect(200);
    assert_eq!(app.authkit.refresh_count(), 1);
}

#[tokio::test]
async fn session_survives_growing_and_shrinking_cookies() {
    let app = TestApp::new();
    let large = json!({"permissions": [ "x".repeat(8 * 1024) ]});
    app.authkit.set_extra_claims(large.clone());
    let mut browser = expired_browser(&app).await;
    browser.get("/me").await.expect(200);
    assert!(browser.cookies.len() >= 4, "{:?}", browser.cookie_names());
    app.authkit.set_extra_claims(json!({}));
    app.expire_tokens();
    browser.get("/me").await.expect(200);
    assert_eq!(browser.cookie_names(), [SESSION_COOKIE]);
    app.authkit.set_extra_claims(large);
    app.expire_tokens();
    browser.get("/me").await.expect(200);
    app.expire_tokens();
    browser.get("/me").await.expect(200);
}

#[tokio::test]
async fn switch_changes_the_organization_of_the_session() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    let body = r#"{"organization_id": "org_2"}"#;
    let response = browser.post("/organization", body).await.expect(200);
    assert_eq!(response.json()["organization_id"], "org_2");
    assert_eq!(browser.get("/me").await.json()["organization_id"], "org_2");
    let body = app.authkit.token_requests().pop().unwrap();
    assert_eq!(body["organization_id"], "org_2");
}

#[tokio::test]
async fn switch_works_with_an_expired_session() {
    let app = TestApp::new();
    let mut browser = expired_browser(&app).await;
    browser.post("/organization", r#"{"organization_id": "org_2"}"#).await.expect(200);
    assert_eq!(browser.get("/me").await.json()["organization_id"], "org_2");
}

#[tokio::test]
async fn switch_with_an_ended_session_clears_it() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    app.authkit.end_sessions();
    browser.post("/organization", r#"{"organization_id": "org_2"}"#).await.expect(401);
    assert_eq!(browser.cookies, []);
}

#[tokio::test]
async fn expired_tokens_from_workos_cost_one_refresh_per_request() {
    let app = TestApp::new();
    let mut browser = expired_browser(&app).await;
    app.authkit.set_extra_claims(json!({"exp": 1}));
    for count in 1..=20 {
        browser.get("/me").await.expect(503);
        assert_eq!(app.authkit.refresh_count(), count);
    }
    app.authkit.set_extra_claims(json!({}));
    browser.get("/me").await.expect(200);
}

#[tokio::test]
async fn session_renewed_for_another_user_is_ended() {
    let app = TestApp::new();
    let mut browser = expired_browser(&app).await;
    app.authkit.set_extra_claims(json!({"sub": "user_grace"}));
    for _ in 0..2 {
        browser.get("/me").await.expect(401);
        browser.open("/expenses").await.expect(302);
    }
}

#[tokio::test]
async fn refused_switch_explains_the_reason_and_next_step() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    for (organization, refusal) in [
        ("org_sso", json!({"error": "sso_required", "error_description": "Use SSO."})),
        ("org_mfa", json!({"code": "mfa_enrollment", "message": "Use SSO."})),
    ] {
        let code =
            refusal.get("error").or(refusal.get("code")).unwrap().as_str().unwrap().to_owned();
        app.authkit.close_organization(organization, refusal);
        let body = json!({"organization_id": organization}).to_string();
        let response = browser.post("/organization", body).await.expect(403);
        assert_eq!(
            response.detail(),
            format!(
                "AuthKit refused: {code} (Use SSO.). Sign in at /login?organization_id={organization}"
            )
        );
        browser.get("/me").await.expect(200);
    }
    app.expire_tokens();
    browser.get("/me").await.expect(200);
}

#[tokio::test]
async fn switch_needs_session_body_and_own_origin() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    for (body, kind) in [
        ("{}", "missing"),
        (r#"{"organization_id": 5}"#, "string_type"),
        (r#"{"organization_id": " "}"#, "string_too_short"),
        (r#"{"organization_id": "org_2", "x": 1}"#, "extra_forbidden"),
        ("[]", "model_attributes_type"),
    ] {
        let response = browser.post("/organization", body).await.expect(422);
        assert_eq!(response.json()["detail"][0]["type"], kind, "{body}");
    }
    let body = r#"{"organization_id": "org_2"}"#;
    let cross_site = request(Method::POST, "/organization")
        .header("sec-fetch-site", "cross-site")
        .header(header::CONTENT_TYPE, "application/json");
    browser.send(cross_site, body.into()).await.expect(403);
    let token = app.authkit.access_token(ADA);
    app.bearer(&token).post("/organization", body).await.expect(403);
    assert_eq!(app.authkit.refresh_count(), 0);
}

#[tokio::test]
async fn bearer_token_is_never_renewed() {
    let app = TestApp::new();
    let token = CURRENT.sign(&CURRENT.header(), &app.authkit.claims(ADA));
    app.expire_tokens();
    app.bearer(&token).get("/me").await.expect(401);
    assert_eq!(app.authkit.refresh_count(), 0);
}
