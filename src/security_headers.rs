//! The security headers of every response.

use axum_authkit::origin::RequestOrigin;
use http::{HeaderMap, HeaderName, HeaderValue, header};

const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
/// Room for these headers and those of most handlers, so that the map grows once.
const USUAL_COUNT: usize = 12;

/// A function that sets the headers that every response needs, unless its handler has set them. `policy` is the
/// pages' Content Security Policy.
pub fn security_headers(
    policy: HeaderValue,
) -> impl Fn(&mut HeaderMap, Option<&RequestOrigin>) + Send + Sync + 'static {
    move |headers, origin| {
        let is_https = origin.is_some_and(RequestOrigin::is_https);
        set_security_headers(headers, &policy, is_https);
    }
}

fn set_security_headers(headers: &mut HeaderMap, policy: &HeaderValue, is_https: bool) {
    let is_html = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|content_type| content_type.as_bytes().starts_with(b"text/html"));
    headers.reserve(USUAL_COUNT.saturating_sub(headers.len()));
    let mut set_default = |name, value| {
        headers.entry(name).or_insert(value);
    };
    set_default(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    set_default(header::VARY, HeaderValue::from_static("Cookie, Authorization, Accept"));
    set_default(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // `same-origin` and not `no-referrer`: with that, browsers send `Origin: null` with forms.
    set_default(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    // A page of another site that opens this one in a window gets no reference to the window, and embeds
    // nothing of this site.
    set_default(OPENER_POLICY, HeaderValue::from_static("same-origin"));
    set_default(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    if is_https {
        // Two years, as browsers' preload lists ask; not for subdomains, which may be others'.
        set_default(
            header::STRICT_TRANSPORT_SECURITY,
            HeaderValue::from_static("max-age=63072000"),
        );
    }
    if is_html {
        set_default(header::CONTENT_SECURITY_POLICY, policy.clone());
    }
}
