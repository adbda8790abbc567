//! Who is calling: the [`CurrentUser`] extractor. A handler that takes one is protected; a handler
//! that does not has nobody whose data it could reach.
//!
//! A caller shows the session cookie or `Authorization: Bearer` (RFC 6750); with both, the header
//! counts, and for a [`BearerUser`] nothing else. A session whose access token has expired is renewed on
//! the way ([`super::refresh`]), and the answer carries the new one ([`super::carry`]). The three
//! answers stay apart ([`super::challenge`]): refused is 401 (a browser is sent to sign in), and what
//! could not be told is 503, never a sign-out.

use std::sync::Arc;

use axum::{
    extract::{FromRef, FromRequestParts},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use http::{HeaderValue, header, request::Parts};
use thiserror::Error;

use super::{
    AuthKit, VerifyError,
    carry::SessionChange,
    challenge::{CallerError, Challenge, rejection},
    client::{INVALID_GRANT, Requester},
    cookie::RequestCookies,
    origin::OwnOrigin,
    refresh::{RefreshError, Renewed},
    remembered::KnownSession,
    session::{Impersonator, Session, User},
    token::{TokenError, TokenKind, VerifiedClaims},
};
use crate::{error::AppError, runtime::WaitUntil};

/// How many rotations a session that comes late may be behind: more than happen while a spent
/// session is remembered.
const MAX_SUCCESSORS: usize = 1000;
/// What is waited when WorkOS's answer is of no use.
const RETRY_AFTER_SECS: u32 = 5;

/// The signed-in caller.
#[derive(Debug, Clone)]
pub struct CurrentUser {
    claims: VerifiedClaims,
    /// What the cookie held, or what came after it; bearer tokens come without.
    session: Option<Arc<Session>>,
}

/// The caller by the `Authorization` header alone: a route that takes one is out of reach of whatever
/// a browser sends by itself, and so of other sites' pages.
#[derive(Debug, Clone)]
pub struct BearerUser(pub CurrentUser);

impl CurrentUser {
    /// The verified claims.
    #[must_use]
    pub fn claims(&self) -> &VerifiedClaims {
        &self.claims
    }

    /// The user's id at WorkOS, the token's `sub`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.claims.claims().sub
    }

    /// What WorkOS told of the user at sign-in; bearer tokens come without. The cookie is only
    /// believed where it is about the token's subject.
    #[must_use]
    pub fn user(&self) -> Option<&User> {
        self.session.as_ref()?.user.as_ref().filter(|user| user.id == self.id())
    }

    /// Who acts as the user, if someone does: the signed word. Where the token gives no reason, the
    /// one that WorkOS told with it at sign-in.
    #[must_use]
    pub fn impersonator(&self) -> Option<Impersonator> {
        let signed = self.claims.claims().impersonator.clone()?;
        let told = self.session.as_ref().and_then(|session| session.impersonator.as_ref());
        let told = told.filter(|told| signed.reason.is_none() && told.email == signed.email);
        Some(told.cloned().unwrap_or(signed))
    }

    /// Whether the caller may do what `scope`, one of `known_scopes`, stands for. A machine may do what
    /// its token's scope names. A user's own session may do anything, and so may a client that the
    /// user let in without a word of these scopes; one that was let in for some of them is held to
    /// those.
    #[must_use]
    pub fn has_scope(&self, scope: &str, known_scopes: &[&str]) -> bool {
        let granted = &self.claims.claims().scopes;
        let is_limited = self.claims.is_machine()
            || self.claims.kind() == TokenKind::Connect
                && granted.iter().any(|granted| known_scopes.contains(&&**granted));
        !is_limited || granted.iter().any(|granted| granted == scope)
    }

    /// Whether the caller came with the session cookie, and not with a token.
    #[must_use]
    pub fn has_session(&self) -> bool {
        self.session.is_some()
    }

    async fn identify(
        authkit: &AuthKit,
        parts: &Parts,
        origin: &OwnOrigin,
    ) -> Result<Self, CallerError> {
        if parts.headers.contains_key(header::AUTHORIZATION) {
            return Self::identify_bearer(authkit, parts, origin).await;
        }
        let cookies = RequestCookies::from_headers(&parts.headers);
        let cookie = authkit.config.cookie.session_cookie(origin.is_secure());
        let candidates = cookie.read(&cookies);
        if candidates.is_empty() {
            return Err(CallerError::NoCredentials);
        }
        if !parts.method.is_safe() && origin.is_cross_origin(&parts.headers) {
            return Err(CallerError::CrossOrigin);
        }
        // More than one when another scope of the name is left over, or was set by another host of
        // the domain. One that is over hides no other, and one that needs nothing comes first.
        let mut opened: Vec<KnownSession> =
            candidates.iter().filter_map(|sealed| authkit.open_session(sealed)).collect();
        if opened.len() > 1 {
            for index in 0..opened.len() {
                let token = opened[index].session.access_token.expose();
                if authkit.verify(token, wait_until(parts)).await.is_ok() {
                    opened.swap(0, index);
                    break;
                }
            }
        }
        let change = parts.extensions.get::<SessionChange>().cloned().unwrap_or_default();
        let mut refusal = CallerError::Session;
        for opened in opened {
            // What became of the one before is of no interest any more.
            change.reset();
            match Self::from_session(authkit, opened, &change, parts).await {
                Err(error @ CallerError::Session) => refusal = error,
                answer => return answer,
            }
        }
        Err(refusal)
    }

    async fn identify_bearer(
        authkit: &AuthKit,
        parts: &Parts,
        origin: &OwnOrigin,
    ) -> Result<Self, CallerError> {
        let value = parts.headers.get(header::AUTHORIZATION).ok_or(CallerError::NoCredentials)?;
        let token = bearer_token(value).ok_or(CallerError::NotABearer)?;
        let verified = authkit.verify_bearer(token, origin, wait_until(parts)).await;
        let claims = verified.map_err(|error| match error {
            VerifyError::Token(error) => CallerError::Token(error),
            VerifyError::Unavailable(error) => RefreshError::from(error).into(),
        })?;
        Ok(Self { claims, session: None })
    }

    /// The user of a session, which is renewed on the way if it must be.
    async fn from_session(
        authkit: &AuthKit,
        opened: KnownSession,
        change: &SessionChange,
        parts: &Parts,
    ) -> Result<Self, CallerError> {
        let KnownSession { session, by_previous_password } = opened;
        let known = match authkit
            .verify_expired(session.access_token.expose(), wait_until(parts))
            .await
        {
            Ok(claims) if !claims.is_expired(authkit.clock.now()) => {
                if by_previous_password {
                    change.set(Arc::clone(&session));
                }
                return Ok(Self { claims, session: Some(session) });
            }
            Ok(claims) => Some(claims),
            // Signed by a key that has been retired since. The seal says that AuthKit gave it to
            // us; whether the session still lives is for AuthKit to say.
            Err(VerifyError::Token(TokenError::UnknownKey)) => None,
            Err(VerifyError::Token(_)) => return Err(CallerError::Session),
            Err(VerifyError::Unavailable(error)) => return Err(RefreshError::from(error).into()),
        };
        let expires_at = known.as_ref().map(VerifiedClaims::expires_at);
        let user_id = match (&known, &session.user) {
            (Some(claims), _) => claims.claims().sub.clone(),
            (None, Some(user)) => user.id.clone(),
            // Whose it is could not be told from what comes after it.
            (None, None) => return Err(CallerError::Session),
        };
        let renewed = authkit.renew(&session, &user_id, expires_at, None, parts).await;
        let (renewed, claims) = change.end_if_ended(renewed)?;
        change.set(Arc::clone(&renewed));
        Ok(Self { claims, session: Some(renewed) })
    }

    /// Goes on in another organization, for this request and, by its answer, for the browser.
    ///
    /// # Errors
    ///
    /// [`SwitchError`].
    pub async fn switch_organization(
        self,
        authkit: &AuthKit,
        organization_id: &str,
        parts: &Parts,
    ) -> Result<Self, SwitchError> {
        let session = self.session.as_ref().ok_or(SwitchError::NoSession)?;
        let change = parts.extensions.get::<SessionChange>().cloned().unwrap_or_default();
        let expires_at = Some(self.claims.expires_at());
        let user_id = self.id();
        let renew = async |organization_id| {
            authkit.renew(session, user_id, expires_at, organization_id, parts).await
        };
        match renew(Some(organization_id)).await {
            Ok((renewed, claims)) => {
                change.set(Arc::clone(&renewed));
                Ok(Self { claims, session: Some(renewed) })
            }
            // Of the organization, or of the session? Without the organization WorkOS tells.
            Err(RefreshError::Ended) => {
                let (renewed, _) = change.end_if_ended(renew(None).await)?;
                change.set(renewed);
                let code = INVALID_GRANT.to_owned();
                Err(RefreshError::Refused { code, description: None }.into())
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Why the session does not go on in another organization.
#[derive(Debug, Error)]
pub enum SwitchError {
    /// The caller came with a bearer token, which is for one organization.
    #[error("the caller has no session")]
    NoSession,
    /// WorkOS did not renew the session into it.
    #[error(transparent)]
    Refresh(#[from] RefreshError),
}

impl AuthKit {
    /// Lets only those on who may do what `scope` stands for.
    ///
    /// # Errors
    ///
    /// 403 `insufficient_scope`.
    pub fn require_scope(
        &self,
        caller: &CurrentUser,
        scope: &str,
        challenge: &Challenge,
    ) -> Result<(), AppError> {
        if caller.has_scope(scope, self.resource.scopes) {
            return Ok(());
        }
        Err(challenge.insufficient_scope(scope))
    }

    /// The session that comes after `session` of this user's, with its claims: the newest one there
    /// is, if others have renewed it before.
    async fn renew(
        &self,
        session: &Session,
        user_id: &str,
        expires_at: Option<DateTime<Utc>>,
        organization_id: Option<&str>,
        parts: &Parts,
    ) -> Result<(Arc<Session>, VerifiedClaims), RefreshError> {
        let requester = Requester::from_headers(&parts.headers);
        let wait_until = wait_until(parts);
        let mut session = Arc::new(session.clone());
        for _ in 0..MAX_SUCCESSORS {
            let Renewed { session: newer, is_fresh } = self
                .refresher
                .refresh(&session, expires_at, organization_id, &requester, wait_until)
                .await?;
            session = newer;
            let reason = match self.verify(session.access_token.expose(), wait_until).await {
                Ok(claims) if claims.claims().sub == user_id => return Ok((session, claims)),
                // Nothing that asking again would change: whoever it is must sign in.
                Ok(_) => {
                    log::error!("a session was renewed into another user's");
                    let code = "another_user".to_owned();
                    return Err(RefreshError::Refused { code, description: None });
                }
                // Someone renewed it long ago: what came after it may be good.
                Err(VerifyError::Token(TokenError::Expired)) if !is_fresh => continue,
                Err(VerifyError::Unavailable(error)) => return Err(error.into()),
                Err(VerifyError::Token(error)) => format!("its own token is refused: {error}"),
            };
            return Err(RefreshError::Unavailable { reason, retry_after_secs: RETRY_AFTER_SECS });
        }
        Err(RefreshError::Unavailable {
            reason: "no end of sessions that have expired".to_owned(),
            retry_after_secs: RETRY_AFTER_SECS,
        })
    }
}

fn wait_until(parts: &Parts) -> Option<&WaitUntil> {
    parts.extensions.get()
}

/// `Bearer` in any case (RFC 9110, section 11.1), then the token.
fn bearer_token(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

impl<S> FromRequestParts<S> for CurrentUser
where
    Arc<AuthKit>: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let authkit = Arc::<AuthKit>::from_ref(state);
        let origin = OwnOrigin::from_request_parts(parts, state)
            .await
            .map_err(IntoResponse::into_response)?;
        Self::identify(&authkit, parts, &origin)
            .await
            .map_err(|error| rejection(&error, parts, &authkit, &origin))
    }
}

impl<S> FromRequestParts<S> for BearerUser
where
    Arc<AuthKit>: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let authkit = Arc::<AuthKit>::from_ref(state);
        let origin = OwnOrigin::from_request_parts(parts, state)
            .await
            .map_err(IntoResponse::into_response)?;
        CurrentUser::identify_bearer(&authkit, parts, &origin)
            .await
            .map(Self)
            .map_err(|error| rejection(&error, parts, &authkit, &origin))
    }
}
