//! `/login`, `/callback` and `/logout`.

use axum::body::Body;
use chrono::Duration;
use http::Method;
use serde_json::json;

use crate::support::{
    ADA, Client, GRACE, KvOperation, TestApp,
    app::{SESSION_COOKIE, query, request},
    authkit::Outage,
};

#[tokio::test]
async fn login_redirects_to_authkit_with_state_and_pkce() {
    let app = TestApp::new();
    let response = app.anonymous().get("/login").await.expect(302);
    let location = response.header("location");
    assert!(location.starts_with("https://workos.test/user_management/authorize?"), "{location}");
    let query = query(location);
    assert_eq!(query["client_id"], "client_test");
    assert_eq!(query["redirect_uri"], "https://app.test/callback");
    assert_eq!(query["response_type"], "code");
    assert_eq!(query["provider"], "authkit");
    assert_eq!(query["code_challenge_method"], "S256");
    assert_eq!(query["code_challenge"].len(), 43);
    assert!(query["state"].len() >= 22);
    let [cookie] = response.set_cookies()[..] else { panic!("{response:?}") };
    assert!(cookie.ends_with("; Path=/; Max-Age=600; SameSite=Lax; HttpOnly; Secure"), "{cookie}");
    assert!(!cookie.contains(&query["state"]), "the cookie is sealed");
}

#[tokio::test]
async fn login_forwards_known_parameters_and_ignores_others() {
    let app = TestApp::new();
    let path = "/login?screen_hint=sign-up&login_hint=a%40b.test&domain_hint=b.test&x=1&context=y";
    let response = app.anonymous().get(path).await.expect(302);
    let query = query(response.header("location"));
    assert_eq!(query["screen_hint"], "sign-up");
    assert_eq!(query["login_hint"], "a@b.test");
    assert_eq!(query["domain_hint"], "b.test");
    assert_eq!(query["provider"], "authkit");
    assert!(!query.contains_key("x") && !query.contains_key("context"));
}

#[tokio::test]
async fn login_forwards_organization_connection_or_provider() {
    let app = TestApp::new();
    for (name, value) in
        [("organization_id", "org_1"), ("connection_id", "conn_1"), ("provider", "GoogleOAuth")]
    {
        let response = app.anonymous().get(&format!("/login?{name}={value}")).await.expect(302);
        let query = query(response.header("location"));
        assert_eq!(query[name], value);
        assert_eq!(query.contains_key("provider"), name == "provider");
    }
}

#[tokio::test]
async fn callback_sets_the_session_cookie() {
    let app = TestApp::new();
    let mut browser = app.browser();
    let response = browser.sign_in(ADA).await;
    assert_eq!(response.header("location"), "/expenses");
    let session =
        response.set_cookies().into_iter().find(|cookie| cookie.starts_with("__Host-wos-session="));
    let attributes = session.unwrap().split_once("; ").unwrap().1;
    assert_eq!(attributes, "Path=/; Max-Age=34560000; SameSite=Lax; HttpOnly; Secure");
    assert_eq!(browser.cookie_names(), [SESSION_COOKIE], "the sign-in's own cookie is gone");

    let me = browser.get("/me").await.expect(200).json();
    assert_eq!(me["user"]["email"], ADA.email);
    assert!(me["user"].get("metadata").is_none());
}

#[tokio::test]
async fn code_exchange_sends_secret_verifier_and_browser_address() {
    let app = TestApp::new();
    let mut browser = app.browser();
    let login = browser.open("/login").await;
    let callback = app.authkit.approve(login.header("location"), ADA);
    let request = request(Method::GET, callback.as_str())
        .header("cf-connecting-ip", "192.0.2.7")
        .header("user-agent", "Browser/1.0");
    browser.send(request, Body::empty()).await.expect(302);
    let [body] = &app.authkit.token_requests()[..] else { panic!() };
    assert_eq!(body["grant_type"], "authorization_code");
    assert_eq!(body["client_secret"], "sk_test_apikey");
    assert_eq!(body["ip_address"], "192.0.2.7");
    assert_eq!(body["user_agent"], "Browser/1.0");
    assert_eq!(body["code_verifier"].as_str().unwrap().len(), 43);
}

#[tokio::test]
async fn last_of_equal_login_parameters_counts() {
    let app = TestApp::new();
    let login = app.browser().open("/login?prompt=login&prompt=none").await;
    let location = url::Url::parse(login.header("location")).unwrap();
    let prompts: Vec<_> = location.query_pairs().filter(|(name, _)| name == "prompt").collect();
    assert_eq!(prompts, [("prompt".into(), "none".into())]);
}

