//! `/login` and `/callback` against planted cookies, replays, prefetches and browsers that drop
//! cookies.

use axum::body::Body;
use chrono::Duration;
use http::{Method, header};
use serde_json::json;
use url::Url;

use crate::support::{
    ADA, Client, GRACE, TestApp,
    app::{Browser, Cookie, TestResponse, query, request},
    authkit::Outage,
};

/// The limit on what all sign-ins in progress add to a request's headers.
const SIGN_IN_COOKIES_MAX_BYTES: usize = 5_000;

fn sign_in_cookies(browser: &Browser) -> Vec<&Cookie> {
    browser.cookies.iter().filter(|cookie| cookie.name.contains("sign-in")).collect()
}

/// Goes through `/login` and AuthKit; the URL of `/callback`.
async fn callback(browser: &mut Browser, login: &str) -> Url {
    let login = browser.open(login).await.expect(302);
    browser.app.authkit.approve(login.header("location"), ADA)
}

#[tokio::test]
async fn sign_in_cookie_has_the_host_prefix_on_https() {
    for variables in [
        &[][..],
        &[("WORKOS_COOKIE_NAME", "__Host-session")],
        &[("WORKOS_COOKIE_NAME", "__Secure-session")],
        &[("WORKOS_COOKIE_NAME", "mine"), ("WORKOS_COOKIE_DOMAIN", "app.test")],
    ] {
        let app = TestApp::with_variables(variables);
        let response = app.anonymous().get("/login").await.expect(302);
        let [cookie] = response.set_cookies()[..] else { panic!("{response:?}") };
        assert!(cookie.starts_with("__Host-"), "{cookie}");
        assert!(!cookie.contains("Secure-"), "{cookie}");
        assert!(cookie.ends_with("; Path=/; Max-Age=600; SameSite=Lax; HttpOnly; Secure"));
        let response = app.anonymous().get("http://localhost:8787/login").await.expect(302);
        let [cookie] = response.set_cookies()[..] else { panic!("{response:?}") };
        assert!(!cookie.starts_with("__"), "{cookie}");
        assert!(cookie.ends_with("; Path=/; Max-Age=600; SameSite=Lax; HttpOnly"), "{cookie}");
    }
}

#[tokio::test]
async fn planted_cookie_without_the_prefix_begins_no_sign_in() {
    let app = TestApp::new();
    let mut attacker = app.browser();
    let login = attacker.open("/login").await.expect(302);
    let callback = app.authkit.approve(login.header("location"), GRACE);
    let Cookie { name, value, .. } = attacker.cookies[0].clone();
    let bare = name.trim_start_matches("__Host-");
    for planted in
        [bare, &format!("\u{2000}{name}"), &format!("\u{85}{name}"), &format!("__host-{bare}")]
    {
        let request = request(Method::GET, callback.as_str())
            .header(header::COOKIE, format!("{planted}={value}").into_bytes());
        let response = app.send(request.body(Body::empty()).unwrap()).await.expect(302);
        assert_eq!(response.header("location"), "/login?retry=1", "{planted:?}");
    }
    assert_eq!(app.authkit.token_requests().len(), 0);
}

#[tokio::test]
async fn many_sign_ins_leave_few_cookies_and_the_session() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    for index in 0..190 {
        browser.open(&format!("/login?return_to=/{}{index}", "a".repeat(500))).await.expect(302);
    }
    let cookies = sign_in_cookies(&browser);
    let bytes: usize =
        cookies.iter().map(|cookie| cookie.name.len() + cookie.value.len() + 3).sum();
    assert!(bytes <= SIGN_IN_COOKIES_MAX_BYTES, "{} cookies, {bytes} bytes", cookies.len());
    browser.get("/me").await.expect(200);
    let last = callback(&mut browser, "/login?return_to=/me").await;
    assert_eq!(browser.open(last.as_str()).await.expect(302).header("location"), "/me");
}

