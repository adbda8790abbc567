//! Response sizes stay in proportion to request sizes.

use http::HeaderMap;
use serde_json::{Value, json};

use crate::support::{ADA, Client, KvOperation, TestApp, mcp};

/// The limit on the size of a request body.
const MAX_BODY_BYTES: usize = 64 * 1024;
/// Five times the page that shows all expenses of a user with one currency.
const MAX_PAGE_BYTES: usize = 200_000;

/// A body with `count` members that no expense has.
fn unknown_members(count: usize) -> String {
    let members = (0..count).map(|number| format!(r#""a{number}":1"#));
    let body = format!("{{{}}}", members.collect::<Vec<_>>().join(","));
    assert!(body.len() < MAX_BODY_BYTES, "{}", body.len());
    body
}

#[tokio::test]
async fn errors_list_at_most_a_hundred_unknown_members() {
    let app = TestApp::new();
    let token = app.authkit.access_token(ADA);
    let response = app.bearer(&token).post("/expenses", unknown_members(1_000)).await.expect(422);
    assert!(response.body.len() < 32_000, "{}", response.body.len());
    let json = response.json();
    let detail = json["detail"].as_array().unwrap();
    let unknown: Vec<&Value> =
        detail.iter().filter(|problem| problem["type"] == "extra_forbidden").collect();
    assert_eq!(unknown.len(), 101);
    assert_eq!(
        *unknown[99],
        json!({
            "type": "extra_forbidden", "loc": ["body", "a99"],
            "msg": "Extra inputs are not permitted", "input": 1,
        })
    );
    assert_eq!(
        *unknown[100],
        json!({
            "type": "extra_forbidden", "loc": ["body"],
            "msg": "Extra inputs are not permitted: 900 more are not listed", "input": null,
        })
    );
}

#[tokio::test]
async fn body_with_over_a_thousand_members_is_422() {
    let app = TestApp::new();
    let token = app.authkit.access_token(ADA);
    let nested = format!(r#"{{"description": [{}]}}"#, vec![unknown_members(400); 3].join(","));
    let colons = ":".repeat(2_000);
    for body in [unknown_members(5_000), unknown_members(1_001), nested] {
        let response = app.bearer(&token).post("/expenses", body).await.expect(422);
        assert_eq!(
            response.json()["detail"],
            json!([{
                "type": "too_long", "loc": ["body"],
                "msg": "Data should have at most 1000 members, those of nested objects included",
                "input": null, "ctx": {"max_length": 1000},
            }])
        );
    }
    let broken = format!("{}}}", unknown_members(5_000));
    let response = app.bearer(&token).post("/expenses", broken).await.expect(422);
    assert_eq!(response.json()["detail"][0]["type"], "json_invalid");
    let response = mcp::post(&app, &HeaderMap::new(), unknown_members(1_001)).await.expect(400);
    let error = response.json()["error"].clone();
    assert_eq!(error["code"], -32600);
    assert!(error["message"].as_str().unwrap().contains("at most 1000 members"), "{error}");
    let text = json!({"description": format!("\\\"{colons}"), "amount": 1}).to_string();
    let response = app.bearer(&token).post("/expenses", text).await.expect(422);
    assert_eq!(
        response.json()["detail"][0]["type"],
        "string_too_long",
        "a text counts as one value"
    );
    let pairs = format!("limit=7&{}limit=0", "a=1&".repeat(3_000));
    app.bearer(&token).get(&format!("/expenses?{pairs}")).await.expect(422);
}

#[tokio::test]
async fn errors_repeat_two_kilobytes_of_each_input() {
    let app = TestApp::new();
    let token = app.authkit.access_token(ADA);
    let long = "ж".repeat(30_000);
    for body in [
        json!({"x": long}).to_string(),
        json!({long.clone(): 1}).to_string(),
        json!({"description": long, "amount": long.as_str()[..10], "category": 1}).to_string(),
        json!([long]).to_string(),
        json!({"description": [long], "amount": {"a": 1}, "date": 5}).to_string(),
        format!(r#"{{"description": "x", "amount": {}}}"#, "1".repeat(60_000)),
    ] {
        let response = app.bearer(&token).post("/expenses", body.clone()).await.expect(422);
        assert!(response.body.len() < 10_000, "{}: {}", &body[..40], response.body.len());
    }
    let input = async |body: Value| {
        let response = app.bearer(&token).post("/expenses", body.to_string()).await.expect(422);
        response.json()["detail"][0]["input"].clone()
    };
    assert_eq!(
        input(json!({"description": long, "amount": 1})).await,
        format!("{}…", "ж".repeat(1024))
    );
    let shown = input(json!({"description": [long], "amount": 1})).await;
    assert!(shown.as_str().unwrap().starts_with("[\"жж"), "{shown}");
    let whole = "y".repeat(2_000);
    assert_eq!(input(json!({"description": whole, "amount": 1})).await, whole);
    let query = format!("/expenses?limit={}", "9x".repeat(4_000));
    assert!(app.bearer(&token).get(&query).await.expect(422).body.len() < 3_000);
}

#[tokio::test]
async fn tool_errors_stay_short_for_any_arguments() {
    let app = TestApp::new();
    let arguments: Value = serde_json::from_str(&unknown_members(900)).unwrap();
    let complaint = mcp::complaint(&app, "add_expense", arguments).await;
    assert!(complaint.len() < 32_000, "{}", complaint.len());
    assert!(complaint.contains("800 more are not listed"), "{complaint}");
    let arguments = json!({"z".repeat(60_000): "x"});
    let complaint = mcp::complaint(&app, "add_expense", arguments).await;
    assert!(complaint.len() < 10_000, "{}", complaint.len());
}

#[tokio::test]
async fn overview_counts_currencies_past_the_first_few() {
    let app = TestApp::new();
    for number in 0..1_000 {
        let letter = |place: usize| char::from(b'A' + u8::try_from(number / place % 26).unwrap());
        let currency: String = [676, 26, 1].map(letter).into_iter().collect();
        let record = json!({
            "description": "x", "amount": "1.00", "currency": currency, "category": "c".repeat(50),
            "date": "2026-11-23", "created_at": 0, "updated_at": 0,
        });
        let key = format!("expense:{}:7YBQTSVWGKVQGMH7Y9{number:08}", ADA.id);
        app.kv.insert_raw(&key, &record.to_string(), Some(record));
    }
    let mut browser = app.signed_in(ADA).await;
    for path in ["/", "/expenses", "/expenses?from=2026-01-01"] {
        let page = browser.open(path).await.expect(200).body;
        assert!(page.len() < MAX_PAGE_BYTES, "{path}: {}", page.len());
        assert!(page.contains("992 other currencies"), "{path}");
    }
}

#[tokio::test]
async fn link_header_keeps_one_value_per_list_parameter() {
    let app = TestApp::new();
    let token = app.authkit.access_token(ADA);
    for _ in 0..2 {
        let body = json!({"description": "x", "amount": 1, "category": "a"}).to_string();
        app.bearer(&token).post("/expenses", body).await.expect(201);
    }
    let query = format!("limit=1&category=z&{}&category=a", "!=!&from=2026-01-01&".repeat(200));
    let response = app.bearer(&token).get(&format!("/expenses?{query}")).await.expect(200);
    let link = response.header("link");
    assert!(link.len() < 600, "{link}");
    assert!(link.starts_with("</expenses?limit=1&category=a&from=2026-01-01&cursor="), "{link}");
}

#[tokio::test]
async fn error_page_omits_a_long_address() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    app.kv.fail(Some(KvOperation::List));
    let short = browser.open("/expenses?limit=7").await.expect(503).body;
    assert!(short.contains("/expenses?limit=7"));
    let long =
        browser.open(&format!("/expenses?limit=7&{}", "&".repeat(10_000))).await.expect(503).body;
    assert!(long.len() < short.len() + 100, "{}", long.len());
}

#[tokio::test]
async fn summary_with_too_many_categories_is_refused() {
    let app = TestApp::new();
    for index in 0..12_000 {
        let at = chrono::DateTime::from_timestamp_millis(1_700_000_000_000 + index).unwrap();
        let id = authkit_edge::expenses::model::ExpenseId::new(at);
        let day = 1 + index % 28;
        let record = format!(
            r#"{{"description":"x","amount":"0.01","currency":"USD","category":"category {index}","date":"2026-01-{day:02}","created_at":0,"updated_at":0}}"#
        );
        let metadata = serde_json::from_str(&record).ok();
        app.kv.insert_raw(&format!("expense:{}:{id}", ADA.id), &record, metadata);
    }
    let token = app.authkit.access_token(ADA);
    let response = app.bearer(&token).get("/expenses/summary").await.expect(422);
    assert_eq!(
        response.json()["detail"][0],
        json!({
            "type": "value_error", "loc": ["query", "from"], "input": null,
            "msg": "Value error, these expenses have more than 10000 categories: give a shorter period by from and to",
        })
    );
    let path = "/expenses/summary?from=2026-01-01&to=2026-01-14";
    let summary = app.bearer(&token).get(path).await.expect(200).json();
    assert_eq!(summary["currencies"][0]["by_category"].as_array().unwrap().len(), 6_006);
    let complaint = mcp::complaint(&app, "summarize_expenses", json!({})).await;
    assert!(complaint.contains("shorter period"), "{complaint}");
}
