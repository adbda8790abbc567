//! The HTTP routes of the sign-in: `/login`, `/callback` and `/logout`.

use std::sync::Arc;

use axum::{
    extract::RawQuery,
    response::{IntoResponse, Response},
    routing::head,
};
use futures_util::future::join_all;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use url::{Url, form_urlencoded};
use utoipa::IntoParams;

use crate::{
    authkit::{AuthKit, VerifyError},
    bearer::{has_api_key, has_bearer},
    browser::{meta_refresh_page, redirect},
    config::{CALLBACK_PATH, SameSite},
    context::RequestContext,
    cookie::{COOKIE_MAX_BYTES, MAX_PARTS, RequestCookies},
    error::AppError,
    events::AuthKitEvent,
    me, oauth_metadata,
    openapi::{Changes, ErrorResponse, Limited, NeedsAuthKit},
    origin::{RequestOrigin, is_prefetch},
    refusal,
    rejection::Rejection,
    routing::{OpenApiRouter, any_handler, routes},
    secret::Secret,
    session::Session,
    session_kept::{SignedInMarker, session_not_kept},
    sign_in::{PendingSignIn, ReturnTo, SignInCookies, SignInState},
    signed_out,
    token::{TOKEN_MAX_BYTES, TokenError},
    workos::{AuthorizeRequest, Grant, INVALID_GRANT, WorkosError},
};
use edge_host::{Emit as _, WaitUntil};

/// Parameters that `/login` passes on to AuthKit unchanged.
const HINTS: [&str; 9] = [
    "screen_hint",
    "login_hint",
    "domain_hint",
    "organization_id",
    "connection_id",
    "provider",
    "invitation_token",
    "prompt",
    "max_age",
];

/// The routes that sign in, sign out and show the current user.
#[allow(clippy::disallowed_methods, reason = "a handler that refuses HEAD is not an operation")]
pub fn routes<S: Clone + Send + Sync + 'static>() -> OpenApiRouter<S> {
    OpenApiRouter::new()
        .routes(routes!(begin_sign_in))
        .routes(routes!(finish_sign_in))
        .route(CALLBACK_PATH, head(any_handler(async || refuse_head("GET"))))
        .routes(routes!(sign_out_by_link, sign_out_by_form))
        .route("/logout", head(any_handler(async || refuse_head("GET,POST"))))
        .merge(me::routes())
        .merge(oauth_metadata::routes())
}

/// Refuses `HEAD` on a path whose `GET` has side effects.
fn refuse_head(allowed: &'static str) -> AppError {
    AppError::new(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
        .with_header(header::ALLOW, HeaderValue::from_static(allowed))
}

/// Refuses a prefetch of a path whose `GET` has side effects. Browsers discard a prefetched response that
/// is not 2xx, and send the request again when the user navigates. The documentation of speculative loading
/// recommends status 503.
fn refuse_prefetch() -> AppError {
    AppError::new(StatusCode::SERVICE_UNAVAILABLE, "This address cannot be prefetched: open it")
}

/// The parameters of a query. The last of several equal names counts, as in FastAPI.
struct Query(Vec<(String, String)>);

impl Query {
    fn parse(query: Option<String>) -> Self {
        Self(form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect())
    }

    /// The value of a parameter; `None` if the parameter is missing or empty.
    fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().rev().find(|(key, _)| key == name)?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }
}

