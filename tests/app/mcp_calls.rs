//! `tools/call`: the tools' results, and the errors that a model reads.

use authkit_edge::mcp::tool;
use http::HeaderMap;
use serde_json::{Value, json};

use crate::support::{
    ADA, Client, GRACE, KvOperation, TestApp,
    app::{ORIGIN, TestResponse},
    authkit::TestUser,
    connect::{self, sign},
    logs,
    mcp::{call, complaint, modern, modern_headers, output, post, rpc},
};

fn lunch() -> Value {
    json!({"description": "Team lunch", "amount": 42.5, "category": "meals", "date": "2026-11-23"})
}

#[tokio::test]
async fn agents_changes_appear_in_the_users_list() {
    let app = TestApp::new();
    let added = output(&app, "add_expense", lunch()).await;
    assert_eq!(json!(app.expenses_of(ADA).await), json!([added]));
    assert_eq!(app.expenses_of(GRACE).await, [Value::Null; 0]);
    // Amounts are exact here too.
    assert_eq!(added["amount"].to_string(), "42.50");

    let listed = output(&app, "list_expenses", json!({})).await;
    assert_eq!(listed, json!({"expenses": [added], "next_cursor": null}));
    let id = &added["id"];
    let changed =
        output(&app, "update_expense", json!({"id": id, "amount": "43", "category": null}));
    let changed = changed.await;
    assert_eq!(
        (changed["amount"].to_string(), &changed["category"]),
        ("43.00".into(), &json!("other"))
    );
    assert_eq!((&changed["id"], &changed["date"]), (id, &json!("2026-11-23")));
    assert_eq!(app.expenses_of(ADA).await, [changed]);

    let token = app.authkit.access_token(ADA);
    let summary = app.bearer(&token).get("/expenses/summary").await.expect(200).json();
    assert_eq!(output(&app, "summarize_expenses", json!({})).await, summary);
    let deleted = output(&app, "delete_expense", json!({"id": id})).await;
    assert_eq!(deleted, json!({"id": id, "deleted": true}));
    assert_eq!(app.expenses_of(ADA).await, [Value::Null; 0]);
    assert_eq!(output(&app, "summarize_expenses", json!({})).await, json!({"currencies": []}));
}

