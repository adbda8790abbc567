//! `/api-keys`: a signed-in user lists, creates and revokes their own keys, by JSON and on the page.

use chrono::Duration;
use edge_host::memory::take_events;
use http::{Method, header};
use serde_json::{Value, json};

use crate::support::{
    ADA, Client, GRACE, TestApp,
    api_keys::VARIABLES,
    app::{TestResponse, form, form_body, request},
    authkit::Outage,
    connect,
};

const KEY: &str = r#"{"name": "Laptop", "permissions": ["expenses:write", "expenses:read"]}"#;
const BOTH: &[&str] = &["expenses:read", "expenses:write"];
const FORM: &[(&str, &str)] = &[("name", "Laptop"), ("read", "on"), ("write", "on")];

fn app() -> TestApp {
    TestApp::with_variables(VARIABLES)
}

/// The value on the page that shows a new key.
fn value_on(page: &TestResponse) -> String {
    let (_, rest) = page.body.split_once("<code class=\"secret\">").unwrap();
    rest.split_once('<').unwrap().0.to_owned()
}

#[tokio::test]
async fn path_is_not_found_without_the_variable() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    browser.get("/api-keys").await.expect(404);
    browser.open("/api-keys").await.expect(404);
    browser.post("/api-keys", KEY).await.expect(404);
    browser.delete("/api-keys/api_key_1").await.expect(404);
    browser.submit("/api-keys", FORM).await.expect(404);
    assert!(!browser.open("/account").await.body.contains("/api-keys"));
}

#[tokio::test]
async fn user_creates_uses_and_revokes_a_key() {
    let app = app();
    let mut browser = app.signed_in(ADA).await;
    assert_eq!(browser.get("/api-keys").await.expect(200).body, "[]");
    let created = browser.post("/api-keys", KEY).await.expect(201);
    assert_eq!(created.header("cache-control"), "no-store");
    let mut key = created.json();
    let value = key["value"].as_str().unwrap().to_owned();
    assert_eq!((&key["name"], &key["permissions"]), (&json!("Laptop"), &json!(BOTH)));
    assert_eq!(key["organization_id"], "org_1");
    key.as_object_mut().unwrap().remove("value");
    let listed = browser.get("/api-keys").await.expect(200);
    assert_eq!(listed.json(), json!([key]));
    assert!(!listed.body.contains(&value));

    app.bearer(&value).get("/expenses").await.expect(200);
    let path = format!("/api-keys/{}", key["id"].as_str().unwrap());
    assert_eq!(browser.delete(&path).await.expect(204).body, "");
    // This isolate knows of the revocation.
    app.bearer(&value).get("/expenses").await.expect(401);
    assert_eq!(browser.get("/api-keys").await.expect(200).body, "[]");
    let detail = browser.delete(&path).await.expect(404).detail();
    assert_eq!(detail, "API key not found: it may be revoked already");
}

