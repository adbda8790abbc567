//! `/`.

use http::Method;

use crate::support::{ADA, TestApp};

#[tokio::test]
async fn home_says_what_this_is_and_how_to_sign_in() {
    let app = TestApp::new();
    let page = app.browser().open("/").await.expect(200);
    assert!(page.body.contains("href=\"/login\""), "{}", page.body);
}

#[tokio::test]
async fn home_says_who_is_signed_in_and_how_to_sign_out() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    let page = browser.open("/").await.expect(200);
    assert!(page.body.contains("ada@example.com"), "{}", page.body);
    assert!(page.body.contains("<form method=\"post\" action=\"/logout\">"), "{}", page.body);
    browser.fetch(Method::POST, "/logout").await.expect(303);
    assert!(browser.open("/").await.expect(200).body.contains("href=\"/login\""));
}

#[tokio::test]
async fn home_lists_where_things_are_for_a_client_that_wants_json() {
    let app = TestApp::new();
    assert_eq!(app.get("/").await.expect(200).json()["expenses"], "/expenses");
}
