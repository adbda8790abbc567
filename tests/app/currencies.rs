//! The decimal places of amounts by their currency (ISO 4217), and the currency that a form begins with.

use chrono::Duration;
use http::Method;
use serde_json::{Value, json};

use crate::{
    pages::{add, assert_has},
    support::{
        ADA, Client, TestApp,
        app::{Browser, TestResponse},
        mcp,
    },
};

async fn send(app: &TestApp, method: Method, path: &str, body: &Value) -> TestResponse {
    app.bearer(&app.authkit.access_token(ADA)).send_json(method, path, body.to_string()).await
}

async fn create(app: &TestApp, amount: &str, currency: &str) -> TestResponse {
    let body = json!({"description": "x", "amount": amount, "currency": currency});
    send(app, Method::POST, "/expenses", &body).await
}

/// Puts a row and a record into KV, as versions have written them that knew two places only.
fn store(app: &TestApp, amount: &str, currency: &str) -> String {
    let id = app.store_expense(ADA, "Stored");
    let key = format!("expense:{}:{id}", ADA.id);
    let (record, _) = app.kv.entry(&key).unwrap();
    let record = record.replace("42.50", amount).replace("USD", currency);
    let row = format!(
        "1:{{'id':'{id}','description':'Stored','amount':{amount},'currency':'{currency}','category':'meals','date':'2026-11-23','created_at':'2026-11-23T12:00:00Z','updated_at':'2026-11-23T12:00:00Z'}}"
    );
    let record = record.replace('}', &format!(",\"row\":\"{row}\"}}"));
    app.kv.insert_raw(&key, &record, Some(row.into()));
    id
}

#[track_caller]
fn assert_refused(response: TestResponse, kind: &str, context: &Value, input: &str) {
    let detail = response.expect(422).json()["detail"].clone();
    assert_eq!(detail.as_array().unwrap().len(), 1, "{detail}");
    assert_eq!(detail[0]["type"], kind, "{detail}");
    assert_eq!(detail[0]["loc"], json!(["body", "amount"]), "{detail}");
    assert_eq!(&detail[0]["ctx"], context, "{detail}");
    assert_eq!(detail[0]["input"].to_string().trim_matches('"'), input, "{detail}");
}

#[tokio::test]
async fn amount_has_the_places_of_its_currency() {
    let app = TestApp::new();
    for (amount, currency, written) in [
        ("42.5", "EUR", "42.50"),
        ("100", "JPY", "100.00"),
        ("100.00", "JPY", "100.00"),
        ("1.234", "BHD", "1.234"),
        ("42.5", "KWD", "42.500"),
        ("1.2345", "CLF", "1.2345"),
    ] {
        let made = create(&app, amount, currency).await.expect(201);
        assert!(made.body.contains(&format!("\"amount\":{written},")), "{}", made.body);
        let path = made.header("location").to_owned();
        assert_eq!(send(&app, Method::GET, &path, &json!({})).await.expect(200).body, made.body);
        let csv = app.bearer(&app.authkit.access_token(ADA)).get("/expenses.csv").await;
        assert!(csv.body.contains(&format!(",{written},\"{currency}\",")), "{}", csv.body);
    }
    for (amount, currency, max) in
        [("100.5", "JPY", 0), ("1.234", "EUR", 2), ("1.2345", "BHD", 3), ("1.23456", "CLF", 4)]
    {
        let refused = create(&app, amount, currency).await;
        let message = format!("Decimal input should have no more than {max} decimal places");
        assert!(refused.body.contains(&message), "{}", refused.body);
        assert_refused(refused, "decimal_max_places", &json!({"decimal_places": max}), amount);
    }
    let refused = create(&app, "1234567890", "BHD").await;
    assert_refused(refused, "decimal_whole_digits", &json!({"whole_digits": 9}), "1234567890");
}

#[tokio::test]
async fn change_must_leave_an_amount_of_the_currency() {
    let app = TestApp::new();
    let path = create(&app, "42.50", "EUR").await.expect(201).header("location").to_owned();
    let patch = async |body: Value| send(&app, Method::PATCH, &path, &body).await;
    let places = |max: u8| json!({"decimal_places": max});
    let refused = patch(json!({"currency": "JPY"})).await;
    assert_refused(refused, "decimal_max_places", &places(0), "42.50");
    let refused = patch(json!({"amount": "1.234"})).await;
    assert_refused(refused, "decimal_max_places", &places(2), "1.234");
    let refused = patch(json!({"amount": "1.2345", "currency": "BHD"})).await;
    assert_refused(refused, "decimal_max_places", &places(3), "1.2345");
    let changed = patch(json!({"currency": "BHD"})).await.expect(200);
    assert!(changed.body.contains("\"amount\":42.500,"), "{}", changed.body);
    let changed = patch(json!({"amount": 1.234})).await.expect(200);
    assert!(changed.body.contains("\"amount\":1.234,"), "{}", changed.body);
    let refused = patch(json!({"currency": null})).await;
    assert_refused(refused, "decimal_max_places", &places(2), "1.234");

    // The same by the tool.
    let id = path.rsplit('/').next().unwrap();
    let arguments = json!({"id": id, "currency": "JPY"});
    let complaint = mcp::complaint(&app, "update_expense", arguments).await;
    let words = "- amount: Decimal input should have no more than 0 decimal places; got 1.234";
    assert!(complaint.contains(words), "{complaint}");
}

