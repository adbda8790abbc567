//! The origin of a request: plain http, and `PUBLIC_ORIGIN`.

use std::sync::Arc;

use axum::{Router, routing::get};
use axum_authkit::{
    AppError, error_layer::plain_page, layer::layer_without_authkit, origin::RequestOrigin,
};
use http::{Method, StatusCode};
use url::Url;

use crate::site::{Answer, NAVIGATION, Site, app};

const PUBLIC: (&str, &str) = ("PUBLIC_ORIGIN", "https://public.test");

#[tokio::test]
async fn plain_http_leads_to_https() {
    let site = Site::new();
    for method in [Method::GET, Method::POST] {
        for (path, location) in [
            ("/who?a=1", "https://app.test/who?a=1"),
            (":8080/public", "https://app.test/public"),
            ("/login?return_to=/who", "https://app.test/login?return_to=/who"),
        ] {
            let url = format!("http://app.test{path}");
            let answer = site.send(method.clone(), &url, &[]).await;
            assert_eq!(answer.status, StatusCode::PERMANENT_REDIRECT, "{url}");
            assert_eq!(answer.header("location"), Some(location));
        }
    }
    for origin in
        ["http://localhost:8787", "http://127.0.0.1", "http://[::1]:1", "https://app.test"]
    {
        assert_eq!(site.get(&format!("{origin}/public"), &[]).await.body, "public", "{origin}");
    }
}

#[tokio::test]
async fn token_over_plain_http_is_403() {
    let site = Site::new();
    let authorization = ("authorization", "Bearer rubbish");
    let answer = site.get("http://app.test/who", &[authorization]).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(answer.detail().starts_with("The token was sent over plain http"), "{}", answer.body);
    assert_eq!(answer.header("location"), None);
    let answer = site.get("http://app.test/who", &[authorization, NAVIGATION]).await;
    assert!(answer.body.starts_with("<!DOCTYPE html>"), "{}", answer.body);
    assert!(site.take_workos_paths().is_empty());
}

#[tokio::test]
async fn public_origin_replaces_origin_of_url() {
    let site = Site::with_variables(&[PUBLIC]);
    let inner = "http://10.0.0.1:8787";
    let answer = site.get(&format!("{inner}/login"), &[]).await;
    assert_eq!(answer.status, StatusCode::FOUND);
    let url = Url::parse(answer.header("location").unwrap()).unwrap();
    let (_, redirect_uri) = url.query_pairs().find(|(name, _)| name == "redirect_uri").unwrap();
    assert_eq!(redirect_uri, "https://public.test/callback");
    assert!(answer.set_cookies()[0].contains("Secure"), "{:?}", answer.set_cookies());

    let cookie = site.come_back(inner, "/login").await.new_session();
    for (origin, status) in
        [("https://public.test", StatusCode::OK), ("http://10.0.0.1:8787", StatusCode::FORBIDDEN)]
    {
        let headers = [("cookie", &*cookie), ("origin", origin)];
        let answer = site.send(Method::POST, &format!("{inner}/who"), &headers).await;
        assert_eq!(answer.status, status, "{origin}");
    }
}

#[allow(clippy::disallowed_methods, reason = "routes of a test need no description")]
fn origin_app() -> Router {
    Router::new().route("/", get(async |origin: RequestOrigin| origin.url().to_string()))
}

#[tokio::test]
async fn handler_gets_public_origin_or_that_of_the_url() {
    for (variables, expected) in
        [(&[][..], "https://app.test/"), (&[PUBLIC], "https://public.test/")]
    {
        let site = Site::build(variables, |authkit| authkit.protect(origin_app()));
        assert_eq!(site.get("/", &[]).await.body, expected);
    }
    let without_layer = Answer::of(&origin_app(), Method::GET, "/", &[]).await;
    assert_eq!(without_layer.body, "https://app.test/");
}

#[tokio::test]
async fn application_without_authkit_keeps_https_and_error_pages() {
    #[allow(clippy::disallowed_methods, reason = "routes of a test need no description")]
    let app =
        Router::new().route("/", get(async || AppError::internal("WORKOS_API_KEY is missing")));
    let app = layer_without_authkit(app, Arc::new(plain_page), None, None);
    let answer = Answer::of(&app, Method::GET, "http://app.test/?a=1", &[]).await;
    assert_eq!(answer.status, StatusCode::PERMANENT_REDIRECT);
    assert_eq!(answer.header("location"), Some("https://app.test/?a=1"));
    let answer = Answer::of(&app, Method::GET, "/", &[NAVIGATION]).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(answer.body.starts_with("<!DOCTYPE html>") && !answer.body.contains("WORKOS_API_KEY"));
}

#[tokio::test]
async fn sign_in_at_public_origin_leads_back_to_application() {
    let site = Site::build(&[PUBLIC], |authkit| authkit.protect(app()));
    let answer = site.come_back("http://10.0.0.1", "/login?return_to=/who%3Fa=1").await;
    assert_eq!(answer.header("location"), Some("/who?a=1"));
}
