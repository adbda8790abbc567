//! CSV: how spreadsheets read it, and exports longer than one KV `list`.

use axum::body::{Body, BodyDataStream};
use futures_util::{FutureExt, StreamExt};
use http::{Method, Request, header};
use serde_json::json;
use tower::ServiceExt;

use crate::support::{ADA, Client, KvOperation, TestApp, app::request, logs};

const HEADER: &str = "id,date,description,category,amount,currency,created_at,updated_at\r\n";
const BYTE_ORDER_MARK: &str = "\u{feff}";

async fn create(app: &TestApp, description: &str) {
    let token = app.authkit.access_token(ADA);
    let body = json!({"description": description, "category": description.trim(), "amount": 1});
    app.bearer(&token).post("/expenses", body.to_string()).await.expect(201);
}

/// Writes expenses directly to KV, numbered from the newest.
fn seed(app: &TestApp, count: usize) {
    for number in 0..count {
        let record = json!({
            "description": format!("row {number}"), "amount": "1.00", "currency": "USD",
            "category": "other", "date": "2026-01-31", "created_at": 0, "updated_at": 0,
        });
        let key = format!("expense:{}:7YBQTSVWGKVQGMH7Y9{number:08}", ADA.id);
        app.kv.insert_raw(&key, &record.to_string(), Some(record));
    }
}

fn export(app: &TestApp) -> Request<Body> {
    request(Method::GET, "/expenses.csv")
        .header(header::AUTHORIZATION, format!("Bearer {}", app.authkit.access_token(ADA)))
        .body(Body::empty())
        .unwrap()
}

/// The cells that a reader finds that splits at every `separator` and ignores quotes.
fn cells(csv: &str, separator: char) -> impl Iterator<Item = &str> {
    csv.split(['\r', '\n']).flat_map(move |line| line.split(separator))
}

#[tokio::test]
async fn csv_contains_no_formula_cell_for_any_separator() {
    let app = TestApp::new();
    for description in [
        "x;=cmd|'/C calc'!A0;y",
        "x; =1+1",
        "x;\"=1+1",
        "x;\"\" \"=1+1",
        "x\t=1+1",
        "x\t+1;-1;@SUM(A1)",
        "x\r\n=1+1",
        "x\n\"=1+1",
        "\"=1+1",
        "\u{ff1d}1+1",
        "x;\u{ff1d}1;\u{ff0b}1;\u{ff0d}1;\u{ff20}A",
        ";;=1",
    ] {
        create(&app, description).await;
    }
    let csv = app.send(export(&app)).await.expect(200).body;
    for separator in [';', '\t'] {
        for cell in cells(&csv, separator) {
            let begin = cell.trim_start_matches([' ', '"']);
            let is_formula = begin
                .starts_with(['=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}']);
            assert!(!is_formula, "{cell:?}");
        }
    }
}

#[tokio::test]
async fn csv_has_a_byte_order_mark_for_browsers_only() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    let navigation = browser.open("/expenses.csv").await.expect(200);
    assert_eq!(navigation.body, format!("{BYTE_ORDER_MARK}{HEADER}"));
    // Older browsers send no Sec-Fetch-Mode, and some links accept any type.
    for (name, value) in [("accept", "text/html, */*"), ("sec-fetch-mode", "navigate")] {
        let request = request(Method::GET, "/expenses.csv").header(name, value);
        let response = browser.send(request, Body::empty()).await.expect(200);
        assert!(response.body.starts_with(BYTE_ORDER_MARK), "{name}: {value}");
    }
    for (path, accept, mode) in
        [("/expenses.csv", "*/*", "cors"), ("/expenses", "text/csv", "same-origin")]
    {
        let request = request(Method::GET, path)
            .header(header::ACCEPT, accept)
            .header("sec-fetch-mode", mode);
        assert_eq!(browser.send(request, Body::empty()).await.expect(200).body, HEADER, "{accept}");
    }
    assert_eq!(app.send(export(&app)).await.expect(200).body, HEADER, "a program");
}