#[tokio::test]
async fn result_repeats_its_output_as_text() {
    let app = TestApp::new();
    let result = call(&app, "add_expense", lunch()).await;
    let content = result["content"].as_array().unwrap();
    assert_eq!((content.len(), &content[0]["type"]), (1, &json!("text")));
    let text: Value = serde_json::from_str(content[0]["text"].as_str().unwrap()).unwrap();
    assert_eq!(text, result["structuredContent"]);

    let params = json!({"name": "list_expenses", "arguments": {}});
    let headers = modern_headers("tools/call", Some("list_expenses"));
    let response = post(&app, &headers, modern("tools/call", params).to_string()).await.expect(200);
    let result = response.json()["result"].clone();
    assert_eq!(result["resultType"], "complete");
    assert_eq!(result["structuredContent"]["expenses"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn outputs_match_their_schemas() {
    let app = TestApp::new();
    let id = output(&app, "add_expense", lunch()).await["id"].clone();
    for tool in tool::list().as_array().unwrap() {
        let arguments = match tool["name"].as_str().unwrap() {
            "add_expense" => lunch(),
            "update_expense" => json!({"id": id, "amount": 1}),
            "delete_expense" => json!({"id": id}),
            _ => json!({}),
        };
        let output = output(&app, tool["name"].as_str().unwrap(), arguments).await;
        same_members(&tool["outputSchema"], &output);
    }
}

fn same_members(schema: &Value, value: &Value) {
    match value {
        Value::Object(members) => {
            let required = schema["required"].as_array().unwrap();
            assert_eq!(required.len(), members.len(), "{schema}: {value}");
            for (name, member) in members {
                assert!(required.contains(&json!(name)), "{name}: {schema}");
                same_members(&schema["properties"][name], member);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| same_members(&schema["items"], item)),
        _ => assert!(!schema["type"].is_null(), "{schema}"),
    }
}

#[tokio::test]
async fn list_continues_at_the_next_cursor() {
    let app = TestApp::new();
    for day in 1..=5 {
        app.clock.advance(chrono::Duration::seconds(1));
        let date = format!("2026-11-0{day}");
        let expense = json!({"description": "x", "amount": day, "date": date});
        output(&app, "add_expense", expense).await;
    }
    let mut arguments = json!({"limit": 2, "from": "2026-11-02", "category": "other"});
    let mut days = Vec::new();
    loop {
        let page = output(&app, "list_expenses", arguments.clone()).await;
        for expense in page["expenses"].as_array().unwrap() {
            days.push(expense["date"].as_str().unwrap().to_owned());
        }
        if page["next_cursor"].is_null() {
            break;
        }
        arguments["cursor"] = page["next_cursor"].clone();
    }
    assert_eq!(days, ["2026-11-05", "2026-11-04", "2026-11-03", "2026-11-02"]);
    arguments["category"] = json!("meals");
    let told = complaint(&app, "list_expenses", arguments).await;
    assert!(told.contains("\n- cursor: not one of this list; give the next_cursor"), "{told}");
    let currency = json!({"currency": "EUR", "to": "2026-11-30"});
    assert_eq!(output(&app, "summarize_expenses", currency).await, json!({"currencies": []}));
}

#[tokio::test]
async fn null_argument_counts_as_absent_except_in_updates() {
    let app = TestApp::new();
    let mut arguments = lunch();
    for name in ["currency", "idempotency_key"] {
        arguments[name] = Value::Null;
    }
    let added = output(&app, "add_expense", arguments).await;
    assert_eq!(added["currency"], "USD");
    let arguments = json!({"limit": 5, "category": null, "from": null, "to": null});
    let page = output(&app, "list_expenses", arguments.clone()).await;
    assert_eq!(page["expenses"], json!([added]));
    // The last page's `next_cursor` (null) leads to the first page, not to an error.
    let arguments = json!({"cursor": page["next_cursor"]});
    assert_eq!(output(&app, "list_expenses", arguments).await, page);
    let arguments = json!({"from": null, "to": null, "currency": null});
    let sums = output(&app, "summarize_expenses", arguments).await;
    assert_eq!(sums["currencies"][0]["count"], 1);

    let wrong = complaint(&app, "add_expense", json!({"description": null, "amount": 1})).await;
    assert!(wrong.contains("- description: Field required"), "{wrong}");
    let wrong = complaint(&app, "list_expenses", json!({"colour": null})).await;
    assert!(wrong.contains("- colour: Extra inputs are not permitted"), "{wrong}");
}

#[tokio::test]
async fn tools_accept_earlier_arguments_that_schemas_omit() {
    let app = TestApp::new();
    let id = output(&app, "add_expense", lunch()).await["id"].clone();
    let with = |mut arguments: Value, name: &str, value: Value| {
        arguments[name] = value;
        arguments
    };
    let of_id = json!({"id": id});
    let taken = [
        ("add_expense", "amount", vec![json!(0.01), json!(9_999_999_999.99), json!("42.50")]),
        ("add_expense", "currency", vec![json!("EUR"), Value::Null]),
        ("add_expense", "category", vec![json!("é".repeat(50)), Value::Null]),
        ("add_expense", "date", vec![json!("2026-11-23"), json!("2026-11-23T00:00:00Z")]),
        ("add_expense", "idempotency_key", vec![json!(" ~"), json!("k".repeat(255))]),
        ("update_expense", "amount", vec![json!(1), json!("2.5")]),
        ("update_expense", "currency", vec![json!("EUR"), Value::Null]),
        ("update_expense", "category", vec![json!("x"), Value::Null]),
        ("update_expense", "date", vec![json!("2026-11-23"), Value::Null]),
        ("list_expenses", "limit", vec![json!(1), json!(1000), json!("5")]),
    ];
    let refused = [
        ("add_expense", "amount", vec![json!(0), json!(10_000_000_000_u64), json!(1.005)]),
        ("add_expense", "currency", vec![json!("usd"), json!("EURO"), json!("")]),
        ("add_expense", "category", vec![json!("é".repeat(51)), json!(" ")]),
        ("add_expense", "date", vec![json!("23.11.2026"), json!("2026-02-30")]),
        ("add_expense", "idempotency_key", vec![json!("é"), json!(""), json!("k".repeat(256))]),
        ("update_expense", "amount", vec![json!(0), Value::Null]),
        ("update_expense", "description", vec![json!(""), json!("x".repeat(201)), Value::Null]),
        ("list_expenses", "limit", vec![json!(0), json!(1001)]),
        ("delete_expense", "id", vec![json!("7YTQKYCKQZ8PXVQ6R2M0F5N3J"), json!("ü")]),
    ];
    let arguments = |tool: &str| match tool {
        "add_expense" => lunch(),
        "list_expenses" => json!({}),
        _ => of_id.clone(),
    };
    for (tool, name, values) in taken {
        for value in values {
            output(&app, tool, with(arguments(tool), name, value)).await;
        }
    }
    for (tool, name, values) in refused {
        for value in values {
            let told = complaint(&app, tool, with(arguments(tool), name, value.clone())).await;
            assert!(told.contains(&format!("\n- {name}: ")), "{tool} {name} {value}: {told}");
        }
    }
}

#[tokio::test]
async fn update_with_only_an_id_names_missing_fields() {
    let app = TestApp::new();
    let added = output(&app, "add_expense", lunch()).await;
    app.kv.take_operations();
    for id in [&added["id"], &json!("7YTQKYCKQZ8PXVQ6R2M0F5N3JA")] {
        let told = complaint(&app, "update_expense", json!({"id": id})).await;
        assert!(told.starts_with("Nothing was changed"), "{told}");
        for name in ["description", "amount", "currency", "category", "date"] {
            assert!(told.contains(name), "{name}: {told}");
        }
    }
    assert_eq!(app.kv.take_operations(), []);
    assert_eq!(app.expenses_of(ADA).await, [added]);
}

#[tokio::test]
async fn update_reports_every_problem_and_the_ids() {
    let app = TestApp::new();
    let wrong = complaint(&app, "update_expense", json!({"id": "x", "amount": 0, "z": 1})).await;
    for name in ["id", "amount", "z"] {
        assert!(wrong.contains(&format!("\n- {name}: ")), "{name}: {wrong}");
    }
    let wrong = complaint(&app, "delete_expense", json!({"z": 1})).await;
    for name in ["id", "z"] {
        assert!(wrong.contains(&format!("\n- {name}: ")), "{name}: {wrong}");
    }
}

#[tokio::test]
async fn argument_errors_have_a_line_each_with_allowed_values() {
    let app = TestApp::new();
    let wrong = json!({"amount": -5, "currency": "usd", "date": "soon", "note": "?", "idempotency_key": ""});
    let told = complaint(&app, "add_expense", wrong).await;
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 7, "{told}");
    assert_eq!(lines[0], "The arguments are not valid, and nothing was done:");
    for (line, start, allowed) in [
        (
            1,
            "- idempotency_key: String should have at least 1 character; got \"\"; ",
            "1 to 255 characters",
        ),
        (2, "- description: Field required; ", "1 to 200 characters"),
        (3, "- amount: Input should be greater than 0; got -5; ", "at most 12 digits"),
        (4, "- currency: String should match pattern '^[A-Z]{3}$'; got \"usd\"; ", "ISO 4217"),
        (5, "- date: ", "YYYY-MM-DD"),
        (
            6,
            "- note: Extra inputs are not permitted; got \"?\"; ",
            "the arguments are amount, category",
        ),
    ] {
        assert!(lines[line].starts_with(start) && lines[line].contains(allowed), "{}", lines[line]);
    }
    for (tool, arguments, told) in [
        (
            "list_expenses",
            json!({"limit": 0}),
            "- limit: Input should be greater than or equal to 1; got ",
        ),
        (
            "list_expenses",
            json!({"limit": 1001}),
            "- limit: Input should be less than or equal to 1000",
        ),
        ("list_expenses", json!({"limit": 1.5}), "- limit: Input should be a valid integer"),
        ("list_expenses", json!({"limit": true}), "- limit: Input should be a valid string"),
        ("list_expenses", json!({"from": "x", "to": 0.5}), "- to: "),
        (
            "list_expenses",
            json!({"from": "2026-01-12", "to": "2026-01-10"}),
            "- to: Value error, to is earlier than from: give a later to, or an earlier from; got ",
        ),
        (
            "summarize_expenses",
            json!({"from": "2026-01-12", "to": "2026-01-10"}),
            "- to: Value error, to is earlier than from",
        ),
        ("list_expenses", json!({"user": "grace"}), "- user: Extra inputs are not permitted"),
        ("summarize_expenses", json!({"category": "x"}), "- category: Extra inputs"),
        ("update_expense", json!({}), "- id: Field required; allowed is {"),
        ("update_expense", json!({"id": "1", "amount": 1}), "- id: Value error, not an expense id"),
        ("delete_expense", json!({"id": 1}), "- id: Input should be a valid string; got 1"),
        (
            "delete_expense",
            json!({"id": "7YTQKYCKQZ8PXVQ6R2M0F5N3JA", "all": true}),
            "- all: Extra",
        ),
    ] {
        let text = complaint(&app, tool, arguments.clone()).await;
        assert!(text.contains(told), "{tool} {arguments}: {text}");
    }
    // The repeated part of a value is limited.
    let long =
        complaint(&app, "add_expense", json!({"description": "x".repeat(5000), "amount": 1}));
    assert!(long.await.len() < 700);
    assert_eq!(app.expenses_of(ADA).await, [Value::Null; 0]);
}

#[tokio::test]
async fn missing_and_foreign_expenses_get_the_same_error() {
    let app = TestApp::new();
    let body = json!({"description": "x", "amount": 1}).to_string();
    let graces = app.bearer(&app.authkit.access_token(GRACE)).post("/expenses", body).await.json();
    let id = graces["id"].as_str().unwrap();
    for id in [id, "7YTQKYCKQZ8PXVQ6R2M0F5N3JA"] {
        let expected =
            format!("There is no expense {id}. It may have been deleted: look with list_expenses");
        for (tool, arguments) in [
            ("update_expense", json!({"id": id, "amount": 1})),
            ("delete_expense", json!({"id": id})),
        ] {
            assert_eq!(complaint(&app, tool, arguments).await, expected);
        }
    }
    assert_eq!(app.expenses_of(GRACE).await, [graces]);
}

#[tokio::test]
async fn malformed_call_is_a_protocol_error() {
    let app = TestApp::new();
    for (params, message) in [
        (json!({"name": "drop_table", "arguments": {}}), "Unknown tool: drop_table"),
        (json!({"name": "List_Expenses"}), "Unknown tool: List_Expenses"),
        (json!({"arguments": {}}), "Invalid params: the tool's name is missing"),
        (json!({"name": 1}), "Invalid params: the tool's name is missing"),
        (
            json!({"name": "list_expenses", "arguments": []}),
            "Invalid params: arguments must be an object",
        ),
    ] {
        let message_sent =
            json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
        let response = rpc(&app, &message_sent).await.expect(200).json();
        assert_eq!(response["error"], json!({"code": -32602, "message": message}));
        assert!(response.get("result").is_none());
    }
    let without = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "list_expenses"}});
    assert!(
        rpc(&app, &without).await.expect(200).json()["result"]["structuredContent"].is_object()
    );
}

