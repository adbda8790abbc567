//! Permissions of a session: a role with any `expenses:` permission is held to those that it has, by cookie and by
//! bearer token, in the API, on pages and in tools. Tokens of Connect have scopes instead: [`crate::connect`].

use http::Method;
use serde_json::{Value, json};

use crate::{
    pages::{assert_has, assert_inert},
    support::{
        ADA, Client, TestApp, api_keys,
        app::{Browser, TestResponse},
    },
};

const LUNCH: &str = r#"{"description": "Team lunch", "amount": 42.5, "category": "meals"}"#;
const READ: &str = "expenses:read";
const WRITE: &str = "expenses:write";

/// The permissions of a role, and whether it may read and write.
const ROLES: [(&[&str], bool, bool); 6] = [
    (&[], true, true),
    (&["members:manage", "expense:read", "expensesx:read"], true, true),
    (&[READ, WRITE], true, true),
    (&["members:manage", READ], true, false),
    (&[WRITE], false, true),
    (&["expenses:approve"], false, false),
];

/// An application whose next sessions and tokens have these permissions, with an expense of Ada's.
fn with(permissions: &[&str]) -> (TestApp, String) {
    let app = TestApp::new();
    app.authkit.set_extra_claims(json!({"permissions": permissions}));
    let id = app.store_expense(ADA, "Lunch");
    (app, id)
}

/// The body of a request for an API key with these permissions.
fn key_with(permissions: &[&str]) -> String {
    json!({"name": "Laptop", "permissions": permissions}).to_string()
}

/// A browser with a session that has these permissions, and the path of an expense.
async fn browser_with(permissions: &[&str]) -> (Browser, String) {
    let (app, id) = with(permissions);
    (app.signed_in(ADA).await, format!("/expenses/{id}"))
}

#[track_caller]
fn assert_allowed(response: &TestResponse, is_allowed: bool, permission: &str) {
    if is_allowed {
        assert!(response.status.is_success(), "{permission}: {response:?}");
        return;
    }
    assert_eq!(response.status, 403, "{response:?}");
    let detail = format!(
        "Your role lacks the permission {permission}: ask an administrator of your organization for it"
    );
    assert_eq!(response.detail(), detail);
    let challenge = format!(
        "Bearer error=\"insufficient_scope\", scope=\"{permission}\", error_description=\"{detail}\""
    );
    assert_eq!(response.header("www-authenticate"), challenge);
}

async fn assert_api(client: &mut impl Client, path: &str, reads: bool, writes: bool) {
    for path in ["/expenses", path, "/expenses/summary", "/expenses.csv"] {
        assert_allowed(&client.get(path).await, reads, READ);
    }
    assert_allowed(&client.post("/expenses", LUNCH).await, writes, WRITE);
    for method in [Method::PUT, Method::PATCH] {
        assert_allowed(&client.send_json(method, path, LUNCH).await, writes, WRITE);
    }
    assert_allowed(&client.delete(path).await, writes, WRITE);
    // The profile and the account need no permission.
    client.get("/me").await.expect(200);
    client.get("/account").await.expect(200);
}

#[tokio::test]
async fn permissions_limit_every_method_of_the_api() {
    for (permissions, reads, writes) in ROLES {
        let (app, id) = with(permissions);
        let path = format!("/expenses/{id}");
        let token = app.authkit.access_token(ADA);
        assert_api(&mut app.bearer(&token), &path, reads, writes).await;
        let (mut browser, path) = browser_with(permissions).await;
        assert_api(&mut browser, &path, reads, writes).await;
    }
}

#[tokio::test]
async fn missing_permission_is_told_before_faults_of_the_input() {
    let (mut browser, path) = browser_with(&[READ]).await;
    assert_allowed(&browser.post("/expenses", "{").await, false, WRITE);
    assert_allowed(&browser.send_json(Method::PUT, &path, "{}").await, false, WRITE);
    assert_allowed(&browser.delete("/expenses/none").await, false, WRITE);
}

