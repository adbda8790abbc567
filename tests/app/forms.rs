//! The forms on pages: add, edit and delete an expense, switch the organization. Each is an urlencoded `POST`.

use chrono::Duration;
use http::{Method, header};
use serde_json::{Value, json};

use crate::{
    pages::{add, assert_has, assert_inert},
    support::{
        ADA, Client, GRACE, TestApp,
        app::{Browser, TestResponse, form, form_body, request},
        authkit::Outage,
    },
};

const LUNCH: [(&str, &str); 6] = [
    ("idempotency_key", "a-key"),
    ("description", "Team lunch"),
    ("amount", "42,50"),
    ("currency", "eur"),
    ("category", ""),
    ("date", "2026-11-20"),
];

/// [`LUNCH`] with one field changed.
fn lunch(name: &'static str, value: &'static str) -> Vec<(&'static str, &'static str)> {
    LUNCH.into_iter().map(|field| if field.0 == name { (name, value) } else { field }).collect()
}

async fn listed(browser: &mut Browser) -> Vec<Value> {
    let list = browser.get("/expenses").await.expect(200).json();
    list.as_array().unwrap().clone()
}

/// Follows the redirect of a form that succeeded.
async fn follow(browser: &mut Browser, response: TestResponse) -> TestResponse {
    let response = response.expect(303);
    browser.open(response.header("location")).await.expect(200)
}

#[tokio::test]
async fn form_adds_an_expense_and_the_list_confirms_it() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    let response = browser.submit("/expenses", &LUNCH).await;
    let page = follow(&mut browser, response).await;
    assert_has(&page, &["role=\"status\"><p id=\"notice\">Added “<bdi>Team lunch</bdi>”, "]);
    let expense = listed(&mut browser).await.remove(0);
    for (name, value) in [("currency", "EUR"), ("category", "other"), ("date", "2026-11-20")] {
        assert_eq!(expense[name], value);
    }
    assert_eq!(expense["amount"].to_string(), "42.50");
}

#[tokio::test]
async fn form_behind_a_staging_password_adds_an_expense() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    let behind_password = |path: &str| {
        form(path)
            .header("sec-fetch-site", "same-origin")
            .header(header::AUTHORIZATION, "Basic c3RhZ2luZzpwYXNzd29yZA==")
    };
    browser.send(behind_password("/expenses"), form_body(&LUNCH)).await.expect(303);
    let id = listed(&mut browser).await[0]["id"].as_str().unwrap().to_owned();
    for path in [format!("/expenses/{id}"), format!("/expenses/{id}/delete")] {
        browser.send(behind_password(&path), form_body(&LUNCH)).await.expect(303);
    }
    assert!(listed(&mut browser).await.is_empty());
}

#[tokio::test]
async fn form_without_a_date_gets_the_local_date() {
    let app = TestApp::new().in_time_zone(13); // 2026-11-24T01:00 there
    let mut browser = app.signed_in(ADA).await;
    let fields = LUNCH.into_iter().filter(|(name, _)| !["date", "currency"].contains(name));
    browser.submit("/expenses", &fields.collect::<Vec<_>>()).await.expect(303);
    let added = &listed(&mut browser).await[0];
    assert_eq!((&added["date"], &added["currency"]), (&json!("2026-11-24"), &json!("USD")));
    // Browsers send an empty date for one that does not exist.
    for (name, value) in [("date", "soon"), ("date", ""), ("currency", "")] {
        let page = browser.submit("/expenses", &lunch(name, value)).await.expect(422);
        assert_has(&page, &[&format!("id=\"{name}-error\"")]);
    }
    assert_eq!(listed(&mut browser).await.len(), 1);
}

#[tokio::test]
async fn change_and_deletion_may_be_sent_twice() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    let id = add(&mut browser, json!({})).await;
    let path = format!("/expenses/{id}");
    let page = browser.open(&path).await;
    let (_, version) = page.body.split_once("name=\"version\" value=\"").unwrap();
    let version = version.split_once('"').unwrap().0;
    let fields = [("amount", "11"), ("version", version)];
    let first = browser.submit(&path, &fields).await.expect(303);
    let second = browser.submit(&path, &fields).await.expect(303);
    assert_eq!(first.set_cookies(), second.set_cookies());
    let other = browser.submit(&path, &[("amount", "12"), ("version", version)]).await;
    assert_has(&other.expect(409), &["Not saved"]);

    let path = format!("{path}/delete");
    browser.submit(&path, &[]).await.expect(303);
    let response = browser.submit(&path, &[]).await;
    let page = follow(&mut browser, response).await;
    assert_has(&page, &["Deleted “<bdi>Lunch</bdi>”, USD\u{a0}11.00.", ">Undo</button>"]);
}

