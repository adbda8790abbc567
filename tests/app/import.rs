//! `/expenses/import`: CSV files of this Worker and of other programs.

use std::convert::Infallible;

use axum::body::Body;
use chrono::Duration;
use edge_host::KvOperation;
use futures_util::{FutureExt as _, stream};
use http::{Method, header};
use proptest::{prelude::*, test_runner::TestRunner};
use serde_json::{Value, json};

use crate::support::{
    ADA, Client, GRACE, TestApp,
    app::{Browser, TestResponse},
    authkit::TestUser,
};

const PATH: &str = "/expenses/import";
const BANK: &str = "Booking date;Payee;Amount;Currency\n23.11.2026;Café;-4,50;EUR\n\
    22.11.2026;Café;-4,50;EUR\n22.11.2026;Café;-4,50;EUR\n";
const OTHERS: &str = "date,description,amount\n2026-11-20,Lunch,12.50\n2026-11-21,=1+1,3\n";

async fn send(app: &TestApp, user: TestUser, query: &str, file: &str) -> TestResponse {
    send_body(app, user, query, file.to_owned().into()).await
}

async fn send_body(app: &TestApp, user: TestUser, query: &str, file: Body) -> TestResponse {
    let mut client = app.bearer(&app.authkit.access_token(user));
    let request = client
        .request(Method::POST, &format!("{PATH}{query}"))
        .header(header::CONTENT_TYPE, "text/csv; charset=utf-8");
    client.send(request, file).await
}

async fn import(app: &TestApp, query: &str, file: &str) -> Value {
    send(app, ADA, query, file).await.expect(200).json()
}

async fn export(app: &TestApp, user: TestUser) -> String {
    let token = app.authkit.access_token(user);
    app.bearer(&token).get("/expenses.csv").await.expect(200).body
}

fn counts(added: usize, unchanged: usize, skipped: usize) -> Value {
    json!({"added": added, "unchanged": unchanged, "skipped": skipped})
}

/// Sends the page's form, as a browser encodes it.
async fn upload(browser: &mut Browser, fields: &[(&str, &str)]) -> TestResponse {
    upload_from(browser, "same-origin", fields).await
}

async fn upload_from(browser: &mut Browser, site: &str, fields: &[(&str, &str)]) -> TestResponse {
    let part = |(name, value): &(&str, &str)| {
        let file =
            if *name == "file" { "; filename=\"a.csv\"\r\nContent-Type: text/csv" } else { "" };
        format!("--b0\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n{value}\r\n")
    };
    let body = fields.iter().map(part).collect::<String>() + "--b0--\r\n";
    let request = crate::support::app::request(Method::POST, PATH)
        .header(header::ACCEPT, "text/html,application/xhtml+xml,*/*;q=0.8")
        .header(header::CONTENT_TYPE, "multipart/form-data; boundary=b0")
        .header("sec-fetch-site", site);
    browser.send(request, Body::from(body)).await
}

/// The value of a hidden field.
fn hidden<'a>(page: &'a TestResponse, name: &str) -> &'a str {
    let (_, rest) = page.body.split_once(&format!("name=\"{name}\" value=\"")).unwrap();
    rest.split_once('"').unwrap().0
}

#[tokio::test]
async fn own_export_reads_back_unchanged() {
    let app = TestApp::new();
    let token = app.authkit.access_token(ADA);
    for (description, amount, currency) in [
        ("Lunch", "42.50", "EUR"),
        ("=1+1; \"quoted\"", "1.234", "BHD"),
        ("'=x", "100", "JPY"),
        ("two\nlines\t+1", "0.01", "USD"),
    ] {
        let body = json!({"description": description, "amount": amount, "currency": currency});
        app.bearer(&token).post("/expenses", body.to_string()).await.expect(201);
        app.clock.advance(Duration::seconds(61));
    }
    let file = export(&app, ADA).await;
    assert_eq!(import(&app, "", &file).await, counts(0, 4, 0));
    assert_eq!(export(&app, ADA).await, file);
    // Another account gets the same expenses, also by a browser's file with its byte order mark.
    let copy = send(&app, GRACE, "", &format!("\u{feff}{file}")).await.expect(200).json();
    assert_eq!(copy, counts(4, 0, 0));
    assert_eq!(export(&app, GRACE).await, file);
    app.pass(Duration::hours(1)).await;
    assert_eq!(export(&app, GRACE).await, file);
    assert_eq!(send(&app, GRACE, "", &file).await.expect(200).json(), counts(0, 4, 0));
}

