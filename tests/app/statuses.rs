//! Statuses: every sender sends every operation of `/openapi.json` with every kind of body, while storage and
//! AuthKit work and while they fail. Every status that comes back is documented, and every documented one seen.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use authkit_edge::rate_limits::CallerLimits;
use axum::body::Body;
use axum_authkit::RateLimiter;
use chrono::Duration;
use edge_host::memory::{MemoryHost, MemoryRateLimit};
use http::{Method, header, request::Builder};
use serde_json::{Value, json};

use crate::support::{
    ADA, Client, KvOperation, TestApp, api_keys,
    app::{Browser, ORIGIN, TestResponse, request},
    authkit::{CLIENT_ID, Outage},
    connect,
};

const FORM: &str = "application/x-www-form-urlencoded";
const UPLOAD: &str = "multipart/form-data; boundary=b";
/// An export of no expenses but one.
const EXPORT: &str = "id,date,description,category,amount,currency,created_at,updated_at\r\n\
    ,2026-11-23,x,other,1.00,USD,,\r\n";
const NO_ID: &str = "00000000000000000000000000";

/// The sender of a request.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Sender {
    Nobody,
    /// `fetch()` from one of the Worker's own pages, with a session.
    OwnPage,
    /// The same without a session.
    SignedOutPage,
    /// A page of another site, with a session.
    OtherSite,
    /// `Authorization: Bearer`, an access token of a session.
    Bearer,
    BadBearer,
    /// A machine whose token has no scope.
    Machine,
}

const SENDERS: [Sender; 7] = [
    Sender::Nobody,
    Sender::OwnPage,
    Sender::SignedOutPage,
    Sender::OtherSite,
    Sender::Bearer,
    Sender::BadBearer,
    Sender::Machine,
];

/// A content type and a body.
fn bodies() -> Vec<(&'static str, String)> {
    let json = "application/json";
    let large = "x".repeat(65 * 1024);
    vec![
        ("", String::new()),
        (json, json!({"description": "x", "amount": 1}).to_string()),
        (json, json!({"amount": 2}).to_string()),
        (json, json!({"organization_id": "org_2"}).to_string()),
        (json, json!({"organization_id": "org_closed"}).to_string()),
        (json, "{".to_owned()),
        (json, large.clone()),
        ("application/merge-patch+json", json!({"amount": 2}).to_string()),
        (json, json!({"intent": "sso"}).to_string()),
        ("text/plain", "x".to_owned()),
        (FORM, "description=x&amount=1".to_owned()),
        (FORM, "description=&amount=".to_owned()),
        (FORM, "organization_id=org_2".to_owned()),
        (FORM, "intent=audit_logs".to_owned()),
        (FORM, large),
        ("text/csv", EXPORT.to_owned()),
        ("text/csv", "x".to_owned()),
        (
            UPLOAD,
            format!(
                "--b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n{EXPORT}\r\n--b--"
            ),
        ),
    ]
}

struct World {
    app: TestApp,
    /// One browser for each operation: a sign-out ends the session of the requests after it.
    browsers: HashMap<String, Browser>,
    seen: BTreeSet<(String, u16)>,
}

impl World {
    async fn new() -> Self {
        let app = connect::app();
        let refusal = json!({"error": "sso_required", "error_description": "not that way"});
        app.authkit.close_organization("org_closed", refusal);
        let mut world = Self { app, browsers: HashMap::new(), seen: BTreeSet::new() };
        world.sign_in().await;
        world
    }

    /// Begins a new session for each operation.
    async fn sign_in(&mut self) {
        for (operation, _) in documented() {
            self.browsers.insert(operation, self.app.signed_in(ADA).await);
        }
    }

    /// The id of a new expense.
    async fn id(&self) -> String {
        let body = r#"{"description": "x", "amount": 1}"#;
        let token = self.app.authkit.access_token(ADA);
        let made = self.app.bearer(&token).post("/expenses", body).await.expect(201).json();
        made["id"].as_str().unwrap().to_owned()
    }

