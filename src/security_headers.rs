//! The security headers of every response.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::Response,
};
use http::{HeaderName, HeaderValue, header};

use axum_authkit::origin::RequestOrigin;
use url::Url;

/// The pages' Content Security Policy, and the origin that overrides that of the requests' URLs.
type Settings = (HeaderValue, Option<Url>);

/// Adds the layer. `policy` is the pages' Content Security Policy.
pub fn with_security_headers(
    router: Router,
    policy: HeaderValue,
    public_origin: Option<Url>,
) -> Router {
    router.layer(from_fn_with_state(Arc::new((policy, public_origin)), set_security_headers))
}

/// Sets the headers that every response needs, unless its handler has set them.
async fn set_security_headers(
    State(settings): State<Arc<Settings>>,
    mut request: Request,
    next: Next,
) -> Response {
    let (policy, public_origin) = &*settings;
    let origin = RequestOrigin::settle(&mut request, public_origin.as_ref());
    let is_https = origin.is_some_and(|origin| origin.url().scheme() == "https");
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let is_html = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|content_type| content_type.as_bytes().starts_with(b"text/html"));
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
    let same_origin = HeaderValue::from_static("same-origin");
    set_default(HeaderName::from_static("cross-origin-opener-policy"), same_origin.clone());
    set_default(HeaderName::from_static("cross-origin-resource-policy"), same_origin);
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
    response
}