#[test]
fn every_export_reads_back_unchanged() {
    let text = "[a-z=+@'\";\t\n,\u{e9}\u{ff1d}-]{1,12}";
    let expense = (text, text, 1_u64..99_999_999, 0_u32..4000);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let check = |expenses: Vec<(String, String, u64, u32)>| {
        runtime.block_on(async {
            let app = TestApp::new();
            let token = app.authkit.access_token(ADA);
            for (description, category, cents, day) in expenses {
                let date = chrono::NaiveDate::from_ymd_opt(2020, 1, 1).unwrap()
                    + chrono::Days::new(day.into());
                let body = json!({
                    "description": format!("x{description}x"), "category": format!("x{category}"),
                    "amount": format!("{}.{:02}", cents / 100, cents % 100), "date": date,
                });
                app.bearer(&token).post("/expenses", body.to_string()).await.expect(201);
                app.clock.advance(Duration::seconds(1));
            }
            let file = export(&app, ADA).await;
            send(&app, GRACE, "", &file).await.expect(200);
            assert_eq!(export(&app, GRACE).await, file);
        });
        Ok(())
    };
    let mut runner = TestRunner::new(ProptestConfig::with_cases(32));
    runner.run(&prop::collection::vec(expense, 0..6), check).unwrap();
}

#[tokio::test]
async fn file_of_a_bank_adds_each_row_once() {
    let app = TestApp::new();
    assert_eq!(import(&app, "?amounts=negative", BANK).await, counts(3, 0, 0));
    assert_eq!(import(&app, "?amounts=negative", BANK).await, counts(0, 3, 0));
    // Later, when the ledger has forgotten the import, and with a row more.
    app.pass(Duration::hours(1)).await;
    assert!(app.ledgers.storage("user_ada").list("log:").unwrap().is_empty());
    let more = format!("{BANK}23.11.2026;Café;-4,50;EUR\n");
    assert_eq!(import(&app, "?amounts=negative", &more).await, counts(1, 3, 0));
    let listed = app.expenses_of(ADA).await;
    let of = |expense: &Value| (expense["date"].clone(), expense["amount"].to_string());
    let expected = ["2026-11-23", "2026-11-23", "2026-11-22", "2026-11-22"];
    assert_eq!(
        listed.iter().map(of).collect::<Vec<_>>(),
        expected.map(|date| (json!(date), "4.50".to_owned()))
    );
    let is_new = |expense: &&Value| expense["created_at"] == "2026-11-23T13:00:00Z";
    assert_eq!(listed.iter().filter(is_new).count(), 1);
}