/// Sign in
///
/// Redirects to AuthKit's hosted sign-in (authorization code with PKCE). Also AuthKit's sign-in endpoint.
#[utoipa::path(
    get,
    path = "/login",
    tag = "sign-in",
    security(()),
    params(LoginParameters),
    responses(
        (status = 302, description = "To AuthKit",
            headers(("Location" = String), ("Set-Cookie" = String))),
        (status = 400, description = "The browser did not keep the session of the previous sign-in",
            body = ErrorResponse),
        Limited,
        (status = 503, description = "A prefetch, which begins no sign-in", body = ErrorResponse),
    ),
)]
async fn begin_sign_in(
    context: RequestContext,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Rejection> {
    if is_prefetch(&headers) {
        return Ok(refuse_prefetch().into_response());
    }
    context.check_address_limit().await?;
    let (authkit, origin) = (context.authkit(), context.origin()?);
    let query = Query::parse(query);
    let return_to = query
        .get("return_to")
        .and_then(|value| ReturnTo::parse(value, origin.url()))
        .unwrap_or_default();
    let cookies = RequestCookies::from_headers(&headers);
    let session_cookie = authkit.config.cookie.session_cookie(origin);
    let marker = SignedInMarker::new(session_cookie.name(), origin.is_secure());
    if marker.is_needed(&session_cookie)
        && marker.is_in(&cookies)
        && !session_cookie.is_sent(&cookies)
    {
        let page = session_not_kept(&session_cookie, origin, &return_to).into_response();
        return Ok(with_cookie(page, marker.clear()));
    }

    let is_retry = query.get("retry").is_some();
    let now = authkit.clock.now();
    let state = SignInState::new(return_to, is_retry, &authkit.sign_in_state_sealer);
    let pending = PendingSignIn::begin(&state, now);
    let hints: Vec<(&'static str, &str)> =
        HINTS.into_iter().filter_map(|name| Some((name, query.get(name)?))).collect();
    let redirect_uri = authkit.redirect_uri(origin);
    let location = authkit.client.authorize_url(&AuthorizeRequest {
        redirect_uri: &redirect_uri,
        state: state.as_str(),
        code_challenge: &pending.code_challenge(),
        hints: &hints,
    });

    let slots = SignInCookies::new(session_cookie.name(), origin.is_secure());
    let slot = slots.choose(&cookies, &authkit.sign_in_sealer, now);
    Ok(with_cookie(
        redirect(StatusCode::FOUND, location.as_str()),
        slots.set(slot, &pending, &authkit.sign_in_sealer),
    ))
}

/// Finish signing in
///
/// AuthKit redirects the browser here.
#[utoipa::path(
    get,
    path = CALLBACK_PATH,
    tag = "sign-in",
    security(()),
    params(CallbackParameters),
    responses(
        (status = 302, description = "Signed in: to `return_to`, with the session cookie. Or to \
            `/login`, if this browser did not begin the sign-in",
            headers(("Location" = String), ("Set-Cookie" = String))),
        (status = 400, description = "AuthKit did not sign the user in", body = ErrorResponse),
        (status = 502, description = "AuthKit's access token is too large for a browser's cookies",
            body = ErrorResponse),
        Limited,
        NeedsAuthKit,
    ),
)]
async fn finish_sign_in(
    context: RequestContext,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Rejection> {
    if is_prefetch(&headers) {
        return Ok(refuse_prefetch().into_response());
    }
    context.check_address_limit().await?;
    let (authkit, origin) = (context.authkit(), context.origin()?);
    let query = Query::parse(query);
    let cookies = RequestCookies::from_headers(&headers);
    let now = authkit.clock.now();
    let session_cookie = authkit.config.cookie.session_cookie(origin);
    let slots = SignInCookies::new(session_cookie.name(), origin.is_secure());
    let state = query
        .get("state")
        .and_then(|state| SignInState::open(state, origin.url(), &authkit.sign_in_state_sealer));
    let (return_to, is_retry) = match &state {
        Some(state) => (state.return_to().clone(), state.is_retry()),
        None => (ReturnTo::default(), false),
    };
    let pending =
        state.and_then(|state| slots.find(&state, &cookies, &authkit.sign_in_sealer, now));

    // A link on any site can lead here with a forged error.
    if let Some(error) = query.get("error") {
        let Some((slot, _)) = pending else {
            report_refusal("not_begun_here", None);
            return Ok(refusal::refused_elsewhere().into_response());
        };
        report_refusal("authkit", None);
        let page = refusal::refused(error, query.get("error_description"), &return_to);
        return Ok(with_cookie(page.into_response(), slots.clear(slot)));
    }
    let (Some((slot, pending)), Some(code)) = (pending, query.get("code")) else {
        // This browser did not begin the sign-in.
        return Ok(restart("unknown", is_retry, &return_to).unwrap_or_else(|| {
            report_refusal("cookie_not_kept", None);
            refusal::cookie_not_kept(&return_to).into_response()
        }));
    };

    let code = Secret::from(code);
    let free_slot = slots.clear(slot);
    if !authkit.code_exchanges.begin(&pending, &code, now) {
        let response = restart(USED_ALREADY, is_retry, &return_to).unwrap_or_else(|| {
            report_refusal(USED_ALREADY, None);
            refusal::used_already(&return_to).into_response()
        });
        return Ok(with_cookie(response, free_slot));
    }
    let grant = Grant::AuthorizationCode { code: &code, code_verifier: pending.code_verifier() };
    let exchanged = authkit.client.authenticate(grant, &context.client()).await;
    match &exchanged {
        Ok(_) | Err(WorkosError::Refused { .. }) => authkit.code_exchanges.end(&pending),
        Err(WorkosError::Unavailable(_)) => authkit.code_exchanges.allow_retry(&pending),
    }
    Ok(match exchanged {
        Ok(authenticated) => {
            let session = Arc::new(Session::from(authenticated));
            let response = match authkit.check_new_session(&session, context.wait_until()).await {
                Ok(()) if authkit.session_keepers.learn_sign_out(&session).await => {
                    finish_sign_out(authkit, &session, origin, &cookies)
                }
                Ok(()) => {
                    let wait_until = context.wait_until();
                    authkit.record_replaced_sessions(&session, origin, &cookies, wait_until).await;
                    signed_in(authkit, &session, origin, &cookies, &return_to)
                }
                Err(error) => error.into_response(),
            };
            with_cookie(response, free_slot)
        }
        Err(WorkosError::Refused { code, description }) => {
            // The code has expired, or another tab or an earlier load of this page has spent it.
            let is_spent = code == INVALID_GRANT;
            let onward = is_spent.then(|| restart(INVALID_GRANT, is_retry, &return_to)).flatten();
            let response = onward.unwrap_or_else(|| {
                report_refusal("workos", Some(&code));
                // The description of `invalid_grant` contains the code.
                let description = description.filter(|_| !is_spent);
                refusal::refused(&code, description.as_deref(), &return_to).into_response()
            });
            with_cookie(response, free_slot)
        }
        // The cookie stays, so that reloading the page can succeed.
        Err(WorkosError::Unavailable(outage)) => outage
            .into_error("Sign-in cannot be finished right now: reload this page in a moment")
            .into_response(),
    })
}

/// Begins the sign-in anew. That is safe and costs no click, because AuthKit still has its own session. `None` after a
/// second attempt: a third one would loop.
fn restart(reason: &str, is_retry: bool, return_to: &ReturnTo) -> Option<Response> {
    if is_retry {
        return None;
    }
    AuthKitEvent::SignInRestarted { reason }.emit();
    Some(redirect(StatusCode::FOUND, &refusal::retry_path(return_to)))
}

fn signed_in(
    authkit: &AuthKit,
    session: &Session,
    origin: &RequestOrigin,
    cookies: &RequestCookies<'_>,
    return_to: &ReturnTo,
) -> Response {
    let cookie = authkit.config.cookie.session_cookie(origin);
    if cookie.domain().is_some_and(|domain| !origin.is_within(domain)) {
        // The browser would drop the cookie and loop between this page and AuthKit.
        return AppError::internal("WORKOS_COOKIE_DOMAIN is not the domain of this host")
            .into_response();
    }
    let Ok(mut set_cookies) = cookie.write(&session.seal(&authkit.session_sealer), cookies) else {
        return too_large(session).into_response();
    };
    let marker = SignedInMarker::new(cookie.name(), origin.is_secure());
    if marker.is_needed(&cookie) {
        set_cookies.push(marker.set());
    }
    AuthKitEvent::SignedIn { user: authkit.user_hasher.hash(session.user_id()) }.emit();
    // A redirect belongs to the cross-site navigation that AuthKit began, and browsers send no
    // `SameSite=Strict` cookie with it. A page of this origin begins a new navigation.
    let path = return_to.path().unwrap_or(&authkit.landing_path);
    let onward = match cookie.same_site() {
        SameSite::Strict => meta_refresh_page(path),
        SameSite::Lax | SameSite::None => redirect(StatusCode::FOUND, path),
    };
    set_cookies.into_iter().fold(onward, with_cookie)
}

/// Sends the browser to WorkOS to end a session that the user has signed out of. The session is still alive
/// there if the browser did not follow the redirect of the sign-out. The next request would refuse the
/// session, and the browser would loop between this site and AuthKit.
fn finish_sign_out(
    authkit: &AuthKit,
    session: &Session,
    origin: &RequestOrigin,
    cookies: &RequestCookies<'_>,
) -> Response {
    let location = authkit.sign_out_location(signed_out::session_id(session).as_deref(), origin);
    let cookie = authkit.config.cookie.session_cookie(origin);
    let onward = redirect(StatusCode::FOUND, location.as_str());
    cookie.remove(cookies).into_iter().fold(onward, with_cookie)
}

/// The error for a session that exceeds a browser's cookie limits. Another sign-in gives the same session,
/// so the page only links to `/login`.
fn too_large(session: &Session) -> AppError {
    // A sealed value is base64: four characters hold three bytes.
    const SESSION_MAX_KB: usize = MAX_PARTS * COOKIE_MAX_BYTES * 3 / 4 / 1000;
    let bytes = session.access_token.expose().len();
    let detail = format!(
        "You cannot be signed in: AuthKit's access token for you has {} kB, and a browser keeps a \
         session of at most {SESSION_MAX_KB} kB in its cookies. An administrator of this application \
         can make it smaller in the WorkOS dashboard: fewer roles and permissions, or a shorter JWT \
         template",
        bytes.div_ceil(1000),
    );
    AppError::new(StatusCode::BAD_GATEWAY, detail)
        .caused_by(format!("an access token of {bytes} bytes exceeds a browser's cookie limits"))
        .with_action("Sign in again", "/login")
}

/// Sign out
#[utoipa::path(
    post,
    path = "/logout",
    tag = "sign-in",
    security(()),
    responses(
        (status = 303, description = "To AuthKit, which ends its own session",
            headers(("Location" = String), ("Set-Cookie" = String))),
        (status = 400, description = "A bearer token, which cannot be signed out", body = ErrorResponse),
        (status = 503, description = "The session cannot be ended right now: the user is still signed in",
            body = ErrorResponse, headers(("Retry-After" = String, description = "Seconds to wait"))),
        Changes,
    ),
)]
async fn sign_out_by_form(
    context: RequestContext,
    headers: HeaderMap,
) -> Result<Response, AppError> {
    sign_out(&context, &headers, StatusCode::SEE_OTHER).await
}

