//! Two versions of the Worker run side by side during a deployment and after a return to an older one: they read each
//! other's cookies, KV entries, rows of objects and messages to objects. `tests/formats` has what released code has
//! written. Each file stays as it is for ever; today's code reads it, and what today's code writes has every member that
//! the files have.
//!
//! After a new format, `RECORD_FORMATS=<name> cargo test --test app formats` writes another file beside the others.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use axum::body::Body;
use chrono::Duration;
use edge_host::{
    KvNamespace, KvOperation, ObjectError, ObjectNamespace, ObjectStorage,
    memory::{MemoryKv, MemoryObjects},
};
use http::{Method, header};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::support::{
    ADA, Client, TestApp,
    app::{Browser, Cookie, SESSION_COOKIE, TestResponse, request},
    authkit::Outage,
};

const LUNCH: &str = r#"{"description": "Team “lunch” 🍜", "amount": 42.50, "currency": "EUR", "category": "meals", "date": "2026-11-20"}"#;
const TAXI: &str = r#"{"description": "Taxi", "amount": 7, "date": "2026-11-21"}"#;
const HOTEL: &str = r#"{"description": "Hotel", "amount": 120, "date": "2026-11-22"}"#;
const SIGN_IN_COOKIE: &str = "__Host-wos-session-sign-in-";

/// What one version has written.
#[derive(Serialize, Deserialize)]
struct Formats {
    about: String,
    /// The address at WorkOS to which `/login` redirects; its `state` is half of the sign-in.
    sign_in_location: String,
    sign_in_cookie: (String, String),
    session_cookie: String,
    kv: Vec<(String, String, Option<Value>)>,
    authkit_kv: Vec<(String, String, Option<Value>)>,
    /// The rows of ledgers, by owner.
    ledgers: BTreeMap<String, BTreeMap<String, String>>,
    keeper_name: String,
    keeper_of_renewed_session: BTreeMap<String, String>,
    keeper_of_signed_out_session: BTreeMap<String, String>,
    exchanges: Vec<Exchange>,
    /// The response of `GET /expenses`.
    expenses: Value,
    /// The response of the `POST` with an `Idempotency-Key`.
    created: Value,
}

/// A message to an object and its response.
#[derive(Clone, Serialize, Deserialize)]
struct Exchange {
    class: String,
    name: String,
    message: Value,
    response: Value,
}

impl Exchange {
    /// The kind of the message: the name of its command.
    fn kind(&self) -> String {
        let command = self.message.get("command").or_else(|| self.message.get("message")).unwrap();
        match command {
            Value::String(name) => name.clone(),
            other => other.as_object().unwrap().keys().next().unwrap().clone(),
        }
    }
}

/// Passes messages on and notes them.
struct Recorder {
    class: &'static str,
    objects: MemoryObjects,
    exchanges: Arc<Mutex<Vec<Exchange>>>,
}

#[async_trait]
impl ObjectNamespace for Recorder {
    async fn send(&self, name: &str, message: &str) -> Result<String, ObjectError> {
        let response = self.objects.send(name, message).await?;
        self.exchanges.lock().unwrap().push(Exchange {
            class: self.class.to_owned(),
            name: name.to_owned(),
            message: serde_json::from_str(message).unwrap(),
            response: serde_json::from_str(&response).unwrap(),
        });
        Ok(response)
    }
}

/// Responds as the recorded objects did, to messages of the same kind in their order.
struct Replay {
    class: &'static str,
    exchanges: Mutex<Vec<Exchange>>,
}

#[async_trait]
impl ObjectNamespace for Replay {
    async fn send(&self, _: &str, message: &str) -> Result<String, ObjectError> {
        let message = serde_json::from_str(message).unwrap();
        let (class, name, response) = (self.class.to_owned(), String::new(), Value::Null);
        let kind = Exchange { class, name, message, response }.kind();
        let mut exchanges = self.exchanges.lock().unwrap();
        let found =
            exchanges.iter().position(|each| each.class == self.class && each.kind() == kind);
        let at = found.unwrap_or_else(|| panic!("{}: no response to {kind} is left", self.class));
        Ok(exchanges.remove(at).response.to_string())
    }
}

fn entries(kv: &MemoryKv) -> Vec<(String, String, Option<Value>)> {
    let entry = |key: String| {
        let (value, written) = kv.entry(&key).unwrap();
        (key, value, written.metadata)
    };
    kv.keys().into_iter().map(entry).collect()
}

