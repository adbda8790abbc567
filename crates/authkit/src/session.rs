//! The session in a signed-in browser's sealed cookie.
//!
//! The sealed JSON is `{"access_token","refresh_token","user","impersonator"}`, the format of the
//! official `workos` crate. Authorization depends on the access token alone. `user` is for display, and
//! counts only if its id is the token's subject.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    seal::{OpenError, Sealer},
    secret::Secret,
    user::{Impersonator, User},
    workos::AuthenticateResponse,
};

/// An opened session cookie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The JWT, which each request verifies.
    pub access_token: Secret,
    /// The single-use refresh token.
    pub refresh_token: Secret,
    /// The user, as WorkOS returned it at sign-in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<User>,
    /// The impersonator, if someone else signed in as the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub impersonator: Option<Impersonator>,
}

/// A session, and the password that sealed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenedSession {
    /// The session.
    pub session: Session,
    /// Whether the previous password sealed the session, so that it should be sealed again.
    pub by_previous_password: bool,
}

/// Why a cookie does not open as a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SessionError {
    /// The value does not open.
    #[error(transparent)]
    Sealed(#[from] OpenError),
    /// The plaintext is not a session.
    #[error("the sealed value is not a session")]
    NotASession,
}

impl Session {
    /// The user's id; empty if the sealed session has no user.
    #[must_use]
    pub fn user_id(&self) -> &str {
        self.user.as_ref().map_or("", |user| &user.id)
    }

    /// Seals the session for the cookie.
    #[must_use]
    pub fn seal(&self, sealer: &Sealer) -> String {
        // A struct of strings always serializes.
        sealer.seal(edge_host::json::write(self).as_bytes())
    }

    /// Opens a sealed session.
    ///
    /// # Errors
    ///
    /// [`SessionError`].
    pub fn open(sealed: &str, sealer: &Sealer) -> Result<OpenedSession, SessionError> {
        let opened = sealer.open(sealed)?;
        let session = edge_host::json::read_bytes(&opened.plaintext);
        Ok(OpenedSession {
            session: session.map_err(|_| SessionError::NotASession)?,
            by_previous_password: opened.by_previous_password,
        })
    }
}

impl From<AuthenticateResponse> for Session {
    fn from(response: AuthenticateResponse) -> Self {
        let AuthenticateResponse { user, access_token, refresh_token, impersonator } = response;
        Self { access_token, refresh_token, user: Some(user), impersonator }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use base64::{Engine, engine::general_purpose::STANDARD};
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        fixtures::{authenticate_body, changed, password},
        seal::Purpose,
    };

    const OFFICIAL_CRATE: &str = "workos 3.5.0";

