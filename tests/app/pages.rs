//! The pages at `/`, `/expenses` and `/expenses/{id}`. [`crate::forms`] tests their forms.

use std::collections::BTreeMap;

use chrono::Duration;
use edge_host::KV_LIST_MAX_KEYS;
use http::{Method, header};
use serde_json::{Value, json};

use crate::support::{
    ADA, Client, GRACE, KvOperation, TestApp,
    app::{Browser, TestResponse, request},
    authkit::Outage,
};

/// Adds 10 USD for "Lunch", with `changes`.
pub async fn add(browser: &mut Browser, changes: Value) -> String {
    let mut body = json!({"description": "Lunch", "amount": "10.00", "category": "meals"});
    body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    let expense = browser.post("/expenses", body.to_string()).await.expect(201).json();
    expense["id"].as_str().unwrap().to_owned()
}

async fn open_in(browser: &mut Browser, language: &str, path: &str) -> TestResponse {
    let request = request(Method::GET, path)
        .header(header::ACCEPT, "text/html")
        .header(header::ACCEPT_LANGUAGE, language);
    browser.send(request, axum::body::Body::empty()).await
}

#[track_caller]
pub fn assert_has(page: &TestResponse, texts: &[&str]) {
    for text in texts {
        assert!(page.body.contains(text), "{text:?} is not in: {}", page.body);
    }
}

/// Checks that the page contains nothing the policy blocks, and no markup from user text.
#[track_caller]
pub fn assert_inert(page: &TestResponse) {
    let (head, body) = page.body.split_once("<body>").unwrap();
    // The one script; the policy allows it by its hash.
    let head = head.split_once("<script>").map_or(head.to_owned(), |(before, rest)| {
        before.to_owned() + rest.split_once("</script>").unwrap().1
    });
    for forbidden in ["<script", " style=", " onload", " onerror", "javascript:", "<img", "<b>"] {
        assert!(!head.contains(forbidden) && !body.contains(forbidden), "{forbidden}: {body}");
    }
    assert!(!body.contains("<style"));
}

#[tokio::test]
async fn home_without_a_session_links_to_sign_in() {
    let app = TestApp::new();
    let page = app.browser().open("/").await.expect(200);
    assert_has(&page, &["href=\"/login\"", "Sign in", "<h1>"]);
    assert!(!page.body.contains("Sign out"));
    assert_inert(&page);
}

#[tokio::test]
async fn home_with_a_session_is_the_overview() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    let page = browser.open("/").await.expect(200);
    assert_has(&page, &["ada@example.com", "<form method=\"post\" action=\"/logout\">"]);
    browser.fetch(Method::POST, "/logout").await.expect(303);
    assert!(browser.open("/").await.expect(200).body.contains("href=\"/login\""));
}

#[tokio::test]
async fn policy_of_pages_has_every_directive() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    for page in [browser.open("/").await.expect(200), browser.open("/nowhere").await.expect(404)] {
        let mut policy = page.policy();
        let script = policy.remove("script-src").unwrap();
        let is_hash = script.starts_with("'sha256-") && script.len() == "'sha256-'".len() + 44;
        assert!(is_hash, "{script}");
        let expected = BTreeMap::from([
            ("default-src", "'none'"),
            ("style-src", "'self'"),
            ("img-src", "data:"),
            ("form-action", "'self' https://workos.test"),
            ("base-uri", "'none'"),
            ("frame-ancestors", "'none'"),
        ]);
        assert_eq!(policy, expected);
    }
}

#[tokio::test]
async fn home_lists_paths_for_json_clients() {
    let app = TestApp::new();
    assert_eq!(app.anonymous().get("/").await.expect(200).json()["expenses"], "/expenses");
}

#[tokio::test]
async fn home_during_an_outage_is_503() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    app.clock.advance(Duration::hours(1));
    app.authkit.set_outage(Some(Outage::NoAnswer));
    let page = browser.open("/").await.expect(503);
    assert_has(&page, &["<h1>Temporarily unavailable</h1>", "<code>ray-of-the-test</code>"]);
    assert!(!page.body.contains("href=\"/login\""));
}