/// Sign out by a link
///
/// Only for links of this site and addresses that the user types.
#[utoipa::path(
    get,
    path = "/logout",
    tag = "sign-in",
    security(()),
    responses(
        (status = 302, description = "To AuthKit, which ends its own session",
            headers(("Location" = String), ("Set-Cookie" = String))),
        (status = 400, description = "A bearer token, which cannot be signed out", body = ErrorResponse),
        (status = 503, description = "A prefetch, which does not sign out; or the session cannot be ended right now: the \
            user is still signed in", body = ErrorResponse),
        Changes,
    ),
)]
async fn sign_out_by_link(
    context: RequestContext,
    headers: HeaderMap,
) -> Result<Response, AppError> {
    if is_prefetch(&headers) {
        return Err(refuse_prefetch());
    }
    sign_out(&context, &headers, StatusCode::FOUND).await
}

/// The reason of a refused or restarted sign-in that was finished before.
const USED_ALREADY: &str = "used_already";

fn report_refusal(reason: &str, code: Option<&str>) {
    AuthKitEvent::SignInRefused { reason, code }.emit();
}

/// Clears the session cookie and sends the browser to WorkOS, which ends its own session.
async fn sign_out(
    context: &RequestContext,
    headers: &HeaderMap,
    status: StatusCode,
) -> Result<Response, AppError> {
    let (authkit, origin) = (context.authkit(), context.origin()?);
    if has_bearer(headers) {
        if authkit.accepts_api_keys() && has_api_key(headers) {
            return Err(AppError::new(
                StatusCode::FORBIDDEN,
                "An API key has no session to sign out of: revoke the key instead",
            ));
        }
        // The token stays valid until it expires, so a success response would be false.
        return Err(AppError::new(
            StatusCode::BAD_REQUEST,
            "A bearer token cannot be signed out: it stays valid until it expires",
        ));
    }
    if origin.is_cross_origin(headers) {
        return Err(AppError::new(
            StatusCode::FORBIDDEN,
            "Signing out must begin on this site: open / and choose Sign out",
        )
        .with_action("Home", "/"));
    }
    let cookies = RequestCookies::from_headers(headers);
    let cookie = authkit.config.cookie.session_cookie(origin);
    let opened = cookie.read_all(&cookies, |sealed| authkit.open_session(sealed));
    // The request may hold several session cookies; sign-out ends all of them.
    let keepers = &authkit.session_keepers;
    let sign_outs =
        opened.iter().map(|known| keepers.sign_out(&known.session, context.wait_until()));
    if let Some(outage) = join_all(sign_outs).await.into_iter().find_map(Result::err) {
        return Err(outage.into_error(
            "You are still signed in: the sign-out cannot be recorded right now. Sign out again in a moment",
        ));
    }
    for known in &opened {
        let user = known.session.user_id();
        authkit.report_end("sign_out", Some(user).filter(|id| !id.is_empty()));
    }
    // The token is not verified, so that sign-out works without the key set.
    let session_id = opened.iter().find_map(|known| signed_out::session_id(&known.session));
    let location = authkit.sign_out_location(session_id.as_deref(), origin);
    Ok(cookie.remove(&cookies).into_iter().fold(redirect(status, location.as_str()), with_cookie))
}

