//! Access tokens: JWTs (RFC 7519) signed with RS256 (RFC 7518), checked at the edge.
//!
//! The type says how far a token is trusted: [`UntrustedToken`] is only well-formed, [`SignedClaims`]
//! carry a good signature, and [`VerifiedClaims`] come from one of the three checks of [`SignedClaims`]
//! alone. RS256 is the only algorithm, so that a token cannot choose another (RFC 8725, section 3.1); a
//! critical header that is not understood refuses the token (RFC 7515, section 4.1.11).
//!
//! A signature alone proves little: one key of WorkOS signs the session tokens, the Connect access
//! tokens and the ID tokens of every application of the environment. The `iss` claim decides whether a
//! token is a session's or Connect's, and the claims decide the rest:
//!
//! - [`SignedClaims::of_cookie`]: the session cookie. WorkOS gave the token to this Worker, which
//!   sealed it, so that its origin is known.
//! - [`SignedClaims::of_session_bearer`]: the token must say that it is a session of this application.
//! - [`SignedClaims::of_connect_bearer`]: the token must be a Connect access token for this Worker.

mod claims;

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Duration, Utc};
use jwt_compact::{
    AlgorithmExt, UntrustedToken as ParsedToken, ValidationError,
    alg::{Rsa, RsaPublicKey, StrongAlg, StrongKey},
};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;
use thiserror::Error;

pub use self::claims::AccessTokenClaims;
use self::claims::{ClaimForm, Payload, TokenForm, Typ, text};
use super::{config::AuthKitConfig, connect::ProtectedResource, origin::RequestOrigin};

const ALGORITHM: StrongAlg<Rsa> = StrongAlg(Rsa::rs256());
/// A token of 8 KB of permissions passes with room to spare; nothing longer is decoded.
pub(super) const TOKEN_MAX_BYTES: usize = 32 * 1024;
/// A key's name in the wild has some 30 characters.
const KID_MAX_BYTES: usize = 256;
/// How long before its `nbf` a token already counts (RFC 7519, section 4.1.5, "a few minutes" at most):
/// the clocks of WorkOS and Cloudflare are kept by NTP and differ by less than a few seconds.
const NOT_BEFORE_LEEWAY_SECS: i64 = 10;
/// WorkOS names itself so in session tokens, also when an emulator signs them.
const WORKOS_ISSUER: &str = "https://api.workos.com";
/// Session ids of WorkOS; what Connect calls `sid` begins with `app_consent_`.
const SESSION_ID_PREFIX: &str = "session_";

/// A token that has the form of one, and names a key. Nothing in it may be believed.
pub struct UntrustedToken<'a> {
    parsed: ParsedToken<'a, HeaderExtensions>,
    /// As it was sent.
    text: &'a str,
    kid: String,
}

/// Whose token it is, by its `iss`.
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

/// Claims with a good signature, which are not believed yet: the key signs other kinds of tokens too.
#[derive(Debug, Clone)]
pub struct SignedClaims {
    kind: TokenKind,
    claims: Arc<AccessTokenClaims>,
    expires_at: DateTime<Utc>,
    not_before: Option<DateTime<Utc>>,
    form: TokenForm,
}

/// Claims that are valid now or were, of a token that this Worker believes.
#[derive(Debug, Clone, PartialEq)]
pub struct VerifiedClaims {
    kind: TokenKind,
    claims: Arc<AccessTokenClaims>,
    expires_at: DateTime<Utc>,
    grant: Grant,
}

