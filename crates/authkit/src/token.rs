//! Verifies access tokens: JWTs (RFC 7519) signed with RS256 (RFC 7518).
//!
//! The type shows how far a token is checked: an [`UntrustedToken`] is well-formed, [`SignedClaims`] have
//! a valid signature, and only the three checks of [`SignedClaims`] return [`VerifiedClaims`]. RS256 is the
//! only algorithm, so that a token cannot choose another (RFC 8725, section 3.1). A token with an unknown
//! critical header is refused (RFC 7515, section 4.1.11).
//!
//! The signature alone is not sufficient: one key of WorkOS signs the session tokens, the Connect access
//! tokens and the ID tokens of every application of the environment. The `iss` claim separates session
//! tokens from Connect tokens; further checks depend on where the token comes from:
//!
//! - [`SignedClaims::of_cookie`]: a token from the session cookie. WorkOS gave it to this Worker, which
//!   sealed it.
//! - [`SignedClaims::of_session_bearer`]: the claims must name a session of this application.
//! - [`SignedClaims::of_connect_bearer`]: the token must be a Connect access token for this Worker.

mod claims;
mod signature;

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Duration, Utc};
use edge_host::{RsaPublicKey, SignatureError, SignatureVerifier, json::Malformed};
use jwt_compact::{AlgorithmExt, UntrustedToken as ParsedToken, ValidationError};
use serde::{
    Deserialize,
    de::{DeserializeOwned, IgnoredAny},
};
use serde_json::Value;
use thiserror::Error;

pub use self::claims::AccessTokenClaims;
use self::{
    claims::{ClaimForm, Payload, TokenForm, Typ, text},
    signature::{ALGORITHM, CheckedSignature},
};
use crate::{
    config::AuthKitConfig, connect::ProtectedResource, origin::RequestOrigin,
    workos::api_keys::ORGANIZATION_ID_PREFIX,
};

edge_host::opaque_debug!(UntrustedToken<'a>);

/// Well above the size of a token with 8 KB of permissions. A longer token is not decoded.
pub(super) const TOKEN_MAX_BYTES: usize = 32 * 1024;
/// WorkOS's key ids have about 30 characters.
const KID_MAX_BYTES: usize = 256;
/// The leeway for `nbf` (RFC 7519, section 4.1.5: "no more than a few minutes"). NTP keeps the clocks of
/// WorkOS and Cloudflare within a few seconds of each other.
const NOT_BEFORE_LEEWAY_SECS: i64 = 10;
/// The issuer of session tokens, also of those that an emulator signs.
const WORKOS_ISSUER: &str = "https://api.workos.com";
/// The prefix of WorkOS's session ids. The `sid` of a Connect token begins with `app_consent_`.
const SESSION_ID_PREFIX: &str = "session_";

/// A well-formed token that names a key. Its signature is not checked.
pub struct UntrustedToken<'a> {
    parsed: ParsedToken<'a, HeaderExtensions>,
    /// The compact serialization.
    text: &'a str,
    kid: String,
}

/// The issuer of a token, by its `iss` claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// WorkOS issued the token for a session.
    Session,
    /// AuthKit Connect issued the token for an OAuth application, an MCP client or a machine.
    Connect,
}

#[derive(Debug, Clone, Deserialize)]
struct HeaderExtensions {
    #[serde(default)]
    crit: Option<IgnoredAny>,
}

/// The claims that identify a session and its age.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SessionClaims {
    /// `sid`: the session's id at WorkOS.
    pub session_id: Option<String>,
    /// `iat`: when WorkOS issued the token.
    pub issued_at: Option<DateTime<Utc>>,
    /// `exp`: when the token expires.
    pub expires_at: Option<DateTime<Utc>>,
}

/// A token's second part, decoded: all claims as JSON. `Debug` shows none, because an application's own may be
/// anything.
#[derive(Clone, PartialEq)]
struct RawClaims(Arc<[u8]>);

edge_host::opaque_debug!(RawClaims);

/// Claims with a valid signature. They need further checks, because the key signs other kinds of tokens
/// too.
#[derive(Debug, Clone)]
pub struct SignedClaims {
    kind: TokenKind,
    claims: Arc<AccessTokenClaims>,
    payload: RawClaims,
    expires_at: DateTime<Utc>,
    not_before: Option<DateTime<Utc>>,
    form: TokenForm,
}

