//! `/login`, `/callback`, `/logout`, `/me`, `/organization`: the sign-in as HTTP.

use axum::{
    extract::RawQuery,
    response::{IntoResponse, Response},
    routing::head,
};
use chrono::SecondsFormat;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::{Value, json};
use url::{Url, form_urlencoded};
use utoipa::{IntoParams, ToSchema};

use super::{
    authkit::{AuthKit, VerifyError},
    config::SameSite,
    cookie::{COOKIE_MAX_BYTES, MAX_PARTS, RequestCookies},
    current_user::{CurrentUser, has_bearer},
    oauth_metadata,
    origin::{RequestOrigin, is_prefetch},
    refusal,
    secret::Secret,
    session::Session,
    session_kept::{SignedInMarker, session_not_kept},
    sign_in::{self, PendingSignIn, ReturnTo, SignInCookies, SignInState},
    signed_out,
    token::{TOKEN_MAX_BYTES, TokenError, TokenKind},
    user::Impersonator,
    workos::{AuthorizeRequest, Grant, INVALID_GRANT, WorkosError},
};
use crate::{
    browser::{meta_refresh_page, redirect},
    context::RequestContext,
    error::AppError,
    json_response::json_response,
    openapi::{Changes, ErrorResponse, NeedsAuthKit, NeedsScope, Protected},
    rejection::Rejection,
    routing::{OpenApiRouter, routes},
};
use edge_host::WaitUntil;

/// Parameters of `/login` that AuthKit gets as they came.
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

/// The routes of signing in and out, and of who is signed in.
#[allow(clippy::disallowed_methods, reason = "what refuses HEAD is no operation of its own")]
pub fn routes<S: Clone + Send + Sync + 'static>() -> OpenApiRouter<S> {
    OpenApiRouter::new()
        .routes(routes!(begin_sign_in))
        .routes(routes!(finish_sign_in))
        .route(sign_in::CALLBACK_PATH, head(async || refuse_head("GET")))
        .routes(routes!(sign_out_by_link, sign_out_by_form))
        .route("/logout", head(async || refuse_head("GET,POST")))
        .routes(routes!(show_current_user))
        .merge(oauth_metadata::routes())
}

/// For paths whose `GET` changes something, which a `HEAD` must not do.
fn refuse_head(allowed: &'static str) -> AppError {
    AppError::new(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
        .with_header(header::ALLOW, HeaderValue::from_static(allowed))
}

/// For paths whose `GET` changes something, which a prefetch must not do. Browsers discard a prefetched
/// answer that is not 2xx and ask again when the user goes there; 503 is what the documentation of
/// speculative loading tells servers to decline with.
fn refuse_prefetch() -> AppError {
    AppError::new(StatusCode::SERVICE_UNAVAILABLE, "This address is not for prefetching: open it")
}

/// A query's parameters. Of equal names the last counts, as in FastAPI; unknown names are ignored.
struct Query(Vec<(String, String)>);

impl Query {
    fn parse(query: Option<String>) -> Self {
        Self(form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect())
    }

    /// The parameter's value, unless it is empty.
    fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().rev().find(|(key, _)| key == name)?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }
}