#[tokio::test]
async fn expense_that_is_there_stays_as_it_is() {
    let app = TestApp::new();
    import(&app, "", OTHERS).await;
    let listed = app.expenses_of(ADA).await;
    let path = format!("/expenses/{}", listed[0]["id"].as_str().unwrap());
    let token = app.authkit.access_token(ADA);
    let mut client = app.bearer(&token);
    client.send_json(Method::PATCH, &path, r#"{"amount": 9}"#).await.expect(200);
    client.delete(&format!("/expenses/{}", listed[1]["id"].as_str().unwrap())).await.expect(204);
    // The deleted one is added again: its row stands in the file.
    assert_eq!(import(&app, "", OTHERS).await, counts(1, 1, 0));
    let again = app.expenses_of(ADA).await;
    assert_eq!((again.len(), again[0]["amount"].to_string()), (2, "9.00".to_owned()));
    assert_eq!(again[1]["description"], listed[1]["description"]);
}

#[tokio::test]
async fn faults_refuse_the_file_with_their_lines() {
    let app = TestApp::new();
    let file =
        "date,description,amount\n2026-11-20,ok,1\n03/04/2026,Lunch,1\n2026-11-20,,\"1,234\"\n";
    let refused = send(&app, ADA, "", file).await.expect(422).json();
    let problems = refused["detail"].as_array().unwrap();
    let loc = |problem: &Value| problem["loc"].clone();
    assert_eq!(
        problems.iter().map(loc).collect::<Vec<_>>(),
        [
            json!(["body", 3, "date"]),
            json!(["body", 4, "description"]),
            json!(["body", 4, "amount"])
        ]
    );
    assert_eq!(problems[0]["input"], "03/04/2026");
    assert!(problems[0]["msg"].as_str().unwrap().starts_with("The date has two meanings"));
    assert!(app.expenses_of(ADA).await.is_empty());
    let query = "?dates=day-first&invalid=skip";
    assert_eq!(import(&app, query, file).await, counts(2, 0, 1));
    assert_eq!(app.expenses_of(ADA).await[1]["date"], "2026-04-03");
}

#[tokio::test]
async fn columns_are_named_by_parameters() {
    let app = TestApp::new();
    let file = "When,Why,How much,Note\n2026-11-20,Lunch,12.50,meals\n";
    let refused = send(&app, ADA, "", file).await.expect(422).json();
    let msg = refused["detail"][0]["msg"].as_str().unwrap().to_owned();
    assert!(msg.contains("?date=Name"), "{msg}");
    assert_eq!(refused["detail"].as_array().unwrap().len(), 3);
    let query = "?date=When&description=Why&amount=How+much&category=Note&default_currency=EUR";
    assert_eq!(import(&app, query, file).await, counts(1, 0, 0));
    let expense = &app.expenses_of(ADA).await[0];
    assert_eq!((&expense["category"], &expense["currency"]), (&json!("meals"), &json!("EUR")));
    for query in ["?dates=x", "?amounts=x", "?invalid=x", "?default_currency=x"] {
        send(&app, ADA, query, file).await.expect(422);
    }
}

#[tokio::test]
async fn files_that_cannot_be_read_are_refused() {
    let app = TestApp::new();
    let token = app.authkit.access_token(ADA);
    let mut client = app.bearer(&token);
    let mut post = async |media_type: &str, body: Vec<u8>| {
        let request = client.request(Method::POST, PATH).header(header::CONTENT_TYPE, media_type);
        client.send(request, body.into()).await
    };
    post("application/json", b"{}".to_vec()).await.expect(415);
    post("text/csv", b"date,description,amount\n2026-01-01,\xe9,1\n".to_vec()).await.expect(422);
    post("text/csv", Vec::new()).await.expect(422);
    post("text/csv", vec![b'a'; 7 * 1024 * 1024 + 1]).await.expect(413);
    post("multipart/form-data; boundary=b", b"--b\r\n".to_vec()).await.expect(422);
    post("multipart/form-data; boundary=b", b"--b--\r\n".to_vec()).await.expect(415);
    let incomplete = format!("{OTHERS}{}", "\"INCOMPLETE: the expenses below");
    let refused = post("text/csv", incomplete.into_bytes()).await.expect(422);
    assert_eq!(refused.json()["detail"][0]["loc"], json!(["body", 4]));
    assert!(app.expenses_of(ADA).await.is_empty());
}

#[tokio::test]
async fn files_wait_for_the_memory_of_others() {
    const USERS: [TestUser; 3] = [
        TestUser { id: "user_1", ..ADA },
        TestUser { id: "user_2", ..ADA },
        TestUser { id: "user_3", ..ADA },
    ];
    let app = TestApp::new();
    // Without a length, and never complete.
    let begin = |user| {
        let body = Body::from_stream(stream::pending::<Result<Vec<u8>, Infallible>>());
        let mut sending = Box::pin(send_body(&app, user, "", body));
        for _ in 0..10 {
            assert!((&mut sending).now_or_never().is_none());
        }
        sending
    };
    let mut sending: Vec<_> = USERS[..2].iter().map(|user| begin(*user)).collect();
    let refused = send(&app, USERS[0], "", OTHERS).await.expect(503);
    assert_eq!(refused.header("retry-after"), "5");
    assert!(refused.detail().contains("Other files are being imported"), "{}", refused.detail());
    assert_eq!(import(&app, "", OTHERS).await, counts(2, 0, 0), "other users have room");
    sending.push(begin(USERS[2]));
    send(&app, ADA, "", OTHERS).await.expect(503);
    // A length that is too long is no reason to wait.
    send(&app, ADA, "", &"a".repeat(7 * 1024 * 1024 + 1)).await.expect(413);
    let mut browser = app.signed_in(ADA).await;
    let page = upload(&mut browser, &[("file", OTHERS)]).await.expect(503);
    assert!(
        page.body.contains("nothing was saved: send the file again in a moment"),
        "{}",
        page.body
    );
    drop(sending);
    send(&app, USERS[0], "", OTHERS).await.expect(200);
}

#[tokio::test]
async fn ten_thousand_rows_are_one_write() {
    let app = TestApp::new();
    let row = |number: usize| format!("2026-11-{:02},row {number},1\n", number % 28 + 1);
    let file = format!("date,description,amount\n{}", (0..10_000).map(row).collect::<String>());
    assert_eq!(import(&app.without_background(), "", &file).await, counts(10_000, 0, 0));
    assert!(app.kv.keys().is_empty(), "the ledger has committed the rows, and KV has none yet");
    assert_eq!(export(&app, ADA).await.lines().count(), 10_001);
    // The log has room for other writes, but not for as many rows again.
    app.bearer(&app.authkit.access_token(ADA))
        .post("/expenses", r#"{"description": "Lunch", "amount": 1}"#)
        .await
        .expect(201);
    let other = file.replace("row ", "other ");
    let refused = send(&app, ADA, "", &other).await.expect(503);
    assert_eq!(refused.header("retry-after"), "600");
    assert_eq!(import(&app, "", &file).await, counts(0, 10_000, 0));
    app.pass(Duration::hours(1)).await;
    assert_eq!(app.kv.keys().len(), 10_001);
    assert!(app.ledgers.storage("user_ada").list("log:").unwrap().is_empty());
    assert_eq!(import(&app, "", &file).await, counts(0, 10_000, 0));
    let longer = format!("{file}2026-11-01,one more,1\n");
    let refused = send(&app, ADA, "?invalid=skip", &longer).await.expect(422);
    assert_eq!(refused.json()["detail"][0]["loc"], json!(["body", 10_002]));
}

#[tokio::test]
async fn import_of_too_many_bytes_is_refused() {
    let app = TestApp::new();
    // A control character takes several bytes in a message to the ledger.
    let text = "\u{1}".repeat(198);
    let file = |rows: usize| {
        let row = |number: usize| format!("2026-11-23,x{text}x,{number}.5\n");
        format!("date,description,amount\n{}", (1..=rows).map(row).collect::<String>())
    };
    let refused = send(&app, ADA, "", &file(8_000)).await.expect(413);
    assert!(refused.detail().contains("import it in parts"), "{}", refused.detail());
    assert_eq!(app.expenses_of(ADA).await.len(), 0);
    assert_eq!(import(&app, "", &file(6_000)).await, counts(6_000, 0, 0));
    let refused = send(&app, ADA, "", &file(8_000)).await.expect(503);
    assert!(refused.detail().contains("or 10 MB of them"), "{}", refused.detail());
    app.pass(Duration::hours(1)).await;
    assert_eq!(import(&app, "", &file(8_000)).await, counts(2_000, 6_000, 0));
}

#[tokio::test]
async fn import_does_not_trust_kv_alone() {
    let app = TestApp::new();
    import(&app, "", OTHERS).await;
    let id = app.expenses_of(ADA).await[0]["id"].as_str().unwrap().to_owned();
    let late = app.without_background();
    late.bearer(&app.authkit.access_token(ADA))
        .delete(&format!("/expenses/{id}"))
        .await
        .expect(204);
    app.ledgers.set_unreachable(true);
    let refused = send(&late, ADA, "", OTHERS).await.expect(503);
    assert!(refused.detail().contains("nothing was saved"), "{}", refused.detail());
    app.ledgers.set_unreachable(false);
    assert_eq!(
        import(&late, "", OTHERS).await,
        counts(1, 1, 0),
        "a deleted expense is added again"
    );
}

#[tokio::test]
async fn import_without_a_response_can_be_sent_again() {
    let app = TestApp::new();
    app.kv.fail(Some(KvOperation::List));
    let failed = send(&app, ADA, "", OTHERS).await.expect(503);
    assert!(failed.detail().contains("nothing was saved"), "{}", failed.detail());
    app.kv.fail(None);
    // The ledger responds to the read, and not to the write.
    app.kv.hold_operation(Some(KvOperation::List));
    let mut sending = Box::pin(send(&app, ADA, "", OTHERS));
    while !app.kv.is_waiting() {
        assert!((&mut sending).now_or_never().is_none());
    }
    assert!((&mut sending).now_or_never().is_none());
    app.ledgers.lose_responses(true);
    app.kv.hold_operation(None);
    let failed = sending.await.expect(503);
    assert!(failed.detail().contains("may or may not have been imported"), "{}", failed.detail());
    app.ledgers.lose_responses(false);
    assert_eq!(import(&app, "", OTHERS).await, counts(0, 2, 0));
    assert_eq!(app.expenses_of(ADA).await.len(), 2);
}

#[tokio::test]
async fn other_sites_and_strangers_are_held_off() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    let fields = [("file", OTHERS), ("confirm", "yes")];
    // The last is what browsers without an `Origin` send.
    for site in ["cross-site", "same-site", "none"] {
        upload_from(&mut browser, site, &fields).await.expect(403);
    }
    assert!(app.expenses_of(ADA).await.is_empty());
    app.anonymous().get(PATH).await.expect(401);
    let request = app.anonymous().request(Method::POST, PATH).header("content-type", "text/csv");
    app.anonymous().send(request, OTHERS.into()).await.expect(401);
}

#[tokio::test]
async fn page_imports_an_own_export_at_once() {
    let app = TestApp::new();
    import(&app, "", OTHERS).await;
    let file = export(&app, ADA).await;
    let mut browser = app.signed_in(GRACE).await;
    assert!(browser.open("/").await.body.contains("href=\"/expenses/import\""));
    let page = browser.open(PATH).await.expect(200);
    assert!(page.body.contains("enctype=\"multipart/form-data\""), "{}", page.body);
    let done = upload(&mut browser, &[("file", &file)]).await.expect(303);
    assert_eq!(done.header("location"), "/expenses");
    let list = browser.open("/expenses").await.expect(200);
    assert!(list.body.contains("Imported 2 expenses."), "{}", list.body);
    upload(&mut browser, &[("file", &file)]).await.expect(303);
    let list = browser.open("/expenses").await.expect(200);
    assert!(list.body.contains("Imported 0 expenses, and 2 stood here already."));
}

#[tokio::test]
async fn page_shows_another_file_before_it_is_imported() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    let page = upload(&mut browser, &[("file", BANK)]).await.expect(422);
    assert!(page.body.contains("3 rows of 3 cannot be read"), "{}", page.body);
    assert!(page.body.contains("Line 2, amount"), "{}", page.body);
    assert!(page.body.contains("<bdi>Café</bdi>"), "{}", page.body);
    let text = hidden(&page, "text").to_owned();
    let fields = [("text", text.as_str()), ("amounts", "negative"), ("default_currency", "EUR")];
    let page = upload(&mut browser, &fields).await.expect(200);
    assert!(
        page.body.contains("3 expenses can be imported. Nothing is saved yet"),
        "{}",
        page.body
    );
    assert!(app.expenses_of(ADA).await.is_empty());
    let fields = [&fields[..], &[("confirm", "yes")]].concat();
    upload(&mut browser, &fields).await.expect(303);
    assert_eq!(app.expenses_of(ADA).await.len(), 3);
}

