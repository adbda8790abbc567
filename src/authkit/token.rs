//! Access tokens: JWTs (RFC 7519) signed with RS256 (RFC 7518), checked at the edge.
//!
//! The type says how far a token is trusted: [`UntrustedToken`] is only well-formed, and
//! [`VerifiedClaims`] can be made by verification alone. RS256 is the only algorithm, so that a
//! token cannot choose another (RFC 8725, section 3.1); a critical header that is not understood
//! refuses the token (RFC 7515, section 4.1.11).
//!
//! Two issuers are believed: WorkOS for sessions, and AuthKit Connect for OAuth applications, MCP
//! clients and machines. Whose key checks a token is told by its `iss` before anything else is
//! believed of it, so that neither issuer can sign for the other.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Duration, Utc};
use jwt_compact::{
    AlgorithmExt, TimeOptions, UntrustedToken as ParsedToken, ValidationError,
    alg::{Rsa, RsaPublicKey, StrongAlg, StrongKey},
};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Map, Value};
use thiserror::Error;

use super::{config::AuthKitConfig, session::Impersonator};

const ALGORITHM: StrongAlg<Rsa> = StrongAlg(Rsa::rs256());
/// A token of 8 KB of permissions passes with room to spare; nothing longer is decoded.
pub(super) const TOKEN_MAX_BYTES: usize = 32 * 1024;
/// A key's name in the wild has some 30 characters.
const KID_MAX_BYTES: usize = 256;

/// A token that has the form of one, and names a key. Nothing in it may be believed.
pub struct UntrustedToken<'a> {
    parsed: ParsedToken<'a, HeaderExtensions>,
    /// As it was sent.
    text: &'a str,
    kid: String,
}

/// Who signs what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// The access token of a session, by WorkOS.
    Session,
    /// An access token for an OAuth application, an MCP client or a machine, by AuthKit Connect.
    Connect,
}

#[derive(Debug, Clone, Deserialize)]
struct HeaderExtensions {
    #[serde(default)]
    crit: Option<IgnoredAny>,
}

/// The claims of a WorkOS access token. Only `sub` and `exp` are in every one; what a customer's
/// JWT template made of the others does not lock anybody out: a claim of another type is no claim.
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
type Payload = Map<String, Value>;

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

fn text(payload: &Payload, name: &str) -> Option<String> {
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

/// Claims that one of the issuer's keys has signed, and that are valid now or were.
#[derive(Debug, Clone, PartialEq)]
pub struct VerifiedClaims {
    kind: TokenKind,
    claims: Arc<AccessTokenClaims>,
    expires_at: DateTime<Utc>,
}

/// Why a token is not trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TokenError {
    /// Not a JWT, too long, or without what every token has.
    #[error("the token is malformed")]
    Malformed,
    /// Another algorithm than RS256.
    #[error("the token is not signed with RS256")]
    Algorithm,
    /// A critical header that is not understood.
    #[error("the token has a critical header that is not understood")]
    CriticalHeader,
    /// No key, or a key that the issuer does not have.
    #[error("the token is not signed by a key of the issuer")]
    UnknownKey,
    /// The signature is not the key's.
    #[error("the token's signature is wrong")]
    Signature,
    /// Without `exp`.
    #[error("the token has no expiry")]
    NoExpiry,
    /// `exp` is past.
    #[error("the token has expired")]
    Expired,
    /// `nbf` is to come.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// `iss` is not who it must be.
    #[error("the token has another issuer")]
    Issuer,
    /// `aud` is somebody else.
    #[error("the token is meant for another audience")]
    Audience,
}

impl<'a> UntrustedToken<'a> {
    /// Reads a token's form and header.
    ///
    /// # Errors
    ///
    /// [`TokenError::Malformed`], [`Algorithm`](TokenError::Algorithm),
    /// [`CriticalHeader`](TokenError::CriticalHeader), or [`UnknownKey`](TokenError::UnknownKey)
    /// for a token that names no key.
    pub fn parse(token: &'a str) -> Result<Self, TokenError> {
        if token.len() > TOKEN_MAX_BYTES {
            return Err(TokenError::Malformed);
        }
        let parsed =
            ParsedToken::<HeaderExtensions>::try_from(token).map_err(|_| TokenError::Malformed)?;
        if parsed.algorithm() != "RS256" {
            return Err(TokenError::Algorithm);
        }
        if parsed.header().other_fields.crit.is_some() {
            return Err(TokenError::CriticalHeader);
        }
        let kid = parsed.header().key_id.clone().unwrap_or_default();
        if kid.is_empty() || kid.len() > KID_MAX_BYTES {
            return Err(TokenError::UnknownKey);
        }
        Ok(Self { parsed, text: token, kid })
    }