#[tokio::test]
async fn export_lists_more_once_the_previous_rows_are_sent() {
    let app = TestApp::new();
    seed(&app, 2500);
    app.kv.take_operations();
    let response = app.router.clone().oneshot(export(&app)).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(app.kv.take_operations(), [KvOperation::List]);
    let mut parts = response.into_body().into_data_stream();
    let first = parts.next().await.unwrap().unwrap();
    assert!(first.ends_with(b"\r\n"));
    assert_eq!(app.kv.take_operations(), [], "the export reads nothing ahead");
    let mut csv = first.to_vec();
    while let Some(part) = parts.next().await {
        csv.extend_from_slice(&part.unwrap());
    }
    assert_eq!(app.kv.take_operations(), [KvOperation::List, KvOperation::List]);
    let csv = String::from_utf8(csv).unwrap();
    let descriptions: Vec<&str> =
        csv.lines().skip(1).map(|line| line.split(',').nth(2).unwrap()).collect();
    let expected: Vec<String> = (0..2500).map(|number| format!("\"row {number}\"")).collect();
    assert_eq!(descriptions, expected);
}

/// Reads the rest of a file, which is marked as incomplete and reported with this cause.
async fn assert_broken_off(parts: BodyDataStream, cause: &str) {
    let parts: Vec<_> = parts.collect().await;
    assert!(parts.last().unwrap().is_err(), "a truncated file must not look complete");
    let sent: Vec<u8> = parts.into_iter().flat_map(|part| part.unwrap_or_default()).collect();
    let last_line = String::from_utf8(sent).unwrap().lines().last().unwrap().to_owned();
    assert!(last_line.starts_with("\"INCOMPLETE: "), "{last_line}");
    assert_eq!(last_line.matches('"').count(), 1, "a reader that checks quotes refuses it");
    let logged = logs::take();
    let expected =
        format!(r#"{{"event":"export_broken_off","request":"ray-of-the-test","cause":"{cause}"#);
    assert!(logged.iter().any(|line| line.starts_with(&expected)), "{logged:?}");
}

#[tokio::test]
async fn export_breaks_off_when_a_later_list_fails() {
    let app = TestApp::new();
    seed(&app, 1500);
    app.kv.fail_after(Some(KvOperation::List), 1);
    let response = app.router.clone().oneshot(export(&app)).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_broken_off(response.into_body().into_data_stream(), "KV list failed").await;
}

#[tokio::test]
async fn export_breaks_off_when_the_ledger_is_lost() {
    let app = TestApp::new();
    seed(&app, 1500);
    let response = app.router.clone().oneshot(export(&app)).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(!response.headers().contains_key("expenses-consistency"));
    let mut parts = response.into_body().into_data_stream();
    parts.next().await.unwrap().unwrap();
    app.ledgers.set_unreachable(true);
    assert_broken_off(parts, "the ledger cannot be reached any more").await;
}

#[tokio::test]
async fn export_is_503_when_its_first_list_fails() {
    let app = TestApp::new();
    seed(&app, 1500);
    app.kv.fail(Some(KvOperation::List));
    let response = app.send(export(&app)).await.expect(503);
    assert_eq!(response.header("content-disposition"), "");
    assert_eq!(response.header("retry-after"), "2");
    assert!(!response.detail().is_empty());
}

#[tokio::test]
async fn export_stops_when_its_client_disconnects() {
    let app = TestApp::new();
    seed(&app, 5000);
    let response = app.router.clone().oneshot(export(&app)).await.unwrap();
    let mut parts = response.into_body().into_data_stream();
    parts.next().await.unwrap().unwrap();
    app.kv.hold_operation(Some(KvOperation::List));
    assert!(parts.next().now_or_never().is_none());
    drop(parts);
    app.kv.hold_operation(None);
    app.kv.take_operations();
    tokio::task::yield_now().await;
    assert_eq!(app.kv.take_operations(), []);
}
