//! The events: one for each decision worth counting, with its fields, and nothing of a user's in any of them.

use chrono::Duration;
use edge_host::{EventDescription, HostEvent, KvErrorKind, memory::take_events};
use futures_util::FutureExt;
use http::{Method, header};
use serde_json::{Value, json};

use authkit_edge::{events::AppEvent, expenses::events::ExpensesEvent, rate_limits::CallerLimits};
use axum_authkit::{AuthKitEvent, RateLimiter, seal::UserHasher};

use crate::support::{
    ADA, Client, GRACE, KvOperation, TestApp,
    app::{PASSWORD, request},
    authkit::{API_KEY, Outage},
};

const LUNCH: &str = r#"{"description": "Team lunch", "amount": 42.5}"#;

/// The pseudonym of Ada, by the password of the test's Worker.
fn ada() -> String {
    UserHasher::new(&PASSWORD.into()).hash(ADA.id).as_str().to_owned()
}

/// The Worker as `app::build` makes it with these variables.
fn built(variables: &[(&str, &str)]) -> TestApp {
    let app = TestApp::new();
    let router = authkit_edge::app::build(&app.bound_host(variables)).unwrap_or_else(|it| it.0);
    TestApp { router, ..app }
}

/// The events since the last call.
fn events() -> Vec<Value> {
    take_events().iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The only event with this name since the last call.
#[track_caller]
fn event(name: &str) -> Value {
    let events = events();
    let named: Vec<_> = events.iter().filter(|event| event["event"] == name).collect();
    assert_eq!(named.len(), 1, "{name} in {events:#?}");
    named[0].clone()
}

/// The names of the events since the last call, without those of requests.
fn names() -> Vec<String> {
    let names = events().into_iter().map(|event| event["event"].as_str().unwrap().to_owned());
    names.filter(|name| name != "request").collect()
}

#[tokio::test]
async fn request_leaves_a_line_without_its_path() {
    let app = TestApp::new();
    let token = app.authkit.access_token(ADA);
    let made = app.bearer(&token).post("/expenses", LUNCH).await.expect(201);
    let path = made.header("location").to_owned();
    events();
    app.bearer(&token).get(&format!("{path}?secret=1")).await.expect(200);
    let expected = json!({
        "event": "request", "request": "ray-of-the-test", "method": "GET",
        "route": "/expenses/{id}", "status": 200, "ms": 0, "kv_ms": 0, "kv_ops": 1,
        "ledger_ms": 0, "ledger_ops": 1, "user": ada(),
    });
    assert_eq!(events(), [expected]);
}

#[tokio::test]
async fn request_without_a_route_or_user_leaves_a_line() {
    let app = TestApp::new();
    app.anonymous().get("/no/such/path/ada@example.com").await.expect(404);
    let expected = json!({
        "event": "request", "request": "ray-of-the-test", "method": "GET", "status": 404, "ms": 0,
    });
    assert_eq!(events(), [expected]);
    let unknown = Method::from_bytes(b"BREW").unwrap();
    app.send(request(unknown, "/health").body("".into()).unwrap()).await.expect(405);
    let line = event("request");
    assert_eq!((&line["method"], &line["route"]), (&json!("OTHER"), &json!("/health")));
}

#[tokio::test]
async fn request_line_has_the_time_in_each_service() {
    let app = TestApp::new();
    let token = app.authkit.access_token(ADA);
    app.bearer(&token).get("/expenses").await.expect(200);
    events();
    app.kv.hold_operation(Some(KvOperation::List));
    let mut client = app.bearer(&token);
    let mut list = Box::pin(client.get("/expenses"));
    assert!(list.as_mut().now_or_never().is_none());
    app.clock.advance(Duration::milliseconds(120));
    app.kv.hold_operation(None);
    list.await.expect(200);
    let line = event("request");
    assert_eq!((&line["ms"], &line["kv_ms"]), (&json!(120), &json!(120)));
    assert_eq!((&line["kv_ops"], &line["ledger_ops"]), (&json!(1), &json!(1)));
}

#[tokio::test]
async fn variable_selects_the_requests_that_leave_a_line() {
    for (value, expected) in [("0", 0), ("2", 2), ("", 4)] {
        let app = built(&[("LOG_REQUESTS", value)]);
        events();
        for _ in 0..4 {
            app.anonymous().get("/health").await.expect(200);
        }
        assert_eq!(events().len(), expected, "{value}");
    }
    let app = built(&[("LOG_REQUESTS", "yes")]);
    let detail = app.anonymous().get("/health").await.expect(500).detail();
    assert!(detail.contains("LOG_REQUESTS is not a whole number"), "{detail}");
}

#[tokio::test]
async fn server_error_leaves_a_line_whatever_the_variable() {
    let app = built(&[("LOG_REQUESTS", "0"), ("WORKOS_API_KEY", "")]);
    app.anonymous().get("/").await.expect(500);
    assert_eq!(event("request")["status"], 500);
}

#[tokio::test]
async fn session_reports_its_sign_in_renewal_and_end() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    let ray = "ray-of-the-test";
    let signed_in = json!({"event": "signed_in", "request": ray, "user": ada()});
    assert_eq!(event("signed_in"), signed_in);

    app.clock.advance(Duration::minutes(10));
    browser.get("/me").await.expect(200);
    let renewed = json!({
        "event": "session_renewed", "request": ray, "user": ada(), "is_fresh": true,
        "is_switch": false,
    });
    assert_eq!(event("session_renewed"), renewed);

    browser.submit("/logout", &[]).await.expect(303);
    let ended =
        json!({"event": "session_ended", "request": ray, "reason": "sign_out", "user": ada()});
    assert_eq!(event("session_ended"), ended);
}

