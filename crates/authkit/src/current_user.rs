//! Extracts the caller of a request: [`CurrentUser`], [`UnscopedUser`] and [`BearerUser`]. A handler that takes
//! one of them is protected. A handler without one has no user's data to return.
//!
//! A request authenticates by the session cookie or by `Authorization: Bearer` (RFC 6750). If it has both, the
//! header counts; [`BearerUser`] accepts the header only. With `WORKOS_API_KEYS=on`, the header may hold an API key
//! instead of a token ([`mod@super::api_keys`]). The extractor renews a session whose access token has
//! expired ([`mod@super::session_keeper`]), and the response carries the renewed session ([`mod@super::layer`]).
//! Refusal and outage stay apart ([`Rejection`]): invalid credentials are 401, or a redirect of a browser to sign-in,
//! and an outage of WorkOS is 503, never a sign-out.

use std::{fmt, sync::Arc};

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use edge_host::{Emit as _, UserHash, WaitUntil, note_user};
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method, request::Parts};

use crate::{
    api_keys::{ApiKey, ApiKeyError, ApiKeyOwner, is_api_key},
    authkit::{AuthKit, VerifyError},
    bearer::{bearer_token, bearer_value, has_bearer},
    browser::wants_html,
    challenge::Challenge,
    context::RequestContext,
    cookie::RequestCookies,
    events::AuthKitEvent,
    isolate_cache::CachedSession,
    origin::RequestOrigin,
    outage::Outage,
    rejection::{Rejection, Unauthenticated},
    renewal::ENDED_BY_WORKOS,
    secret::Secret,
    session::Session,
    session_keeper::client::RefreshError,
    token::{TokenError, TokenKind, VerifiedClaims},
    user::{Impersonator, User},
    workos::{WorkosError, organizations::Membership},
};

/// The most expired sessions of one request that are renewed. A browser holds two when it kept a copy for
/// another domain. Each renewal costs an exchange at WorkOS, and a request has room for eighty sessions.
const MAX_RENEWALS: usize = 2;

/// The signed-in caller.
#[derive(Clone)]
pub struct CurrentUser {
    credential: Credential,
    /// The session of the cookie, or its successor; `None` for a bearer token and for an API key.
    session: Option<Arc<Session>>,
    context: RequestContext,
}

/// The credential of a request.
#[derive(Clone)]
enum Credential {
    /// An access token, in the session's cookie or in the header.
    Token(VerifiedClaims),
    /// An API key.
    ApiKey(Arc<ApiKey>),
}

impl fmt::Debug for CurrentUser {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("CurrentUser").field(&self.id()).finish()
    }
}

/// The caller by the `Authorization` header alone. Browsers do not add this header to requests by themselves,
/// so pages of other sites cannot call a route that takes a `BearerUser`.
#[derive(Debug, Clone)]
pub struct BearerUser(pub CurrentUser);

/// A caller whose token or API key may lack every scope of this application. The handler must call
/// [`require_scope`](Self::require_scope), whose error names the missing scope.
#[derive(Debug, Clone)]
pub struct UnscopedUser(CurrentUser);

impl UnscopedUser {
    /// The caller, if the token allows `scope`.
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
    /// The verified claims of the access token; `None` for an API key.
    #[must_use]
    pub fn claims(&self) -> Option<&VerifiedClaims> {
        match &self.credential {
            Credential::Token(claims) => Some(claims),
            Credential::ApiKey(_) => None,
        }
    }

    /// The session's access token, verified and not expired, for requests to services that accept it. `None` for a
    /// caller by the `Authorization` header, which has the token itself.
    #[must_use]
    pub fn access_token(&self) -> Option<&Secret> {
        self.session.as_ref().map(|session| &session.access_token)
    }

    /// The session of the cookie, or its successor; `None` for a caller by the `Authorization` header.
    pub(crate) fn session(&self) -> Option<&Arc<Session>> {
        self.session.as_ref()
    }

    pub(crate) fn context(&self) -> &RequestContext {
        &self.context
    }

    /// The API key; `None` for an access token.
    #[must_use]
    pub fn api_key(&self) -> Option<&ApiKey> {
        match &self.credential {
            Credential::Token(_) => None,
            Credential::ApiKey(key) => Some(key),
        }
    }

    /// The user's id at WorkOS: the token's `sub`, or the owner of the API key. An API key that an organization owns
    /// has the organization's id, `org_…`. No user has an id with this prefix, and a token with such a `sub` is
    /// refused.
    #[must_use]
    pub fn id(&self) -> &str {
        match &self.credential {
            Credential::Token(claims) => &claims.claims().sub,
            Credential::ApiKey(key) => key.owner.id(),
        }
    }

