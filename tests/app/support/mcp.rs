//! An MCP client's messages, as Ada's client sends them.

use http::{HeaderMap, HeaderValue, Method, header};
use serde_json::{Value, json};

use super::{
    ADA,
    app::{Answer, TestApp, request},
};

pub const NEWEST: &str = "2026-07-28";

/// A body with these headers; those that have to be there are, where they are not given.
pub async fn post(app: &TestApp, headers: &HeaderMap, body: impl Into<axum::body::Body>) -> Answer {
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

/// A message of a revision that shakes hands.
pub async fn rpc(app: &TestApp, message: &Value) -> Answer {
    post(app, &HeaderMap::new(), message.to_string()).await
}

/// A call of a tool; its result.
pub async fn call(app: &TestApp, name: &str, arguments: Value) -> Value {
    let params = json!({"name": name, "arguments": arguments});
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
    let answer = rpc(app, &message).await.expect(200).json();
    answer["result"].as_object().unwrap_or_else(|| panic!("{answer}"));
    answer["result"].clone()
}

/// The output of a call that goes well.
pub async fn output(app: &TestApp, name: &str, arguments: Value) -> Value {
    let result = call(app, name, arguments).await;
    assert!(result.get("isError").is_none(), "{result}");
    result["structuredContent"].clone()
}

/// What the model is told of a call that does not.
pub async fn complaint(app: &TestApp, name: &str, arguments: Value) -> String {
    let result = call(app, name, arguments).await;
    assert_eq!(result["isError"], json!(true), "{result}");
    assert!(result.get("structuredContent").is_none(), "{result}");
    result["content"][0]["text"].as_str().unwrap().to_owned()
}

/// A request of the newest revision.
pub fn modern(method: &str, mut params: Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": NEWEST,
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
}

/// The headers that go with it.
pub fn modern_headers(method: &str, name: Option<&str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("mcp-protocol-version", HeaderValue::from_static(NEWEST));
    headers.insert("mcp-method", HeaderValue::from_str(method).unwrap());
    if let Some(name) = name {
        headers.insert("mcp-name", HeaderValue::from_str(name).unwrap());
    }
    headers
}
