//! The layers around every route: the request's origin, https, errors, security headers.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, StatusCode, header};
use url::Url;

use crate::{
    authkit::{self, origin::RequestOrigin},
    browser::redirect,
    error::AppError,
    error_layer::report,
};

/// Adds the layers. `policy` is the pages' Content Security Policy; `public_origin` overrides the origin of
/// the requests' URLs.
pub fn with_layers(router: Router, policy: HeaderValue, public_origin: Option<Url>) -> Router {
    router
        .layer(from_fn(require_https))
        .layer(from_fn(report))
        .layer(from_fn_with_state(policy, set_security_headers))
        .layer(from_fn_with_state(Arc::new(public_origin), settle_origin))
}

/// Stores the request's origin in its extensions.
async fn settle_origin(
    State(public_origin): State<Arc<Option<Url>>>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    if let Some(origin) = RequestOrigin::of_request(&parts, (*public_origin).as_ref()) {
        parts.extensions.insert(origin);
    }
    next.run(Request::from_parts(parts, body)).await
}

/// Redirects plain http to https, except on this machine: others on the network can read and change it. A
/// request with a token gets 403 instead, because a redirect would hide that others may have the token now.
async fn require_https(request: Request, next: Next) -> Response {
    let exposed = request.extensions().get::<RequestOrigin>().filter(|origin| origin.is_exposed());
    let Some(origin) = exposed else { return next.run(request).await };
    if authkit::has_bearer(request.headers()) {
        let detail = "The token was sent over plain http, where others can read it: \
                      get another one, and send it to the https address";
        return AppError::new(StatusCode::FORBIDDEN, detail).into_response();
    }
    redirect(StatusCode::PERMANENT_REDIRECT, &origin.by_https(request.uri()))
}

/// Sets the headers that every response needs, unless its handler has set them. `policy` is for HTML.
async fn set_security_headers(
    State(policy): State<HeaderValue>,
    request: Request,
    next: Next,
) -> Response {
    let origin = request.extensions().get::<RequestOrigin>();
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
        set_default(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}
