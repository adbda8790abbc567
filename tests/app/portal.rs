//! `POST /organization/portal`, and the buttons for it on the account's page.

use chrono::Duration;
use edge_host::memory::{MemoryHost, MemoryRateLimit};
use http::Method;
use serde_json::{Value, json};
use std::sync::Arc;

use authkit_edge::rate_limits::CallerLimits;

use crate::{
    pages::{assert_has, assert_inert},
    support::{
        ADA, Client, TestApp,
        app::{Browser, ORIGIN, TestResponse, form, form_body},
        authkit::{Outage, PORTAL},
        connect, logs,
    },
};

const PATH: &str = "/organization/portal";
const LINK: &str = "https://setup.workos.com/?token=portal_1";
const INTENTS: [&str; 4] = ["sso", "dsync", "domain_verification", "audit_logs"];
const SSO: &str = r#"{"intent": "sso"}"#;

/// A browser whose session has these claims.
async fn browser_with(variables: &[(&str, &str)], claims: Value) -> Browser {
    let app = TestApp::with_variables(variables);
    app.authkit.set_extra_claims(claims);
    app.signed_in(ADA).await
}

async fn submit(browser: &mut Browser, intent: &str) -> TestResponse {
    browser.submit(PATH, &[("intent", intent)]).await
}

