//! The feature `testing`: what an application's tests rely on.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "an application in a test")]

use axum::{
    Router,
    body::{Body, to_bytes},
    routing::{get, post},
};
use axum_authkit::{
    AppError, AuthKit, CurrentUser, RequestContext,
    testing::{TestUser, TestWorkos},
};
use chrono::Duration;
use http::{HeaderMap, Request, StatusCode, header, request::Builder};
use serde::Deserialize;
use tower::ServiceExt;

#[derive(Deserialize)]
struct Plan {
    plan: String,
}

async fn show(user: CurrentUser) -> String {
    let plan = user.claims().and_then(|claims| claims.read::<Plan>().ok());
    let plan = plan.map_or_else(String::new, |plan| plan.plan);
    let organization = user.organization_id().unwrap_or("no organization");
    format!("{} {organization} {:?} {plan}", user.id(), user.permissions())
}

async fn switch(user: CurrentUser) -> Result<String, StatusCode> {
    let user = user.switch_organization("org_2").await.map_err(|_| StatusCode::CONFLICT)?;
    Ok(show(user).await)
}

async fn receive(
    context: RequestContext,
    headers: HeaderMap,
    body: String,
) -> Result<(), AppError> {
    Ok(context.authkit().verify_webhook(&headers, body.as_bytes())?)
}

fn app(workos: &TestWorkos) -> Router {
    let app = Router::new()
        .route("/", get(show))
        .route("/switch", post(switch))
        .route("/webhook", post(receive));
    AuthKit::from_env(&workos.host()).unwrap().protect(app)
}

fn ada() -> TestUser {
    let user = TestUser::new("user_ada").in_organization("org_1").with_claim("plan", "gold");
    user.with_permissions(&["bills:pay"])
}

/// The status, the body, and whether a session was set.
async fn send(app: &Router, request: Builder, body: &str) -> (StatusCode, String, bool) {
    let request = request.body(Body::from(body.to_owned())).unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let sets_cookie = parts.headers.contains_key(header::SET_COOKIE);
    (parts.status, String::from_utf8(body.into()).unwrap(), sets_cookie)
}

fn get_by(name: header::HeaderName, value: &str) -> Builder {
    Request::get("https://app.test/").header(name, value)
}

#[tokio::test]
async fn user_is_signed_in_by_cookie_and_by_bearer() {
    let workos = TestWorkos::new();
    let app = app(&workos);
    let expected = (StatusCode::OK, r#"user_ada org_1 ["bills:pay"] gold"#.to_owned(), false);
    let by_cookie = get_by(header::COOKIE, &workos.cookie(&ada()));
    assert_eq!(send(&app, by_cookie, "").await, expected);
    let by_bearer = get_by(header::AUTHORIZATION, &workos.bearer(&ada()));
    assert_eq!(send(&app, by_bearer, "").await, expected);
}

#[tokio::test]
async fn session_is_renewed_once_its_token_has_expired() {
    let workos = TestWorkos::new();
    let (app, cookie) = (app(&workos), workos.cookie(&ada()));
    let bearer = workos.bearer(&ada());
    workos.host().manual_clock().advance(Duration::minutes(10));
    let (status, body, sets_cookie) = send(&app, get_by(header::COOKIE, &cookie), "").await;
    assert_eq!((status, sets_cookie), (StatusCode::OK, true), "{body}");
    assert_eq!(body, r#"user_ada org_1 ["bills:pay"] gold"#);
    let (status, ..) = send(&app, get_by(header::AUTHORIZATION, &bearer), "").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn session_is_switched_to_another_organization() {
    let workos = TestWorkos::new();
    let request = Request::post("https://app.test/switch")
        .header(header::COOKIE, workos.cookie(&ada()))
        .header("sec-fetch-site", "same-origin");
    let (status, body, sets_cookie) = send(&app(&workos), request, "").await;
    assert_eq!((status, sets_cookie), (StatusCode::OK, true), "{body}");
    assert!(body.starts_with("user_ada org_2 "), "{body}");
}

#[tokio::test]
async fn sign_out_revokes_the_session() {
    let workos = TestWorkos::new();
    let (app, cookie) = (app(&workos), workos.cookie(&ada()));
    let request = Request::post("https://app.test/logout")
        .header(header::COOKIE, &cookie)
        .header("sec-fetch-site", "same-origin");
    assert_eq!(send(&app, request, "").await.0, StatusCode::SEE_OTHER);
    workos.settle().await;
    let (status, ..) = send(&app, get_by(header::COOKIE, &cookie), "").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let again = workos.cookie(&ada());
    assert_eq!(send(&app, get_by(header::COOKIE, &again), "").await.0, StatusCode::OK);
}

#[tokio::test]
async fn token_of_another_issuer_is_refused() {
    let workos = TestWorkos::new();
    let foreign = ada().with_claim("iss", "https://elsewhere.test");
    let request = get_by(header::AUTHORIZATION, &workos.bearer(&foreign));
    assert_eq!(send(&app(&workos), request, "").await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn webhook_is_signed() {
    let workos = TestWorkos::new();
    let app = app(&workos);
    let body = r#"{"event":"user.created","data":{}}"#;
    let post = |signature: &str| {
        Request::post("https://app.test/webhook").header("workos-signature", signature)
    };
    let signature = workos.webhook_signature(body);
    assert_eq!(send(&app, post(&signature), body).await.0, StatusCode::OK);
    assert_eq!(send(&app, post(&signature), "{}").await.0, StatusCode::BAD_REQUEST);
}