fn restore(kv: &MemoryKv, entries: &[(String, String, Option<Value>)]) {
    for (key, value, metadata) in entries {
        kv.insert_raw(key, value, metadata.clone());
    }
}

fn rows(objects: &MemoryObjects, name: &str) -> BTreeMap<String, String> {
    objects.storage(name).list("").unwrap().into_iter().collect()
}

fn restore_rows(objects: &MemoryObjects, name: &str, rows: &BTreeMap<String, String>) {
    for (key, value) in rows {
        objects.storage(name).put(key, value).unwrap();
    }
}

async fn sign_out(browser: &mut Browser) -> TestResponse {
    let sign_out = request(Method::POST, "/logout").header("sec-fetch-site", "same-origin");
    browser.send(sign_out, Body::empty()).await
}

async fn send(app: &TestApp, method: Method, path: &str, body: &'static str) -> TestResponse {
    let mut client = app.bearer(&app.authkit.access_token(ADA));
    let request = client.request(method, path).header(header::CONTENT_TYPE, "application/json");
    client.send(request, body.into()).await
}

/// A browser with one cookie.
fn browser_with(app: &TestApp, name: &str, value: &str) -> Browser {
    let mut browser = app.browser();
    let (name, value) = (name.to_owned(), value.to_owned());
    browser.cookies.push(Cookie { name, value, path: "/".to_owned(), domain: None });
    browser
}

/// Writes everything that has a format, by today's code.
async fn write_everything() -> Formats {
    let app = TestApp::new();
    let exchanges = Arc::default();
    let recorder = |class, objects: &MemoryObjects| {
        Arc::new(Recorder { class, objects: objects.clone(), exchanges: Arc::clone(&exchanges) })
    };
    let app = app.isolate_with_objects(
        recorder("SessionKeeper", &app.sessions),
        recorder("Ledger", &app.ledgers),
    );
    let mut abandoned = app.browser();
    let login = abandoned.open("/login").await.expect(302);
    let cookie = abandoned.cookies.iter().find(|cookie| cookie.name.starts_with(SIGN_IN_COOKIE));
    let sign_in_cookie = cookie.map(|cookie| (cookie.name.clone(), cookie.value.clone())).unwrap();
    let mut browser = app.signed_in(ADA).await;
    let session_cookie = browser.cookie(SESSION_COOKIE).unwrap().to_owned();

    let created = app.create_with_key(ADA, "key", LUNCH).await.expect(201).json();
    let path = format!("/expenses/{}", created["id"].as_str().unwrap());
    send(&app, Method::PATCH, &path, r#"{"category": null, "amount": 43}"#).await.expect(200);
    send(&app, Method::PUT, &path, LUNCH).await.expect(200);
    send(&app, Method::GET, &path, "").await.expect(200);
    let removed = send(&app, Method::POST, "/expenses", HOTEL).await.expect(201).json();
    let removed = format!("/expenses/{}", removed["id"].as_str().unwrap());
    send(&app, Method::DELETE, &removed, "").await.expect(204);
    // The ledger alone has this one.
    app.kv.fail(Some(KvOperation::Put));
    send(&app, Method::POST, "/expenses", TAXI).await.expect(201);
    let expenses = Value::Array(app.expenses_of(ADA).await);
    app.kv.fail(None);
    send(&app, Method::GET, "/expenses/summary", "").await.expect(200);
    let kv = entries(&app.kv);
    let ada = rows(&app.ledgers, ADA.id);
    let erase = r#"{"v":1,"owner":"user_grace","request":"r","command":"erase"}"#;
    app.ledgers.send("user_grace", erase).await.unwrap();
    let grace = rows(&app.ledgers, "user_grace");

    app.clock.advance(Duration::hours(1));
    browser.open("/me").await.expect(200);
    let keeper_name = app.sessions.names()[0].clone();
    let keeper_of_renewed_session = rows(&app.sessions, &keeper_name);
    sign_out(&mut browser).await.expect(303);
    let keeper_of_signed_out_session = rows(&app.sessions, &keeper_name);
    let exchanges: Vec<Exchange> = exchanges.lock().unwrap().clone();
    Formats {
        about:
            "Written by the Worker. Do not change this file: released versions write and read it."
                .into(),
        sign_in_location: login.header("location").to_owned(),
        sign_in_cookie,
        session_cookie,
        kv,
        authkit_kv: entries(&app.authkit_kv),
        ledgers: [(ADA.id.to_owned(), ada), ("user_grace".to_owned(), grace)].into(),
        keeper_name,
        keeper_of_renewed_session,
        keeper_of_signed_out_session,
        exchanges,
        expenses,
        created,
    }
}

/// What released versions have written, by the files' names.
fn released() -> Vec<(String, Formats)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/formats");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|ending| ending == "json"));
    let read = |path: PathBuf| {
        let formats = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        (path.file_name().unwrap().to_string_lossy().into_owned(), formats)
    };
    let mut released: Vec<_> = files.map(read).collect();
    released.sort_by(|one, other| one.0.cmp(&other.0));
    assert!(!released.is_empty(), "tests/formats has no file");
    released
}