#[tokio::test]
async fn empty_list_shows_the_add_form() {
    let app = TestApp::new();
    let page = app.signed_in(ADA).await.open("/expenses").await.expect(200);
    assert_has(&page, &["Nothing here yet", "name=\"idempotency_key\"", "value=\"2026-11-23\""]);
    assert!(!page.body.contains("<figure"));
}

#[tokio::test]
async fn kv_failure_is_a_503_page() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    let id = app.store_expense(ADA, "Lunch");
    for path in [
        "/",
        "/expenses?from=2026-01-01",
        &format!("/expenses/{id}"),
        &format!("/expenses/{id}/delete"),
    ] {
        app.kv.fail(Some(if path.contains(&id) { KvOperation::Get } else { KvOperation::List }));
        let page = browser.open(path).await.expect(503);
        assert_eq!(page.header("retry-after"), "2");
        let again = format!("href=\"{path}\">Try again");
        assert_has(&page, &["cannot be reached right now", "ray-of-the-test", &again]);
        assert!(!page.body.contains("Nothing here yet"));
        let length = page.header("content-length");
        assert!(length.is_empty() || length == page.body.len().to_string(), "{length}");
    }
}

#[tokio::test]
async fn pages_show_only_the_visitors_expenses() {
    let app = TestApp::new();
    let id = add(&mut app.signed_in(ADA).await, json!({"description": "Of Ada"})).await;
    let mut grace = app.signed_in(GRACE).await;
    assert!(!grace.open("/expenses").await.expect(200).body.contains("Of Ada"));
    for path in [format!("/expenses/{id}"), format!("/expenses/{id}/delete")] {
        let page = grace.open(&path).await.expect(404);
        assert_has(&page, &["Expense not found."]);
    }
}

#[tokio::test]
async fn signed_out_visitor_is_redirected_to_sign_in() {
    let app = TestApp::new();
    let response = app.browser().open("/expenses?category=meals").await.expect(302);
    assert_eq!(response.header("location"), "/login?return_to=%2Fexpenses%3Fcategory%3Dmeals");
}

#[tokio::test]
async fn list_is_json_or_csv_for_other_clients() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    let id = add(&mut browser, json!({})).await;
    assert_eq!(browser.get("/expenses").await.expect(200).json()[0]["id"], id);
    assert_eq!(browser.get(&format!("/expenses/{id}")).await.expect(200).json()["id"], id);
    let csv = request(Method::GET, "/expenses").header(header::ACCEPT, "text/csv, text/html");
    let csv = browser.send(csv, axum::body::Body::empty()).await.expect(200);
    assert_eq!(csv.header("content-type"), "text/csv; charset=utf-8; header=present");
    let summary = browser.open("/expenses/summary").await.expect(200);
    assert_eq!(summary.json()["currencies"][0]["count"], 1);
}

#[tokio::test]
async fn list_media_type_follows_accept_weights() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    add(&mut browser, json!({})).await;
    for (accept, media_type) in [
        ("application/json, text/html;q=0.1", "application/json"),
        ("text/html;q=0.5, */*", "application/json"),
        ("application/json, text/csv;q=0.5", "application/json"),
        ("text/csv;q=0, */*", "application/json"),
        ("text/html, text/csv;q=0.1", "text/html"),
        ("text/html, */*;q=0.8", "text/html"),
        ("text/csv, text/html;q=0.5", "text/csv"),
        ("text/csv, application/json", "text/csv"),
    ] {
        let list = request(Method::GET, "/expenses").header(header::ACCEPT, accept);
        let list = browser.send(list, axum::body::Body::empty()).await.expect(200);
        let content_type = list.header("content-type");
        assert_eq!(content_type.split(';').next(), Some(media_type), "{accept}");
    }
}

