//! Sessions are renewed on the way, once, and never ended by mistake.

use axum::body::Body;
use chrono::Duration;
use edge_host::WaitUntil;
use futures_util::{FutureExt, future::join_all};
use http::{Method, header};
use serde_json::json;

use crate::support::{
    ADA, KvOperation, TestApp,
    app::{Browser, SESSION_COOKIE, request},
    authkit::{ACCESS_TOKEN_TTL_SECS, CURRENT, NEXT, Outage},
};

fn expire(app: &TestApp) {
    app.clock.advance(Duration::seconds(ACCESS_TOKEN_TTL_SECS));
}

/// A browser whose access token has expired.
async fn expired_browser(app: &TestApp) -> Browser {
    let browser = app.signed_in(ADA).await;
    expire(app);
    browser
}

#[tokio::test]
async fn an_expired_session_is_renewed_and_the_answer_carries_the_new_one() {
    let app = TestApp::new();
    let mut browser = expired_browser(&app).await;
    let old = browser.cookies.clone();
    browser.get("/me").await.expect(200);
    assert_ne!(browser.cookies, old);
    assert_eq!(app.authkit.refresh_count(), 1);
    browser.get("/me").await.expect(200);
    assert_eq!(app.authkit.refresh_count(), 1);
    expire(&app);
    browser.get("/me").await.expect(200);
    assert_eq!(app.authkit.refresh_count(), 2);
}

