//! `/expenses`.

use chrono::Duration;
use http::{Method, header};
use serde_json::{Value, json};

use crate::support::{ADA, GRACE, TestApp, app::request, authkit::TestUser};

const LUNCH: &str = r#"{"description": " Team lunch ", "amount": 42.5, "category": "meals"}"#;

async fn create(app: &TestApp, user: TestUser, body: &str) -> Value {
    let token = app.authkit.access_token(user);
    app.post_as(&token, "/expenses", body.to_owned()).await.expect(201).json()
}

#[tokio::test]
async fn an_expense_is_created_read_listed_and_deleted() {
    let app = TestApp::new();
    let token = app.authkit.access_token(ADA);
    let created = app.post_as(&token, "/expenses", LUNCH).await.expect(201);
    let expense = created.json();
    let id = expense["id"].as_str().unwrap();
    let path = format!("/expenses/{id}");
    assert_eq!(created.header("location"), path);
    assert_eq!(
        created.body,
        format!(
            r#"{{"id":"{id}","description":"Team lunch","amount":42.50,"currency":"USD","category":"meals","date":"2026-11-23","created_at":"2026-11-23T12:00:00Z","updated_at":"2026-11-23T12:00:00Z"}}"#
        )
    );
    assert_eq!(app.get_as(&token, &path).await.expect(200).body, created.body);
    assert_eq!(
        app.get_as(&token, "/expenses").await.expect(200).body,
        format!("[{}]", created.body)
    );
    assert_eq!(app.delete_as(&token, &path).await.expect(204).body, "");
    assert_eq!(app.delete_as(&token, &path).await.expect(404).detail(), "Expense not found");
    assert_eq!(app.get_as(&token, &path).await.expect(404).detail(), "Expense not found");
    assert_eq!(app.get_as(&token, "/expenses").await.expect(200).body, "[]");
}

#[tokio::test]
async fn a_browsers_session_and_a_token_reach_the_same_expenses() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    let created = browser.post("/expenses", LUNCH).await.expect(201).json();
    let token = app.authkit.access_token(ADA);
    assert_eq!(app.get_as(&token, "/expenses").await.json(), json!([created]));
}

#[tokio::test]
async fn a_second_user_sees_nothing_of_the_first() {
    let app = TestApp::new();
    let path = format!("/expenses/{}", create(&app, ADA, LUNCH).await["id"].as_str().unwrap());
    let graces = app.authkit.access_token(GRACE);
    assert_eq!(app.get_as(&graces, "/expenses").await.expect(200).body, "[]");
    app.get_as(&graces, &path).await.expect(404);
    app.delete_as(&graces, &path).await.expect(404);
    app.get_as(&app.authkit.access_token(ADA), &path).await.expect(200);
}

#[tokio::test]
async fn nothing_of_expenses_is_reached_without_a_caller() {
    let app = TestApp::new();
    let path = format!("/expenses/{}", create(&app, ADA, LUNCH).await["id"].as_str().unwrap());
    app.kv.take_operations();
    for (method, path) in [
        (Method::GET, "/expenses"),
        (Method::POST, "/expenses"),
        (Method::GET, path.as_str()),
        (Method::DELETE, path.as_str()),
    ] {
        let request = request(method, path).header(header::CONTENT_TYPE, "application/json");
        app.send(request.body(LUNCH.into()).unwrap()).await.expect(401);
    }
    assert_eq!(app.kv.take_operations(), [""; 0]);
}

#[tokio::test]
async fn pages_follow_the_link_header_newest_first() {
    let app = TestApp::new();
    for index in 0..25 {
        create(&app, ADA, &json!({"description": index.to_string(), "amount": 1}).to_string())
            .await;
        app.clock.advance(Duration::seconds(1));
    }
    let token = app.authkit.access_token(ADA);
    let mut path = "/expenses?limit=10".to_owned();
    let mut seen = Vec::new();
    loop {
        app.kv.take_operations();
        let answer = app.get_as(&token, &path).await.expect(200);
        assert_eq!(app.kv.take_operations(), ["list"]);
        let page = answer.json();
        seen.extend(page.as_array().unwrap().iter().map(|row| row["description"].to_string()));
        let Some(link) = answer.header("link").strip_suffix(">; rel=\"next\"") else { break };
        path = link.strip_prefix('<').unwrap().to_owned();
        assert!(path.contains("limit=10"), "{path}");
    }
    let newest_first: Vec<String> = (0..25).rev().map(|index| format!("\"{index}\"")).collect();
    assert_eq!(seen, newest_first);
}

#[tokio::test]
async fn the_cost_in_kv_operations_is_as_promised() {
    let app = TestApp::new();
    let token = app.authkit.access_token(ADA);
    let id = create(&app, ADA, LUNCH).await["id"].as_str().unwrap().to_owned();
    assert_eq!(app.kv.take_operations(), ["put"]);
    app.get_as(&token, "/expenses").await.expect(200);
    assert_eq!(app.kv.take_operations(), ["list"]);
    app.get_as(&token, &format!("/expenses/{id}")).await.expect(200);
    assert_eq!(app.kv.take_operations(), ["get"]);
    app.get("/health").await.expect(200);
    assert_eq!(app.kv.take_operations(), [""; 0]);
}

