//! API keys as credentials: their owners' expenses, their permissions, and the requests to WorkOS that they cause.

use std::sync::Arc;

use axum_authkit::{RateLimiter, seal::UserHasher};
use chrono::Duration;
use edge_host::memory::{MemoryHost, MemoryRateLimit, take_events};
use http::{Method, header};
use serde_json::{Value, json};

use crate::{
    support::{
        ADA, Client, GRACE, TestApp,
        api_keys::VARIABLES,
        app::{PASSWORD, TestResponse, form, request},
        authkit::{API_KEY, Outage, TestUser},
        connect,
    },
    webhooks::{self, deliver, event},
};

const LUNCH: &str = r#"{"description": "Team lunch", "amount": 42.5}"#;
const BOTH: &[&str] = &["expenses:read", "expenses:write"];
const VALIDATIONS: &str = "/api_keys/validations";
const ADDRESS: &str = "192.0.2.7";

fn app() -> TestApp {
    TestApp::with_variables(VARIABLES)
}

/// An application that allows each address two counted requests in a minute.
fn limited() -> TestApp {
    let app = TestApp::new();
    let limit = MemoryRateLimit::new(2, 60, Arc::clone(&app.clock) as _);
    let host = MemoryHost::default().with_rate_limit("LIMIT", Arc::new(limit));
    let address_limit = RateLimiter::bound(&host, "LIMIT", 60);
    TestApp { address_limit, ..app }.isolate_with_variables(VARIABLES)
}

async fn send_from(app: &TestApp, address: &str, key: &str) -> TestResponse {
    let request = request(Method::GET, "/expenses")
        .header("cf-connecting-ip", address)
        .header(header::AUTHORIZATION, format!("Bearer {key}"));
    app.send(request.body("".into()).unwrap()).await
}

#[track_caller]
fn assert_refused(response: &TestResponse) {
    assert_eq!(response.status, 401, "{response:?}");
    let detail = "the API key is not valid: it is unknown, revoked or expired";
    assert_eq!(response.detail(), detail);
    let challenge = response.header("www-authenticate");
    let expected = format!("Bearer error=\"invalid_token\", error_description=\"{detail}\"");
    assert!(challenge.starts_with(&expected), "{challenge}");
}

#[track_caller]
fn assert_insufficient(response: &TestResponse, scope: &str) {
    assert_eq!(response.status, 403, "{response:?}");
    let challenge = response.header("www-authenticate");
    let expected = format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\", ");
    assert!(challenge.starts_with(&expected), "{challenge}");
}

fn tool_call(name: &str, arguments: Value) -> String {
    json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": name, "arguments": arguments},
    })
    .to_string()
}

#[tokio::test]
async fn key_is_no_token_without_the_variable() {
    for variables in [&[][..], &[("WORKOS_API_KEYS", "off")]] {
        let app = TestApp::with_variables(variables);
        let key = app.authkit.api_keys.of_user(ADA, BOTH);
        let response = app.bearer(&key).get("/expenses").await.expect(401);
        assert_eq!(response.detail(), "the token is malformed");
        assert_eq!(app.authkit.count(VALIDATIONS), 0);
    }
}

#[tokio::test]
async fn key_of_user_reaches_that_users_expenses() {
    let app = app();
    let mut browser = app.signed_in(ADA).await;
    let made = browser.post("/expenses", LUNCH).await.expect(201).json();
    let key = app.authkit.api_keys.of_user(ADA, BOTH);
    assert_eq!(app.bearer(&key).get("/expenses").await.expect(200).json(), json!([made]));
    app.bearer(&key).post("/expenses", LUNCH).await.expect(201);
    assert_eq!(app.expenses_of(ADA).await.len(), 2);
    let graces = app.authkit.api_keys.of_user(GRACE, BOTH);
    assert_eq!(app.bearer(&graces).get("/expenses").await.expect(200).body, "[]");
    let path = format!("/expenses/{}", made["id"].as_str().unwrap());
    app.bearer(&graces).get(&path).await.expect(404);
}