#[tokio::test]
async fn every_protected_path_renews_even_when_its_handler_fails() {
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
async fn the_refresh_goes_out_with_the_browsers_address() {
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
async fn fifty_requests_with_one_expired_session_cost_one_refresh() {
    let app = TestApp::new();
    let browser = expired_browser(&app).await;
    let mut browsers = vec![browser; 50];
    let answers = join_all(browsers.iter_mut().map(|browser| browser.get("/me"))).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    assert_eq!(app.authkit.refresh_count(), 1);
    expire(&app);
    for browser in &mut browsers {
        browser.get("/me").await.expect(200);
    }
}

#[tokio::test]
async fn over_several_isolates_each_refreshes_at_most_once_and_nobody_is_signed_out() {
    let app = TestApp::new();
    let browser = expired_browser(&app).await;
    let isolates: Vec<TestApp> = (0..5).map(|_| app.isolate()).collect();
    let mut browsers: Vec<Browser> = (0..50)
        .map(|index| Browser { app: isolates[index % 5].clone(), ..browser.clone() })
        .collect();
    let answers = join_all(browsers.iter_mut().map(|browser| browser.get("/me"))).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    let count = app.authkit.refresh_count();
    assert!((1..=5).contains(&count), "{count} refreshes");
    expire(&app);
    for browser in &mut browsers {
        browser.get("/me").await.expect(200);
    }
}

#[tokio::test]
async fn who_comes_late_with_the_old_session_gets_the_new_one_without_asking_workos() {
    let app = TestApp::new();
    let mut browser = expired_browser(&app).await;
    let mut late = Browser { app: app.isolate(), ..browser.clone() };
    browser.get("/me").await.expect(200);
    app.clock.advance(Duration::minutes(4));
    late.get("/me").await.expect(200);
    assert_eq!(app.authkit.refresh_count(), 1);
}

#[tokio::test]
async fn a_session_several_rotations_behind_is_brought_up_to_date() {
    let app = TestApp::new();
    let mut browser = expired_browser(&app).await;
    let mut late = Browser { app: app.isolate(), ..browser.clone() };
    browser.get("/me").await.expect(200);
    expire(&app);
    browser.get("/me").await.expect(200);
    late.get("/me").await.expect(200);
    assert_eq!(app.authkit.refresh_count(), 2);
}

#[tokio::test]
async fn a_refresh_token_that_is_not_rotated_works_as_well() {
    let app = TestApp::new();
    app.authkit.reuse_refresh_tokens();
    let mut browser = expired_browser(&app).await;
    for _ in 0..3 {
        browser.get("/me").await.expect(200);
        expire(&app);
    }
    browser.post("/organization", r#"{"organization_id": "org_2"}"#).await.expect(200);
    assert_eq!(browser.get("/me").await.json()["organization_id"], "org_2");
}

#[tokio::test]
async fn a_session_that_has_ended_is_cleared() {
    let app = TestApp::new();
    let mut browser = expired_browser(&app).await;
    app.authkit.end_sessions();
    let mut other = browser.clone();
    browser.get("/me").await.expect(401);
    assert_eq!(browser.cookies, []);
    other.open("/expenses").await.expect(302);
    assert_eq!(other.cookies, []);
    assert_eq!(app.authkit.refresh_count(), 1, "the refusal is remembered for a moment");
}

#[tokio::test]
async fn while_workos_is_down_the_session_stays_and_the_answer_is_503() {
    for outage in [Outage::NoAnswer, Outage::Status(500), Outage::Status(503), Outage::Status(429)]
    {
        let app = TestApp::new();
        let mut browser = expired_browser(&app).await;
        let cookies = browser.cookies.clone();
        app.authkit.set_outage(Some(outage));
        let answer = browser.get("/me").await.expect(503);
        assert_ne!(answer.header("retry-after"), "");
        assert_eq!(answer.set_cookies(), [""; 0]);
        browser.open("/expenses").await.expect(503);
        browser.open("/").await.expect(503);
        assert_eq!(browser.cookies, cookies);
        app.authkit.set_outage(None);
        app.clock.advance(Duration::seconds(2));
        browser.get("/me").await.expect(200);
    }
}

#[tokio::test]
async fn fifty_requests_during_an_outage_ask_workos_once() {
    let app = TestApp::new();
    let browser = expired_browser(&app).await;
    app.authkit.set_outage(Some(Outage::Status(500)));
    let mut browsers = vec![browser; 50];
    let answers = join_all(browsers.iter_mut().map(|browser| browser.get("/me"))).await;
    assert!(answers.iter().all(|answer| answer.status == 503));
    assert_eq!(app.authkit.refresh_count(), 1);
}

#[tokio::test]
async fn a_kv_that_cannot_be_asked_who_was_first_is_no_sign_out() {
    let app = TestApp::new();
    let mut browser = expired_browser(&app).await;
    let mut late = Browser { app: app.isolate(), ..browser.clone() };
    browser.get("/me").await.expect(200);
    app.authkit_kv.fail(Some(KvOperation::Get));
    let cookies = late.cookies.clone();
    late.get("/me").await.expect(503);
    assert_eq!(late.cookies, cookies);
    app.authkit_kv.fail(None);
    app.clock.advance(Duration::seconds(2));
    late.get("/me").await.expect(200);
}

#[tokio::test]
async fn a_slow_kv_holds_nobody_up_and_ends_no_session() {
    let app = TestApp::new();
    let browser = expired_browser(&app).await;
    let mut first = browser.clone();
    let mut second = browser;
    // KV answers reads at once and keeps writes waiting.
    app.authkit_kv.hold_operation(Some(KvOperation::Put));
    let request =
        || request(Method::GET, "/me").extension(WaitUntil::new(|work| drop(tokio::spawn(work))));
    first.send(request(), Body::empty()).await.expect(200);
    app.clock.advance(Duration::seconds(20));
    second.send(request(), Body::empty()).await.expect(200);
    assert_eq!(app.authkit.refresh_count(), 1);
}

#[tokio::test]
async fn a_session_that_is_over_hides_no_other() {
    let app = TestApp::new();
    let dead = app.signed_in(ADA).await;
    app.authkit.end_sessions();
    expire(&app);
    let mut browser = app.signed_in(ADA).await;
    // Another scope of the same name, which the browser sends first.
    browser.cookies.insert(0, dead.cookies[0].clone());
    let me = browser.get("/me").await.expect(200).json();
    assert_eq!(me["user"]["email"], ADA.email);
    browser.open("/expenses").await.expect(200);
}

#[tokio::test]
async fn with_a_domain_a_host_only_twin_is_cleared() {
    let app = TestApp::with_variables(&[("WORKOS_COOKIE_DOMAIN", "app.test")]);
    let mut browser = app.signed_in(ADA).await;
    let twin = browser.cookies[0].clone();
    browser.cookies.push(twin);
    let answer = browser.fetch(Method::POST, "/logout").await.expect(303);
    let is_cleared =
        |cookie: &&str| cookie.starts_with("wos-session=") && cookie.contains("Max-Age=0");
    let clears: Vec<_> = answer.set_cookies().into_iter().filter(is_cleared).collect();
    assert_eq!(clears.iter().filter(|cookie| cookie.contains("Domain=app.test")).count(), 1);
    assert_eq!(clears.iter().filter(|cookie| !cookie.contains("Domain=")).count(), 1);
}

#[tokio::test]
async fn a_late_renewal_does_not_undo_a_sign_out() {
    let app = TestApp::new();
    let mut browser = expired_browser(&app).await;
    let mut late = browser.clone();
    let held = hold_up(&app, &mut late).await;
    browser.fetch(Method::POST, "/logout").await.expect(303);
    let answer = held.await.expect(200);
    assert_eq!(answer.set_cookies(), [""; 0]);
}

#[tokio::test]
async fn a_refused_switch_says_nothing_of_the_session() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    app.authkit.close_organization("org_gone", json!({"error": "invalid_grant"}));
    let body = r#"{"organization_id": "org_gone"}"#;
    browser.post("/organization", body).await.expect(403);
    expire(&app);
    browser.get("/me").await.expect(200);
}

#[tokio::test]
async fn what_workos_wants_first_it_asks_for_at_sign_in_and_the_cookie_stays() {
    let app = TestApp::new();
    let mut browser = expired_browser(&app).await;
    let cookies = browser.cookies.clone();
    app.authkit.refuse(Some((403, json!({"code": "mfa_enrollment", "message": "…"}))));
    browser.get("/me").await.expect(401);
    browser.open("/expenses").await.expect(302);
    assert_eq!(browser.cookies, cookies);
}

#[tokio::test]
async fn a_refresh_goes_on_when_its_browser_goes_away() {
    let app = TestApp::new();
    let browser = expired_browser(&app).await;
    let mut gone = browser.clone();
    let request =
        request(Method::GET, "/me").extension(WaitUntil::new(|work| drop(tokio::spawn(work))));
    {
        let mut abandoned = Box::pin(gone.send(request, Body::empty()));
        // Far enough that WorkOS has been asked, not far enough for its answer.
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
async fn a_late_answer_does_not_put_a_spent_session_back() {
    let app = TestApp::new();
    let mut browser = expired_browser(&app).await;
    let mut late = browser.clone();
    // Both renew into the same session; one of them is held up after that …
    let held = hold_up(&app, &mut late).await;
    browser.get("/me").await.expect(200);
    // … while the other spends it.
    browser.post("/organization", r#"{"organization_id": "org_2"}"#).await.expect(200);
    let answer = held.await;
    browser.keep_cookies(&answer.expect(200));
    assert_eq!(browser.get("/me").await.expect(200).json()["organization_id"], "org_2");
    expire(&app);
    browser.get("/me").await.expect(200);
}

#[tokio::test]
async fn a_late_answer_does_not_put_back_what_was_spent_in_another_isolate() {
    let app = TestApp::new();
    let mut browser = expired_browser(&app).await;
    let mut late = browser.clone();
    let held = hold_up(&app, &mut late).await;
    browser.app = app.isolate();
    browser.post("/organization", r#"{"organization_id": "org_2"}"#).await.expect(200);
    browser.keep_cookies(&held.await.expect(200));
    assert_eq!(browser.get("/me").await.expect(200).json()["organization_id"], "org_2");
}

/// A request that has renewed its session and then waits for KV until it is polled again.
async fn hold_up<'a>(
    app: &TestApp,
    browser: &'a mut Browser,
) -> std::pin::Pin<Box<dyn Future<Output = crate::support::app::Answer> + 'a>> {
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
async fn a_rotated_password_signs_nobody_out_and_seals_again_on_the_way() {
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
    let answer = browser.get("/me").await.expect(200);
    assert_eq!(answer.set_cookies(), [""; 0], "once is enough");
    // The previous password is gone for good.
    browser.app = app.isolate_with_variables(&[("WORKOS_COOKIE_PASSWORD", new_password)]);
    browser.get("/me").await.expect(200);
}

#[tokio::test]
async fn sealing_again_does_not_put_a_spent_session_back() {
    let app = TestApp::new();
    let stale = app.signed_in(ADA).await;
    let mut browser = stale.clone();
    let variables = [
        ("WORKOS_COOKIE_PASSWORD", "the new password of 32 characters"),
        ("WORKOS_COOKIE_PASSWORD_PREVIOUS", crate::support::app::PASSWORD),
    ];
    browser.app = app.isolate_with_variables(&variables);
    browser.post("/organization", r#"{"organization_id": "org_2"}"#).await.expect(200);
    // A request from before, with the spent session, on an isolate that knows nothing of it.
    let mut stale = Browser { app: app.isolate_with_variables(&variables), ..stale };
    let answer = stale.get("/me").await.expect(200);
    browser.keep_cookies(&answer);
    assert_eq!(browser.get("/me").await.expect(200).json()["organization_id"], "org_2");
}

#[tokio::test]
async fn a_session_whose_key_was_retired_long_ago_is_renewed_and_not_ended() {
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
async fn a_large_session_stays_signed_in_as_it_grows_and_shrinks() {
    let app = TestApp::new();
    let large = json!({"permissions": [ "x".repeat(8 * 1024) ]});
    app.authkit.set_extra_claims(large.clone());
    let mut browser = expired_browser(&app).await;
    browser.get("/me").await.expect(200);
    assert!(browser.cookies.len() >= 4, "{:?}", browser.cookie_names());
    app.authkit.set_extra_claims(json!({}));
    expire(&app);
    browser.get("/me").await.expect(200);
    assert_eq!(browser.cookie_names(), [SESSION_COOKIE]);
    app.authkit.set_extra_claims(large);
    expire(&app);
    browser.get("/me").await.expect(200);
    expire(&app);
    browser.get("/me").await.expect(200);
}

#[tokio::test]
async fn switching_organization_shows_and_stays() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    let body = r#"{"organization_id": "org_2"}"#;
    let answer = browser.post("/organization", body).await.expect(200);
    assert_eq!(answer.json()["organization_id"], "org_2");
    assert_eq!(browser.get("/me").await.json()["organization_id"], "org_2");
    let body = app.authkit.token_requests().pop().unwrap();
    assert_eq!(body["organization_id"], "org_2");
}

#[tokio::test]
async fn switching_with_an_expired_session_works_too() {
    let app = TestApp::new();
    let mut browser = expired_browser(&app).await;
    browser.post("/organization", r#"{"organization_id": "org_2"}"#).await.expect(200);
    assert_eq!(browser.get("/me").await.json()["organization_id"], "org_2");
}

#[tokio::test]
async fn switching_a_session_that_has_ended_clears_it() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    app.authkit.end_sessions();
    browser.post("/organization", r#"{"organization_id": "org_2"}"#).await.expect(401);
    assert_eq!(browser.cookies, []);
}

#[tokio::test]
async fn a_workos_that_gives_expired_tokens_is_asked_once_a_request_and_forgiven() {
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
async fn a_session_that_is_renewed_into_another_users_ends_at_sign_in_and_not_in_an_outage() {
    let app = TestApp::new();
    let mut browser = expired_browser(&app).await;
    app.authkit.set_extra_claims(json!({"sub": "user_grace"}));
    for _ in 0..2 {
        browser.get("/me").await.expect(401);
        browser.open("/expenses").await.expect(302);
    }
}

#[tokio::test]
async fn where_authkit_says_no_the_answer_says_why_and_where_to_go() {
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
        let answer = browser.post("/organization", body).await.expect(403);
        assert_eq!(
            answer.detail(),
            format!(
                "AuthKit refused: {code} (Use SSO.). Sign in at /login?organization_id={organization}"
            )
        );
        browser.get("/me").await.expect(200);
    }
    expire(&app);
    browser.get("/me").await.expect(200);
}

#[tokio::test]
async fn switching_needs_a_session_a_body_and_a_page_of_this_site() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    for (body, kind) in [
        ("{}", "missing"),
        (r#"{"organization_id": 5}"#, "string_type"),
        (r#"{"organization_id": " "}"#, "string_too_short"),
        (r#"{"organization_id": "org_2", "x": 1}"#, "extra_forbidden"),
        ("[]", "model_attributes_type"),
    ] {
        let answer = browser.post("/organization", body).await.expect(422);
        assert_eq!(answer.json()["detail"][0]["type"], kind, "{body}");
    }
    let body = r#"{"organization_id": "org_2"}"#;
    let cross_site = request(Method::POST, "/organization")
        .header("sec-fetch-site", "cross-site")
        .header(header::CONTENT_TYPE, "application/json");
    browser.send(cross_site, body.into()).await.expect(403);
    let token = app.authkit.access_token(ADA);
    app.post_as(&token, "/organization", body).await.expect(403);
    assert_eq!(app.authkit.refresh_count(), 0);
}

#[tokio::test]
async fn a_bearer_token_is_never_renewed() {
    let app = TestApp::new();
    let token = CURRENT.sign(&CURRENT.header(), &app.authkit.claims(ADA));
    expire(&app);
    app.get_as(&token, "/me").await.expect(401);
    assert_eq!(app.authkit.refresh_count(), 0);
}
