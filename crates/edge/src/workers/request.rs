//! The request as the runtime has it, as an [`http::Request`].
//!
//! `worker` converts requests too, but it rejects a request with 500 when one header has a character past
//! ASCII, and any page of the domain can make a browser send such a header with every request, in a cookie.
//! This conversion takes a header's value as bytes, and takes everything but the body from JavaScript in one
//! call.
//!
//! The body stays untouched until a handler reads it. Once a handler has read a part, it is read to its end:
//! see `RequestBody` in [`host.js`](host.js).

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::body::Body;
use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use http_body::{Frame, SizeHint};
use thiserror::Error;
use wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen};
use worker::{
    js_sys::{Promise, Uint8Array},
    send::{SendFuture, SendWrapper},
    wasm_bindgen_futures::JsFuture,
    worker_sys::web_sys,
};

#[wasm_bindgen(module = "/src/workers/host.js")]
extern "C" {
    #[wasm_bindgen(js_name = requestHead)]
    fn request_head(request: &web_sys::Request) -> Vec<u8>;

    #[derive(Clone)]
    type RequestBody;

    #[wasm_bindgen(constructor)]
    fn new(request: &web_sys::Request) -> RequestBody;

    #[wasm_bindgen(method, getter)]
    fn length(this: &RequestBody) -> Option<f64>;

    #[wasm_bindgen(method)]
    fn read(this: &RequestBody) -> Promise;

    #[wasm_bindgen(method, js_name = readRest)]
    fn read_rest(this: &RequestBody, context: &JsValue) -> Option<Promise>;
}

/// The body of a request, which handlers may have read completely, in part or not at all.
pub struct UnreadBody(RequestBody);

impl UnreadBody {
    /// Reads the rest of the body, so that the connection stays usable. Returns when the response may be
    /// sent; `context` keeps reading the rest of a slow body.
    pub async fn read_rest(self, context: &JsValue) {
        if let Some(rest) = self.0.read_rest(context) {
            // A body that breaks off has lost its connection.
            let _ = JsFuture::from(rest).await;
        }
    }
}

/// The body as handlers see it.
struct LazyBody {
    body: SendWrapper<RequestBody>,
    length: Option<u64>,
    reading: Option<SendFuture<JsFuture>>,
}

/// The client disconnected before the body was complete.
#[derive(Debug, Error)]
#[error("the request's body broke off")]
struct BrokenOff;

impl http_body::Body for LazyBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let Self { body, reading, .. } = &mut *self;
        let part = reading.get_or_insert_with(|| SendFuture::new(JsFuture::from(body.read())));
        let part = ready!(part.poll_unpin(context));
        *reading = None;
        Poll::Ready(match part {
            Ok(part) if part.is_undefined() => None,
            Ok(part) => {
                let bytes = part.unchecked_into::<Uint8Array>().to_vec();
                Some(Ok(Frame::data(bytes.into())))
            }
            Err(_) => Some(Err(BrokenOff)),
        })
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}

/// The request, and its body if the method may have one.
///
/// # Errors
///
/// When the URL or the method of the runtime's request is not valid in HTTP.
pub fn from_web(request: &web_sys::Request) -> http::Result<(Request<Body>, Option<UnreadBody>)> {
    let head = request_head(request);
    let mut lines = head.split(|byte| *byte == b'\n');
    let method = Method::from_bytes(lines.next().unwrap_or_default())?;
    let uri = Uri::try_from(lines.next().unwrap_or_default())?;

    // The Fetch standard gives these two no body.
    let unread = (method != Method::GET && method != Method::HEAD)
        .then(|| UnreadBody(RequestBody::new(request)));
    let body = unread.as_ref().map_or_else(Body::empty, |UnreadBody(body)| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        let length = body.length().map(|length| length as u64);
        Body::new(LazyBody { body: SendWrapper::new(body.clone()), length, reading: None })
    });

    let mut converted = Request::new(body);
    *converted.method_mut() = method;
    *converted.uri_mut() = uri;
    while let (Some(name), Some(value)) = (lines.next(), lines.next()) {
        let name = HeaderName::from_bytes(name);
        let value = HeaderValue::from_bytes(value);
        if let (Ok(name), Ok(value)) = (name, value) {
            converted.headers_mut().append(name, value);
        }
    }
    Ok((converted, unread))
}
