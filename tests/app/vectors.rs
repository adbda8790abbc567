//! A session that the official `workos` crate has sealed, or has opened, is signed in here. The format itself is
//! tested beside `axum_authkit::session`, with the same vectors.

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
    ADA, TestApp,
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
    /// The other side that has opened it; what was sealed here has one.
    opened_by: Option<String>,
    sealed: String,
    /// What is inside.
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

/// A session as the official crate has it, without the members of the user that are not kept here.
fn kept(session: &Value) -> Value {
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

/// A browser that has this session, by whoever it was set.
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

/// `user` as `/me` shows it, of a session that may hold none.
fn shown_user(session: &Value) -> Value {
    let user = kept(session).get("user").cloned();
    user.unwrap_or_else(|| json!({"object": "user", "id": "user_ada"}))
}

#[tokio::test]
async fn a_session_sealed_by_the_official_crate_is_signed_in() {
    let app = app();
    for vector in official() {
        let answer = browser_with(&app, &vector.sealed).get("/me").await.expect(200);
        let me = answer.json();
        assert_eq!(me["user"], shown_user(&vector.json), "{}", vector.name);
        assert_eq!(me["session_id"], "session_user_ada");
        let impersonator = vector.json.get("impersonator").unwrap_or(&Value::Null);
        assert_eq!(me["impersonator"], *impersonator, "{}", vector.name);
        // It is left as it is, with the members that are not kept here.
        assert_eq!(answer.set_cookies(), Vec::<&str>::new());
    }
}

#[tokio::test]
async fn a_session_that_no_sign_in_here_has_made_is_signed_in() {
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
async fn what_the_official_crate_has_sealed_is_no_session_when_it_was_changed() {
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
async fn what_the_official_crate_has_sealed_is_no_session_with_another_password() {
    let app = TestApp::new();
    for vector in official() {
        browser_with(&app, &vector.sealed).get("/me").await.expect(401);
    }
}

#[tokio::test]
async fn what_the_official_crate_has_opened_is_signed_in() {
    let app = app();
    for vector in sealed_here() {
        let me = browser_with(&app, &vector.sealed).get("/me").await.expect(200).json();
        assert_eq!(me["user"], shown_user(&vector.json), "{}", vector.name);
    }
}
