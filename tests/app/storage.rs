//! What the application stores is in `STORAGE.md`: every key in KV with its lifetime, and every cookie.

use std::collections::BTreeSet;

use axum::body::Body;
use chrono::Duration;
use edge_host::Clock;
use http::{Method, header};
use serde_json::json;

use crate::support::{
    ADA, Client, GRACE, TestApp,
    app::{Browser, TestResponse, request},
    connect::VARIABLES,
};

/// A row of the document: the pattern of a name, and the seconds that it lives.
struct Row {
    pattern: String,
    lifetimes: Vec<u64>,
}

impl Row {
    /// Whether `name` is the pattern's, with some text for each `{…}`.
    fn matches(&self, name: &str) -> bool {
        let mut rest = name;
        for (index, literal) in self.pattern.split(['{', '}']).enumerate() {
            if index % 2 == 0 {
                let Some(after) = rest.strip_prefix(literal) else { return false };
                rest = after;
            } else {
                let length = rest.find(':').unwrap_or(rest.len());
                if length == 0 {
                    return false;
                }
                rest = &rest[length..];
            }
        }
        rest.is_empty()
    }

    fn allows(&self, seconds: Option<u64>) -> bool {
        match (self.lifetimes.as_slice(), seconds) {
            ([], None) => true,
            ([only], Some(seconds)) => *only == seconds,
            ([least, most], Some(seconds)) => (*least..=*most).contains(&seconds),
            _ => false,
        }
    }
}

/// The rows of the table under `heading`, whose first cell is a name and whose third a lifetime in seconds.
fn table(heading: &str) -> Vec<Row> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/STORAGE.md");
    let document = std::fs::read_to_string(path).unwrap();
    let section = document.split("\n## ").find(|section| section.starts_with(heading));
    let section = section.unwrap_or_else(|| panic!("STORAGE.md has no section {heading}"));
    let rows = section.lines().skip_while(|line| !line.starts_with("| --- |")).skip(1);
    rows.take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let lifetimes = cells[2].replace(',', "");
            Row {
                pattern: cells[0].trim_matches('`').to_owned(),
                lifetimes: lifetimes.split(' ').filter_map(|word| word.parse().ok()).collect(),
            }
        })
        .collect()
}

/// Compares `stored`, names with their lifetimes, to the document's table: neither may have more.
fn compare(heading: &str, stored: &BTreeSet<(String, Option<u64>)>) {
    let rows = table(heading);
    for (name, seconds) in stored {
        let row = rows.iter().find(|row| row.matches(name));
        let row = row.unwrap_or_else(|| panic!("STORAGE.md, {heading}: add a row for {name}"));
        assert!(
            row.allows(*seconds),
            "STORAGE.md, {heading}: {name} lives {seconds:?} seconds, and the row has {:?}",
            row.lifetimes
        );
    }
    for row in rows {
        assert!(
            stored.iter().any(|(name, _)| row.matches(name)),
            "STORAGE.md, {heading}: nothing writes {}: remove the row, or extend this test",
            row.pattern
        );
    }
}

/// Uses everything that writes to KV or sets a cookie, and returns the responses.
async fn use_everything(app: &TestApp) -> Vec<TestResponse> {
    let mut responses = Vec::new();
    let mut browser = app.browser();
    sign_in(&mut browser, &mut responses).await;
    let body = r#"{"description": "Team lunch", "amount": 1}"#;
    app.create_with_key(ADA, "key", body).await.expect(201);
    app.bearer(&app.authkit.connect.token(GRACE)).get("/expenses").await.expect(200);

    app.clock.advance(Duration::hours(1));
    responses.push(browser.get("/expenses").await.expect(200));
    app.authkit.set_extra_claims(json!({"permissions": ["x".repeat(9_000)]}));
    app.clock.advance(Duration::minutes(9));
    responses.push(browser.get("/expenses").await.expect(200));
    let fields = [("description", "Lunch"), ("amount", "1"), ("currency", "EUR")];
    let fields: Vec<_> = fields.into_iter().chain([("date", "2026-11-23")]).collect();
    responses.push(browser.submit("/expenses", &fields).await.expect(303));
    let sign_out = request(Method::POST, "/logout").header("sec-fetch-site", "same-origin");
    responses.push(browser.send(sign_out, Body::empty()).await.expect(303));
    responses
}

async fn sign_in(browser: &mut Browser, responses: &mut Vec<TestResponse>) {
    let login = browser.open("/login").await.expect(302);
    let callback = browser.app.authkit.approve(login.header("location"), ADA);
    responses.push(login);
    responses.push(browser.open(callback.as_str()).await.expect(302));
}

#[tokio::test]
async fn stored_keys_are_those_of_the_document() {
    let app = TestApp::with_variables(&VARIABLES);
    use_everything(&app).await;
    let namespaces = [&app.kv, &app.authkit_kv];
    let stored = namespaces.into_iter().flat_map(|kv| {
        let seconds = |key: &String| kv.entry(key).unwrap().1.expiration_ttl_secs;
        kv.keys().into_iter().map(move |key| (key.clone(), seconds(&key)))
    });
    compare("Workers KV", &stored.collect());
}

#[tokio::test]
async fn rows_of_objects_are_those_of_the_document() {
    let app = TestApp::with_variables(&VARIABLES);
    use_everything(&app).await;
    // Each object's alarm removes its rows.
    app.clock.advance(Duration::minutes(1));
    app.sessions.run_due_alarms(&*app.clock).await;
    let stored = app.sessions.names().into_iter().flat_map(|name| {
        let storage = app.sessions.storage(&name);
        let written = app.clock.now() - Duration::minutes(1);
        let lives = (storage.alarm().unwrap() - written).num_seconds().unsigned_abs();
        let rows = storage.list("").unwrap();
        rows.into_iter().map(move |(key, _)| (key, Some(lives)))
    });
    compare("Durable Objects", &stored.collect());
}

#[tokio::test]
async fn cookies_are_those_of_the_document() {
    let app = TestApp::with_variables(&VARIABLES);
    let mut responses = use_everything(&app).await;
    let domain = [VARIABLES[0], ("WORKOS_COOKIE_DOMAIN", "app.test")];
    let shared = TestApp::with_variables(&domain);
    sign_in(&mut shared.browser(), &mut responses).await;
    let cookies =
        responses.iter().flat_map(|response| response.headers.get_all(header::SET_COOKIE));
    let cookies = cookies.map(|cookie| {
        let cookie = cookie.to_str().unwrap();
        let (name, attributes) = cookie.split_once('=').unwrap();
        assert!(attributes.contains("; HttpOnly"), "{cookie}");
        let seconds = attributes.split("; ").find_map(|part| part.strip_prefix("Max-Age="));
        (name.to_owned(), Some(seconds.unwrap().parse().unwrap()))
    });
    // Zero removes a cookie.
    compare("Cookies", &cookies.filter(|(_, seconds)| *seconds != Some(0)).collect());
}

#[test]
fn authkit_readme_lists_the_keys_of_authkit() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/crates/authkit/README.md");
    let readme = std::fs::read_to_string(path).unwrap();
    let keys = |names: &mut dyn Iterator<Item = &str>| -> BTreeSet<String> {
        names.filter(|name| name.starts_with("authkit:")).map(str::to_owned).collect()
    };
    let listed = readme.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let rows = table("Workers KV");
    let stored = rows.iter().map(|row| row.pattern.as_str());
    assert_eq!(keys(&mut { listed }), keys(&mut { stored }));
}