/// The query of `/login`. AuthKit receives every parameter but `return_to` unchanged.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes the query in the schema")]
struct LoginParameters {
    /// The path of this site to open after sign-in.
    return_to: Option<String>,
    /// `sign-up` or `sign-in`.
    screen_hint: Option<String>,
    /// The e-mail address that AuthKit fills in.
    login_hint: Option<String>,
    /// A domain, to sign in at its identity provider.
    domain_hint: Option<String>,
    /// Sign in to this organization.
    organization_id: Option<String>,
    /// Sign in through this connection.
    connection_id: Option<String>,
    /// Sign in through this provider, such as `GoogleOAuth`.
    provider: Option<String>,
    /// The invitation that the user accepts by signing in.
    invitation_token: Option<String>,
    /// `login` makes AuthKit ask for credentials again.
    prompt: Option<String>,
    /// AuthKit asks for credentials again if the last sign-in is older, in seconds.
    max_age: Option<String>,
}

/// The query that AuthKit adds to the redirect (RFC 6749, section 4.1.2).
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes the query in the schema")]
struct CallbackParameters {
    /// The authorization code.
    code: Option<String>,
    /// The `state` that `/login` sent.
    state: Option<String>,
    /// The error code, instead of an authorization code.
    error: Option<String>,
    /// The error in words.
    error_description: Option<String>,
}

