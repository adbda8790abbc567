//! The ledger: every acknowledged write is in every later read, whatever KV shows and whatever ends in between.

use std::sync::Arc;

use chrono::Duration;
use edge_host::{
    Clock, KV_READ_MAX_MILLIS, KV_WRITE_MAX_MILLIS, KvNamespace, KvPut, ObjectNamespace,
    ObjectStorage,
    memory::{KvBehavior, MemoryKv, MemoryKvLocations, MemoryObjects},
};
use futures_util::{FutureExt, future::BoxFuture};
use http::Method;
use serde_json::{Value, json};

use crate::support::{
    ADA, Client, KvOperation, TestApp,
    app::{TestResponse, ledgers},
    logs, mcp,
    objects::{Fault, FaultyObjects},
};

const LUNCH: &str = r#"{"description": "Lunch", "amount": 1, "category": "meals"}"#;
const DINNER: &str = r#"{"description": "Dinner", "amount": 2}"#;

/// Isolates of one Worker in two locations: the first sees the ledger's writes to KV at once, the second after a
/// minute.
struct Locations {
    kv: MemoryKvLocations,
    near: TestApp,
    far: TestApp,
}

impl Locations {
    fn new() -> Self {
        let app = TestApp::new();
        let kv = MemoryKvLocations::new(Arc::clone(&app.clock) as _, KvBehavior::default());
        let ledgers = ledgers(Arc::new(kv.location(0)), &app.clock, &app.background);
        let app = TestApp { ledgers, ..app };
        let isolate = |location| app.isolate_with_kv(Arc::new(kv.location(location)));
        Self { near: isolate(0), far: isolate(1), kv }
    }

    /// Puts an expense into KV as versions without a ledger have written it; its id.
    async fn store_expense(&self, description: &str) -> String {
        // The record of such a version, from the namespace that this Worker does not use.
        let id = self.near.store_expense(ADA, description);
        let key = format!("expense:user_ada:{id}");
        let (record, _) = self.near.kv.entry(&key).unwrap();
        let options = KvPut { metadata: Some(&record), expiration_ttl_secs: None };
        self.kv.location(0).put(&key, &record, options).await.unwrap();
        id
    }