#[tokio::test]
async fn sign_in_without_its_slot_restarts() {
    let app = TestApp::new();
    let mut browser = app.browser();
    let first = callback(&mut browser, "/login?return_to=/me%3Ftab%3D1").await;
    app.clock.advance(Duration::seconds(1));
    for _ in 0..50 {
        browser.open("/login").await.expect(302);
    }
    let response = browser.open(first.as_str()).await.expect(302);
    assert_eq!(response.header("location"), "/login?retry=1&return_to=%2Fme%3Ftab%3D1");
    let again = callback(&mut browser, response.header("location")).await;
    assert_eq!(browser.open(again.as_str()).await.expect(302).header("location"), "/me?tab=1");
}

#[tokio::test]
async fn tabs_keep_their_sign_ins_while_slots_are_free() {
    let app = TestApp::new();
    let mut browser = app.browser();
    let mut callbacks = Vec::new();
    for index in 0..5 {
        callbacks
            .push(callback(&mut browser, &format!("/login?return_to=/me%3Ftab%3D{index}")).await);
    }
    for (index, callback) in callbacks.iter().enumerate().rev() {
        let response = browser.open(callback.as_str()).await.expect(302);
        assert_eq!(response.header("location"), format!("/me?tab={index}"));
    }
    assert!(sign_in_cookies(&browser).is_empty());
}

#[tokio::test]
async fn prefetch_neither_begins_nor_finishes_a_sign_in() {
    let app = TestApp::new();
    let mut browser = app.browser();
    let callback = callback(&mut browser, "/login").await;
    for (name, value) in [
        ("sec-purpose", "prefetch"),
        ("sec-purpose", "prefetch;prerender"),
        ("purpose", "prefetch"),
        ("x-moz", "prefetch"),
    ] {
        for path in ["/login", callback.as_str()] {
            let request = request(Method::GET, path).header(name, value);
            let response = browser.send(request, Body::empty()).await.expect(503);
            assert!(response.set_cookies().is_empty(), "{response:?}");
        }
    }
    assert_eq!(app.authkit.token_requests().len(), 0);
    browser.open(callback.as_str()).await.expect(302);
    browser.get("/me").await.expect(200);
}

#[tokio::test]
async fn error_without_a_sign_in_quotes_no_query() {
    let app = TestApp::new();
    let stranger = app.browser().open("/login").await;
    let state = query(stranger.header("location"))["state"].clone();
    for state in ["", "x", &state] {
        let path = format!(
            "/callback?error=call_us_now&error_description=Your+account+is+locked&state={state}"
        );
        let json = app.anonymous().get(&path).await.expect(400);
        let page = app.browser().open(&path).await.expect(400);
        assert!(json.detail().contains("/login"), "{json:?}");
        assert!(page.body.contains("href=\"/login\""), "{}", page.body);
        for body in [json.body, page.body] {
            assert!(!body.contains("locked") && !body.contains("call_us_now"), "{body}");
        }
    }
}

/// The response to AuthKit's error for a sign-in that this browser began.
async fn refuse_sign_in(browser: &mut Browser, error: &str, description: &str) -> TestResponse {
    let login = browser.open("/login?return_to=/me").await.expect(302);
    let state = query(login.header("location"))["state"].clone();
    let mut url = Url::parse("https://app.test/callback").unwrap();
    url.query_pairs_mut()
        .append_pair("error", error)
        .append_pair("error_description", description)
        .append_pair("state", &state);
    browser.open(url.as_str()).await
}

#[tokio::test]
async fn error_of_own_sign_in_is_shown_escaped() {
    let app = TestApp::new();
    let mut browser = app.browser();
    let page =
        refuse_sign_in(&mut browser, "x\"><h2>y", "<script>alert(1)</script>").await.expect(400);
    assert!(page.body.contains("&lt;script&gt;alert(1)"), "{}", page.body);
    assert!(!page.body.contains("<script") && !page.body.contains("<h2>"), "{}", page.body);
    assert!(page.body.contains("href=\"/login?return_to=%2Fme\""), "{}", page.body);
    assert!(browser.cookies.is_empty(), "the sign-in is over");
}

#[tokio::test]
async fn known_error_codes_have_own_messages() {
    let app = TestApp::new();
    for (code, words) in [
        ("access_denied", "cancelled"),
        ("login_required", "sign in"),
        ("organization_invalid", "organization"),
        ("connection_invalid", "connection"),
        ("ambiguous_connection_selector", "connection"),
        ("invalid_request", "administrator"),
        ("temporarily_unavailable", "moment"),
    ] {
        let page = refuse_sign_in(&mut app.browser(), code, "Words of AuthKit").await.expect(400);
        let lead = page.body.split("class=\"lead\">").nth(1).unwrap().split('<').next().unwrap();
        assert!(lead.contains(words) && lead.contains("Words of AuthKit"), "{code}: {lead}");
    }
}

