//! Error responses, and the headers that every response has.

use http::Method;
use serde_json::json;

use crate::support::{ADA, Client, TestApp, app::request, logs};

#[tokio::test]
async fn health_is_public_and_says_ok() {
    let app = TestApp::new();
    assert_eq!(app.anonymous().get("/health").await.expect(200).json(), json!({"status": "ok"}));
}

#[tokio::test]
async fn unknown_path_is_404_as_json_and_as_page() {
    let app = TestApp::new();
    let response = app.anonymous().get("/nowhere").await.expect(404);
    assert_eq!(response.json(), json!({"detail": "Not Found"}));
    let page = app.browser().open("/nowhere").await.expect(404);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert!(page.body.contains("href=\"/\""), "{}", page.body);
}

#[tokio::test]
async fn unsupported_method_is_405_with_the_allowed_methods() {
    let app = TestApp::new();
    for (method, path, allowed) in [
        (Method::PUT, "/expenses", "GET,HEAD,POST"),
        (Method::POST, "/login", "GET,HEAD"),
        (Method::TRACE, "/expenses/x", "GET,HEAD,PUT,PATCH,DELETE,POST"),
        (Method::POST, "/expenses/summary", "GET,HEAD"),
        (Method::DELETE, "/expenses/x/delete", "GET,HEAD,POST"),
    ] {
        let request = request(method, path).body(axum::body::Body::empty()).unwrap();
        let response = app.send(request).await.expect(405);
        assert_eq!(response.header("allow"), allowed);
        assert_eq!(response.detail(), "Method Not Allowed");
    }
}

#[tokio::test]
async fn every_response_has_the_security_headers() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    for response in [
        app.anonymous().get("/health").await,
        app.anonymous().get("/nowhere").await,
        app.anonymous().get("/me").await,
        app.anonymous().get("/login").await,
        browser.get("/me").await,
        browser.open("/").await,
        browser.open("/nowhere").await,
    ] {
        assert_eq!(response.header("cache-control"), "no-store", "{response:?}");
        assert_eq!(response.header("vary"), "Cookie, Authorization, Accept");
        assert_eq!(response.header("x-content-type-options"), "nosniff");
        assert_eq!(response.header("referrer-policy"), "same-origin");
        assert_eq!(response.header("cross-origin-opener-policy"), "same-origin");
        assert_eq!(response.header("cross-origin-resource-policy"), "same-origin");
        assert_eq!(response.header("strict-transport-security"), "max-age=63072000");
        let is_html = response.header("content-type").starts_with("text/html");
        let policy = response.header("content-security-policy");
        assert_eq!(policy.starts_with("default-src 'none'; "), is_html, "{policy}");
    }
}

#[tokio::test]
async fn plain_http_response_has_no_hsts_header() {
    let app = TestApp::new();
    let response = app.anonymous().get("http://localhost:8787/health").await.expect(200);
    assert_eq!(response.header("strict-transport-security"), "");
}

#[tokio::test]
async fn configuration_error_is_500_with_names_and_no_values() {
    let app = TestApp::with_variables(&[
        ("WORKOS_API_KEY", ""),
        ("WORKOS_COOKIE_PASSWORD", "hunter2"),
        ("WORKOS_BASE_URL", "hunter3"),
    ]);
    for path in ["/", "/health", "/login", "/expenses", "/nowhere"] {
        let detail = app.anonymous().get(path).await.expect(500).detail();
        for name in ["WORKOS_API_KEY", "WORKOS_COOKIE_PASSWORD", "WORKOS_BASE_URL"] {
            assert!(detail.contains(name), "{detail}");
        }
        assert!(!detail.contains("hunter"), "{detail}");
    }
    let logs = logs::take().join("\n");
    assert!(logs.contains("WORKOS_API_KEY is missing") && !logs.contains("hunter"), "{logs}");
}

#[tokio::test]
async fn internal_error_shows_only_the_request_id() {
    let app = TestApp::with_variables(&[("WORKOS_ISSUER", "https://another.test")]);
    let mut browser = app.browser();
    let login = browser.open("/login").await;
    let callback = app.authkit.approve(login.header("location"), ADA);
    let response = browser.get(callback.as_str()).await.expect(500);
    assert_eq!(
        response.detail(),
        "Something went wrong on our side. If it happens again, report request ray-of-the-test"
    );
    let logs = logs::take().join("\n");
    let event = r#""event":"request_failed","request":"ray-of-the-test","method":"GET","route":"/callback","status":500"#;
    assert!(logs.contains(event), "{logs}");
    assert!(logs.contains("another issuer"), "{logs}");
}