#[tokio::test]
async fn add_expense_with_a_key_is_repeatable() {
    let app = TestApp::new();
    let mut keyed = lunch();
    keyed["idempotency_key"] = json!("k 1");
    let first = output(&app, "add_expense", keyed.clone()).await;
    app.clock.advance(chrono::Duration::minutes(5));
    assert_eq!(output(&app, "add_expense", keyed.clone()).await, first);
    // The API's header names the same attempt.
    let body =
        r#"{"date":"2026-11-23","description":"Team lunch","amount":42.5,"category":"meals"}"#;
    assert_eq!(app.create_with_key(ADA, "k 1", body).await.expect(201).json(), first);
    assert_eq!(app.expenses_of(ADA).await.len(), 1);

    keyed["amount"] = json!(43);
    let told = complaint(&app, "add_expense", keyed).await;
    assert!(told.starts_with("This idempotency_key was used with other arguments"), "{told}");
    assert_eq!(app.expenses_of(ADA).await.len(), 1);
    // Without a key, each call adds an expense.
    output(&app, "add_expense", lunch()).await;
    output(&app, "add_expense", lunch()).await;
    assert_eq!(app.expenses_of(ADA).await.len(), 3);
}

#[tokio::test]
async fn outage_is_a_tool_error_with_advice() {
    let app = TestApp::new();
    let id = app.store_expense(ADA, "Lunch");
    let mut keyed = lunch();
    keyed["idempotency_key"] = json!("k");
    let unknown = "so nothing can be said about them: try again in a moment";
    let nothing = "and nothing was saved: try again in a moment";
    let maybe = "may or may not have been saved: try again in a moment";
    let change = json!({"id": id, "amount": 1});
    let id = json!({"id": id});
    for (tool, operation, arguments, told) in [
        ("list_expenses", Some(KvOperation::List), json!({}), unknown),
        ("summarize_expenses", Some(KvOperation::List), json!({}), unknown),
        ("update_expense", Some(KvOperation::Get), change.clone(), nothing),
        ("update_expense", None, change, maybe),
        ("delete_expense", Some(KvOperation::Get), id.clone(), nothing),
        ("delete_expense", None, id, maybe),
        ("add_expense", None, lunch(), "saved: look with list_expenses before you add it again"),
        ("add_expense", None, keyed.clone(), "with the same idempotency_key and arguments"),
    ] {
        app.kv.fail(operation);
        app.ledgers.set_unreachable(operation.is_none());
        let (text, logged) = (complaint(&app, tool, arguments).await, logs::take());
        app.kv.fail(None);
        app.ledgers.set_unreachable(false);
        assert!(text.starts_with("Expenses cannot be reached right now"), "{tool}: {text}");
        assert!(text.contains(told), "{tool} {operation:?}: {text}");
        let line = format!(r#""event":"tool_failed","request":"ray-of-the-test","tool":"{tool}""#);
        assert!(logged.iter().any(|logged| logged.contains(&line)), "{logged:?}");
    }
    output(&app, "add_expense", keyed).await;
    assert_eq!(app.expenses_of(ADA).await.len(), 2);
}

fn missing_scope(response: &TestResponse, scope: &str) {
    assert_eq!(response.status, 403, "{response:?}");
    assert_eq!(
        response.header("www-authenticate"),
        format!(
            "Bearer error=\"insufficient_scope\", scope=\"{scope}\", \
             error_description=\"the token lacks the scope {scope}\", \
             resource_metadata=\"{ORIGIN}/.well-known/oauth-protected-resource/mcp\""
        )
    );
}

#[tokio::test]
async fn scoped_token_needs_the_scope_of_the_tool() {
    let app = connect::app();
    let call = async |token: &str, tool: &str, arguments: Value| {
        let params = json!({"name": tool, "arguments": arguments});
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
        app.bearer(token).post("/mcp", body.to_string()).await
    };
    let limited = |user: TestUser, scope: &str| {
        let mut claims = app.authkit.connect.claims(user);
        claims["scope"] = json!(scope);
        sign(&claims)
    };
    for (token, reads, writes) in [
        (app.authkit.connect.machine_token(""), false, false),
        (app.authkit.connect.machine_token("expenses:read"), true, false),
        (app.authkit.connect.machine_token("expenses:write"), false, true),
        (limited(ADA, "openid expenses:read"), true, false),
        (limited(ADA, "openid"), true, true),
        (app.authkit.access_token(ADA), true, true),
    ] {
        for (tool, scope, is_allowed) in [
            ("list_expenses", "expenses:read", reads),
            ("summarize_expenses", "expenses:read", reads),
            ("add_expense", "expenses:write", writes),
            ("update_expense", "expenses:write", writes),
            ("delete_expense", "expenses:write", writes),
        ] {
            // The scope is checked before the arguments.
            let response = call(&token, tool, json!({"x": 1})).await;
            if is_allowed {
                assert_eq!(response.expect(200).json()["result"]["isError"], json!(true));
            } else {
                missing_scope(&response, scope);
            }
        }
        // Listing the tools needs no scope.
        let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).to_string();
        app.bearer(&token).post("/mcp", list).await.expect(200);
    }
    assert_eq!(app.expenses_of(ADA).await, [Value::Null; 0]);
}

#[tokio::test]
async fn deeply_nested_message_is_a_parse_error() {
    let app = TestApp::new();
    let nested = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let body = format!(
        r#"{{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {{"name": "add_expense", "arguments": {{"description": {nested}}}}}}}"#
    );
    assert_eq!(
        post(&app, &HeaderMap::new(), body).await.expect(400).json()["error"]["code"],
        -32700
    );
}