/// Claims that this Worker accepts. The token may have expired: see [`is_expired`](Self::is_expired).
#[derive(Debug, Clone, PartialEq)]
pub struct VerifiedClaims {
    kind: TokenKind,
    claims: Arc<AccessTokenClaims>,
    payload: RawClaims,
    expires_at: DateTime<Utc>,
    granted: Granted,
    /// Whether the permissions of the user's role limit it.
    is_limited_by_role: bool,
}

/// The access that a token has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Granted {
    /// All of the user's access.
    Everything,
    /// The access that the token's scopes name.
    Scopes,
    /// No access: the user signed in to the client, and granted it no scope of this resource.
    Nothing,
}

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The token is not a JWT, is too long, or lacks a required claim.
    #[error("the token is malformed")]
    Malformed,
    /// The algorithm is not RS256.
    #[error("the token is not signed with RS256")]
    Algorithm,
    /// The token has an unknown critical header.
    #[error("the token has a critical header that is not understood")]
    CriticalHeader,
    /// The token names no key, or a key that is not in the issuer's key set.
    #[error("the token is not signed by a key of the issuer")]
    UnknownKey,
    /// The signature does not match the key.
    #[error("the token's signature is wrong")]
    Signature,
    /// The `exp` claim is missing.
    #[error("the token has no expiry")]
    NoExpiry,
    /// The `exp` claim is in the past.
    #[error("the token has expired")]
    Expired,
    /// The `nbf` claim is in the future.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// The `iss` claim is not the expected issuer.
    #[error("the token has another issuer")]
    Issuer,
    /// The `aud` claim does not name this application or resource.
    #[error("the token is meant for another audience")]
    Audience,
    /// The `client_id` claim names another application.
    #[error("the token belongs to another application")]
    Client,
    /// The signature is valid, but the token is not an access token of the expected kind: for example an
    /// ID token.
    #[error("the token is of another kind: use the access token of a session or of Connect")]
    Kind,
    /// The `scope` claim is not a string.
    #[error("the token's scope is malformed")]
    Scope,
}

impl TokenError {
    /// Its name in events.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Algorithm => "algorithm",
            Self::CriticalHeader => "critical_header",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::NoExpiry => "no_expiry",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Client => "client",
            Self::Kind => "kind",
            Self::Scope => "scope",
        }
    }
}

/// Why a token has no signed claims.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SignatureCheckError {
    /// The token is refused.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The host cannot verify signatures, so the token is neither valid nor invalid.
    #[error(transparent)]
    Host(#[from] SignatureError),
}

