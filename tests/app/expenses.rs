//! The JSON interface at `/expenses`.

use axum::body::Body;
use chrono::Duration;
use http::{Method, header};
use serde_json::{Value, json};

use crate::support::{
    ADA, Client, GRACE, KvOperation, TestApp, app::request, authkit::TestUser, mcp,
};

const LUNCH: &str = r#"{"description": " Team lunch ", "amount": 42.5, "category": "meals"}"#;

async fn create(app: &TestApp, user: TestUser, body: &str) -> Value {
    let token = app.authkit.access_token(user);
    app.bearer(&token).post("/expenses", body.to_owned()).await.expect(201).json()
}

#[tokio::test]
async fn expense_is_created_read_listed_and_deleted() {
    let app = TestApp::new();
    let token = app.authkit.access_token(ADA);
    let created = app.bearer(&token).post("/expenses", LUNCH).await.expect(201);
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
    assert_eq!(app.bearer(&token).get(&path).await.expect(200).body, created.body);
    assert_eq!(
        app.bearer(&token).get("/expenses").await.expect(200).body,
        format!("[{}]", created.body)
    );
    assert_eq!(app.bearer(&token).delete(&path).await.expect(204).body, "");
    assert_eq!(app.bearer(&token).delete(&path).await.expect(404).detail(), "Expense not found");
    assert_eq!(app.bearer(&token).get(&path).await.expect(404).detail(), "Expense not found");
    assert_eq!(app.bearer(&token).get("/expenses").await.expect(200).body, "[]");
}

#[tokio::test]
async fn session_and_token_reach_the_same_expenses() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    let created = browser.post("/expenses", LUNCH).await.expect(201).json();
    let token = app.authkit.access_token(ADA);
    assert_eq!(app.bearer(&token).get("/expenses").await.json(), json!([created]));
}

#[tokio::test]
async fn user_sees_no_expense_of_another_user() {
    let app = TestApp::new();
    let path = format!("/expenses/{}", create(&app, ADA, LUNCH).await["id"].as_str().unwrap());
    let graces = app.authkit.access_token(GRACE);
    assert_eq!(app.bearer(&graces).get("/expenses").await.expect(200).body, "[]");
    app.bearer(&graces).get(&path).await.expect(404);
    app.bearer(&graces).delete(&path).await.expect(404);
    app.bearer(&app.authkit.access_token(ADA)).get(&path).await.expect(200);
}

#[tokio::test]
async fn expense_paths_are_401_without_a_caller() {
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
    assert_eq!(app.kv.take_operations(), []);
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
        let response = app.bearer(&token).get(&path).await.expect(200);
        assert_eq!(app.kv.take_operations(), [KvOperation::List]);
        let page = response.json();
        seen.extend(page.as_array().unwrap().iter().map(|row| row["description"].to_string()));
        let Some(link) = response.header("link").strip_suffix(">; rel=\"next\"") else { break };
        path = link.strip_prefix('<').unwrap().to_owned();
        assert!(path.contains("limit=10"), "{path}");
    }
    let newest_first: Vec<String> = (0..25).rev().map(|index| format!("\"{index}\"")).collect();
    assert_eq!(seen, newest_first);
}

#[tokio::test]
async fn requests_cost_the_documented_kv_operations() {
    let app = TestApp::new();
    let token = app.authkit.access_token(ADA);
    let id = create(&app, ADA, LUNCH).await["id"].as_str().unwrap().to_owned();
    assert_eq!(app.kv.take_operations(), [KvOperation::Put]);
    app.bearer(&token).get("/expenses").await.expect(200);
    assert_eq!(app.kv.take_operations(), [KvOperation::List]);
    let path = format!("/expenses/{id}");
    app.bearer(&token).get(&path).await.expect(200);
    assert_eq!(app.kv.take_operations(), [KvOperation::Get]);
    app.bearer(&token).get("/expenses?category=meals").await.expect(200);
    assert_eq!(app.kv.take_operations(), [KvOperation::List]);
    app.bearer(&token).get("/expenses/summary").await.expect(200);
    assert_eq!(app.kv.take_operations(), [KvOperation::List]);
    for method in [Method::PUT, Method::PATCH] {
        app.clock.advance(Duration::seconds(1));
        app.bearer(&token).send_json(method, &path, LUNCH).await.expect(200);
        assert_eq!(app.kv.take_operations(), [KvOperation::Put]);
    }
    app.create_with_key(ADA, "key", LUNCH).await.expect(201);
    assert_eq!(app.kv.take_operations(), [KvOperation::Put]);
    app.clock.advance(Duration::seconds(1));
    app.bearer(&token).delete(&path).await.expect(204);
    assert_eq!(app.kv.take_operations(), [KvOperation::Delete]);
    // An expense that the ledger's log does not have is read from KV.
    let path = format!("/expenses/{}", app.store_expense(ADA, "Lunch"));
    app.bearer(&token).send_json(Method::PATCH, &path, LUNCH).await.expect(200);
    assert_eq!(app.kv.take_operations(), [KvOperation::Get, KvOperation::Put]);
    app.anonymous().get("/health").await.expect(200);
    assert_eq!(app.kv.take_operations(), []);
}

