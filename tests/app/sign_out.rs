//! A session stays signed out, also when a renewal responds late or the browser does not follow the redirect to
//! WorkOS. Sign-in and sign-out work with every cookie that an earlier configuration has left in the browser.

use axum::body::Body;
use chrono::Duration;
use edge_host::memory::take_events;
use futures_util::FutureExt;
use http::{Method, header};
use serde_json::json;

use crate::support::{
    ADA, Client, GRACE, TestApp,
    app::{Browser, SESSION_COOKIE, TestResponse, request},
    authkit::Outage,
};

/// Signs out without following the redirect to WorkOS: WorkOS keeps the session alive.
async fn sign_out(browser: &mut Browser) {
    browser.fetch(Method::POST, "/logout").await.expect(303);
}

/// Sends a request with an expired session and stops it while WorkOS exchanges the refresh token.
fn begin_renewal(
    app: &TestApp,
    mut browser: Browser,
) -> std::pin::Pin<Box<dyn Future<Output = TestResponse>>> {
    let count = app.authkit.refresh_count();
    let mut renewal: std::pin::Pin<Box<dyn Future<Output = TestResponse>>> =
        Box::pin(async move { browser.get("/me").await });
    while app.authkit.refresh_count() == count {
        assert!((&mut renewal).now_or_never().is_none());
    }
    renewal
}

#[tokio::test]
async fn signed_out_cookie_is_refused_before_and_after_expiry() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    let mut copy = browser.clone();
    sign_out(&mut browser).await;
    copy.clone().get("/me").await.expect(401);
    let response = copy.open("/expenses").await.expect(302);
    assert!(response.header("location").starts_with("/login"));
    assert_eq!(copy.cookies, [], "the cookie of an ended session is cleared");

    let mut copy = browser.clone();
    copy.cookies = app.signed_in(GRACE).await.cookies;
    copy.get("/me").await.expect(200);
}

#[tokio::test]
async fn signed_out_session_is_never_renewed() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    let copy = browser.clone();
    sign_out(&mut browser).await;
    app.expire_tokens();
    for isolate in [app.clone(), app.isolate()] {
        let mut copy = Browser { app: isolate, ..copy.clone() };
        copy.get("/me").await.expect(401);
        copy.get("/me").await.expect(401);
        assert_eq!(copy.cookies, [], "the isolate has learned of the sign-out");
    }
    assert_eq!(app.authkit.refresh_count(), 0);
}

#[tokio::test]
async fn older_cookie_of_a_signed_out_session_is_refused() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    let old = browser.clone();
    app.expire_tokens();
    browser.get("/me").await.expect(200);
    sign_out(&mut browser).await;
    for isolate in [app.clone(), app.isolate()] {
        Browser { app: isolate, ..old.clone() }.get("/me").await.expect(401);
    }
}

#[tokio::test]
async fn renewal_that_ends_after_sign_out_is_discarded() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    app.expire_tokens();
    let renewal = begin_renewal(&app, browser.clone());
    sign_out(&mut browser).await;
    let response = renewal.await.expect(401);
    assert_eq!(response.set_cookies(), [""; 0]);
    browser.get("/me").await.expect(401);
}

#[tokio::test]
async fn distant_renewal_sets_no_session_after_sign_out() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    app.expire_tokens();
    let renewal = begin_renewal(&app, Browser { app: app.isolate(), ..browser.clone() });
    let _ = take_events();
    sign_out(&mut browser).await;
    let response = renewal.await.expect(401);
    // Clearing the cookie again could remove that of a later sign-in.
    assert_eq!(response.set_cookies(), [""; 0]);
    let events = take_events();
    let is_end = |line: &&String| line.contains(r#""event":"session_ended""#);
    assert_eq!(events.iter().filter(is_end).count(), 1, "{events:#?}");
}

