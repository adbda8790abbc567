//! The Worker's origin: that of the request's URL, or `PUBLIC_ORIGIN` where TLS ends in front of the Worker.
//! Plain http on a public host is redirected or refused.

use axum::body::Body;
use http::{Method, header};
use serde_json::{Value, json};
use url::Url;

use crate::support::{
    ADA, Client, TestApp,
    app::{TestResponse, request},
    connect::{ISSUER, sign},
};

const PUBLIC: &str = "https://demo.tunnel.test";
const LUNCH: &str = r#"{"description": "Team lunch", "amount": 42.5}"#;

/// The request URLs behind a tunnel: the public host with plain http, or the local address.
const ARRIVALS: [&str; 2] = ["http://demo.tunnel.test", "http://localhost:8787"];

fn behind_tunnel() -> TestApp {
    TestApp::with_variables(&[("PUBLIC_ORIGIN", PUBLIC), ("WORKOS_AUTHKIT_DOMAIN", ISSUER)])
}

async fn send(app: &TestApp, method: Method, url: &str, headers: &[(&str, &str)]) -> TestResponse {
    let mut request = request(method, url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    app.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn sign_in_returns_to_the_public_origin() {
    let app = behind_tunnel();
    for arrival in ARRIVALS {
        let login = send(&app, Method::GET, &format!("{arrival}/login"), &[]).await.expect(302);
        let location = Url::parse(login.header("location")).unwrap();
        let redirect_uri = location.query_pairs().find(|(name, _)| name == "redirect_uri");
        assert_eq!(redirect_uri.unwrap().1, format!("{PUBLIC}/callback"));
        assert!(login.set_cookies().iter().all(|cookie| cookie.contains("Secure")), "{login:?}");
        assert_ne!(login.header("strict-transport-security"), "");
    }
}

#[tokio::test]
async fn sign_in_behind_the_tunnel_ends_at_a_path() {
    let app = behind_tunnel();
    for arrival in ARRIVALS {
        for (return_to, end) in [
            ("/expenses/x".to_owned(), "/expenses/x"),
            // A URL is no path, even if it has the origin.
            (format!("{PUBLIC}/expenses/x"), "/expenses"),
            (format!("{arrival}/expenses/x"), "/expenses"),
        ] {
            let mut browser = app.browser();
            let login = request(Method::GET, &format!("{arrival}/login?return_to={return_to}"));
            let login = browser.send(login, Body::empty()).await.expect(302);
            let callback = app.authkit.approve(login.header("location"), ADA);
            let path = &callback[url::Position::BeforePath..];
            let callback = request(Method::GET, &format!("{arrival}{path}"));
            let callback = browser.send(callback, Body::empty()).await.expect(302);
            assert_eq!(callback.header("location"), end, "{return_to}");
        }
    }
}

#[tokio::test]
async fn session_works_behind_the_tunnel() {
    let app = behind_tunnel();
    for arrival in ARRIVALS {
        let mut browser = app.browser();
        let login = request(Method::GET, &format!("{arrival}/login"));
        let login = browser.send(login, Body::empty()).await.expect(302);
        let callback = app.authkit.approve(login.header("location"), ADA);
        assert_eq!(callback.origin().ascii_serialization(), PUBLIC);
        let path = &callback[url::Position::BeforePath..];
        let callback = request(Method::GET, &format!("{arrival}{path}"));
        let callback = browser.send(callback, Body::empty()).await.expect(302);
        assert!(callback.set_cookies().iter().all(|cookie| cookie.contains("Secure")));
        let request = |origin: &str| {
            request(Method::POST, &format!("{arrival}/expenses"))
                .header(header::ORIGIN, origin)
                .header(header::CONTENT_TYPE, "application/json")
        };
        browser.send(request(PUBLIC), LUNCH.into()).await.expect(201);
        browser.send(request("http://demo.tunnel.test"), LUNCH.into()).await.expect(403);
        browser.send(request("https://evil.test"), LUNCH.into()).await.expect(403);
    }
}

#[tokio::test]
async fn resource_metadata_names_the_public_origin() {
    let app = behind_tunnel();
    let resource = format!("{PUBLIC}/mcp");
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).to_string();
    for arrival in ARRIVALS {
        let url = format!("{arrival}/.well-known/oauth-protected-resource/mcp");
        let metadata = send(&app, Method::GET, &url, &[]).await.expect(200).json();
        assert_eq!(metadata["resource"], resource);
        let refused = app.anonymous().get(&format!("{arrival}/mcp")).await;
        assert_eq!(refused.status, 405);
        let refused = app.anonymous().get(&format!("{arrival}/me")).await.expect(401);
        let metadata =
            format!("resource_metadata=\"{PUBLIC}/.well-known/oauth-protected-resource\"");
        assert!(refused.header("www-authenticate").contains(&metadata), "{refused:?}");

        let mut claims = app.authkit.connect.claims(ADA);
        claims["aud"] = Value::from(&*resource);
        let token = sign(&claims);
        app.bearer(&token).get(&format!("{arrival}/me")).await.expect(200);
        app.bearer(&token).post(&format!("{arrival}/mcp"), list.clone()).await.expect(200);
        claims["aud"] = Value::from(format!("{arrival}/mcp"));
        app.bearer(&sign(&claims)).get(&format!("{arrival}/me")).await.expect(401);
    }
}

#[tokio::test]
async fn forwarded_headers_are_ignored() {
    let forwarded = [
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "evil.test"),
        ("forwarded", "host=evil.test;proto=https"),
        ("x-original-host", "evil.test"),
    ];
    let app = behind_tunnel();
    let path = "/.well-known/oauth-protected-resource";
    let url = format!("{}{path}", ARRIVALS[0]);
    let response = send(&app, Method::GET, &url, &forwarded).await.expect(200);
    assert_eq!(response.json()["resource"], PUBLIC);
    let without = TestApp::with_variables(&[("WORKOS_AUTHKIT_DOMAIN", ISSUER)]);
    let url = format!("http://localhost:8787{path}");
    let response = send(&without, Method::GET, &url, &forwarded).await.expect(200);
    assert_eq!(response.json()["resource"], "http://localhost:8787");
    let response = send(&without, Method::GET, "http://app.test/", &forwarded).await.expect(308);
    assert_eq!(response.header("location"), "https://app.test/");
}