#[tokio::test]
async fn formats_are_recorded_on_demand() {
    let Ok(name) = std::env::var("RECORD_FORMATS") else { return };
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/formats/{name}.json"));
    assert!(!path.exists(), "{} exists: a recorded format stays as it is", path.display());
    let text = serde_json::to_string_pretty(&write_everything().await).unwrap();
    fs::write(path, text + "\n").unwrap();
}

#[tokio::test]
async fn recorded_session_cookie_opens_by_recorded_keys() {
    for (name, formats) in released() {
        let app = TestApp::new();
        restore(&app.authkit_kv, &formats.authkit_kv);
        app.authkit.set_outage(Some(Outage::NoAnswer));
        let mut browser = browser_with(&app, SESSION_COOKIE, &formats.session_cookie);
        let me = browser.get("/me").await.expect(200).json();
        assert_eq!(me["user"]["email"], ADA.email, "{name}");
    }
}

#[tokio::test]
async fn recorded_sign_in_ends_with_a_session() {
    for (_, formats) in released() {
        let app = TestApp::new();
        let (cookie, value) = &formats.sign_in_cookie;
        let mut browser = browser_with(&app, cookie, value);
        let callback = app.authkit.approve(&formats.sign_in_location, ADA);
        browser.open(callback.as_str()).await.expect(302);
        browser.open("/me").await.expect(200);
    }
}

#[tokio::test]
async fn recorded_kv_and_ledger_show_the_expenses() {
    for (name, formats) in released() {
        let app = TestApp::new();
        restore(&app.kv, &formats.kv);
        restore_rows(&app.ledgers, ADA.id, &formats.ledgers[ADA.id]);
        assert_eq!(Value::Array(app.expenses_of(ADA).await), formats.expenses, "{name}");
        let again = app.create_with_key(ADA, "key", LUNCH).await.expect(201).json();
        assert_eq!(again["id"], formats.created["id"], "{name}: the key makes no second expense");
        // KV alone, as ten minutes later.
        let later = TestApp::new();
        restore(&later.kv, &formats.kv);
        let id = formats.created["id"].as_str().unwrap();
        let lunch = send(&later, Method::GET, &format!("/expenses/{id}"), "").await.expect(200);
        assert_eq!(lunch.json()["description"], formats.created["description"], "{name}");
    }
}

#[tokio::test]
async fn recorded_erasure_refuses_writes() {
    for (_, formats) in released() {
        let app = TestApp::new();
        // The rows name their owner; the object has its name from the caller.
        let rows = formats.ledgers["user_grace"].iter();
        let rows = rows.map(|(key, value)| (key.clone(), value.replace("user_grace", ADA.id)));
        restore_rows(&app.ledgers, ADA.id, &rows.collect());
        send(&app, Method::POST, "/expenses", TAXI).await.expect(403);
    }
}

#[tokio::test]
async fn recorded_keeper_renews_without_another_exchange() {
    for (_, formats) in released() {
        let app = TestApp::new();
        restore_rows(&app.sessions, &formats.keeper_name, &formats.keeper_of_renewed_session);
        app.clock.advance(Duration::hours(1));
        let mut browser = browser_with(&app, SESSION_COOKIE, &formats.session_cookie);
        // This AuthKit has never issued the refresh token, and would refuse it.
        browser.open("/me").await.expect(200);
        let signed_out = TestApp::new();
        let rows = &formats.keeper_of_signed_out_session;
        restore_rows(&signed_out.sessions, &formats.keeper_name, rows);
        signed_out.clock.advance(Duration::hours(1));
        let mut browser = browser_with(&signed_out, SESSION_COOKIE, &formats.session_cookie);
        browser.get("/me").await.expect(401);
    }
}