#[tokio::test]
async fn permissions_limit_every_tool() {
    for (permissions, reads, writes) in ROLES {
        let (app, _) = with(permissions);
        let token = app.authkit.access_token(ADA);
        for (tool, is_allowed, permission) in [
            ("list_expenses", reads, READ),
            ("summarize_expenses", reads, READ),
            ("add_expense", writes, WRITE),
            ("update_expense", writes, WRITE),
            ("delete_expense", writes, WRITE),
        ] {
            let params = json!({"name": tool, "arguments": {}});
            let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
            let response = app.bearer(&token).post("/mcp", body.to_string()).await.expect(200);
            // A client would ask the user for a scope, and no other token has the permission.
            let refusal =
                format!("Your role lacks the permission {permission}: ask an administrator");
            assert_eq!(response.body.contains(&refusal), !is_allowed, "{tool}: {response:?}");
            assert!(is_allowed || response.body.contains(r#""isError":true"#), "{response:?}");
        }
    }
}

#[tokio::test]
async fn pages_of_a_reader_offer_no_change() {
    let (mut browser, path) = browser_with(&[READ]).await;
    let note = "You can see your expenses, but not add or change any: your role lacks the permission \
                <code>expenses:write</code>.";
    for page in ["/", "/expenses", "/expenses?category=meals", &path, "/account"] {
        let page = browser.open(page).await.expect(200);
        assert_eq!(page.body.matches(note).count(), 1, "{}", page.body);
        for offered in [
            "Add expense",
            "Save changes",
            "/delete\"",
            ">Edit<",
            ">Delete",
            "<form class=\"entry\"",
        ] {
            assert!(!page.body.contains(offered), "{offered}: {}", page.body);
        }
        assert_inert(&page);
    }
    assert_has(&browser.open("/expenses").await, &["Lunch", "Download CSV"]);
    let expense = browser.open(&path).await;
    assert_has(&expense, &["<bdi>meals</bdi>", "datetime=\"2026-11-23\""]);
}

#[tokio::test]
async fn empty_page_of_a_reader_has_no_form() {
    let app = TestApp::new();
    app.authkit.set_extra_claims(json!({"permissions": [READ]}));
    let page = app.signed_in(ADA).await.open("/expenses").await.expect(200);
    assert_has(&page, &["There are no expenses yet.", "<code>expenses:write</code>"]);
    assert!(!page.body.contains("Add"), "{}", page.body);
}

#[tokio::test]
async fn forms_of_a_reader_are_refused_with_a_page() {
    let (mut browser, path) = browser_with(&[READ]).await;
    let fields = [("description", "Lunch"), ("amount", "1"), ("currency", "USD")];
    let delete = format!("{path}/delete");
    for form in ["/expenses", &path, &delete] {
        let page = browser.submit(form, &fields).await.expect(403);
        let sentence = "Your role lacks the permission expenses:write: ask an administrator of your organization";
        assert_has(&page, &["<h1>Not allowed</h1>", sentence, "href=\"/account\">Your account"]);
        assert_inert(&page);
    }
    // So is the question before deleting.
    browser.open(&delete).await.expect(403);
    assert_eq!(browser.app.expenses_of(ADA).await.len(), 1);
}

#[tokio::test]
async fn pages_without_permission_to_read_are_refused() {
    for permissions in [&[WRITE][..], &["expenses:approve"]] {
        let (mut browser, path) = browser_with(permissions).await;
        for page in ["/", "/expenses", &path] {
            let page = browser.open(page).await.expect(403);
            assert_has(
                &page,
                &["Your role lacks the permission expenses:read", "href=\"/account\""],
            );
            // The visitor is signed in.
            assert!(!page.body.contains("href=\"/login\""), "{}", page.body);
        }
        let account = browser.open("/account").await.expect(200);
        assert_has(&account, &["Your expenses cannot be shown", "<code>expenses:read</code>"]);
    }
}

#[tokio::test]
async fn permissions_follow_the_switch_of_the_organization() {
    let (mut browser, _) = browser_with(&[READ]).await;
    assert!(!browser.open("/expenses").await.body.contains("Add expense"));
    browser.app.authkit.set_extra_claims(json!({"permissions": [READ, WRITE]}));
    browser.submit("/organization", &[("organization_id", "org_2")]).await.expect(303);
    assert_has(&browser.open("/expenses").await, &["Add expense", ">Edit<"]);
    browser.post("/expenses", LUNCH).await.expect(201);
}

#[tokio::test]
async fn malformed_permissions_limit_nothing() {
    for permissions in
        [json!("expenses:read"), json!({"expenses:read": true}), json!([1]), Value::Null]
    {
        let app = TestApp::new();
        app.authkit.set_extra_claims(json!({"permissions": permissions}));
        app.signed_in(ADA).await.post("/expenses", LUNCH).await.expect(201);
    }
}

#[tokio::test]
async fn reader_creates_no_key_that_writes() {
    let app = TestApp::with_variables(api_keys::VARIABLES);
    app.authkit.set_extra_claims(json!({"permissions": [READ]}));
    let mut browser = app.signed_in(ADA).await;
    let token = app.authkit.access_token(ADA);
    for permissions in [&[WRITE][..], &[READ, WRITE]] {
        let body = key_with(permissions);
        assert_allowed(&browser.post("/api-keys", body.clone()).await, false, WRITE);
        assert_allowed(&app.bearer(&token).post("/api-keys", body).await, false, WRITE);
    }
    let refused = browser.submit("/api-keys", &[("name", "Laptop"), ("write", "on")]).await;
    assert_has(&refused.expect(403), &["Your role lacks the permission expenses:write"]);
    assert_eq!(app.authkit.api_keys.count(), 0);

    let page = browser.open("/api-keys").await.expect(200);
    assert_has(&page, &["<input id=\"read\" type=\"checkbox\" name=\"read\""]);
    assert!(!page.body.contains("name=\"write\""), "{}", page.body);

    browser.post("/api-keys", key_with(&[READ])).await.expect(201);
    app.bearer(&token).post("/api-keys", key_with(&[READ])).await.expect(201);
    browser.submit("/api-keys", &[("name", "Laptop"), ("read", "on")]).await.expect(201);
    assert_eq!(app.authkit.api_keys.count(), 3);
}

#[tokio::test]
async fn reader_imports_no_file() {
    let (mut browser, _) = browser_with(&[READ]).await;
    assert_has(
        &browser.open("/expenses/import").await.expect(403),
        &["Your role lacks the permission expenses:write"],
    );
    let request =
        browser.request(Method::POST, "/expenses/import").header("content-type", "text/csv");
    let file = "date,description,amount\n2026-11-20,Lunch,12.50\n";
    assert_allowed(&browser.send(request, file.into()).await, false, WRITE);
    assert_eq!(browser.app.expenses_of(ADA).await.len(), 1);
}
