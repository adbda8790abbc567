//! The session: what a signed-in browser carries in its sealed cookie.
//!
//! The sealed JSON is `{"access_token","refresh_token","user","impersonator"}`, the format of the
//! official `workos` crate. The access token inside is what is believed; `user` is only there to
//! be shown, and only if it is about the token's subject.

use serde::{Deserialize, Serialize};
use thiserror::Error;
use utoipa::ToSchema;

use super::{
    seal::{OpenError, Sealer},
    secret::Secret,
    workos::AuthenticateResponse,
};

/// A session as it stands in the cookie, opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The JWT; to be verified each time.
    pub access_token: Secret,
    /// Single-use.
    pub refresh_token: Secret,
    /// Who signed in, as WorkOS told it then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<User>,
    /// Who signed in as the user, when support did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub impersonator: Option<Impersonator>,
}

/// A session, and whether it should be sealed again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenedSession {
    /// The session.
    pub session: Session,
    /// Whether it was sealed with the password before.
    pub by_previous_password: bool,
}

/// A WorkOS user: the members that `/me` shows. Others, `metadata` above all, would only make the
/// cookie longer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Always `user`.
    #[serde(default = "User::object")]
    pub object: String,
    /// `user_…`, the `sub` of the user's tokens.
    pub id: String,
    /// The e-mail address.
    pub email: String,
    /// Whether the address was verified.
    #[serde(default)]
    pub email_verified: bool,
    /// The first name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_name: Option<String>,
    /// The last name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_name: Option<String>,
    /// The address of a picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile_picture_url: Option<String>,
    /// When the user was created, RFC 3339.
    #[serde(default)]
    pub created_at: String,
    /// When the user was last changed, RFC 3339.
    #[serde(default)]
    pub updated_at: String,
}

impl User {
    fn object() -> String {
        "user".to_owned()
    }
}

/// Someone of the operator's staff who is signed in as the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Impersonator {
    /// Who.
    pub email: String,
    /// Why, as they said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Why a cookie is no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SessionError {
    /// It does not open.
    #[error(transparent)]
    Sealed(#[from] OpenError),
    /// It opens and holds something else.
    #[error("the sealed value is not a session")]
    NotASession,
}

impl Session {
    /// The id of the user who signed in; empty where the sealed session does not name one.
    #[must_use]
    pub fn user_id(&self) -> &str {
        self.user.as_ref().map_or("", |user| &user.id)
    }

    /// Seals the session for the cookie.
    #[must_use]
    pub fn seal(&self, sealer: &Sealer) -> String {
        // A struct of strings always serializes.
        sealer.seal(&serde_json::to_vec(self).unwrap_or_default())
    }

    /// Opens a sealed session.
    ///
    /// # Errors
    ///
    /// [`SessionError`].
    pub fn open(sealed: &str, sealer: &Sealer) -> Result<OpenedSession, SessionError> {
        let opened = sealer.open(sealed)?;
        let session = serde_json::from_slice(&opened.plaintext);
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
