//! The allocations and KV operations of one request, each with a bound: a regression fails, whatever the machine.
//!
//! The real router runs on the memory host. The counts include everything between request and response, the ledger
//! and the request's line in the log included, and leave out the memory KV, which stands for the runtime. They are of a warm isolate: the caches have
//! the session, the token and the constant texts.

#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, missing_docs)]
#![allow(clippy::disallowed_types, reason = "tests run where std's maps are seeded")]

#[allow(dead_code, unused_imports, reason = "`tests/app` uses the rest")]
#[path = "app/support/mod.rs"]
mod support;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::Arc,
};

use async_trait::async_trait;
use axum::body::Body;
use chrono::Duration;
use edge_host::{KvError, KvListing, KvNamespace, KvOperation, KvPut, memory::MemoryKv};
use http::{Method, Request, header};
use serde_json::json;
use tower::ServiceExt;

use support::{
    ADA, Client, TestApp,
    app::{Browser, request},
};

/// The requests before the one that counts.
const WARM_UP_REQUESTS: usize = 3;

thread_local! {
    static COUNT: Cell<Option<Allocations>> = const { Cell::new(None) };
}

/// The allocations of one thread.
#[derive(Debug, Clone, Copy, Default)]
struct Allocations {
    count: usize,
    bytes: usize,
}

/// The system's allocator, with a count for each thread that asks for one.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn note(bytes: usize) {
    // A thread that ends has no count any more.
    let _ = COUNT.try_with(|cell| {
        if let Some(Allocations { count, bytes: before }) = cell.get() {
            cell.set(Some(Allocations { count: count + 1, bytes: before + bytes }));
        }
    });
}

#[allow(unsafe_code, reason = "an allocator cannot be written without it")]
// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, new_bytes: usize) -> *mut u8 {
        note(new_bytes.saturating_sub(layout.size()));
        unsafe { System.realloc(memory, layout, new_bytes) }
    }
}

/// A namespace whose operations are not counted.
struct Uncounted(Arc<MemoryKv>);

/// Runs `work` without counting. The memory KV responds at once, so nothing else runs meanwhile.
async fn uncounted<T>(work: impl Future<Output = T>) -> T {
    let count = COUNT.take();
    let result = work.await;
    COUNT.set(count);
    result
}