/// Sign in
///
/// Leads to AuthKit's hosted sign-in (authorization code with PKCE). Also AuthKit's sign-in endpoint.
#[utoipa::path(
    get,
    path = "/login",
    tag = "sign-in",
    security(()),
    params(LoginParameters),
    responses(
        (status = 302, description = "To AuthKit",
            headers(("Location" = String), ("Set-Cookie" = String))),
        (status = 400, description = "The browser did not keep the session of the sign-in before",
            body = ErrorResponse),
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
/// Where AuthKit sends the browser back to.
#[utoipa::path(
    get,
    path = sign_in::CALLBACK_PATH,
    tag = "sign-in",
    security(()),
    params(CallbackParameters),
    responses(
        (status = 302, description = "Signed in: to `return_to`, with the session cookie. Or to \
            `/login`, where this browser did not begin the sign-in",
            headers(("Location" = String), ("Set-Cookie" = String))),
        (status = 400, description = "AuthKit did not sign the user in", body = ErrorResponse),
        (status = 502, description = "AuthKit's access token is too large for a browser's cookies",
            body = ErrorResponse),
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

    // Anybody can send a browser here with an error of their own making.
    if let Some(error) = query.get("error") {
        let Some((slot, _)) = pending else {
            return Ok(refusal::refused_elsewhere().into_response());
        };
        let page = refusal::refused(error, query.get("error_description"), &return_to);
        return Ok(with_cookie(page.into_response(), slots.clear(slot)));
    }
    let (Some((slot, pending)), Some(code)) = (pending, query.get("code")) else {
        if is_retry {
            return Ok(refusal::cookie_not_kept(&return_to).into_response());
        }
        // Nobody in this browser asked for this sign-in. Asking now is safe, and costs no click:
        // AuthKit answers from its own session.
        return Ok(redirect(StatusCode::FOUND, &refusal::login_path(true, &return_to)));
    };

    let code = Secret::from(code);
    let free_slot = slots.clear(slot);
    if !authkit.code_exchanges.begin(&pending, &code, now) {
        let answer = if is_retry {
            refusal::used_already(&return_to).into_response()
        } else {
            redirect(StatusCode::FOUND, &refusal::login_path(true, &return_to))
        };
        return Ok(with_cookie(answer, free_slot));
    }
    let grant = Grant::AuthorizationCode { code: &code, code_verifier: pending.code_verifier() };
    let exchanged = authkit.client.authenticate(grant, context.client()).await;
    match &exchanged {
        Ok(_) | Err(WorkosError::Refused { .. }) => authkit.code_exchanges.end(&pending),
        Err(WorkosError::Unavailable { .. }) => authkit.code_exchanges.put_off(&pending),
    }
    Ok(match exchanged {
        Ok(answer) => {
            let session = Session::from(answer);
            let response = match authkit.check_new_session(&session, context.wait_until()).await {
                Ok(()) if authkit.refresher.is_over(&session) => {
                    finish_sign_out(authkit, &session, origin, &cookies)
                }
                Ok(()) => {
                    authkit.record_replaced_sessions(&session, origin, &cookies);
                    signed_in(authkit, &session, origin, &cookies, &return_to)
                }
                Err(error) => error.into_response(),
            };
            with_cookie(response, free_slot)
        }
        // Used already, by this tab's twin or before the back button was pressed, or too old.
        // Asking once more costs no click.
        Err(WorkosError::Refused { code, .. }) if code == INVALID_GRANT && !is_retry => {
            let onward = redirect(StatusCode::FOUND, &refusal::login_path(true, &return_to));
            with_cookie(onward, free_slot)
        }
        Err(WorkosError::Refused { code, description }) => {
            // What WorkOS says of a spent code repeats the code.
            let description = description.filter(|_| code != INVALID_GRANT);
            let page = refusal::refused(&code, description.as_deref(), &return_to);
            with_cookie(page.into_response(), free_slot)
        }
        // The cookie stays: reloading the page may yet succeed.
        Err(WorkosError::Unavailable { reason, retry_after_secs }) => AppError::unavailable(
            "Sign-in cannot be finished right now: reload this page in a moment",
            retry_after_secs,
            reason,
        )
        .into_response(),
    })
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
        // The browser would drop it, and go round between here and AuthKit for ever.
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
    // Browsers count a redirect as part of the navigation that AuthKit began, and would not send a
    // strict cookie with it. A page of ours begins a new one.
    let path = return_to.path().unwrap_or(&authkit.landing_path);
    let onward = match cookie.same_site() {
        SameSite::Strict => meta_refresh_page(path),
        SameSite::Lax | SameSite::None => redirect(StatusCode::FOUND, path),
    };
    set_cookies.into_iter().fold(onward, with_cookie)
}

/// Sends the browser to WorkOS to end a session that its user has signed out of here and that WorkOS
/// continues, because the browser never followed the redirect of the sign-out. The session would be
/// refused at the next request, and the browser would go round between here and AuthKit for ever.
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

/// The session fits into no browser's cookies. Signing in again changes nothing, so nothing leads there
/// by itself.
fn too_large(session: &Session) -> AppError {
    // Sealed values are base64.
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
        .caused_by(format!("an access token of {bytes} bytes fits into no browser's cookies"))
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
        (status = 400, description = "A bearer token, which is no session", body = ErrorResponse),
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
/// Only for a link of this site, or an address that was typed.
#[utoipa::path(
    get,
    path = "/logout",
    tag = "sign-in",
    security(()),
    responses(
        (status = 302, description = "To AuthKit, which ends its own session",
            headers(("Location" = String), ("Set-Cookie" = String))),
        (status = 400, description = "A bearer token, which is no session", body = ErrorResponse),
        (status = 503, description = "A prefetch, which signs nobody out", body = ErrorResponse),
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

/// Clears the cookie and sends the browser to end its session at WorkOS too.
async fn sign_out(
    context: &RequestContext,
    headers: &HeaderMap,
    status: StatusCode,
) -> Result<Response, AppError> {
    let (authkit, origin) = (context.authkit(), context.origin()?);
    if has_bearer(headers) {
        // Saying that someone is signed out would be a lie: the token goes on until it expires.
        return Err(AppError::new(
            StatusCode::BAD_REQUEST,
            "Only a browser's session can be signed out of: a bearer token ends when it expires",
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
    // Every copy is signed out of: none that is left over may work.
    for known in &opened {
        authkit.refresher.sign_out(&known.session, context.wait_until()).await;
    }
    // Not verified, so that signing out needs no keys.
    let session_id = opened.iter().find_map(|known| signed_out::session_id(&known.session));
    let location = authkit.sign_out_location(session_id.as_deref(), origin);
    Ok(cookie.remove(&cookies).into_iter().fold(redirect(status, location.as_str()), with_cookie))
}

/// `GET /me`.
#[derive(Debug, Serialize, ToSchema)]
pub struct MeResponse<'a> {
    /// `null` for a machine. With a bearer token, of which no more is known, only `object` and `id`.
    #[schema(value_type = Option<UserResponse>)]
    user: Value,
    session_id: Option<&'a str>,
    organization_id: Option<&'a str>,
    role: Option<&'a str>,
    roles: &'a [String],
    permissions: &'a [String],
    entitlements: &'a [String],
    feature_flags: &'a [String],
    impersonator: Option<Impersonator>,
    /// When the access token expires.
    #[schema(format = DateTime)]
    expires_at: String,
    /// The client that shows the token, where it is one of Connect's.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
    /// What the client was let in for, where it is one of Connect's.
    #[serde(skip_serializing_if = "Option::is_none")]
    scopes: Option<&'a [String]>,
}

/// The user of `GET /me`, as WorkOS told of it at sign-in.
#[derive(Debug, ToSchema)]
#[allow(dead_code, reason = "what `MeResponse` holds, for the schema")]
struct UserResponse {
    #[schema(example = "user")]
    object: String,
    #[schema(example = "user_01JD5Q3V9J8Y3N5M0A7ZK2W4XB")]
    id: String,
    email: Option<String>,
    email_verified: Option<bool>,
    first_name: Option<String>,
    last_name: Option<String>,
    profile_picture_url: Option<String>,
}

/// What `/login` reads; AuthKit gets all but `return_to` as they came.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "for the schema")]
struct LoginParameters {
    /// A path of this site to go to once signed in.
    return_to: Option<String>,
    /// `sign-up` or `sign-in`.
    screen_hint: Option<String>,
    /// An e-mail address to begin with.
    login_hint: Option<String>,
    /// A domain whose identity provider is meant.
    domain_hint: Option<String>,
    /// Sign in to this organization.
    organization_id: Option<String>,
    /// Sign in through this connection.
    connection_id: Option<String>,
    /// Sign in through this provider, such as `GoogleOAuth`.
    provider: Option<String>,
    /// The invitation that the user accepts by signing in.
    invitation_token: Option<String>,
    /// `login` to have AuthKit ask again who it is.
    prompt: Option<String>,
    /// Seconds after which AuthKit asks again who it is.
    max_age: Option<String>,
}

/// What AuthKit sends along (RFC 6749, section 4.1.2).
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "for the schema")]
struct CallbackParameters {
    /// The authorization code.
    code: Option<String>,
    /// What `/login` gave along.
    state: Option<String>,
    /// Why there is no code.
    error: Option<String>,
    /// The same for people.
    error_description: Option<String>,
}

/// Who is signed in
#[utoipa::path(
    get,
    path = "/me",
    tag = "sign-in",
    security(("session" = []), ("bearer" = [])),
    responses((status = 200, description = "The caller", body = MeResponse), Protected, NeedsScope),
)]
async fn show_current_user(caller: CurrentUser) -> Response {
    json_response(&MeResponse::from(&caller))
}

impl<'a> From<&'a CurrentUser> for MeResponse<'a> {
    fn from(caller: &'a CurrentUser) -> Self {
        let verified = caller.claims();
        let claims = verified.claims();
        let is_connects = verified.kind() == TokenKind::Connect;
        let user = match caller.user() {
            Some(user) => json!(user),
            None if verified.is_machine() => Value::Null,
            None => json!({"object": "user", "id": claims.sub}),
        };
        Self {
            user,
            // What Connect calls so is the user's consent.
            session_id: claims.sid.as_deref().filter(|_| !is_connects),
            organization_id: claims.org_id.as_deref(),
            role: claims.role.as_deref(),
            roles: &claims.roles,
            permissions: &claims.permissions,
            entitlements: &claims.entitlements,
            feature_flags: &claims.feature_flags,
            impersonator: caller.impersonator(),
            expires_at: verified.expires_at().to_rfc3339_opts(SecondsFormat::Secs, true),
            client_id: claims.client_id.as_deref().filter(|_| is_connects),
            scopes: is_connects.then_some(claims.scopes.as_slice()),
        }
    }
}