#[tokio::test]
async fn form_accepts_an_amount_as_the_page_prints_it() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    browser.submit("/expenses", &lunch("amount", "€1,234.50")).await.expect(303);
    assert_eq!(listed(&mut browser).await[0]["amount"].to_string(), "1234.50");
    let page = browser.submit("/expenses", &lunch("amount", "$130.00")).await.expect(422);
    assert_has(&page, &["“$” does not stand for EUR", "value=\"$130.00\""]);
}

#[tokio::test]
async fn form_sent_twice_adds_one_expense() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    let page = browser.open("/expenses").await;
    let (_, key) = page.body.split_once("name=\"idempotency_key\" value=\"").unwrap();
    let key = key.split_once('"').unwrap().0;
    let mut fields = LUNCH;
    fields[0].1 = key;
    let mut other_tab = browser.clone();
    let (one, two) =
        tokio::join!(browser.submit("/expenses", &fields), other_tab.submit("/expenses", &fields));
    // The messages name the expense.
    assert_eq!(one.expect(303).set_cookies(), two.expect(303).set_cookies());
    browser.submit("/expenses", &fields).await.expect(303);
    assert_eq!(listed(&mut browser).await.len(), 1);
    assert!(!browser.open("/expenses").await.body.contains(key), "the next form has its own");
}

#[tokio::test]
async fn form_resent_with_other_values_is_not_saved() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    browser.submit("/expenses", &LUNCH).await.expect(303);
    let page = browser.submit("/expenses", &lunch("description", "Dinner")).await.expect(422);
    assert_has(&page, &["This form has already added an expense", "value=\"Dinner\""]);
    assert!(!page.body.contains("value=\"a-key\""), "the returned form has a new key");
    assert_eq!(listed(&mut browser).await.len(), 1);
}

#[tokio::test]
async fn invalid_form_shows_errors_and_keeps_input() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    let long = "x".repeat(201);
    for (field, value, words) in [
        ("description", " ", "Say what it was"),
        ("description", &long, "Use at most 200 characters for the description: these are 201."),
        ("amount", "", "Give the amount"),
        ("amount", "1.234", "can be read as 1234 or as a little more than 1."),
        ("amount", "much", "Enter only a number"),
        ("amount", "-1", "more than zero"),
        ("amount", "99999999999", "too large"),
        ("currency", "euro", "three letters"),
        ("category", &long[..51], "Use at most 50 characters"),
        ("date", "2026-02-30", "Give a day that exists"),
        ("date", "yesterday", "Give a day that exists"),
    ] {
        let mut fields = LUNCH;
        fields.iter_mut().find(|(name, _)| *name == field).unwrap().1 = value;
        let page = browser.submit("/expenses", &fields).await.expect(422);
        let error = format!("<p class=\"error\" id=\"{field}-error\">");
        let link = format!("<a href=\"#{field}\">");
        let kept = format!("id=\"{field}\" name=\"{field}\" value=\"{value}\"");
        assert_has(&page, &[words, &error, &link, &kept, "role=\"alert\"", "value=\"a-key\""]);
        assert_has(&page, &["aria-invalid=\"true\"", &format!("aria-describedby=\"{field}-error")]);
        assert_eq!(page.body.matches("class=\"error\"").count(), 1);
        assert!(page.body.contains("<title>Error: "));
    }
    let everything = browser.submit("/expenses", &[]).await.expect(422);
    assert_eq!(everything.body.matches("class=\"error\"").count(), 2);
    assert!(listed(&mut browser).await.is_empty());
}

#[tokio::test]
async fn returned_input_is_escaped() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    let evil = "\"><script>alert(1)</script><b>'&";
    let fields = ["idempotency_key", "description", "amount", "currency", "category", "date"]
        .map(|name| (name, evil));
    let page = browser.submit("/expenses", &fields).await.expect(422);
    assert_eq!(page.body.matches("&quot;&gt;&lt;script&gt;").count(), 6);
    assert_inert(&page);
    assert_inert(&app.browser().submit("/expenses", &fields).await.expect(401));
}