#[tokio::test]
async fn invalid_bodies_get_422_with_every_problem_and_nothing_is_written() {
    let app = TestApp::new();
    let token = app.authkit.access_token(ADA);
    let body = r#"{"amount": 1.005, "currency": "usd", "extra": true}"#;
    let answer = app.post_as(&token, "/expenses", body).await.expect(422);
    assert_eq!(
        answer.json(),
        json!({"detail": [
            {"type": "missing", "loc": ["body", "description"], "msg": "Field required",
             "input": serde_json::from_str::<Value>(body).unwrap()},
            {"type": "decimal_max_places", "loc": ["body", "amount"],
             "msg": "Decimal input should have no more than 2 decimal places",
             "input": serde_json::from_str::<Value>("1.005").unwrap(), "ctx": {"decimal_places": 2}},
            {"type": "string_pattern_mismatch", "loc": ["body", "currency"],
             "msg": "String should match pattern '^[A-Z]{3}$'", "input": "usd",
             "ctx": {"pattern": "^[A-Z]{3}$"}},
            {"type": "extra_forbidden", "loc": ["body", "extra"],
             "msg": "Extra inputs are not permitted", "input": true},
        ]})
    );
    for body in ["", "{", "[]", "null", "\u{feff}{}"] {
        app.post_as(&token, "/expenses", body).await.expect(422);
    }
    assert_eq!(app.kv.keys(), [""; 0]);
}

#[tokio::test]
async fn a_query_that_is_out_of_range_gets_422() {
    let app = TestApp::new();
    let token = app.authkit.access_token(ADA);
    for limit in ["0", "1001", "x", "-1", ""] {
        let answer = app.get_as(&token, &format!("/expenses?limit={limit}")).await.expect(422);
        assert_eq!(answer.json()["detail"][0]["loc"], json!(["query", "limit"]), "{limit}");
    }
    app.get_as(&token, "/expenses?limit=1000&unknown=1").await.expect(200);
}

#[tokio::test]
async fn a_body_that_is_too_long_or_not_json_is_refused_before_it_is_read() {
    let app = TestApp::new();
    let token = app.authkit.access_token(ADA);
    let long = format!(r#"{{"description": "{}", "amount": 1}}"#, "x".repeat(64 * 1024));
    app.post_as(&token, "/expenses", long).await.expect(413);
    for (content_type, status) in [
        (Some("application/json; charset=utf-8"), 201),
        (Some("application/vnd.api+json"), 201),
        (Some("text/plain"), 415),
        (Some("application/x-www-form-urlencoded"), 415),
        (Some("application/jsonx"), 415),
        (None, 415),
    ] {
        let mut request = request(Method::POST, "/expenses")
            .header(header::AUTHORIZATION, format!("Bearer {token}"));
        if let Some(content_type) = content_type {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        app.send(request.body(LUNCH.into()).unwrap()).await.expect(status);
    }
}

#[tokio::test]
async fn an_id_that_is_none_is_not_found() {
    let app = TestApp::new();
    let token = app.authkit.access_token(ADA);
    let lower = create(&app, ADA, LUNCH).await["id"].as_str().unwrap().to_lowercase();
    app.kv.take_operations();
    for id in ["x", "..%2F..", "%00", &lower, "01ARZ3NDEKTSV4RRFFQ69G5FAU0"] {
        app.get_as(&token, &format!("/expenses/{id}")).await.expect(404);
        app.delete_as(&token, &format!("/expenses/{id}")).await.expect(404);
    }
    assert_eq!(app.kv.take_operations(), [""; 0]);
}

#[tokio::test]
async fn a_failing_kv_is_503_with_retry_after_and_never_an_empty_list() {
    let app = TestApp::new();
    let token = app.authkit.access_token(ADA);
    let path = format!("/expenses/{}", create(&app, ADA, LUNCH).await["id"].as_str().unwrap());
    for (operation, answer) in [
        ("list", {
            app.kv.fail(Some("list"));
            app.get_as(&token, "/expenses").await
        }),
        ("get", {
            app.kv.fail(Some("get"));
            app.get_as(&token, &path).await
        }),
        ("get", app.delete_as(&token, &path).await),
        ("delete", {
            app.kv.fail(Some("delete"));
            app.delete_as(&token, &path).await
        }),
        ("put", {
            app.kv.fail(Some("put"));
            app.post_as(&token, "/expenses", LUNCH).await
        }),
    ] {
        let answer = answer.expect(503);
        assert_eq!(answer.header("retry-after"), "2", "{operation}");
        assert!(!answer.body.contains("made to fail"), "{operation}: {}", answer.body);
    }
    app.kv.fail(None);
    app.get_as(&token, &path).await.expect(200);
}
