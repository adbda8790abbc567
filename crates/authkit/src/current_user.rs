//! Who is calling: the [`CurrentUser`] extractor. A handler that takes one is protected; a handler
//! that does not has nobody whose data it could reach.
//!
//! A caller shows the session cookie or `Authorization: Bearer` (RFC 6750); with both, the header
//! counts, and for a [`BearerUser`] nothing else. A session whose access token has expired is renewed on
//! the way ([`super::refresh`]), and the answer carries the new one ([`super::layer`]). The three
//! answers stay apart ([`super::rejection`]): refused is 401 (a browser is sent to sign in), and what
//! could not be told is 503, never a sign-out.

use std::{fmt, sync::Arc};

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use chrono::{DateTime, Utc};
use edge_host::WaitUntil;
use http::{HeaderMap, HeaderValue, Method, header, request::Parts};
use thiserror::Error;

use crate::{
    authkit::{AuthKit, VerifyError},
    browser::wants_html,
    challenge::Challenge,
    context::RequestContext,
    cookie::RequestCookies,
    isolate_cache::CachedSession,
    origin::RequestOrigin,
    refresh::{RefreshError, Renewed},
    refusal::login_path,
    rejection::{Rejection, SignedOut},
    session::Session,
    sign_in::ReturnTo,
    token::{TokenError, VerifiedClaims},
    user::{Impersonator, User},
    workos::INVALID_GRANT,
};

/// Most expired sessions of one request that are renewed. Two are there when a copy for another domain
/// is left over; each costs an exchange at WorkOS, and a request has room for eighty.
const MAX_RENEWALS: usize = 2;
/// How many rotations a session that comes late may be behind: more than happen while a spent
/// session is remembered.
const MAX_SUCCESSORS: usize = 1000;
/// What is waited when WorkOS's answer is of no use.
const RETRY_AFTER_SECS: u32 = 5;

/// The signed-in caller.
#[derive(Clone)]
pub struct CurrentUser {
    claims: VerifiedClaims,
    /// The session of the cookie, or its successor; bearer tokens come without.
    session: Option<Arc<Session>>,
    context: RequestContext,
}