    /// The user's profile from sign-in; `None` for a bearer token. A profile in the cookie counts only if it
    /// has the token's subject.
    #[must_use]
    pub fn user(&self) -> Option<&User> {
        self.session.as_ref()?.user.as_ref().filter(|user| user.id == self.id())
    }

    /// The impersonator who acts as the user, from the signed token. If the token has no reason, the reason
    /// that WorkOS sent at sign-in is added.
    #[must_use]
    pub fn impersonator(&self) -> Option<Impersonator> {
        let signed = self.claims()?.claims().impersonator.clone()?;
        let stored = self.session.as_ref().and_then(|session| session.impersonator.as_ref());
        let stored = stored.filter(|it| signed.reason.is_none() && it.email == signed.email);
        Some(stored.cloned().unwrap_or(signed))
    }

    /// Whether the token allows `scope`, or the API key has a permission of this name.
    #[must_use]
    pub fn allows(&self, scope: &str) -> bool {
        match &self.credential {
            Credential::Token(claims) => claims.allows(scope),
            Credential::ApiKey(key) => key.permissions.iter().any(|own| own == scope),
        }
    }

    /// Rejects a caller whose token or API key does not allow `scope`.
    ///
    /// # Errors
    ///
    /// 403 `insufficient_scope`.
    pub fn require_scope(&self, scope: &str) -> Result<(), Rejection> {
        if self.allows(scope) {
            return Ok(());
        }
        let challenge = Challenge::new(&self.context);
        Err(match &self.credential {
            Credential::Token(claims) if claims.lacks_permission(scope) => {
                challenge.missing_permission(scope)
            }
            Credential::Token(_) => challenge.insufficient_scope(scope),
            Credential::ApiKey(_) => challenge.insufficient_permission(scope),
        })
    }

    /// Rejects an API key, for what only a person or a client that acts for one may do.
    ///
    /// # Errors
    ///
    /// [`Rejection::Forbidden`].
    pub fn refuse_api_key(&self) -> Result<(), Rejection> {
        match self.credential {
            Credential::Token(_) => Ok(()),
            Credential::ApiKey(_) => {
                Err(Rejection::forbidden("An API key cannot do this: sign in at /login"))
            }
        }
    }

    /// The organization that the caller acts in.
    #[must_use]
    pub fn organization_id(&self) -> Option<&str> {
        match &self.credential {
            Credential::Token(claims) => claims.claims().org_id.as_deref(),
            Credential::ApiKey(key) => key.owner.organization_id(),
        }
    }

    /// The organizations that the caller can act in, at most a minute old. A machine has none, and
    /// neither has the API key of an organization.
    ///
    /// # Errors
    ///
    /// [`Outage`] when WorkOS has no usable response.
    pub async fn organizations(&self) -> Result<Arc<[Membership]>, Outage> {
        let is_nobodys = match &self.credential {
            Credential::Token(claims) => claims.is_machine(),
            Credential::ApiKey(key) => matches!(key.owner, ApiKeyOwner::Organization { .. }),
        };
        if is_nobodys {
            return Ok(Arc::default());
        }
        let memberships = self.context.authkit().memberships.of(self.id()).await;
        memberships.map_err(WorkosError::into_outage)
    }

    /// Whether the caller has this role in the organization. An API key has none.
    #[must_use]
    pub fn has_role(&self, role: &str) -> bool {
        let Some(claims) = self.claims().map(VerifiedClaims::claims) else { return false };
        claims.role.as_deref() == Some(role) || claims.roles.iter().any(|own| own == role)
    }

    /// The permissions of the caller's roles, or of the API key.
    #[must_use]
    pub fn permissions(&self) -> &[String] {
        match &self.credential {
            Credential::Token(claims) => &claims.claims().permissions,
            Credential::ApiKey(key) => &key.permissions,
        }
    }

    /// Whether the caller's roles, or the API key, include this permission.
    #[must_use]
    pub fn has_permission(&self, permission: &str) -> bool {
        self.permissions().iter().any(|own| own == permission)
    }

    /// Rejects a caller without this role.
    ///
    /// # Errors
    ///
    /// [`Rejection::Forbidden`].
    pub fn require_role(&self, role: &str) -> Result<(), Rejection> {
        let error = || Rejection::forbidden(format!("This needs the role {role}"));
        self.has_role(role).then_some(()).ok_or_else(error)
    }

