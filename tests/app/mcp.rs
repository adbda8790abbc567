//! `POST /mcp`: transport and protocol. [`crate::mcp_calls`] tests the tools.

use axum::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde_json::{Value, json};

use crate::support::{
    ADA, Client, TestApp,
    app::{ORIGIN, TestResponse, request},
    connect,
    mcp::{NEWEST, modern, modern_headers, post, rpc},
};

/// The supported revisions, as clients see them.
const REVISIONS: [&str; 5] = ["2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

/// A message as a client of an older revision sends it.
fn message(method: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": method})
}

fn code(response: &TestResponse) -> i64 {
    response.json()["error"]["code"].as_i64().unwrap_or_else(|| panic!("{response:?}"))
}

async fn initialize(app: &TestApp, version: &str) -> Value {
    let params = json!({
        "protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"},
    });
    let message = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params});
    let response = rpc(app, &message).await.expect(200);
    assert_eq!(response.header("content-type"), "application/json");
    assert_eq!(response.header("mcp-session-id"), "");
    let response = response.json();
    assert_eq!((&response["jsonrpc"], &response["id"]), (&json!("2.0"), &json!(0)));
    response["result"].clone()
}

#[tokio::test]
async fn initialize_selects_the_requested_or_newest_revision() {
    let app = TestApp::new();
    for (asked, told) in [
        ("2024-11-05", "2024-11-05"),
        ("2025-03-26", "2025-03-26"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("2024-10-07", "2025-11-25"),
        ("2026-07-28", "2025-11-25"),
        ("2099-01-01", "2025-11-25"),
        ("", "2025-11-25"),
    ] {
        let result = initialize(&app, asked).await;
        assert_eq!(result["protocolVersion"], told, "{asked}");
        assert_eq!(result["capabilities"], json!({"tools": {}}));
        assert_eq!(result["serverInfo"]["name"], "authkit-edge");
        assert!(result.get("resultType").is_none(), "{result}");
    }
    let without = rpc(&app, &message("initialize")).await.expect(200);
    assert_eq!(code(&without), -32602);
}

#[tokio::test]
async fn ping_response_repeats_the_id() {
    let app = TestApp::new();
    for id in [json!(0), json!(-7), json!("a"), json!(""), json!(u64::MAX)] {
        let response = rpc(&app, &json!({"jsonrpc": "2.0", "id": id, "method": "ping"})).await;
        assert_eq!(response.expect(200).json(), json!({"jsonrpc": "2.0", "id": id, "result": {}}));
    }
}

#[tokio::test]
async fn whole_number_id_keeps_its_digits() {
    let app = TestApp::new();
    for id in [
        "1.0",
        "-7.00",
        "1e+3",
        "0",
        "99999999999999999999",
        "-0.0",
        "0e-300",
        "1.50e+1",
        "120e-1",
        "-1e+308",
    ] {
        let body = format!(r#"{{"jsonrpc": "2.0", "id": {id}, "method": "ping"}}"#);
        let response = post(&app, &HeaderMap::new(), body).await.expect(200);
        assert!(response.body.contains(&format!("\"id\":{id},")), "{id}: {}", response.body);
    }
}

#[tokio::test]
async fn fractional_or_huge_number_id_is_refused() {
    let app = TestApp::new();
    for id in
        ["1.5", "-0.01", "1e-1", "15e-2", "1.25e1", "1e309", "1e-99999999999", "1e99999999999"]
    {
        let body = format!(r#"{{"jsonrpc": "2.0", "id": {id}, "method": "ping"}}"#);
        let response = post(&app, &HeaderMap::new(), body).await.expect(400);
        assert_eq!(response.json()["error"]["code"], -32600, "{id}");
    }
}

#[tokio::test]
async fn null_params_count_as_absent() {
    let app = TestApp::new();
    for (method, status) in [("ping", 200), ("tools/list", 200), ("notifications/initialized", 202)]
    {
        let mut message = json!({"jsonrpc": "2.0", "method": method, "params": null});
        if status == 200 {
            message["id"] = json!(1);
        }
        let response = rpc(&app, &message).await.expect(status);
        assert!(!response.body.contains("\"error\""), "{}", response.body);
    }
}

#[tokio::test]
async fn notification_is_202_without_a_body() {
    let app = TestApp::new();
    for method in ["notifications/initialized", "notifications/cancelled", "tools/call"] {
        let response = rpc(&app, &json!({"jsonrpc": "2.0", "method": method})).await.expect(202);
        assert_eq!(response.body, "");
    }
}

#[tokio::test]
async fn invalid_message_is_400_with_its_id_where_readable() {
    let app = TestApp::new();
    let ping = r#"{"jsonrpc": "2.0", "id": 1, "method": "ping"}"#;
    for (body, code, id) in [
        ("", -32700, Value::Null),
        ("{", -32700, Value::Null),
        (&"[".repeat(1000), -32700, Value::Null),
        ("1", -32600, Value::Null),
        ("null", -32600, Value::Null),
        ("{}", -32600, Value::Null),
        ("[]", -32600, Value::Null),
        (&format!("[{}]", [ping; 11].join(",")), -32600, Value::Null),
        (r#"{"jsonrpc": "1.0", "id": 5, "method": "ping"}"#, -32600, json!(5)),
        (r#"{"id": 5, "method": "ping"}"#, -32600, json!(5)),
        (r#"{"jsonrpc": "2.0", "id": 5, "method": 1}"#, -32600, json!(5)),
        (r#"{"jsonrpc": "2.0", "id": 5, "result": {}}"#, -32600, json!(5)),
        (r#"{"jsonrpc": "2.0", "id": null, "method": "ping"}"#, -32600, Value::Null),
        // A notification has no other response than its status.
        (
            r#"{"jsonrpc": "2.0", "method": "notifications/cancelled", "params": []}"#,
            -32602,
            Value::Null,
        ),
        (r#"{"jsonrpc": "2.0", "id": 1.5, "method": "ping"}"#, -32600, Value::Null),
        (r#"{"jsonrpc": "2.0", "id": {}, "method": "ping"}"#, -32600, Value::Null),
    ] {
        let response = post(&app, &HeaderMap::new(), body.to_owned()).await;
        assert_eq!((response.status.as_u16(), self::code(&response)), (400, code), "{body}");
        assert_eq!(response.json()["jsonrpc"], "2.0");
        // Absent where it is not known, never null.
        assert_eq!(response.json().get("id").cloned().unwrap_or_default(), id, "{body}");
        assert!(!response.body.contains("\"id\":null"), "{}", response.body);
    }
    let params = json!({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": [1]});
    assert_eq!(code(&rpc(&app, &params).await.expect(200)), -32602);
}

#[tokio::test]
async fn unknown_method_error_follows_the_revision() {
    let app = TestApp::new();
    // These results lack the other revision's members.
    for method in ["resources/list", "server/discover", "x"] {
        assert_eq!(code(&rpc(&app, &message(method)).await.expect(200)), -32601, "{method}");
    }
    for method in ["resources/list", "initialize", "ping", "logging/setLevel"] {
        let message = modern(method, json!({}));
        let response = post(&app, &modern_headers(method, None), message.to_string()).await;
        assert_eq!(
            (code(&response.clone().expect(404)), &response.json()["id"]),
            (-32601, &json!(1))
        );
    }
}

#[tokio::test]
async fn transport_checks_media_types_and_body_size() {
    let app = TestApp::new();
    let ping = message("ping").to_string();
    let padded = |size: usize| format!("{ping}{}", " ".repeat(size - ping.len()));
    post(&app, &HeaderMap::new(), padded(64 * 1024)).await.expect(200);
    post(&app, &HeaderMap::new(), padded(64 * 1024 + 1)).await.expect(413);
    let with = |name, value| HeaderMap::from_iter([(name, HeaderValue::from_static(value))]);
    for content_type in ["text/plain", "application/x-www-form-urlencoded", ""] {
        post(&app, &with(header::CONTENT_TYPE, content_type), ping.clone()).await.expect(415);
    }
    for accept in ["application/json, text/event-stream", "application/*", "*/*;q=0.1"] {
        post(&app, &with(header::ACCEPT, accept), ping.clone()).await.expect(200);
    }
    for accept in
        ["text/event-stream", "image/*", "application/json;q=0", "*/*, application/json;q=0.0"]
    {
        post(&app, &with(header::ACCEPT, accept), ping.clone()).await.expect(406);
    }
}

#[tokio::test]
async fn methods_other_than_post_are_405() {
    let app = TestApp::new();
    for method in [Method::GET, Method::DELETE, Method::PUT, Method::OPTIONS] {
        let request = request(method.clone(), "/mcp").body(Body::empty()).unwrap();
        let response = app.send(request).await.expect(405);
        assert_eq!(response.header("allow"), "POST", "{method}");
    }
}

#[tokio::test]
async fn path_with_a_trailing_slash_works() {
    let app = connect::app();
    let metadata = format!("{ORIGIN}/.well-known/oauth-protected-resource/mcp");
    let body = message("tools/list").to_string();
    let token = app.authkit.connect.token(ADA);
    let tools = app.bearer(&token).post("/mcp", body.clone()).await.expect(200);
    assert_eq!(app.bearer(&token).post("/mcp/", body.clone()).await.expect(200).body, tools.body);
    let response = app.bearer("x").post("/mcp/", body).await.expect(401);
    let challenge = response.header("www-authenticate");
    assert!(challenge.ends_with(&format!("resource_metadata=\"{metadata}\"")), "{challenge}");
    let request = request(Method::GET, "/mcp/").body(Body::empty()).unwrap();
    assert_eq!(app.send(request).await.expect(405).header("allow"), "POST");
}

#[tokio::test]
async fn mcp_accepts_bearer_tokens_only() {
    let app = connect::app();
    let metadata = format!("{ORIGIN}/.well-known/oauth-protected-resource/mcp");
    let mut browser = app.signed_in(ADA).await;
    let response = browser.post("/mcp", message("ping").to_string()).await.expect(401);
    let challenge = format!("Bearer resource_metadata=\"{metadata}\"");
    assert_eq!(response.header("www-authenticate"), challenge);

    let body = message("ping").to_string();
    app.bearer(&app.authkit.connect.token(ADA)).post("/mcp", body.clone()).await.expect(200);
    app.bearer(&app.authkit.access_token(ADA)).post("/mcp", body.clone()).await.expect(200);
    let response = app.bearer("x").post("/mcp", body.clone()).await.expect(401);
    assert!(
        response.header("www-authenticate").contains("error=\"invalid_token\""),
        "{response:?}"
    );

    // The endpoint exists with Connect off too; its challenge then names no metadata.
    let app = TestApp::new();
    app.bearer(&app.authkit.access_token(ADA)).post("/mcp", body.clone()).await.expect(200);
    let response = app.bearer("x").post("/mcp", body).await.expect(401);
    assert!(!response.header("www-authenticate").contains("resource_metadata"), "{response:?}");
}

#[tokio::test]
async fn foreign_origin_is_refused_before_the_token_is_read() {
    let app = TestApp::new();
    let token = app.authkit.access_token(ADA);
    let send = async |url: &str, headers: &[(&str, &str)], token: &str| {
        let mut request = request(Method::POST, url)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, format!("Bearer {token}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        app.send(request.body(message("ping").to_string().into()).unwrap()).await.status.as_u16()
    };
    for headers in [
        &[("origin", ORIGIN)][..],
        &[("origin", ORIGIN), ("sec-fetch-site", "same-origin")],
        &[("sec-fetch-mode", "cors")],
    ] {
        assert_eq!(send("/mcp", headers, &token).await, 200, "{headers:?}");
    }
    for headers in [
        &[("origin", "https://evil.test")][..],
        &[("origin", "https://app.test.evil.test")],
        &[("origin", "http://app.test")],
        &[("origin", "null")],
        &[("origin", ORIGIN), ("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "cross-site")],
    ] {
        assert_eq!(send("/mcp", headers, &token).await, 403, "{headers:?}");
        assert_eq!(send("/mcp", headers, "x").await, 403, "{headers:?}");
    }
    // A page's own host name that resolves to this machine.
    let rebound = [("origin", "http://evil.test:8787")];
    assert_eq!(send("http://evil.test:8787/mcp", &rebound, &token).await, 403);
    let local = [("origin", "http://localhost:8787")];
    assert_eq!(send("http://localhost:8787/mcp", &local, &token).await, 200);
    // Plain http is accepted on localhost only.
    assert_eq!(send("http://evil.test:8787/mcp", &[], &token).await, 403);
}

fn in_revision(version: &str) -> HeaderMap {
    let value = HeaderValue::from_bytes(version.as_bytes()).unwrap();
    HeaderMap::from_iter([(HeaderName::from_static("mcp-protocol-version"), value)])
}

#[tokio::test]
async fn unknown_revision_header_is_ignored() {
    let app = TestApp::new();
    let known = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];
    for version in known.into_iter().chain(["2099-01-01", "2024-10-07", "x", "", "é"]) {
        let headers = in_revision(version);
        for method in ["ping", "tools/list"] {
            post(&app, &headers, message(method).to_string()).await.expect(200);
        }
        let notification = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        post(&app, &headers, notification.to_string()).await.expect(202);
        let params = json!({"protocolVersion": version});
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params});
        let response = post(&app, &headers, body.to_string()).await.expect(200).json();
        let expected = if known.contains(&version) { version } else { "2025-11-25" };
        assert_eq!(response["result"]["protocolVersion"], expected, "{version}");
    }
    // Some clients omit the header, and some proxies repeat it.
    post(&app, &HeaderMap::new(), message("ping").to_string()).await.expect(200);
    let mut twice = in_revision("2025-06-18");
    twice.append("mcp-protocol-version", HeaderValue::from_static("2025-06-18"));
    post(&app, &twice, message("ping").to_string()).await.expect(200);
    // `initialize` may name any revision.
    let params = json!({"protocolVersion": NEWEST});
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params});
    let response = post(&app, &in_revision(NEWEST), body.to_string()).await.expect(200);
    assert_eq!(response.json()["result"]["protocolVersion"], "2025-11-25");
}

#[tokio::test]
async fn stateless_request_of_unknown_revision_gets_known_ones() {
    let app = TestApp::new();
    for version in ["2099-01-01", "x", ""] {
        let mut message = modern("tools/list", json!({}));
        let name = "io.modelcontextprotocol/protocolVersion";
        message["params"]["_meta"][name] = json!(version);
        let mut headers = modern_headers("tools/list", None);
        headers.extend(in_revision(version));
        let response = post(&app, &headers, message.to_string()).await.expect(400);
        assert_eq!(code(&response), -32022);
        let data = json!({"supported": REVISIONS, "requested": version});
        assert_eq!(response.json()["error"]["data"], data);
    }
}

#[tokio::test]
async fn batch_gets_a_response_per_request() {
    let app = TestApp::new();
    let add = |id: i32| {
        let arguments = json!({"description": format!("N{id}"), "amount": id});
        let params = json!({"name": "add_expense", "arguments": arguments});
        json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})
    };
    let notification = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    let unknown = json!({"jsonrpc": "2.0", "id": "a", "method": "x"});
    let handshake = json!({"jsonrpc": "2.0", "id": 3, "method": "initialize",
        "params": {"protocolVersion": "2025-03-26"}});
    let batch = json!([add(1), notification, unknown, 7, add(2), handshake]);
    for headers in [HeaderMap::new(), in_revision("2025-03-26"), in_revision("2024-11-05")] {
        let response = post(&app, &headers, batch.to_string()).await.expect(200).json();
        let responses = response.as_array().unwrap();
        let ids: Vec<&Value> = responses.iter().map(|response| &response["id"]).collect();
        assert_eq!(ids, [&json!(1), &json!("a"), &Value::Null, &json!(2), &json!(3)]);
        let codes: Vec<i64> =
            responses.iter().filter_map(|response| response["error"]["code"].as_i64()).collect();
        assert_eq!(codes, [-32601, -32600, -32600]);
        assert!(responses[2].get("id").is_none(), "{response}");
        assert_eq!(responses[3]["result"]["structuredContent"]["description"], "N2");
    }
    assert_eq!(app.expenses_of(ADA).await.len(), 6);
    // A batch of notifications gets no body.
    let silent = post(&app, &HeaderMap::new(), json!([notification]).to_string()).await;
    assert_eq!(silent.expect(202).body, "");
    // Later revisions have no batches.
    for version in ["2025-06-18", "2025-11-25", "2026-07-28"] {
        let response = post(&app, &in_revision(version), batch.to_string()).await.expect(400);
        assert_eq!(code(&response), -32600, "{version}");
    }
    assert_eq!(app.expenses_of(ADA).await.len(), 6);
}

#[tokio::test]
async fn batch_stops_at_a_long_reply() {
    let app = TestApp::new();
    for number in 0..1_000 {
        let record = json!({
            "description": "\u{1}".repeat(200), "amount": "1.00", "currency": "USD", "category": "c",
            "date": "2026-11-23", "created_at": 0, "updated_at": 0,
        });
        let key = format!("expense:{}:7YBQTSVWGKVQGMH7Y9{number:08}", ADA.id);
        app.kv.insert_raw(&key, &record.to_string(), Some(record));
    }
    let list = |id: i32| {
        let params = json!({"name": "list_expenses", "arguments": {"limit": 1000}});
        json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})
    };
    let batch: Vec<Value> = (1..=10).map(list).collect();
    let response = post(&app, &HeaderMap::new(), json!(batch).to_string()).await.expect(200);
    assert!(response.body.len() < 5_000_000, "{}", response.body.len());
    let responses = response.json();
    assert!(responses[0]["result"].is_object());
    for (index, refused) in responses.as_array().unwrap().iter().enumerate().skip(1) {
        assert_eq!(refused["id"], index + 1);
        assert_eq!(refused["error"]["code"], -32600);
    }
}

#[tokio::test]
async fn batch_reports_the_missing_scope() {
    let app = connect::app();
    let call = |id: i32, name: &str| {
        let params = json!({"name": name, "arguments": {"description": "x", "amount": 1}});
        json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})
    };
    let batch = json!([call(1, "add_expense"), message("ping")]).to_string();
    let token = app.authkit.connect.machine_token("expenses:read");
    let response = app.bearer(&token).post("/mcp", batch).await.expect(200).json();
    assert_eq!(response[0]["error"]["message"], "the token lacks the scope expenses:write");
    assert_eq!(response[1]["result"], json!({}));
}

#[tokio::test]
async fn newest_revision_needs_no_handshake() {
    let app = TestApp::new();
    let send = async |method: &str| {
        let body = modern(method, json!({})).to_string();
        let response = post(&app, &modern_headers(method, None), body).await.expect(200);
        let result = response.json()["result"].clone();
        assert_eq!(result["resultType"], "complete");
        let server = &result["_meta"]["io.modelcontextprotocol/serverInfo"];
        assert_eq!(server["name"], "authkit-edge");
        assert_eq!((&result["cacheScope"], &result["ttlMs"]), (&json!("public"), &json!(300_000)));
        result
    };
    let discovered = send("server/discover").await;
    assert_eq!(discovered["supportedVersions"], json!(REVISIONS));
    assert_eq!(discovered["capabilities"], json!({"tools": {}}));
    assert_eq!(send("tools/list").await["tools"].as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn newest_revision_headers_must_match_the_message() {
    let app = TestApp::new();
    let call = json!({"name": "list_expenses", "arguments": {}});
    let send = async |change: &dyn Fn(&mut HeaderMap)| {
        let mut headers = modern_headers("tools/call", Some("list_expenses"));
        change(&mut headers);
        post(&app, &headers, modern("tools/call", call.clone()).to_string()).await
    };
    send(&|_| {}).await.expect(200);
    let encoded = HeaderValue::from_static("=?base64?bGlzdF9leHBlbnNlcw==?=");
    send(&|headers| drop(headers.insert("mcp-name", encoded.clone()))).await.expect(200);
    for name in ["mcp-protocol-version", "mcp-method", "mcp-name"] {
        let missing = send(&|headers| drop(headers.remove(name))).await.expect(400);
        assert_eq!((code(&missing), &missing.json()["id"]), (-32020, &json!(1)), "{name}");
        for wrong in ["tools/list", "LIST_EXPENSES", "2025-11-25", "=?base64?bGlzdA==?=", "é"] {
            let wrong = HeaderValue::from_bytes(wrong.as_bytes()).unwrap();
            let response =
                send(&|headers| drop(headers.insert(name, wrong.clone()))).await.expect(400);
            assert_eq!(code(&response), -32020, "{name}: {wrong:?}");
        }
        let twice = send(&|headers| {
            let value = headers[name].clone();
            headers.append(name, value);
        })
        .await;
        assert_eq!(code(&twice.expect(400)), -32020, "{name}");
    }
}

#[tokio::test]
async fn newest_revision_requests_need_client_metadata() {
    let app = TestApp::new();
    for name in ["protocolVersion", "clientCapabilities"] {
        for wrong in [None, Some(json!(1))] {
            let mut message = modern("tools/list", json!({}));
            let meta = message["params"]["_meta"].as_object_mut().unwrap();
            let name = format!("io.modelcontextprotocol/{name}");
            match &wrong {
                None => drop(meta.remove(&name)),
                Some(wrong) => drop(meta.insert(name, wrong.clone())),
            }
            let headers = modern_headers("tools/list", None);
            let response = post(&app, &headers, message.to_string()).await.expect(400);
            assert_eq!((code(&response), &response.json()["id"]), (-32602, &json!(1)), "{wrong:?}");
        }
    }
}

#[tokio::test]
async fn home_page_names_the_mcp_endpoint() {
    assert_eq!(TestApp::new().anonymous().get("/").await.expect(200).json()["mcp"], "/mcp");
}
