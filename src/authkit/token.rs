//! Access tokens: JWTs (RFC 7519) signed with RS256 (RFC 7518), checked at the edge.
//!
//! The type says how far a token is trusted: [`UntrustedToken`] is only well-formed, and
//! [`VerifiedClaims`] can be made by verification alone. RS256 is the only algorithm, so that a
//! token cannot choose another (RFC 8725, section 3.1); a critical header that is not understood
//! refuses the token (RFC 7515, section 4.1.11).

use std::sync::Arc;

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
const TOKEN_MAX_BYTES: usize = 32 * 1024;
/// A key's name in the wild has some 30 characters.
const KID_MAX_BYTES: usize = 256;

/// A token that has the form of one, and names a key. Nothing in it may be believed.
pub struct UntrustedToken<'a> {
    parsed: ParsedToken<'a, HeaderExtensions>,
    kid: String,
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
        Ok(Self { parsed, kid })
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

    /// Checks the signature, `nbf` and the issuer. The expiry is left to
    /// [`VerifiedClaims::is_expired`]: an expired token still tells whose session is to be renewed.
    ///
    /// # Errors
    ///
    /// Every [`TokenError`] but [`Expired`](TokenError::Expired).
    pub fn verify(
        &self,
        key: &StrongKey<RsaPublicKey>,
        config: &AuthKitConfig,
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
        if config.issuer.is_some() && claims.iss != config.issuer {
            return Err(TokenError::Issuer);
        }
        Ok(VerifiedClaims { claims, expires_at })
    }
}

impl VerifiedClaims {
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
