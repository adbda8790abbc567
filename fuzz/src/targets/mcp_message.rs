//! A message of an agent: of a revision with a handshake, and of the newest one.

use http::{HeaderMap, HeaderValue, Method};
use serde_json::Value;

use super::{
    json_body::check_parser,
    router::{api, expect_no_failure, get, json, run},
    support::{ADA, mcp::NEWEST},
};

pub fn check(data: &[u8]) {
    check_parser(data);
    let message = authkit_edge::json::parse(data).unwrap_or_default();
    let mut newest = HeaderMap::new();
    newest.insert("mcp-protocol-version", HeaderValue::from_static(NEWEST));
    for (name, member) in
        [("mcp-method", message.get("method")), ("mcp-name", message.pointer("/params/name"))]
    {
        let value = member.and_then(Value::as_str).map(HeaderValue::from_str);
        if let Some(Ok(value)) = value {
            newest.insert(name, value);
        }
    }
    let mut oldest = HeaderMap::new();
    oldest.insert("mcp-protocol-version", HeaderValue::from_static("2025-03-26"));
    run(async |app| {
        app.store_expense(ADA, "Lunch");
        for headers in [HeaderMap::new(), oldest, newest] {
            let response = api(app, Method::POST, "/mcp", &headers, data).await;
            expect_no_failure(&response);
            if response.body.is_empty() {
                continue;
            }
            let replies = json(&response);
            match &replies {
                Value::Array(replies) => replies.iter().for_each(|reply| check_reply(reply, None)),
                reply => check_reply(reply, message.get("id")),
            }
        }
        get(app, "/expenses").await.expect(200);
    });
}

/// A reply is a result or an error, with the message's id where that is an id.
fn check_reply(reply: &Value, id: Option<&Value>) {
    if reply.get("jsonrpc").is_none() {
        // The request was refused before its message was read.
        assert!(reply["detail"].is_string() || reply["detail"].is_array(), "{reply}");
        return;
    }
    assert_eq!(reply["jsonrpc"], "2.0");
    let has = |name| usize::from(reply.get(name).is_some());
    assert_eq!(has("result") + has("error"), 1, "{reply}");
    if has("result") == 1 {
        assert_ne!(reply["id"], Value::Null, "{reply}");
        if let Some(id) = id {
            assert_eq!(&reply["id"], id, "{reply}");
        }
    } else {
        assert!(
            reply["error"]["code"].is_i64() && reply["error"]["message"].is_string(),
            "{reply}"
        );
    }
}