fn with_cookie(mut response: Response, set_cookie: HeaderValue) -> Response {
    response.headers_mut().append(header::SET_COOKIE, set_cookie);
    response
}

impl AuthKit {
    fn redirect_uri(&self, origin: &RequestOrigin) -> String {
        let default = || origin.join(CALLBACK_PATH);
        self.config.redirect_uri.clone().unwrap_or_else(default).into()
    }

    /// WorkOS's logout URL, or the page after sign-out if the browser has no session.
    fn sign_out_location(&self, session_id: Option<&str>, origin: &RequestOrigin) -> Url {
        let return_to = match &self.config.logout_redirect {
            Some(url) => url.clone(),
            None => origin.join("/"),
        };
        match session_id {
            Some(session_id) => self.client.logout_url(session_id, return_to.as_str()),
            None => return_to,
        }
    }

    /// Records the sessions that a sign-in replaces in this browser, so that a late response to a renewal
    /// does not restore the previous user's session.
    async fn record_replaced_sessions(
        &self,
        session: &Session,
        origin: &RequestOrigin,
        cookies: &RequestCookies<'_>,
        wait_until: &WaitUntil,
    ) {
        let id = signed_out::session_id(session);
        let cookie = self.config.cookie.session_cookie(origin);
        for replaced in cookie.read_all(cookies, |sealed| self.open_session(sealed)) {
            if signed_out::session_id(&replaced.session) != id {
                self.session_keepers.replace(&replaced.session, wait_until).await;
            }
        }
    }

    /// Refuses a session that the next request would refuse: the browser would loop between this site
    /// and AuthKit. A session passes if the key set is unavailable, or if its key is newer than the cached
    /// key set; the next request verifies it.
    async fn check_new_session(
        &self,
        session: &Session,
        wait_until: &WaitUntil,
    ) -> Result<(), AppError> {
        if session.access_token.expose().len() > TOKEN_MAX_BYTES {
            return Err(too_large(session));
        }
        match self.verify(session.access_token.expose(), wait_until).await {
            Ok(claims)
                if session.user.as_ref().is_some_and(|user| user.id == claims.claims().sub) =>
            {
                Ok(())
            }
            Err(VerifyError::Unavailable(_) | VerifyError::Token(TokenError::UnknownKey)) => Ok(()),
            Ok(_) => Err(AppError::internal("AuthKit's user differs from the token's subject")),
            Err(error @ VerifyError::Token(_)) => {
                Err(AppError::internal(format!("AuthKit issued an invalid token: {error}")))
            }
        }
    }
}
