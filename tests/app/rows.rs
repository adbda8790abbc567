//! Stored rows of both forms side by side: records of versions without rows, and rows. And the rows in messages.

use chrono::Duration;
use edge_host::ObjectNamespace;
use http::{Method, header};
use serde_json::{Value, json};

use crate::support::{ADA, Client, KvOperation, TestApp, app::TestResponse};

async fn get(app: &TestApp, path: &str) -> TestResponse {
    app.bearer(&app.authkit.access_token(ADA)).get(path).await.expect(200)
}

/// The key in KV of Ada's expense.
fn key(id: &str) -> String {
    format!("expense:user_ada:{id}")
}

/// Adds an expense with this version of the application; its JSON.
async fn create(app: &TestApp, description: &str, category: &str) -> Value {
    let token = app.authkit.access_token(ADA);
    let body = json!({"description": description, "amount": 42.5, "category": category});
    app.bearer(&token).post("/expenses", body.to_string()).await.expect(201).json()
}

/// An application whose KV has ten expenses in turns as a record and as a row, and whose ledger has forgotten them;
/// their JSON, newest first.
async fn mixed() -> (TestApp, Vec<Value>) {
    let app = TestApp::new();
    for index in 0..10 {
        if index % 2 == 0 {
            app.store_expense(ADA, &format!("old {index}"));
        } else {
            create(&app, &format!("new {index}, \"it's\""), "meals").await;
        }
        app.clock.advance(Duration::seconds(1));
    }
    app.pass(Duration::hours(1)).await;
    let metadata = |key: &String| app.kv.entry(key).unwrap().1.metadata.unwrap();
    let rows = app.kv.keys().iter().filter(|key| metadata(key).is_string()).count();
    assert_eq!((app.kv.keys().len(), rows), (10, 5));
    let listed = app.expenses_of(ADA).await;
    (app, listed)
}

fn description(expense: &Value) -> &str {
    expense["description"].as_str().unwrap()
}

#[tokio::test]
async fn list_has_rows_of_both_forms() {
    let (app, listed) = mixed().await;
    let names: Vec<&str> = listed.iter().map(description).collect();
    let expected = [
        "new 9, \"it's\"",
        "old 8",
        "new 7, \"it's\"",
        "old 6",
        "new 5, \"it's\"",
        "old 4",
        "new 3, \"it's\"",
        "old 2",
        "new 1, \"it's\"",
        "old 0",
    ];
    assert_eq!(names, expected);
    app.kv.take_operations();
    let body = get(&app, "/expenses").await.body;
    assert_eq!(app.kv.take_operations(), [KvOperation::List]);
    assert_eq!(body.matches("\"amount\":42.50,").count(), 10, "{body}");
    for expense in &listed {
        let one = get(&app, &format!("/expenses/{}", expense["id"].as_str().unwrap())).await;
        assert!(body.contains(&one.body), "{} {body}", one.body);
    }
}

#[tokio::test]
async fn pages_and_filters_have_rows_of_both_forms() {
    let (app, listed) = mixed().await;
    for query in ["limit=3", "limit=3&category=meals", "limit=3&from=2026-11-23&to=2026-11-24"] {
        let mut seen = Vec::new();
        let mut path = format!("/expenses?{query}");
        loop {
            let page = get(&app, &path).await;
            seen.extend(page.json().as_array().unwrap().clone());
            let link = page.header("link").to_owned();
            let Some(rest) = link.strip_prefix('<') else { break };
            path = rest.split('>').next().unwrap().to_owned();
        }
        assert_eq!(seen, listed, "{query}");
    }
    assert_eq!(get(&app, "/expenses?category=travel").await.body, "[]");
    assert_eq!(get(&app, "/expenses?to=2026-11-22").await.body, "[]");
}