#[tokio::test]
async fn overview_compares_months_per_currency_across_new_year() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    app.clock.advance(Duration::days(50)); // 2027-01-12
    for (amount, currency, date) in [
        ("100.00", "USD", "2027-01-02"),
        ("30.00", "USD", "2026-12-31"),
        ("7.00", "USD", "2026-11-30"),
        ("5.00", "EUR", "2026-12-01"),
    ] {
        add(&mut browser, json!({"amount": amount, "currency": currency, "date": date})).await;
    }
    let page = open_in(&mut browser, "en-US", "/expenses").await.expect(200);
    assert_has(
        &page,
        &[
            "January 2027",
            "<p class=\"total\">$100.00</p><p class=\"muted\">$70.00 more than in December 2026 ($30.00)",
            "<p class=\"total\">€0.00</p><p class=\"muted\">€5.00 less than in December 2026 (€5.00)",
            // The chart's columns, oldest month first.
            "<title>December 2026: $30.00</title>",
            "<title>January 2027: $100.00</title>",
        ],
    );
    // Amounts of different currencies are never added.
    assert!(!page.body.contains("142.00") && !page.body.contains("105.00"), "{}", page.body);
}

/// Hours east of Greenwich: daylight saving time in Auckland, standard time in Chicago.
const AUCKLAND: i32 = 13;
const CHICAGO: i32 = -6;

#[tokio::test]
async fn form_offers_the_local_date_in_auckland() {
    let app = TestApp::new().in_time_zone(AUCKLAND);
    app.clock.advance(Duration::hours(8)); // 2026-11-23T20:00Z, 09:00 of the next day there
    let mut browser = app.signed_in(ADA).await;
    for path in ["/", "/expenses"] {
        let page = browser.open(path).await.expect(200);
        assert_has(&page, &["name=\"date\" value=\"2026-11-24\""]);
    }
}

#[tokio::test]
async fn month_is_local_on_its_last_evening() {
    let app = TestApp::new().in_time_zone(CHICAGO);
    app.clock.advance(Duration::days(7) + Duration::hours(16)); // 2026-12-01T04:00Z, 22:00 there
    let mut browser = app.signed_in(ADA).await;
    add(&mut browser, json!({"amount": "7.00", "date": "2026-11-30"})).await;
    let page = browser.open("/expenses").await.expect(200);
    assert_has(
        &page,
        &[
            "This month<span class=\"muted\">, November 2026</span>",
            "<p class=\"total\">USD\u{a0}7.00</p><p class=\"muted\">Nothing in October 2026</p>",
            "name=\"date\" value=\"2026-11-30\"",
            "<title>November 2026: USD\u{a0}7.00</title>",
        ],
    );
    // The chart by month ends with this month too.
    assert!(!page.body.contains("December 2026"), "{}", page.body);
}

#[tokio::test]
async fn month_is_local_on_its_first_morning() {
    let app = TestApp::new().in_time_zone(AUCKLAND);
    app.clock.advance(Duration::days(7) + Duration::hours(8)); // 2026-11-30T20:00Z, 1 December there
    let mut browser = app.signed_in(ADA).await;
    add(&mut browser, json!({"date": "2026-11-30"})).await;
    let page = browser.open("/expenses").await.expect(200);
    assert_has(&page, &["December 2026", "less than in November 2026"]);
}

#[tokio::test]
async fn expense_page_shows_local_dates_of_its_timestamps() {
    let app = TestApp::new().in_time_zone(AUCKLAND);
    let mut browser = app.signed_in(ADA).await;
    let id = add(&mut browser, json!({})).await; // 2026-11-23T12:00Z, 01:00 of the next day there
    let page = browser.open(&format!("/expenses/{id}")).await.expect(200);
    assert_has(&page, &["Added on <time datetime=\"2026-11-24\">"]);
}

#[tokio::test]
async fn api_keeps_utc_for_the_default_date() {
    let app = TestApp::new().in_time_zone(AUCKLAND);
    let mut browser = app.signed_in(ADA).await;
    let id = add(&mut browser, json!({})).await;
    let expense = browser.get(&format!("/expenses/{id}")).await.expect(200).json();
    assert_eq!(expense["date"], "2026-11-23");
}