#[tokio::test]
async fn page_keeps_the_choices_and_skips_faults_when_asked() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    let file = "When,Why,How much\n03/04/2026,<b>Lunch,12.50\n03/05/2026,Dinner,no\n";
    let page = upload(&mut browser, &[("file", file)]).await.expect(422);
    assert!(page.body.contains("No column is recognised as the amount."), "{}", page.body);
    assert!(page.body.contains("&lt;b&gt;Lunch") && !page.body.contains("<b>Lunch"));
    let text = hidden(&page, "text").to_owned();
    let columns =
        [("text", text.as_str()), ("date", "When"), ("description", "Why"), ("amount", "How much")];
    let page = upload(&mut browser, &columns).await.expect(422);
    assert!(page.body.contains("<option value=\"Why\" selected>"), "{}", page.body);
    assert!(page.body.contains("name=\"dates\""), "{}", page.body);
    let fields = [&columns[..], &[("dates", "month-first"), ("confirm", "yes")]].concat();
    let page = upload(&mut browser, &fields).await.expect(422);
    assert!(page.body.contains("Import 1 expense, skip 1 row"), "{}", page.body);
    assert!(app.expenses_of(ADA).await.is_empty());
    let fields = [&columns[..], &[("dates", "month-first"), ("invalid", "skip")]].concat();
    upload(&mut browser, &fields).await.expect(303);
    let list = browser.open("/expenses").await.expect(200);
    assert!(list.body.contains("Imported 1 expense. 1 row was left out."), "{}", list.body);
    assert_eq!(app.expenses_of(ADA).await[0]["date"], "2026-03-04");
}