    /// Moves the clock until every location shows what KV has now.
    fn let_kv_catch_up(&self) {
        self.near.clock.advance(Duration::seconds(60));
    }
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
async fn locations_see_each_others_writes() {
    let locations = Locations::new();
    let old = locations.store_expense("Old").await;
    locations.let_kv_catch_up();
    let Locations { near, far, .. } = &locations;
    let made = create(near, LUNCH).await;
    let changed = send(far, Method::PATCH, &path(&made), r#"{"amount": 3}"#).await;
    let changed = changed.expect(200).json();
    let again = near.isolate_with_kv(Arc::new(locations.kv.location(2)));
    let isolates = [near, far, &again];
    for isolate in isolates {
        assert_eq!(send(isolate, Method::GET, &path(&made), "").await.expect(200).json(), changed);
        let listed = isolate.expenses_of(ADA).await;
        assert_eq!(listed.len(), 2);
        assert_eq!(listed[0], changed);
    }
    send(near, Method::DELETE, &format!("/expenses/{old}"), "").await.expect(204);
    for isolate in isolates {
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

/// Runs `work` to its end. While it waits, the clock moves on and alarms run, one at a time.
async fn meanwhile<T>(app: &TestApp, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    let mut outcome = None;
    let mut alarm: Option<BoxFuture<'static, ()>> = None;
    loop {
        if outcome.is_none() {
            outcome = work.as_mut().now_or_never();
        }
        let due = || app.ledgers.next_alarm().filter(|(at, _)| *at <= app.clock.now());
        if alarm.is_none()
            && let Some((at, name)) = due()
        {
            let ledgers = app.ledgers.clone();
            let retry_at = at + Duration::seconds(2);
            alarm = Some(async move { ledgers.run_alarm(&name, retry_at).await }.boxed());
        }
        if alarm.as_mut().is_some_and(|alarm| alarm.now_or_never().is_some()) {
            alarm = None;
        }
        app.settle();
        match outcome {
            Some(outcome) if alarm.is_none() => return outcome,
            _ => app.clock.advance(Duration::milliseconds(500)),
        }
    }
}

/// Lets time pass, for slow operations too.
async fn pass_slowly(app: &TestApp, duration: Duration) {
    let millis = u32::try_from(duration.num_milliseconds()).unwrap();
    meanwhile(app, app.clock.time_limit(millis)).await;
}

/// Writes of every kind, for an hour in which `disturb` has disturbed KV; every read in it shows them. `lists` says
/// whether KV can list, and `reads` whether it can read, within their limits.
async fn write_for_an_hour(disturb: impl Fn(&MemoryKv), lists: bool, reads: bool) {
    let app = TestApp::new();
    let old = format!("/expenses/{}", app.store_expense(ADA, "Old"));
    let first = create(&app, LUNCH).await;
    pass_slowly(&app, Duration::minutes(1)).await;
    disturb(&app.kv);
    let mut expected = vec![first];
    for round in 0..12 {
        let writes = async {
            let began = app.clock.now();
            expected.insert(0, create(&app, LUNCH).await);
            // Expenses of one millisecond have no order.
            app.clock.advance(Duration::milliseconds(1));
            let keyed = app.create_with_key(ADA, &format!("key {round}"), DINNER).await;
            expected.insert(0, keyed.expect(201).json());
            let latest = path(&expected[1]);
            let changed = send(&app, Method::PATCH, &latest, r#"{"amount": 3}"#).await;
            expected[1] = changed.expect(200).json();
            let replaced = send(&app, Method::PUT, &path(&expected[0]), LUNCH).await;
            expected[0] = replaced.expect(200).json();
            let gone = expected.remove(2);
            send(&app, Method::DELETE, &path(&gone), "").await.expect(204);
            // No write waits for KV.
            assert_eq!(app.clock.now() - began, Duration::milliseconds(1));
            send(&app, Method::GET, &path(&gone), "").await.expect(404);
            for made in &expected[..2] {
                let read = send(&app, Method::GET, &path(made), "").await;
                assert_eq!(read.expect(200).json(), *made);
            }
            let listed = send(&app, Method::GET, "/expenses?limit=1000", "").await;
            if lists {
                let listed = listed.expect(200).json();
                let (_, newest) = listed.as_array().unwrap().split_last().unwrap();
                assert_eq!(newest, expected);
            } else {
                listed.expect(503);
            }
            // The log does not have this one.
            let changed = send(&app, Method::PATCH, &old, r#"{"amount": 7}"#).await;
            changed.expect(if reads { 200 } else { 503 });
        };
        meanwhile(&app, writes).await;
        if round % 3 == 0 {
            app.ledgers.evict_all();
        }
        pass_slowly(&app, Duration::minutes(5)).await;
    }
    app.kv.limit_writes(false);
    app.kv.delay_responses(0);
    app.pass(Duration::hours(1)).await;
    assert!(app.ledgers.storage("user_ada").list("log:").unwrap().is_empty());
    assert_eq!(app.kv.keys().len(), expected.len() + 1);
    let listed = app.expenses_of(ADA).await;
    let (last, newest) = listed.split_last().unwrap();
    assert_eq!(newest, expected);
    assert_eq!(last["amount"].to_string(), if reads { "7.00" } else { "42.50" });
}

#[tokio::test]
async fn writes_succeed_while_kv_takes_seconds_for_an_hour() {
    write_for_an_hour(|kv| kv.delay_responses(KV_READ_MAX_MILLIS - 1_000), true, true).await;
}

#[tokio::test]
async fn writes_succeed_while_kv_exceeds_limits_for_an_hour() {
    write_for_an_hour(|kv| kv.delay_responses(KV_WRITE_MAX_MILLIS + 2_000), false, false).await;
}

#[tokio::test]
async fn writes_succeed_while_kv_responds_429_for_an_hour() {
    write_for_an_hour(|kv| kv.limit_writes(true), true, true).await;
}

#[track_caller]
fn assert_log_is_full(response: &TestResponse) {
    assert_eq!(response.status, 503, "{response:?}");
    assert_eq!(response.header("retry-after"), "600");
    let detail = response.detail();
    assert!(
        detail.starts_with("Nothing was saved, because the log of recent changes is full"),
        "{detail}"
    );
    assert!(detail.ends_with("Try again later"), "{detail}");
}

#[tokio::test]
async fn full_log_refuses_writes_until_kv_has_them() {
    const MAX_ENTRIES: usize = 20_000;

    let app = TestApp::new();
    let stored = create(&app, LUNCH).await;
    app.clock.advance(Duration::milliseconds(1));
    app.kv.fail(Some(KvOperation::Put));
    let made = create(&app, LUNCH).await;
    // KV has most of the expenses that the log has, and lacks a hundred.
    let storage = app.ledgers.storage("user_ada");
    for (model, count) in [(&stored, MAX_ENTRIES - 100), (&made, 100)] {
        let id = model["id"].as_str().unwrap();
        let key = format!("expense:user_ada:{id}");
        let row = storage.get(&format!("log:{id}")).unwrap().unwrap();
        for number in 1..count {
            let other = format!("{}{number:05}", &id[..21]);
            storage.put(&format!("log:{other}"), &row.replace(id, &other)).unwrap();
            if let Some((value, written)) = app.kv.entry(&key) {
                app.kv.insert_raw(&key.replace(id, &other), &value, written.metadata);
            }
        }
    }
    let unlogged = format!("/expenses/{}", app.store_expense(ADA, "Old"));
    app.ledgers.evict_all();
    logs::take();
    assert_log_is_full(&send(&app, Method::POST, "/expenses", DINNER).await);
    let lines = logs::take().join("\n");
    assert!(lines.contains("the ledger's log is full: KV does not accept its writes"), "{lines}");
    // The log has no room for a change or a removal of another expense either.
    assert_log_is_full(&send(&app, Method::PATCH, &unlogged, r#"{"amount": 3}"#).await);
    assert_log_is_full(&send(&app, Method::DELETE, &unlogged, "").await);
    // Reads and changes of what is in the log go on.
    assert_eq!(send(&app, Method::GET, &path(&made), "").await.expect(200).json(), made);
    assert_eq!(app.expenses_of(ADA).await.len(), 1_000);
    send(&app, Method::PATCH, &path(&made), r#"{"amount": 3}"#).await.expect(200);
    app.kv.fail(None);
    app.pass(Duration::hours(1)).await;
    assert_eq!(app.kv.keys().len(), MAX_ENTRIES + 1);
    assert!(storage.list("log:").unwrap().is_empty());
    create(&app, DINNER).await;
}

#[tokio::test]
async fn log_of_most_bytes_takes_only_its_own_removals() {
    /// The ledger counts 1,150 bytes for each of these expenses, and refuses writes from 10 MB on.
    const ENTRIES: usize = 8_700;

    let app = TestApp::new();
    app.kv.fail(Some(KvOperation::Put));
    let long = json!({"description": "🧾".repeat(200), "category": "🧾".repeat(50), "amount": 1});
    let token = app.authkit.access_token(ADA);
    let made = app.bearer(&token).post("/expenses", long.to_string()).await.expect(201).json();
    let id = made["id"].as_str().unwrap();
    let storage = app.ledgers.storage("user_ada");
    let row = storage.get(&format!("log:{id}")).unwrap().unwrap();
    for number in 1..ENTRIES {
        let other = format!("{}{number:05}", &id[..21]);
        storage.put(&format!("log:{other}"), &row.replace(id, &other)).unwrap();
    }
    let unlogged = format!("/expenses/{}", app.store_expense(ADA, "Old"));
    app.ledgers.evict_all();
    assert_log_is_full(&send(&app, Method::POST, "/expenses", DINNER).await);
    for path in [&*path(&made), &*unlogged] {
        assert_log_is_full(&send(&app, Method::PATCH, path, r#"{"amount": 3}"#).await);
        assert_log_is_full(&send(&app, Method::PUT, path, DINNER).await);
    }
    assert_log_is_full(&send(&app, Method::DELETE, &unlogged, "").await);
    send(&app, Method::DELETE, &path(&made), "").await.expect(204);
    send(&app, Method::GET, &path(&made), "").await.expect(404);
    send(&app, Method::GET, &unlogged, "").await.expect(200);
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

/// An expense whose write to KV was uncertain once, a minute before the ledger repeats it.
struct LateWrite {
    app: TestApp,
    made: Value,
    key: String,
    value: String,
    metadata: Option<Value>,
}

impl LateWrite {
    async fn new() -> Self {
        let app = TestApp::new();
        app.kv.fail(Some(KvOperation::Put));
        let made = create(&app, LUNCH).await;
        app.kv.fail(None);
        app.pass(Duration::minutes(9)).await;
        let key = format!("expense:user_ada:{}", made["id"].as_str().unwrap());
        let (value, written) = app.kv.entry(&key).unwrap();
        Self { app, made, key, value, metadata: written.metadata }
    }

    /// The expense is deleted, then KV performs the repetition that had no response.
    async fn assert_overwritten(&self) {
        let Self { app, made, key, value, metadata } = self;
        send(app, Method::DELETE, &path(made), "").await.expect(204);
        app.pass(Duration::seconds(2)).await;
        assert!(app.kv.entry(key).is_none());
        app.kv.insert_raw(key, value, metadata.clone());
        app.pass(Duration::minutes(30)).await;
        assert!(app.kv.entry(key).is_none());
        assert!(app.expenses_of(ADA).await.is_empty());
    }
}

#[tokio::test]
async fn late_repetition_of_a_write_is_overwritten() {
    let late = LateWrite::new().await;
    let app = &late.app;
    // The write is repeated ten minutes after its success, fails, and succeeds a second later.
    app.kv.take_operations();
    app.kv.fail(Some(KvOperation::Put));
    app.pass(Duration::seconds(61)).await;
    assert_eq!(app.kv.take_operations(), [KvOperation::Put]);
    app.kv.fail(None);
    app.pass(Duration::seconds(2)).await;
    assert_eq!(app.kv.take_operations(), [KvOperation::Put]);
    late.assert_overwritten().await;
}

#[tokio::test]
async fn late_repetition_of_an_evicted_ledger_is_overwritten() {
    let late = LateWrite::new().await;
    let app = &late.app;
    // The ledger ends while it repeats the write.
    let (at, name) = app.ledgers.next_alarm().unwrap();
    app.clock.advance(at - app.clock.now());
    app.kv.hold_operation(Some(KvOperation::Put));
    let mut repetition = Box::pin(app.ledgers.run_alarm(&name, at + Duration::seconds(2)));
    assert!(repetition.as_mut().now_or_never().is_none());
    assert!(app.kv.is_waiting());
    app.ledgers.evict_all();
    repetition.await;
    app.kv.hold_operation(None);
    app.kv.take_operations();
    app.pass(Duration::minutes(1)).await;
    assert_eq!(app.kv.take_operations(), [KvOperation::Put]);
    late.assert_overwritten().await;
}

#[tokio::test]
async fn transfer_that_the_host_drops_is_begun_again() {
    let app = TestApp::new().without_background();
    create(&app, LUNCH).await;
    let (at, name) = app.ledgers.next_alarm().unwrap();
    app.clock.advance(at - app.clock.now());
    app.kv.hold_operation(Some(KvOperation::Put));
    let mut alarm = Box::pin(app.ledgers.run_alarm(&name, at));
    assert!(alarm.as_mut().now_or_never().is_none());
    assert!(app.kv.is_waiting());
    drop(alarm);
    app.kv.hold_operation(None);
    app.kv.take_operations();
    app.pass(Duration::minutes(1)).await;
    assert_eq!(app.kv.take_operations(), [KvOperation::Put]);
}

#[tokio::test]
async fn eviction_before_the_transfer_loses_nothing() {
    let app = TestApp::new().without_background();
    let made = create(&app, LUNCH).await;
    app.ledgers.evict_all();
    app.settle();
    assert!(app.kv.keys().is_empty());
    // The next request has the next instance go on.
    assert_eq!(app.expenses_of(ADA).await, std::slice::from_ref(&made));
    app.settle();
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
async fn key_of_a_write_that_failed_midway_makes_the_expense_later() {
    for successes in 0..6 {
        let app = TestApp::new();
        let made = create(&app, LUNCH).await;
        app.clock.advance(Duration::seconds(1));
        let storage = app.ledgers.storage("user_ada");
        storage.fail_after(successes);
        let attempt = app.create_with_key(ADA, "key", DINNER).await;
        storage.fail_after(usize::MAX);
        app.pass(Duration::minutes(15)).await;
        let dinner = app.create_with_key(ADA, "key", DINNER).await.expect(201).json();
        if attempt.status == 201 {
            assert_eq!(attempt.json(), dinner, "{successes}");
        }
        assert_eq!(app.expenses_of(ADA).await, [dinner, made], "{successes}");
    }
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
    for tool in ["list_expenses", "summarize_expenses"] {
        // Clients show models the output or its text, but not always both.
        let result = mcp::call(&app, tool, json!({})).await;
        let text: Value =
            serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap();
        for output in [&text, &result["structuredContent"]] {
            let notice = output["notice"].as_str().unwrap_or_default();
            assert!(notice.contains("Do not add an expense again"), "{tool}: {result}");
        }
    }
    let response = send(&app, Method::DELETE, &one, "").await.expect(503);
    assert!(response.detail().contains("may or may not"), "{response:?}");
    app.ledgers.set_unreachable(false);
    assert_eq!(send(&app, Method::GET, &one, "").await.header("expenses-consistency"), "");
}

#[tokio::test]
async fn message_is_sent_again_after_one_is_lost() {
    for fault in [Fault::LosesMessage, Fault::LosesResponse] {
        let app = TestApp::new();
        let objects = Arc::new(FaultyObjects::new(&app.ledgers));
        let isolate =
            app.isolate_with_objects(Arc::new(app.sessions.clone()), Arc::clone(&objects) as _);
        objects.add(fault);
        let made = create(&isolate, LUNCH).await;
        assert!(objects.is_spent());
        objects.add(fault);
        let listed = send(&isolate, Method::GET, "/expenses", "").await.expect(200);
        assert!(objects.is_spent());
        assert_eq!(listed.json(), json!([made]), "{fault:?}");
        assert_eq!(listed.header("expenses-consistency"), "", "{fault:?}");
    }
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
    let locations = Locations::new();
    let Locations { near, far, .. } = &locations;
    let mut ids = Vec::new();
    for number in 0..12 {
        near.clock.advance(Duration::milliseconds(10));
        let id = if number % 2 == 0 {
            locations.store_expense("Stored").await
        } else {
            create(near, LUNCH).await["id"].as_str().unwrap().to_owned()
        };
        ids.push(id);
    }
    locations.let_kv_catch_up();
    ids.reverse();
    // Most of the first page of KV is deleted.
    for id in ids.drain(0..5) {
        send(near, Method::DELETE, &format!("/expenses/{id}"), "").await.expect(204);
    }
    for isolate in [near, far] {
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
            near.clock.advance(Duration::milliseconds(10));
            let new = create(near, DINNER).await;
            send(near, Method::DELETE, &crate::ledger::path(&new), "").await.expect(204);
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
    // Cloudflare weakens the tag of what it compresses.
    assert_eq!(made.header("cache-control"), "no-store, no-transform");
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

/// Erases Ada's data, as the webhook does.
async fn erase(app: &TestApp) {
    let erase = json!({"v": 1, "owner": "user_ada", "request": "r", "command": "erase"});
    let ledgers: Arc<dyn ObjectNamespace> = Arc::new(app.ledgers.clone());
    ledgers.send("user_ada", &erase.to_string()).await.unwrap();
}

#[tokio::test]
async fn erasure_wins_over_a_transfer() {
    let app = TestApp::new().without_background();
    create(&app, LUNCH).await;
    app.kv.hold_operation(Some(KvOperation::Put));
    app.settle();
    erase(&app).await;
    app.kv.hold_operation(None);
    app.settle();
    assert!(app.expenses_of(ADA).await.is_empty());
    app.pass(Duration::minutes(30)).await;
    assert!(app.kv.keys().is_empty());
    assert!(app.ledgers.storage("user_ada").list("log:").unwrap().is_empty());
}

#[tokio::test]
async fn erasure_without_an_alarm_goes_on_when_it_is_repeated() {
    let app = TestApp::new();
    create(&app, LUNCH).await;
    app.kv.fail(Some(KvOperation::List));
    erase(&app).await;
    // The runtime gives an alarm up whose handler has ended seven times outside of its reach.
    app.ledgers.storage("user_ada").set_alarm(None).unwrap();
    app.ledgers.evict_all();
    app.kv.fail(None);
    app.pass(Duration::minutes(30)).await;
    assert_eq!(app.kv.keys().len(), 1);
    erase(&app).await;
    app.pass(Duration::minutes(30)).await;
    assert!(app.kv.keys().is_empty());
}

#[tokio::test]
async fn erasure_has_an_alarm_while_it_deletes() {
    let app = TestApp::new();
    create(&app, LUNCH).await;
    erase(&app).await;
    app.kv.hold_operation(Some(KvOperation::List));
    let (at, name) = app.ledgers.next_alarm().unwrap();
    app.clock.advance(at - app.clock.now());
    let running = app.ledgers.run_alarm(&name, at + Duration::seconds(2));
    assert!(running.now_or_never().is_none(), "KV is held");
    assert!(app.ledgers.next_alarm().is_some());
}

/// Two hours, in which the runtime ends each instance that gets no event for ten seconds: the requests to objects,
/// alarms too, and the rows written.
async fn two_idle_hours(app: &TestApp) -> [usize; 2] {
    Cost::take(app);
    for _ in 0..2 * 60 * 6 {
        app.ledgers.evict_all();
        app.pass(Duration::seconds(10)).await;
    }
    let Cost { requests, rows, .. } = Cost::take(app);
    [requests, rows]
}

#[tokio::test]
async fn failures_of_kv_are_remembered_by_the_next_instance() {
    let app = TestApp::new();
    app.kv.fail(Some(KvOperation::Put));
    let made = create(&app, LUNCH).await;
    // Each five minutes, after the first five: an alarm, which is set twice more, and the row of the pause.
    let [requests, rows] = two_idle_hours(&app).await;
    assert!(requests <= 35 && rows <= 130, "{requests} requests, {rows} rows");
    let pauses = || app.ledgers.storage("user_ada").list("pause").unwrap().len();
    assert_eq!((pauses(), app.kv.keys().len()), (1, 0));
    app.kv.fail(None);
    app.pass(Duration::minutes(6)).await;
    assert_eq!((pauses(), app.kv.keys().len()), (0, 1));
    assert_eq!(app.expenses_of(ADA).await, [made]);

    app.kv.fail(Some(KvOperation::List));
    erase(&app).await;
    let [requests, rows] = two_idle_hours(&app).await;
    assert!(requests <= 35 && rows <= 130, "{requests} requests, {rows} rows");
    app.kv.fail(None);
    app.pass(Duration::minutes(30)).await;
    assert!(app.kv.keys().is_empty());
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
        ("a list by date, up to 1,000 expenses", "/expenses?sort=date".to_owned()),
        ("one expense", path(&made)),
        ("a summary, up to 1,000 expenses", "/expenses/summary".to_owned()),
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
    let lunch = create(&app, LUNCH).await;
    app.pass(day).await;
    send(&app, Method::DELETE, &path(&lunch), "").await.expect(204);
    app.pass(Duration::minutes(1)).await;
    Cost::take(&app);
    send(&app, Method::POST, &format!("{}/restore", path(&lunch)), "").await.expect(200);
    app.pass(day).await;
    check("restore after a minute", &Cost::take(&app));

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

#[tokio::test]
async fn create_minutes_after_another_sets_one_alarm() {
    let app = TestApp::new();
    create(&app, LUNCH).await;
    app.pass(Duration::hours(26)).await;
    create(&app, LUNCH).await;
    app.pass(Duration::minutes(1)).await;
    // The runtime ends an object that gets no event for ten seconds.
    app.ledgers.evict_all();
    Cost::take(&app);
    create(&app, LUNCH).await;
    app.pass(Duration::hours(26)).await;
    // As the README says, and the removal of the first one's entry.
    assert_eq!(Cost::take(&app).rows, 4 + 1);
}

#[tokio::test]
async fn reads_do_not_put_off_a_waiting_write() {
    let app = TestApp::new().without_background();
    send(&app, Method::POST, "/expenses", LUNCH).await.expect(201);
    // Each read finds an object that the runtime has ended while idle, and none ends a transfer.
    for _ in 0..60 {
        app.ledgers.evict_all();
        assert_eq!(app.expenses_of(ADA).await.len(), 1);
        app.pass(Duration::seconds(20)).await;
    }
    assert_eq!(app.kv.keys().len(), 1);
}
