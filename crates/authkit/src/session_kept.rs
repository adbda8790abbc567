//! Whether the browser keeps the session cookie. One that does not would go round between a page,
//! `/login` and AuthKit for ever.
//!
//! That a sign-in can be finished shows that the browser keeps cookies like the sign-in's own. The
//! session cookie may differ from it: `Secure` by its name on plain http, which some browsers drop even
//! on localhost, or a `Domain`, which browsers drop where it is a public suffix. Then `/callback` sets a
//! marker beside the session, and the first request that brings a session back takes it away again. A
//! request to `/login` that still has the marker, and no session, is answered with a page.

use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderValue, header};

use super::{
    authkit::AuthKit,
    cookie::{Cookie, RequestCookies, SessionCookie},
    origin::RequestOrigin,
    refusal::try_again,
    sign_in::{ReturnTo, own_cookie, own_cookie_name},
};
use crate::error::AppError;

/// A browser goes from `/callback` back to `/login` at once.
const MARKER_TTL_SECS: u32 = 60;

/// The marker of one origin.
pub struct SignedInMarker {
    name: String,
    is_secure: bool,
}

impl SignedInMarker {
    /// The marker beside a session cookie of that name, on an origin where cookies have `Secure` or
    /// do not.
    #[must_use]
    pub fn new(session_cookie_name: &str, is_secure: bool) -> Self {
        Self { name: own_cookie_name(session_cookie_name, "signed-in", is_secure), is_secure }
    }

    /// Whether the marker tells more than the sign-in's own cookie has told.
    #[must_use]
    pub fn is_needed(&self, session_cookie: &SessionCookie<'_>) -> bool {
        session_cookie.domain().is_some() || session_cookie.is_secure() != self.is_secure
    }

    /// Whether the request has the marker.
    #[must_use]
    pub fn is_in(&self, cookies: &RequestCookies<'_>) -> bool {
        cookies.values(&self.name).next().is_some()
    }

    /// `Set-Cookie` that sets the marker.
    #[must_use]
    pub fn set(&self) -> HeaderValue {
        self.cookie().set("1")
    }

    /// `Set-Cookie` that takes the marker away.
    #[must_use]
    pub fn clear(&self) -> HeaderValue {
        self.cookie().clear()
    }

    fn cookie(&self) -> Cookie<'_> {
        own_cookie(&self.name, MARKER_TTL_SECS, self.is_secure)
    }
}

/// The session cookie was set and did not come back.
#[must_use]
pub fn session_not_kept(
    cookie: &SessionCookie<'_>,
    origin: &RequestOrigin,
    return_to: &ReturnTo,
) -> AppError {
    let name = cookie.name();
    let why = match cookie.domain() {
        _ if cookie.is_secure() && !origin.is_secure() => format!(
            "its name, {name}, is for https alone, and this is plain http. Use https, or set \
             WORKOS_COOKIE_NAME to a name that does not begin with __Host- or __Secure-"
        ),
        Some(domain) => format!(
            "it is for the domain {domain}. Set WORKOS_COOKIE_DOMAIN to a domain of your own, or to \
             nothing; if this happens to you alone, allow cookies for this site"
        ),
        None => "allow cookies for this site".to_owned(),
    };
    let detail =
        format!("Your browser did not keep the session cookie: {why}. Then try again at /login");
    try_again(detail, return_to)
}

/// The layer that takes the marker away; it goes around every route.
pub async fn confirm_session(
    State(authkit): State<Arc<AuthKit>>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let mut clear = None;
    if parts.headers.contains_key(header::COOKIE)
        && let Ok(origin) = RequestOrigin::from_request_parts(&mut parts, &()).await
    {
        let cookie = authkit.config.cookie.session_cookie(&origin);
        let marker = SignedInMarker::new(cookie.name(), origin.is_secure());
        let cookies = RequestCookies::from_headers(&parts.headers);
        if marker.is_in(&cookies) && cookie.is_sent(&cookies) {
            clear = Some((marker.name.clone(), marker.clear()));
        }
    }
    let mut response = next.run(Request::from_parts(parts, body)).await;
    if let Some((name, clear)) = clear {
        let sets_it = |value: &HeaderValue| value.as_bytes().starts_with(name.as_bytes());
        // A sign-in that ends while another session is there sets the marker anew.
        if !response.headers().get_all(header::SET_COOKIE).iter().any(sets_it) {
            response.headers_mut().append(header::SET_COOKIE, clear);
        }
    }
    response
}