    /// The name of the key that is said to have signed.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The session's id, believed of no one: only good for asking WorkOS to end that session.
    #[must_use]
    pub fn session_id_unverified(&self) -> Option<String> {
        text(&self.parsed.deserialize_claims_unchecked::<Payload>().ok()?.custom, "sid")
    }

    /// The issuer, believed of no one: only good for telling whose key is to check it. Everything
    /// else in the payload may be wrong, and says so when it is checked.
    ///
    /// # Errors
    ///
    /// [`TokenError::Malformed`].
    pub fn issuer_unverified(&self) -> Result<Option<String>, TokenError> {
        /// A member that is there twice is refused, so that nobody can read it differently.
        #[derive(Deserialize)]
        struct Issuer {
            iss: Option<Value>,
        }
        // The form was checked: three parts.
        let payload = self.text.split('.').nth(1).unwrap_or_default();
        let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| TokenError::Malformed)?;
        let Issuer { iss } = serde_json::from_slice(&payload).map_err(|_| TokenError::Malformed)?;
        Ok(iss.as_ref().and_then(Value::as_str).map(str::to_owned))
    }

    /// Checks a session token's signature, `nbf` and issuer. The expiry is left to
    /// [`VerifiedClaims::is_expired`]: an expired token still tells whose session is to be renewed.
    ///
    /// # Errors
    ///
    /// Every [`TokenError`] but [`Expired`](TokenError::Expired) and
    /// [`Audience`](TokenError::Audience).
    pub fn verify(
        &self,
        key: &StrongKey<RsaPublicKey>,
        config: &AuthKitConfig,
        now: DateTime<Utc>,
    ) -> Result<VerifiedClaims, TokenError> {
        self.check(TokenKind::Session, key, config.issuer.as_deref(), now)
    }

    /// Checks a Connect token's signature, `nbf` and issuer. The audience is left to whoever knows
    /// where the request came in, the expiry as with [`verify`](Self::verify).
    ///
    /// # Errors
    ///
    /// As [`verify`](Self::verify).
    pub fn verify_connect(
        &self,
        key: &StrongKey<RsaPublicKey>,
        issuer: &str,
        now: DateTime<Utc>,
    ) -> Result<VerifiedClaims, TokenError> {
        self.check(TokenKind::Connect, key, Some(issuer), now)
    }

    fn check(
        &self,
        kind: TokenKind,
        key: &StrongKey<RsaPublicKey>,
        issuer: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<VerifiedClaims, TokenError> {
        let token = ALGORITHM.validator::<Payload>(key).validate(&self.parsed).map_err(
            |error| match error {
                ValidationError::AlgorithmMismatch { .. } => TokenError::Algorithm,
                ValidationError::MalformedClaims(_) => TokenError::Malformed,
                _ => TokenError::Signature,
            },
        )?;
        let claims = token.claims();
        let expires_at = claims.expiration.ok_or(TokenError::NoExpiry)?;
        if claims.not_before.is_some() {
            let options = TimeOptions::new(Duration::zero(), move || now);
            claims.validate_maturity(&options).map_err(|_| TokenError::NotYetValid)?;
        }
        let claims = Arc::new(AccessTokenClaims::from(&claims.custom));
        if claims.sub.is_empty() {
            return Err(TokenError::Malformed);
        }
        if issuer.is_some() && claims.iss.as_deref() != issuer {
            return Err(TokenError::Issuer);
        }
        Ok(VerifiedClaims { kind, claims, expires_at })
    }
}

impl VerifiedClaims {
    /// Who has signed.
    #[must_use]
    pub fn kind(&self) -> TokenKind {
        self.kind
    }

    /// Whether the token is a machine's, by the client credentials grant: its subject is its client.
    #[must_use]
    pub fn is_machine(&self) -> bool {
        self.kind == TokenKind::Connect && self.claims.client_id.as_ref() == Some(&self.claims.sub)
    }

    /// Everything the token says.
    #[must_use]
    pub fn claims(&self) -> &AccessTokenClaims {
        &self.claims
    }

    /// The `exp` claim.
    #[must_use]
    pub fn expires_at(&self) -> DateTime<Utc> {
        self.expires_at
    }

    /// Whether the token's time is over. No leeway: WorkOS's clock and Cloudflare's agree, and a
    /// session is renewed rather than refused.
    #[must_use]
    pub fn is_expired(&self, now: DateTime<Utc>) -> bool {
        now >= self.expires_at
    }
}