    /// Rejects a caller without this permission.
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
    /// [`Rejection::Forbidden`] for a caller who acts in no organization.
    pub fn require_organization(&self) -> Result<&str, Rejection> {
        let error = || Rejection::forbidden("Choose an organization first: sign in to one");
        self.organization_id().ok_or_else(error)
    }

    /// Keeps work running after the response to this caller's request.
    #[must_use]
    pub fn wait_until(&self) -> &WaitUntil {
        self.context.wait_until()
    }

    /// Whether the request authenticated by the session cookie, and not by the `Authorization` header.
    #[must_use]
    pub fn has_session(&self) -> bool {
        self.session.is_some()
    }

    /// Whether the caller has a session, in the cookie or by its access token in the header.
    pub(crate) fn is_of_session(&self) -> bool {
        self.claims().is_some_and(|claims| claims.kind() == TokenKind::Session)
    }

    pub(crate) fn authkit(&self) -> &AuthKit {
        self.context.authkit()
    }

    /// The caller in events.
    pub(crate) fn pseudonym(&self) -> UserHash {
        self.authkit().user_hasher.hash(self.id())
    }

    pub(crate) fn with_session(
        claims: VerifiedClaims,
        session: Arc<Session>,
        context: &RequestContext,
    ) -> Self {
        let credential = Credential::Token(claims);
        Self { credential, session: Some(session), context: context.clone() }
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
            return Err(Unauthenticated::NoCredentials.into());
        }
        if !parts.method.is_safe() && origin.is_cross_origin(&parts.headers) {
            return Err(IdentifyError::CrossOrigin);
        }
        let update = context.session_update();
        // A browser may hold several sessions: a stale copy for another domain, or a cookie that another host
        // of the domain planted. An ended session hides no other, and a session that needs no renewal wins.
        let mut expired = Vec::new();
        let mut refusal = IdentifyError::from(Unauthenticated::Session);
        for known in cookie.read(&cookies, |sealed| authkit.open_session(sealed)) {
            match SessionStatus::of(context, &known).await {
                Ok(SessionStatus::Valid(claims)) => {
                    update.reset();
                    if known.by_previous_password || cookie.is_under_former_name(&cookies) {
                        update.set(Arc::clone(&known.session));
                    }
                    return Ok(Self::with_session(claims, Arc::clone(&known.session), context));
                }
                Ok(SessionStatus::Expired { user_id }) => {
                    expired.push((Arc::clone(&known.session), user_id));
                }
                Ok(SessionStatus::SignedOut) => update.end(),
                Ok(SessionStatus::Refused) => {}
                Err(unavailable) => refusal = unavailable,
            }
        }
        if expired.is_empty() && matches!(refusal, IdentifyError::Unauthenticated(_)) {
            // Nothing to renew, and no outage.
            return Err(refusal);
        }
        Self::renew_one(context, expired, refusal).await
    }

    /// The caller by the first session that WorkOS renews. Without a session to renew, only the browser's cookies are kept
    /// during an outage. In a box, because it is rare, and every request's future would otherwise be larger.
    fn renew_one(
        context: &RequestContext,
        expired: Vec<(Arc<Session>, String)>,
        mut refusal: IdentifyError,
    ) -> BoxFuture<'_, Result<Self, IdentifyError>> {
        Box::pin(async move {
            let (authkit, update) = (context.authkit(), context.session_update());
            let has_untried = expired.len() > MAX_RENEWALS;
            for (session, user_id) in expired.into_iter().take(MAX_RENEWALS) {
                match authkit.renew(&session, &user_id, None, context).await {
                    Ok((renewed, claims)) => {
                        update.set(Arc::clone(&renewed));
                        return Ok(Self::with_session(claims, renewed, context));
                    }
                    // The sign-out's response cleared this cookie. Clearing it again could remove the cookie of a
                    // later sign-in.
                    Err(RefreshError::Ended) if authkit.session_keepers.is_signed_out(&session) => {
                    }
                    Err(RefreshError::Ended) => {
                        authkit.report_end(ENDED_BY_WORKOS, Some(&user_id));
                        update.end();
                    }
                    Err(error) => match error.into() {
                        IdentifyError::Unauthenticated(_) => {}
                        unavailable => refusal = unavailable,
                    },
                }
            }
            if has_untried || !matches!(refusal, IdentifyError::Unauthenticated(_)) {
                // One of the sessions may still be valid: the browser keeps its cookies.
                update.reset();
            }
            Err(refusal)
        })
    }

    async fn identify_bearer(
        context: &RequestContext,
        parts: &Parts,
        origin: &RequestOrigin,
    ) -> Result<Self, IdentifyError> {
        let value = bearer_value(&parts.headers).ok_or(Unauthenticated::NoCredentials)?;
        let token = bearer_token(value).ok_or(Unauthenticated::NotABearer)?;
        let authkit = context.authkit();
        let credential = if authkit.accepts_api_keys() && is_api_key(token) {
            Self::check_api_key(context, token).await?
        } else {
            let verified = authkit.verify_bearer(token, origin, context.wait_until()).await;
            Credential::Token(verified.map_err(|error| match error {
                VerifyError::Token(error) => Unauthenticated::Token(error).into(),
                VerifyError::Unavailable(outage) => IdentifyError::Unavailable(outage),
            })?)
        };
        Ok(Self { credential, session: None, context: context.clone() })
    }

    /// The credential that an API key is. In a box, as `renew_one`.
    fn check_api_key<'a>(
        context: &'a RequestContext,
        value: &'a str,
    ) -> BoxFuture<'a, Result<Credential, IdentifyError>> {
        Box::pin(async move {
            let authkit = context.authkit();
            let Some(api_keys) = &authkit.api_keys else {
                return Err(Unauthenticated::ApiKey.into());
            };
            let network = context.client().network();
            let checked = api_keys.check(value, network.as_deref(), &authkit.address_limit).await;
            let (key, is_fresh) = checked.map_err(|error| match error {
                ApiKeyError::Refused { is_counted: true } => {
                    IdentifyError::Counted(Unauthenticated::ApiKey)
                }
                ApiKeyError::Refused { is_counted: false } => Unauthenticated::ApiKey.into(),
                ApiKeyError::Unavailable(outage) => IdentifyError::Unavailable(outage),
                ApiKeyError::Rejected(rejection) => IdentifyError::Rejected(rejection),
            })?;
            let user = authkit.user_hasher.hash(key.owner.id());
            note_user(user);
            if is_fresh {
                let owner = match key.owner {
                    ApiKeyOwner::User { .. } => "user",
                    ApiKeyOwner::Organization { .. } => "organization",
                };
                AuthKitEvent::ApiKeyAccepted { user, owner }.emit();
            }
            Ok(Credential::ApiKey(key))
        })
    }
}

