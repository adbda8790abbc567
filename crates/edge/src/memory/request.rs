//! Requests as handlers on Workers get them.

use http::{HeaderName, Method, Request, header};

/// Removes the headers that handlers do not see on Workers after
/// [`Host::limit_request_headers`](crate::Host::limit_request_headers) with the same names. So a test fails where a
/// handler reads a header that is not named.
pub fn limit_headers<B>(request: &mut Request<B>, always: &[HeaderName], with_body: &[HeaderName]) {
    let has_body = !matches!(*request.method(), Method::GET | Method::HEAD);
    let is_named = |name: &HeaderName| {
        always.contains(name)
            || (has_body && (with_body.contains(name) || name == header::CONTENT_LENGTH))
    };
    let others: Vec<_> = request.headers().keys().filter(|name| !is_named(name)).cloned().collect();
    for name in others {
        request.headers_mut().remove(name);
    }
}
