//! The request as the runtime has it, as an [`http::Request`].
//!
//! `worker` makes one too, but refuses the whole request, with a 500 that nobody can explain, for one
//! header with a character past ASCII. Any page of the domain can make a browser send that for ever,
//! in a cookie. Here such a header's value is taken as its bytes. And all headers come over in one
//! string.

use http::{HeaderName, HeaderValue, Request};
use worker::{Body, js_sys::Array, worker_sys::web_sys};

/// # Errors
///
/// When the runtime's request has a URL or a method that are none.
pub fn from_web(request: &web_sys::Request) -> worker::Result<Request<Body>> {
    let mut converted = Request::builder().method(&*request.method()).uri(request.url());
    // `name,value` for each, a line each: a name has no comma in it, a value no line break.
    let headers = String::from(Array::from(&request.headers()).join("\n"));
    for (name, value) in headers.lines().filter_map(|line| line.split_once(',')) {
        let name = HeaderName::from_bytes(name.as_bytes());
        let value = HeaderValue::from_bytes(value.as_bytes());
        if let (Ok(name), Ok(value)) = (name, value) {
            converted = converted.header(name, value);
        }
    }
    Ok(converted.body(request.body().map_or_else(Body::empty, Body::new))?)
}
