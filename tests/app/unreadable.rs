//! Stored records that cannot be read: a distinct error that a client can repair.

use http::{Method, header};
use serde_json::json;

use crate::support::{ADA, Client, TestApp, mcp};

const KEY_OF_ADAS_EXPENSE: &str = "expense:user_ada:";
const BODY: &str = r#"{"description": "Mended", "amount": 7}"#;

/// Damages the stored record of an expense of Ada's; its path.
fn damaged(app: &TestApp, record: &str) -> String {
    let id = app.store_expense(ADA, "Damaged");
    app.kv.insert_raw(&format!("{KEY_OF_ADAS_EXPENSE}{id}"), record, None);
    format!("/expenses/{id}")
}

async fn send(
    app: &TestApp,
    method: Method,
    path: &str,
    body: &str,
) -> crate::support::app::TestResponse {
    app.bearer(&app.authkit.access_token(ADA)).send_json(method, path, body.to_owned()).await
}

#[tokio::test]
async fn unreadable_record_is_500_with_its_own_message() {
    let app = TestApp::new();
    for record in ["", "{", "{}", "[]", r#"{"amount": 1}"#] {
        let path = damaged(&app, record);
        for (method, body) in [(Method::GET, ""), (Method::PATCH, r#"{"amount": 1}"#)] {
            let response = send(&app, method, &path, body).await.expect(500);
            assert!(response.detail().contains("cannot be read"), "{record}: {response:?}");
            assert!(!response.headers.contains_key(header::RETRY_AFTER), "{response:?}");
        }
    }
}

#[tokio::test]
async fn put_replaces_an_unreadable_record() {
    let app = TestApp::new();
    let path = damaged(&app, "{");
    app.clock.advance(chrono::Duration::hours(1));
    let mended = send(&app, Method::PUT, &path, BODY).await.expect(200).json();
    assert_eq!(mended["description"], "Mended");
    assert_eq!(mended["created_at"], "2026-11-23T12:00:00Z", "the id contains the time");
    assert_eq!(mended["updated_at"], "2026-11-23T13:00:00Z");
    assert_eq!(send(&app, Method::GET, &path, "").await.expect(200).json(), mended);
    assert_eq!(app.expenses_of(ADA).await, [mended]);
}

#[tokio::test]
async fn delete_removes_an_unreadable_record() {
    let app = TestApp::new();
    let path = damaged(&app, "{");
    send(&app, Method::DELETE, &path, "").await.expect(204);
    send(&app, Method::GET, &path, "").await.expect(404);
}

#[tokio::test]
async fn pages_delete_and_replace_an_unreadable_record() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    let path = damaged(&app, "{");
    let refused = browser.open(&path).await.expect(500);
    let question = format!("{path}/delete");
    assert!(refused.body.contains(&format!("href=\"{question}\"")), "{}", refused.body);
    let page = browser.open(&question).await.expect(200);
    assert!(page.body.contains("Deleting it cannot be undone"), "{}", page.body);
    browser.submit(&question, &[]).await.expect(303);
    browser.open(&path).await.expect(404);

    let path = damaged(&app, "{");
    let mended = [
        ("description", "Mended"),
        ("amount", "7"),
        ("currency", "EUR"),
        ("date", "2026-11-23"),
        ("version", "of before"),
    ];
    browser.submit(&path, &mended).await.expect(303);
    assert!(browser.open(&path).await.expect(200).body.contains("Mended"));
}

#[tokio::test]
async fn page_of_an_unreadable_record_is_500() {
    let app = TestApp::new();
    let path = damaged(&app, "{");
    let page = app.signed_in(ADA).await.open(&path).await.expect(500);
    assert!(page.body.contains("cannot be read"), "{}", page.body);
}

#[tokio::test]
async fn update_tool_reports_an_unreadable_record() {
    let app = TestApp::new();
    let path = damaged(&app, "{");
    let id = path.strip_prefix("/expenses/").unwrap();
    let told = mcp::complaint(&app, "update_expense", json!({"id": id, "amount": 1})).await;
    assert!(told.contains("cannot be read") && told.contains("delete_expense"), "{told}");
    mcp::output(&app, "delete_expense", json!({"id": id})).await;
}