#[tokio::test]
async fn plain_http_on_a_public_host_redirects_to_https() {
    let app = TestApp::new();
    for (method, url, location) in [
        (Method::GET, "http://app.test/", "https://app.test/"),
        (Method::HEAD, "http://app.test/expenses?a=b%20c", "https://app.test/expenses?a=b%20c"),
        (Method::GET, "http://app.test:8080/login", "https://app.test/login"),
        (Method::POST, "http://app.test/expenses", "https://app.test/expenses"),
        (Method::POST, "http://192.168.0.2:8787/mcp", "https://192.168.0.2/mcp"),
        (Method::GET, "http://app.test//evil.test/x", "https://app.test//evil.test/x"),
        (Method::GET, "http://localhost.app.test/health", "https://localhost.app.test/health"),
        (Method::GET, "http://app.test/nowhere", "https://app.test/nowhere"),
    ] {
        let response = send(&app, method, url, &[("accept", "text/html")]).await.expect(308);
        assert_eq!(response.header("location"), location);
        assert_eq!(response.header("strict-transport-security"), "");
        assert_eq!(response.set_cookies(), [""; 0]);
    }
    for url in [
        "http://localhost:8787",
        "http://127.0.0.1:8787",
        "http://[::1]:8787",
        "http://a.localhost",
    ] {
        app.anonymous().get(&format!("{url}/health")).await.expect(200);
    }
    // An unconfigured Worker redirects too.
    let misconfigured = TestApp::with_variables(&[("WORKOS_COOKIE_PASSWORD", "x")]);
    misconfigured.anonymous().get("http://app.test/").await.expect(308);
    misconfigured.anonymous().get("http://localhost:8787/").await.expect(500);
}

#[tokio::test]
async fn token_over_plain_http_is_refused_unread() {
    let app = TestApp::new();
    let token = app.authkit.access_token(ADA);
    for path in ["/me", "/expenses", "/nowhere"] {
        let response = app.bearer(&token).get(&format!("http://app.test{path}")).await.expect(403);
        assert!(response.detail().contains("https"), "{response:?}");
        assert_eq!(response.header("location"), "");
    }
    app.bearer(&token).post("http://app.test/expenses", LUNCH).await.expect(403);
    assert_eq!(app.authkit.jwks_count(), 0);
    // Credentials of other schemes belong to a proxy.
    let basic = [("authorization", "Basic eDp5")];
    send(&app, Method::GET, "http://app.test/", &basic).await.expect(308);
    assert!(app.expenses_of(ADA).await.is_empty());
}
