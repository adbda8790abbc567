//! Verification of bearer tokens.

use axum::body::Body;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::Duration;
use http::{Method, header};
use serde_json::{Value, json};

use crate::support::{
    ADA, Client, TestApp,
    app::request,
    authkit::{CURRENT, STRANGER},
    claims::{with, without},
};

/// The `error_description` in `WWW-Authenticate` for the token.
async fn refusal(app: &TestApp, token: &str) -> String {
    let response = app.bearer(token).get("/me").await.expect(401);
    let challenge = response.header("www-authenticate").to_owned();
    assert!(challenge.starts_with("Bearer error=\"invalid_token\""), "{challenge}");
    challenge.split("error_description=").nth(1).unwrap().trim_matches('"').to_owned()
}

#[tokio::test]
async fn valid_token_is_accepted_in_any_case_of_bearer() {
    let app = TestApp::new();
    let token = app.authkit.access_token(ADA);
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let request = request(Method::GET, "/me")
            .header(header::AUTHORIZATION, format!("{scheme} {token}"))
            .body(Body::empty());
        app.send(request.unwrap()).await.expect(200);
    }
}

#[tokio::test]
async fn token_is_accepted_until_its_expiry_second() {
    let app = TestApp::new();
    let token = app.authkit.access_token(ADA);
    app.clock.advance(Duration::seconds(299));
    app.bearer(&token).get("/me").await.expect(200);
    app.clock.advance(Duration::seconds(1));
    assert_eq!(refusal(&app, &token).await, "the token has expired");
}

#[tokio::test]
async fn token_with_another_signature_is_refused() {
    let app = TestApp::new();
    let claims = app.authkit.claims(ADA);
    let stranger = STRANGER.sign(&STRANGER.header(), &claims);
    assert_eq!(refusal(&app, &stranger).await, "the token's signature is wrong");

    let good = app.authkit.access_token(ADA);
    let [head, body, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!() };
    let root = URL_SAFE_NO_PAD.encode(with(claims, json!({"sub": "user_root"})).to_string());
    assert_eq!(
        refusal(&app, &format!("{head}.{root}.{signature}")).await,
        "the token's signature is wrong"
    );
    assert_eq!(refusal(&app, &format!("{head}.{body}.")).await, "the token's signature is wrong");
}

#[tokio::test]
async fn token_with_an_unknown_kid_is_refused() {
    let app = TestApp::new();
    let claims = app.authkit.claims(ADA);
    let long = "k".repeat(64 * 1024);
    for kid in [json!("key_other"), json!("../../etc/passwd"), json!("' OR 1=1"), json!("")] {
        let token = CURRENT.sign(&json!({"alg": "RS256", "kid": kid}), &claims);
        let expected = "the token is not signed by a key of the issuer";
        assert_eq!(refusal(&app, &token).await, expected, "{kid}");
    }
    let without_kid = CURRENT.sign(&json!({"alg": "RS256"}), &claims);
    assert!(refusal(&app, &without_kid).await.contains("a key of the issuer"));
    for kid in [json!(long), json!(5), json!(["key_current"])] {
        let token = CURRENT.sign(&json!({"alg": "RS256", "kid": kid}), &claims);
        assert_eq!(refusal(&app, &token).await, "the token is malformed");
    }
}

/// `{"$serde_json::private::RawValue": "…"}` nested as text: serde_json with its `raw_value` feature parses each
/// level with a new nesting limit.
fn nested_raw_values(levels: usize, depth: usize) -> String {
    let mut text = "[".repeat(depth) + &"]".repeat(depth);
    for _ in 0..levels {
        let inner = format!("{{\"$serde_json::private::RawValue\":{}}}", json!(text));
        text = "[".repeat(depth) + &inner + &"]".repeat(depth);
    }
    text
}

#[tokio::test]
async fn deep_nesting_in_any_form_is_refused() {
    let app = TestApp::new();
    let disguised = nested_raw_values(6, 100);
    let plain = "[".repeat(30_000) + &"]".repeat(30_000);
    let token = app.authkit.access_token(ADA);
    for nested in [&disguised, &plain] {
        let header = format!("{{\"alg\":\"RS256\",\"kid\":\"key_current\",\"crit\":{nested}}}");
        let forged = format!("{}.e30.AAAA", URL_SAFE_NO_PAD.encode(header));
        app.bearer(&forged).get("/me").await.expect(401);
        let body = format!("{{\"description\":{nested},\"amount\":1}}");
        let response = app.bearer(&token).post("/expenses", body).await;
        assert!(matches!(response.status.as_u16(), 413 | 422), "{response:?}");
    }
    let raw = r#"{"description": {"$serde_json::private::RawValue": "\"x\""}, "amount": 1}"#;
    app.bearer(&token).post("/expenses", raw).await.expect(422);
}

#[tokio::test]
async fn configured_issuer_is_compared_as_text() {
    let app = TestApp::with_variables(&[("WORKOS_ISSUER", "https://auth.example.test")]);
    let claims = with(app.authkit.claims(ADA), json!({"iss": "https://auth.example.test"}));
    app.bearer(&CURRENT.sign(&CURRENT.header(), &claims)).get("/me").await.expect(200);
    for claims in [
        with(claims.clone(), json!({"iss": "https://auth.example.test/"})),
        with(claims.clone(), json!({"iss": ["https://auth.example.test"]})),
        with(claims.clone(), json!({"iss": "https://api.workos.com"})),
        without(claims, "iss"),
    ] {
        let token = CURRENT.sign(&CURRENT.header(), &claims);
        assert_eq!(refusal(&app, &token).await, "the token has another issuer");
    }
    // A configured issuer applies to the cookie's token too; without one, its token needs no issuer.
    app.authkit.set_extra_claims(json!({"iss": "https://auth.example.test"}));
    let mut browser = app.signed_in(ADA).await;
    browser.get("/me").await.expect(200);
    browser.app = app.isolate();
    browser.get("/me").await.expect(200);
    browser.app = app.isolate_with_variables(&[("WORKOS_ISSUER", "https://other.test")]);
    browser.get("/me").await.expect(401);
}

#[tokio::test]
async fn claims_of_unexpected_types_count_as_absent() {
    let app = TestApp::new();
    app.authkit.set_extra_claims(json!({
        "role": {"slug": "admin"}, "roles": "admin", "permissions": {"a": 1}, "sid": 5,
        "act": "x",
    }));
    let me = app.signed_in(ADA).await.get("/me").await.expect(200).json();
    assert_eq!(me["role"], Value::Null);
    assert_eq!(me["permissions"], json!([]));
    assert_eq!(me["session_id"], Value::Null);
    let claims = with(without(app.authkit.claims(ADA), "iat"), json!({"sid": "session_1"}));
    let token = CURRENT.sign(&CURRENT.header(), &claims);
    assert_eq!(app.bearer(&token).get("/me").await.expect(200).json()["roles"], json!([]));
}
