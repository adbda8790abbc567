//! `README.md` lists the crate's variables, routes and modules: each list is held against the code.

#![allow(clippy::unwrap_used)]

use std::{cell::RefCell, collections::BTreeSet, sync::Arc};

use axum::{Router, body::Body};
use axum_authkit::{AuthKit, AuthKitConfig, session_keeper};
use edge_host::{
    Host,
    memory::{MemoryHost, MemoryKv, MemoryObjects},
};
use http::{Request, StatusCode};
use tower::ServiceExt;

const README: &str = include_str!("../README.md");
const LIB: &str = include_str!("../src/lib.rs");

/// The rows of the table under a heading, each with its cells.
fn rows(heading: &str) -> Vec<Vec<&'static str>> {
    let (_, section) = README.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let lines = section.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let rows = lines.map(|line| line.split(" | ").collect());
    // The first two are the header.
    rows.skip(2).collect()
}

/// The code spans of a cell.
fn code(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

fn sessions() -> Arc<MemoryObjects> {
    let class = |context| Arc::new(session_keeper(&MemoryHost::default(), context)) as _;
    Arc::new(MemoryObjects::new(class, drop))
}

fn host() -> MemoryHost {
    MemoryHost::default()
        .with_var("WORKOS_API_KEY", "sk_test_1")
        .with_var("WORKOS_CLIENT_ID", "client_1")
        .with_var("WORKOS_COOKIE_PASSWORD", "0123456789abcdef0123456789abcdef")
        .with_kv(AuthKit::KV_BINDING, Arc::new(MemoryKv::default()))
        .with_objects(AuthKit::SESSIONS_BINDING, sessions())
}

#[test]
fn readme_lists_every_variable() {
    let asked = RefCell::new(BTreeSet::new());
    let error = AuthKitConfig::from_lookup(|name| {
        asked.borrow_mut().insert(name.to_owned());
        None
    })
    .unwrap_err()
    .to_string();
    let rows = rows("Variables");
    let listed: BTreeSet<_> = rows.iter().flat_map(|row| code(row[0])).map(str::to_owned).collect();
    assert_eq!(listed, asked.into_inner());
    for row in &rows {
        let name = code(row[0]).next().unwrap();
        let is_required = error.contains(&format!("{name} is missing"));
        assert_eq!(row[1] == "required", is_required, "{name}");
    }
}

#[test]
fn readme_states_the_defaults() {
    let config = AuthKitConfig::from_lookup(|name| host().var(name)).unwrap();
    let default = |name: &str| {
        let rows = rows("Variables");
        let row = rows.iter().find(|row| row[0] == format!("`{name}`")).unwrap();
        code(row[1]).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(default("WORKOS_BASE_URL"), [config.base_url.as_str().trim_end_matches('/')]);
    assert_eq!(default("WORKOS_COOKIE_MAX_AGE"), [config.cookie.max_age_secs.to_string()]);
    assert_eq!(
        default("WORKOS_COOKIE_SAMESITE"),
        [config.cookie.same_site.to_string().to_lowercase()]
    );
    let names = [config.cookie.names(true).0, config.cookie.names(false).0];
    assert_eq!(default("WORKOS_COOKIE_NAME"), names);
}

#[tokio::test]
async fn readme_lists_every_route() {
    let (well_known, listed): (BTreeSet<_>, BTreeSet<_>) = rows("Routes")
        .iter()
        .flat_map(|row| code(row[0]))
        .partition(|route| route.starts_with("GET /.well-known/"));
    let described: BTreeSet<_> = axum_authkit::routes::<()>()
        .into_openapi()
        .paths
        .paths
        .into_iter()
        .flat_map(|(path, item)| {
            [("GET", item.get.is_some()), ("POST", item.post.is_some())]
                .into_iter()
                .filter(|(_, is_there)| *is_there)
                .map(move |(method, _)| format!("{method} {path}"))
        })
        .collect();
    assert_eq!(listed.into_iter().map(str::to_owned).collect::<BTreeSet<_>>(), described);

    let host = host().with_var("WORKOS_AUTHKIT_DOMAIN", "https://test.authkit.app");
    let app = AuthKit::from_env(&host).unwrap().protect(Router::new());
    assert_eq!(well_known.len(), 2);
    for route in well_known {
        let url = format!("https://app.test{}", route.trim_start_matches("GET "));
        let request = Request::get(url).body(Body::empty()).unwrap();
        let status = app.clone().oneshot(request).await.unwrap().status();
        assert_ne!(status, StatusCode::NOT_FOUND, "{route}");
    }
}

#[test]
fn readme_lists_every_module() {
    let modules: BTreeSet<_> = LIB
        .lines()
        .filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'))
        .filter(|name| *name != "fixtures")
        .collect();
    let rows = rows("Modules");
    let listed: BTreeSet<_> = rows.iter().flat_map(|row| code(row[0])).collect();
    assert_eq!(listed, modules);
}