#[tokio::test]
async fn refused_exchange_has_an_own_message() {
    let app = TestApp::new();
    let mut browser = app.browser();
    let callback = callback(&mut browser, "/login").await;
    let refusal = json!({"code": "sso_required", "message": "User must use <b>SSO</b>"});
    app.authkit.refuse(Some((403, refusal)));
    let page = browser.open(callback.as_str()).await.expect(400);
    assert!(page.body.contains("single sign-on"), "{}", page.body);
    assert!(page.body.contains("&lt;b&gt;SSO"), "{}", page.body);
}

#[tokio::test]
async fn sign_in_cookie_replayed_with_many_codes_exchanges_one() {
    let app = TestApp::new();
    let mut browser = app.browser();
    let callback = callback(&mut browser, "/login?return_to=/me").await;
    let state = query(callback.as_str())["state"].clone();
    for index in 0..100 {
        // The attacker's client keeps the cookie although the response clears it.
        let path = format!("/callback?code=invented-{index}&state={state}");
        let response = browser.clone().open(&path).await.expect(302);
        assert_eq!(response.header("location"), "/login?retry=1&return_to=%2Fme");
    }
    assert_eq!(app.authkit.token_requests().len(), 1);
}

#[tokio::test]
async fn callback_replayed_after_success_exchanges_no_code() {
    let app = TestApp::new();
    let mut browser = app.browser();
    let callback = callback(&mut browser, "/login").await;
    let mut twin = browser.clone();
    browser.open(callback.as_str()).await.expect(302);
    let response = twin.open(callback.as_str()).await.expect(302);
    assert_eq!(response.header("location"), "/login?retry=1");
    assert_eq!(app.authkit.token_requests().len(), 1);
}

#[tokio::test]
async fn callback_submitted_twice_at_once_exchanges_once() {
    let app = TestApp::new();
    let mut browser = app.browser();
    let callback = callback(&mut browser, "/login").await;
    let mut twin = browser.clone();
    let (first, second) =
        tokio::join!(browser.open(callback.as_str()), twin.open(callback.as_str()));
    assert_eq!(first.expect(302).header("location"), "/expenses");
    assert_eq!(second.expect(302).header("location"), "/login?retry=1");
    assert_eq!(app.authkit.token_requests().len(), 1);
}

#[tokio::test]
async fn unanswered_exchange_is_retried_with_its_code_only() {
    let app = TestApp::new();
    let mut browser = app.browser();
    let callback = callback(&mut browser, "/login").await;
    app.authkit.set_outage(Some(Outage::NoAnswer));
    browser.open(callback.as_str()).await.expect(503);
    browser.open(callback.as_str()).await.expect(503);
    let mut other = callback.clone();
    other.set_query(Some(&format!("code=x&state={}", query(callback.as_str())["state"])));
    browser.clone().open(other.as_str()).await.expect(302);
    assert_eq!(app.authkit.token_requests().len(), 2);
    app.authkit.set_outage(None);
    browser.open(callback.as_str()).await.expect(302);
    browser.get("/me").await.expect(200);
}

#[tokio::test]
async fn failed_exchange_is_tried_ten_times_at_most() {
    let app = TestApp::new();
    let mut browser = app.browser();
    let callback = callback(&mut browser, "/login").await;
    app.authkit.refuse(Some((400, json!({"error": "invalid_request"}))));
    for _ in 0..10 {
        browser.clone().open(callback.as_str()).await.expect(503);
    }
    for _ in 0..40 {
        let response = browser.clone().open(callback.as_str()).await.expect(302);
        assert_eq!(response.header("location"), "/login?retry=1");
    }
    assert_eq!(app.authkit.token_requests().len(), 10);
}

