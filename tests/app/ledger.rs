//! The ledger: every acknowledged write is in every later read, whatever KV shows and whatever ends in between.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::{DateTime, Duration, Utc};
use edge_host::{
    Clock, KvError, KvListing, KvNamespace, KvPut, ObjectStorage,
    memory::{ManualClock, MemoryKv, MemoryObjects},
};
use http::Method;
use serde_json::{Value, json};

use crate::support::{ADA, Client, KvOperation, TestApp, app::TestResponse, mcp};

const LUNCH: &str = r#"{"description": "Lunch", "amount": 1, "category": "meals"}"#;
const DINNER: &str = r#"{"description": "Dinner", "amount": 2}"#;

/// KV as a location sees it in the worst case: a list or a value is as old as a minute.
struct StaleKv {
    kv: Arc<MemoryKv>,
    clock: Arc<ManualClock>,
    seen: Mutex<Option<(DateTime<Utc>, Arc<MemoryKv>)>>,
}

impl StaleKv {
    fn seen(&self) -> Arc<MemoryKv> {
        let now = self.clock.now();
        let mut seen = self.seen.lock().unwrap();
        match &*seen {
            Some((at, kv)) if now - *at < Duration::seconds(60) => Arc::clone(kv),
            _ => {
                let copy = MemoryKv::new(Arc::clone(&self.clock) as _);
                for key in self.kv.keys() {
                    let (value, written) = self.kv.entry(&key).unwrap();
                    copy.insert_raw(&key, &value, written.metadata);
                }
                seen.insert((now, Arc::new(copy))).1.clone()
            }
        }
    }
}

