//! `GET /me`: the caller.

use axum::response::Response;
use chrono::SecondsFormat;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::{
    api_keys::ApiKeyOwner,
    current_user::CurrentUser,
    json_response::json_response,
    openapi::{NeedsScope, Protected},
    routing::{OpenApiRouter, routes},
    token::TokenKind,
    user::Impersonator,
};

/// The route.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> OpenApiRouter<S> {
    OpenApiRouter::new().routes(routes!(show_current_user))
}

/// The response of `GET /me`.
#[derive(Debug, Serialize, ToSchema)]
pub struct MeResponse<'a> {
    /// `null` for a machine, and for an API key that an organization owns. A bearer token and an API key only give
    /// `object` and `id`.
    #[schema(value_type = Option<UserResponse>)]
    user: Value,
    session_id: Option<&'a str>,
    organization_id: Option<&'a str>,
    role: Option<&'a str>,
    roles: &'a [String],
    permissions: &'a [String],
    entitlements: &'a [String],
    feature_flags: &'a [String],
    impersonator: Option<Impersonator>,
    /// When the access token or the API key expires; `null` for a key that does not.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// The id of the API key that the caller sends. The caller's permissions are then the key's.
    #[serde(skip_serializing_if = "Option::is_none")]
    api_key_id: Option<&'a str>,
    /// The client that sends the token, if AuthKit Connect issued it.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
    /// The scopes of the token, if AuthKit Connect issued it.
    #[serde(skip_serializing_if = "Option::is_none")]
    scopes: Option<&'a [String]>,
}

/// The user of `GET /me`, as WorkOS returned it at sign-in.
#[derive(Debug, ToSchema)]
#[allow(dead_code, reason = "describes `MeResponse::user` in the schema")]
struct UserResponse {
    #[schema(example = "user")]
    object: String,
    #[schema(example = "user_01JD5Q3V9J8Y3N5M0A7ZK2W4XB")]
    id: String,
    email: Option<String>,
    email_verified: Option<bool>,
    first_name: Option<String>,
    last_name: Option<String>,
    profile_picture_url: Option<String>,
}

/// Show the current user
#[utoipa::path(
    get,
    path = "/me",
    tag = "sign-in",
    security(("session" = []), ("bearer" = []), ("api_key" = [])),
    responses((status = 200, description = "The caller", body = MeResponse), Protected, NeedsScope),
)]
async fn show_current_user(caller: CurrentUser) -> Response {
    json_response(&MeResponse::from(&caller))
}

impl<'a> From<&'a CurrentUser> for MeResponse<'a> {
    fn from(caller: &'a CurrentUser) -> Self {
        let Some(verified) = caller.claims() else { return Self::of_api_key(caller) };
        let claims = verified.claims();
        let is_connects = verified.kind() == TokenKind::Connect;
        let user = match caller.user() {
            Some(user) => json!(user),
            None if verified.is_machine() => Value::Null,
            None => json!({"object": "user", "id": claims.sub}),
        };
        Self {
            user,
            // In a Connect token, `sid` is the id of the user's consent.
            session_id: claims.sid.as_deref().filter(|_| !is_connects),
            organization_id: claims.org_id.as_deref(),
            role: claims.role.as_deref(),
            roles: &claims.roles,
            permissions: &claims.permissions,
            entitlements: &claims.entitlements,
            feature_flags: &claims.feature_flags,
            impersonator: caller.impersonator(),
            expires_at: Some(verified.expires_at().to_rfc3339_opts(SecondsFormat::Secs, true)),
            api_key_id: None,
            client_id: claims.client_id.as_deref().filter(|_| is_connects),
            scopes: is_connects.then_some(claims.scopes.as_slice()),
        }
    }
}

impl<'a> MeResponse<'a> {
    fn of_api_key(caller: &'a CurrentUser) -> Self {
        let key = caller.api_key();
        let user = match key.map(|key| &key.owner) {
            Some(ApiKeyOwner::User { id, .. }) => json!({"object": "user", "id": id}),
            _ => Value::Null,
        };
        Self {
            user,
            session_id: None,
            organization_id: caller.organization_id(),
            role: None,
            roles: &[],
            permissions: caller.permissions(),
            entitlements: &[],
            feature_flags: &[],
            impersonator: None,
            expires_at: key.and_then(|key| key.expires_at.clone()),
            api_key_id: key.map(|key| &*key.id),
            client_id: None,
            scopes: None,
        }
    }
}
