//! The limit on the sign-ins and refused credentials of one address: 429 in every representation.

use std::sync::Arc;

use axum::body::Body;
use axum_authkit::RateLimiter;
use chrono::Duration;
use edge_host::memory::{MemoryHost, MemoryRateLimit};
use http::{Method, header};

use crate::support::{
    ADA, Client, TestApp,
    app::{TestResponse, request},
};

const ADDRESS: &str = "192.0.2.7";

/// An application that allows each address two requests in a minute.
fn limited() -> TestApp {
    let app = TestApp::with_variables(&[("WORKOS_WEBHOOK_SECRET", "whsec_of_this_endpoint")]);
    let limit = MemoryRateLimit::new(2, 60, Arc::clone(&app.clock) as _);
    let host = MemoryHost::default().with_rate_limit("LIMIT", Arc::new(limit));
    let address_limit = RateLimiter::bound(&host, "LIMIT", 60);
    TestApp { address_limit, ..app }
        .isolate_with_variables(&[("WORKOS_WEBHOOK_SECRET", "whsec_of_this_endpoint")])
}

/// Sends a request from an address, with a bearer token.
async fn send(
    app: &TestApp,
    method: Method,
    path: &str,
    address: &str,
    token: &str,
) -> TestResponse {
    let request = request(method, path)
        .header("cf-connecting-ip", address)
        .header(header::AUTHORIZATION, format!("Bearer {token}"));
    app.send(request.body(Body::empty()).unwrap()).await
}

/// Opens a page from an address.
async fn open(app: &TestApp, path: &str, address: &str, cookie: &str) -> TestResponse {
    let request = request(Method::GET, path)
        .header("cf-connecting-ip", address)
        .header(header::ACCEPT, "text/html")
        .header(header::COOKIE, cookie);
    app.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn addresses_of_one_ipv6_network_share_a_limit() {
    let app = limited();
    for (address, status) in [("1", 302), ("2", 302), ("3", 429)] {
        open(&app, "/login", &format!("2001:db8:1:2::{address}"), "").await.expect(status);
    }
    open(&app, "/login", "2001:db8:1:3::1", "").await.expect(302);
}

#[tokio::test]
async fn login_and_callback_refuse_an_address_beyond_the_limit() {
    for path in ["/login", "/callback?code=x"] {
        let app = limited();
        for _ in 0..2 {
            open(&app, path, ADDRESS, "").await.expect(302);
        }
        let page = open(&app, path, ADDRESS, "").await.expect(429);
        assert_eq!(page.header("retry-after"), "60");
        assert!(page.body.contains("Too many requests: try again in 60 seconds"), "{}", page.body);
        open(&app, path, "192.0.2.8", "").await.expect(302);
        app.clock.advance(Duration::minutes(1));
        open(&app, path, ADDRESS, "").await.expect(302);
    }
}

#[tokio::test]
async fn refused_tokens_count_for_their_address() {
    for path in ["/expenses", "/mcp"] {
        let app = limited();
        let method = if path == "/mcp" { Method::POST } else { Method::GET };
        for _ in 0..2 {
            send(&app, method.clone(), path, ADDRESS, "nonsense").await.expect(401);
        }
        let response = send(&app, method.clone(), path, ADDRESS, "nonsense").await.expect(429);
        assert_eq!(response.header("retry-after"), "60");
        assert_eq!(response.detail(), "Too many requests: try again in 60 seconds");
        send(&app, method.clone(), path, "192.0.2.8", "nonsense").await.expect(401);
        let token = app.authkit.access_token(ADA);
        send(&app, Method::GET, "/expenses", ADDRESS, &token).await.expect(200);
    }
}

#[tokio::test]
async fn refused_sessions_count_for_their_address() {
    let app = limited();
    for _ in 0..2 {
        open(&app, "/expenses", ADDRESS, "__Host-wos-session=AAAA").await.expect(302);
    }
    open(&app, "/expenses", ADDRESS, "__Host-wos-session=AAAA").await.expect(429);
    // A request without credentials is not refused ones.
    open(&app, "/expenses", ADDRESS, "").await.expect(302);
}

#[tokio::test]
async fn webhook_refuses_an_address_beyond_the_limit() {
    let app = limited();
    for _ in 0..2 {
        send(&app, Method::POST, "/webhooks/workos", ADDRESS, "x").await.expect(400);
    }
    send(&app, Method::POST, "/webhooks/workos", ADDRESS, "x").await.expect(429);
}

#[tokio::test]
async fn request_without_address_has_no_limit() {
    let app = limited();
    for _ in 0..5 {
        app.browser().open("/login").await.expect(302);
        app.bearer("nonsense").get("/expenses").await.expect(401);
    }
}