fn with_cookie(mut response: Response, set_cookie: HeaderValue) -> Response {
    response.headers_mut().append(header::SET_COOKIE, set_cookie);
    response
}

impl AuthKit {
    fn redirect_uri(&self, origin: &RequestOrigin) -> String {
        let default = || origin.join(sign_in::CALLBACK_PATH);
        self.config.redirect_uri.clone().unwrap_or_else(default).into()
    }

    /// Where the browser ends the session at WorkOS, or the page after sign-out where there is none.
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

    /// Records the sessions that a sign-in replaces in this browser: a renewal of one that WorkOS answers
    /// late must not put the previous user's session back.
    fn record_replaced_sessions(
        &self,
        session: &Session,
        origin: &RequestOrigin,
        cookies: &RequestCookies<'_>,
    ) {
        let id = signed_out::session_id(session);
        let cookie = self.config.cookie.session_cookie(origin);
        for replaced in cookie.read_all(cookies, |sealed| self.open_session(sealed)) {
            if signed_out::session_id(&replaced.session) != id {
                self.refresher.replace(&replaced.session);
            }
        }
    }

    /// A session that the next request would refuse must not be set: the browser would go round
    /// between here and AuthKit for ever. Keys that cannot be fetched now say nothing against it, nor
    /// does a key that is newer than the set and may not be asked for yet: such a session is put off.
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
            Ok(_) => Err(AppError::internal("AuthKit's user is not its token's subject")),
            Err(error @ VerifyError::Token(_)) => {
                Err(AppError::internal(format!("AuthKit's own token is refused: {error}")))
            }
        }
    }
}