#[tokio::test]
async fn key_of_organization_has_its_own_expenses() {
    let app = app();
    app.signed_in(ADA).await.post("/expenses", LUNCH).await.expect(201);
    let [one, same, other] =
        ["org_1", "org_1", "org_2"].map(|id| app.authkit.api_keys.of_organization(id, BOTH));
    assert_eq!(app.bearer(&one).get("/expenses").await.expect(200).body, "[]");
    let made = app.bearer(&one).post("/expenses", LUNCH).await.expect(201).json();
    assert_eq!(app.bearer(&same).get("/expenses").await.expect(200).json(), json!([made]));
    assert_eq!(app.bearer(&other).get("/expenses").await.expect(200).body, "[]");
    assert_eq!(app.expenses_of(ADA).await.len(), 1);
}

#[tokio::test]
async fn token_with_an_organization_as_subject_is_refused() {
    // With keys on and off: the expenses are there in both cases.
    for app in [app(), TestApp::new()] {
        let token = app.authkit.access_token(TestUser { id: "org_1", email: "" });
        let response = app.bearer(&token).get("/expenses").await.expect(401);
        assert!(response.detail().starts_with("the token is of another kind"), "{response:?}");
        let mut browser = app.browser();
        browser.sign_in(ADA).await;
        app.authkit.set_extra_claims(json!({"sub": "org_1"}));
        app.clock.advance(Duration::minutes(6));
        browser.get("/expenses").await.expect(503);
    }
}

#[tokio::test]
async fn permissions_are_the_scopes_of_a_key() {
    let app = app();
    let key = |permissions: &[&str]| app.authkit.api_keys.of_user(ADA, permissions);
    let (read, write) = (key(&["expenses:read", "other"]), key(&["expenses:write"]));
    app.bearer(&read).get("/expenses").await.expect(200);
    let response = app.bearer(&read).post("/expenses", LUNCH).await;
    assert_insufficient(&response, "expenses:write");
    assert_eq!(response.detail(), "the API key lacks the permission expenses:write");
    app.bearer(&write).post("/expenses", LUNCH).await.expect(201);
    assert_insufficient(&app.bearer(&write).get("/expenses").await, "expenses:read");
    for permissions in [&[][..], &["other"], &["expenses"], &["expenses:admin"]] {
        let useless = key(permissions);
        assert_insufficient(&app.bearer(&useless).get("/expenses").await, "expenses:read");
        for path in ["/me", "/organizations"] {
            let response = app.bearer(&useless).get(path).await;
            assert_insufficient(&response, "expenses:read expenses:write");
        }
        let call = tool_call("list_expenses", json!({}));
        let response = app.bearer(&useless).post("/mcp", call).await;
        assert_insufficient(&response, "expenses:read expenses:write");
    }
}

#[tokio::test]
async fn agent_uses_tools_with_a_key() {
    let app = app();
    let key = app.authkit.api_keys.of_user(ADA, BOTH);
    let call = tool_call("add_expense", json!({"description": "Taxi", "amount": 9}));
    let reply = app.bearer(&key).post("/mcp", call).await.expect(200).json();
    assert_eq!(reply["result"]["isError"], Value::Null, "{reply}");
    assert_eq!(app.expenses_of(ADA).await[0]["description"], "Taxi");
    let read = app.authkit.api_keys.of_user(ADA, &["expenses:read"]);
    let call = tool_call("add_expense", json!({"description": "Taxi", "amount": 9}));
    let reply = app.bearer(&read).post("/mcp", call).await.expect(200).json();
    let text = "the API key lacks the permission expenses:write. Nothing was done";
    let expected = json!({"isError": true, "content": [{"type": "text", "text": text}]});
    assert_eq!(reply["result"], expected, "no sign-in gives a key more");
    assert_refused(&app.bearer("sk_unknown").post("/mcp", "{}").await);
}

#[tokio::test]
async fn me_describes_the_key() {
    let app = app();
    let key = app.authkit.api_keys.of_user(ADA, &["expenses:read"]);
    let none: [&str; 0] = [];
    let expected = json!({
        "user": {"object": "user", "id": ADA.id}, "session_id": null, "organization_id": "org_1",
        "role": null, "roles": none, "permissions": ["expenses:read"], "entitlements": none,
        "feature_flags": none, "impersonator": null, "expires_at": null, "api_key_id": "api_key_1",
    });
    assert_eq!(app.bearer(&key).get("/me").await.expect(200).json(), expected);
    let key = app.authkit.api_keys.of_organization("org_2", BOTH);
    let me = app.bearer(&key).get("/me").await.expect(200).json();
    assert_eq!((&me["user"], &me["organization_id"]), (&Value::Null, &json!("org_2")));
}

