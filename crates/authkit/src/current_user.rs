//! Who is calling: the [`CurrentUser`] extractor. A handler that takes one is protected; a handler
//! that does not has nobody whose data it could reach.
//!
//! A caller shows the session cookie or `Authorization: Bearer` (RFC 6750); with both, the header
//! counts, and for a [`BearerUser`] nothing else. A session whose access token has expired is renewed on
//! the way ([`super::refresh`]), and the answer carries the new one ([`super::layer`]). The three
//! answers stay apart ([`super::rejection`]): refused is 401 (a browser is sent to sign in), and what
//! could not be told is 503, never a sign-out.

use std::sync::Arc;

use axum::{
    extract::{FromRef, FromRequestParts},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderValue, header, request::Parts};
use thiserror::Error;

use super::{
    AuthKit, VerifyError,
    cookie::RequestCookies,
    isolate_cache::CachedSession,
    layer::SessionUpdate,
    origin::RequestOrigin,
    refresh::{RefreshError, Renewed},
    rejection::{CallerError, Challenge, rejection},
    session::{Impersonator, Session, User},
    token::{TokenError, VerifiedClaims},
    workos::{ClientInfo, INVALID_GRANT},
};
use crate::error::AppError;
use edge_host::WaitUntil;

/// Most expired sessions of one request that are renewed. Two are there when a copy for another domain
/// is left over; each costs an exchange at WorkOS, and a request has room for eighty.
const MAX_RENEWALS: usize = 2;
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

/// A caller whose token may be good for nothing here: a route that takes one must ask for a scope, and
/// names that scope where the token lacks it.
#[derive(Debug, Clone)]
pub struct UnscopedUser(CurrentUser);