#[tokio::test]
async fn form_leads_an_administrator_to_the_portal() {
    let mut browser = browser_with(&[], json!({})).await;
    for intent in INTENTS {
        let response = submit(&mut browser, intent).await.expect(303);
        assert_eq!(response.header("location"), LINK);
        assert_eq!(response.header("cache-control"), "no-store");
    }
    let expected = INTENTS.map(|intent| {
        json!({"organization": "org_1", "intent": intent, "return_url": format!("{ORIGIN}/account")})
    });
    assert_eq!(browser.app.authkit.portal_requests(), expected);
    let logged = logs::take();
    for intent in INTENTS {
        let made = format!(r#""intent":"{intent}""#);
        let is_made =
            |line: &&String| line.contains(r#""event":"portal_link_made""#) && line.contains(&made);
        assert_eq!(logged.iter().filter(is_made).count(), 1, "{logged:?}");
    }
    // The link is as good as the administrator's session.
    assert!(!logged.join("\n").contains("portal_1"), "{logged:?}");
}

#[tokio::test]
async fn clients_of_a_session_get_the_link() {
    let mut browser = browser_with(&[], json!({})).await;
    assert_eq!(browser.post(PATH, SSO).await.expect(200).json(), json!({"link": LINK}));
    let app = browser.app.clone();
    let token = app.authkit.access_token(ADA);
    assert_eq!(app.bearer(&token).post(PATH, SSO).await.expect(200).json(), json!({"link": LINK}));
    app.anonymous().post(PATH, SSO).await.expect(401);
}

#[tokio::test]
async fn role_or_permission_of_the_variable_opens_the_portal() {
    let manager = [("WORKOS_PORTAL_PERMISSION", "organization:manage")];
    let admins: [Value; 2] =
        [json!({"role": "admin", "roles": []}), json!({"role": "x", "roles": ["y", "admin"]})];
    for (variables, claims, is_allowed) in [
        (&[][..], admins[0].clone(), true),
        (&[], admins[1].clone(), true),
        (&[], json!({"role": "x", "roles": [], "permissions": ["admin"]}), true),
        (&[], json!({"role": "member", "roles": ["member"]}), false),
        (&[], json!({"role": null, "roles": null}), false),
        (&[], json!({"role": "administrator", "roles": ["Admin"]}), false),
        (&manager, admins[0].clone(), false),
        (&manager, json!({"permissions": ["organization:manage"]}), true),
        (&manager, json!({"role": "organization:manage"}), true),
    ] {
        let mut browser = browser_with(variables, claims.clone()).await;
        let page = browser.open("/account").await.expect(200);
        assert_eq!(page.body.contains(PATH), is_allowed, "{claims}: {}", page.body);
        let response = browser.post(PATH, SSO).await;
        assert_eq!(response.status, if is_allowed { 200 } else { 403 }, "{claims}: {response:?}");
    }
}

#[tokio::test]
async fn refused_user_is_told_what_is_needed() {
    let mut browser = browser_with(&[], json!({"role": "member", "roles": ["member"]})).await;
    let sentence = "The Admin Portal needs the role or permission admin: ask an administrator of your organization";
    assert_eq!(browser.post(PATH, SSO).await.expect(403).detail(), sentence);
    // The refusal comes before faults of the input.
    browser.post(PATH, "{").await.expect(403);
    let page = submit(&mut browser, "sso").await.expect(403);
    assert_has(&page, &[sentence, "href=\"/account\""]);
    assert_inert(&page);
    assert_eq!(browser.app.authkit.count(PORTAL), 0);
    let logged = logs::take();
    let refused = logged.iter().filter(|line| line.contains(r#""event":"portal_refused""#)).count();
    assert_eq!(refused, 3, "{logged:?}");
}

#[tokio::test]
async fn portal_needs_an_organization() {
    let app = TestApp::new();
    let mut claims = app.authkit.claims(ADA);
    claims.as_object_mut().unwrap().remove("org_id");
    let key = &crate::support::authkit::CURRENT;
    let token = key.sign(&key.header(), &claims);
    let response = app.bearer(&token).post(PATH, SSO).await.expect(403);
    assert_eq!(response.detail(), "Choose an organization first: sign in to one");
    assert!(!app.bearer(&token).get("/account").await.expect(200).body.contains(PATH));
}

#[tokio::test]
async fn tokens_of_clients_and_machines_open_no_portal() {
    let app = connect::app();
    let mut claims = app.authkit.connect.claims(ADA);
    claims["role"] = "admin".into();
    claims["permissions"] = json!(["admin"]);
    let machine = app.authkit.connect.machine_token("expenses:read expenses:write admin");
    for token in [connect::sign(&claims), machine] {
        let response = app.bearer(&token).post(PATH, SSO).await.expect(403);
        let detail = "The Admin Portal needs a session: the token of a client cannot open it";
        assert_eq!(response.detail(), detail);
    }
    assert_eq!(app.authkit.count(PORTAL), 0);
}

#[tokio::test]
async fn other_intents_are_422() {
    let mut browser = browser_with(&[], json!({})).await;
    let expected = "'sso', 'dsync', 'domain_verification' or 'audit_logs'";
    for intent in ["log_streams", "SSO", "", " sso", "https://evil.test"] {
        let body = json!({"intent": intent});
        let response = browser.post(PATH, body.to_string()).await.expect(422).json();
        assert_eq!(
            response["detail"],
            json!([{
                "type": "literal_error", "loc": ["body", "intent"],
                "msg": format!("Input should be {expected}"), "input": intent,
                "ctx": {"expected": expected},
            }])
        );
        submit(&mut browser, intent).await.expect(422);
    }
    for (body, kind) in [
        ("{}", "missing"),
        (r#"{"intent": 5}"#, "string_type"),
        (r#"{"intent": "sso", "return_url": "https://evil.test"}"#, "extra_forbidden"),
        (r#"{"intent": "sso", "organization": "org_2"}"#, "extra_forbidden"),
    ] {
        let response = browser.post(PATH, body).await.expect(422).json();
        assert_eq!(response["detail"][0]["type"], kind, "{body}");
    }
    assert_eq!(browser.app.authkit.count(PORTAL), 0);
}

#[tokio::test]
async fn other_sites_open_no_portal() {
    let mut browser = browser_with(&[], json!({})).await;
    let foreign = form(PATH).header("sec-fetch-site", "cross-site");
    browser.send(foreign, form_body(&[("intent", "sso")])).await.expect(403);
    let curl = form(PATH);
    browser.send(curl, form_body(&[("intent", "sso")])).await.expect(415);
    assert_eq!(browser.app.authkit.count(PORTAL), 0);
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let response = browser.fetch(method, PATH).await.expect(405);
        assert_eq!(response.header("allow"), "POST");
    }
}

#[tokio::test]
async fn portal_during_an_outage_is_503() {
    let mut browser = browser_with(&[], json!({})).await;
    for outage in [Outage::NoAnswer, Outage::Status(500), Outage::Status(404), Outage::Status(422)]
    {
        browser.app.authkit.set_outage(Some(outage));
        let response = browser.post(PATH, SSO).await.expect(503);
        assert_eq!(response.header("retry-after"), "5");
        let page = submit(&mut browser, "sso").await.expect(503);
        assert_has(&page, &["The Admin Portal cannot be opened right now: try again soon."]);
        assert_eq!(page.set_cookies(), [""; 0]);
    }
    let logged = logs::take().join("\n");
    assert!(logged.contains(r#""operation":"portal""#), "{logged}");
    assert!(!logged.contains("portal_link_made"), "{logged}");
}

#[tokio::test]
async fn unsafe_link_is_an_outage_and_no_redirect() {
    let mut browser = browser_with(&[], json!({})).await;
    for link in [
        "http://setup.workos.com/",
        "http://localhost:4100/",
        "javascript:alert(1)",
        "/expenses",
        "//evil.test",
        "",
    ] {
        browser.app.authkit.set_portal_link(link);
        browser.post(PATH, SSO).await.expect(503);
        let response = submit(&mut browser, "sso").await.expect(503);
        assert_eq!(response.header("location"), "");
    }
}

#[tokio::test]
async fn portal_on_another_domain_is_a_link_on_a_page() {
    let mut browser = browser_with(&[], json!({})).await;
    for (link, leads) in [
        ("https://setup.workos.com/?token=a", true),
        ("https://id.workos.com/portal/launch?secret=a", true),
        ("https://workos.test/portal/sso/org_1", true),
        ("https://setup.example.test/?token=a&b=\"<b>", false),
        ("https://workos.com.evil.test/", false),
        ("https://setup.workos.com:8443/", false),
    ] {
        browser.app.authkit.set_portal_link(link);
        let response = submit(&mut browser, "sso").await;
        if leads {
            assert_eq!(response.expect(303).header("location"), link);
        } else {
            let page = response.expect(200);
            assert_has(&page, &["Open the Admin Portal", "href=\"https://"]);
            assert_eq!(page.header("location"), "");
            assert_inert(&page);
        }
    }
}

#[tokio::test]
async fn policy_of_the_account_page_allows_the_portal() {
    let form_action = |page: &TestResponse| {
        let policy = page.header("content-security-policy");
        policy.split("; ").find(|part| part.starts_with("form-action")).unwrap().to_owned()
    };
    let mut admin = browser_with(&[], json!({})).await;
    let expected = "form-action 'self' https://workos.test https://*.workos.com";
    assert_eq!(form_action(&admin.open("/account").await), expected);
    assert_eq!(
        form_action(&admin.open("/expenses").await),
        "form-action 'self' https://workos.test"
    );
    let mut member = browser_with(&[], json!({"role": "member", "roles": []})).await;
    assert_eq!(
        form_action(&member.open("/account").await),
        "form-action 'self' https://workos.test"
    );
}

#[tokio::test]
async fn account_page_of_an_administrator_has_four_buttons() {
    let mut browser = browser_with(&[], json!({})).await;
    let page = browser.open("/account").await.expect(200);
    for (intent, label) in INTENTS.into_iter().zip([
        "Set up single sign-on",
        "Directory sync",
        "Domain verification",
        "Audit logs",
    ]) {
        let button =
            format!("<button class=\"quiet\" name=\"intent\" value=\"{intent}\">{label}</button>");
        assert_has(&page, &[&button]);
    }
    assert_inert(&page);
}

#[tokio::test]
async fn portal_follows_the_role_of_the_organization() {
    let mut browser = browser_with(&[], json!({})).await;
    browser.app.authkit.set_extra_claims(json!({"role": "member", "roles": ["member"]}));
    browser.submit("/organization", &[("organization_id", "org_2")]).await.expect(303);
    submit(&mut browser, "sso").await.expect(403);
    assert!(!browser.open("/account").await.body.contains(PATH));
}

#[tokio::test]
async fn portal_links_count_for_the_limit_of_accounts() {
    let app = TestApp::new();
    let limit = MemoryRateLimit::new(2, 60, Arc::clone(&app.clock) as _);
    let host = MemoryHost::default().with_rate_limit("ACCOUNT_RATE_LIMIT", Arc::new(limit));
    let app = TestApp { limits: CallerLimits::bound(&host), ..app }.isolate();
    let mut browser = app.signed_in(ADA).await;
    for _ in 0..2 {
        browser.post(PATH, SSO).await.expect(200);
    }
    assert_eq!(browser.post(PATH, SSO).await.expect(429).header("retry-after"), "60");
    app.clock.advance(Duration::seconds(60));
    browser.post(PATH, SSO).await.expect(200);
}