#[tokio::test]
async fn form_edits_in_the_visitors_number_format() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    let id = add(&mut browser, json!({"amount": "1234.50", "currency": "EUR"})).await;
    let path = format!("/expenses/{id}");
    let german = request(Method::GET, &path)
        .header(header::ACCEPT, "text/html")
        .header(header::ACCEPT_LANGUAGE, "de");
    let page = browser.send(german, axum::body::Body::empty()).await.expect(200);
    let action = format!("<form class=\"entry\" method=\"post\" action=\"{path}\"");
    assert_has(&page, &["name=\"amount\" value=\"1234,50\"", "1.234,50\u{a0}€", &action]);
    assert!(!page.body.contains("idempotency_key"));

    let response = browser.submit(&path, &[("amount", "1234,75"), ("category", "")]).await;
    let page = follow(&mut browser, response).await;
    assert_has(&page, &["role=\"status\"><p id=\"notice\">Changed “<bdi>Lunch</bdi>”"]);
    let expense = listed(&mut browser).await.remove(0);
    assert_eq!(
        (expense["amount"].to_string(), &expense["category"]),
        ("1234.75".into(), &json!("other"))
    );
    assert_eq!(expense["description"], "Lunch");

    let page = browser.submit(&path, &[("date", ""), ("currency", "€")]).await.expect(422);
    assert_has(&page, &["id=\"date-error\"", "id=\"currency-error\"", "value=\"€\"", &action]);
}

#[tokio::test]
async fn expense_is_deleted_after_confirmation() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    let id = add(&mut browser, json!({})).await;
    let path = format!("/expenses/{id}/delete");
    let question = browser.open(&path).await.expect(200);
    assert_has(&question, &["Delete this expense?", &format!("method=\"post\" action=\"{path}\"")]);
    assert_eq!(listed(&mut browser).await.len(), 1);
    let response = browser.submit(&path, &[]).await;
    let page = follow(&mut browser, response).await;
    assert_has(&page, &["Deleted “<bdi>Lunch</bdi>”, USD\u{a0}10.00.", "Nothing here yet"]);
    app.pass(chrono::Duration::minutes(11)).await;
    assert_has(&browser.submit(&path, &[]).await.expect(404), &["it may be deleted already"]);
}

#[tokio::test]
async fn deleted_expense_is_restored_from_the_message() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    let id = add(&mut browser, json!({})).await;
    let delete = format!("/expenses/{id}/delete");
    let restore = format!("/expenses/{id}/restore");
    let response = browser.submit(&delete, &[]).await;
    let page = follow(&mut browser, response).await;
    let undo = format!("<form method=\"post\" action=\"{restore}\"><button");
    assert_has(&page, &[&undo, ">Undo</button>"]);
    let response = browser.submit(&restore, &[]).await;
    let page = follow(&mut browser, response).await;
    assert_has(&page, &["Restored “<bdi>Lunch</bdi>”, USD\u{a0}10.00.", &format!("{id}/delete")]);
    // A double click.
    browser.submit(&restore, &[]).await.expect(303);
    assert_eq!(listed(&mut browser).await.len(), 1);

    // Another tab has restored it before the page of the deletion is shown.
    let response = browser.submit(&delete, &[]).await;
    browser.clone().submit(&restore, &[]).await.expect(303);
    let page = follow(&mut browser, response).await;
    assert_has(&page, &["<p id=\"notice\">Deleted.</p></div>"]);

    browser.submit(&delete, &[]).await.expect(303);
    app.pass(Duration::minutes(15)).await;
    let page = browser.submit(&restore, &[]).await.expect(404);
    assert_has(&page, &["cannot be restored"]);
}

#[tokio::test]
async fn deletion_during_a_ledger_outage_still_offers_undo() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    let id = add(&mut browser, json!({})).await;
    let response = browser.submit(&format!("/expenses/{id}/delete"), &[]).await;
    app.ledgers.set_unreachable(true);
    let page = follow(&mut browser, response).await;
    assert_has(&page, &["<p id=\"notice\">Deleted.</p><form", ">Undo</button>"]);
    let page = browser.submit(&format!("/expenses/{id}/restore"), &[]).await.expect(503);
    assert_has(&page, &["may or may not have been"]);
}

