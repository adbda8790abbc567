//! The caller's organizations: `GET /organizations`, and the list on the account's page. [`crate::refresh`] and
//! [`crate::forms`] test the switch.

use chrono::Duration;
use http::header;
use serde_json::{Value, json};

use crate::{
    pages::{assert_has, assert_inert},
    support::{
        ADA, Client, GRACE, TestApp,
        app::request,
        authkit::{MEMBERSHIPS, Outage, membership},
        connect, logs,
    },
};

fn expected(current: &str) -> Value {
    json!([
        {"id": "org_1", "name": "Analytical Engines", "role": "admin", "is_current": current == "org_1"},
        {"id": "org_2", "name": "Compilers Company", "role": "member", "is_current": current == "org_2"},
    ])
}

#[tokio::test]
async fn session_and_token_list_the_same_organizations() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    assert_eq!(browser.get("/organizations").await.expect(200).json(), expected("org_1"));
    let token = app.authkit.access_token(ADA);
    let response = app.bearer(&token).get("/organizations").await.expect(200);
    assert_eq!(response.json(), expected("org_1"));
    assert_eq!(response.header("cache-control"), "no-store");
    app.anonymous().get("/organizations").await.expect(401);
}

#[tokio::test]
async fn current_organization_follows_the_switch() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    browser.post("/organization", r#"{"organization_id": "org_2"}"#).await.expect(200);
    assert_eq!(browser.get("/organizations").await.json(), expected("org_2"));
}

#[tokio::test]
async fn organizations_are_asked_for_once_a_minute_by_user() {
    let app = TestApp::new();
    let (mut ada, mut grace) = (app.signed_in(ADA).await, app.signed_in(GRACE).await);
    for _ in 0..3 {
        ada.get("/organizations").await.expect(200);
        ada.open("/account").await.expect(200);
    }
    assert_eq!(app.authkit.count(MEMBERSHIPS), 1);
    app.authkit.set_memberships(GRACE, &[membership("org_9", "Nine", "owner")]);
    let graces = grace.get("/organizations").await.json();
    assert_eq!(
        graces,
        json!([{"id": "org_9", "name": "Nine", "role": "owner", "is_current": false}])
    );
    app.authkit.set_memberships(ADA, &[]);
    app.clock.advance(Duration::seconds(59));
    assert_eq!(ada.get("/organizations").await.json(), expected("org_1"));
    app.clock.advance(Duration::seconds(1));
    assert_eq!(ada.get("/organizations").await.json(), json!([]));
    assert_eq!(app.authkit.count(MEMBERSHIPS), 3);
}

#[tokio::test]
async fn other_pages_and_paths_ask_for_no_organizations() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    for path in ["/", "/expenses", "/docs", "/me"] {
        browser.open(path).await.expect(200);
    }
    assert_eq!(app.authkit.count(MEMBERSHIPS), 0);
}

#[tokio::test]
async fn machine_has_no_organizations() {
    let app = connect::app();
    let token = app.authkit.connect.machine_token("expenses:read");
    assert_eq!(app.bearer(&token).get("/organizations").await.expect(200).json(), json!([]));
    assert_eq!(app.authkit.count(MEMBERSHIPS), 0);
    // A client of a user has the user's.
    let token = app.authkit.connect.token(ADA);
    assert_eq!(
        app.bearer(&token).get("/organizations").await.expect(200).json(),
        expected("org_1")
    );
}

#[tokio::test]
async fn organizations_during_an_outage_are_503() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    for outage in [Outage::NoAnswer, Outage::Status(500), Outage::Status(403)] {
        app.authkit.set_outage(Some(outage));
        let response = browser.get("/organizations").await.expect(503);
        assert_eq!(response.header("retry-after"), "5");
        assert_eq!(response.set_cookies(), [""; 0]);
        let logged = logs::take().join("\n");
        assert!(logged.contains(r#""event":"workos_failed""#), "{logged}");
        assert!(logged.contains(r#""operation":"memberships""#), "{logged}");
    }
    app.authkit.set_outage(None);
    assert_eq!(browser.get("/organizations").await.json(), expected("org_1"));
}

#[tokio::test]
async fn account_page_lists_organizations_by_name() {
    let app = TestApp::new();
    let page = app.signed_in(ADA).await.open("/account").await.expect(200);
    assert_has(
        &page,
        &[
            "<bdi>Test</bdi>, <bdi>ada@example.com</bdi>",
            "<dd><bdi>Analytical Engines</bdi> as <bdi>admin</bdi></dd>",
            "name=\"organization_id\" value=\"org_2\"",
            "<form method=\"post\" action=\"/organization\">",
        ],
    );
    // Nobody types an id, and nobody reads one.
    assert!(!page.body.contains("<input") && !page.body.contains(">org_"), "{}", page.body);
    assert_inert(&page);
}

#[tokio::test]
async fn account_page_during_an_outage_has_no_list() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    app.authkit.set_outage(Some(Outage::NoAnswer));
    let page = browser.open("/account").await.expect(200);
    let sentence = "Your organizations cannot be shown right now. Try again in a moment.";
    assert_has(&page, &[sentence, "<code>org_1</code> as <bdi>admin</bdi>"]);
    assert!(!page.body.contains("belong to no organization"), "{}", page.body);
    assert_inert(&page);
}

#[tokio::test]
async fn names_of_organizations_are_escaped() {
    let app = TestApp::new();
    let evil = "\"><script>alert(1)</script><b>'&";
    app.authkit
        .set_memberships(ADA, &[membership("org_1", evil, evil), membership(evil, evil, "x")]);
    let mut browser = app.signed_in(ADA).await;
    let page = browser.open("/account").await.expect(200);
    assert_has(&page, &["&lt;script&gt;alert(1)"]);
    assert_inert(&page);
    let json = browser.get("/organizations").await.json();
    assert_eq!(json[0]["name"], evil);
}

#[tokio::test]
async fn account_page_needs_a_session() {
    let app = TestApp::new();
    let response = app.browser().open("/account").await.expect(302);
    assert_eq!(response.header("location"), "/login?return_to=%2Faccount");
    app.anonymous().get("/account").await.expect(401);
    let head = request(http::Method::HEAD, "/account").header(header::ACCEPT, "text/html");
    let mut browser = app.signed_in(ADA).await;
    browser.send(head, axum::body::Body::empty()).await.expect(200);
}