#[tokio::test]
async fn session_ended_by_workos_is_reported() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    app.authkit.end_sessions();
    app.clock.advance(Duration::minutes(10));
    events();
    browser.get("/me").await.expect(401);
    let found = events();
    let named = |name: &str| found.iter().find(|event| event["event"] == name).cloned();
    let ended = named("session_ended").unwrap();
    assert_eq!((&ended["reason"], &ended["user"]), (&json!("workos"), &json!(ada())));
    assert_eq!(named("credentials_refused").unwrap()["reason"], "session");
}

#[tokio::test]
async fn refused_tokens_are_reported_by_their_fault() {
    let app = TestApp::new();
    let token = app.authkit.access_token(ADA);
    app.bearer(&token).get("/me").await.expect(200);
    events();
    for (token, reason) in [
        ("not-a-token".to_owned(), "malformed"),
        (format!("{}AAAA", &token[..token.len() - 4]), "signature"),
    ] {
        app.bearer(&token).get("/me").await.expect(401);
        assert_eq!(event("credentials_refused")["reason"], reason);
    }
    app.clock.advance(Duration::hours(1));
    app.bearer(&token).get("/me").await.expect(401);
    assert_eq!(event("credentials_refused")["reason"], "expired");
    // No credentials are nothing to refuse.
    app.anonymous().get("/me").await.expect(401);
    assert_eq!(names(), [""; 0]);
}

#[tokio::test]
async fn sign_in_that_begins_anew_or_fails_is_reported() {
    let app = TestApp::new();
    let mut browser = app.browser();
    browser.open("/callback?code=code_1&state=state_1").await.expect(302);
    assert_eq!(event("sign_in_restarted")["reason"], "unknown");
    browser.open("/callback?error=access_denied&error_description=secret").await;
    let refused = event("sign_in_refused");
    assert_eq!((&refused["reason"], &refused["code"]), (&json!("not_begun_here"), &Value::Null));
}

#[tokio::test]
async fn fetched_keys_are_reported_once() {
    let app = TestApp::new();
    let token = app.authkit.access_token(ADA);
    for _ in 0..3 {
        app.bearer(&token).get("/me").await.expect(200);
    }
    let fetched = event("keys_fetched");
    assert_eq!((&fetched["issuer"], &fetched["keys"]), (&json!("session"), &json!(1)));
}

#[tokio::test]
async fn outage_of_workos_is_reported_with_its_operation() {
    let app = TestApp::new();
    let mut browser = app.signed_in(ADA).await;
    app.clock.advance(Duration::minutes(10));
    app.authkit.set_outage(Some(Outage::NoAnswer));
    events();
    browser.get("/me").await.expect(503);
    let found = events();
    let named = |name: &str| found.iter().find(|event| event["event"] == name).cloned();
    assert_eq!(named("workos_failed").unwrap()["operation"], "authenticate");
    assert_eq!(named("renewal_failed").unwrap()["user"], ada());
    let failed = named("request_failed").unwrap();
    assert_eq!((&failed["route"], &failed["status"]), (&json!("/me"), &json!(503)));
}

#[tokio::test]
async fn limited_call_is_reported_with_its_binding() {
    let app = TestApp::new();
    let limit = edge_host::memory::MemoryRateLimit::new(1, 10, app.clock.clone());
    let host = edge_host::memory::MemoryHost::default()
        .with_rate_limit("CALLER_RATE_LIMIT", std::sync::Arc::new(limit));
    let caller = RateLimiter::bound(&host, "CALLER_RATE_LIMIT", 10);
    let app = TestApp { limits: CallerLimits { caller, ..CallerLimits::default() }, ..app };
    let app = app.isolate();
    let token = app.authkit.access_token(ADA);
    app.bearer(&token).get("/expenses").await.expect(200);
    events();
    app.bearer(&token).get("/expenses").await.expect(429);
    assert_eq!(event("rate_limited")["binding"], "CALLER_RATE_LIMIT");
}