#[tokio::test]
async fn return_to_leads_to_this_origin_only() {
    let app = TestApp::new();
    for (return_to, expected) in [
        ("/expenses?limit=5", "/expenses?limit=5"),
        ("//evil.test", "/expenses"),
        ("/\\evil.test", "/expenses"),
        ("https://evil.test/", "/expenses"),
        ("/logout", "/expenses"),
    ] {
        let mut browser = app.browser();
        let encoded: String = url::form_urlencoded::byte_serialize(return_to.as_bytes()).collect();
        let login = browser.open(&format!("/login?return_to={encoded}")).await;
        let callback = app.authkit.approve(login.header("location"), ADA);
        let response = browser.open(callback.as_str()).await.expect(302);
        assert_eq!(response.header("location"), expected, "{return_to}");
    }
}

#[tokio::test]
async fn two_tabs_sign_in_with_separate_states() {
    let app = TestApp::new();
    let mut browser = app.browser();
    let first = browser.open("/login?return_to=/first").await;
    let second = browser.open("/login?return_to=/second").await;
    for (login, path) in [(first, "/first"), (second, "/second")] {
        let callback = app.authkit.approve(login.header("location"), ADA);
        let response = browser.open(callback.as_str()).await.expect(302);
        assert_eq!(response.header("location"), path);
    }
}

#[tokio::test]
async fn unrequested_code_is_never_exchanged() {
    let app = TestApp::new();
    let attackers_login = app.browser().open("/login").await;
    let attackers_callback = app.authkit.approve(attackers_login.header("location"), GRACE);
    let unasked = format!("/callback?code={}", app.authkit.unasked_code(GRACE));
    let mut victim = app.browser();
    victim.open("/login").await;
    for callback in
        [attackers_callback.as_str(), &unasked, &format!("{unasked}&state=x"), "/callback"]
    {
        let response = victim.open(callback).await.expect(302);
        assert_eq!(response.header("location"), "/login?retry=1", "{callback}");
    }
    assert_eq!(app.authkit.token_requests().len(), 0);
    assert_eq!(victim.cookie(SESSION_COOKIE), None);
}

#[tokio::test]
async fn sign_in_begun_elsewhere_restarts_and_succeeds() {
    let app = TestApp::new();
    let mut browser = app.browser();
    let callback = format!("/callback?code={}", app.authkit.unasked_code(ADA));
    let again = browser.open(&callback).await.expect(302);
    let login = browser.open(again.header("location")).await.expect(302);
    let callback = app.authkit.approve(login.header("location"), ADA);
    browser.open(callback.as_str()).await.expect(302);
    browser.get("/me").await.expect(200);
}

#[tokio::test]
async fn browser_without_cookies_gets_an_error_page() {
    let app = TestApp::new();
    let mut location = "/login".to_owned();
    for _ in 0..2 {
        let login = app.anonymous().get(&location).await.expect(302);
        let callback = app.authkit.approve(login.header("location"), ADA);
        let response = app.anonymous().get(callback.as_str()).await;
        if response.status == 400 {
            assert!(response.detail().contains("Allow cookies"), "{response:?}");
            return;
        }
        location = response.expect(302).header("location").to_owned();
    }
    panic!("still going round");
}

#[tokio::test]
async fn repeated_callback_exchanges_its_code_once() {
    let app = TestApp::new();
    let mut browser = app.browser();
    let login = browser.open("/login").await;
    let callback = app.authkit.approve(login.header("location"), ADA);
    browser.open(callback.as_str()).await.expect(302);
    let again = browser.open(callback.as_str()).await.expect(302);
    assert_eq!(again.header("location"), "/login?retry=1");
    assert_eq!(app.authkit.token_requests().len(), 1);
    browser.get("/me").await.expect(200);
}

/// The second request may be on its way before the browser has the response that clears the sign-in's cookie.
#[tokio::test]
async fn repeated_callback_of_a_retry_ends_on_a_page() {
    for (path, is_retry) in
        [("/login?return_to=/me", false), ("/login?retry=1&return_to=/me", true)]
    {
        let app = TestApp::new();
        let mut browser = app.browser();
        let login = browser.open(path).await;
        let callback = app.authkit.approve(login.header("location"), ADA);
        let mut repeated = browser.clone();
        browser.open(callback.as_str()).await.expect(302);
        let response = repeated.open(callback.as_str()).await;
        if is_retry {
            let page = response.expect(400);
            assert_eq!(page.header("location"), "");
            assert!(page.body.contains("href=\"/login?return_to=%2Fme\""), "{}", page.body);
        } else {
            let again = response.expect(302);
            assert_eq!(again.header("location"), "/login?retry=1&return_to=%2Fme");
        }
        assert_eq!(repeated.cookies, []);
        assert_eq!(app.authkit.token_requests().len(), 1);
        browser.get("/me").await.expect(200);
    }
}