impl<'a> UntrustedToken<'a> {
    /// Parses a token's header and checks its form.
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
        if parsed.algorithm() != ALGORITHM {
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

    /// The `kid` header: the id of the key that the token claims to be signed with.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The unverified session id. Use it only to ask WorkOS to end the session.
    #[must_use]
    pub fn session_id_unverified(&self) -> Option<String> {
        self.session_claims_unverified()?.session_id
    }

    /// The unverified claims that identify a session and its age. Use them only for a token that this Worker has
    /// sealed.
    #[must_use]
    pub fn session_claims_unverified(&self) -> Option<SessionClaims> {
        let claims = self.parsed.deserialize_claims_unchecked::<Payload>().ok()?;
        Some(SessionClaims {
            session_id: text(&claims.custom, "sid"),
            issued_at: claims.issued_at,
            expires_at: claims.expiration,
        })
    }

    /// The unverified issuer. Use it only to choose the key set that verifies the token.
    ///
    /// # Errors
    ///
    /// [`TokenError::Malformed`].
    #[inline(never)]
    pub fn issuer_unverified(&self) -> Result<Option<String>, TokenError> {
        /// serde refuses a duplicate member, so that no two parsers read different values.
        #[derive(Deserialize)]
        struct Issuer {
            iss: Option<Value>,
        }
        let Issuer { iss } =
            serde_json::from_slice(&self.payload()?).map_err(|_| TokenError::Malformed)?;
        Ok(iss.as_ref().and_then(Value::as_str).map(str::to_owned))
    }

    /// The second part of the token, decoded: JSON.
    fn payload(&self) -> Result<Vec<u8>, TokenError> {
        // `parse` has checked that the token has three parts.
        let payload = self.text.split('.').nth(1).unwrap_or_default();
        URL_SAFE_NO_PAD.decode(payload).map_err(|_| TokenError::Malformed)
    }

    /// Checks the signature with a key of the issuer that signs tokens of this `kind`: `verifier` checks the bytes,
    /// and `jwt-compact` the token.
    ///
    /// # Errors
    ///
    /// [`TokenError::Signature`], [`Algorithm`](TokenError::Algorithm),
    /// [`NoExpiry`](TokenError::NoExpiry), [`Malformed`](TokenError::Malformed) for a token without
    /// a subject, and [`Kind`](TokenError::Kind) for one whose subject is an organization; [`SignatureCheckError::Host`]
    /// when the host cannot verify signatures.
    pub async fn verify_signature(
        &self,
        kind: TokenKind,
        key: &RsaPublicKey,
        verifier: &dyn SignatureVerifier,
    ) -> Result<SignedClaims, SignatureCheckError> {
        // `parse` has checked that the token has three parts.
        let (signed, _) = self.text.rsplit_once('.').unwrap_or_default();
        let signature = self.parsed.signature_bytes();
        let checked = CheckedSignature::check(signed.as_bytes(), signature, key, verifier).await?;
        Ok(self.accept_signature(kind, &checked)?)
    }

    fn accept_signature(
        &self,
        kind: TokenKind,
        checked: &CheckedSignature<'_>,
    ) -> Result<SignedClaims, TokenError> {
        let token =
            checked.validator::<Payload>(&()).validate(&self.parsed).map_err(
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
        // The subject of an API key that an organization owns.
        if claims.sub.starts_with(ORGANIZATION_ID_PREFIX) {
            return Err(TokenError::Kind);
        }
        let typ = self.parsed.header().token_type.as_deref();
        Ok(SignedClaims {
            kind,
            claims,
            payload: RawClaims(self.payload()?.into()),
            expires_at,
            not_before: payload.not_before,
            form: TokenForm::of(typ, &payload.custom),
        })
    }
}

impl SignedClaims {
    /// The issuer whose key signed the token.
    #[must_use]
    pub fn kind(&self) -> TokenKind {
        self.kind
    }

    /// The `sub` claim.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.claims.sub
    }

    /// Accepts a token from the session cookie, which this Worker sealed when WorkOS issued the token. A token with
    /// any permission that has the prefix of `resource` is limited to its permissions. This
    /// check and the next two leave the expiry to [`VerifiedClaims::is_expired`]: an expired token still
    /// identifies the session to renew.
    ///
    /// # Errors
    ///
    /// [`TokenError::NotYetValid`], and [`Issuer`](TokenError::Issuer) for a token of Connect's or of
    /// another issuer than `WORKOS_ISSUER`.
    pub fn of_cookie(
        &self,
        config: &AuthKitConfig,
        resource: &ProtectedResource,
        now: DateTime<Utc>,
    ) -> Result<VerifiedClaims, TokenError> {
        self.check_not_before(now)?;
        let is_other = config.issuer.is_some() && self.claims.iss != config.issuer;
        if self.kind == TokenKind::Connect || is_other {
            return Err(TokenError::Issuer);
        }
        Ok(self.accept(Granted::Everything, resource))
    }

    /// Accepts a bearer token that names a session of this application, with the limits of
    /// [`of_cookie`](Self::of_cookie).
    ///
    /// # Errors
    ///
    /// [`TokenError::NotYetValid`], [`Issuer`](TokenError::Issuer), [`Kind`](TokenError::Kind),
    /// [`Client`](TokenError::Client) and [`Audience`](TokenError::Audience).
    pub fn of_session_bearer(
        &self,
        config: &AuthKitConfig,
        resource: &ProtectedResource,
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
        Ok(self.accept(Granted::Everything, resource))
    }

    /// Accepts a Connect access token whose audience is `resource` at `origin`, or the environment.
    ///
    /// # Errors
    ///
    /// [`TokenError::NotYetValid`], [`Issuer`](TokenError::Issuer), [`Kind`](TokenError::Kind),
    /// [`Audience`](TokenError::Audience) and [`Scope`](TokenError::Scope).
    pub fn of_connect_bearer(
        &self,
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
        let granted = match () {
            () if self.is_machine() => Granted::Scopes,
            () if is_for_resource && !is_limited => Granted::Everything,
            () if is_for_resource || is_known => Granted::Scopes,
            () => Granted::Nothing,
        };
        Ok(self.accept(granted, resource))
    }

    fn is_machine(&self) -> bool {
        is_machine(self.kind, &self.claims)
    }

    fn check_not_before(&self, now: DateTime<Utc>) -> Result<(), TokenError> {
        let latest = now + Duration::seconds(NOT_BEFORE_LEEWAY_SECS);
        match self.not_before {
            Some(not_before) if not_before > latest => Err(TokenError::NotYetValid),
            _ => Ok(()),
        }
    }

    /// A role limits its user as soon as it has any permission of this resource.
    fn accept(&self, granted: Granted, resource: &ProtectedResource) -> VerifiedClaims {
        let Self { kind, claims, payload, expires_at, .. } = self;
        let has_permissions = claims.permissions.iter().any(|it| resource.owns_permission(it));
        VerifiedClaims {
            kind: *kind,
            claims: Arc::clone(claims),
            payload: payload.clone(),
            expires_at: *expires_at,
            granted,
            is_limited_by_role: has_permissions && !self.is_machine(),
        }
    }
}

/// The subject of a machine's token is its client. A session is never a machine's.
fn is_machine(kind: TokenKind, claims: &AccessTokenClaims) -> bool {
    kind == TokenKind::Connect && claims.client_id.as_ref() == Some(&claims.sub)
}

/// Whether WorkOS issues session tokens of this application as `issuer`: `WORKOS_ISSUER` if it is set, or
/// else WorkOS or the base URL, alone, with a trailing slash or with the client's path.
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
    /// The issuer of the token.
    #[must_use]
    pub fn kind(&self) -> TokenKind {
        self.kind
    }