/// What a token may be used for here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grant {
    /// Everything that the user may do.
    Everything,
    /// What its scopes name.
    Scopes,
    /// Nothing: the user is known to the application that has the token, and let it do nothing here.
    Nothing,
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
    /// `client_id` is another application's.
    #[error("the token belongs to another application")]
    Client,
    /// Signed by the right key, but another kind of token: an ID token, or a Connect token in a
    /// session's name.
    #[error("the token is of another kind: use the access token of a session or of Connect")]
    Kind,
    /// `scope` is not text.
    #[error("the token's scope is malformed")]
    Scope,
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

    /// Checks the signature with a key of the issuer that signs tokens of this `kind`.
    ///
    /// # Errors
    ///
    /// [`TokenError::Signature`], [`Algorithm`](TokenError::Algorithm),
    /// [`NoExpiry`](TokenError::NoExpiry), and [`Malformed`](TokenError::Malformed) for a token without
    /// a subject.
    pub fn verify_signature(
        &self,
        kind: TokenKind,
        key: &StrongKey<RsaPublicKey>,
    ) -> Result<SignedClaims, TokenError> {
        let token = ALGORITHM.validator::<Payload>(key).validate(&self.parsed).map_err(
            |error| match error {
                ValidationError::AlgorithmMismatch { .. } => TokenError::Algorithm,
                ValidationError::MalformedClaims(_) => TokenError::Malformed,
                _ => TokenError::Signature,
            },
        )?;
        let payload = token.claims();
        let expires_at = payload.expiration.ok_or(TokenError::NoExpiry)?;
        let claims = Arc::new(AccessTokenClaims::from(&payload.custom));
        if claims.sub.is_empty() {
            return Err(TokenError::Malformed);
        }
        let typ = self.parsed.header().token_type.as_deref();
        Ok(SignedClaims {
            kind,
            claims,
            expires_at,
            not_before: payload.not_before,
            form: TokenForm::of(typ, &payload.custom),
        })
    }
}

impl SignedClaims {
    /// Whose key has signed.
    #[must_use]
    pub fn kind(&self) -> TokenKind {
        self.kind
    }

    /// The `sub` claim.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.claims.sub
    }

    /// Believes a token from the session cookie, where it was sealed after WorkOS gave it to this
    /// Worker. The expiry is left to [`VerifiedClaims::is_expired`], here and below: an expired token
    /// still tells whose session is to be renewed.
    ///
    /// # Errors
    ///
    /// [`TokenError::NotYetValid`], and [`Issuer`](TokenError::Issuer) for a token of Connect's or of
    /// another issuer than `WORKOS_ISSUER`.
    pub fn of_cookie(
        self,
        config: &AuthKitConfig,
        now: DateTime<Utc>,
    ) -> Result<VerifiedClaims, TokenError> {
        self.check_not_before(now)?;
        let is_other = config.issuer.is_some() && self.claims.iss != config.issuer;
        if self.kind == TokenKind::Connect || is_other {
            return Err(TokenError::Issuer);
        }
        Ok(self.believed(Grant::Everything))
    }

    /// Believes a bearer that says that it is a session of this application.
    ///
    /// # Errors
    ///
    /// [`TokenError::NotYetValid`], [`Issuer`](TokenError::Issuer), [`Kind`](TokenError::Kind),
    /// [`Client`](TokenError::Client) and [`Audience`](TokenError::Audience).
    pub fn of_session_bearer(
        self,
        config: &AuthKitConfig,
        now: DateTime<Utc>,
    ) -> Result<VerifiedClaims, TokenError> {
        self.check_not_before(now)?;
        let AccessTokenClaims { iss, sid, client_id, aud, .. } = &*self.claims;
        let is_issuer = iss.as_ref().is_some_and(|iss| is_session_issuer(iss, config));
        if self.kind != TokenKind::Session || !is_issuer {
            return Err(TokenError::Issuer);
        }
        let is_session = sid.as_ref().is_some_and(|sid| sid.starts_with(SESSION_ID_PREFIX));
        let TokenForm { typ, has_id_token_claim, scope, .. } = self.form;
        if !is_session || has_id_token_claim || typ != Typ::Jwt || scope != ClaimForm::Absent {
            return Err(TokenError::Kind);
        }
        match self.form.client_id {
            ClaimForm::Absent => {}
            ClaimForm::Sound if client_id.as_ref() == Some(&config.client_id) => {}
            _ => return Err(TokenError::Client),
        }
        let is_own =
            |aud: &String| *aud == config.client_id || config.audience.as_ref() == Some(aud);
        let is_complete = config.audience.as_ref().is_none_or(|wanted| aud.contains(wanted));
        if self.form.aud == ClaimForm::Malformed || !aud.iter().all(is_own) || !is_complete {
            return Err(TokenError::Audience);
        }
        Ok(self.believed(Grant::Everything))
    }

    /// Believes a Connect access token that is meant for `resource` at `origin`, or for the environment
    /// as a whole.
    ///
    /// # Errors
    ///
    /// [`TokenError::NotYetValid`], [`Issuer`](TokenError::Issuer), [`Kind`](TokenError::Kind),
    /// [`Audience`](TokenError::Audience) and [`Scope`](TokenError::Scope).
    pub fn of_connect_bearer(
        self,
        config: &AuthKitConfig,
        issuer: &str,
        resource: &ProtectedResource,
        origin: &RequestOrigin,
        now: DateTime<Utc>,
    ) -> Result<VerifiedClaims, TokenError> {
        self.check_not_before(now)?;
        let AccessTokenClaims { iss, aud, scopes, .. } = &*self.claims;
        if self.kind != TokenKind::Connect || iss.as_deref() != Some(issuer) {
            return Err(TokenError::Issuer);
        }
        let TokenForm { typ, has_id_token_claim, .. } = self.form;
        if has_id_token_claim || typ == Typ::Other || self.form.client_id != ClaimForm::Sound {
            return Err(TokenError::Kind);
        }
        let is_for_resource = aud.iter().any(|audience| resource.is_at(audience, origin));
        let is_for_environment = aud.iter().all(|audience| *audience == config.client_id);
        if self.form.aud != ClaimForm::Sound || !(is_for_resource || is_for_environment) {
            return Err(TokenError::Audience);
        }
        if self.form.scope == ClaimForm::Malformed {
            return Err(TokenError::Scope);
        }
        let is_limited = scopes.iter().any(|scope| resource.owns_scope(scope));
        let is_known = scopes.iter().any(|scope| resource.scopes.contains(&&**scope));
        let grant = match () {
            () if self.is_machine() => Grant::Scopes,
            () if is_for_resource && !is_limited => Grant::Everything,
            () if is_for_resource || is_known => Grant::Scopes,
            () => Grant::Nothing,
        };
        Ok(self.believed(grant))
    }

    fn is_machine(&self) -> bool {
        self.claims.client_id.as_ref() == Some(&self.claims.sub)
    }

    fn check_not_before(&self, now: DateTime<Utc>) -> Result<(), TokenError> {
        let latest = now + Duration::seconds(NOT_BEFORE_LEEWAY_SECS);
        match self.not_before {
            Some(not_before) if not_before > latest => Err(TokenError::NotYetValid),
            _ => Ok(()),
        }
    }

    fn believed(self, grant: Grant) -> VerifiedClaims {
        let Self { kind, claims, expires_at, .. } = self;
        VerifiedClaims { kind, claims, expires_at, grant }
    }
}