#[tokio::test]
async fn amounts_and_dates_follow_accept_language() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    add(&mut browser, json!({"amount": "1234.50", "currency": "EUR", "date": "2026-11-02"})).await;
    for (language, amount, day) in [
        ("en-US,en;q=0.9", "€1,234.50", "11/2/2026"),
        ("en-GB", "€1,234.50", "02/11/2026"),
        ("de-DE,de;q=0.9,en;q=0.8", "1.234,50\u{a0}€", "2.11.2026"),
        ("de-CH", "EUR\u{a0}1'234.50", "2.11.2026"),
        ("fr", "1\u{202f}234,50\u{a0}€", "02/11/2026"),
        ("sv", "1\u{a0}234,50\u{a0}€", "2026-11-02"),
        ("tlh", "EUR\u{a0}1\u{a0}234.50", "2026-11-02"),
    ] {
        let page = open_in(&mut browser, language, "/expenses").await.expect(200);
        let day = format!("<time datetime=\"2026-11-02\">{day}</time>");
        if language == "de-CH" {
            assert_has(&page, &["1'234.50", &day]);
        } else {
            assert_has(&page, &[amount, &day]);
        }
    }
}

#[tokio::test]
async fn charts_have_tables_for_any_data() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    add(&mut browser, json!({"category": "only one"})).await;
    let page = browser.open("/expenses").await.expect(200);
    assert_has(
        &page,
        &[
            "role=\"img\" aria-labelledby=\"bars-USD-title\" aria-describedby=\"bars-USD-desc\"",
            "<title id=\"columns-USD-title\">Spending by month in USD</title>",
            "<th scope=\"row\"><bdi>only one</bdi></th><td class=\"num\">USD\u{a0}10.00</td><td class=\"num\">100 %</td>",
        ],
    );
    for number in 0..20 {
        let category = format!("{number} {}", "ж".repeat(45));
        add(&mut browser, json!({"category": category, "amount": 100 + number})).await;
    }
    let page = browser.open("/expenses").await.expect(200);
    assert_has(&page, &["13 other categories", "…</text>"]);
    // A filter without matches shows no charts.
    let page = browser.open("/expenses?category=nothing").await.expect(200);
    assert_has(&page, &["No expenses match.", "href=\"/expenses\">Show all"]);
    assert!(!page.body.contains("<figure"));
}

#[tokio::test]
async fn user_text_is_escaped_on_every_page() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    let evil = "\"><script>alert(1)</script><img src=x onerror=1>'&";
    let id = add(&mut browser, json!({"description": evil, "category": &evil[..48]})).await;
    let query = "/expenses?category=%22%3E%3Cb%3Ex&from=%22%3E%3Cscript%3E&added=%3Cb%3E";
    for (path, status) in [
        ("/expenses".to_owned(), 200),
        (format!("/expenses?added={id}"), 200),
        (format!("/expenses/{id}"), 200),
        (format!("/expenses/{id}/delete"), 200),
        (query.to_owned(), 422),
        ("/callback?error=%3Cb%3E&error_description=%22%3E%3Cscript%3E".to_owned(), 400),
    ] {
        let page = browser.open(&path).await.expect(status);
        let text = page.body.replace(" onerror=1", "");
        assert_inert(&TestResponse { body: text, ..page });
    }
}

#[tokio::test]
async fn filter_is_kept_in_form_links_and_download() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    for number in 0..30 {
        app.clock.advance(Duration::seconds(1));
        let category = if number % 10 == 0 { "travel" } else { "meals" };
        add(&mut browser, json!({"description": format!("N{number:02}."), "category": category}))
            .await;
    }
    let page = browser.open("/expenses?from=2026-11-01&to=&category=meals").await.expect(200);
    assert_has(
        &page,
        &[
            "name=\"from\" value=\"2026-11-01\"",
            "<option value=\"meals\" selected>",
            "href=\"/expenses.csv?from=2026-11-01&amp;category=meals&amp;sort=date\"",
            "27 expenses",
        ],
    );
    assert!(!page.body.contains("N20.") && page.body.contains("N29."));
    let csv = browser.open("/expenses.csv?from=2026-11-01&category=meals").await.expect(200);
    assert_eq!(csv.body.lines().count(), 28);

    let (_, next) = page.body.split_once("rel=\"next\" href=\"").unwrap();
    let next = next.split_once('"').unwrap().0.replace("&amp;", "&");
    let older = browser.open(next.split_once('#').unwrap().0).await.expect(200);
    assert_has(&older, &["Older expenses", "N01.", "N02.", "Newest"]);
    assert!(
        !older.body.contains("N00.")
            && !older.body.contains("N29.")
            && !older.body.contains("rel=\"next\"")
    );

    let refused = browser.open("/expenses?from=soon&category=meals").await.expect(422);
    assert_has(
        &refused,
        &[
            "name=\"from\" value=\"soon\" aria-invalid=\"true\" aria-describedby=\"from-error\"",
            "Give the first day as year-month-day",
            "<option value=\"meals\" selected>",
        ],
    );
    browser.open("/expenses?cursor=made-up").await.expect(422);
}