#[tokio::test]
async fn summary_csv_and_page_have_rows_of_both_forms() {
    let (app, listed) = mixed().await;
    let summary = get(&app, "/expenses/summary").await.body;
    assert!(summary.contains(r#""total":425.00,"count":10"#), "{summary}");
    let csv = get(&app, "/expenses.csv").await.body;
    let lines: Vec<&str> = csv.lines().skip(1).collect();
    assert_eq!(lines.len(), 10);
    for (line, expense) in lines.iter().zip(&listed) {
        let name = description(expense).replace('"', "\"\"");
        assert!(line.starts_with(expense["id"].as_str().unwrap()), "{line}");
        assert!(
            line.contains(&format!(",\"{name}\",\"meals\",42.50,\"USD\",2026-11-23T")),
            "{line}"
        );
    }
    let page = app.signed_in(ADA).await.open("/expenses").await.expect(200).body;
    for expense in &listed {
        let name = description(expense).replace('"', "&quot;");
        assert!(page.contains(&format!("<bdi>{name}</bdi>")), "{name}: {page}");
    }
}

#[tokio::test]
async fn rows_of_both_forms_are_changed_and_deleted() {
    let (app, listed) = mixed().await;
    for expense in &listed[..4] {
        let token = app.authkit.access_token(ADA);
        let path = format!("/expenses/{}", expense["id"].as_str().unwrap());
        let etag = get(&app, &path).await.header("etag").to_owned();
        let change = |etag: &str| {
            let client = app.bearer(&token);
            let request = client.request(Method::PATCH, &path).header(header::IF_MATCH, etag);
            request.header(header::CONTENT_TYPE, "application/json")
        };
        let body = r#"{"amount": 7}"#;
        app.bearer(&token).send(change("\"other\""), body.into()).await.expect(412);
        let changed = app.bearer(&token).send(change(&etag), body.into()).await.expect(200);
        let mut expected = expense.clone();
        expected["amount"] = serde_json::from_str("7.00").unwrap();
        expected["updated_at"] = changed.json()["updated_at"].clone();
        assert_eq!(changed.json(), expected);
        app.pass(Duration::hours(1)).await;
        assert_eq!(get(&app, &path).await.json(), expected);
        let stored = app.kv.entry(&key(expense["id"].as_str().unwrap())).unwrap().1;
        assert!(stored.metadata.unwrap().is_string(), "a change writes a row");
    }
    let token = app.authkit.access_token(ADA);
    for expense in &listed {
        let path = format!("/expenses/{}", expense["id"].as_str().unwrap());
        app.bearer(&token).delete(&path).await.expect(204);
    }
    app.pass(Duration::hours(1)).await;
    assert!(app.kv.keys().is_empty());
}

#[tokio::test]
async fn later_row_version_falls_back_to_the_record() {
    let app = TestApp::new();
    let made = create(&app, "Lunch", "meals").await;
    app.pass(Duration::hours(1)).await;
    let key = key(made["id"].as_str().unwrap());
    let (value, written) = app.kv.entry(&key).unwrap();
    let metadata = written.metadata.unwrap().as_str().unwrap().to_owned();
    let content = metadata.strip_prefix("1:").unwrap();
    for version in ["2:", "0:", "", ":", "x:", "10:"] {
        let later = format!("{version}{content}");
        let value = value.replace(&format!("\"1:{content}"), &format!("\"{later}"));
        app.kv.insert_raw(&key, &value, Some(later.clone().into()));
        app.kv.take_operations();
        assert_eq!(app.expenses_of(ADA).await, std::slice::from_ref(&made), "{later}");
        assert_eq!(app.kv.take_operations(), [KvOperation::List, KvOperation::Get]);
        let path = format!("/expenses/{}", made["id"].as_str().unwrap());
        assert_eq!(get(&app, &path).await.json(), made, "{later}");
    }
}

#[tokio::test]
async fn unreadable_row_hides_no_other_row() {
    let (app, listed) = mixed().await;
    let id = listed[4]["id"].as_str().unwrap();
    let other = listed[5]["id"].as_str().unwrap();
    let row = app.kv.entry(&key(id)).unwrap().1.metadata.unwrap().as_str().unwrap().to_owned();
    let rest: Vec<Value> =
        listed.iter().filter(|expense| expense["id"] != listed[4]["id"]).cloned().collect();
    let damaged = [
        json!(row.replace(id, other)),
        json!(row[..row.len() - 1]),
        json!("1:"),
        json!(""),
        json!([row]),
        json!(7),
        json!({"description": 1}),
        json!({"row": row}),
        json!(null),
    ];
    for metadata in damaged {
        app.kv.insert_raw(&key(id), "{", Some(metadata.clone()));
        assert_eq!(app.expenses_of(ADA).await, rest, "{metadata}");
    }
}

#[tokio::test]
async fn page_gets_only_entries_that_it_can_show() {
    let app = TestApp::new();
    for index in 0..30 {
        create(&app, &index.to_string(), "meals").await;
        app.clock.advance(Duration::milliseconds(10));
    }
    let deleted = app.expenses_of(ADA).await[1]["id"].as_str().unwrap().to_owned();
    let token = app.authkit.access_token(ADA);
    app.bearer(&token).delete(&format!("/expenses/{deleted}")).await.expect(204);
    let entries = async |list: Value| {
        let command = json!({"list": list});
        let message = json!({"v": 1, "owner": "user_ada", "request": "", "reads_rows": true, "command": command});
        let response = app.ledgers.send("user_ada", &message.to_string()).await.unwrap();
        let response: Value = serde_json::from_str(&response).unwrap();
        response["outcome"]["rows"]["entries"].as_array().unwrap().clone()
    };
    assert_eq!(entries(json!({"after": null})).await.len(), 30);
    // Three expenses, one more that tells of the next page, and the removal between them.
    let page = entries(json!({"after": null, "limit": 3})).await;
    assert_eq!(page.len(), 5);
    assert_eq!(page[1], json!({"id": deleted, "row": null}));

    // Whatever KV shows, pages have each expense once.
    for keys in [30, 0] {
        if keys == 0 {
            app.kv.keys().iter().for_each(|key| app.kv.remove_raw(key));
        }
        let mut seen = Vec::new();
        let mut path = "/expenses?limit=3".to_owned();
        loop {
            let page = get(&app, &path).await;
            seen.extend(
                page.json().as_array().unwrap().iter().map(|row| description(row).to_owned()),
            );
            let link = page.header("link").to_owned();
            let Some(rest) = link.strip_prefix('<') else { break };
            path = rest.split('>').next().unwrap().to_owned();
        }
        let newest_first: Vec<String> =
            (0..30).rev().filter(|index| *index != 28).map(|index| index.to_string()).collect();
        assert_eq!(seen, newest_first);
    }
}
