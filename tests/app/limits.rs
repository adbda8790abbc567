//! Inputs at the limits: refused with a clear error, or stored to the last character.

use http::{Method, header};
use serde_json::{Value, json};

use crate::support::{ADA, Client, TestApp, app::request, authkit::TestUser};

async fn create(app: &TestApp, body: &str) -> Value {
    let token = app.authkit.access_token(ADA);
    app.bearer(&token).post("/expenses", body.to_owned()).await.expect(201).json()
}

#[tokio::test]
async fn lone_surrogate_is_invalid_json() {
    let app = TestApp::new();
    let token = app.authkit.access_token(ADA);
    for text in [r"\ud800", r"\udc00", r"\ud83c x", r"\udf5c\ud83c", r"x\uD8"] {
        for body in [
            format!(r#"{{"description": "{text}", "amount": 1}}"#),
            format!(r#"{{"description": "x", "amount": 1, "category": "{text}"}}"#),
            format!(r#"{{"description": "x", "amount": 1, "{text}": 1}}"#),
        ] {
            let response = app.bearer(&token).post("/expenses", body.clone()).await.expect(422);
            assert_eq!(response.json()["detail"][0]["type"], "json_invalid", "{body}");
        }
    }
    assert_eq!(app.kv.keys(), [""; 0]);
    // Both surrogates together are one character.
    let whole = create(&app, r#"{"description": "\ud83c\udf5c", "amount": 1}"#).await;
    assert_eq!(whole["description"], "🍜");
}

#[tokio::test]
async fn control_characters_are_stored_and_returned() {
    let app = TestApp::new();
    let description: String = ('\0'..' ').chain('\u{7f}'..'\u{a0}').collect();
    let description = format!("<{description}>");
    let body = json!({"description": description, "amount": 1, "category": "\0"}).to_string();
    let made = create(&app, &body).await;
    assert_eq!(made["description"], description.as_str());
    assert_eq!(made["category"], "\0");
    let token = app.authkit.access_token(ADA);
    let path = format!("/expenses/{}", made["id"].as_str().unwrap());
    assert_eq!(app.bearer(&token).get(&path).await.expect(200).json(), made);
    assert_eq!(app.expenses_of(ADA).await, std::slice::from_ref(&made));
    let found = app.bearer(&token).get("/expenses?category=%00").await.expect(200).json();
    assert_eq!(found, json!([made]));
    let summary = app.bearer(&token).get("/expenses/summary").await.expect(200).json();
    assert_eq!(summary["currencies"][0]["by_category"][0]["category"], "\0");
    let csv = request(Method::GET, "/expenses")
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::ACCEPT, "text/csv");
    let csv = app.send(csv.body("".into()).unwrap()).await.expect(200).body;
    assert!(csv.contains(&description), "{csv:?}");
}

#[tokio::test]
async fn last_of_two_equal_member_names_counts() {
    let app = TestApp::new();
    let body = r#"{"amount": "x", "description": 5, "amount": 2, "description": "last"}"#;
    let made = create(&app, body).await;
    assert_eq!(made["description"], "last");
    assert_eq!(made["amount"].to_string(), "2.00");
    let token = app.authkit.access_token(ADA);
    let body = r#"{"description": "first", "amount": 1, "amount": null}"#;
    let response = app.bearer(&token).post("/expenses", body).await.expect(422);
    assert_eq!(response.json()["detail"][0]["type"], "decimal_type");
}

#[tokio::test]
async fn deep_nesting_is_refused_before_the_parsers_limit() {
    let app = TestApp::new();
    let token = app.authkit.access_token(ADA);
    for (depth, kind) in [(100, "string_type"), (200, "json_invalid"), (15_000, "json_invalid")] {
        for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
            let deep = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            if deep.len() > 60_000 {
                continue;
            }
            let body = format!(r#"{{"description": {deep}, "amount": 1}}"#);
            let response = app.bearer(&token).post("/expenses", body).await.expect(422);
            assert_eq!(response.json()["detail"][0]["type"], kind, "{depth} × {open}");
        }
    }
}

#[tokio::test]
async fn expense_too_long_for_metadata_is_stored_whole() {
    for (description, category) in [
        ("🧾".repeat(200), "🧾".repeat(50)),
        // 200 characters, of one byte each and of six bytes each in JSON.
        ("\0".repeat(200), "other".to_owned()),
        ("\"".repeat(200), "\\".repeat(50)),
        ("🧾".repeat(200), "other".to_owned()),
    ] {
        let app = TestApp::new();
        let body = json!({"description": description, "category": category, "amount": 1});
        let made = create(&app, &body.to_string()).await;
        assert_eq!(made["description"], description);
        let (value, options) = app.kv.entry(&app.kv.keys()[0]).unwrap();
        let record: serde_json::Value = serde_json::from_str(&value).unwrap();
        let is_short = record["row"].to_string().len() <= 1024;
        assert_eq!(options.metadata, is_short.then(|| record["row"].clone()), "{description}");
        assert_eq!(app.expenses_of(ADA).await, std::slice::from_ref(&made));
        let token = app.authkit.access_token(ADA);
        let path = format!("/expenses/{}", made["id"].as_str().unwrap());
        // First too long for metadata, then short enough, and the reverse.
        for description in ["short", &description] {
            let patch = json!({"description": description}).to_string();
            let changed =
                app.bearer(&token).send_json(Method::PATCH, &path, patch).await.expect(200).json();
            assert_eq!(changed["description"], description);
            assert_eq!(app.expenses_of(ADA).await, [changed]);
        }
    }
}

#[tokio::test]
async fn subjects_with_any_characters_have_separate_expenses() {
    const SUBJECTS: [&str; 11] =
        ["a", "a:", "a:b", ":a", "a/b", "a/../b", "a%3Ab", "a\0", "ä", "*", "expense:a:"];
    let app = TestApp::new();
    let long = TestUser { id: "x".repeat(600).leak(), email: "" };
    let users = || SUBJECTS.iter().map(|id| TestUser { id, email: "" }).chain([long]);
    for user in users() {
        let token = app.authkit.access_token(user);
        let body = json!({"description": user.id.get(..20).unwrap_or(user.id), "amount": 1});
        app.bearer(&token).post("/expenses", body.to_string()).await.expect(201);
        app.create_with_key(user, "key", r#"{"description": "with a key", "amount": 1}"#)
            .await
            .expect(201);
    }
    for user in users() {
        let expenses = app.expenses_of(user).await;
        assert_eq!(expenses.len(), 2, "{:?}", user.id);
        for (other, expense) in users().zip(expenses.iter().cycle()) {
            if other.id != user.id {
                let path = format!("/expenses/{}", expense["id"].as_str().unwrap());
                app.bearer(&app.authkit.access_token(other)).get(&path).await.expect(404);
            }
        }
    }
}
