//! Messages of an MCP client with a token of Ada's.

use http::{HeaderMap, HeaderValue, Method, header};
use serde_json::{Value, json};

use super::{
    ADA,
    app::{TestApp, TestResponse, request},
};

pub const NEWEST: &str = "2026-07-28";

/// Posts a body with these headers; the required ones have defaults.
pub async fn post(
    app: &TestApp,
    headers: &HeaderMap,
    body: impl Into<axum::body::Body>,
) -> TestResponse {
    let mut request = request(Method::POST, "/mcp").body(body.into()).unwrap();
    let bearer = format!("Bearer {}", app.authkit.access_token(ADA));
    let all = request.headers_mut();
    all.insert(header::AUTHORIZATION, HeaderValue::try_from(bearer).unwrap());
    all.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for name in headers.keys() {
        all.remove(name);
        for value in headers.get_all(name) {
            all.append(name, value.clone());
        }
    }
    app.send(request).await
}

/// Sends a message of a revision with a handshake.
pub async fn rpc(app: &TestApp, message: &Value) -> TestResponse {
    post(app, &HeaderMap::new(), message.to_string()).await
}

/// Calls a tool; its result.
pub async fn call(app: &TestApp, name: &str, arguments: Value) -> Value {
    let params = json!({"name": name, "arguments": arguments});
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
    let response = rpc(app, &message).await.expect(200).json();
    response["result"].as_object().unwrap_or_else(|| panic!("{response}"));
    response["result"].clone()
}

/// Calls a tool that succeeds; its output.
pub async fn output(app: &TestApp, name: &str, arguments: Value) -> Value {
    let result = call(app, name, arguments).await;
    assert!(result.get("isError").is_none(), "{result}");
    result["structuredContent"].clone()
}

/// Calls a tool that fails; the text that the model reads.
pub async fn complaint(app: &TestApp, name: &str, arguments: Value) -> String {
    let result = call(app, name, arguments).await;
    assert_eq!(result["isError"], json!(true), "{result}");
    assert!(result.get("structuredContent").is_none(), "{result}");
    result["content"][0]["text"].as_str().unwrap().to_owned()
}

/// A request in the newest revision.
pub fn modern(method: &str, mut params: Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": NEWEST,
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
}

/// The headers of such a request.
pub fn modern_headers(method: &str, name: Option<&str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("mcp-protocol-version", HeaderValue::from_static(NEWEST));
    headers.insert("mcp-method", HeaderValue::from_str(method).unwrap());
    if let Some(name) = name {
        headers.insert("mcp-name", HeaderValue::from_str(name).unwrap());
    }
    headers
}