    /// Sessions that the official `workos` crate sealed, and sessions of this crate that it opened.
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
        /// The implementation that opened the session, if this crate sealed it.
        opened_by: Option<String>,
        sealed: String,
        /// The sealed JSON.
        json: Value,
    }

    static FILE: LazyLock<VectorFile> = LazyLock::new(|| {
        serde_json::from_str(include_str!("../tests/vectors/workos-crate.json")).unwrap()
    });

    fn official() -> impl Iterator<Item = &'static Vector> {
        FILE.sessions.iter().filter(|vector| vector.sealed_by == OFFICIAL_CRATE)
    }

    fn sealed_here() -> impl Iterator<Item = &'static Vector> {
        FILE.sessions.iter().filter(|vector| vector.opened_by.as_deref() == Some(OFFICIAL_CRATE))
    }

    fn vector_sealer() -> Sealer {
        Sealer::new(Purpose::Session, &Secret::from(FILE.password.as_str()), None)
    }

    fn plaintext(sealed: &str) -> Value {
        serde_json::from_slice(&vector_sealer().open(sealed).unwrap().plaintext).unwrap()
    }

    /// A session of the official crate, without the members of the user that this crate drops.
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

    fn sealer() -> Sealer {
        Sealer::new(Purpose::Session, &password(), None)
    }

    /// Seals the plaintext and opens the result.
    fn open(plaintext: &str) -> Result<Session, SessionError> {
        Session::open(&sealer().seal(plaintext.as_bytes()), &sealer()).map(|opened| opened.session)
    }

    #[test]
    fn vectors_are_complete() {
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
            [
                "no optional member of a user",
                "every member that is kept",
                "an access token of 8 KB"
            ]
        );
        assert_eq!(FILE.sessions.len(), 7 + 3);
        assert!(FILE.password.len() == 64 && FILE.password.chars().all(|c| c.is_ascii_hexdigit()));
    }

    #[test]
    fn official_session_opens() {
        for vector in official() {
            assert_eq!(plaintext(&vector.sealed), vector.json, "{}", vector.name);
            let opened = Session::open(&vector.sealed, &vector_sealer()).unwrap();
            assert!(!opened.by_previous_password);
            let session = serde_json::to_value(&opened.session).unwrap();
            assert_eq!(session, kept(&vector.json), "{}", vector.name);
        }
    }

    #[test]
    fn official_session_has_its_user_and_impersonator() {
        let session = |name: &str| {
            let vector = official().find(|vector| vector.name == name).unwrap();
            Session::open(&vector.sealed, &vector_sealer()).unwrap().session
        };
        let user = session("every member of a user").user.unwrap();
        let expected = User {
            object: "user".to_owned(),
            id: "user_ada".to_owned(),
            email: "ada@example.com".to_owned(),
            email_verified: true,
            first_name: Some("Ada".to_owned()),
            last_name: Some("Lovelace".to_owned()),
            profile_picture_url: Some(
                "https://images.example.com/ada.png?size=64&round=1".to_owned(),
            ),
            created_at: "2026-01-01T00:00:00.000Z".to_owned(),
            updated_at: "2026-02-03T04:05:06.789Z".to_owned(),
        };
        assert_eq!(user, expected);
        assert_eq!(session("no user").user, None);
        assert_eq!(session("no user").user_id(), "");
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

    #[test]
    fn official_session_with_a_flipped_bit_is_refused() {
        let vector = official().find(|vector| vector.name == "no user").unwrap();
        let sealed = STANDARD.decode(&vector.sealed).unwrap();
        for index in 0..sealed.len() {
            let mut flipped = sealed.clone();
            flipped[index] ^= 1;
            let opened = Session::open(&STANDARD.encode(flipped), &vector_sealer());
            assert_eq!(opened, Err(SessionError::Sealed(OpenError::Refused)), "{index}");
        }
    }

    #[test]
    fn session_seals_to_json_that_the_official_crate_opened() {
        for vector in sealed_here() {
            assert_eq!(plaintext(&vector.sealed), vector.json, "{}", vector.name);
            let session = Session::open(&vector.sealed, &vector_sealer()).unwrap().session;
            let sealed = session.seal(&vector_sealer());
            assert_eq!(plaintext(&sealed), vector.json, "{}", vector.name);
        }
    }

    #[test]
    fn sealed_session_has_only_members_of_the_official_crate() {
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

    #[test]
    fn session_opens_with_a_password_of_words() {
        let sealed = include_str!("../tests/vectors/sealed-session.txt").trim();
        let session = Session::open(sealed, &sealer()).unwrap().session;
        assert_eq!(session.access_token, Secret::from("access"));
        assert_eq!(session.refresh_token, Secret::from("refresh"));
        assert_eq!(session.user.as_ref().unwrap().email, "ada@example.com");
        assert_eq!(session.user_id(), "user_ada");
        assert_eq!(session.impersonator, None);
    }

    #[test]
    fn session_ignores_unknown_members() {
        let body = authenticate_body("user_ada", "session_ada", "refresh_1");
        let odd =
            changed(&body, json!({"organization_id": "org_1", "x": [1], "authentication": {}}));
        let session = open(&odd.to_string()).unwrap();
        assert_eq!(session.user_id(), "user_ada");
        let sealed = serde_json::to_value(&session).unwrap();
        assert_eq!(sealed.as_object().unwrap().len(), 3, "unknown members are dropped: {sealed}");
    }

    #[test]
    fn session_requires_both_tokens_and_a_complete_user() {
        let body = authenticate_body("user_ada", "session_ada", "refresh_1");
        for plaintext in [
            String::new(),
            "null".to_owned(),
            "\"session\"".to_owned(),
            "{}".to_owned(),
            changed(&body, json!({"access_token": null})).to_string(),
            changed(&body, json!({"refresh_token": null})).to_string(),
            changed(&body, json!({"refresh_token": 5})).to_string(),
            changed(&body, json!({"access_token": ["a"]})).to_string(),
            changed(&body, json!({"user": {"id": "user_ada"}})).to_string(),
            changed(&body, json!({"user": "user_ada"})).to_string(),
            changed(&body, json!({"impersonator": {"reason": "x"}})).to_string(),
            body.to_string().replacen('{', r#"{"refresh_token":"other","#, 1),
            format!("{body} x"),
        ] {
            assert_eq!(open(&plaintext), Err(SessionError::NotASession), "{plaintext}");
        }
    }

    #[test]
    fn session_sealed_for_another_purpose_is_refused() {
        let session = authenticate_body("user_ada", "session_ada", "refresh_1").to_string();
        for purpose in [Purpose::SignIn, Purpose::SignInState, Purpose::SessionKeeper] {
            let sealed = Sealer::new(purpose, &password(), None).seal(session.as_bytes());
            let opened = Session::open(&sealed, &sealer());
            assert_eq!(opened, Err(SessionError::Sealed(OpenError::Refused)), "{purpose:?}");
        }
        let opened = Session::open("nonsense", &sealer());
        assert_eq!(opened, Err(SessionError::Sealed(OpenError::Malformed)));
    }

    #[test]
    fn session_reports_which_password_sealed_it() {
        let session = open(&authenticate_body("user_ada", "s", "refresh_1").to_string()).unwrap();
        let new_password = Secret::from("the new password of 32 characters");
        let both = Sealer::new(Purpose::Session, &new_password, Some(&password()));
        let old = Session::open(&session.seal(&sealer()), &both).unwrap();
        assert!(old.by_previous_password);
        let new = Session::open(&session.seal(&both), &both).unwrap();
        assert!(!new.by_previous_password);
        assert_eq!((&old.session, &new.session), (&session, &session));
    }

    #[test]
    fn session_debug_hides_its_tokens() {
        let session = open(&authenticate_body("user_ada", "s", "refresh_1").to_string()).unwrap();
        let opened = OpenedSession { session, by_previous_password: false };
        let shown = format!("{opened:?}");
        assert!(!shown.contains("refresh_1"), "{shown}");
        assert!(!shown.contains(opened.session.access_token.expose()), "{shown}");
    }

    #[test]
    fn session_copies_every_member_of_the_response() {
        let impersonator = json!({"email": "help@workos.test", "reason": "ticket 7"});
        let body = authenticate_body("user_ada", "session_ada", "refresh_1");
        let body = changed(&body, json!({"impersonator": impersonator}));
        let response: AuthenticateResponse = serde_json::from_value(body.clone()).unwrap();
        let session = Session::from(response);
        assert_eq!(session, open(&body.to_string()).unwrap());
        let impersonator = session.impersonator.unwrap();
        assert_eq!(impersonator.email, "help@workos.test");
        assert_eq!(impersonator.reason.as_deref(), Some("ticket 7"));
    }
}