#[tokio::test]
async fn page_keeps_a_currency_that_is_none() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    let fields = [("file", OTHERS), ("default_currency", "euro"), ("confirm", "yes")];
    let page = upload(&mut browser, &fields).await.expect(422);
    assert!(page.body.contains("Write the currency with three letters"), "{}", page.body);
    assert!(page.body.contains("value=\"euro\""), "{}", page.body);
    let fields = [("file", OTHERS), ("default_currency", "eur"), ("confirm", "yes")];
    upload(&mut browser, &fields).await.expect(303);
    assert_eq!(app.expenses_of(ADA).await[0]["currency"], "EUR");
}

#[tokio::test]
async fn response_is_bounded_whatever_the_file_has() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    let long = "\"".to_owned() + &"&".repeat(2_000_000) + "\"";
    for file in [
        ",".repeat(3_000_000),
        format!("date,{long},amount\n1,2,3\n"),
        format!("date,description,amount\n{}", ",".repeat(3_000_000)),
        format!("date,description,amount\n{long},{long},1\n"),
    ] {
        let page = upload(&mut browser, &[("file", &file)]).await.expect(422);
        // The page sends the file again, in base64.
        assert!(page.body.len() < file.len() * 4 / 3 + 20_000, "{} bytes", page.body.len());
        let refused = send(&app, ADA, "", &file).await.expect(422);
        assert!(refused.body.len() < 20_000, "{} bytes", refused.body.len());
    }
}

#[tokio::test]
async fn page_says_why_a_file_cannot_be_read() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    for (file, words) in [
        ("", "Choose a file first."),
        ("a,b\n\"1", "Line 2: A cell that begins with a quotation mark does not end with one"),
        ("date,description,amount\n", "The file has no expenses, only"),
    ] {
        let page = upload(&mut browser, &[("file", file)]).await.expect(422);
        assert!(page.body.contains(words), "{file:?}: {}", page.body);
        assert!(page.body.contains("<title>Error: Import expenses"), "{}", page.body);
    }
    let page = upload(&mut browser, &[]).await.expect(422);
    assert!(page.body.contains("Choose a file first."), "{}", page.body);
}