#[tokio::test]
async fn stored_amounts_of_two_places_stay_as_they_are() {
    let app = TestApp::new();
    let yen = store(&app, "100.50", "JPY");
    let dinar = store(&app, "42.50", "BHD");
    create(&app, "1.234", "BHD").await.expect(201);
    let list = send(&app, Method::GET, "/expenses", &json!({})).await.expect(200);
    for row in [r#""amount":100.50,"currency":"JPY""#, r#""amount":42.50,"currency":"BHD""#] {
        assert!(list.body.contains(row), "{}", list.body);
    }
    let sums = send(&app, Method::GET, "/expenses/summary", &json!({})).await.expect(200);
    for sum in [r#""currency":"BHD","total":43.734,"#, r#""currency":"JPY","total":100.50,"#] {
        assert!(sums.body.contains(sum), "{}", sums.body);
    }
    // Another change keeps the amount.
    for (id, amount) in [(yen, "100.50"), (dinar, "42.50")] {
        let patch = json!({"description": "Changed"});
        let changed = send(&app, Method::PATCH, &format!("/expenses/{id}"), &patch).await;
        let written = format!("\"amount\":{amount},");
        assert!(changed.clone().expect(200).body.contains(&written), "{}", changed.body);
    }
    let mut browser = app.signed_in(ADA).await;
    let page = browser.open("/expenses").await.expect(200);
    assert_has(&page, &["JPY\u{a0}100.50", "BHD\u{a0}42.500", "BHD\u{a0}1.234", "BHD\u{a0}43.734"]);
}

async fn submit(browser: &mut Browser, currency: &str, amount: &str) -> TestResponse {
    let key = format!("{currency}-{amount}");
    let fields = [
        ("idempotency_key", &*key),
        ("description", "x"),
        ("amount", amount),
        ("currency", currency),
    ];
    browser.submit("/expenses", &fields).await
}

#[tokio::test]
async fn form_begins_with_the_browsers_last_currency() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    let page = browser.open("/expenses").await.expect(200);
    assert_has(&page, &["name=\"currency\" value=\"USD\""]);
    submit(&mut browser, "chf", "5").await.expect(303);
    assert_eq!(browser.cookie("__Host-expenses-currency"), Some("CHF"));
    // Another device of the same user, and a program, change nothing.
    for _ in 0..2 {
        app.clock.advance(Duration::seconds(1));
        add(&mut browser, json!({"currency": "SEK"})).await;
    }
    let page = browser.open("/expenses").await.expect(200);
    assert_has(&page, &["name=\"currency\" value=\"CHF\""]);
    // The currencies in use come first, those used most before the others.
    let first = "<datalist id=\"currencies\"><option value=\"SEK\"></option>\
        <option value=\"CHF\"></option><option value=\"AUD\"></option>";
    assert_has(&page, &[first]);
    assert_eq!(page.body.matches("<option value=\"SEK\"></option>").count(), 1);
    // Without the cookie the newest expense's.
    let page = app.signed_in(ADA).await.open("/expenses").await.expect(200);
    assert_has(&page, &["name=\"currency\" value=\"SEK\""]);

    let page = submit(&mut browser, "JPY", "100.50").await.expect(422);
    assert_has(&page, &["without decimal places: the currency has none."]);
    assert_eq!(browser.cookie("__Host-expenses-currency"), Some("CHF"));
    submit(&mut browser, "JPY", "100").await.expect(303);
    let notice = browser.cookie("__Host-expenses-notice").unwrap();
    let path = format!("/expenses/{}", notice.strip_prefix("added.").unwrap());
    let page = browser.open("/expenses").await.expect(200);
    assert_has(&page, &["JPY\u{a0}100<", "name=\"currency\" value=\"JPY\""]);
    let page = browser.open(&path).await.expect(200);
    assert_has(&page, &["name=\"amount\" value=\"100\""]);
}
