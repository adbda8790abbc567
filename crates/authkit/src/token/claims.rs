//! A token's payload: its claims, and which of the claims that tell the kinds of tokens apart are there and
//! of the right type. Nothing here decides whether a token is believed.

use serde_json::{Map, Value};

use crate::user::Impersonator;

/// Claims of ID tokens (OpenID Connect Core 1.0, sections 2 and 3.3.2.11). No access token has one.
const ID_TOKEN_CLAIMS: [&str; 4] = ["nonce", "at_hash", "c_hash", "s_hash"];

/// The claims of a WorkOS access token. Only `sub` and `exp` are in every one. A claim of another type
/// counts as absent here, so that a JWT template does not lock users out; the claims that decide
/// whether a bearer is believed are checked for their type too.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AccessTokenClaims {
    /// The user.
    pub sub: String,
    /// The issuer.
    pub iss: Option<String>,
    /// The session at WorkOS.
    pub sid: Option<String>,
    /// The organization the session is in.
    pub org_id: Option<String>,
    /// The user's role there.
    pub role: Option<String>,
    /// All of the user's roles there.
    pub roles: Vec<String>,
    /// What the roles allow.
    pub permissions: Vec<String>,
    /// What the organization has paid for.
    pub entitlements: Vec<String>,
    /// Feature flags that are on.
    pub feature_flags: Vec<String>,
    /// Who acts as the user, if someone does.
    pub impersonator: Option<Impersonator>,
    /// Whom a Connect token is for.
    pub aud: Vec<String>,
    /// The client that a Connect token was given to.
    pub client_id: Option<String>,
    /// What a Connect token was given for.
    pub scopes: Vec<String>,
}

/// A JWT's payload beside the registered times.
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

/// Words with spaces between them (RFC 8693, section 4.2).
fn scopes(payload: &Payload) -> Vec<String> {
    let scope = payload.get("scope").and_then(Value::as_str).unwrap_or_default();
    scope.split_ascii_whitespace().map(str::to_owned).collect()
}

/// WorkOS's own claim, else the actor of RFC 8693, section 4.1.
fn impersonator(payload: &Payload) -> Option<Impersonator> {
    let member = |claim: &str, name: &str| text(payload.get(claim)?.as_object()?, name);
    if let Some(email) = member("impersonator", "email") {
        return Some(Impersonator { email, reason: member("impersonator", "reason") });
    }
    member("act", "sub").map(|email| Impersonator { email, reason: None })
}

/// What tells the kinds of tokens apart beside the claims' values.
#[derive(Debug, Clone, Copy)]
pub(super) struct TokenForm {
    pub(super) typ: Typ,
    pub(super) has_id_token_claim: bool,
    pub(super) aud: ClaimForm,
    pub(super) client_id: ClaimForm,
    pub(super) scope: ClaimForm,
}

/// The `typ` header, which names the kind of token where it is more than a JWT (RFC 8725, section 3.11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Typ {
    /// `JWT`, or no `typ`.
    Jwt,
    /// `at+jwt` (RFC 9068, section 2.1).
    AccessToken,
    /// Logout tokens, security events, request objects, ….
    Other,
}

/// Whether a claim is there, and of the type that it must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClaimForm {
    Absent,
    Sound,
    Malformed,
}

impl Typ {
    /// In any case of letters, and with `application/` before it or without (RFC 7515, section 4.1.9).
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
