//! `/openapi.json`: it matches the code, and the server accepts what the document allows.

use std::collections::BTreeMap;

use authkit_edge::{app, openapi};
use axum::body::Body;
use chrono::Duration;
use http::{Method, header};
use serde_json::{Map, Value, json};
use utoipa::OpenApi;

use crate::support::{
    ADA, Client, TestApp,
    app::{TestResponse, request},
    authkit::Outage,
};

const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/openapi.json");

/// Cloudflare serves the document itself.
const STATIC_ASSET: &str = "/openapi.json";

/// The document generated from the code.
fn document() -> String {
    let mut document = openapi::Document::openapi();
    document.merge(app::routes().into_openapi());
    openapi::committed_text(&serde_json::to_value(document).unwrap())
}

#[test]
fn committed_document_matches_the_code() {
    let document = document();
    if document != openapi::DOCUMENT {
        std::fs::write(COMMITTED, document).unwrap();
        panic!(
            "assets/openapi.json did not match the code. This test has rewritten it: check the diff, run \
             the tests again and commit the file"
        );
    }
}

/// The properties of a body's schema, by name.
fn properties(schema: &str) -> Map<String, Value> {
    let document: Value = serde_json::from_str(openapi::DOCUMENT).unwrap();
    document["components"]["schemas"][schema]["properties"].as_object().unwrap().clone()
}

async fn status_of(app: &TestApp, change: Value) -> u16 {
    let mut body = json!({"description": "Team lunch", "amount": 42.5});
    body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    app.bearer(&app.authkit.access_token(ADA))
        .post("/expenses", body.to_string())
        .await
        .status
        .as_u16()
}

#[tokio::test]
async fn text_lengths_match_the_documents_limits() {
    let app = TestApp::new();
    for (name, schema) in properties("ExpenseRequest") {
        let (Some(min), Some(max)) = (schema["minLength"].as_u64(), schema["maxLength"].as_u64())
        else {
            continue;
        };
        for (length, status) in [(min - 1, 422), (min, 201), (max, 201), (max + 1, 422)] {
            let text = "é".repeat(usize::try_from(length).unwrap());
            assert_eq!(status_of(&app, json!({&name: text})).await, status, "{name} of {length}");
        }
    }
}

#[tokio::test]
async fn amounts_match_the_documents_maximum() {
    let app = TestApp::new();
    let properties = properties("ExpenseRequest");
    let number = &properties["amount"]["oneOf"][0];
    assert_eq!(
        (&number["exclusiveMinimum"], &number["maximum"]),
        (&json!(0), &json!(9_999_999_999.99))
    );
    for (amount, status) in [(json!(0), 422), (json!(0.01), 201), (number["maximum"].clone(), 201)]
    {
        assert_eq!(status_of(&app, json!({"amount": amount})).await, status, "{amount}");
    }
    assert_eq!(status_of(&app, json!({"amount": 10_000_000_000_u64})).await, 422);
    assert_eq!(status_of(&app, json!({"amount": "9999999999.99"})).await, 201);
}

#[tokio::test]
async fn documented_defaults_and_examples_are_accepted() {
    let app = TestApp::new();
    for (name, schema) in properties("ExpenseRequest") {
        for value in
            schema["examples"].as_array().into_iter().flatten().chain(schema.get("default"))
        {
            assert_eq!(status_of(&app, json!({&name: value})).await, 201, "{name}: {value}");
        }
    }
    let token = app.authkit.access_token(ADA);
    let body = json!({"description": "Team lunch", "amount": 1}).to_string();
    let made = app.bearer(&token).post("/expenses", body).await.expect(201).json();
    let properties = properties("ExpenseRequest");
    for name in ["currency", "category"] {
        assert_eq!(made[name], properties[name]["default"]);
    }
}

#[tokio::test]
async fn undocumented_members_are_refused() {
    let app = TestApp::new();
    assert_eq!(status_of(&app, json!({"note": "?"})).await, 422);
    assert_eq!(status_of(&app, json!({"currency": "usd"})).await, 422);
    assert_eq!(status_of(&app, json!({"date": "yesterday"})).await, 422);
}

/// The response of every operation to a request without credentials, with an empty body of the type it reads.
async fn anonymous_responses() -> Vec<(String, Value, TestResponse)> {
    let app = TestApp::new();
    let document: Value = serde_json::from_str(openapi::DOCUMENT).unwrap();
    let mut asked = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        if path == STATIC_ASSET {
            continue;
        }
        for (name, operation) in operations.as_object().unwrap() {
            let method = Method::from_bytes(name.to_uppercase().as_bytes()).unwrap();
            let mut request = request(method, &path.replace("{id}", "00000000000000000000000000"));
            let bodies = operation["requestBody"]["content"].as_object();
            if let Some(media_type) = bodies.and_then(|bodies| bodies.keys().next()) {
                request = request.header(header::CONTENT_TYPE, media_type);
            }
            let response = app.send(request.body(Body::empty()).unwrap()).await;
            asked.push((format!("{name} {path}"), operation.clone(), response));
        }
    }
    asked
}

#[tokio::test]
async fn every_documented_operation_exists() {
    for (name, _, response) in anonymous_responses().await {
        assert!(!matches!(response.status.as_u16(), 404 | 405), "{name}: {response:?}");
    }
}

#[tokio::test]
async fn protected_operations_declare_their_security() {
    for (name, operation, response) in anonymous_responses().await {
        let is_public = operation["security"] == json!([{}]);
        assert_eq!(response.status != 401, is_public, "{name}: {response:?}");
    }
}

#[tokio::test]
async fn docs_page_shows_who_is_signed_in() {
    let app = TestApp::new();
    let page = app.browser().open("/docs").await.expect(200);
    for text in
        ["Not signed in", "href=\"/login?return_to=%2Fdocs\"", "href=\"/\"", "name=\"description\""]
    {
        assert!(page.body.contains(text), "{text}: {}", page.body);
    }
    let mut browser = app.signed_in(ADA).await;
    let page = browser.open("/docs").await.expect(200);
    assert!(
        page.body.contains("Signed in as <a href=\"/account\"><bdi>ada@example.com</bdi></a>"),
        "{}",
        page.body
    );
    assert!(!page.body.contains("Sign in<"), "{}", page.body);

    app.clock.advance(Duration::hours(1));
    app.authkit.set_outage(Some(Outage::NoAnswer));
    let page = browser.open("/docs").await.expect(200);
    assert!(page.body.contains("cannot be checked right now"), "{}", page.body);
    app.authkit.set_outage(None);
    app.clock.advance(Duration::minutes(1));
    let page = browser.open("/docs").await.expect(200);
    assert!(page.body.contains("ada@example.com"), "{}", page.body);
}

#[tokio::test]
async fn docs_page_loads_only_own_files() {
    let app = TestApp::new();
    let page = app.browser().open("/docs").await.expect(200);
    let expected = BTreeMap::from([
        ("default-src", "'none'"),
        ("script-src", "'self'"),
        ("style-src", "'self'"),
        ("img-src", "'self' data:"),
        ("connect-src", "'self'"),
        ("base-uri", "'none'"),
        ("form-action", "'none'"),
        ("frame-ancestors", "'none'"),
    ]);
    assert_eq!(page.policy(), expected);
    assert!(!page.body.contains("//"), "{}", page.body);
    for file in ["swagger-ui.css", "swagger-ui-bundle.js", "start.js"] {
        assert!(page.body.contains(&format!("\"/docs/{file}\"")), "{file}: {}", page.body);
    }
}
