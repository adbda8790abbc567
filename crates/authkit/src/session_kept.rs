//! Whether the browser keeps the session cookie. One that does not would go round between a page,
//! `/login` and AuthKit for ever.
//!
//! That a sign-in can be finished shows that the browser keeps cookies like the sign-in's own. The
//! session cookie may differ from it: `Secure` by its name on plain http, which some browsers drop even
//! on localhost, or a `Domain`, which browsers drop where it is a public suffix. Then `/callback` sets a
//! marker beside the session, and the first request that brings a session back takes it away again. A
//! request to `/login` that still has the marker, and no session, is answered with a page.

use http::{HeaderMap, HeaderValue, header};

use crate::{
    cookie::{Cookie, RequestCookies, SessionCookie},
    error::AppError,
    origin::RequestOrigin,
    refusal::try_again,
    sign_in::{ReturnTo, own_cookie, own_cookie_name},
};

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

/// Clears the marker in the response to a request that brings a session back.
pub(crate) fn confirm_session(
    cookie: &SessionCookie<'_>,
    origin: &RequestOrigin,
    cookies: &RequestCookies<'_>,
    response: &mut HeaderMap,
) {
    let marker = SignedInMarker::new(cookie.name(), origin.is_secure());
    if !marker.is_in(cookies) || !cookie.is_sent(cookies) {
        return;
    }
    let sets_it = |value: &HeaderValue| value.as_bytes().starts_with(marker.name.as_bytes());
    // A sign-in that ends while another session is there sets the marker anew.
    if !response.get_all(header::SET_COOKIE).iter().any(sets_it) {
        response.append(header::SET_COOKIE, marker.clear());
    }
}