#[tokio::test]
async fn message_of_a_form_is_shown_once() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    let response = browser.submit("/expenses", &LUNCH).await.expect(303);
    assert_eq!(response.header("location"), "/expenses");
    let cookie = browser.cookie("__Host-expenses-notice").unwrap();
    assert!(cookie.starts_with("added."), "{cookie}");
    let mut other_tab = browser.clone();
    let page = browser.open("/expenses").await.expect(200);
    assert_has(&page, &["role=\"status\""]);
    assert_eq!(page.header("cache-control"), "no-store");
    assert!(browser.cookie("__Host-expenses-notice").is_none(), "{:?}", browser.cookies);
    let again = browser.open("/expenses").await.expect(200);
    assert!(!again.body.contains("role=\"status\"") && !again.body.contains("autofocus"));
    assert_eq!(again.set_cookies(), [""; 0]);
    // The home page is the same page; JSON leaves the message for the next page.
    other_tab.get("/expenses").await.expect(200);
    assert_has(&other_tab.open("/").await.expect(200), &["<p id=\"notice\">Added"]);

    // Addresses of earlier versions show the list.
    for query in ["added=7ZZZZZZZZZ0123456789ABCDEF", "changed=x", "deleted=1", "switched=1"] {
        let page = browser.open(&format!("/expenses?{query}")).await.expect(200);
        assert!(!page.body.contains("role=\"status\""), "{query}");
    }
    for value in ["added.x", "added", "<b>", "deleted.7ZZZZZZZZZ0123456789ABCDEF"] {
        let request = request(Method::GET, "/expenses").header(header::ACCEPT, "text/html");
        let mut browser = browser.clone();
        browser.cookies.push(crate::support::app::Cookie {
            name: "__Host-expenses-notice".into(),
            value: value.into(),
            path: "/".into(),
            domain: None,
        });
        let page = browser.send(request, axum::body::Body::empty()).await.expect(200);
        assert_inert(&page);
        assert!(!page.body.contains("Undo"), "{value}");
    }
}

#[tokio::test]
async fn form_after_an_addition_keeps_date_and_category() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    let focused = "name=\"description\" value=\"\" type=\"text\" dir=\"auto\" required \
        aria-describedby=\"notice\" autofocus";
    let response = browser.submit("/expenses", &lunch("category", "meals")).await;
    let page = follow(&mut browser, response).await;
    let (date, category) =
        ("name=\"date\" value=\"2026-11-20\"", "name=\"category\" value=\"meals\"");
    assert_has(&page, &[date, category, focused, "name=\"amount\" value=\"\""]);
    let page = browser.open("/expenses").await.expect(200);
    assert_has(&page, &["name=\"date\" value=\"2026-11-23\"", "name=\"category\" value=\"\""]);

    // A field that was empty stays so.
    let mut fields = LUNCH;
    fields[0].1 = "b-key";
    let response = browser.submit("/expenses", &fields).await;
    let page = follow(&mut browser, response).await;
    assert_has(&page, &[date, "name=\"category\" value=\"\"", focused]);
    // The message of a change leaves the focus alone.
    let id = add(&mut browser, json!({})).await;
    let response = browser.submit(&format!("/expenses/{id}"), &[("amount", "3")]).await;
    let page = follow(&mut browser, response).await;
    assert!(!page.body.contains("autofocus"), "{}", page.body);
}

#[tokio::test]
async fn form_for_another_users_expense_is_404() {
    let app = TestApp::new();
    let mut ada = app.signed_in(ADA).await;
    let id = add(&mut ada, json!({})).await;
    let mut grace = app.signed_in(GRACE).await;
    grace.submit(&format!("/expenses/{id}"), &LUNCH).await.expect(404);
    grace.submit(&format!("/expenses/{id}/delete"), &[]).await.expect(404);
    grace.submit(&format!("/expenses/{id}/restore"), &[]).await.expect(404);
    grace.submit("/expenses/unknown", &LUNCH).await.expect(404);
    assert_eq!(listed(&mut ada).await[0]["description"], "Lunch");
}

#[tokio::test]
async fn form_needs_own_origin_and_session() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    let id = add(&mut browser, json!({})).await;
    let paths =
        ["/expenses".to_owned(), format!("/expenses/{id}"), format!("/expenses/{id}/delete")];
    let foreign = form(&format!("/expenses/{id}/restore")).header("sec-fetch-site", "cross-site");
    browser.send(foreign, form_body(&[])).await.expect(403);
    for path in &paths {
        for (name, value) in [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("origin", "https://evil.test"),
            ("origin", "null"),
        ] {
            let request = form(path).header(name, value);
            let page = browser.send(request, form_body(&LUNCH)).await.expect(403);
            assert_has(&page, &["<h1>Not allowed</h1>"]);
        }
        // As curl sends it, without headers about its origin.
        let status = browser.send(form(path), form_body(&LUNCH)).await.status.as_u16();
        assert_eq!(status, if path == "/expenses" { 415 } else { 403 }, "{path}");
        let token = app.authkit.access_token(ADA);
        let request = form(path)
            .header("sec-fetch-site", "same-origin")
            .header(header::AUTHORIZATION, format!("Bearer {token}"));
        let status = app.send(request.body(form_body(&LUNCH)).unwrap()).await.status.as_u16();
        assert_eq!(status, if path == "/expenses" { 415 } else { 403 }, "{path}");
        if path != "/expenses" {
            // Clients other than browsers cannot `POST` here.
            let response = browser.post(path, "{}").await.expect(405);
            assert!(response.header("allow").starts_with("GET"), "{response:?}");
        }
    }
    // Older browsers send `Origin` and no `Sec-Fetch-Site`.
    let old = form("/expenses").header("origin", crate::support::app::ORIGIN);
    browser.send(old, form_body(&LUNCH)).await.expect(303);
    assert_eq!(listed(&mut browser).await.len(), 2);
}