#[tokio::test]
async fn sign_out_reaches_an_isolate_that_renewed_before() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    app.expire_tokens();
    let mut copy = Browser { app: app.isolate(), ..browser.clone() };
    copy.get("/me").await.expect(200);
    browser.get("/me").await.expect(200);
    sign_out(&mut browser).await;
    app.expire_tokens();
    let count = app.authkit.refresh_count();
    copy.get("/me").await.expect(401);
    assert_eq!(app.authkit.refresh_count(), count);
}

/// WorkOS has no response to the revocation either.
#[tokio::test]
async fn unrecorded_sign_out_is_503_and_keeps_the_session() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    let cookies = browser.cookies.clone();
    app.sessions.set_unreachable(true);
    app.authkit.set_outage(Some(Outage::NoAnswer));
    let response = browser.fetch(Method::POST, "/logout").await.expect(503);
    assert!(response.detail().starts_with("You are still signed in"), "{}", response.body);
    assert_ne!(response.header("retry-after"), "");
    assert_eq!(browser.cookies, cookies);
    browser.get("/me").await.expect(200);

    app.authkit.set_outage(None);
    sign_out(&mut browser).await;
    assert_eq!(browser.cookies, []);
    assert_eq!(app.authkit.revoked(), ["session_user_ada"]);
}

#[tokio::test]
async fn session_is_revoked_a_minute_after_sign_out() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    sign_out(&mut browser).await;
    app.sessions.run_due_alarms(&*app.clock).await;
    assert_eq!(app.authkit.revoked(), [""; 0]);
    app.clock.advance(Duration::minutes(1));
    app.sessions.run_due_alarms(&*app.clock).await;
    assert_eq!(app.authkit.revoked(), ["session_user_ada"]);
}

#[tokio::test]
async fn sign_in_succeeds_while_keepers_are_unreachable() {
    let app = TestApp::new();
    app.sessions.set_unreachable(true);
    let mut browser = app.signed_in(ADA).await;
    browser.get("/me").await.expect(200);
}

#[tokio::test]
async fn signing_in_again_after_sign_out_works() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    sign_out(&mut browser).await;
    browser.sign_in(ADA).await;
    browser.get("/me").await.expect(200);
    app.expire_tokens();
    browser.get("/me").await.expect(200);
}

#[tokio::test]
async fn prefetched_logout_leaves_the_session() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    let before = browser.cookies.clone();
    for purpose in ["prefetch", "prefetch;prerender"] {
        let request = request(Method::GET, "/logout")
            .header("sec-fetch-site", "same-origin")
            .header("sec-purpose", purpose);
        browser.send(request, Body::empty()).await.expect(503);
        assert_eq!(browser.cookies, before);
    }
    browser.get("/me").await.expect(200);
}

#[tokio::test]
async fn other_authorization_scheme_leaves_the_session_in_force() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    let with = |method, path, value: &str| {
        request(method, path)
            .header("sec-fetch-site", "same-origin")
            .header(header::AUTHORIZATION, value)
    };
    for value in ["Basic c3RhZ2luZzpwYXNzd29yZA==", "Negotiate x", "Bearerish x", "basic"] {
        let me = browser.send(with(Method::GET, "/me", value), Body::empty()).await;
        assert_eq!(me.expect(200).json()["user"]["email"], ADA.email);
    }
    let response = app.send(with(Method::GET, "/me", "Basic x").body(Body::empty()).unwrap()).await;
    assert_eq!(response.expect(401).detail(), "Not signed in");
    browser.send(with(Method::POST, "/logout", "Basic x"), Body::empty()).await.expect(303);
    assert_eq!(browser.cookies, []);
}

#[tokio::test]
async fn bearer_beside_basic_wins_over_the_cookie() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    let token = app.authkit.access_token(GRACE);
    let request = request(Method::GET, "/me")
        .header(header::AUTHORIZATION, "Basic x")
        .header(header::AUTHORIZATION, format!("bearer {token}"));
    let me = browser.send(request, Body::empty()).await.expect(200).json();
    assert_eq!(me["user"]["id"], GRACE.id);
}