#[async_trait]
impl KvNamespace for StaleKv {
    async fn get(&self, key: &str) -> Result<Option<String>, KvError> {
        self.seen().get(key).await
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<String>>, KvError> {
        self.seen().get_many(keys).await
    }

    async fn put(&self, key: &str, value: &str, options: KvPut<'_>) -> Result<(), KvError> {
        self.kv.put(key, value, options).await
    }

    async fn delete(&self, key: &str) -> Result<(), KvError> {
        self.kv.delete(key).await
    }

    async fn list(
        &self,
        prefix: &str,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<KvListing, KvError> {
        self.seen().list(prefix, limit, cursor).await
    }
}

/// An isolate in a location whose view of KV is as stale as it can be, from now on.
fn stale(app: &TestApp) -> TestApp {
    let seen = Mutex::default();
    let kv = StaleKv { kv: Arc::clone(&app.kv), clock: Arc::clone(&app.clock), seen };
    kv.seen();
    app.isolate_with_kv(Arc::new(kv))
}

async fn send(app: &TestApp, method: Method, path: &str, body: &'static str) -> TestResponse {
    app.bearer(&app.authkit.access_token(ADA)).send_json(method, path, body).await
}

async fn create(app: &TestApp, body: &'static str) -> Value {
    send(app, Method::POST, "/expenses", body).await.expect(201).json()
}

fn path(expense: &Value) -> String {
    format!("/expenses/{}", expense["id"].as_str().unwrap())
}

/// A request with a header.
async fn with(app: &TestApp, method: Method, path: &str, header: (&str, &str)) -> TestResponse {
    let mut client = app.bearer(&app.authkit.access_token(ADA));
    let request = client
        .request(method, path)
        .header("content-type", "application/json")
        .header(header.0, header.1);
    client.send(request, LUNCH.into()).await
}

#[tokio::test]
async fn isolates_on_stale_kv_see_each_others_writes() {
    let app = TestApp::new();
    let old = app.store_expense(ADA, "Old");
    let (here, there) = (stale(&app), stale(&app));
    app.clock.advance(Duration::seconds(1));
    let made = create(&here, LUNCH).await;
    let changed = send(&there, Method::PATCH, &path(&made), r#"{"amount": 3}"#).await;
    let changed = changed.expect(200).json();
    for isolate in [&here, &there, &app] {
        assert_eq!(send(isolate, Method::GET, &path(&made), "").await.expect(200).json(), changed);
        let listed = isolate.expenses_of(ADA).await;
        assert_eq!(listed.len(), 2);
        assert_eq!(listed[0], changed);
    }
    send(&here, Method::DELETE, &format!("/expenses/{old}"), "").await.expect(204);
    for isolate in [&here, &there, &app] {
        assert_eq!(isolate.expenses_of(ADA).await, std::slice::from_ref(&changed));
        send(isolate, Method::GET, &format!("/expenses/{old}"), "").await.expect(404);
        let sums = send(isolate, Method::GET, "/expenses/summary", "").await.expect(200).json();
        assert_eq!(sums["currencies"][0]["count"], 1, "{sums}");
        let csv = send(isolate, Method::GET, "/expenses.csv", "").await.expect(200);
        assert_eq!(csv.body.lines().count(), 2, "{}", csv.body);
        assert_eq!(csv.header("expenses-consistency"), "");
    }
}

#[tokio::test]
async fn two_changes_within_a_second_are_kept() {
    let app = TestApp::new();
    let made = create(&app, LUNCH).await;
    send(&app, Method::PATCH, &path(&made), r#"{"amount": 3}"#).await.expect(200);
    send(&app.isolate(), Method::PATCH, &path(&made), r#"{"description": "Two"}"#)
        .await
        .expect(200);
    // KV accepts one write of a key per second.
    assert_eq!(app.kv.take_operations(), [KvOperation::Put]);
    app.pass(Duration::seconds(1)).await;
    assert_eq!(app.kv.take_operations(), [KvOperation::Put]);
    let (value, _) = app.kv.entry(&app.kv.keys()[0]).unwrap();
    let stored: Value = serde_json::from_str(&value).unwrap();
    assert_eq!((&stored["amount"], &stored["description"]), (&json!("3.00"), &json!("Two")));
}

#[tokio::test]
async fn writes_succeed_while_kv_fails_for_an_hour() {
    let app = TestApp::new();
    for operation in [KvOperation::Put, KvOperation::Delete] {
        app.kv.fail(Some(operation));
        let mut made = Vec::new();
        for _ in 0..20 {
            made.push(create(&app, LUNCH).await);
            app.pass(Duration::minutes(3)).await;
            app.ledgers.evict_all();
            let seen = send(&app, Method::GET, &path(made.last().unwrap()), "").await;
            assert_eq!(&seen.expect(200).json(), made.last().unwrap());
        }
        send(&app, Method::DELETE, &path(&made[0]), "").await.expect(204);
        let listed = app.expenses_of(ADA).await;
        assert!(made[1..].iter().all(|made| listed.contains(made)));
        app.kv.fail(None);
        app.pass(Duration::hours(1)).await;
        assert!(app.ledgers.storage("user_ada").list("log:").unwrap().is_empty());
        assert_eq!(app.expenses_of(ADA).await, listed);
        assert_eq!(app.kv.keys().len(), listed.len());
        app.kv.fail(Some(KvOperation::List));
        send(&app, Method::GET, "/expenses", "").await.expect(503);
    }
}

#[tokio::test]
async fn late_write_of_kv_is_overwritten() {
    let app = TestApp::new();
    app.kv.fail(Some(KvOperation::Put));
    let made = create(&app, LUNCH).await;
    app.kv.fail(None);
    let key = format!("expense:user_ada:{}", made["id"].as_str().unwrap());
    app.pass(Duration::seconds(5)).await;
    let (late, written) = app.kv.entry(&key).unwrap();
    send(&app, Method::DELETE, &path(&made), "").await.expect(204);
    app.pass(Duration::seconds(5)).await;
    assert!(app.kv.entry(&key).is_none());
    // KV performs the write that has failed.
    app.kv.insert_raw(&key, &late, written.metadata);
    assert!(app.expenses_of(ADA).await.is_empty());
    app.pass(Duration::minutes(30)).await;
    assert!(app.kv.entry(&key).is_none());
    assert!(app.expenses_of(ADA).await.is_empty());
}

#[tokio::test]
async fn eviction_before_the_transfer_loses_nothing() {
    let app = TestApp::new().without_background();
    let made = create(&app, LUNCH).await;
    app.ledgers.evict_all();
    app.settle();
    assert!(app.kv.keys().is_empty());
    assert_eq!(app.expenses_of(ADA).await, std::slice::from_ref(&made));
    app.pass(Duration::minutes(1)).await;
    assert_eq!(app.kv.keys().len(), 1);
}

#[tokio::test]
async fn storage_failure_is_503_and_writes_nothing() {
    let app = TestApp::new();
    let made = create(&app, LUNCH).await;
    let storage = app.ledgers.storage("user_ada");
    storage.fail(true);
    for (method, path, body) in [
        (Method::POST, "/expenses".to_owned(), LUNCH),
        (Method::PATCH, path(&made), r#"{"amount": 9}"#),
        (Method::DELETE, path(&made), ""),
    ] {
        send(&app, method, &path, body).await.expect(503);
    }
    storage.fail(false);
    assert_eq!(app.expenses_of(ADA).await, [made]);
}

#[tokio::test]
async fn row_of_an_unknown_version_is_an_outage() {
    let app = TestApp::new();
    create(&app, LUNCH).await;
    let storage = app.ledgers.storage("user_ada");
    let (key, row) = storage.list("log:").unwrap().remove(0);
    let newer = row.replace(r#""v":1"#, r#""v":2"#);
    storage.put(&key, &newer).unwrap();
    app.ledgers.evict_all();
    send(&app, Method::POST, "/expenses", DINNER).await.expect(503);
    let listed = send(&app, Method::GET, "/expenses", "").await.expect(200);
    assert_eq!(listed.header("expenses-consistency"), "eventual");
    app.pass(Duration::minutes(20)).await;
    assert_eq!(storage.get(&key).unwrap(), Some(newer));
    storage.put(&key, &row).unwrap();
    app.ledgers.evict_all();
    create(&app, DINNER).await;
    assert_eq!(app.expenses_of(ADA).await.len(), 2);
}

#[tokio::test]
async fn read_without_the_ledger_says_so() {
    let app = TestApp::new();
    let id = app.store_expense(ADA, "Stored");
    let mut browser = app.signed_in(ADA).await;
    app.ledgers.set_unreachable(true);
    let one = format!("/expenses/{id}");
    for path in ["/expenses", "/expenses.csv", "/expenses/summary", &one] {
        let response = send(&app, Method::GET, path, "").await.expect(200);
        assert_eq!(response.header("expenses-consistency"), "eventual", "{path}");
    }
    for path in ["/expenses", &one] {
        let page = browser.open(path).await.expect(200);
        assert_eq!(page.header("expenses-consistency"), "eventual", "{path}");
        assert!(page.body.contains("newest changes cannot be read right now"), "{path}");
    }
    mcp::output(&app, "list_expenses", json!({})).await;
    let response = send(&app, Method::DELETE, &one, "").await.expect(503);
    assert!(response.detail().contains("may or may not"), "{response:?}");
    app.ledgers.set_unreachable(false);
    assert_eq!(send(&app, Method::GET, &one, "").await.header("expenses-consistency"), "");
}

#[tokio::test]
async fn read_asks_kv_and_ledger_at_once() {
    let app = TestApp::new();
    let id = app.store_expense(ADA, "Stored");
    for (path, operation) in
        [("/expenses".to_owned(), KvOperation::List), (format!("/expenses/{id}"), KvOperation::Get)]
    {
        assert_eq!(app.ledgers.take_requests(), 0);
        app.kv.hold(true);
        let mut read = Box::pin(send(&app, Method::GET, &path, ""));
        while !app.kv.is_waiting() {
            assert!(futures_util::FutureExt::now_or_never(&mut read).is_none());
        }
        // KV has not responded, and the ledger has been asked.
        assert!(app.kv.is_waiting());
        assert_eq!(app.ledgers.take_requests(), 1);
        app.kv.hold(false);
        read.await.expect(200);
        assert_eq!(app.kv.take_operations(), [operation]);
    }
}

#[tokio::test]
async fn expense_in_the_log_is_read_without_kv() {
    let app = TestApp::new();
    let made = create(&app, LUNCH).await;
    app.kv.hold_operation(Some(KvOperation::Get));
    send(&app, Method::GET, &path(&made), "").await.expect(200);
    send(&app, Method::PATCH, &path(&made), "{}").await.expect(200);
}

#[tokio::test]
async fn pages_have_each_row_once_while_others_write() {
    let app = TestApp::new();
    let mut ids = Vec::new();
    for number in 0..12 {
        app.clock.advance(Duration::milliseconds(10));
        let id = if number % 2 == 0 {
            app.store_expense(ADA, "Stored")
        } else {
            create(&app, LUNCH).await["id"].as_str().unwrap().to_owned()
        };
        ids.push(id);
    }
    ids.reverse();
    let stale = stale(&app);
    // Most of the first page of KV is deleted.
    for id in ids.drain(0..5) {
        send(&app, Method::DELETE, &format!("/expenses/{id}"), "").await.expect(204);
    }
    for isolate in [&app, &stale] {
        let mut seen = Vec::new();
        let mut path = "/expenses?limit=3".to_owned();
        loop {
            let page = send(isolate, Method::GET, &path, "").await.expect(200);
            let rows = page.json();
            seen.extend(rows.as_array().unwrap().iter().map(|row| row["id"].clone()));
            let link = page.header("link").to_owned();
            if link.is_empty() {
                break;
            }
            assert_eq!(rows.as_array().unwrap().len(), 3, "{path}");
            path = link[1..link.find('>').unwrap()].to_owned();
            // A new expense does not move the pages.
            app.clock.advance(Duration::milliseconds(10));
            let new = create(&app, DINNER).await;
            send(&app, Method::DELETE, &crate::ledger::path(&new), "").await.expect(204);
        }
        assert_eq!(seen, ids);
    }
}

#[tokio::test]
async fn conditions_protect_changes_of_others() {
    let app = TestApp::new();
    let made = send(&app, Method::POST, "/expenses", LUNCH).await.expect(201);
    let path = path(&made.json());
    let first = made.header("etag").to_owned();
    assert_eq!(send(&app, Method::GET, &path, "").await.header("etag"), first);
    let unchanged = with(&app, Method::GET, &path, ("if-none-match", &format!("W/{first}"))).await;
    let unchanged = unchanged.expect(304);
    assert_eq!((unchanged.body.as_str(), unchanged.header("etag")), ("", &*first));
    let changed = with(&app, Method::PATCH, &path, ("if-match", &first)).await;
    // The same values in the same second are the same version.
    assert_eq!(changed.expect(200).header("etag"), first);
    let other = send(&app, Method::PATCH, &path, r#"{"amount": 5}"#).await.expect(200);
    assert_ne!(other.header("etag"), first);
    for method in [Method::PUT, Method::PATCH, Method::DELETE, Method::GET] {
        let refused = with(&app, method, &path, ("if-match", &first)).await.expect(412);
        assert!(refused.detail().contains("read it again"), "{refused:?}");
    }
    let weak = format!("W/{}", other.header("etag"));
    with(&app, Method::PUT, &path, ("if-match", &weak)).await.expect(412);
    with(&app, Method::PUT, &path, ("if-none-match", "*")).await.expect(412);
    assert_eq!(send(&app, Method::GET, &path, "").await.json()["amount"].to_string(), "5.00");
    let tags = format!("\"x\", {}", other.header("etag"));
    with(&app, Method::DELETE, &path, ("if-match", &tags)).await.expect(204);
    with(&app, Method::DELETE, &path, ("if-match", "*")).await.expect(404);
}

#[tokio::test]
async fn form_of_a_changed_expense_shows_the_change() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    let made = create(&app, LUNCH).await;
    let page = browser.open(&path(&made)).await.expect(200);
    let version = |page: &TestResponse| {
        let rest = page.body.split("name=\"version\" value=\"").nth(1).unwrap();
        rest.split('"').next().unwrap().to_owned()
    };
    send(&app, Method::PATCH, &path(&made), r#"{"description": "Theirs"}"#).await.expect(200);
    let fields = |version: &str| {
        [
            ("description", "Mine".to_owned()),
            ("amount", "7".into()),
            ("currency", "USD".into()),
            ("date", "2026-11-23".into()),
            ("version", version.to_owned()),
        ]
    };
    let sent = fields(&version(&page));
    let sent: Vec<(&str, &str)> =
        sent.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let returned = browser.submit(&path(&made), &sent).await.expect(409);
    assert!(returned.body.contains("Theirs") && returned.body.contains("value=\"Mine\""));
    let sent = fields(&version(&returned));
    let sent: Vec<(&str, &str)> =
        sent.iter().map(|(name, value)| (*name, value.as_str())).collect();
    browser.submit(&path(&made), &sent).await.expect(303);
    assert_eq!(app.expenses_of(ADA).await[0]["description"], "Mine");
}

#[tokio::test]
async fn expenses_of_earlier_versions_can_be_used() {
    let app = TestApp::new();
    let id = app.store_expense(ADA, "Stored");
    let path = format!("/expenses/{id}");
    assert_eq!(app.expenses_of(ADA).await[0]["description"], "Stored");
    let changed = send(&app, Method::PATCH, &path, r#"{"amount": 3}"#).await.expect(200).json();
    assert_eq!(
        (&changed["description"], &changed["created_at"]),
        (&json!("Stored"), &json!("2026-11-23T12:00:00Z"))
    );
    send(&app, Method::DELETE, &path, "").await.expect(204);
    app.pass(Duration::minutes(30)).await;
    assert!(app.kv.keys().is_empty());
}

#[tokio::test]
async fn erasure_wins_over_a_transfer() {
    let app = TestApp::new().without_background();
    create(&app, LUNCH).await;
    app.kv.hold_operation(Some(KvOperation::Put));
    app.settle();
    let erase = json!({"v": 1, "owner": "user_ada", "request": "r", "command": "erase"});
    let ledgers: Arc<dyn edge_host::ObjectNamespace> = Arc::new(app.ledgers.clone());
    ledgers.send("user_ada", &erase.to_string()).await.unwrap();
    app.kv.hold_operation(None);
    app.settle();
    assert!(app.expenses_of(ADA).await.is_empty());
    app.pass(Duration::minutes(30)).await;
    assert!(app.kv.keys().is_empty());
    assert!(app.ledgers.storage("user_ada").list("log:").unwrap().is_empty());
}

/// What an action costs, as the README lists it: operations of KV, requests to objects (alarms too), and rows
/// written, with everything that follows within a day.
struct Cost {
    kv: Vec<KvOperation>,
    requests: usize,
    rows: usize,
}

impl Cost {
    /// The cost since the last call.
    fn take(app: &TestApp) -> Self {
        let rows = |objects: &MemoryObjects| -> usize {
            objects.names().iter().map(|name| objects.storage(name).take_rows_written()).sum()
        };
        Self {
            kv: app.kv.take_operations(),
            requests: app.ledgers.take_requests() + app.sessions.take_requests(),
            rows: rows(&app.ledgers) + rows(&app.sessions),
        }
    }

    /// A row of the README's table.
    fn row(&self, action: &str) -> String {
        let count = |operation: KvOperation| {
            self.kv.iter().filter(|each| **each == operation).count().to_string()
        };
        let [gets, puts, deletes, lists] =
            [KvOperation::Get, KvOperation::Put, KvOperation::Delete, KvOperation::List].map(count);
        let Self { requests, rows, .. } = self;
        format!("| {action} | {gets} | {puts} | {deletes} | {lists} | {requests} | {rows} |")
    }
}

#[tokio::test]
async fn actions_cost_what_the_readme_says() {
    let app = TestApp::new();
    let readme = include_str!("../../README.md");
    let mut differing = Vec::new();
    // The first write of an owner writes one row more, once.
    let made = create(&app, LUNCH).await;
    let day = Duration::hours(26);
    app.pass(day).await;
    Cost::take(&app);
    let mut check = |action: &str, cost: &Cost| {
        let row = cost.row(action);
        if !readme.contains(&row) {
            differing.push(row);
        }
    };

    for (action, read) in [
        ("a page of the list, up to 1,000 expenses", "/expenses".to_owned()),
        ("one expense", path(&made)),
        ("a summary, for each 1,000 expenses", "/expenses/summary".to_owned()),
    ] {
        send(&app, Method::GET, &read, "").await.expect(200);
        check(action, &Cost::take(&app));
    }
    create(&app, LUNCH).await;
    app.pass(day).await;
    check("create", &Cost::take(&app));
    app.create_with_key(ADA, "key", LUNCH).await.expect(201);
    app.pass(day).await;
    check("create with an `Idempotency-Key`", &Cost::take(&app));
    send(&app, Method::PATCH, &path(&made), r#"{"amount": 3}"#).await.expect(200);
    app.pass(day).await;
    check("change", &Cost::take(&app));
    send(&app, Method::DELETE, &path(&made), "").await.expect(204);
    app.pass(day).await;
    check("delete", &Cost::take(&app));

    let mut browser = app.signed_in(ADA).await;
    check("sign-in", &Cost::take(&app));
    app.clock.advance(Duration::hours(1));
    browser.open("/me").await.expect(200);
    // The first renewal of a session sets its alarm, once.
    Cost::take(&app);
    app.clock.advance(Duration::hours(1));
    browser.open("/me").await.expect(200);
    check("renewal of a session", &Cost::take(&app));
    browser.submit("/logout", &[]).await.expect(303);
    app.clock.advance(Duration::minutes(2));
    app.sessions.run_due_alarms(&*app.clock).await;
    check("sign-out", &Cost::take(&app));
    assert_eq!(differing, [""; 0], "README.md, Cost");
}