    async fn send(
        &mut self,
        sender: Sender,
        operation: &str,
        request: Builder,
        body: String,
    ) -> TestResponse {
        let same_origin = request_headers(sender).into_iter();
        let request =
            same_origin.fold(request, |request, (name, value)| request.header(name, value));
        let bearer = match sender {
            Sender::Bearer => Some(self.app.authkit.access_token(ADA)),
            Sender::BadBearer => Some("x".to_owned()),
            Sender::Machine => Some(self.app.authkit.connect.machine_token("")),
            _ => None,
        };
        let request = match bearer {
            Some(token) => request.header(header::AUTHORIZATION, format!("Bearer {token}")),
            None => request,
        };
        let response = match sender {
            // A clone: cookies that the response changes do not affect the next request.
            Sender::OwnPage | Sender::OtherSite => {
                self.browsers[operation].clone().send(request, body.into()).await
            }
            _ => self.app.send(request.body(body.into()).unwrap()).await,
        };
        self.note(operation, &response);
        response
    }

    /// Counts a redirect to the sign-in page as a 401.
    fn note(&mut self, operation: &str, response: &TestResponse) {
        let is_sent_to_sign_in = response.status == 302
            && response.header("location").starts_with("/login?return_to=")
            && operation != "get /callback";
        let status = if is_sent_to_sign_in { 401 } else { response.status.as_u16() };
        self.seen.insert((operation.to_owned(), status));
    }
}

fn request_headers(sender: Sender) -> Vec<(&'static str, &'static str)> {
    match sender {
        Sender::OwnPage | Sender::SignedOutPage => {
            vec![("sec-fetch-site", "same-origin"), ("origin", ORIGIN)]
        }
        Sender::OtherSite => {
            vec![("sec-fetch-site", "cross-site"), ("origin", "https://evil.test")]
        }
        _ => Vec::new(),
    }
}

/// Every operation of the document as `method path`, with its statuses.
fn documented() -> Vec<(String, BTreeSet<u16>)> {
    let document: Value = serde_json::from_str(authkit_edge::openapi::DOCUMENT).unwrap();
    let mut all = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        // A static asset, which does not run the Worker.
        if path == "/openapi.json" {
            continue;
        }
        for (method, operation) in operations.as_object().unwrap() {
            let statuses = operation["responses"].as_object().unwrap().keys();
            let statuses = statuses.map(|status| status.parse().unwrap()).collect();
            all.push((format!("{method} {path}"), statuses));
        }
    }
    all
}

