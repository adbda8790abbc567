//! Detects a browser that drops the session cookie. Such a browser would loop between a page, `/login` and
//! AuthKit.
//!
//! A finished sign-in shows that the browser keeps cookies with the attributes of the sign-in cookie. The
//! session cookie can have other attributes: `Secure` on plain http (by its name), which some browsers drop
//! even on localhost, or a `Domain`, which browsers drop if it is a public suffix. In these cases
//! `/callback` sets a marker cookie beside the session, and the first request with a session clears it. A
//! request to `/login` with the marker and without a session gets an error page.

use http::{HeaderMap, HeaderValue, header};

use crate::{
    cookie::{Cookie, RequestCookies, SessionCookie, pairs},
    error::AppError,
    origin::RequestOrigin,
    refusal::try_again,
    sign_in::{ReturnTo, own_cookie, own_cookie_name},
};

/// A looping browser returns from `/callback` to `/login` within seconds.
const MARKER_TTL_SECS: u32 = 60;
/// The end of the marker's name, which other cookies lack.
const PURPOSE: &str = "signed-in";

/// The marker cookie of one origin.
pub struct SignedInMarker {
    name: String,
    is_secure: bool,
}

impl SignedInMarker {
    /// The marker beside the session cookie with this name. `is_secure` is whether the origin's cookies
    /// have the `Secure` attribute.
    #[must_use]
    pub fn new(session_cookie_name: &str, is_secure: bool) -> Self {
        Self { name: own_cookie_name(session_cookie_name, PURPOSE, is_secure), is_secure }
    }

    /// Whether the attributes of the session cookie differ from those of the sign-in cookie.
    #[must_use]
    pub fn is_needed(&self, session_cookie: &SessionCookie<'_>) -> bool {
        session_cookie.domain().is_some() || session_cookie.is_secure() != self.is_secure
    }

    /// Whether the request has the marker.
    #[must_use]
    pub fn is_in(&self, cookies: &RequestCookies<'_>) -> bool {
        cookies.values(&self.name).next().is_some()
    }

    /// Whether this value of a `Cookie` header may contain the marker: cheaper than to read all cookies, for the many
    /// requests without it.
    pub(crate) fn may_be_in(cookies: &HeaderValue) -> bool {
        pairs(cookies).any(|(name, _)| name.ends_with(PURPOSE.as_bytes()))
    }

    /// `Set-Cookie` that sets the marker.
    #[must_use]
    pub fn set(&self) -> HeaderValue {
        self.cookie().set("1")
    }

    /// `Set-Cookie` that clears the marker.
    #[must_use]
    pub fn clear(&self) -> HeaderValue {
        self.cookie().clear()
    }

    fn cookie(&self) -> Cookie<'_> {
        own_cookie(&self.name, MARKER_TTL_SECS, self.is_secure)
    }
}

/// The error for a browser that dropped the session cookie.
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
            "it is for the domain {domain}. Set WORKOS_COOKIE_DOMAIN to a domain that you own, or remove \
             it; if only your browser shows this page, allow cookies for this site"
        ),
        None => "allow cookies for this site".to_owned(),
    };
    let detail =
        format!("Your browser did not keep the session cookie: {why}. Then try again at /login");
    try_again(detail, return_to)
}

/// Clears the marker in the response to a request with a session.
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
    // A sign-in that finishes while the browser has another session sets the marker again.
    if !response.get_all(header::SET_COOKIE).iter().any(sets_it) {
        response.append(header::SET_COOKIE, marker.clear());
    }
}