#[tokio::test]
async fn request_with_many_ended_sessions_costs_two_exchanges() {
    let app = TestApp::new();
    let mut browser = app.browser();
    for _ in 0..12 {
        browser.cookies.extend(app.signed_in(ADA).await.cookies);
    }
    app.authkit.end_sessions();
    app.expire_tokens();
    browser.get("/me").await.expect(401);
    assert_eq!(app.authkit.refresh_count(), 2);
    browser.open("/expenses").await.expect(302);
    browser.sign_in(ADA).await;
    assert_eq!(browser.cookie_names(), [SESSION_COOKIE]);
    browser.get("/me").await.expect(200);
}

#[tokio::test]
async fn untried_session_keeps_its_cookie() {
    let app = TestApp::new();
    let mut browser = app.browser();
    for _ in 0..2 {
        browser.cookies.extend(app.signed_in(ADA).await.cookies);
    }
    app.authkit.end_sessions();
    let live = app.signed_in(ADA).await.cookies;
    browser.cookies.extend(live.clone());
    app.expire_tokens();
    let response = browser.get("/me").await.expect(401);
    assert_eq!(response.set_cookies(), [""; 0]);
    browser.cookies = live;
    browser.get("/me").await.expect(200);
}

#[tokio::test]
async fn late_renewal_does_not_replace_a_new_sign_in() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    app.expire_tokens();
    let renewal = begin_renewal(&app, browser.clone());
    browser.sign_in(GRACE).await;
    let response = renewal.await.expect(200);
    assert_eq!(response.set_cookies(), [""; 0], "{response:?}");
    assert_eq!(browser.get("/me").await.expect(200).json()["user"]["email"], GRACE.email);
}

#[tokio::test]
async fn late_end_does_not_remove_a_new_sign_in() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    app.expire_tokens();
    app.authkit.end_sessions();
    let renewal = begin_renewal(&app, browser.clone());
    browser.sign_in(GRACE).await;
    let response = renewal.await.expect(401);
    assert_eq!(response.set_cookies(), [""; 0], "{response:?}");
    assert_eq!(browser.get("/me").await.expect(200).json()["user"]["email"], GRACE.email);
}

#[tokio::test]
async fn request_beside_a_sign_in_does_not_restore_the_session_before() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    app.expire_tokens();
    let mut tab = browser.clone();
    browser.sign_in(GRACE).await;
    app.clock.advance(Duration::milliseconds(200));
    let response = tab.get("/me").await.expect(200);
    assert_eq!(response.set_cookies(), [""; 0], "{response:?}");
}

/// A browser that leaves the page drops the response to `/callback` and its cookie.
#[tokio::test]
async fn dropped_sign_in_leaves_the_session_before_it() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    browser.clone().sign_in(ADA).await;
    app.clock.advance(Duration::seconds(1));
    browser.get("/me").await.expect(200);
    app.expire_tokens();
    browser.get("/me").await.expect(200);
    let count = app.authkit.refresh_count();
    browser.get("/me").await.expect(200);
    assert_eq!(app.authkit.refresh_count(), count, "the response set the renewed session");
}

/// The browser has not followed the sign-out's redirect, so AuthKit continues the same session.
#[tokio::test]
async fn continued_session_after_sign_out_is_ended_at_workos() {
    let app = TestApp::new();
    app.authkit.set_extra_claims(json!({"sid": "session_continued"}));
    let mut browser = app.signed_in(ADA).await;
    sign_out(&mut browser).await;
    let response = browser.sign_in(ADA).await;
    assert_eq!(
        response.header("location"),
        "https://workos.test/user_management/sessions/logout\
         ?session_id=session_continued&return_to=https%3A%2F%2Fapp.test%2F"
    );
    assert_eq!(browser.cookies, []);
    app.authkit.set_extra_claims(json!({}));
    browser.sign_in(ADA).await;
    browser.get("/me").await.expect(200);
}

