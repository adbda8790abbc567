//! Reads a token's payload: its claims, and the presence and type of the claims that distinguish the kinds
//! of tokens. This module accepts and refuses no token.

use serde_json::{Map, Value};

use crate::user::Impersonator;

/// Claims of ID tokens (OpenID Connect Core 1.0, sections 2 and 3.3.2.11). No access token has one.
const ID_TOKEN_CLAIMS: [&str; 4] = ["nonce", "at_hash", "c_hash", "s_hash"];

/// The claims of a WorkOS access token. Every token has `sub` and `exp`; other claims are optional. A
/// claim of an unexpected type counts as absent, so that a JWT template does not lock users out.
/// `TokenForm` records the types of the claims that decide whether a bearer token is accepted.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct AccessTokenClaims {
    /// The user's id.
    pub sub: String,
    /// The issuer.
    pub iss: Option<String>,
    /// The session's id at WorkOS.
    pub sid: Option<String>,
    /// The organization of the session.
    pub org_id: Option<String>,
    /// The user's role in the organization.
    pub role: Option<String>,
    /// All of the user's roles in the organization.
    pub roles: Vec<String>,
    /// The permissions of the roles.
    pub permissions: Vec<String>,
    /// The organization's entitlements.
    pub entitlements: Vec<String>,
    /// The enabled feature flags.
    pub feature_flags: Vec<String>,
    /// The impersonator, if someone acts as the user.
    pub impersonator: Option<Impersonator>,
    /// The audiences of a Connect token.
    pub aud: Vec<String>,
    /// The client of a Connect token.
    pub client_id: Option<String>,
    /// The scopes of a Connect token.
    pub scopes: Vec<String>,
}

/// A JWT's payload without `exp`, `nbf` and `iat`.
pub(super) type Payload = Map<String, Value>;

impl From<&Payload> for AccessTokenClaims {
    fn from(payload: &Payload) -> Self {
        Self {
            sub: text(payload, "sub").unwrap_or_default(),
            iss: text(payload, "iss"),
            sid: text(payload, "sid"),
            org_id: text(payload, "org_id"),
            role: text(payload, "role"),
            roles: texts(payload, "roles"),
            permissions: texts(payload, "permissions"),
            entitlements: texts(payload, "entitlements"),
            feature_flags: texts(payload, "feature_flags"),
            impersonator: impersonator(payload),
            aud: audience(payload),
            client_id: text(payload, "client_id"),
            scopes: scopes(payload),
        }
    }
}

pub(super) fn text(payload: &Payload, name: &str) -> Option<String> {
    payload.get(name)?.as_str().map(str::to_owned)
}

fn texts(payload: &Payload, name: &str) -> Vec<String> {
    let values = payload.get(name).and_then(Value::as_array).into_iter().flatten();
    values.filter_map(|value| value.as_str().map(str::to_owned)).collect()
}

/// One audience or several (RFC 7519, section 4.1.3).
fn audience(payload: &Payload) -> Vec<String> {
    text(payload, "aud").map_or_else(|| texts(payload, "aud"), |audience| vec![audience])
}

/// A list with spaces between the scopes (RFC 8693, section 4.2).
fn scopes(payload: &Payload) -> Vec<String> {
    let scope = payload.get("scope").and_then(Value::as_str).unwrap_or_default();
    scope.split_ascii_whitespace().map(str::to_owned).collect()
}

/// WorkOS's `impersonator` claim, or else the `act` claim (RFC 8693, section 4.1).
fn impersonator(payload: &Payload) -> Option<Impersonator> {
    let member = |claim: &str, name: &str| text(payload.get(claim)?.as_object()?, name);
    if let Some(email) = member("impersonator", "email") {
        return Some(Impersonator { email, reason: member("impersonator", "reason") });
    }
    member("act", "sub").map(|email| Impersonator { email, reason: None })
}

/// The properties that distinguish the kinds of tokens, besides the values of the claims.
#[derive(Debug, Clone, Copy)]
pub(super) struct TokenForm {
    pub(super) typ: Typ,
    pub(super) has_id_token_claim: bool,
    pub(super) aud: ClaimForm,
    pub(super) client_id: ClaimForm,
    pub(super) scope: ClaimForm,
}

/// The `typ` header, which names the kind of token (RFC 8725, section 3.11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Typ {
    /// `JWT`, or no `typ`.
    Jwt,
    /// `at+jwt` (RFC 9068, section 2.1).
    AccessToken,
    /// Logout tokens, security events, request objects, ….
    Other,
}

/// Whether a claim is present and has the required type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClaimForm {
    Absent,
    Sound,
    Malformed,
}

impl Typ {
    /// The comparison ignores case and an `application/` prefix (RFC 7515, section 4.1.9).
    fn of(header: Option<&str>) -> Self {
        let typ = header.unwrap_or("jwt").to_ascii_lowercase();
        match typ.strip_prefix("application/").unwrap_or(&typ) {
            "jwt" => Self::Jwt,
            "at+jwt" => Self::AccessToken,
            _ => Self::Other,
        }
    }
}

impl ClaimForm {
    fn of(payload: &Payload, name: &str, is_sound: impl Fn(&Value) -> bool) -> Self {
        match payload.get(name) {
            None => Self::Absent,
            Some(value) if is_sound(value) => Self::Sound,
            Some(_) => Self::Malformed,
        }
    }
}

impl TokenForm {
    pub(super) fn of(typ: Option<&str>, payload: &Payload) -> Self {
        let is_audience = |value: &Value| match value {
            Value::String(_) => true,
            Value::Array(values) => !values.is_empty() && values.iter().all(Value::is_string),
            _ => false,
        };
        Self {
            typ: Typ::of(typ),
            has_id_token_claim: ID_TOKEN_CLAIMS.iter().any(|name| payload.contains_key(*name)),
            aud: ClaimForm::of(payload, "aud", is_audience),
            client_id: ClaimForm::of(payload, "client_id", Value::is_string),
            scope: ClaimForm::of(payload, "scope", Value::is_string),
        }
    }
}