#[tokio::test]
async fn login_forwards_invitation_prompt_and_max_age() {
    let app = TestApp::new();
    let response = app
        .anonymous()
        .get("/login?invitation_token=inv_1&prompt=login&max_age=0")
        .await
        .expect(302);
    let query = query(response.header("location"));
    assert_eq!(query["invitation_token"], "inv_1");
    assert_eq!(query["prompt"], "login");
    assert_eq!(query["max_age"], "0");
    assert_eq!(query["provider"], "authkit");
}

/// Repeats the sign-in in a browser that drops the session cookie and keeps all others; the last response.
async fn repeat_sign_in(browser: &mut Browser, origin: &str, session_cookie: &str) -> TestResponse {
    let mut path = format!("{origin}/expenses");
    for _ in 0..20 {
        let response = browser.open(&path).await;
        browser.cookies.retain(|cookie| !cookie.name.starts_with(session_cookie));
        if response.status != 302 {
            return response;
        }
        let location = response.header("location").to_owned();
        path = if location.starts_with("https://workos.test/user_management/authorize") {
            browser.app.authkit.approve(&location, ADA).into()
        } else {
            format!("{origin}{location}")
        };
    }
    panic!("the redirects never end")
}

#[tokio::test]
async fn secure_cookie_dropped_on_http_ends_on_a_page() {
    for name in ["__Host-session", "__Secure-session"] {
        let app = TestApp::with_variables(&[("WORKOS_COOKIE_NAME", name)]);
        let mut browser = app.browser();
        let page = repeat_sign_in(&mut browser, "http://localhost:8787", name).await.expect(400);
        assert!(page.body.contains(name) && page.body.contains("WORKOS_COOKIE_NAME"), "{page:?}");
        assert!(page.body.contains("https"), "{page:?}");
        assert!(page.body.contains("href=\"/login?return_to=%2Fexpenses\">Try again"), "{page:?}");
        // A manual retry ends on the page again.
        browser.open("http://localhost:8787/login").await.expect(302);
        repeat_sign_in(&mut browser, "http://localhost:8787", name).await.expect(400);
    }
}

#[tokio::test]
async fn dropped_domain_cookie_ends_on_a_page() {
    let app = TestApp::with_variables(&[
        ("WORKOS_COOKIE_NAME", "mine"),
        ("WORKOS_COOKIE_DOMAIN", "app.test"),
    ]);
    let page = repeat_sign_in(&mut app.browser(), "https://app.test", "mine").await.expect(400);
    assert!(page.body.contains("WORKOS_COOKIE_DOMAIN"), "{page:?}");
}

#[tokio::test]
async fn sign_in_right_after_sign_out_works() {
    for (origin, variables) in [
        ("http://localhost:8787", &[("WORKOS_COOKIE_NAME", "__Host-session")][..]),
        ("https://app.test", &[("WORKOS_COOKIE_DOMAIN", "app.test")][..]),
    ] {
        let app = TestApp::with_variables(variables);
        let mut browser = app.browser();
        for _ in 0..3 {
            let login = browser.open(&format!("{origin}/login?return_to=/me")).await.expect(302);
            let callback = app.authkit.approve(login.header("location"), ADA);
            browser.open(callback.as_str()).await.expect(302);
            browser.fetch(Method::POST, &format!("{origin}/logout")).await.expect(303);
        }
        assert!(browser.cookies.is_empty(), "{:?}", browser.cookies);
    }
}

#[tokio::test]
async fn token_too_large_for_any_browser_is_explained() {
    for length in [28_000, 40_000] {
        let app = TestApp::new();
        app.authkit.set_extra_claims(json!({"template": "x".repeat(length)}));
        let mut browser = app.browser();
        let callback = callback(&mut browser, "/login").await;
        let json = {
            let mut twin = browser.clone();
            let request = request(Method::GET, callback.as_str());
            twin.send(request, Body::empty()).await.expect(502)
        };
        let detail = json.detail();
        for words in ["kB", "administrator", "permissions", "JWT template"] {
            assert!(detail.contains(words), "{detail}");
        }
        let callback = self::callback(&mut browser, "/login").await;
        let page = browser.open(callback.as_str()).await.expect(502);
        assert!(page.body.contains("JWT template") && page.body.contains("href=\"/login"));
        assert!(json.set_cookies().iter().all(|cookie| cookie.contains("Max-Age=0")), "{json:?}");
        assert!(crate::support::logs::take().join("").contains("access token"));
    }
}