impl fmt::Debug for CurrentUser {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("CurrentUser").field(&self.id()).finish()
    }
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
    pub fn require_scope(self, scope: &str) -> Result<CurrentUser, Rejection> {
        self.0.require_scope(scope)?;
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
    pub fn require_scope(&self, scope: &str) -> Result<(), Rejection> {
        if self.claims.allows(scope) {
            return Ok(());
        }
        Err(Challenge::new(&self.context).insufficient_scope(scope))
    }

    /// The organization that the caller acts in.
    #[must_use]
    pub fn organization_id(&self) -> Option<&str> {
        self.claims.claims().org_id.as_deref()
    }

    /// Whether the caller has this role in the organization.
    #[must_use]
    pub fn has_role(&self, role: &str) -> bool {
        let claims = self.claims.claims();
        claims.role.as_deref() == Some(role) || claims.roles.iter().any(|own| own == role)
    }

    /// Whether the caller's roles include this permission.
    #[must_use]
    pub fn has_permission(&self, permission: &str) -> bool {
        self.claims.claims().permissions.iter().any(|own| own == permission)
    }

    /// Lets only a caller with this role on.
    ///
    /// # Errors
    ///
    /// [`Rejection::Forbidden`].
    pub fn require_role(&self, role: &str) -> Result<(), Rejection> {
        let error = || Rejection::forbidden(format!("This needs the role {role}"));
        self.has_role(role).then_some(()).ok_or_else(error)
    }

    /// Lets only a caller with this permission on.
    ///
    /// # Errors
    ///
    /// [`Rejection::Forbidden`].
    pub fn require_permission(&self, permission: &str) -> Result<(), Rejection> {
        let error = || Rejection::forbidden(format!("This needs the permission {permission}"));
        self.has_permission(permission).then_some(()).ok_or_else(error)
    }

    /// The id of the organization that the caller acts in.
    ///
    /// # Errors
    ///
    /// [`Rejection::Forbidden`] for a caller without one.
    pub fn require_organization(&self) -> Result<&str, Rejection> {
        let error = || Rejection::forbidden("Choose an organization first: sign in to one");
        self.organization_id().ok_or_else(error)
    }

    /// Finishes work that outlives the response to this caller's request.
    #[must_use]
    pub fn wait_until(&self) -> &WaitUntil {
        self.context.wait_until()
    }

    /// Whether the caller came with the session cookie, and not with a token.
    #[must_use]
    pub fn has_session(&self) -> bool {
        self.session.is_some()
    }

    fn with_session(
        claims: VerifiedClaims,
        session: Arc<Session>,
        context: &RequestContext,
    ) -> Self {
        Self { claims, session: Some(session), context: context.clone() }
    }

    async fn identify(
        context: &RequestContext,
        parts: &Parts,
        origin: &RequestOrigin,
    ) -> Result<Self, IdentifyError> {
        if has_bearer(&parts.headers) {
            return Self::identify_bearer(context, parts, origin).await;
        }
        let authkit = context.authkit();
        let cookies = RequestCookies::from_headers(&parts.headers);
        let cookie = authkit.config.cookie.session_cookie(origin);
        if !cookie.is_sent(&cookies) {
            return Err(SignedOut::NoCredentials.into());
        }
        if !parts.method.is_safe() && origin.is_cross_origin(&parts.headers) {
            return Err(IdentifyError::CrossOrigin);
        }
        let update = context.session_update();
        // More than one when a copy for another domain is left over, or another host of the domain has
        // planted one. A session that has ended hides no other, and one that needs no renewal wins.
        let mut expired = Vec::new();
        let mut refusal = IdentifyError::from(SignedOut::Session);
        for known in cookie.read(&cookies, |sealed| authkit.open_session(sealed)) {
            match Standing::of(context, &known).await {
                Ok(Standing::Good(claims)) => {
                    update.reset();
                    if known.by_previous_password || cookie.is_under_former_name(&cookies) {
                        update.set(Arc::clone(&known.session));
                    }
                    return Ok(Self::with_session(claims, known.session, context));
                }
                Ok(Standing::Expired { user_id, expires_at }) => {
                    expired.push((known.session, user_id, expires_at));
                }
                Ok(Standing::SignedOut) => update.end(),
                Ok(Standing::Refused) => {}
                Err(unavailable) => refusal = unavailable,
            }
        }
        let is_one_untried = expired.len() > MAX_RENEWALS;
        for (session, user_id, expires_at) in expired.into_iter().take(MAX_RENEWALS) {
            match authkit.renew(&session, &user_id, expires_at, None, context).await {
                Ok((renewed, claims)) => {
                    update.set(Arc::clone(&renewed));
                    return Ok(Self::with_session(claims, renewed, context));
                }
                // The response of the sign-out has cleared the cookie: a cookie that the browser holds by
                // now is newer.
                Err(RefreshError::Ended) if authkit.refresher.is_over(&session) => {}
                Err(RefreshError::Ended) => update.end(),
                Err(error) => match error.into() {
                    IdentifyError::SignedOut(_) => {}
                    unavailable => refusal = unavailable,
                },
            }
        }
        if is_one_untried || !matches!(refusal, IdentifyError::SignedOut(_)) {
            // One of the sessions may be alive: the browser keeps its cookies.
            update.reset();
        }
        Err(refusal)
    }

    async fn identify_bearer(
        context: &RequestContext,
        parts: &Parts,
        origin: &RequestOrigin,
    ) -> Result<Self, IdentifyError> {
        let value = bearer_value(&parts.headers).ok_or(SignedOut::NoCredentials)?;
        let token = bearer_token(value).ok_or(SignedOut::NotABearer)?;
        let wait_until = context.wait_until();
        let verified = context.authkit().verify_bearer(token, origin, wait_until).await;
        let claims = verified.map_err(|error| match error {
            VerifyError::Token(error) => SignedOut::Token(error).into(),
            VerifyError::Unavailable(error) => IdentifyError::from(RefreshError::from(error)),
        })?;
        Ok(Self { claims, session: None, context: context.clone() })
    }

    /// Switches to another organization, for this request and, by its response, for the browser.
    ///
    /// # Errors
    ///
    /// [`SwitchError`].
    pub async fn switch_organization(self, organization_id: &str) -> Result<Self, SwitchError> {
        let session = self.session.as_ref().ok_or(SwitchError::NoSession)?;
        let authkit = self.context.authkit();
        let update = self.context.session_update();
        let expires_at = Some(self.claims.expires_at());
        let user_id = self.id();
        let renew = async |organization_id| {
            authkit.renew(session, user_id, expires_at, organization_id, &self.context).await
        };
        match renew(Some(organization_id)).await {
            Ok((renewed, claims)) => {
                update.set(Arc::clone(&renewed));
                Ok(Self::with_session(claims, renewed, &self.context))
            }
            // Of the organization, or of the session? Without the organization WorkOS tells.
            Err(RefreshError::Ended) => {
                let (renewed, _) = update.end_if_ended(renew(None).await)?;
                update.set(renewed);
                let code = INVALID_GRANT.to_owned();
                Err(RefreshError::Refused { code, description: None }.into())
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Why the caller is not known, before the request's response is considered.
#[derive(Debug)]
enum IdentifyError {
    SignedOut(SignedOut),
    CrossOrigin,
    Unavailable { reason: String, retry_after_secs: u32 },
}

impl From<SignedOut> for IdentifyError {
    fn from(reason: SignedOut) -> Self {
        Self::SignedOut(reason)
    }
}

impl From<RefreshError> for IdentifyError {
    fn from(error: RefreshError) -> Self {
        match error {
            // AuthKit wants more of the user, and asks for it when they sign in.
            RefreshError::Ended | RefreshError::Refused { .. } => SignedOut::Session.into(),
            RefreshError::Unavailable { reason, retry_after_secs } => {
                Self::Unavailable { reason, retry_after_secs }
            }
        }
    }
}

/// The rejection of a request whose caller could not be identified.
fn rejection_of(error: IdentifyError, parts: &Parts, context: &RequestContext) -> Rejection {
    let reason = match error {
        IdentifyError::SignedOut(reason) => reason,
        IdentifyError::CrossOrigin => {
            return Rejection::forbidden(
                "Requests that change something must come from this site's own pages",
            );
        }
        IdentifyError::Unavailable { reason, retry_after_secs } => {
            return Rejection::Unavailable { reason: reason.into(), retry_after_secs };
        }
    };
    let challenge = Challenge::new(context);
    let detail = reason.to_string();
    let parameters: &[(&str, &str)] = match &reason {
        SignedOut::NoCredentials | SignedOut::Session => &[],
        SignedOut::NotABearer => &[("error", "invalid_request")],
        // `TokenError` is plain text without quotes.
        SignedOut::Token(_) => &[("error", "invalid_token"), ("error_description", &detail)],
    };
    let may_sign_in = matches!(reason, SignedOut::NoCredentials | SignedOut::Session);
    let sign_in = (may_sign_in && is_navigation(&parts.method, &parts.headers))
        .then(|| sign_in_path(parts, context).into());
    Rejection::SignedOut { challenge: challenge.header(parameters), sign_in, reason }
}

/// A browser that would show the response.
fn is_navigation(method: &Method, headers: &HeaderMap) -> bool {
    matches!(*method, Method::GET | Method::HEAD) && wants_html(headers)
}

/// `/login`, with the way back to the page that the request asked for.
fn sign_in_path(parts: &Parts, context: &RequestContext) -> String {
    let wanted = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let origin = context.origin().ok();
    let return_to = origin.and_then(|origin| ReturnTo::parse(wanted, origin.url()));
    login_path(false, &return_to.unwrap_or_default())
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
    /// [`IdentifyError::Unavailable`] when WorkOS's keys cannot be fetched.
    async fn of(context: &RequestContext, known: &CachedSession) -> Result<Self, IdentifyError> {
        let authkit = context.authkit();
        let session = &known.session;
        let verified = authkit
            .verify_ignoring_expiry(session.access_token.expose(), context.wait_until())
            .await;
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
        context: &RequestContext,
    ) -> Result<(Arc<Session>, VerifiedClaims), RefreshError> {
        let wait_until = context.wait_until();
        let mut session = Arc::new(session.clone());
        for _ in 0..MAX_SUCCESSORS {
            let Renewed { session: newer, is_fresh } = self
                .refresher
                .refresh(&session, expires_at, organization_id, context.client(), wait_until)
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

impl UnscopedUser {
    async fn extract(parts: &Parts) -> Result<Self, Rejection> {
        let context = RequestContext::of(parts)?;
        let identified = CurrentUser::identify(context, parts, context.origin()?).await;
        identified.map(Self).map_err(|error| rejection_of(error, parts, context))
    }
}

impl CurrentUser {
    /// Lets only a caller on whose token may be used for something here.
    fn require_any_scope(self) -> Result<Self, Rejection> {
        if !self.claims.allows_nothing() {
            return Ok(self);
        }
        let known_scopes = self.context.authkit().resource.scopes;
        Err(Challenge::new(&self.context).no_scope(known_scopes))
    }
}

impl<S: Sync> FromRequestParts<S> for UnscopedUser {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Rejection> {
        Self::extract(parts).await
    }
}

impl<S: Sync> FromRequestParts<S> for CurrentUser {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Rejection> {
        UnscopedUser::extract(parts).await?.0.require_any_scope()
    }
}

/// `None` when nobody is signed in; an error when WorkOS or KV could not be reached, so that an outage
/// never looks like a signed-out visitor.
impl<S: Sync> OptionalFromRequestParts<S> for CurrentUser {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Rejection> {
        match <Self as FromRequestParts<S>>::from_request_parts(parts, state).await {
            Ok(user) => Ok(Some(user)),
            Err(Rejection::SignedOut { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for BearerUser {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Rejection> {
        let context = RequestContext::of(parts)?;
        let identified = CurrentUser::identify_bearer(context, parts, context.origin()?).await;
        let user = identified.map_err(|error| rejection_of(error, parts, context))?;
        user.require_any_scope().map(Self)
    }
}