#[tokio::test]
async fn expired_sign_in_starts_again() {
    let app = TestApp::new();
    let mut browser = app.browser();
    let login = browser.open("/login").await;
    app.clock.advance(Duration::minutes(10));
    let callback = app.authkit.approve(login.header("location"), ADA);
    let response = browser.open(callback.as_str()).await.expect(302);
    assert_eq!(response.header("location"), "/login?retry=1");
    assert_eq!(app.authkit.token_requests().len(), 0);
}

#[tokio::test]
async fn spent_code_is_retried_once_and_never_shown() {
    let app = TestApp::new();
    let mut browser = app.browser();
    let login = browser.open("/login?return_to=/me").await;
    let callback = app.authkit.approve(login.header("location"), ADA);
    let code = query(callback.as_str())["code"].clone();
    let description = format!("The code '{code}' has expired or is invalid.");
    app.authkit
        .refuse(Some((400, json!({"error": "invalid_grant", "error_description": description}))));
    let response = browser.open(callback.as_str()).await.expect(302);
    assert_eq!(response.header("location"), "/login?retry=1&return_to=%2Fme");
    let login = browser.open(response.header("location")).await.expect(302);
    let callback = app.authkit.approve(login.header("location"), ADA);
    let response = browser.open(callback.as_str()).await.expect(400);
    assert!(
        response.body.contains("invalid_grant") && !response.body.contains(&code),
        "{response:?}"
    );
    assert_eq!(browser.cookies, []);
}

#[tokio::test]
async fn sign_in_resumes_after_an_authkit_outage() {
    for outage in [Outage::NoAnswer, Outage::Status(500), Outage::Status(429)] {
        let app = TestApp::new();
        let mut browser = app.browser();
        let login = browser.open("/login").await;
        let callback = app.authkit.approve(login.header("location"), ADA);
        app.authkit.set_outage(Some(outage));
        let response = browser.open(callback.as_str()).await.expect(503);
        assert_ne!(response.header("retry-after"), "");
        app.authkit.set_outage(None);
        browser.open(callback.as_str()).await.expect(302);
        browser.get("/me").await.expect(200);
    }
}

#[tokio::test]
async fn wrong_api_key_is_503() {
    let app = TestApp::with_variables(&[("WORKOS_API_KEY", "sk_wrong")]);
    let mut browser = app.browser();
    let login = browser.open("/login").await;
    let callback = app.authkit.approve(login.header("location"), ADA);
    browser.open(callback.as_str()).await.expect(503);
}

#[tokio::test]
async fn callback_sets_no_session_that_fails_verification() {
    let app = TestApp::with_variables(&[("WORKOS_ISSUER", "https://another.test")]);
    let mut browser = app.browser();
    let login = browser.open("/login").await;
    let callback = app.authkit.approve(login.header("location"), ADA);
    browser.open(callback.as_str()).await.expect(500);
    assert_eq!(browser.cookie(SESSION_COOKIE), None);
}

#[tokio::test]
async fn sign_out_clears_the_cookie_and_redirects_to_workos() {
    for (method, status) in [(Method::POST, 303), (Method::GET, 302)] {
        let app = TestApp::new();
        let mut browser = app.signed_in(ADA).await;
        let response = browser.fetch(method, "/logout").await.expect(status);
        assert_eq!(
            response.header("location"),
            "https://workos.test/user_management/sessions/logout\
             ?session_id=session_user_ada&return_to=https%3A%2F%2Fapp.test%2F"
        );
        assert_eq!(browser.cookies, []);
        browser.get("/me").await.expect(401);
    }
}

#[tokio::test]
async fn sign_out_works_without_keys_or_with_expired_token() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    app.clock.advance(Duration::days(2));
    app.authkit.set_outage(Some(Outage::NoAnswer));
    let response = browser.fetch(Method::POST, "/logout").await.expect(303);
    assert!(response.header("location").contains("session_id=session_user_ada"));
    assert_eq!(browser.cookies, []);
}

#[tokio::test]
async fn sign_out_without_a_session_redirects_home() {
    let app = TestApp::new();
    let response = app.browser().fetch(Method::POST, "/logout").await.expect(303);
    assert_eq!(response.header("location"), "https://app.test/");
    let app = TestApp::with_variables(&[("WORKOS_LOGOUT_REDIRECT", "https://www.test/bye")]);
    let response = app.browser().fetch(Method::POST, "/logout").await.expect(303);
    assert_eq!(response.header("location"), "https://www.test/bye");
}