#[tokio::test]
async fn access_token_of_the_session_manages_keys() {
    let app = app();
    let token = app.authkit.access_token(ADA);
    app.bearer(&token).post("/api-keys", KEY).await.expect(201);
    assert_eq!(app.bearer(&token).get("/api-keys").await.json().as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn clients_and_machines_manage_no_keys() {
    let variables: Vec<_> = connect::VARIABLES.iter().chain(VARIABLES).copied().collect();
    let app = TestApp::with_variables(&variables);
    let machine = app.authkit.connect.machine_token("expenses:read expenses:write");
    for token in [app.authkit.connect.token(ADA), machine] {
        let mut client = app.bearer(&token);
        for response in [
            client.get("/api-keys").await,
            client.post("/api-keys", KEY).await,
            client.delete("/api-keys/api_key_1").await,
        ] {
            assert_eq!(response.status, 403, "{response:?}");
            assert!(response.detail().contains("signed-in user"), "{response:?}");
        }
    }
    assert_eq!(app.authkit.api_keys.count(), 0);
}

#[tokio::test]
async fn user_sees_and_revokes_no_key_of_another() {
    let app = app();
    let graces = app.authkit.api_keys.of_user(GRACE, BOTH);
    let robots = app.authkit.api_keys.of_organization("org_1", BOTH);
    let mut browser = app.signed_in(ADA).await;
    assert_eq!(browser.get("/api-keys").await.expect(200).body, "[]");
    for value in [graces, robots] {
        let path = format!("/api-keys/{}", app.authkit.api_keys.id_of(&value));
        browser.delete(&path).await.expect(404);
        browser.submit(&path, &[]).await.expect(404);
        app.bearer(&value).get("/expenses").await.expect(200);
    }
    assert_eq!(app.authkit.api_keys.count(), 2);
}

#[tokio::test]
async fn invalid_key_is_422_with_every_problem() {
    let app = app();
    let mut browser = app.signed_in(ADA).await;
    let long = "x".repeat(101);
    for (body, kinds) in [
        (json!({}), &["missing", "missing"][..]),
        (json!({"name": " ", "permissions": []}), &["string_too_short", "too_short"]),
        (json!({"name": long, "permissions": "expenses:read"}), &["string_too_long", "list_type"]),
        (json!({"name": 5, "permissions": [5]}), &["string_type", "string_type"]),
        (json!({"name": "x", "permissions": ["expenses:admin"]}), &["literal_error"]),
        (json!({"name": "x", "permissions": BOTH, "owner": "y"}), &["extra_forbidden"]),
    ] {
        let response = browser.post("/api-keys", body.to_string()).await.expect(422).json();
        let problems = response["detail"].as_array().unwrap();
        let found: Vec<_> = problems.iter().map(|problem| problem["type"].clone()).collect();
        assert_eq!(json!(found), json!(kinds), "{body}");
    }
    let unknown = json!({"name": "x", "permissions": ["expenses:admin"]});
    let response = browser.post("/api-keys", unknown.to_string()).await.expect(422).json();
    let expected = "'expenses:read' or 'expenses:write'";
    assert_eq!(response["detail"][0]["msg"], format!("Input should be {expected}"));
    assert_eq!(response["detail"][0]["ctx"], json!({"expected": expected}));
    assert_eq!(app.authkit.api_keys.count(), 0);
}

#[tokio::test]
async fn refusal_of_workos_is_told_plainly() {
    let app = app();
    let mut browser = app.signed_in(ADA).await;
    let body =
        json!({"code": "permission_not_enabled", "message": "Permission <b> is not enabled."});
    for (status, body, said) in [
        (403, body.clone(), "(permission_not_enabled: Permission <b> is not enabled.)"),
        (422, body, "(permission_not_enabled: "),
        (404, json!({}), "(not_found)"),
    ] {
        app.authkit.api_keys.refuse(Some((status, body)));
        for response in [browser.get("/api-keys").await, browser.post("/api-keys", KEY).await] {
            assert_eq!(response.status, 403, "{response:?}");
            let detail = response.detail();
            assert!(detail.starts_with("WorkOS does not allow this ("), "{detail}");
            assert!(detail.contains(said), "{detail}");
        }
        let page = browser.open("/api-keys").await.expect(403);
        assert!(page.body.contains("WorkOS does not allow this"), "{}", page.body);
        let page = browser.submit("/api-keys", FORM).await.expect(403);
        assert!(page.body.contains("WorkOS does not allow this"), "{}", page.body);
        assert!(page.body.contains("value=\"Laptop\""), "the input stays: {}", page.body);
        assert!(!page.body.contains("<b> is"), "{}", page.body);
    }
}

#[tokio::test]
async fn outage_is_503_and_no_empty_list() {
    let app = app();
    let mut browser = app.signed_in(ADA).await;
    app.authkit.set_outage(Some(Outage::Status(500)));
    for response in [
        browser.get("/api-keys").await,
        browser.post("/api-keys", KEY).await,
        browser.delete("/api-keys/api_key_1").await,
    ] {
        assert_eq!(response.status, 503, "{response:?}");
        assert!(!response.header("retry-after").is_empty());
    }
    let page = browser.submit("/api-keys", FORM).await.expect(503);
    assert!(page.body.contains("value=\"Laptop\""), "the input stays: {}", page.body);
    app.authkit.set_outage(None);
    browser.get("/api-keys").await.expect(200);
}

#[tokio::test]
async fn session_without_an_organization_creates_no_key() {
    let app = app();
    app.authkit.set_extra_claims(json!({"org_id": null}));
    let token = app.authkit.access_token(ADA);
    let detail = app.bearer(&token).post("/api-keys", KEY).await.expect(403).detail();
    assert!(detail.contains("sign in to an organization first"), "{detail}");
    assert_eq!(app.bearer(&token).get("/api-keys").await.expect(200).body, "[]");
}

#[tokio::test]
async fn impersonator_creates_no_key_and_revokes_keys() {
    let app = app();
    let value = app.authkit.api_keys.of_user(ADA, BOTH);
    app.authkit.set_extra_claims(json!({"act": {"sub": "support@example.com"}}));
    let mut browser = app.signed_in(ADA).await;
    let detail = browser.post("/api-keys", KEY).await.expect(403).detail();
    assert!(detail.contains("outlive the impersonation"), "{detail}");
    browser.submit("/api-keys", FORM).await.expect(403);
    let page = browser.open("/api-keys").await.expect(200);
    assert!(!page.body.contains("Create key"), "{}", page.body);
    let path = format!("/api-keys/{}", app.authkit.api_keys.id_of(&value));
    browser.delete(&path).await.expect(204);
    assert_eq!(app.authkit.api_keys.count(), 0);
}

#[tokio::test]
async fn page_lists_keys_and_offers_the_form() {
    let app = app();
    let mut browser = app.signed_in(ADA).await;
    assert!(browser.open("/account").await.body.contains("href=\"/api-keys\""));
    let page = browser.open("/api-keys").await.expect(200);
    assert!(page.body.contains("You have no API keys."), "{}", page.body);
    for text in ["Create key", "up to 60 seconds more", "Authorization: Bearer sk_…"] {
        assert!(page.body.contains(text), "{text}: {}", page.body);
    }
    let token = app.authkit.access_token(ADA);
    let body = json!({"name": "<script>alert(1)</script>", "permissions": ["expenses:read"]});
    app.bearer(&token).post("/api-keys", body.to_string()).await.expect(201);
    let page = browser.open("/api-keys").await.expect(200);
    for text in [
        "&lt;script&gt;alert(1)&lt;/script&gt;",
        "sk_…ter1",
        "never used",
        "action=\"/api-keys/api_key_1\"",
        "datetime=\"2026-11-23\"",
    ] {
        assert!(page.body.contains(text), "{text}: {}", page.body);
    }
    assert!(!page.body.contains("<script>alert"), "{}", page.body);
}

#[tokio::test]
async fn user_with_a_hundred_keys_gets_no_more() {
    let app = app();
    let mut browser = app.signed_in(ADA).await;
    for _ in 0..100 {
        browser.post("/api-keys", KEY).await.expect(201);
    }
    let refused = browser.post("/api-keys", KEY).await.expect(409);
    assert!(refused.detail().contains("revoke one that nothing uses"), "{refused:?}");
    let page = browser.submit("/api-keys", FORM).await.expect(409);
    assert!(page.body.contains("revoke one that nothing uses"), "{}", page.body);
    assert!(page.body.contains(r#"value="Laptop""#), "{}", page.body);
    let keys = browser.get("/api-keys").await.expect(200).json();
    assert_eq!(keys.as_array().unwrap().len(), 100);
    app.signed_in(GRACE).await.post("/api-keys", KEY).await.expect(201);
    browser.delete(&format!("/api-keys/{}", keys[0]["id"].as_str().unwrap())).await.expect(204);
    browser.post("/api-keys", KEY).await.expect(201);
}

#[tokio::test]
async fn form_shows_the_value_once_and_nowhere_else() {
    let app = app();
    let mut browser = app.signed_in(ADA).await;
    let _ = take_events();
    let page = browser.submit("/api-keys", FORM).await.expect(201);
    assert_eq!(page.header("cache-control"), "no-store");
    assert_eq!(page.header("location"), "");
    let value = value_on(&page);
    app.bearer(&value).get("/expenses").await.expect(200);
    assert_eq!(page.body.matches(&value).count(), 1, "{}", page.body);
    let headers = format!("{:?}", page.headers);
    assert!(!headers.contains(&value), "{headers}");
    let again = browser.open("/api-keys").await.expect(200);
    assert!(!again.body.contains(&value) && again.body.contains("Laptop"), "{}", again.body);
    let id = app.authkit.api_keys.id_of(&value);
    let gone = browser.submit(&format!("/api-keys/{id}"), &[]).await.expect(303);
    assert_eq!(gone.header("location"), "/api-keys");
    for is_told in [true, false] {
        let page = browser.open("/api-keys").await.expect(200);
        assert_eq!(page.body.contains("The key is revoked."), is_told, "{}", page.body);
    }
    let lines = take_events();
    let names: Vec<String> = lines
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["event"].as_str().unwrap().into())
        .collect();
    for name in ["api_key_created", "api_key_revoked"] {
        assert_eq!(names.iter().filter(|it| *it == name).count(), 1, "{names:?}");
    }
    for secret in [&*value, "Laptop", &*id] {
        assert!(!lines.concat().contains(secret), "{secret} in {lines:?}");
    }
}

#[tokio::test]
async fn invalid_form_comes_back_with_its_input() {
    let app = app();
    let mut browser = app.signed_in(ADA).await;
    let page = browser.submit("/api-keys", &[("name", " "), ("read", "on")]).await.expect(422);
    for text in ["Give the key a name of 1 to 100 characters.", "aria-invalid=\"true\"", "checked"]
    {
        assert!(page.body.contains(text), "{text}: {}", page.body);
    }
    let page = browser.submit("/api-keys", &[("name", "Lap\"top")]).await.expect(422);
    for text in [
        "<a href=\"#permissions\">Choose what the key may do.</a>",
        "<fieldset class=\"description\" id=\"permissions\" tabindex=\"-1\" aria-describedby=\"permissions-error\">",
        "id=\"permissions-error\">Choose what the key may do.</p>",
        "value=\"Lap&quot;top\"",
    ] {
        assert!(page.body.contains(text), "{text}: {}", page.body);
    }
    assert_eq!(app.authkit.api_keys.count(), 0);
}

#[tokio::test]
async fn forms_of_other_sites_change_nothing() {
    let app = app();
    let value = app.authkit.api_keys.of_user(ADA, BOTH);
    let path = format!("/api-keys/{}", app.authkit.api_keys.id_of(&value));
    let mut browser = app.signed_in(ADA).await;
    for path in ["/api-keys", &path] {
        for site in ["cross-site", "same-site"] {
            let request = form(path).header("sec-fetch-site", site);
            browser.send(request, form_body(FORM)).await.expect(403);
        }
        let json = request(Method::POST, path)
            .header("sec-fetch-site", "cross-site")
            .header(header::CONTENT_TYPE, "application/json");
        browser.send(json, KEY.into()).await.expect(403);
    }
    // A program has no `POST` on the path of a key.
    browser.post(&path, "{}").await.expect(405);
    assert_eq!(app.authkit.api_keys.count(), 1);
}

#[tokio::test]
async fn signed_out_visitor_is_sent_to_sign_in() {
    let app = app();
    let page = app.browser().open("/api-keys").await.expect(302);
    assert_eq!(page.header("location"), "/login?return_to=%2Fapi-keys");
    app.anonymous().get("/api-keys").await.expect(401);
    let body = request(Method::POST, "/api-keys").header(header::CONTENT_TYPE, "application/json");
    app.send(body.body(KEY.into()).unwrap()).await.expect(401);
}

#[tokio::test]
async fn key_created_elsewhere_works_within_ten_seconds() {
    let app = app();
    let value = "sk_live_hunter2hunter2hunter1";
    app.bearer(value).get("/expenses").await.expect(401);
    assert_eq!(app.authkit.api_keys.of_user(ADA, BOTH), value);
    app.clock.advance(Duration::seconds(10));
    app.bearer(value).get("/expenses").await.expect(200);
}
