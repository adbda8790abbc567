//! The user of a session, and the impersonator, as WorkOS returns them at sign-in.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A WorkOS user: the members that `/me` shows. Other members, such as `metadata`, would only make the
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

/// A member of the operator's staff who is signed in as the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Impersonator {
    /// The e-mail address of the staff member.
    pub email: String,
    /// The reason that the staff member gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
