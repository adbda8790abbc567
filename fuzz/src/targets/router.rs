//! The whole router on fakes, made anew for each input: an input that fails does so alone, too.

use std::sync::LazyLock;

use axum::body::Body;
use http::{HeaderMap, Method, Request, header, request::Builder};
use serde::de::IgnoredAny;
use serde_json::Value;

use super::support::{
    ADA, TestApp,
    app::{ORIGIN, TestResponse},
    logs,
};

/// More than any page or list here has, and less than an input of 4 KiB could cause by repetition.
const RESPONSE_MAX_BYTES: usize = 256 * 1024;

/// The text that seeds contain where a page shows a text of the client. Escaped, it has no `<`.
const TAG: &str = "<fuzz";

/// Ada's access token: signatures take a millisecond, and every application knows the same key.
static TOKEN: LazyLock<String> =
    LazyLock::new(|| run_alone(&[], async |app| app.authkit.access_token(ADA)));

/// The `Cookie` header of Ada's browser.
static COOKIE: LazyLock<String> = LazyLock::new(|| {
    run_alone(&[], async |app| {
        let browser = app.signed_in(ADA).await;
        let cookies = browser.cookies.iter().filter(|cookie| cookie.path == "/");
        let cookies: Vec<String> =
            cookies.map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect();
        assert!(!cookies.is_empty());
        cookies.join("; ")
    })
});

/// Runs `work` on a new application.
pub fn run<T>(work: impl AsyncFnOnce(&TestApp) -> T) -> T {
    run_with(&[], work)
}

/// Runs `work` on a new application with these variables.
pub fn run_with<T>(variables: &[(&str, &str)], work: impl AsyncFnOnce(&TestApp) -> T) -> T {
    // They run applications of their own.
    LazyLock::force(&TOKEN);
    LazyLock::force(&COOKIE);
    run_alone(variables, work)
}

fn run_alone<T>(variables: &[(&str, &str)], work: impl AsyncFnOnce(&TestApp) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let app = TestApp::with_variables(variables);
        work(&app).await
    })
}

fn request(method: Method, path: &str) -> Builder {
    Request::builder().method(method).uri(format!("{ORIGIN}{path}"))
}

/// Sends a request with Ada's access token.
pub async fn api(
    app: &TestApp,
    method: Method,
    path: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> TestResponse {
    let request = request(method, path)
        .header(header::AUTHORIZATION, format!("Bearer {}", *TOKEN))
        .header(header::CONTENT_TYPE, "application/json");
    send(app, request, headers, body).await
}

/// Reads a path with Ada's access token.
pub async fn get(app: &TestApp, path: &str) -> TestResponse {
    api(app, Method::GET, path, &HeaderMap::new(), b"").await
}

/// Sends a request with Ada's access token whose response is JSON only as far as rows are: a list copies them from KV's
/// metadata and from the ledger's responses, which the Worker itself has written.
pub async fn copy(app: &TestApp, method: Method, path: &str, body: &[u8]) -> TestResponse {
    let request = request(method, path)
        .header(header::AUTHORIZATION, format!("Bearer {}", *TOKEN))
        .header(header::CONTENT_TYPE, "application/json");
    send_unchecked(app, request, &HeaderMap::new(), body).await
}

/// Sends a request of Ada's browser, from a page of the application.
pub async fn browser(app: &TestApp, method: Method, path: &str, body: &[u8]) -> TestResponse {
    let request = request(method, path)
        .header(header::COOKIE, &*COOKIE)
        .header(header::ACCEPT, "text/html,application/xhtml+xml,*/*;q=0.8")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header("sec-fetch-mode", "navigate")
        .header("sec-fetch-site", "same-origin");
    send(app, request, &HeaderMap::new(), body).await
}

/// Sends a form with a file of Ada's browser, from a page of the application.
pub async fn browser_form(
    app: &TestApp,
    path: &str,
    content_type: &str,
    body: &[u8],
) -> TestResponse {
    let request = request(Method::POST, path)
        .header(header::COOKIE, &*COOKIE)
        .header(header::ACCEPT, "text/html,application/xhtml+xml,*/*;q=0.8")
        .header(header::CONTENT_TYPE, content_type)
        .header("sec-fetch-site", "same-origin");
    send(app, request, &HeaderMap::new(), body).await
}

/// Sends a request without credentials.
pub async fn stranger(
    app: &TestApp,
    method: Method,
    path: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> TestResponse {
    send(app, request(method, path), headers, body).await
}

async fn send(app: &TestApp, request: Builder, headers: &HeaderMap, body: &[u8]) -> TestResponse {
    let response = send_unchecked(app, request, headers, body).await;
    check_form(&response);
    for line in logs::take() {
        // Each event is one object of JSON, and none has the caller's token.
        assert!(serde_json::from_str::<IgnoredAny>(&line).is_ok(), "{line}");
        assert!(!line.contains(&*TOKEN), "{line}");
    }
    response
}

async fn send_unchecked(
    app: &TestApp,
    request: Builder,
    headers: &HeaderMap,
    body: &[u8],
) -> TestResponse {
    let mut request = request.body(Body::from(body.to_vec())).unwrap();
    for name in headers.keys() {
        request.headers_mut().remove(name);
        for value in headers.get_all(name) {
            request.headers_mut().append(name, value.clone());
        }
    }
    app.send(request).await
}

/// Every response, with any status, has a bounded length and is well-formed.
fn check_form(response: &TestResponse) {
    assert!(response.body.len() <= RESPONSE_MAX_BYTES, "{} bytes", response.body.len());
    let content_type = response.header("content-type");
    if content_type.starts_with("application/json") {
        json(response);
    } else if content_type.starts_with("text/html") {
        let page = response.body.to_ascii_lowercase();
        assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>"), "{page}");
        assert!(!page.contains(TAG), "{page}");
    }
}

/// The JSON of a response that may contain the client's: `serde_json::Value` takes some objects for numbers.
pub fn json(response: &TestResponse) -> Value {
    authkit_edge::json::parse(response.body.as_bytes())
        .unwrap_or_else(|error| panic!("{error}: {}", response.body))
}

/// Asserts that the application has understood the request or refuses it, and does not fail.
#[track_caller]
pub fn expect_no_failure(response: &TestResponse) {
    assert!(!response.status.is_server_error(), "{response:?}");
}

/// The members of an expense that a client chooses.
pub fn content(expense: &Value) -> Value {
    let mut expense = expense.clone();
    let members = expense.as_object_mut().unwrap();
    members.retain(|name, _| !["id", "created_at", "updated_at"].contains(&name.as_str()));
    expense
}

/// The bytes as a query: what browsers encode is encoded.
pub fn query(data: &[u8]) -> String {
    let mut url = url::Url::parse(ORIGIN).unwrap();
    let text: String = data
        .iter()
        .map(|byte| match byte {
            b'#' | 0..=0x20 | 0x7f.. => format!("%{byte:02X}"),
            _ => char::from(*byte).to_string(),
        })
        .collect();
    url.set_query(Some(&text));
    url.query().unwrap().to_owned()
}