impl UnscopedUser {
    /// The caller, where the token may be used for what `scope` stands for.
    ///
    /// # Errors
    ///
    /// 403 `insufficient_scope`.
    pub fn require_scope(
        self,
        scope: &str,
        challenge: &Challenge,
    ) -> Result<CurrentUser, AppError> {
        self.0.require_scope(scope, challenge)?;
        Ok(self.0)
    }
}

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

    /// Lets only a caller on whose token may be used for what `scope` stands for.
    ///
    /// # Errors
    ///
    /// 403 `insufficient_scope`.
    pub fn require_scope(&self, scope: &str, challenge: &Challenge) -> Result<(), AppError> {
        if self.claims.allows(scope) {
            return Ok(());
        }
        Err(challenge.insufficient_scope(scope))
    }

    /// Whether the caller came with the session cookie, and not with a token.
    #[must_use]
    pub fn has_session(&self) -> bool {
        self.session.is_some()
    }

    async fn identify(
        authkit: &AuthKit,
        parts: &Parts,
        origin: &RequestOrigin,
    ) -> Result<Self, CallerError> {
        if has_bearer(&parts.headers) {
            return Self::identify_bearer(authkit, parts, origin).await;
        }
        let cookies = RequestCookies::from_headers(&parts.headers);
        let cookie = authkit.config.cookie.session_cookie(origin);
        if !cookie.is_sent(&cookies) {
            return Err(CallerError::NoCredentials);
        }
        if !parts.method.is_safe() && origin.is_cross_origin(&parts.headers) {
            return Err(CallerError::CrossOrigin);
        }
        let change = parts.extensions.get::<SessionUpdate>().cloned().unwrap_or_default();
        // More than one when a copy for another domain is left over, or another host of the domain has
        // planted one. A session that has ended hides no other, and one that needs no renewal wins.
        let mut expired = Vec::new();
        let mut refusal = CallerError::Session;
        for known in cookie.read(&cookies, |sealed| authkit.open_session(sealed)) {
            match Standing::of(authkit, &known, parts).await {
                Ok(Standing::Good(claims)) => {
                    change.reset();
                    if known.by_previous_password || cookie.is_under_former_name(&cookies) {
                        change.set(Arc::clone(&known.session));
                    }
                    return Ok(Self { claims, session: Some(known.session) });
                }
                Ok(Standing::Expired { user_id, expires_at }) => {
                    expired.push((known.session, user_id, expires_at));
                }
                Ok(Standing::SignedOut) => change.end(),
                Ok(Standing::Refused) => {}
                Err(unavailable) => refusal = unavailable,
            }
        }
        let is_one_untried = expired.len() > MAX_RENEWALS;
        for (session, user_id, expires_at) in expired.into_iter().take(MAX_RENEWALS) {
            match authkit.renew(&session, &user_id, expires_at, None, parts).await {
                Ok((renewed, claims)) => {
                    change.set(Arc::clone(&renewed));
                    return Ok(Self { claims, session: Some(renewed) });
                }
                // The response of the sign-out has cleared the cookie: a cookie that the browser holds by
                // now is newer.
                Err(RefreshError::Ended) if authkit.refresher.is_over(&session) => {}
                Err(RefreshError::Ended) => change.end(),
                Err(error) => match error.into() {
                    CallerError::Session => {}
                    unavailable => refusal = unavailable,
                },
            }
        }
        if is_one_untried || !matches!(refusal, CallerError::Session) {
            // One of the sessions may be alive: the browser keeps its cookies.
            change.reset();
        }
        Err(refusal)
    }

    async fn identify_bearer(
        authkit: &AuthKit,
        parts: &Parts,
        origin: &RequestOrigin,
    ) -> Result<Self, CallerError> {
        let value = bearer_value(&parts.headers).ok_or(CallerError::NoCredentials)?;
        let token = bearer_token(value).ok_or(CallerError::NotABearer)?;
        let verified = authkit.verify_bearer(token, origin, wait_until(parts)).await;
        let claims = verified.map_err(|error| match error {
            VerifyError::Token(error) => CallerError::Token(error),
            VerifyError::Unavailable(error) => RefreshError::from(error).into(),
        })?;
        Ok(Self { claims, session: None })
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
        let change = parts.extensions.get::<SessionUpdate>().cloned().unwrap_or_default();
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

/// How far a session from a cookie is good.
enum Standing {
    /// Its access token is valid now.
    Good(VerifiedClaims),
    /// Its access token is not valid any more: WorkOS decides whether the session lives.
    Expired {
        /// The user that the renewed session must have.
        user_id: String,
        /// `None` for a token that cannot be verified.
        expires_at: Option<DateTime<Utc>>,
    },
    /// Its user has signed out.
    SignedOut,
    /// Its access token is no token of this application's.
    Refused,
}

impl Standing {
    /// # Errors
    ///
    /// [`CallerError::Unavailable`] when WorkOS's keys cannot be fetched.
    async fn of(
        authkit: &AuthKit,
        known: &CachedSession,
        parts: &Parts,
    ) -> Result<Self, CallerError> {
        let session = &known.session;
        let verified =
            authkit.verify_ignoring_expiry(session.access_token.expose(), wait_until(parts)).await;
        match verified {
            Ok(claims) if authkit.refresher.is_signed_out(claims.claims().sid.as_deref()) => {
                Ok(Self::SignedOut)
            }
            Ok(claims) if !claims.is_expired(authkit.clock.now()) => Ok(Self::Good(claims)),
            Ok(claims) => Ok(Self::Expired {
                user_id: claims.claims().sub.clone(),
                expires_at: Some(claims.expires_at()),
            }),
            // Signed by a key that has been retired since. The seal says that AuthKit gave it to us;
            // WorkOS says whether the session still lives. Without a user in the cookie, a renewed
            // session could not be told from another user's.
            Err(VerifyError::Token(TokenError::UnknownKey)) => {
                let user = session.user.as_ref();
                Ok(user.map_or(Self::Refused, |user| Self::Expired {
                    user_id: user.id.clone(),
                    expires_at: None,
                }))
            }
            Err(VerifyError::Token(_)) => Ok(Self::Refused),
            Err(VerifyError::Unavailable(error)) => Err(RefreshError::from(error).into()),
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
        let requester = ClientInfo::from_headers(&parts.headers);
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

/// Whether the request carries a bearer token, or an `Authorization` header that tries to be one. Other
/// schemes are not for this application: a password in front of a staging site is one of them.
#[must_use]
pub fn has_bearer(headers: &HeaderMap) -> bool {
    bearer_value(headers).is_some()
}

fn bearer_value(headers: &HeaderMap) -> Option<&HeaderValue> {
    let scheme = |value: &HeaderValue| {
        let scheme = value.as_bytes().split(|byte| *byte == b' ').next().unwrap_or_default();
        scheme.eq_ignore_ascii_case(b"bearer")
    };
    headers.get_all(header::AUTHORIZATION).iter().find(|value| scheme(value))
}

/// `Bearer` in any case (RFC 9110, section 11.1), then the token.
fn bearer_token(value: &HeaderValue) -> Option<&str> {
    let (_scheme, token) = value.to_str().ok()?.split_once(' ')?;
    Some(token.trim()).filter(|token| !token.is_empty())
}

impl<S> FromRequestParts<S> for UnscopedUser
where
    Arc<AuthKit>: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let authkit = Arc::<AuthKit>::from_ref(state);
        let origin = RequestOrigin::from_request_parts(parts, state)
            .await
            .map_err(IntoResponse::into_response)?;
        CurrentUser::identify(&authkit, parts, &origin)
            .await
            .map(Self)
            .map_err(|error| rejection(&error, parts, &authkit, &origin))
    }
}

impl<S> FromRequestParts<S> for CurrentUser
where
    Arc<AuthKit>: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let UnscopedUser(user) = UnscopedUser::from_request_parts(parts, state).await?;
        require_any_scope(user, parts, state).await
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
        let origin = RequestOrigin::from_request_parts(parts, state)
            .await
            .map_err(IntoResponse::into_response)?;
        let user = CurrentUser::identify_bearer(&authkit, parts, &origin)
            .await
            .map_err(|error| rejection(&error, parts, &authkit, &origin))?;
        require_any_scope(user, parts, state).await.map(Self)
    }
}

/// Lets only a caller on whose token may be used for something here.
async fn require_any_scope<S>(
    user: CurrentUser,
    parts: &mut Parts,
    state: &S,
) -> Result<CurrentUser, Response>
where
    Arc<AuthKit>: FromRef<S>,
    S: Send + Sync,
{
    if !user.claims.allows_nothing() {
        return Ok(user);
    }
    let known_scopes = Arc::<AuthKit>::from_ref(state).resource.scopes;
    let challenge = Challenge::from_request_parts(parts, state).await;
    Err(challenge.map_or_else(IntoResponse::into_response, |challenge| {
        challenge.no_scope(known_scopes).into_response()
    }))
}
