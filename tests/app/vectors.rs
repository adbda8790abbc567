//! Sessions sealed or opened by the official `workos` crate sign the user in. `axum_authkit::session` tests the
//! format itself with the same vectors.

use std::sync::LazyLock;

use axum_authkit::{
    seal::{Purpose, Sealer},
    secret::Secret,
    session::Session,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::{
    ADA, Client, TestApp,
    app::{Browser, Cookie, SESSION_COOKIE},
};

const OFFICIAL_CRATE: &str = "workos 3.5.0";

#[derive(Deserialize)]
struct VectorFile {
    /// 64 hex digits, some of them capitals.
    password: String,
    sessions: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    sealed_by: String,
    /// The implementation that has opened the value; set for values sealed by this crate.
    opened_by: Option<String>,
    sealed: String,
    /// The plaintext.
    json: Value,
}

static FILE: LazyLock<VectorFile> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../crates/authkit/tests/vectors/workos-crate.json"))
        .unwrap()
});

fn official() -> impl Iterator<Item = &'static Vector> {
    FILE.sessions.iter().filter(|vector| vector.sealed_by == OFFICIAL_CRATE)
}

fn sealed_here() -> impl Iterator<Item = &'static Vector> {
    FILE.sessions.iter().filter(|vector| vector.opened_by.as_deref() == Some(OFFICIAL_CRATE))
}

fn sealer() -> Sealer {
    Sealer::new(Purpose::Session, &Secret::from(FILE.password.as_str()), None)
}

/// A session of the official crate without the user's members that this crate drops.
fn without_dropped_members(session: &Value) -> Value {
    let mut session = session.clone();
    if let Some(user) = session.get_mut("user") {
        let user = user.as_object_mut().unwrap();
        for name in ["name", "external_id", "metadata", "last_sign_in_at", "locale"] {
            user.remove(name);
        }
    }
    session
}

fn app() -> TestApp {
    TestApp::with_variables(&[("WORKOS_COOKIE_PASSWORD", &FILE.password)])
}

/// A browser with this session cookie.
fn browser_with(app: &TestApp, sealed: &str) -> Browser {
    let mut browser = app.browser();
    browser.cookies.push(Cookie {
        name: SESSION_COOKIE.to_owned(),
        value: sealed.to_owned(),
        path: "/".to_owned(),
        domain: None,
    });
    browser
}

/// `user` as `/me` shows it; the session may contain none.
fn shown_user(session: &Value) -> Value {
    let user = without_dropped_members(session).get("user").cloned();
    user.unwrap_or_else(|| json!({"object": "user", "id": "user_ada"}))
}

#[tokio::test]
async fn session_sealed_by_the_official_crate_is_accepted() {
    let app = app();
    for vector in official() {
        let response = browser_with(&app, &vector.sealed).get("/me").await.expect(200);
        let me = response.json();
        assert_eq!(me["user"], shown_user(&vector.json), "{}", vector.name);
        assert_eq!(me["session_id"], "session_user_ada");
        let impersonator = vector.json.get("impersonator").unwrap_or(&Value::Null);
        assert_eq!(me["impersonator"], *impersonator, "{}", vector.name);
        // The cookie stays unchanged, with the members that this crate drops.
        assert_eq!(response.set_cookies(), Vec::<&str>::new());
    }
}

#[tokio::test]
async fn session_without_user_and_sign_in_is_accepted() {
    let app = app();
    let session = Session {
        access_token: app.authkit.access_token(ADA).into(),
        refresh_token: "refresh".into(),
        user: None,
        impersonator: None,
    };
    let mut browser = browser_with(&app, &session.seal(&sealer()));
    let me = browser.get("/me").await.expect(200).json();
    assert_eq!(me["user"], json!({"object": "user", "id": "user_ada"}));
    assert_eq!(me["expires_at"], "2026-11-23T12:05:00Z");
}

#[tokio::test]
async fn modified_session_of_the_official_crate_is_refused() {
    let app = app();
    for vector in official() {
        let bytes = STANDARD.decode(&vector.sealed).unwrap();
        let mut flipped = bytes.clone();
        flipped[bytes.len() / 2] ^= 0x80;
        let shorter = &bytes[..bytes.len() - 1];
        let longer = [&bytes[..], &[0]].concat();
        for changed in [&flipped[..], shorter, &longer] {
            let mut browser = browser_with(&app, &STANDARD.encode(changed));
            browser.get("/me").await.expect(401);
        }
    }
}

#[tokio::test]
async fn official_session_under_another_password_is_refused() {
    let app = TestApp::new();
    for vector in official() {
        browser_with(&app, &vector.sealed).get("/me").await.expect(401);
    }
}

#[tokio::test]
async fn session_opened_by_the_official_crate_is_accepted() {
    let app = app();
    for vector in sealed_here() {
        let me = browser_with(&app, &vector.sealed).get("/me").await.expect(200).json();
        assert_eq!(me["user"], shown_user(&vector.json), "{}", vector.name);
    }
}
