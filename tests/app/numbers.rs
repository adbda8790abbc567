//! serde_json represents a number with many digits as an object with a reserved member name. An object
//! with that name in a request is an object, not a number.

use http::Method;
use serde_json::json;

use crate::support::{ADA, Client, TestApp};

/// The reserved member name, plain and with escapes.
const NAMES: [&str; 4] = [
    "$serde_json::private::Number",
    r"\u0024serde_json::private::Number",
    r"$serde_json\u003a\u003Aprivate::Number",
    r"\u0024\u0073erde_json::private::Numbe\u0072",
];

#[tokio::test]
async fn object_with_the_reserved_name_is_not_a_number() {
    let app = TestApp::new();
    let token = app.authkit.access_token(ADA);
    let lunch = r#"{"description": "Team lunch", "amount": 42.5}"#;
    let lunch = app.bearer(&token).post("/expenses", lunch).await.expect(201).json();
    let path = format!("/expenses/{}", lunch["id"].as_str().unwrap());
    for name in NAMES {
        for text in [r#""42.5""#, r#""1e999""#, "42.5", r#""x""#, "null", r#"{"a": 1}"#] {
            let amount = format!("{{\"{name}\": {text}}}");
            let body = format!("{{\"description\": \"x\", \"amount\": {amount}}}");
            for (method, path) in
                [(Method::POST, "/expenses"), (Method::PUT, &*path), (Method::PATCH, &*path)]
            {
                let response =
                    app.bearer(&token).send_json(method, path, body.clone()).await.expect(422);
                assert!(response.body.contains(r#""type":"decimal_type""#), "{body}: {response:?}");
                // FastAPI repeats the input. The test compares text, because serde_json misreads such an object here too.
                let input = format!(r#""input":{{"{}":"#, NAMES[0]);
                assert!(response.body.contains(&input), "{body}: {response:?}");
            }
        }
        let body =
            format!("{{\"description\": \"x\", \"amount\": 1, \"date\": {{\"{name}\": \"1\"}}}}");
        app.bearer(&token).post("/expenses", body).await.expect(422);
        let top = format!("{{\"{name}\": \"1\"}}");
        let response = app.bearer(&token).post("/expenses", top).await.expect(422);
        assert!(response.body.contains(r#""type":"missing""#), "{response:?}");
    }
    assert_eq!(app.expenses_of(ADA).await, [lunch]);
}

#[tokio::test]
async fn reserved_object_is_refused_as_id_and_argument() {
    let app = TestApp::new();
    let token = app.authkit.access_token(ADA);
    for name in NAMES {
        let number = format!("{{\"{name}\": \"1\"}}");
        let body = format!("{{\"jsonrpc\": \"2.0\", \"method\": \"ping\", \"id\": {number}}}");
        let response = app.bearer(&token).post("/mcp", body).await.expect(400).json();
        assert_eq!(response["error"]["code"], -32600);
        assert!(response.get("id").is_none(), "{response}");

        let arguments = format!("{{\"description\": \"x\", \"amount\": {number}}}");
        let body = format!(
            "{{\"jsonrpc\": \"2.0\", \"method\": \"tools/call\", \"id\": 1, \
             \"params\": {{\"name\": \"add_expense\", \"arguments\": {arguments}}}}}"
        );
        let response = app.bearer(&token).post("/mcp", body).await.expect(200).json();
        assert_eq!(response["result"]["isError"], json!(true), "{response}");
    }
    assert!(app.expenses_of(ADA).await.is_empty());
}