#[tokio::test]
async fn write_that_kv_does_not_take_is_reported() {
    let app = TestApp::new();
    let token = app.authkit.access_token(ADA);
    app.kv.fail(Some(KvOperation::Put));
    app.bearer(&token).post("/expenses", LUNCH).await.expect(201);
    let deferred = event("kv_deferred");
    let kind = KvErrorKind::Unavailable.name();
    let expected = json!({"event": "kv_deferred", "user": ada(), "operation": "put", "kind": kind});
    assert_eq!(deferred, expected);
}

#[tokio::test]
async fn growth_of_a_log_is_reported_each_thousand_entries() {
    let app = TestApp::new().without_background();
    let token = app.authkit.access_token(ADA);
    app.kv.fail(Some(KvOperation::Put));
    for _ in 0..1_001 {
        app.bearer(&token).post("/expenses", LUNCH).await.expect(201);
    }
    let grown = event("ledger_log_grown");
    assert_eq!(grown, json!({"event": "ledger_log_grown", "user": ada(), "entries": 1_000}));
}

#[tokio::test]
async fn unreachable_ledger_is_reported() {
    let app = TestApp::new();
    let token = app.authkit.access_token(ADA);
    app.bearer(&token).get("/expenses").await.expect(200);
    events();
    app.ledgers.set_unreachable(true);
    app.bearer(&token).get("/expenses").await.expect(200);
    let found = events();
    let named = |name: &str| found.iter().find(|event| event["event"] == name).cloned();
    assert_eq!(named("object_unreached").unwrap()["service"], "ledger");
    assert!(named("read_without_ledger").is_some(), "{found:#?}");
}

#[tokio::test]
async fn server_timing_tells_users_only_of_themselves() {
    let app = TestApp::new();
    let token = app.authkit.access_token(ADA);
    let list = app.bearer(&token).get("/expenses").await.expect(200);
    // The isolate fetched the key set for this request.
    assert_eq!(list.header("server-timing"), "kv;dur=0, workos;dur=0, ledger;dur=0");
    let list = app.bearer(&token).get("/expenses").await.expect(200);
    assert_eq!(list.header("server-timing"), "kv;dur=0, ledger;dur=0");

    let missing = app.bearer(&token).get("/expenses/7ZZZZZZZZZ0123456789ABCDEF").await.expect(404);
    assert_eq!(missing.header("server-timing"), "");
    let refused = app.bearer("not-a-token").get("/expenses").await.expect(401);
    assert_eq!(refused.header("server-timing"), "");
    let mut browser = app.browser();
    let callback = browser.sign_in(GRACE).await;
    assert_eq!(callback.header("server-timing"), "");
    let public = app.anonymous().get("/health").await.expect(200);
    assert_eq!(public.header("server-timing"), "");
}

#[tokio::test]
async fn conditional_request_has_server_timing() {
    let app = TestApp::new();
    let token = app.authkit.access_token(ADA);
    let made = app.bearer(&token).post("/expenses", LUNCH).await.expect(201);
    let mut client = app.bearer(&token);
    let request = client
        .request(Method::GET, made.header("location"))
        .header(header::IF_NONE_MATCH, made.header("etag"));
    let unchanged = client.send(request, "".into()).await.expect(304);
    assert_eq!(unchanged.header("server-timing"), "kv;dur=0, ledger;dur=0");
}

/// Every event.
fn table() -> Vec<EventDescription> {
    [HostEvent::TABLE, AuthKitEvent::TABLE, ExpensesEvent::TABLE, AppEvent::TABLE].concat()
}

/// Fails unless the line is an event of the table with known fields, each of its type.
#[track_caller]
fn check(line: &str) {
    let read: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let members = read.as_object().unwrap();
    let table = table();
    let event = table.iter().find(|event| event.name == members["event"]);
    let event = event.unwrap_or_else(|| panic!("an unknown event: {line}"));
    for (name, value) in
        members.iter().filter(|(name, _)| !["event", "request"].contains(&name.as_str()))
    {
        let field = event.fields.iter().find(|field| field.name == name);
        let field = field.unwrap_or_else(|| panic!("{name} is no field: {line}"));
        let has_type = match field.kind {
            "text" => value.is_string(),
            "user" => value.as_str().is_some_and(|text| text.len() == 16),
            "number" => value.is_u64(),
            "boolean" => value.is_boolean(),
            other => panic!("an unknown type: {other}"),
        };
        assert!(has_type, "{name} is no {}: {line}", field.kind);
    }
}