#[tokio::test]
async fn key_does_nothing_that_needs_a_session() {
    let app = app();
    let key = app.authkit.api_keys.of_user(ADA, BOTH);
    let id = app.authkit.api_keys.id_of(&key);
    let own = format!("/api-keys/{id}");
    let body = r#"{"name": "x", "permissions": ["expenses:read"]}"#;
    for (method, path, body) in [
        (Method::GET, "/api-keys", ""),
        (Method::POST, "/api-keys", body),
        (Method::DELETE, &own, ""),
        (Method::POST, "/organization", r#"{"organization_id": "org_2"}"#),
        (Method::POST, "/logout", ""),
        (Method::GET, "/logout", ""),
    ] {
        let response = app.bearer(&key).send_json(method.clone(), path, body).await;
        assert_eq!(response.status, 403, "{method} {path}: {response:?}");
        assert!(response.detail().len() > 20, "{response:?}");
    }
    assert_eq!(app.authkit.api_keys.count(), 1);
    // Nor does a form with a key.
    let form = form("/api-keys")
        .header("sec-fetch-site", "same-origin")
        .header(header::AUTHORIZATION, format!("Bearer {key}"));
    app.send(form.body("name=x&read=on".into()).unwrap()).await.expect(403);
    assert_eq!(app.authkit.api_keys.count(), 1);
}

#[tokio::test]
async fn key_wins_over_the_cookie() {
    let app = app();
    let mut browser = app.signed_in(ADA).await;
    browser.post("/expenses", LUNCH).await.expect(201);
    let key = app.authkit.api_keys.of_user(GRACE, BOTH);
    let request = browser
        .request(Method::GET, "/expenses")
        .header(header::AUTHORIZATION, format!("bearer {key}"));
    assert_eq!(browser.send(request, "".into()).await.expect(200).body, "[]");
    let request = browser
        .request(Method::GET, "/expenses")
        .header(header::AUTHORIZATION, "Bearer sk_unknown");
    assert_refused(&browser.send(request, "".into()).await);
    browser.get("/expenses").await.expect(200);
}

#[tokio::test]
async fn revoked_key_is_refused_within_a_minute() {
    let app = app();
    let key = app.authkit.api_keys.of_user(ADA, BOTH);
    app.bearer(&key).get("/expenses").await.expect(200);
    app.authkit.api_keys.revoke(&key);
    app.clock.advance(Duration::seconds(59));
    app.bearer(&key).get("/expenses").await.expect(200);
    assert_eq!(app.authkit.count(VALIDATIONS), 1);
    app.clock.advance(Duration::seconds(1));
    assert_refused(&app.bearer(&key).get("/expenses").await);
    assert_eq!(app.authkit.count(VALIDATIONS), 2);
    app.clock.advance(Duration::seconds(9));
    assert_refused(&app.bearer(&key).get("/expenses").await);
    assert_eq!(app.authkit.count(VALIDATIONS), 2);
}

#[tokio::test]
async fn malformed_key_and_the_servers_own_are_refused_unasked() {
    let app = app();
    let long = format!("sk_{}", "a".repeat(300));
    for key in ["sk_", "sk_a/b", "sk_a.b.c", "sk_=", &long, API_KEY] {
        assert_refused(&app.bearer(key).get("/expenses").await);
    }
    assert_eq!(app.authkit.count(VALIDATIONS), 0);
}

#[tokio::test]
async fn outage_is_503_and_never_401() {
    let app = app();
    let key = app.authkit.api_keys.of_user(ADA, BOTH);
    for outage in [Outage::NoAnswer, Outage::Status(500), Outage::Status(401), Outage::Status(404)]
    {
        app.authkit.set_outage(Some(outage));
        let response = app.bearer(&key).get("/expenses").await.expect(503);
        assert!(!response.header("retry-after").is_empty(), "{outage:?}");
        app.bearer(&key).post("/mcp", "{}").await.expect(503);
        app.clock.advance(Duration::seconds(1));
    }
    app.authkit.set_outage(None);
    app.bearer(&key).get("/expenses").await.expect(200);
    app.authkit.set_outage(Some(Outage::NoAnswer));
    app.bearer(&key).get("/expenses").await.expect(200);
}

#[tokio::test]
async fn address_limit_stops_invented_keys_before_workos() {
    let app = limited();
    let key = app.authkit.api_keys.of_user(ADA, BOTH);
    assert_refused(&send_from(&app, ADDRESS, "sk_invented_1").await);
    assert_refused(&send_from(&app, ADDRESS, "sk_invented_2").await);
    let response = send_from(&app, ADDRESS, "sk_invented_3").await.expect(429);
    assert_eq!(response.header("retry-after"), "60");
    assert_eq!(app.authkit.count(VALIDATIONS), 2);
    // A refusal from memory counts as other refused credentials do, and a malformed key too.
    send_from(&app, ADDRESS, "sk_invented_1").await.expect(429);
    send_from(&app, ADDRESS, "sk_").await.expect(429);
    // Other addresses are not affected.
    send_from(&app, "192.0.2.8", &key).await.expect(200);
    // Neither is a key that this isolate knows.
    send_from(&app, ADDRESS, &key).await.expect(200);
}

#[tokio::test]
async fn refused_key_counts_once_for_its_address() {
    let app = limited();
    for _ in 0..2 {
        assert_refused(&send_from(&app, ADDRESS, "sk_invented").await);
    }
    send_from(&app, ADDRESS, "sk_invented").await.expect(429);
}

#[tokio::test]
async fn key_works_beside_tokens_of_connect() {
    let variables: Vec<_> = connect::VARIABLES.iter().chain(VARIABLES).copied().collect();
    let app = TestApp::with_variables(&variables);
    let key = app.authkit.api_keys.of_user(ADA, BOTH);
    app.bearer(&key).get("/expenses").await.expect(200);
    app.bearer(&app.authkit.connect.token(ADA)).get("/expenses").await.expect(200);
    let response = app.bearer("sk_unknown").get("/expenses").await;
    assert_refused(&response);
    assert!(response.header("www-authenticate").contains("resource_metadata="), "{response:?}");
}

#[tokio::test]
async fn events_count_keys_without_naming_them() {
    let app = app();
    let key = app.authkit.api_keys.of_user(ADA, BOTH);
    let _ = take_events();
    for _ in 0..3 {
        app.bearer(&key).get("/expenses").await.expect(200);
    }
    assert_refused(&app.bearer("sk_unknown").get("/expenses").await);
    let lines = take_events();
    let events: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let named = |name: &str| -> Vec<&Value> {
        events.iter().filter(|event| event["event"] == name).collect()
    };
    let ada = UserHasher::new(&PASSWORD.into()).hash(ADA.id);
    let [accepted] = named("api_key_accepted")[..] else { panic!("{events:#?}") };
    assert_eq!((&accepted["user"], &accepted["owner"]), (&json!(ada.as_str()), &json!("user")));
    let [refused] = named("credentials_refused")[..] else { panic!("{events:#?}") };
    assert_eq!(refused["reason"], "api_key");
    // The lines of requests have the user, and the time at WorkOS.
    assert_eq!(named("request")[0]["user"], json!(ada.as_str()));
    assert_eq!(named("request")[0]["workos_ops"], 1);
    assert_eq!(named("request")[1]["workos_ops"], Value::Null);
    let text = lines.concat();
    for secret in [&*key, "sk_unknown", "api_key_1", "Laptop"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[tokio::test]
async fn expenses_of_an_organization_outlive_a_deleted_user() {
    // Expenses of an organization belong to no user, also if a user of it has created them.
    let variables: Vec<_> = webhooks::VARIABLES.iter().chain(VARIABLES).copied().collect();
    let app = TestApp::with_variables(&variables);
    let users = app.authkit.api_keys.of_user(ADA, BOTH);
    let organizations = app.authkit.api_keys.of_organization("org_1", BOTH);
    app.bearer(&users).post("/expenses", LUNCH).await.expect(201);
    let made = app.bearer(&organizations).post("/expenses", LUNCH).await.expect(201).json();
    deliver(&app, &event("user.deleted", ADA.id)).await.expect(200);
    app.pass(Duration::minutes(30)).await;
    assert_eq!(app.bearer(&users).get("/expenses").await.expect(200).body, "[]");
    let kept = app.bearer(&organizations).get("/expenses").await.expect(200);
    assert_eq!(kept.json(), json!([made]));
    let names = app.kv.keys();
    assert!(names.len() == 1 && names[0].starts_with("expense:org_1:"), "{names:?}");
}