#[tokio::test]
async fn inverted_filter_is_reported_and_kept() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    let query = "from=2026-11-20&to=2026-11-10&category=meals";
    let page = browser.open(&format!("/expenses?{query}")).await.expect(422);
    assert_has(
        &page,
        &[
            "name=\"from\" value=\"2026-11-20\"",
            "name=\"to\" value=\"2026-11-10\" aria-invalid=\"true\" aria-describedby=\"to-error\"",
            "<option value=\"meals\" selected>",
            "<p class=\"error\" id=\"to-error\">The last day comes before the first",
            "href=\"#to\"",
        ],
    );
    assert_inert(&page);
}

#[tokio::test]
async fn page_costs_one_list_for_each_thousand() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    for number in 0..KV_LIST_MAX_KEYS {
        let description = format!("Expense {number} of a thousand, with some words");
        add(&mut browser, json!({"description": description, "currency": "EUR"})).await;
    }
    app.kv.take_operations();
    let page = browser.open("/expenses").await.expect(200);
    assert_eq!(app.kv.take_operations(), [KvOperation::List]);
    assert!(!page.body.contains("Totals and charts count only"));
    assert_has(&page, &["10\u{a0}000.00"]);
    // Uncompressed. The page has 25 rows, however many expenses there are.
    assert!(page.body.len() < 45_000, "{}", page.body.len());

    app.clock.advance(Duration::seconds(1));
    let late = json!({"description": "One more", "currency": "EUR", "date": "2026-10-01"});
    add(&mut browser, late).await;
    app.kv.take_operations();
    let page = browser.open("/expenses").await.expect(200);
    assert_eq!(app.kv.take_operations(), [KvOperation::List; 2]);
    // Sums count all expenses. The one added last is on the last page by date, and on the first one by addition.
    assert_has(&page, &["10\u{a0}000.00", "EUR\u{a0}9\u{a0}990.00 more than in October 2026"]);
    assert!(!page.body.contains("One more"), "{}", page.body);
    let page = browser.open("/expenses?sort=created").await.expect(200);
    assert_has(&page, &["10\u{a0}000.00", "One more"]);
    let csv = browser.open("/expenses.csv").await.expect(200);
    assert_eq!(csv.body.lines().count(), 1 + 1001);
    let all = browser.open("/expenses?limit=1000").await.expect(200);
    assert!(all.body.len() < 800_000, "{}", all.body.len());
}

/// The text of each row of the list's table: of a month, or of an expense.
fn rows(page: &TestResponse) -> Vec<String> {
    let (_, table) = page.body.split_once("<table role=\"table\">").unwrap();
    let (table, _) = table.split_once("</table>").unwrap();
    let (_, rows) = table.split_once("</thead>").unwrap();
    let text = |row: &str| {
        let tags = row.split('<').map(|part| part.split_once('>').map_or(part, |(_, text)| text));
        let text: Vec<&str> = tags.map(str::trim).filter(|text| !text.is_empty()).collect();
        text.join(" ").replace(" Edit Delete", "")
    };
    rows.split("<tr").skip(1).map(|row| text(&format!("<{row}"))).collect()
}

/// The address behind a link with this text.
fn link<'a>(page: &'a TestResponse, text: &str) -> &'a str {
    let (before, _) = page.body.split_once(&format!(">{text}</a>")).unwrap();
    let (_, link) = before.rsplit_once("href=\"").unwrap();
    link.split(['"', '#']).next().unwrap()
}