#[async_trait]
impl KvNamespace for Uncounted {
    async fn get(&self, key: &str) -> Result<Option<String>, KvError> {
        uncounted(self.0.get(key)).await
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<String>>, KvError> {
        uncounted(self.0.get_many(keys)).await
    }

    async fn put(&self, key: &str, value: &str, options: KvPut<'_>) -> Result<(), KvError> {
        uncounted(self.0.put(key, value, options)).await
    }

    async fn delete(&self, key: &str) -> Result<(), KvError> {
        uncounted(self.0.delete(key)).await
    }

    async fn list(
        &self,
        prefix: &str,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<KvListing, KvError> {
        uncounted(self.0.list(prefix, limit, cursor)).await
    }
}

/// An application in which Ada has `rows` expenses that the ledger's log has forgotten; and one of their paths.
async fn app_with_expenses(rows: usize) -> (TestApp, String) {
    let app = TestApp::new();
    let mut path = String::new();
    for index in 0..rows {
        let category = ["meals", "travel", "office supplies", "other"][index % 4];
        let body = json!({
            "description": format!("Team lunch at the place around the corner, {index}"),
            "amount": index + 1, "category": category, "date": "2026-11-20",
        });
        let token = app.authkit.access_token(ADA);
        let made = app.bearer(&token).post("/expenses", body.to_string()).await.expect(201);
        made.header("location").clone_into(&mut path);
        app.clock.advance(Duration::milliseconds(10));
    }
    app.pass(Duration::hours(1)).await;
    assert!(app.ledgers.storage(ADA.id).list("log:").unwrap().is_empty());
    (app.isolate_with_kv(Arc::new(Uncounted(Arc::clone(&app.kv)))), path)
}

/// What one request costs.
struct Cost {
    allocations: Allocations,
    operations: Vec<KvOperation>,
    body: String,
}

impl Cost {
    /// Checks the bounds, and prints the counts.
    #[track_caller]
    fn expect(
        &self,
        name: &str,
        most_allocations: usize,
        most_bytes: usize,
        operations: &[KvOperation],
    ) {
        let Allocations { count, bytes } = self.allocations;
        println!("{name}: {count} allocations, {bytes} bytes, {:?}", self.operations);
        assert_eq!(self.operations, operations, "{name}: KV operations");
        assert!(
            count <= most_allocations,
            "{name}: {count} allocations, at most {most_allocations}"
        );
        assert!(bytes <= most_bytes, "{name}: {bytes} bytes, at most {most_bytes}");
    }
}

/// The cost of a request in a warm isolate. Each request is new: `make` makes it.
async fn cost(app: &TestApp, make: impl Fn() -> Request<Body>) -> Cost {
    for _ in 0..WARM_UP_REQUESTS {
        let response = app.send(make()).await;
        assert!(response.status.is_success(), "{response:?}");
    }
    app.kv.take_operations();
    let mut request = make();
    request.extensions_mut().insert(app.time_zone.clone());
    let router = app.router.clone();
    COUNT.set(Some(Allocations::default()));
    let response = router.oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let allocations = COUNT.take().unwrap();
    assert!(parts.status.is_success(), "{parts:?}");
    let operations = app.kv.take_operations();
    Cost { allocations, operations, body: String::from_utf8(body.to_vec()).unwrap() }
}

/// A browser's `fetch` with its session cookie.
fn by_cookie(browser: &Browser, path: &str) -> Request<Body> {
    let cookies: Vec<String> =
        browser.cookies.iter().map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect();
    let request = browser.request(Method::GET, path).header(header::COOKIE, cookies.join("; "));
    request.body(Body::empty()).unwrap()
}

/// A browser that shows a page.
fn page(browser: &Browser, path: &str) -> Request<Body> {
    let mut request = by_cookie(browser, path);
    let headers = request.headers_mut();
    headers.insert(header::ACCEPT, "text/html,application/xhtml+xml,*/*;q=0.8".parse().unwrap());
    headers.insert(header::ACCEPT_LANGUAGE, "en-US,en;q=0.5".parse().unwrap());
    headers.insert("sec-fetch-mode", "navigate".parse().unwrap());
    request
}

/// A program's request with an access token.
fn by_bearer(token: &str, method: Method, path: &str, body: String) -> Request<Body> {
    request(method, path)
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(body.into())
        .unwrap()
}

#[tokio::test]
async fn health_allocates_within_its_bound() {
    let app = TestApp::new();
    let get = || request(Method::GET, "/health").body(Body::empty()).unwrap();
    cost(&app, get).await.expect("health", 24, 5_400, &[]);
}

#[tokio::test]
async fn list_of_100_rows_allocates_within_its_bound() {
    let (app, _) = app_with_expenses(100).await;
    let browser = app.signed_in(ADA).await;
    let list = cost(&app, || by_cookie(&browser, "/expenses?limit=100")).await;
    assert_eq!(list.body.matches("\"id\"").count(), 100);
    list.expect("list of 100, by cookie", 69, 88_000, &[KvOperation::List]);
    let token = app.authkit.access_token(ADA);
    let list = || by_bearer(&token, Method::GET, "/expenses?limit=100", String::new());
    cost(&app, list).await.expect("list of 100, by bearer", 65, 88_000, &[KvOperation::List]);
}

#[tokio::test]
async fn growth_with_rows_allocates_within_its_bounds() {
    let (app, _) = app_with_expenses(1_000).await;
    let token = app.authkit.access_token(ADA);
    // The number of allocations does not depend on the number of rows, except for a few that grow a vector.
    for (name, path, most_allocations, most_bytes) in [
        ("list of 100 of 1,000", "/expenses?limit=100", 91, 91_000),
        ("list of 1,000", "/expenses?limit=1000", 68, 760_000),
        ("list of 100 of 1,000 by date", "/expenses?limit=100&sort=date", 113, 740_000),
        ("filter over 1,000", "/expenses?limit=100&category=travel", 96, 525_000),
        ("summary of 1,000", "/expenses/summary", 70, 500_000),
        ("CSV of 1,000", "/expenses.csv", 62, 825_000),
    ] {
        let get = || by_bearer(&token, Method::GET, path, String::new());
        let cost = cost(&app, get).await;
        cost.expect(name, most_allocations, most_bytes, &[KvOperation::List]);
    }
    let browser = app.signed_in(ADA).await;
    let page = cost(&app, || page(&browser, "/expenses")).await;
    page.expect("page of 25 of 1,000", 728, 797_000, &[KvOperation::List]);
}

#[tokio::test]
async fn one_expense_allocates_within_its_bound() {
    let (app, path) = app_with_expenses(1).await;
    let token = app.authkit.access_token(ADA);
    let get = || by_bearer(&token, Method::GET, &path, String::new());
    cost(&app, get).await.expect("one expense", 59, 11_500, &[KvOperation::Get]);
}

#[tokio::test]
async fn creation_allocates_within_its_bound() {
    let app = TestApp::new();
    let token = app.authkit.access_token(ADA);
    let body = r#"{"description": "Team lunch", "amount": 42.5, "category": "meals"}"#;
    let create = || by_bearer(&token, Method::POST, "/expenses", body.to_owned());
    // The transfer to KV runs after the response.
    cost(&app, create).await.expect("create", 105, 14_800, &[]);
}

#[tokio::test]
async fn page_of_25_rows_allocates_within_its_bound() {
    let (app, _) = app_with_expenses(25).await;
    let browser = app.signed_in(ADA).await;
    let page = cost(&app, || page(&browser, "/expenses")).await;
    assert!(page.body.contains("<svg class=\"chart"), "{}", page.body);
    page.expect("page of 25", 672, 283_500, &[KvOperation::List]);
}

#[tokio::test]
async fn mcp_list_of_25_rows_allocates_within_its_bound() {
    let (app, _) = app_with_expenses(25).await;
    let token = app.authkit.access_token(ADA);
    let message = json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "list_expenses", "arguments": {"limit": 25}},
    })
    .to_string();
    let call = || by_bearer(&token, Method::POST, "/mcp", message.clone());
    let list = cost(&app, call).await;
    assert!(list.body.contains("structuredContent"), "{}", list.body);
    list.expect("MCP list of 25", 87, 71_000, &[KvOperation::List]);
}