#[tokio::test]
async fn recorded_messages_get_responses_with_recorded_members() {
    for (name, formats) in released() {
        let app = TestApp::new();
        let kv = formats.exchanges.iter().find(|exchange| exchange.class == "SessionKeeper");
        assert!(kv.is_some(), "{name}");
        // The exchange of the renewal is in the row.
        restore_rows(&app.sessions, &formats.keeper_name, &formats.keeper_of_renewed_session);
        for exchange in &formats.exchanges {
            let objects = if exchange.class == "Ledger" { &app.ledgers } else { &app.sessions };
            let response = objects.send(&exchange.name, &exchange.message.to_string()).await;
            app.settle();
            let response = response.unwrap_or_else(|error| panic!("{name}: {error}"));
            let response: Value = serde_json::from_str(&response).unwrap();
            let kind = exchange.kind();
            assert_covers(&response, &exchange.response, &format!("{name}, response to {kind}"));
        }
    }
}

#[tokio::test]
async fn recorded_responses_are_understood() {
    for (_, formats) in released() {
        let app = TestApp::new();
        let replay =
            |class| Arc::new(Replay { class, exchanges: Mutex::new(formats.exchanges.clone()) });
        let kv: Arc<dyn KvNamespace> = Arc::clone(&app.kv) as _;
        assert!(kv.get("expense:").await.unwrap().is_none());
        let app = app.isolate_with_objects(replay("SessionKeeper"), replay("Ledger"));
        let created = app.create_with_key(ADA, "key", LUNCH).await.expect(201).json();
        let path = format!("/expenses/{}", created["id"].as_str().unwrap());
        send(&app, Method::PATCH, &path, r#"{"amount": 43}"#).await.expect(200);
        send(&app, Method::PUT, &path, LUNCH).await.expect(200);
        send(&app, Method::GET, &path, "").await.expect(200);
        send(&app, Method::DELETE, &path, "").await.expect(204);
        assert!(!app.expenses_of(ADA).await.is_empty());
        app.clock.advance(Duration::hours(1));
        let mut browser = browser_with(&app, SESSION_COOKIE, &formats.session_cookie);
        browser.open("/me").await.expect(200);
        sign_out(&mut browser).await.expect(303);
    }
}

#[tokio::test]
async fn todays_writes_have_every_recorded_member() {
    let today = write_everything().await;
    for (name, formats) in released() {
        let objects = |formats: &Formats, rows: &BTreeMap<String, String>| {
            // Ids differ from run to run: rows are compared by their kind.
            let _ = formats;
            let mut kinds: BTreeMap<String, Vec<Value>> = BTreeMap::new();
            for (key, value) in rows {
                let kind = key.split(':').next().unwrap_or_default().to_owned();
                kinds.entry(kind).or_default().push(serde_json::from_str(value).unwrap());
            }
            kinds
        };
        for (owner, rows) in &formats.ledgers {
            let (ours, theirs) = (objects(&today, &today.ledgers[owner]), objects(&formats, rows));
            for (kind, rows) in &theirs {
                assert!(ours.contains_key(kind), "{name}: rows {kind}");
                assert_eq!(ours[kind].len(), rows.len(), "{name}: rows {kind}");
                for row in &ours[kind] {
                    assert!(rows.iter().any(|old| covers(row, old)), "{name}: {kind} is {row}");
                }
            }
        }
        for (ours, theirs) in [
            (&today.keeper_of_renewed_session, &formats.keeper_of_renewed_session),
            (&today.keeper_of_signed_out_session, &formats.keeper_of_signed_out_session),
        ] {
            for (key, row) in theirs {
                assert_covers(&parsed(&ours[key]), &parsed(row), &format!("{name}, row {key}"));
            }
        }
        for (ours, theirs) in [(&today.kv, &formats.kv), (&today.authkit_kv, &formats.authkit_kv)] {
            assert_eq!(ours.len(), theirs.len(), "{name}");
            for (our, their) in ours.iter().zip(theirs) {
                let kind = |key: &str| key.rsplit_once(':').map(|(kind, _)| kind.to_owned());
                assert_eq!(kind(&our.0), kind(&their.0), "{name}");
                let place = format!("{name}, KV {}", their.0);
                assert_covers(&text_value(&our.1), &text_value(&their.1), &place);
                if let (Some(our), Some(their)) = (&our.2, &their.2) {
                    assert_covers(our, their, &place);
                }
                assert_eq!(our.2.is_some(), their.2.is_some(), "{place}: metadata");
            }
        }
        for exchange in &today.exchanges {
            let (class, kind) = (&exchange.class, exchange.kind());
            let same = |old: &&Exchange| old.class == *class && old.kind() == kind;
            let known: Vec<_> = formats.exchanges.iter().filter(same).collect();
            assert!(
                !known.is_empty(),
                "{name}: objects of that version do not know {class} {kind}"
            );
            let is_understood = |old: &&&Exchange| {
                covers(&exchange.message, &old.message) && covers(&exchange.response, &old.response)
            };
            let message =
                format!("{name}: {class} {kind}: {} {}", exchange.message, exchange.response);
            assert!(known.iter().any(|old| is_understood(&old)), "{message}");
        }
    }
}

/// JSON in a row.
fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// JSON in a value of KV, or the text.
fn text_value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

/// Whether a reader of `old` finds every member in `new`, each of its kind. `null` is a member that may be absent.
fn covers(new: &Value, old: &Value) -> bool {
    match (new, old) {
        (_, Value::Null) => true,
        (Value::Object(new), Value::Object(old)) => old
            .iter()
            .all(|(name, old)| new.get(name).map_or(old.is_null(), |new| covers(new, old))),
        // Entries are in the order of ids, which differ from run to run.
        (Value::Array(new), Value::Array(old)) => {
            let is_known = |new| old.is_empty() || old.iter().any(|old| covers(new, old));
            new.iter().all(is_known) && old.iter().all(|old| new.iter().any(|new| covers(new, old)))
        }
        (Value::String(new), Value::String(old)) => match (row(new), row(old)) {
            (Some((new_version, new)), Some((old_version, old))) => {
                new_version == old_version && covers(&new, &old)
            }
            (None, None) => true,
            _ => false,
        },
        (Value::Number(_), Value::Number(_)) | (Value::Bool(_), Value::Bool(_)) => true,
        _ => false,
    }
}

/// The version and the JSON of an expense's row: a version, a colon, and JSON whose quotes are exchanged.
fn row(text: &str) -> Option<(&str, Value)> {
    let (version, json) = text.split_once(":{")?;
    let exchange = |letter| match letter {
        '"' => '\'',
        '\'' => '"',
        other => other,
    };
    let json: String = std::iter::once('{').chain(json.chars().map(exchange)).collect();
    Some((version, serde_json::from_str(&json).ok()?))
}

#[track_caller]
fn assert_covers(new: &Value, old: &Value, place: &str) {
    assert!(covers(new, old), "{place}: readers of\n{old}\ncannot read\n{new}");
}

#[test]
fn covers_finds_members_that_are_gone() {
    let row = |text: &str| Value::String(text.to_owned());
    let old =
        serde_json::json!({"v": 1, "record": {"amount": "1"}, "list": [{"a": 1}], "none": null});
    for (new, is_read) in [
        (serde_json::json!({"v": 1, "record": {"amount": "2", "x": 1}, "list": [{"a": 2}]}), true),
        (serde_json::json!({"v": 1, "record": {"amount": 2}, "list": [{"a": 2}]}), false),
        (serde_json::json!({"v": 1, "record": {"sum": "2"}, "list": [{"a": 2}]}), false),
        (serde_json::json!({"v": 1, "record": {"amount": "2"}, "list": []}), false),
        (
            serde_json::json!({"v": 1, "record": {"amount": "2"}, "list": [{"a": null}, {"a": 2}]}),
            false,
        ),
        (
            serde_json::json!({"v": 1, "record": {"amount": "2"}, "list": [{"a": null}, {"b": 2}]}),
            false,
        ),
        (serde_json::json!({"record": {"amount": "2"}, "list": [{"a": 2}]}), false),
    ] {
        assert_eq!(covers(&new, &old), is_read, "{new}");
    }
    let [one, other] =
        [serde_json::json!([{"a": 1}, {"b": 1}]), serde_json::json!([{"b": 1}, {"a": 1}])];
    assert!(covers(&one, &other), "in any order");
    assert!(covers(&row("1:{'id':'a','x':1}"), &row("1:{'id':'b'}")));
    assert!(!covers(&row("2:{'id':'a'}"), &row("1:{'id':'b'}")));
    assert!(!covers(&row("1:{'name':'a'}"), &row("1:{'id':'b'}")));
}
