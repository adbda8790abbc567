//! An [`http::Response`] as the runtime's response.
//!
//! Nearly every body is in memory already: it crosses in one piece, with status and headers. A body of unknown length
//! is a stream: the runtime pulls a part when the client can receive it, an error aborts the response, and the rest is
//! dropped when the client disconnects.

use std::{cell::RefCell, collections::BTreeMap, future::poll_fn, pin::Pin};

use axum::body::{Body, HttpBody as _, to_bytes};
use http::{HeaderMap, HeaderName, Response, StatusCode, header};
use wasm_bindgen::prelude::wasm_bindgen;

use super::{
    call::Call,
    executor::{enter, next_id, spawn},
};

#[wasm_bindgen(module = "/src/workers/isolate.js")]
extern "C" {
    fn respond(call: u32, status: u16, headers: &str, are_kept: bool, body: &[u8]);

    #[wasm_bindgen(js_name = respondWithStream)]
    fn respond_with_stream(call: u32, status: u16, headers: &str, stream: u32);

    #[wasm_bindgen(js_name = pushPart)]
    fn push_part(stream: u32, part: &[u8]);

    #[wasm_bindgen(js_name = endStream)]
    fn end_stream(stream: u32, is_whole: bool);
}

thread_local! {
    /// The bodies that clients receive in parts; none while its part is made.
    static STREAMS: RefCell<BTreeMap<u32, Option<Body>>> = const { RefCell::new(BTreeMap::new()) };
}

/// Headers whose values hardly two responses share. JavaScript makes the others once.
const OWN_HEADERS: [HeaderName; 5] =
    [header::ETAG, header::LINK, header::LOCATION, header::RETRY_AFTER, header::SET_COOKIE];

/// Responds to a request.
pub async fn send(call: &Call, response: Response<Body>) {
    let (parts, body) = response.into_parts();
    let status = parts.status.as_u16();
    let headers = lines(&parts.headers);
    if body.size_hint().exact().is_none() {
        let stream = next_id();
        STREAMS.with_borrow_mut(|streams| streams.insert(stream, Some(body)));
        return respond_with_stream(call.id(), status, &headers, stream);
    }
    let are_kept = !OWN_HEADERS.iter().any(|name| parts.headers.contains_key(name));
    match to_bytes(body, usize::MAX).await {
        Ok(body) => respond(call.id(), status, &headers, are_kept, &body),
        Err(error) => {
            log::error!("A response's body could not be read: {error}");
            respond(call.id(), StatusCode::INTERNAL_SERVER_ERROR.as_u16(), "", true, &[]);
        }
    }
}

/// Responds to a request that is not valid in HTTP.
pub fn refuse(call: &Call, reason: &str) {
    log::error!("The runtime's request is not valid in HTTP: {reason}");
    respond(call.id(), StatusCode::BAD_REQUEST.as_u16(), "", true, &[]);
}

/// Each header's name and value, a line each.
fn lines(headers: &HeaderMap) -> String {
    let mut lines = Vec::with_capacity(1024);
    for (name, value) in headers {
        lines.extend_from_slice(name.as_str().as_bytes());
        lines.push(b'\n');
        lines.extend_from_slice(value.as_bytes());
        lines.push(b'\n');
    }
    String::from_utf8(lines)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// Makes the next part of a stream. JavaScript calls this.
pub extern "C" fn pull(stream: u32) {
    let body = STREAMS.with_borrow_mut(|streams| streams.get_mut(&stream).and_then(Option::take));
    let Some(mut body) = body else { return };
    enter(|| {
        spawn(async move {
            match poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
                Some(Ok(frame)) => {
                    // Not after `cancel`.
                    let is_wanted = STREAMS.with_borrow_mut(|streams| {
                        streams.get_mut(&stream).map(|entry| *entry = Some(body)).is_some()
                    });
                    match frame.into_data() {
                        Ok(part) => push_part(stream, &part),
                        // Trailers: workerd has none.
                        Err(_) if is_wanted => pull(stream),
                        Err(_) => {}
                    }
                }
                end => {
                    STREAMS.with_borrow_mut(|streams| streams.remove(&stream));
                    end_stream(stream, end.is_none());
                }
            }
        });
    });
}

/// Drops a stream, whose client has disconnected. JavaScript calls this.
pub extern "C" fn cancel(stream: u32) {
    let body = STREAMS.with_borrow_mut(|streams| streams.remove(&stream));
    enter(|| drop(body));
}