/// Sends every operation with every kind of body from each of `senders`; with `has_own`, on an expense of theirs.
async fn send_everything(world: &mut World, senders: &[Sender], has_own: bool) {
    for (operation, _) in documented() {
        let (method, path) = operation.split_once(' ').unwrap();
        let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
        let has_body = !matches!(method, Method::GET | Method::DELETE);
        let bodies = if has_body { bodies() } else { vec![("", String::new())] };
        let mut paths = vec![path.replace("{id}", NO_ID)];
        if path.contains("{id}") && has_own {
            paths.push(path.replace("{id}", &world.id().await));
        }
        if !has_body && !path.contains("{id}") {
            for query in ["limit=0&from=x&currency=x&category=", "error=access_denied", "code=x"] {
                paths.push(format!("{path}?{query}"));
            }
        }
        for sender in senders {
            for path in &paths {
                for (content_type, body) in &bodies {
                    for accept in ["application/json", "text/html"] {
                        let mut request =
                            request(method.clone(), path).header(header::ACCEPT, accept);
                        if !content_type.is_empty() {
                            request = request.header(header::CONTENT_TYPE, *content_type);
                        }
                        world.send(*sender, &operation, request, body.clone()).await;
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn operations_return_exactly_the_documented_statuses() {
    let mut world = World::new().await;
    send_everything(&mut world, &SENDERS, true).await;

    // KV fails: sessions and tokens do not need it.
    for operation in [KvOperation::List, KvOperation::Get, KvOperation::Put, KvOperation::Delete] {
        world.app.kv.fail(Some(operation));
        let id = NO_ID.to_owned();
        for (method, path) in [
            (Method::GET, "/expenses".to_owned()),
            (Method::GET, "/expenses.csv".to_owned()),
            (Method::GET, "/expenses/summary".to_owned()),
            (Method::GET, format!("/expenses/{id}")),
            (Method::GET, format!("/expenses/{id}/delete")),
            (Method::POST, "/expenses".to_owned()),
            (Method::PUT, format!("/expenses/{id}")),
            (Method::PATCH, format!("/expenses/{id}")),
            (Method::DELETE, format!("/expenses/{id}")),
        ] {
            let name = method.as_str().to_lowercase();
            let operation = format!("{name} {}", path.replace(&id, "{id}"));
            let request = request(method, &path).header(header::CONTENT_TYPE, "application/json");
            let body = json!({"description": "x", "amount": 1}).to_string();
            world.send(Sender::Bearer, &operation, request, body).await;
        }
        for (operation, path) in [
            ("post /expenses/{id}", format!("/expenses/{id}")),
            ("post /expenses/{id}/delete", format!("/expenses/{id}/delete")),
        ] {
            let request = request(Method::POST, &path).header(header::CONTENT_TYPE, FORM);
            let body = "description=x&amount=1".to_owned();
            world.send(Sender::OwnPage, operation, request, body).await;
        }
        world.app.kv.fail(None);
    }

    // A file that is too long.
    let long = request(Method::POST, "/expenses/import").header(header::CONTENT_TYPE, "text/csv");
    let body = "x".repeat(7 * 1024 * 1024 + 1);
    world.send(Sender::Bearer, "post /expenses/import", long, body).await;

    // An idempotency key repeated with another body.
    let keyed = |key: &str| {
        request(Method::POST, "/expenses")
            .header(header::CONTENT_TYPE, "application/json")
            .header("idempotency-key", key)
    };
    for amount in [1, 2] {
        let body = json!({"description": "x", "amount": amount}).to_string();
        world.send(Sender::Bearer, "post /expenses", keyed("a"), body).await;
    }

    // Conditions that a new expense meets, and does not meet.
    let id = world.id().await;
    let path = format!("/expenses/{id}");
    for (method, name) in [
        (Method::GET, "if-none-match"),
        (Method::GET, "if-match"),
        (Method::PUT, "if-match"),
        (Method::PATCH, "if-match"),
        (Method::DELETE, "if-match"),
    ] {
        let tag = if name == "if-match" { "\"x\"" } else { "*" };
        let operation = format!("{} /expenses/{{id}}", method.as_str().to_lowercase());
        let request = request(method, &path)
            .header(header::CONTENT_TYPE, "application/json")
            .header(name, tag);
        let body = json!({"description": "x", "amount": 1}).to_string();
        world.send(Sender::Bearer, &operation, request, body).await;
    }
    let form = request(Method::POST, &path).header(header::CONTENT_TYPE, FORM);
    let body = "description=other&amount=1&currency=USD&date=2026-11-23&version=x".to_owned();
    world.send(Sender::OwnPage, "post /expenses/{id}", form, body).await.expect(409);

    // A prefetch by the browser.
    for path in ["/login", "/logout", "/callback"] {
        let request = request(Method::GET, path).header("sec-purpose", "prefetch");
        world.send(Sender::OwnPage, &format!("get {path}"), request, String::new()).await;
    }

    // A sign-out that nothing can record.
    let unrecorded = TestApp::new();
    let mut browser = unrecorded.signed_in(ADA).await;
    unrecorded.sessions.set_unreachable(true);
    unrecorded.authkit.set_outage(Some(Outage::NoAnswer));
    let response = browser.fetch(Method::POST, "/logout").await;
    world.note("post /logout", &response);

    // A token without any scope of this Worker.
    let mut claims = world.app.authkit.connect.claims(ADA);
    claims["aud"] = CLIENT_ID.into();
    let token = connect::sign(&claims);
    for path in ["/me", "/organizations"] {
        let response = world.app.bearer(&token).get(path).await;
        world.note(&format!("get {path}"), &response);
    }

    // A Worker that takes API keys.
    let keys = TestApp::with_variables(api_keys::VARIABLES);
    let key = keys.authkit.api_keys.of_user(ADA, &["expenses:read"]);
    let response = keys.bearer(&key).get("/api-keys").await;
    world.note("get /api-keys", &response);
    let path = format!("/api-keys/{}", keys.authkit.api_keys.id_of(&key));
    let mut browser = keys.signed_in(ADA).await;
    let response = browser.get("/api-keys").await;
    world.note("get /api-keys", &response);
    let body = r#"{"name": "x", "permissions": ["expenses:read"]}"#;
    for body in [body.to_owned(), "{}".to_owned(), "x".repeat(65 * 1024)] {
        let response = browser.post("/api-keys", body).await;
        world.note("post /api-keys", &response);
    }
    for _ in 0..100 {
        keys.authkit.api_keys.of_user(ADA, &["expenses:read"]);
    }
    let response = browser.post("/api-keys", body).await.expect(409);
    world.note("post /api-keys", &response);
    let text =
        browser.request(Method::POST, "/api-keys").header(header::CONTENT_TYPE, "text/plain");
    let response = browser.send(text, "x".into()).await;
    world.note("post /api-keys", &response);
    let response = browser.post(&path, "{}").await;
    world.note("post /api-keys/{id}", &response);
    let response = browser.submit(&path, &[]).await;
    world.note("post /api-keys/{id}", &response);
    let key = keys.authkit.api_keys.of_user(ADA, &["expenses:read"]);
    let path = format!("/api-keys/{}", keys.authkit.api_keys.id_of(&key));
    let response = browser.delete(&path).await;
    world.note("delete /api-keys/{id}", &response);

    // A sign-in whose session cookie the browser drops, and one whose token is too large.
    let mut browser =
        world.app.isolate_with_variables(&[("WORKOS_COOKIE_DOMAIN", "app.test")]).browser();
    browser.sign_in(ADA).await;
    browser.cookies.retain(|cookie| cookie.name != "wos-session");
    let response = browser.open("/login").await;
    world.note("get /login", &response);
    let permissions = vec!["x".repeat(1000); 40];
    world.app.authkit.set_extra_claims(json!({"permissions": permissions}));
    let mut browser = world.app.browser();
    let login = browser.open("/login").await.expect(302);
    let callback = world.app.authkit.approve(login.header("location"), ADA);
    let response = browser.open(callback.as_str()).await;
    world.note("get /callback", &response);
    world.app.authkit.set_extra_claims(json!({}));

    // A sign-in, then an AuthKit outage during another sign-in and afterwards.
    let mut browser = world.app.browser();
    let response = browser.sign_in(ADA).await;
    world.note("get /callback", &response);
    let mut browser = world.app.browser();
    let login = browser.open("/login").await.expect(302);
    let callback = world.app.authkit.approve(login.header("location"), ADA);
    world.sign_in().await;
    world.app.authkit.set_outage(Some(Outage::NoAnswer));
    let response = browser.open(callback.as_str()).await;
    world.note("get /callback", &response);
    world.app.clock.advance(Duration::hours(1));
    send_everything(&mut world, &[Sender::Nobody, Sender::OwnPage], false).await;

    // A caller beyond the limit.
    world.app.authkit.set_outage(None);
    let none = Arc::new(MemoryRateLimit::new(0, 10, Arc::clone(&world.app.clock) as _));
    let host = MemoryHost::default()
        .with_rate_limit("CALLER_RATE_LIMIT", Arc::clone(&none) as _)
        .with_rate_limit("ACCOUNT_RATE_LIMIT", none);
    world.app.limits = CallerLimits::bound(&host);
    world.app = world.app.isolate();
    world.sign_in().await;
    send_everything(&mut world, &[Sender::Bearer, Sender::OwnPage], false).await;

    // An address beyond the limit.
    world.app.address_limit = RateLimiter::bound(&host, "CALLER_RATE_LIMIT", 60);
    world.app = world.app.isolate();
    for (path, token) in [("/login", ""), ("/callback", ""), ("/me", "Bearer invalid")] {
        let request = request(Method::GET, path)
            .header("cf-connecting-ip", "192.0.2.7")
            .header(header::AUTHORIZATION, token);
        let response = world.app.send(request.body(Body::empty()).unwrap()).await;
        world.note(&format!("get {path}"), &response);
    }

    let mut undocumented = Vec::new();
    let mut unseen = Vec::new();
    for (operation, statuses) in documented() {
        let seen: BTreeSet<u16> = (world.seen.iter())
            .filter(|(asked, _)| *asked == operation)
            .map(|(_, status)| *status)
            .collect();
        undocumented
            .extend(seen.difference(&statuses).map(|status| format!("{operation} {status}")));
        // This test causes no internal error.
        let never_seen = statuses.difference(&seen).filter(|status| **status != 500);
        unseen.extend(never_seen.map(|status| format!("{operation} {status}")));
    }
    assert_eq!((undocumented, unseen), (Vec::<String>::new(), Vec::<String>::new()));
}