/// The requests of one round, by a browser and by a program, whatever their responses. The texts that no event may
/// have are added to `secrets`.
async fn round(app: &TestApp, secrets: &mut Vec<String>) {
    let mut browser = app.browser();
    let login = browser.open("/login?login_hint=ada@example.com&return_to=/expenses").await;
    let location = login.header("location").to_owned();
    if !location.is_empty() {
        let callback = app.authkit.approve(&location, ADA);
        secrets.extend(callback.query_pairs().map(|(_, value)| value.into_owned()));
        browser.open(callback.as_str()).await;
        // A second load, whose code is spent.
        browser.open(callback.as_str()).await;
    }
    secrets.extend(browser.cookies.iter().map(|cookie| cookie.value.clone()));
    let token = app.authkit.access_token(ADA);
    let expense = r#"{"description": "A marked description", "amount": 31337.17}"#;
    for token in [token.as_str(), &format!("{token}x"), "a-marked-token"] {
        secrets.push(token.to_owned());
        let mut client = app.bearer(token);
        let made = client.post("/expenses", expense).await;
        let path = made.header("location").to_owned();
        for path in
            [path.as_str(), "/expenses?cursor=a-marked-cursor", "/expenses", "/expenses.csv"]
        {
            client.get(path).await;
        }
        client.get("/expenses/summary").await;
        app.bearer(token).post("/mcp", tool_call()).await;
    }
    browser.open("/expenses").await;
    browser
        .submit("/expenses", &[("description", "A marked description"), ("amount", "31337.17")])
        .await;
    browser.open("/callback?code=a-marked-code&state=a-marked-state").await;
    browser.open("/callback?error=a-marked-error&error_description=a-marked-text").await;
    app.clock.advance(Duration::minutes(10));
    browser.open("/me").await;
    secrets.extend(browser.cookies.iter().map(|cookie| cookie.value.clone()));
    browser.submit("/logout", &[]).await;
    app.settle();
}

fn tool_call() -> String {
    json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {
            "name": "add_expense",
            "arguments": {"description": "A marked description", "amount": 31337.17},
        },
    })
    .to_string()
}

#[tokio::test]
async fn no_event_has_a_secret_or_a_users_data() {
    let app = TestApp::new();
    let mut secrets: Vec<String> = [
        API_KEY,
        PASSWORD,
        ADA.id,
        ADA.email,
        "31337",
        "a-marked-",
        "A marked description",
        "refresh_",
        "session_",
    ]
    .map(str::to_owned)
    .to_vec();
    round(&app, &mut secrets).await;
    for operation in [KvOperation::Get, KvOperation::List, KvOperation::Put, KvOperation::Delete] {
        app.kv.fail(Some(operation));
        app.authkit_kv.fail(Some(operation));
        round(&app.isolate(), &mut secrets).await;
    }
    app.kv.fail(None);
    app.authkit_kv.fail(None);
    app.ledgers.set_unreachable(true);
    round(&app, &mut secrets).await;
    app.ledgers.set_unreachable(false);
    app.sessions.set_unreachable(true);
    round(&app, &mut secrets).await;
    app.sessions.set_unreachable(false);
    for outage in [Outage::NoAnswer, Outage::Status(500)] {
        app.authkit.set_outage(Some(outage));
        round(&app.isolate(), &mut secrets).await;
    }
    app.authkit.set_outage(None);
    app.authkit
        .refuse(Some((403, json!({"error": "sso_required", "error_description": ADA.email}))));
    round(&app, &mut secrets).await;
    app.authkit.refuse(None);
    app.pass(Duration::hours(1)).await;

    let lines = take_events();
    let names: std::collections::BTreeSet<_> = lines
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["event"].to_string())
        .collect();
    assert!(lines.len() > 300 && names.len() > 15, "{} lines, {names:?}", lines.len());
    // Names of events and fields have these words.
    let allowed = ["session_renewed", "session_ended", "session_unknown", "session_not_set"];
    secrets.retain(|secret| secret.len() > 4);
    for line in lines {
        check(&line);
        let text = allowed.iter().fold(line.clone(), |text, name| text.replace(name, ""));
        for secret in &secrets {
            assert!(!text.contains(secret.as_str()), "{secret} is in {line}");
        }
    }
}

#[test]
fn names_of_events_are_unique() {
    let mut names: Vec<_> = table().iter().map(|event| event.name).collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
}
