//! The session cookie: the sealed values that open, and the user that `/me` then shows.

use axum::body::Body;
use http::{Method, header};
use serde_json::json;

use crate::support::{
    ADA, Client, GRACE, TestApp,
    app::{SESSION_COOKIE, request},
};

#[tokio::test]
async fn me_shows_all_claims_of_the_token() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    assert_eq!(
        browser.get("/me").await.expect(200).json(),
        json!({
            "user": {
                "object": "user", "id": "user_ada", "email": "ada@example.com",
                "email_verified": true, "first_name": "Test",
                "created_at": "2026-01-01T00:00:00.000Z", "updated_at": "2026-01-01T00:00:00.000Z",
            },
            "session_id": "session_user_ada", "organization_id": "org_1",
            "role": "admin", "roles": ["admin"], "permissions": ["expenses:read", "expenses:write"],
            "entitlements": ["pro"], "feature_flags": ["beta"], "impersonator": null,
            "expires_at": "2026-11-23T12:05:00Z",
        })
    );
}

#[tokio::test]
async fn me_shows_the_impersonator() {
    let app = TestApp::new();
    for (claim, expected) in [
        (json!({"act": {"sub": "help@workos.test"}}), json!({"email": "help@workos.test"})),
        (
            json!({"impersonator": {"email": "help@workos.test", "reason": "ticket 7"}}),
            json!({"email": "help@workos.test", "reason": "ticket 7"}),
        ),
    ] {
        app.authkit.set_extra_claims(claim);
        let mut browser = app.signed_in(ADA).await;
        assert_eq!(browser.get("/me").await.json()["impersonator"], expected);
        assert!(browser.open("/").await.body.contains("help@workos.test"));
    }
}

#[tokio::test]
async fn impersonation_reason_falls_back_to_the_sign_in_response() {
    let app = TestApp::new();
    app.authkit.set_extra_claims(json!({"act": {"sub": "help@workos.test"}}));
    for (told, reason) in [("help@workos.test", json!("ticket 7")), ("x@workos.test", json!(null))]
    {
        app.authkit.impersonate(json!({"email": told, "reason": "ticket 7"}));
        let mut browser = app.signed_in(ADA).await;
        let me = browser.get("/me").await.expect(200).json();
        assert_eq!(me["impersonator"]["email"], "help@workos.test");
        assert_eq!(me["impersonator"].get("reason").cloned().unwrap_or_default(), reason);
    }
}

#[tokio::test]
async fn missing_credentials_are_401_or_a_sign_in_redirect() {
    let app = TestApp::new();
    for path in ["/me", "/expenses", "/expenses?limit=5&x=%2F"] {
        let response = app.anonymous().get(path).await.expect(401);
        assert_eq!(response.header("www-authenticate"), "Bearer");
        assert_eq!(response.detail(), "Not signed in");
    }
    let response = app.browser().open("/expenses?limit=5&x=%2F").await.expect(302);
    assert_eq!(response.header("location"), "/login?return_to=%2Fexpenses%3Flimit%3D5%26x%3D%252F");
    // Signing in cannot restore the body of a `POST`.
    let request = request(Method::POST, "/expenses").header(header::ACCEPT, "text/html");
    app.browser().send(request, Body::empty()).await.expect(401);
}

#[tokio::test]
async fn modified_session_cookie_is_refused() {
    let app = TestApp::new();
    let signed_in = app.signed_in(ADA).await;
    let changes: [fn(&str) -> String; 5] = [
        |value| value.replacen(&value[40..41], if &value[40..41] == "A" { "B" } else { "A" }, 1),
        |value| value[..value.len() - 4].to_owned(),
        |value| format!("{value}AAAA"),
        |_| "AAAA".to_owned(),
        |_| "%%%".to_owned(),
    ];
    for change in changes {
        let mut browser = signed_in.clone();
        browser.tamper(SESSION_COOKIE, change);
        let response = browser.get("/me").await.expect(401);
        assert_eq!(response.detail(), "The session is not valid: sign in again");
        browser.open("/expenses").await.expect(302);
    }
}

#[tokio::test]
async fn cookie_sealed_with_another_password_is_refused() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    let variables = [("WORKOS_COOKIE_PASSWORD", "another password of 32 characters!")];
    browser.app = app.isolate_with_variables(&variables);
    browser.get("/me").await.expect(401);
}

#[tokio::test]
async fn sign_in_cookie_is_refused_as_session() {
    let app = TestApp::new();
    let mut browser = app.browser();
    browser.open("/login").await;
    let sign_in = &mut browser.cookies[0];
    sign_in.name = SESSION_COOKIE.to_owned();
    sign_in.path = "/".to_owned();
    browser.get("/me").await.expect(401);
}

#[tokio::test]
async fn authorization_header_overrides_the_cookie() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    let token = app.authkit.access_token(GRACE);
    let with = |value: &str| request(Method::GET, "/me").header(header::AUTHORIZATION, value);
    let response = browser.send(with(&format!("Bearer {token}")), Body::empty()).await.expect(200);
    assert_eq!(response.json()["user"], json!({"object": "user", "id": "user_grace"}));
    browser.send(with("Bearer nonsense"), Body::empty()).await.expect(401);
}

#[tokio::test]
async fn cross_origin_write_is_refused_for_cookies_only() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    let body = r#"{"description": "x", "amount": 1}"#;
    let post =
        || request(Method::POST, "/expenses").header(header::CONTENT_TYPE, "application/json");
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://evil.test"),
        ("origin", "null"),
    ] {
        browser.send(post().header(name, value), body.into()).await.expect(403);
        let token = format!("Bearer {}", app.authkit.access_token(ADA));
        let request = post().header(name, value).header(header::AUTHORIZATION, token);
        app.send(request.body(body.into()).unwrap()).await.expect(201);
    }
    for (name, value) in
        [("sec-fetch-site", "same-origin"), ("origin", "https://app.test"), ("x-none", "curl")]
    {
        browser.send(post().header(name, value), body.into()).await.expect(201);
    }
}

#[tokio::test]
async fn session_works_in_one_cookie_or_several() {
    let app = TestApp::new();
    let permissions: Vec<String> =
        (0..400).map(|index| format!("resource-{index}:write")).collect();
    app.authkit.set_extra_claims(json!({"permissions": permissions}));
    let mut browser = app.signed_in(ADA).await;
    assert!(browser.cookies.len() > 1, "{:?}", browser.cookie_names());
    let me = browser.get("/me").await.expect(200).json();
    assert_eq!(me["permissions"].as_array().unwrap().len(), 400);

    app.authkit.set_extra_claims(json!({}));
    browser.sign_in(ADA).await;
    assert_eq!(browser.cookie_names(), [SESSION_COOKIE]);
    browser.get("/me").await.expect(200);

    app.authkit.set_extra_claims(json!({"permissions": permissions}));
    browser.sign_in(ADA).await;
    browser.fetch(Method::POST, "/logout").await.expect(303);
    assert_eq!(browser.cookies, []);
}
