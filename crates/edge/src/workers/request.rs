//! The request as the runtime has it, as an [`http::Request`].
//!
//! `worker` converts requests too, but it rejects a request with 500 when one header has a character past
//! ASCII, and any page of the domain can make a browser send such a header with every request, in a cookie.
//! This conversion takes a header's value as bytes, and everything but the body crosses from JavaScript in one
//! piece.
//!
//! The body stays untouched until a handler reads it. Once a handler has read a part, it is read to its end:
//! see `RequestBody` in [`isolate.js`](isolate.js).

use std::{
    cell::RefCell,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::body::Body;
use bytes::Bytes;
use futures_util::{FutureExt, future::LocalBoxFuture};
use http::{HeaderName, HeaderValue, Method, Request, Uri, header};
use http_body::{Frame, SizeHint};
use thiserror::Error;
use wasm_bindgen::prelude::wasm_bindgen;

use super::{
    call::Call,
    operation::{Operation, Outcome},
};
use crate::{header_values::HeaderValues, scan};

#[wasm_bindgen(module = "/src/workers/isolate.js")]
extern "C" {
    #[wasm_bindgen(js_name = nameHeaders)]
    fn name_headers(always: &str, with_body: &str);

    #[wasm_bindgen(js_name = readBody)]
    fn read_body(waiter: u32, call: u32);

    #[wasm_bindgen(js_name = readRestOfBody)]
    fn read_rest_of_body(waiter: u32, call: u32) -> bool;
}

/// Whether requests with this method may have a body: the Fetch standard gives these two none.
pub fn may_have_body(method: &Method) -> bool {
    method != Method::GET && method != Method::HEAD
}

/// Reads the rest of a request's body, of which handlers may have read a part, so that the connection stays usable.
/// Returns when the response may be sent; the event's context keeps reading the rest of a slow body.
/// In a box: most requests have no body.
pub fn read_rest(call: &Call) -> LocalBoxFuture<'_, ()> {
    Box::pin(async move {
        let mut is_left = false;
        let rest = Operation::start(|waiter| is_left = read_rest_of_body(waiter, call.id()));
        if is_left {
            // A body that breaks off has lost its connection.
            rest.await;
        }
    })
}

/// The body as handlers see it.
struct LazyBody {
    call: Arc<Call>,
    length: Option<u64>,
    reading: Option<Operation>,
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
        let Self { call, reading, .. } = &mut *self;
        let part =
            reading.get_or_insert_with(|| Operation::start(|waiter| read_body(waiter, call.id())));
        let part = ready!(part.poll_unpin(context));
        *reading = None;
        Poll::Ready(match part {
            Outcome::Bytes(part) => Some(Ok(Frame::data(part.into()))),
            Outcome::Nothing => None,
            Outcome::Failed(_) | Outcome::TimedOut => Some(Err(BrokenOff)),
        })
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}

/// The headers that handlers read, where the application has named them.
struct HeaderNames {
    always: Vec<HeaderName>,
    with_body: Vec<HeaderName>,
}

thread_local! {
    static HEADER_NAMES: RefCell<Option<HeaderNames>> = const { RefCell::new(None) };
}

thread_local! {
    static HEADER_VALUES: RefCell<HeaderValues> = const { RefCell::new(HeaderValues::new()) };
}

fn header_value(text: &[u8]) -> Option<HeaderValue> {
    HEADER_VALUES.with_borrow_mut(|values| values.of(text))
}

/// From now on the head of a request has the values of these headers alone; `with_body` are read of requests that may
/// have a body.
pub fn limit_headers(always: &[HeaderName], with_body: &[HeaderName]) {
    // The length of a body limits it.
    let with_body = [with_body, &[header::CONTENT_LENGTH]].concat();
    let text =
        |names: &[HeaderName]| names.iter().map(HeaderName::as_str).collect::<Vec<_>>().join("\n");
    name_headers(&text(always), &text(&with_body));
    HEADER_NAMES.set(Some(HeaderNames { always: always.to_vec(), with_body }));
}

/// The request whose head JavaScript wrote, in lines: the method, the URL, and the headers. Where the application has
/// named headers, there is a line for each name in their order: `=` and the value, or nothing. Otherwise each header
/// has a line with its name and one with its value.
///
/// # Errors
///
/// When the URL or the method of the runtime's request is not valid in HTTP.
pub fn read_request(head: &[u8], call: &Arc<Call>) -> http::Result<Request<Body>> {
    let mut lines = scan::split(head, b'\n');
    let mut request = Request::new(Body::empty());
    *request.method_mut() = Method::from_bytes(lines.next().unwrap_or_default())?;
    *request.uri_mut() = Uri::try_from(lines.next().unwrap_or_default())?;
    HEADER_NAMES.with_borrow(|names| match names {
        Some(HeaderNames { always, with_body }) => {
            for (name, line) in always.iter().chain(with_body).zip(lines) {
                if let Some(value) = line.strip_prefix(b"=").and_then(header_value) {
                    request.headers_mut().append(name, value);
                }
            }
        }
        None if cfg!(feature = "all-headers") => {
            while let (Some(name), Some(value)) = (lines.next(), lines.next()) {
                if let (Ok(name), Some(value)) = (HeaderName::from_bytes(name), header_value(value))
                {
                    request.headers_mut().append(name, value);
                }
            }
        }
        None => {}
    });
    if may_have_body(request.method()) {
        let length = request.headers().get(header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        *request.body_mut() = Body::new(LazyBody { call: Arc::clone(call), length, reading: None });
    }
    Ok(request)
}
