//! Requests as handlers on Workers get them.

use http::{HeaderMap, HeaderName, Method, Request, header};

/// Removes the headers that handlers do not see on Workers after
/// [`Host::limit_request_headers`](crate::Host::limit_request_headers) with the same names. So a test fails where a
/// handler reads a header that is not named.
pub fn limit_headers<B>(request: &mut Request<B>, always: &[HeaderName], with_body: &[HeaderName]) {
    let has_body = !matches!(*request.method(), Method::GET | Method::HEAD);
    let is_named = |name: &HeaderName| {
        always.contains(name)
            || (has_body && (with_body.contains(name) || name == header::CONTENT_LENGTH))
    };
    keep_headers(request.headers_mut(), is_named);
}

/// Removes the headers that are not to be kept.
pub(super) fn keep_headers(headers: &mut HeaderMap, is_kept: impl Fn(&HeaderName) -> bool) {
    let others: Vec<_> = headers.keys().filter(|name| !is_kept(name)).cloned().collect();
    for name in others {
        headers.remove(name);
    }
}