/// Whether WorkOS signs sessions of this application under this issuer: `WORKOS_ISSUER` where it is set,
/// else WorkOS or the base URL, with a slash at the end, with the client's path, or bare.
fn is_session_issuer(issuer: &str, config: &AuthKitConfig) -> bool {
    if let Some(expected) = &config.issuer {
        return issuer == expected;
    }
    let base_url = config.base_url.as_str().trim_end_matches('/');
    [WORKOS_ISSUER, base_url].into_iter().filter_map(|base| issuer.strip_prefix(base)).any(|path| {
        matches!(path, "" | "/")
            || path.strip_prefix("/user_management/").is_some_and(|id| id == config.client_id)
    })
}

impl VerifiedClaims {
    /// Whose token it is.
    #[must_use]
    pub fn kind(&self) -> TokenKind {
        self.kind
    }

    /// Whether the token is a machine's, by the client credentials grant: its subject is its client.
    #[must_use]
    pub fn is_machine(&self) -> bool {
        self.kind == TokenKind::Connect && self.claims.client_id.as_ref() == Some(&self.claims.sub)
    }

    /// Whether the token may be used for what `scope` stands for. A session's may be used for
    /// everything; a Connect token for what its audience and its scopes allow.
    #[must_use]
    pub fn allows(&self, scope: &str) -> bool {
        match self.grant {
            Grant::Everything => true,
            Grant::Scopes => self.claims.scopes.iter().any(|granted| granted == scope),
            Grant::Nothing => false,
        }
    }

    /// Whether the token may be used for nothing here, not even to ask who its user is.
    #[must_use]
    pub fn allows_nothing(&self) -> bool {
        self.grant == Grant::Nothing
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

#[cfg(test)]
mod tests;