/// Why a request has no caller. [`rejection_of`] turns it into a rejection.
#[derive(Debug)]
enum IdentifyError {
    Unauthenticated(Unauthenticated),
    /// As `Unauthenticated`, for a request that the limit of the client's address has counted already.
    Counted(Unauthenticated),
    CrossOrigin,
    Unavailable(Outage),
    Rejected(Rejection),
}

impl From<Unauthenticated> for IdentifyError {
    fn from(reason: Unauthenticated) -> Self {
        Self::Unauthenticated(reason)
    }
}

impl From<RefreshError> for IdentifyError {
    fn from(error: RefreshError) -> Self {
        match error {
            // WorkOS may require a further step, such as a second factor. AuthKit asks for it at sign-in.
            RefreshError::Ended | RefreshError::Refused { .. } => Unauthenticated::Session.into(),
            RefreshError::Unavailable(outage) => Self::Unavailable(outage),
        }
    }
}

/// The rejection of a request without an identified caller. Refused credentials count for the client's address.
/// In a box: most requests have a caller.
fn limited_rejection_of<'a>(
    error: IdentifyError,
    parts: &'a Parts,
    context: &'a RequestContext,
) -> BoxFuture<'a, Rejection> {
    Box::pin(async move {
        let (refused, is_counted) = match &error {
            IdentifyError::Unauthenticated(Unauthenticated::NoCredentials) => (None, false),
            IdentifyError::Unauthenticated(reason) => (Some(reason), false),
            IdentifyError::Counted(reason) => (Some(reason), true),
            _ => (None, false),
        };
        if let Some(reason) = refused {
            if !is_counted && let Err(too_many) = context.check_address_limit().await {
                return too_many;
            }
            AuthKitEvent::CredentialsRefused { reason: reason.name() }.emit();
        }
        rejection_of(error, parts, context)
    })
}