#[tokio::test]
async fn list_is_grouped_by_month_with_its_total() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    for (description, currency, date) in [
        ("a", "USD", "2026-11-02"),
        ("b", "EUR", "2026-09-05"),
        ("c", "USD", "2026-09-06"),
        ("d", "USD", "2026-09-01"),
        ("e", "USD", "2026-11-03"),
        ("f", "USD", "2025-11-03"),
    ] {
        let changes = json!({"description": description, "currency": currency, "date": date});
        add(&mut browser, changes).await;
        app.clock.advance(Duration::seconds(1));
    }
    let row = |day: &str, name: &str, amount: &str| format!("{day} {name} meals {amount}");
    let [a, b, c, d, e, f] = [
        row("11/2/2026", "a", "$10.00"),
        row("9/5/2026", "b", "€10.00"),
        row("9/6/2026", "c", "$10.00"),
        row("9/1/2026", "d", "$10.00"),
        row("11/3/2026", "e", "$10.00"),
        row("11/3/2025", "f", "$10.00"),
    ];
    let november = "November 2026 $20.00".to_owned();
    let september = "September 2026 €10.00, $20.00".to_owned();
    let last_year = "November 2025 $10.00".to_owned();
    let page = open_in(&mut browser, "en-US", "/expenses").await.expect(200);
    let whole = [&november, &e, &a, &september, &c, &b, &d, &last_year, &f];
    assert_eq!(rows(&page), whole.map(Clone::clone));

    // The total of a month is that of all its expenses, also where the page has a part of it.
    let page = open_in(&mut browser, "en-US", "/expenses?limit=3").await.expect(200);
    let continues = "September 2026 (continues on the next page) €10.00, $20.00".to_owned();
    assert_eq!(rows(&page), [&november, &e, &a, &continues, &c].map(Clone::clone));
    let next = link(&page, "Older").replace("&amp;", "&");
    let page = open_in(&mut browser, "en-US", &next).await.expect(200);
    let continued = "September 2026 (continued) €10.00, $20.00".to_owned();
    assert_eq!(rows(&page), [&continued, &b, &d, &last_year, &f].map(Clone::clone));

    let page = open_in(&mut browser, "en-US", "/expenses?sort=created").await.expect(200);
    assert_eq!(rows(&page), [&f, &e, &d, &c, &b, &a].map(Clone::clone));
    assert_eq!(link(&page, "By date"), "/expenses");
    assert_eq!(link(&page, "Download CSV"), "/expenses.csv");
    let page = browser.open("/expenses?category=meals").await.expect(200);
    assert_eq!(link(&page, "Newest added"), "/expenses?category=meals&amp;sort=created");
    assert_eq!(link(&page, "Download CSV"), "/expenses.csv?category=meals&amp;sort=date");
}

#[tokio::test]
async fn impersonator_is_shown_on_every_page() {
    let app = TestApp::new();
    app.authkit.set_extra_claims(
        json!({"impersonator": {"email": "help@workos.test", "reason": "ticket <7>"}}),
    );
    let mut browser = app.signed_in(ADA).await;
    let id = add(&mut browser, json!({})).await;
    for path in
        ["/", "/expenses?from=x", &format!("/expenses/{id}"), &format!("/expenses/{id}/delete")]
    {
        let page = browser.open(path).await;
        assert_has(
            &page,
            &["help@workos.test", "ticket &lt;7&gt;", "aria-label=\"Impersonation\""],
        );
    }
}

#[tokio::test]
async fn error_page_has_message_link_and_request_id() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    for (path, status, words, way_on) in [
        ("/nowhere", 404, "<h1>Not found</h1>", "href=\"/expenses\""),
        ("/expenses/", 404, "<h1>Not found</h1>", "href=\"/expenses\""),
        ("/expenses/unknown", 404, "Expense not found", "href=\"/expenses\""),
        (
            "/callback?error=access_denied",
            400,
            "No sign-in was finished",
            "href=\"/login\">Try again",
        ),
        ("/expenses?limit=x", 422, "limit", "href=\"/expenses\""),
    ] {
        let page = browser.open(path).await.expect(status);
        assert!(!page.body.contains("Not Found."), "{}", page.body);
        assert_has(&page, &[words, way_on, "<code>ray-of-the-test</code>", "<h1>"]);
        assert_inert(&page);
    }
}