#[tokio::test]
async fn cross_site_sign_out_is_refused() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    for method in [Method::GET, Method::POST] {
        let request = request(method, "/logout").header("sec-fetch-site", "cross-site");
        browser.send(request, Body::empty()).await.expect(403);
    }
    browser.get("/me").await.expect(200);
}

#[tokio::test]
async fn configured_redirect_uri_is_used() {
    let app = TestApp::with_variables(&[("WORKOS_REDIRECT_URI", "https://www.test/callback")]);
    let response = app.anonymous().get("/login").await;
    assert_eq!(query(response.header("location"))["redirect_uri"], "https://www.test/callback");
}

#[tokio::test]
async fn cookies_on_http_localhost_lack_secure() {
    let app = TestApp::new();
    for (url, is_secure) in
        [("http://localhost:8787/login", false), ("https://localhost:8787/login", true)]
    {
        let response = app.anonymous().get(url).await.expect(302);
        assert_eq!(response.set_cookies()[0].contains("; Secure"), is_secure, "{url}");
    }
}

#[tokio::test]
async fn secrets_appear_in_no_log_line_or_body() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    let token = app.authkit.access_token(ADA);
    let mut bodies = vec![browser.get("/me").await.body, browser.open("/").await.body];
    app.authkit.set_outage(Some(Outage::Status(500)));
    app.clock.advance(Duration::hours(2));
    bodies.push(browser.get("/me").await.body);
    bodies.push(app.bearer(&token).get("/me").await.body);
    bodies.push(app.bearer("sk_test_apikey").get("/me").await.body);
    app.authkit.set_outage(None);
    app.kv.fail(Some(KvOperation::List));
    bodies.push(app.bearer(&app.authkit.access_token(ADA)).get("/expenses").await.expect(503).body);
    let logs = crate::support::logs::take().join("\n");
    let seen = format!("{}\n{logs}", bodies.join("\n"));
    assert!(!logs.is_empty());
    for secret in ["sk_test_apikey", &token, "refresh_1", "a cookie password", "eyJ"] {
        assert!(!seen.contains(secret), "{secret} in {seen}");
    }
}

#[tokio::test]
async fn head_request_changes_nothing() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    let exchanged = app.authkit.token_requests().len();
    browser.fetch(Method::HEAD, "/logout").await.expect(405);
    let login = browser.open("/login").await;
    let callback = app.authkit.approve(login.header("location"), ADA);
    browser.fetch(Method::HEAD, callback.as_str()).await.expect(405);
    assert_eq!(app.authkit.token_requests().len(), exchanged);
    browser.get("/me").await.expect(200);
}

#[tokio::test]
async fn strict_cookie_sign_in_continues_from_own_page() {
    let app = TestApp::with_variables(&[("WORKOS_COOKIE_SAMESITE", "strict")]);
    let mut browser = app.browser();
    let login = browser.open("/login?return_to=/me%3Fa=%22").await;
    let callback = app.authkit.approve(login.header("location"), ADA);
    let page = browser.open(callback.as_str()).await.expect(200);
    assert!(page.body.contains("http-equiv=\"refresh\" content=\"0;url=/me?a=%22\""), "{page:?}");
    browser.get("/me").await.expect(200);
}

#[tokio::test]
async fn foreign_cookie_domain_is_500_and_no_redirect_loop() {
    let app = TestApp::with_variables(&[("WORKOS_COOKIE_DOMAIN", "other.test")]);
    let mut browser = app.browser();
    let login = browser.open("/login").await;
    let callback = app.authkit.approve(login.header("location"), ADA);
    browser.open(callback.as_str()).await.expect(500);
    assert!(crate::support::logs::take().join("").contains("WORKOS_COOKIE_DOMAIN"));
}

#[tokio::test]
async fn cookie_name_with_the_host_prefix_works() {
    let app = TestApp::with_variables(&[("WORKOS_COOKIE_NAME", "__Host-session")]);
    for (origin, name) in [
        ("https://app.test", "__Host-session-sign-in-"),
        ("http://localhost:8787", "session-sign-in-"),
    ] {
        let response = app.anonymous().get(&format!("{origin}/login")).await.expect(302);
        assert!(response.set_cookies()[0].starts_with(name), "{response:?}");
    }
    let mut browser = app.signed_in(ADA).await;
    assert_eq!(browser.cookie_names(), ["__Host-session"]);
    browser.get("/me").await.expect(200);
}

#[tokio::test]
async fn same_site_none_cookie_is_always_secure() {
    let app = TestApp::with_variables(&[("WORKOS_COOKIE_SAMESITE", "none")]);
    let mut browser = app.browser();
    let response = browser.sign_in(ADA).await;
    assert!(
        response
            .set_cookies()
            .iter()
            .any(|cookie| cookie.contains("SameSite=None; HttpOnly; Secure"))
    );
}
