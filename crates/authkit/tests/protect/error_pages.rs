//! An error on its way out: a page for browsers, JSON for others, and its cause in the log.

use axum::{Router, response::AppendHeaders, routing::get};
use axum_authkit::{AppError, ErrorPage};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    logs,
    site::{Answer, NAVIGATION, Site},
};

#[allow(clippy::disallowed_methods, reason = "routes of a test need no description")]
fn failing_app() -> Router {
    let teapot = || AppError::new(StatusCode::IM_A_TEAPOT, "<b>\"tea\" & more</b>");
    let busy = || AppError::unavailable("Busy", 7, "the queue is full");
    Router::new()
        .route("/teapot", get(async move || teapot().with_action("Brew", "/brew?a=1&b=\"2\"")))
        .route("/broken", get(async || AppError::internal("the <disk> is full")))
        .route("/busy", get(async move || busy()).post(async move || busy()))
        .route("/own", get(async move || teapot().with_page("<p>own page</p>")))
        .route("/cookies", get(async move || (COOKIES, [("x-own", "2")], teapot())))
        .route("/length", get(async move || ([("content-length", "3")], teapot())))
}

const COOKIES: AppendHeaders<[(&str, &str); 2]> =
    AppendHeaders([("set-cookie", "a=1"), ("set-cookie", "b=2")]);

fn site() -> Site {
    Site::build(&[], |authkit| authkit.protect(failing_app()))
}

fn html(answer: &Answer) -> &str {
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    &answer.body
}

#[tokio::test]
async fn plain_page_escapes_every_text() {
    let headers = [NAVIGATION, ("cf-ray", "<ray>\"&")];
    let answer = site().get("/teapot", &headers).await;
    assert_eq!(answer.status, StatusCode::IM_A_TEAPOT);
    let page = html(&answer);
    assert!(page.contains("<p>&lt;b&gt;&quot;tea&quot; &amp; more&lt;/b&gt;</p>"), "{page}");
    assert!(page.contains("<a href=\"/brew?a=1&amp;b=&quot;2&quot;\">Brew</a>"), "{page}");
    assert!(page.contains("Request ID: &lt;ray&gt;&quot;&amp;</p>"), "{page}");
    assert!(page.contains("<h1>I'm a teapot</h1>"), "{page}");
}

#[tokio::test]
async fn error_page_of_application_replaces_plain_page() {
    let site = Site::build(&[], |authkit| {
        let render = |page: &ErrorPage<'_>| {
            let ErrorPage { error, request_id, retry, .. } = *page;
            format!("{} {} {request_id:?} {retry:?}", error.status.as_u16(), error.detail)
        };
        authkit.with_error_page(render).protect(failing_app())
    });
    let answer = site.get("/busy?a=1", &[NAVIGATION, ("cf-ray", "ray1")]).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(html(&answer), r#"503 "Busy" Some("ray1") Some("/busy?a=1")"#);
    assert_eq!(answer.header("retry-after"), Some("7"));
    let answer = site.get("/busy", &[]).await;
    assert_eq!(answer.body, r#"{"detail":"Busy"}"#);
}

#[tokio::test]
async fn page_of_error_itself_counts_before_renderer() {
    let site = site();
    assert_eq!(html(&site.get("/own", &[NAVIGATION]).await), "<p>own page</p>");
    assert_eq!(site.get("/own", &[]).await.detail(), "<b>\"tea\" & more</b>");
}

/// The events since the last call.
fn events() -> Vec<Value> {
    logs::take().iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn cause_goes_to_log_and_not_to_client() {
    let site = site();
    for headers in [vec![], vec![NAVIGATION]] {
        logs::capture();
        let headers = [headers, vec![("cf-ray", "ray1")]].concat();
        let answer = site.get("/broken?secret=1", &headers).await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!answer.body.contains("disk"), "{}", answer.body);
        assert!(answer.body.contains("report request ray1"), "{}", answer.body);
        let failed = |route: &str, status: u16, cause: &str| {
            json!({
                "event": "request_failed", "request": "ray1", "method": "GET", "route": route,
                "status": status, "cause": cause,
            })
        };
        assert_eq!(events(), [failed("/broken", 500, "the <disk> is full")]);

        let answer = site.get("/busy", &headers).await;
        assert!(!answer.body.contains("queue"), "{}", answer.body);
        assert_eq!(events(), [failed("/busy", 503, "the queue is full")]);
        // An error without a cause is the caller's own.
        site.get("/teapot", &headers).await;
        assert!(logs::take().is_empty());
    }
}

#[tokio::test]
async fn unexpected_error_shows_id_of_its_log_line() {
    logs::capture();
    let site = site();
    let mut ids = Vec::new();
    for headers in [vec![], vec![NAVIGATION]] {
        let answer = site.get("/broken", &headers).await;
        let event = events().pop().unwrap();
        let id = event["request"].as_str().unwrap().to_owned();
        assert!(id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{event}");
        assert!(answer.body.contains(&format!("report request {id}")), "{}", answer.body);
        ids.push(id);
    }
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test]
async fn page_offers_another_try_of_failed_reads() {
    let site = site();
    let try_again = "<a href=\"/busy?a=1&amp;b=2\">Try again</a>";
    let answer = site.get("/busy?a=1&b=2", &[NAVIGATION]).await;
    assert!(html(&answer).contains(try_again), "{}", answer.body);
    let answer = site.send(Method::POST, "/busy?a=1&b=2", &[NAVIGATION]).await;
    assert!(!html(&answer).contains("Try again"), "{}", answer.body);
    let answer = site.get("/teapot", &[NAVIGATION]).await;
    assert!(!html(&answer).contains("Try again"), "{}", answer.body);
    let long = format!("/busy?{}", "x".repeat(2000));
    let answer = site.get(&long, &[NAVIGATION]).await;
    assert!(!html(&answer).contains("Try again"));
}

#[tokio::test]
async fn headers_of_inner_layers_stay() {
    let site = site();
    for headers in [vec![], vec![NAVIGATION]] {
        let answer = site.get("/cookies", &headers).await;
        assert_eq!(answer.status, StatusCode::IM_A_TEAPOT);
        assert_eq!((answer.set_cookies(), answer.header("x-own")), (vec!["a=1", "b=2"], Some("2")));
        // The length of the body that the layer replaces is another.
        let answer = site.get("/length", &headers).await;
        let length = answer.header("content-length").map(|length| length.parse().unwrap());
        assert!(length.is_none_or(|length: usize| length == answer.body.len()), "{length:?}");
    }
}