#[tokio::test]
async fn invalid_body_is_422_with_every_problem() {
    let app = TestApp::new();
    let token = app.authkit.access_token(ADA);
    let body = r#"{"amount": 1.005, "currency": "usd", "extra": true}"#;
    let response = app.bearer(&token).post("/expenses", body).await.expect(422);
    assert_eq!(
        response.json(),
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
        app.bearer(&token).post("/expenses", body).await.expect(422);
    }
    assert_eq!(app.kv.keys(), [""; 0]);
}

#[tokio::test]
async fn query_out_of_range_is_422() {
    let app = TestApp::new();
    let token = app.authkit.access_token(ADA);
    for limit in ["0", "1001", "x", "-1", ""] {
        let response =
            app.bearer(&token).get(&format!("/expenses?limit={limit}")).await.expect(422);
        assert_eq!(response.json()["detail"][0]["loc"], json!(["query", "limit"]), "{limit}");
    }
    app.bearer(&token).get("/expenses?limit=1000&unknown=1").await.expect(200);
}

#[tokio::test]
async fn body_too_long_or_not_json_is_refused() {
    let app = TestApp::new();
    let token = app.authkit.access_token(ADA);
    let long = format!(r#"{{"description": "{}", "amount": 1}}"#, "x".repeat(64 * 1024));
    app.bearer(&token).post("/expenses", long).await.expect(413);
    for (content_type, status) in [
        (Some("application/json; charset=utf-8"), 201),
        (Some("application/vnd.api+json"), 201),
        (Some("text/plain"), 415),
        (Some("application/x-www-form-urlencoded"), 415),
        (Some("application/jsonx"), 415),
        (Some("application/merge-patch+json"), 415),
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
async fn patch_of_another_format_is_415_with_the_accepted_ones() {
    let app = TestApp::new();
    let path = format!("/expenses/{}", app.store_expense(ADA, "Lunch"));
    let token = app.authkit.access_token(ADA);
    let patch = |content_type: &str| {
        let client = app.bearer(&token);
        let request = client.request(Method::PATCH, &path);
        let request = request.header(header::CONTENT_TYPE, content_type);
        app.send(request.body(r#"{"amount": 5}"#.into()).unwrap())
    };
    for content_type in ["application/json", "application/merge-patch+json; charset=utf-8"] {
        patch(content_type).await.expect(200);
    }
    for content_type in ["application/json-patch+json", "application/vnd.api+json", "text/plain"] {
        let refused = patch(content_type).await.expect(415);
        let accepted = "application/merge-patch+json, application/json";
        assert_eq!(refused.header("accept-patch"), accepted, "{content_type}");
    }
}

#[tokio::test]
async fn malformed_id_is_404() {
    let app = TestApp::new();
    let token = app.authkit.access_token(ADA);
    let lower = create(&app, ADA, LUNCH).await["id"].as_str().unwrap().to_lowercase();
    app.kv.take_operations();
    for id in ["x", "..%2F..", "%00", &lower, "01ARZ3NDEKTSV4RRFFQ69G5FAU0"] {
        app.bearer(&token).get(&format!("/expenses/{id}")).await.expect(404);
        app.bearer(&token).delete(&format!("/expenses/{id}")).await.expect(404);
    }
    assert_eq!(app.kv.take_operations(), []);
}

#[tokio::test]
async fn kv_failure_is_503_and_never_an_empty_list() {
    let app = TestApp::new();
    let token = app.authkit.access_token(ADA);
    let path = format!("/expenses/{}", app.store_expense(ADA, "Lunch"));
    for (operation, response) in [
        (KvOperation::List, {
            app.kv.fail(Some(KvOperation::List));
            app.bearer(&token).get("/expenses").await
        }),
        (KvOperation::Get, {
            app.kv.fail(Some(KvOperation::Get));
            app.bearer(&token).get(&path).await
        }),
        (KvOperation::Get, app.bearer(&token).delete(&path).await),
        (KvOperation::Get, app.bearer(&token).send_json(Method::PUT, &path, LUNCH).await),
    ] {
        let response = response.expect(503);
        assert_eq!(response.header("retry-after"), "2", "{operation}");
        assert!(!response.body.contains("made to fail"), "{operation}: {}", response.body);
    }
    app.kv.fail(None);
    app.bearer(&token).get(&path).await.expect(200);
}

#[tokio::test]
async fn put_replaces_the_whole_expense() {
    let app = TestApp::new();
    let token = app.authkit.access_token(ADA);
    let first = create(&app, ADA, LUNCH).await;
    let path = format!("/expenses/{}", first["id"].as_str().unwrap());
    app.clock.advance(Duration::minutes(1));
    let body = r#"{"description": "Dinner", "amount": "7.5", "date": "2026-01-31"}"#;
    let changed = app.bearer(&token).send_json(Method::PUT, &path, body).await.expect(200).json();
    let expected = json!({
        "id": first["id"], "description": "Dinner",
        "amount": serde_json::from_str::<Value>("7.50").unwrap(), "currency": "USD",
        "category": "other", "date": "2026-01-31",
        "created_at": "2026-11-23T12:00:00Z", "updated_at": "2026-11-23T12:01:00Z",
    });
    assert_eq!(changed, expected);
    assert_eq!(app.bearer(&token).get(&path).await.json(), expected);
    assert_eq!(app.bearer(&token).get("/expenses").await.json(), json!([expected]));
    app.bearer(&token).send_json(Method::PUT, &path, r#"{"amount": 1}"#).await.expect(422);
    assert_eq!(app.bearer(&token).get(&path).await.json(), expected);
}

#[tokio::test]
async fn patch_changes_only_named_members() {
    let app = TestApp::new();
    let token = app.authkit.access_token(ADA);
    let first = create(&app, ADA, LUNCH).await;
    let path = format!("/expenses/{}", first["id"].as_str().unwrap());
    app.clock.advance(Duration::minutes(1));
    let patch = r#"{"description": "Dinner", "category": null}"#;
    let changed =
        app.bearer(&token).send_json(Method::PATCH, &path, patch).await.expect(200).json();
    assert_eq!(changed["description"], "Dinner");
    assert_eq!(changed["category"], "other");
    assert_eq!(changed["amount"], first["amount"]);
    assert_eq!(changed["created_at"], first["created_at"]);
    assert_eq!(changed["updated_at"], "2026-11-23T12:01:00Z");
    for (patch, kind) in [
        (r#"{"description": null}"#, "string_type"),
        (r#"{"amount": null}"#, "decimal_type"),
        (r#"{"id": "x"}"#, "extra_forbidden"),
        ("[]", "model_attributes_type"),
    ] {
        let response = app.bearer(&token).send_json(Method::PATCH, &path, patch).await.expect(422);
        assert_eq!(response.json()["detail"][0]["type"], kind, "{patch}");
    }
    assert_eq!(app.bearer(&token).get(&path).await.json(), changed);
}

#[tokio::test]
async fn expense_of_another_user_cannot_be_changed() {
    let app = TestApp::new();
    let first = create(&app, ADA, LUNCH).await;
    let path = format!("/expenses/{}", first["id"].as_str().unwrap());
    let graces = app.authkit.access_token(GRACE);
    for method in [Method::PUT, Method::PATCH] {
        app.bearer(&graces).send_json(method.clone(), &path, LUNCH).await.expect(404);
        app.bearer(&graces).send_json(method, "/expenses/x", LUNCH).await.expect(404);
    }
    assert_eq!(app.bearer(&app.authkit.access_token(ADA)).get(&path).await.json(), first);
    assert_eq!(app.kv.keys().len(), 1);
}

/// Thirty expenses, one a day from 2026-01-01 on, categories a, b, c in turn.
async fn thirty(app: &TestApp) {
    for day in 1..=30 {
        let category = ["a", "b", "c"][day % 3];
        let body = json!({
            "description": day.to_string(), "amount": day, "category": category,
            "date": format!("2026-01-{day:02}"), "currency": if day > 20 { "EUR" } else { "USD" },
        });
        create(app, ADA, &body.to_string()).await;
        app.clock.advance(Duration::milliseconds(5));
    }
}

/// The descriptions of all rows on all pages, in order.
async fn all_pages(app: &TestApp, first: &str) -> Vec<u64> {
    let token = app.authkit.access_token(ADA);
    let mut path = first.to_owned();
    let mut seen = Vec::new();
    for _ in 0..100 {
        let response = app.bearer(&token).get(&path).await.expect(200);
        let page = response.json();
        let descriptions = page.as_array().unwrap().iter().map(|row| row["description"].as_str());
        seen.extend(descriptions.map(|text| text.unwrap().parse::<u64>().unwrap()));
        let Some(link) = response.header("link").strip_suffix(">; rel=\"next\"") else {
            return seen;
        };
        path = link.strip_prefix('<').unwrap().to_owned();
    }
    panic!("the pages never end")
}

#[tokio::test]
async fn filters_apply_on_every_page() {
    let app = TestApp::new();
    thirty(&app).await;
    let every_third: Vec<u64> = (1..=30).rev().filter(|day| day % 3 == 1).collect();
    assert_eq!(all_pages(&app, "/expenses?category=b&limit=4").await, every_third);
    assert_eq!(
        all_pages(&app, "/expenses?from=2026-01-10&to=2026-01-12&limit=1").await,
        [12, 11, 10]
    );
    assert_eq!(
        all_pages(&app, "/expenses?from=2026-01-10&to=2026-01-20&category=a").await,
        [18, 15, 12]
    );
    assert_eq!(all_pages(&app, "/expenses?category=nothing").await, [0; 0]);
    assert_eq!(all_pages(&app, "/expenses?from=2026-01-12&to=2026-01-12").await, [12]);
}

#[tokio::test]
async fn inverted_date_range_is_422() {
    let app = TestApp::new();
    let token = app.authkit.access_token(ADA);
    let range = "from=2026-01-12&to=2026-01-10";
    for path in ["/expenses", "/expenses.csv", "/expenses/summary"] {
        let response = app.bearer(&token).get(&format!("{path}?{range}")).await.expect(422);
        let problem = json!({
            "type": "value_error",
            "loc": ["query", "to"],
            "msg": "Value error, to is earlier than from: give a later to, or an earlier from",
            "input": "2026-01-10",
        });
        assert_eq!(response.json(), json!({"detail": [problem]}), "{path}");
        // An invalid date is the only problem reported: the order of the range is not checked then.
        let response =
            app.bearer(&token).get(&format!("{path}?from=x&to=2026-01-10")).await.expect(422);
        assert_eq!(response.json()["detail"].as_array().unwrap().len(), 1, "{path}");
        app.bearer(&token).get(&format!("{path}?from=2026-01-10&to=2026-01-10")).await.expect(200);
    }
}

#[tokio::test]
async fn forged_or_foreign_cursor_is_422() {
    let app = TestApp::new();
    thirty(&app).await;
    let token = app.authkit.access_token(ADA);
    let page = app.bearer(&token).get("/expenses?limit=5").await.expect(200);
    let link = page.header("link");
    let path = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap();
    app.bearer(&token).get(path).await.expect(200);
    let graces = app.authkit.access_token(GRACE);
    for (token, path) in [
        (&graces, path),
        (&token, "/expenses?cursor=made-up"),
        (&token, "/expenses?cursor=expense%3Auser_ada%3A7"),
        (&token, &format!("{}A", &path[..path.len() - 8])),
        (&token, &format!("{path}&category=a")),
        (&token, &format!("{path}&from=2026-01-01")),
    ] {
        let response = app.bearer(token).get(path).await.expect(422);
        assert_eq!(response.json()["detail"][0]["loc"], json!(["query", "cursor"]), "{path}");
    }
}

#[tokio::test]
async fn csv_is_a_table_without_formulas() {
    let app = TestApp::new();
    let body = r#"{"description": "=1+1, \"x\"", "amount": 5, "category": "@a"}"#;
    let id = create(&app, ADA, body).await["id"].as_str().unwrap().to_owned();
    let request = request(Method::GET, "/expenses")
        .header(header::AUTHORIZATION, format!("Bearer {}", app.authkit.access_token(ADA)))
        .header(header::ACCEPT, "text/csv");
    let response = app.send(request.body("".into()).unwrap()).await.expect(200);
    assert!(response.header("content-type").starts_with("text/csv"));
    assert_eq!(response.header("content-disposition"), "attachment; filename=\"expenses.csv\"");
    assert_eq!(
        response.body,
        format!(
            "id,date,description,category,amount,currency,created_at,updated_at\r\n\
             {id},2026-11-23,\"'=1+1, \"\"x\"\"\",\"'@a\",5.00,\"USD\",2026-11-23T12:00:00Z,2026-11-23T12:00:00Z\r\n"
        )
    );
}

#[tokio::test]
async fn summary_totals_each_currency_by_category_and_month() {
    let app = TestApp::new();
    thirty(&app).await;
    let feb = r#"{"description": "x", "amount": 0.1, "category": "a", "date": "2026-02-01"}"#;
    create(&app, ADA, feb).await;
    create(&app, ADA, &feb.replace("0.1", "0.2")).await;
    let token = app.authkit.access_token(ADA);
    let response = app.bearer(&token).get("/expenses/summary").await.expect(200);
    let summary = response.json();
    assert_eq!(summary["currencies"][0]["currency"], "EUR");
    assert_eq!(summary["currencies"][0]["total"].to_string(), "255.00");
    assert_eq!(summary["currencies"][0]["count"], 10);
    let usd = &summary["currencies"][1];
    assert_eq!(usd["total"].to_string(), "210.30");
    assert_eq!(usd["count"], 22);
    assert_eq!(
        usd["by_month"].to_string(),
        r#"[{"month":"2026-02","total":0.30,"count":2},{"month":"2026-01","total":210.00,"count":20}]"#
    );
    let categories: Vec<_> =
        usd["by_category"].as_array().unwrap().iter().map(|row| row["category"].as_str()).collect();
    assert_eq!(categories, [Some("c"), Some("b"), Some("a")], "the largest first");

    let path = "/expenses/summary?from=2026-01-21&to=2026-01-22&currency=EUR";
    let summary = app.bearer(&token).get(path).await.expect(200).json();
    assert_eq!(summary["currencies"].as_array().unwrap().len(), 1);
    assert_eq!(summary["currencies"][0]["total"].to_string(), "43.00");
    app.bearer(&token).get("/expenses/summary?currency=eur&from=x").await.expect(422);
    let graces = app.authkit.access_token(GRACE);
    let summary = app.bearer(&graces).get("/expenses/summary").await.expect(200);
    assert_eq!(summary.body, r#"{"currencies":[]}"#);
}

#[tokio::test]
async fn ten_thousand_expenses_are_read_in_thousands() {
    let app = TestApp::new();
    for index in 0..10_000_u64 {
        let id = authkit_edge::expenses::model::ExpenseId::new(
            chrono::DateTime::from_timestamp_millis(1_700_000_000_000 + index as i64).unwrap(),
        );
        let record = format!(
            r#"{{"description":"{index}","amount":"0.01","currency":"USD","category":"c","date":"2026-01-01","created_at":0,"updated_at":0}}"#
        );
        let metadata = serde_json::from_str(&record).ok();
        app.kv.insert_raw(&format!("expense:user_ada:{id}"), &record, metadata);
    }
    app.kv.take_operations();
    let newest_first: Vec<u64> = (0..10_000).rev().collect();
    assert_eq!(all_pages(&app, "/expenses?limit=1000").await, newest_first);
    assert_eq!(app.kv.take_operations(), [KvOperation::List; 10]);
    let token = app.authkit.access_token(ADA);
    let summary = app.bearer(&token).get("/expenses/summary").await.expect(200).json();
    assert_eq!(summary["currencies"][0]["total"].to_string(), "100.00");
    assert_eq!(app.kv.take_operations(), [KvOperation::List; 10]);
}

/// The descriptions on every page, in order.
async fn descriptions(app: &TestApp, path: &str) -> Vec<String> {
    let mut path = path.to_owned();
    let mut found = Vec::new();
    loop {
        let page = app.bearer(&app.authkit.access_token(ADA)).get(&path).await.expect(200);
        let rows = page.json();
        let names = rows.as_array().unwrap().iter().map(|row| row["description"].as_str());
        found.extend(names.map(|name| name.unwrap().to_owned()));
        let link = page.header("link").to_owned();
        let Some(rest) = link.strip_prefix('<') else { return found };
        rest.split('>').next().unwrap().clone_into(&mut path);
    }
}

#[tokio::test]
async fn list_by_date_has_the_newest_day_first() {
    let app = TestApp::new();
    let token = app.authkit.access_token(ADA);
    for (description, date) in [
        ("b", "2026-11-20"),
        ("d", "2025-01-31"),
        ("a", "2026-11-23"),
        ("c", "2025-02-01"),
        ("b again", "2026-11-20"),
    ] {
        let body = json!({"description": description, "amount": 1, "date": date});
        app.bearer(&token).post("/expenses", body.to_string()).await.expect(201);
        app.clock.advance(Duration::seconds(1));
    }
    let by_date = ["a", "b again", "b", "c", "d"];
    assert_eq!(descriptions(&app, "/expenses").await, ["b again", "c", "a", "d", "b"]);
    assert_eq!(descriptions(&app, "/expenses?sort=created").await[0], "b again");
    for query in ["sort=date", "sort=date&limit=1", "limit=2&sort=date", "sort=created&sort=date"] {
        assert_eq!(descriptions(&app, &format!("/expenses?{query}")).await, by_date, "{query}");
    }
    let filtered = "/expenses?sort=date&limit=1&to=2026-11-20&from=2025-02-01";
    assert_eq!(descriptions(&app, filtered).await, ["b again", "b", "c"]);

    for path in ["/expenses.csv?sort=date", "/expenses?sort=date"] {
        let csv = request(Method::GET, path)
            .header(header::ACCEPT, "text/csv")
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .body(Body::empty());
        let csv = app.send(csv.unwrap()).await.expect(200).body;
        let names: Vec<&str> =
            csv.lines().skip(1).map(|line| line.split('"').nth(1).unwrap()).collect();
        assert_eq!(names, by_date, "{path}");
    }
    let mut arguments = json!({"sort": "date", "limit": 3});
    let first = mcp::output(&app, "list_expenses", arguments.clone()).await;
    assert_eq!(first["expenses"][2]["description"], "b");
    arguments["cursor"] = first["next_cursor"].clone();
    let second = mcp::output(&app, "list_expenses", arguments.clone()).await;
    assert_eq!(second["expenses"][0]["description"], "c");
    arguments["sort"] = json!("created");
    let complaint = mcp::complaint(&app, "list_expenses", arguments).await;
    assert!(complaint.contains("the same other arguments"), "{complaint}");

    let refused = app.bearer(&token).get("/expenses?sort=amount").await.expect(422);
    assert_eq!(
        refused.json()["detail"],
        json!([{
            "type": "literal_error", "loc": ["query", "sort"], "input": "amount",
            "msg": "Input should be 'date' or 'created'",
            "ctx": {"expected": "'date' or 'created'"},
        }])
    );
}

#[tokio::test]
async fn cursor_of_one_order_is_refused_in_the_other() {
    let app = TestApp::new();
    let token = app.authkit.access_token(ADA);
    for _ in 0..2 {
        let body = json!({"description": "x", "amount": 1}).to_string();
        app.bearer(&token).post("/expenses", body).await.expect(201);
    }
    for [sort, other] in [["date", "created"], ["created", "date"]] {
        let path = format!("/expenses?limit=1&sort={sort}");
        let page = app.bearer(&token).get(&path).await.expect(200);
        let link = page.header("link").to_owned();
        let next = link[1..].split('>').next().unwrap();
        app.bearer(&token).get(next).await.expect(200);
        let foreign = next.replace(&format!("sort={sort}"), &format!("sort={other}"));
        let refused = app.bearer(&token).get(&foreign).await.expect(422);
        assert_eq!(refused.json()["detail"][0]["loc"], json!(["query", "cursor"]));
    }
}