/// The rejection of a request without an identified caller.
fn rejection_of(error: IdentifyError, parts: &Parts, context: &RequestContext) -> Rejection {
    let reason = match error {
        IdentifyError::Unauthenticated(reason) | IdentifyError::Counted(reason) => reason,
        IdentifyError::Rejected(rejection) => return rejection,
        IdentifyError::CrossOrigin => {
            return Rejection::forbidden(
                "Requests that change something must come from this site's own pages",
            );
        }
        IdentifyError::Unavailable(outage) => return Rejection::Unavailable(outage),
    };
    let challenge = Challenge::new(context);
    let detail = reason.to_string();
    let parameters: &[(&str, &str)] = match &reason {
        Unauthenticated::NoCredentials | Unauthenticated::Session => &[],
        Unauthenticated::NotABearer => &[("error", "invalid_request")],
        // The texts have no quotes, so they can stand in a quoted string.
        Unauthenticated::Token(_) | Unauthenticated::ApiKey => {
            &[("error", "invalid_token"), ("error_description", &detail)]
        }
    };
    let may_sign_in = matches!(reason, Unauthenticated::NoCredentials | Unauthenticated::Session);
    let sign_in = (may_sign_in && is_navigation(&parts.method, &parts.headers))
        .then(|| context.sign_in_path().into());
    Rejection::Unauthenticated { challenge: challenge.header(parameters), sign_in, reason }
}

/// Whether a browser sent the request to show the response.
fn is_navigation(method: &Method, headers: &HeaderMap) -> bool {
    matches!(*method, Method::GET | Method::HEAD) && wants_html(headers)
}

/// The status of a session from a cookie.
enum SessionStatus {
    /// Its access token is valid now.
    Valid(VerifiedClaims),
    /// Its access token is no longer valid. WorkOS decides whether the session continues.
    Expired {
        /// The user whom the renewed session must belong to.
        user_id: String,
    },
    /// The user has signed out of it.
    SignedOut,
    /// Its access token does not belong to this application.
    Refused,
}

impl SessionStatus {
    /// # Errors
    ///
    /// [`IdentifyError::Unavailable`] when WorkOS's keys cannot be fetched.
    async fn of(context: &RequestContext, known: &CachedSession) -> Result<Self, IdentifyError> {
        let authkit = context.authkit();
        let session = &known.session;
        match authkit.verify_session(known, context.wait_until()).await {
            Ok(claims)
                if authkit.session_keepers.is_id_signed_out(claims.claims().sid.as_deref()) =>
            {
                Ok(Self::SignedOut)
            }
            Ok(claims) if !claims.is_expired(authkit.clock.now()) => Ok(Self::Valid(claims)),
            Ok(claims) => Ok(Self::Expired { user_id: claims.claims().sub.clone() }),
            // WorkOS may have retired the key that signed the token. The seal proves that this application
            // stored the session, and WorkOS decides whether it continues. Without a user in the cookie,
            // nothing could show that the renewed session belongs to the same user.
            Err(VerifyError::Token(TokenError::UnknownKey)) => {
                let user = session.user.as_ref();
                Ok(user.map_or(Self::Refused, |user| Self::Expired { user_id: user.id.clone() }))
            }
            Err(VerifyError::Token(_)) => Ok(Self::Refused),
            Err(VerifyError::Unavailable(outage)) => Err(IdentifyError::Unavailable(outage)),
        }
    }
}

impl UnscopedUser {
    async fn extract(parts: &Parts) -> Result<Self, Rejection> {
        let context = RequestContext::of(parts)?;
        match CurrentUser::identify(context, parts, context.origin()?).await {
            Ok(user) => Ok(Self(user)),
            Err(error) => Err(limited_rejection_of(error, parts, context).await),
        }
    }
}

impl CurrentUser {
    /// Rejects a caller whose token or API key allows nothing in this application.
    fn require_any_scope(self) -> Result<Self, Rejection> {
        let known_scopes = self.context.authkit().resource.scopes;
        let challenge = || Challenge::new(&self.context);
        match &self.credential {
            Credential::Token(claims) if claims.allows_nothing() => {
                Err(challenge().no_scope(known_scopes))
            }
            // An application without scopes checks permissions itself.
            Credential::ApiKey(_)
                if !known_scopes.is_empty()
                    && !known_scopes.iter().any(|scope| self.allows(scope)) =>
            {
                Err(challenge().no_permission(known_scopes))
            }
            _ => Ok(self),
        }
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

/// `None` for a request without a valid session or token. Other rejections stay errors, so an outage never
/// looks like a signed-out visitor.
impl<S: Sync> OptionalFromRequestParts<S> for CurrentUser {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Rejection> {
        match <Self as FromRequestParts<S>>::from_request_parts(parts, state).await {
            Ok(user) => Ok(Some(user)),
            Err(Rejection::Unauthenticated { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for BearerUser {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Rejection> {
        let context = RequestContext::of(parts)?;
        let identified = CurrentUser::identify_bearer(context, parts, context.origin()?).await;
        match identified {
            Ok(user) => user.require_any_scope().map(Self),
            Err(error) => Err(limited_rejection_of(error, parts, context).await),
        }
    }
}
