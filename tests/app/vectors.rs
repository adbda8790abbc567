//! The session's format: what the official `workos` crate has sealed opens here, what was sealed
//! here that crate has opened, and what is stored in `crates/authkit/tests/vectors` opens for ever.

use std::sync::LazyLock;

use authkit_edge::authkit::{
    seal::{OpenError, Purpose, Sealer},
    secret::Secret,
    session::{Session, SessionError, User},
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

fn plaintext(sealed: &str) -> Value {
    serde_json::from_slice(&sealer().open(sealed).unwrap().plaintext).unwrap()
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

#[test]
fn the_vectors_are_all_there() {
    let names = |vectors: Vec<&'static Vector>| -> Vec<&str> {
        vectors.into_iter().map(|vector| vector.name.as_str()).collect()
    };
    assert_eq!(
        names(official().collect()),
        [
            "every member of a user",
            "no optional member of a user",
            "no user",
            "an impersonator with a reason",
            "an impersonator without a reason",
            "names that are not ASCII",
            "an access token of 8 KB",
        ]
    );
    assert_eq!(
        names(sealed_here().collect()),
        ["no optional member of a user", "every member that is kept", "an access token of 8 KB"]
    );
    assert_eq!(FILE.sessions.len(), 7 + 3);
    assert!(FILE.password.len() == 64 && FILE.password.chars().all(|c| c.is_ascii_hexdigit()));
}

#[test]
fn a_session_sealed_by_the_official_crate_opens_here_with_every_member_that_is_kept() {
    for vector in official() {
        assert_eq!(plaintext(&vector.sealed), vector.json, "{}", vector.name);
        let opened = Session::open(&vector.sealed, &sealer()).unwrap();
        assert!(!opened.by_previous_password);
        let session = serde_json::to_value(&opened.session).unwrap();
        assert_eq!(session, kept(&vector.json), "{}", vector.name);
    }
}

#[test]
fn a_session_sealed_by_the_official_crate_says_who_it_is() {
    let session = |name: &str| {
        let vector = official().find(|vector| vector.name == name).unwrap();
        Session::open(&vector.sealed, &sealer()).unwrap().session
    };
    let user = session("every member of a user").user.unwrap();
    let expected = User {
        object: "user".to_owned(),
        id: "user_ada".to_owned(),
        email: "ada@example.com".to_owned(),
        email_verified: true,
        first_name: Some("Ada".to_owned()),
        last_name: Some("Lovelace".to_owned()),
        profile_picture_url: Some("https://images.example.com/ada.png?size=64&round=1".to_owned()),
        created_at: "2026-01-01T00:00:00.000Z".to_owned(),
        updated_at: "2026-02-03T04:05:06.789Z".to_owned(),
    };
    assert_eq!(user, expected);
    assert_eq!(session("no user").user, None);
    assert_eq!(session("no user").refresh_token, Secret::from("refresh of no user"));

    let impersonator = session("an impersonator with a reason").impersonator.unwrap();
    assert_eq!(impersonator.email, "help@example.com");
    assert_eq!(impersonator.reason.as_deref(), Some("ticket 7"));
    let impersonator = session("an impersonator without a reason").impersonator.unwrap();
    assert_eq!(impersonator.reason, None);

    let user = session("names that are not ASCII").user.unwrap();
    assert_eq!(user.first_name.unwrap(), "Žofie 明子 👩🏽\u{200d}🚀");
    assert!(session("an access token of 8 KB").access_token.expose().len() >= 8 * 1024);
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

#[test]
fn a_flipped_bit_in_what_the_official_crate_has_sealed_is_refused() {
    let vector = official().find(|vector| vector.name == "no user").unwrap();
    let sealed = STANDARD.decode(&vector.sealed).unwrap();
    for index in 0..sealed.len() {
        let mut flipped = sealed.clone();
        flipped[index] ^= 1;
        let opened = Session::open(&STANDARD.encode(flipped), &sealer());
        assert_eq!(opened, Err(SessionError::Sealed(OpenError::Refused)), "{index}");
    }
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

#[test]
fn what_the_official_crate_has_opened_still_opens_and_would_be_sealed_the_same() {
    for vector in sealed_here() {
        assert_eq!(plaintext(&vector.sealed), vector.json, "{}", vector.name);
        let session = Session::open(&vector.sealed, &sealer()).unwrap().session;
        assert_eq!(plaintext(&session.seal(&sealer())), vector.json, "{}", vector.name);
    }
}

#[test]
fn what_is_sealed_here_has_the_members_that_the_official_crate_needs_and_no_others() {
    let vector =
        sealed_here().find(|vector| vector.name == "no optional member of a user").unwrap();
    let session = plaintext(&vector.sealed);
    let names = |value: &Value| -> Vec<String> {
        let mut names: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
        names.sort_unstable();
        names
    };
    assert_eq!(names(&session), ["access_token", "refresh_token", "user"]);
    assert_eq!(
        names(&session["user"]),
        ["created_at", "email", "email_verified", "id", "object", "updated_at"]
    );
}

#[tokio::test]
async fn what_the_official_crate_has_opened_is_signed_in() {
    let app = app();
    for vector in sealed_here() {
        let me = browser_with(&app, &vector.sealed).get("/me").await.expect(200).json();
        assert_eq!(me["user"], shown_user(&vector.json), "{}", vector.name);
    }
}

#[test]
fn a_session_stored_with_a_password_of_words_opens() {
    let password = Secret::from("a password of at least 32 characters");
    let sealer = Sealer::new(Purpose::Session, &password, None);
    let sealed = include_str!("../../crates/authkit/tests/vectors/sealed-session.txt").trim();
    let session = Session::open(sealed, &sealer).unwrap().session;
    assert_eq!(session.access_token, Secret::from("access"));
    assert_eq!(session.refresh_token, Secret::from("refresh"));
    assert_eq!(session.user.as_ref().unwrap().id, "user_ada");
    assert_eq!(session.user.unwrap().email, "ada@example.com");
    assert_eq!(session.impersonator, None);
}
