//! Limits on the requests of one caller: 429 in every representation.

use std::sync::Arc;

use authkit_edge::rate_limits::CallerLimits;
use chrono::Duration;
use edge_host::memory::{MemoryHost, MemoryRateLimit};
use http::HeaderMap;
use serde_json::json;

use crate::support::{ADA, Client, GRACE, TestApp, api_keys, mcp};

/// An application that allows each caller this many requests in ten seconds, and fewer to `/mcp`.
fn limited(caller: usize, mcp: usize) -> TestApp {
    let app = TestApp::new();
    let limit = |calls| Arc::new(MemoryRateLimit::new(calls, 10, Arc::clone(&app.clock) as _));
    let host = MemoryHost::default()
        .with_rate_limit("CALLER_RATE_LIMIT", limit(caller))
        .with_rate_limit("MCP_RATE_LIMIT", limit(mcp));
    TestApp { limits: CallerLimits::bound(&host), ..app }.isolate()
}

#[tokio::test]
async fn api_refuses_a_caller_beyond_the_limit() {
    let app = limited(2, 1);
    let ada = app.authkit.access_token(ADA);
    let body = r#"{"description": "x", "amount": 1}"#;
    app.bearer(&ada).post("/expenses", body.to_owned()).await.expect(201);
    app.bearer(&ada).get("/expenses").await.expect(200);
    let refused = app.bearer(&ada).post("/expenses", body.to_owned()).await.expect(429);
    assert_eq!(refused.header("retry-after"), "10");
    assert_eq!(refused.detail(), "Too many requests: try again in 10 seconds");
    app.bearer(&app.authkit.access_token(GRACE)).get("/expenses").await.expect(200);
    app.clock.advance(Duration::seconds(10));
    let listed = app.bearer(&ada).get("/expenses").await.expect(200).json();
    assert_eq!(listed.as_array().unwrap().len(), 1, "a refused request adds no expense");
}

#[tokio::test]
async fn pages_refuse_a_caller_and_return_the_form() {
    let app = limited(1, 1);
    let mut ada = app.signed_in(ADA).await;
    ada.open("/expenses").await.expect(200);
    let page = ada.open("/expenses").await.expect(429);
    assert_eq!(page.header("retry-after"), "10");
    assert!(page.body.contains("Too many requests"), "{}", page.body);
    let fields = [("description", "typed text"), ("amount", "1")];
    let form = ada.submit("/expenses", &fields).await.expect(429);
    assert!(form.body.contains("typed text"), "{}", form.body);
}

#[tokio::test]
async fn requests_to_workos_have_a_limit_of_their_own() {
    let app = TestApp::with_variables(api_keys::VARIABLES);
    let limit = MemoryRateLimit::new(3, 60, Arc::clone(&app.clock) as _);
    let host = MemoryHost::default().with_rate_limit("ACCOUNT_RATE_LIMIT", Arc::new(limit));
    let app = TestApp { limits: CallerLimits::bound(&host), ..app }
        .isolate_with_variables(api_keys::VARIABLES);
    let mut ada = app.signed_in(ADA).await;
    let key = r#"{"name": "Laptop", "permissions": ["expenses:read"]}"#;
    let switch = r#"{"organization_id": "org_2"}"#;
    let created = ada.post("/api-keys", key).await.expect(201).json();
    let path = format!("/api-keys/{}", created["id"].as_str().unwrap());
    ada.post("/organization", switch).await.expect(200);
    ada.get("/api-keys").await.expect(200);
    let keys_path = format!("/user_management/users/{}/api_keys", ADA.id);
    let asked = || (app.authkit.count(&keys_path), app.authkit.refresh_count());
    let before = asked();
    for refused in [
        ada.get("/api-keys").await,
        ada.open("/api-keys").await,
        ada.post("/api-keys", key).await,
        ada.delete(&path).await,
        ada.post("/organization", switch).await,
        ada.post("/organization/portal", r#"{"intent": "sso"}"#).await,
    ] {
        assert_eq!(refused.expect(429).header("retry-after"), "60");
    }
    assert_eq!(asked(), before);
    ada.get("/expenses").await.expect(200);
    ada.open("/account").await.expect(200);
    app.signed_in(GRACE).await.get("/api-keys").await.expect(200);
    app.clock.advance(Duration::seconds(60));
    ada.get("/api-keys").await.expect(200);
}

#[tokio::test]
async fn tool_call_beyond_the_limit_is_a_tool_error() {
    let app = limited(100, 2);
    mcp::output(&app, "list_expenses", json!({})).await;
    mcp::output(&app, "list_expenses", json!({})).await;
    let result = mcp::call(&app, "list_expenses", json!({})).await;
    assert_eq!(result["isError"], true);
    let text = result["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("try again in 10 seconds"), "{text}");
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    mcp::rpc(&app, &ping).await.expect(429);
}

#[tokio::test]
async fn bodies_without_a_request_count_too() {
    let notification = r#"{"jsonrpc": "2.0", "method": "notifications/initialized"}"#;
    for body in ["{", "[]", "1", notification] {
        let app = limited(2, 100);
        for _ in 0..2 {
            let response = mcp::post(&app, &HeaderMap::new(), body).await;
            assert!(matches!(response.status.as_u16(), 202 | 400), "{body}: {response:?}");
        }
        mcp::post(&app, &HeaderMap::new(), body).await.expect(429);
    }
}

#[tokio::test]
async fn each_message_of_a_batch_counts() {
    let app = limited(100, 2);
    let call = |id| {
        let params = json!({"name": "list_expenses", "arguments": {}});
        json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})
    };
    let mut headers = HeaderMap::new();
    headers.insert("mcp-protocol-version", "2025-03-26".parse().unwrap());
    let batch = json!([call(1), call(2), call(3)]).to_string();
    let replies = mcp::post(&app, &headers, batch).await.expect(200).json();
    let errors: Vec<bool> =
        (0..3).map(|index| replies[index]["result"]["isError"] == true).collect();
    assert_eq!(errors, [false, false, true], "{replies}");
}