#[tokio::test]
async fn sign_out_ends_the_session_under_the_former_name() {
    let app = TestApp::new();
    let mut former = app.signed_in(ADA).await;
    former.cookies[0].name = "wos-session".to_owned();
    let copy = former.clone();
    let mut browser = app.signed_in(ADA).await;
    browser.cookies.extend(former.cookies);
    sign_out(&mut browser).await;
    assert_eq!(browser.cookies, []);
    copy.clone().get("/me").await.expect(401);
}

/// The cookie's domain before and after a deployment, with the default name and a chosen one, for a
/// session in one cookie and in parts.
fn deployments() -> Vec<(TestApp, TestApp)> {
    let domains = ["", "app.test"];
    let mut deployments = Vec::new();
    for name in ["", "wos-session"] {
        for (before, after) in [(domains[0], domains[1]), (domains[1], domains[0])] {
            for permissions in [1, 600] {
                let variables =
                    |domain| [("WORKOS_COOKIE_NAME", name), ("WORKOS_COOKIE_DOMAIN", domain)];
                let app = TestApp::with_variables(&variables(before));
                let permissions: Vec<String> =
                    (0..permissions).map(|index| format!("permission:{index}")).collect();
                app.authkit.set_extra_claims(json!({"permissions": permissions}));
                let deployed = app.isolate_with_variables(&variables(after));
                deployments.push((app, deployed));
            }
        }
    }
    deployments
}

#[tokio::test]
async fn live_session_survives_a_changed_cookie_domain() {
    for (before, after) in deployments() {
        let mut browser = before.signed_in(ADA).await;
        browser.app = after.clone();
        browser.get("/me").await.expect(200);
        after.expire_tokens();
        browser.get("/me").await.expect(200);
        let mut fresh = after.signed_in(ADA).await;
        fresh.get("/me").await.expect(200);
        assert_eq!(browser.cookie_names(), fresh.cookie_names(), "no duplicate is left");
        sign_out(&mut browser).await;
        assert_eq!(browser.cookies, []);
    }
}

#[tokio::test]
async fn ended_session_under_another_domain_ends_signed_in() {
    for (before, after) in deployments() {
        let mut browser = before.signed_in(ADA).await;
        browser.app = after.clone();
        after.authkit.end_sessions();
        after.expire_tokens();
        browser.open("/expenses").await.expect(302);
        browser.sign_in(ADA).await;
        browser.open("/expenses").await.expect(200);

        let copy = browser.clone();
        sign_out(&mut browser).await;
        assert_eq!(browser.cookies, []);
        copy.clone().get("/me").await.expect(401);
    }
}

/// Releases that did not clear the other cookie have left two copies in browsers.
#[tokio::test]
async fn stale_duplicate_cookie_is_ignored() {
    for (before, after) in deployments() {
        let stale = before.signed_in(ADA).await;
        after.authkit.end_sessions();
        after.expire_tokens();
        let mut browser = after.signed_in(ADA).await;
        browser.cookies.splice(0..0, stale.cookies);
        browser.open("/expenses").await.expect(200);
        after.expire_tokens();
        browser.open("/expenses").await.expect(200);
        sign_out(&mut browser).await;
        assert_eq!(browser.cookies, []);
    }
}

#[tokio::test]
async fn session_under_the_former_name_moves_on_first_use() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    browser.cookies[0].name = "wos-session".to_owned();
    browser.get("/me").await.expect(200);
    assert_eq!(browser.cookie_names(), [SESSION_COOKIE]);
    browser.get("/me").await.expect(200);
}

#[tokio::test]
async fn planted_cookie_of_a_sibling_host_replaces_no_session() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    let mut planted = app.signed_in(GRACE).await.cookies.remove(0);
    planted.domain = Some("test".to_owned());
    planted.name = "wos-session".to_owned();
    browser.cookies.insert(0, planted);
    app.expire_tokens();
    let me = browser.get("/me").await.expect(200).json();
    assert_eq!(me["user"]["email"], ADA.email);
}