#[tokio::test]
async fn form_keeps_input_when_the_session_has_ended() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    let id = add(&mut browser, json!({})).await;
    let cookies = browser.cookies.clone();
    app.authkit.end_sessions();
    app.clock.advance(Duration::hours(1));
    for path in ["/expenses", &format!("/expenses/{id}")] {
        browser.cookies.clone_from(&cookies);
        let page = browser.submit(path, &LUNCH).await.expect(401);
        assert_has(
            &page,
            &[
                "You are signed out",
                "href=\"/login\"",
                "value=\"Team lunch\"",
                "value=\"42,50\"",
                &format!("action=\"{path}\""),
            ],
        );
    }
    browser.sign_in(ADA).await;
    browser.submit("/expenses", &LUNCH).await.expect(303);
    assert_eq!(listed(&mut browser).await.len(), 2);
}

#[tokio::test]
async fn form_retried_after_an_outage_adds_one_expense() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    let id = add(&mut browser, json!({})).await;
    let change = format!("/expenses/{id}");
    for loses_responses in [false, true] {
        app.ledgers.set_unreachable(!loses_responses);
        app.ledgers.lose_responses(loses_responses);
        for path in ["/expenses", &change] {
            let page = browser.submit(path, &LUNCH).await.expect(503);
            assert_has(
                &page,
                &["This may not have been saved", "value=\"42,50\"", "ray-of-the-test"],
            );
            assert!(!page.header("retry-after").is_empty());
            assert!(!page.body.contains("Idempotency-Key"));
        }
    }
    app.ledgers.lose_responses(false);
    browser.submit("/expenses", &LUNCH).await.expect(303);
    assert_eq!(listed(&mut browser).await.len(), 2);

    app.clock.advance(Duration::hours(1));
    app.authkit.set_outage(Some(Outage::NoAnswer));
    let page = browser.submit("/expenses", &lunch("idempotency_key", "b")).await.expect(503);
    assert_has(&page, &["value=\"Team lunch\"", "value=\"b\"", "ray-of-the-test"]);
}

#[tokio::test]
async fn change_of_an_expense_that_kv_lacks_keeps_its_input() {
    let app = TestApp::new().without_background();
    let mut browser = app.signed_in(ADA).await;
    let id = add(&mut browser, json!({})).await;
    app.ledgers.set_unreachable(true);
    let page = browser.submit(&format!("/expenses/{id}"), &LUNCH).await.expect(503);
    assert_has(&page, &["cannot be reached right now", "value=\"42,50\""]);
    app.ledgers.set_unreachable(false);
    browser.submit(&format!("/expenses/{id}"), &LUNCH).await.expect(303);
}

#[tokio::test]
async fn form_over_the_limit_is_a_413_page() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    let long = "x".repeat(64 * 1024);
    let page = browser.submit("/expenses", &[("description", &long)]).await.expect(413);
    assert_has(&page, &["<h1>Too long</h1>"]);
}

#[tokio::test]
async fn form_switches_the_organization() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    let response = browser.submit("/organization", &[("organization_id", "org_2")]).await;
    let page = follow(&mut browser, response).await;
    assert_has(
        &page,
        &["<h1>Your account</h1>", "Organization switched.", "<bdi>Compilers Company</bdi>"],
    );

    let refusal = json!({"error": "sso_required", "error_description": "SSO <b>"});
    app.authkit.close_organization("org_3", refusal);
    let page = browser.submit("/organization", &[("organization_id", "org_3")]).await.expect(403);
    assert_has(&page, &["href=\"/login?organization_id=org_3\">Sign in to that organization"]);
    assert_inert(&page);
    browser.submit("/organization", &[("organization_id", " ")]).await.expect(422);

    let foreign = form("/organization").header("sec-fetch-site", "cross-site");
    browser.send(foreign, form_body(&[("organization_id", "org_other")])).await.expect(403);
    let curl = form("/organization");
    browser.send(curl, form_body(&[("organization_id", "org_other")])).await.expect(415);
}