    /// Whether a machine got the token by the client credentials grant. Its subject is then its client.
    #[must_use]
    pub fn is_machine(&self) -> bool {
        is_machine(self.kind, &self.claims)
    }

    /// Whether the token grants `scope`. For a Connect token, the audience and the scopes decide; a session token
    /// grants every scope. If the user's role has any permission of this resource, it must have one of the same name,
    /// too.
    #[must_use]
    pub fn allows(&self, scope: &str) -> bool {
        let is_granted = match self.granted {
            Granted::Everything => true,
            Granted::Scopes => self.claims.scopes.iter().any(|granted| granted == scope),
            Granted::Nothing => false,
        };
        is_granted && !self.lacks_permission(scope)
    }

    /// Whether the permissions of the user's role refuse `scope`, whatever the token grants.
    #[must_use]
    pub fn lacks_permission(&self, scope: &str) -> bool {
        self.is_limited_by_role && self.claims.permissions.iter().all(|it| it != scope)
    }

    /// Whether the token grants no access at all, not even to its user's profile.
    #[must_use]
    pub fn allows_nothing(&self) -> bool {
        self.granted == Granted::Nothing
    }

    /// The claims that WorkOS documents.
    #[must_use]
    pub fn claims(&self) -> &AccessTokenClaims {
        &self.claims
    }

    /// Reads claims into `T`, such as those that a JWT template adds. Claims that `T` does not name are skipped.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if the claims do not have the form of `T`.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Malformed> {
        serde_json::from_slice(&self.payload.0).map_err(|_| Malformed)
    }

    /// The `exp` claim.
    #[must_use]
    pub fn expires_at(&self) -> DateTime<Utc> {
        self.expires_at
    }

    /// Whether the token has expired. There is no leeway: WorkOS's and Cloudflare's clocks agree, and the
    /// layer renews an expired session.
    #[must_use]
    pub fn is_expired(&self, now: DateTime<Utc>) -> bool {
        now >= self.expires_at
    }
}

#[cfg(test)]
mod tests;
