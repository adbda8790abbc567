//! The request as the runtime has it, as an [`http::Request`].
//!
//! `worker` makes one too, but refuses the whole request, with a 500 that nobody can explain, for one
//! header with a character past ASCII. Any page of the domain can make a browser send that for ever,
//! in a cookie. Here such a header's value is taken as its bytes. And everything but the body comes over
//! in one piece.

use http::{HeaderName, HeaderValue, Method, Request, Uri};
use wasm_bindgen::prelude::wasm_bindgen;
use worker::{Body, worker_sys::web_sys};

#[wasm_bindgen(module = "/src/platform/host.js")]
extern "C" {
    #[wasm_bindgen(js_name = requestHead)]
    fn request_head(request: &web_sys::Request) -> Vec<u8>;
}

/// # Errors
///
/// When the runtime's request has a URL or a method that are none.
pub fn from_web(request: &web_sys::Request) -> http::Result<Request<Body>> {
    let head = request_head(request);
    let mut lines = head.split(|byte| *byte == b'\n');
    let mut converted = Request::new(request.body().map_or_else(Body::empty, Body::new));
    *converted.method_mut() = Method::from_bytes(lines.next().unwrap_or_default())?;
    *converted.uri_mut() = Uri::try_from(lines.next().unwrap_or_default())?;
    while let (Some(name), Some(value)) = (lines.next(), lines.next()) {
        let name = HeaderName::from_bytes(name);
        let value = HeaderValue::from_bytes(value);
        if let (Ok(name), Ok(value)) = (name, value) {
            converted.headers_mut().append(name, value);
        }
    }
    Ok(converted)
}
