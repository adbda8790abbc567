//! An [`http::Response`] as the runtime's response.
//!
//! Nearly every body is in memory already: it crosses in one piece, with status and headers. A body of unknown length
//! is a stream: the runtime pulls a part when the client can receive it, an error aborts the response, and the rest is
//! dropped when the client disconnects.

use std::{cell::RefCell, future::poll_fn, pin::Pin, ptr};

use axum::body::{Body, HttpBody as _};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use wasm_bindgen::prelude::wasm_bindgen;

use super::{
    call::Call,
    executor::{abandon, enter, next_id, spawn},
};
use crate::{Cause, Emit as _, HostEvent, Repeatable, table::Table};

#[wasm_bindgen(module = "/src/workers/isolate.js")]
extern "C" {
    #[wasm_bindgen(js_name = describeHeaders)]
    fn describe_headers(set: u32, lines: &str);

    fn respond(call: u32, status: u16, set: u32, own: Option<&str>, body: &[u8]);

    #[wasm_bindgen(js_name = respondAlways)]
    fn respond_always(call: u32, status: u16, set: u32, body: &[u8]);

    #[wasm_bindgen(js_name = respondWithStream)]
    fn respond_with_stream(call: u32, status: u16, set: u32, own: Option<&str>, stream: u32);

    #[wasm_bindgen(js_name = pushPart)]
    fn push_part(stream: u32, part: &[u8]);

    #[wasm_bindgen(js_name = endStream)]
    fn end_stream(stream: u32, is_whole: bool);
}

/// A body that its client receives in parts.
struct Stream {
    /// None while a part is made.
    body: Option<Body>,
    /// The task that makes a part, or made the last one.
    task: u32,
}

thread_local! {
    static STREAMS: RefCell<Table<Stream>> = const { RefCell::new(Table::new()) };
}

/// The number of bodies that clients receive in parts.
pub fn live() -> usize {
    STREAMS.with_borrow(Table::len)
}

type Header<'a> = (&'a HeaderName, &'a HeaderValue);
type HeaderSet = Vec<(HeaderName, HeaderValue)>;

thread_local! {
    /// The sets of headers that JavaScript knows, by their numbers: nearly every response has one of a few.
    static HEADER_SETS: RefCell<Vec<HeaderSet>> = const { RefCell::new(Vec::new()) };
}

/// The most sets. Beyond it all are dropped.
const HEADER_SETS_MAX: usize = 64;

/// The headers of a response: the number of the set that it shares with others, and its own.
struct Headers {
    set: u32,
    own: Option<String>,
}

impl Headers {
    fn of(headers: &HeaderMap, has_body: bool) -> Self {
        let (mut shared, mut own) = (Vec::with_capacity(headers.len()), Vec::new());
        for (name, value) in headers {
            match name.as_str() {
                // The runtime counts the bytes of a body itself.
                "content-length" if has_body => {}
                // Hardly two responses share the values of these.
                "content-disposition"
                | "content-length"
                | "etag"
                | "link"
                | "location"
                | "retry-after"
                | "server-timing"
                | "set-cookie" => own.push((name, value)),
                _ => shared.push((name, value)),
            }
        }
        Self { set: set_number(&shared), own: (!own.is_empty()).then(|| lines(&own)) }
    }
}

/// The headers as JavaScript reads them: a line for a name, and one for its value.
fn lines(headers: &[Header<'_>]) -> String {
    let mut lines = Vec::with_capacity(1024);
    for (name, value) in headers {
        for part in [name.as_str().as_bytes(), b"\n", value.as_bytes(), b"\n"] {
            lines.extend_from_slice(part);
        }
    }
    String::from_utf8_lossy(&lines).into_owned()
}

/// The number of a set, which JavaScript is told when it is new.
fn set_number(headers: &[Header<'_>]) -> u32 {
    HEADER_SETS.with_borrow_mut(|sets| {
        let known = sets.iter().position(|set| is_equal(set, headers));
        let number = known.unwrap_or_else(|| {
            if sets.len() >= HEADER_SETS_MAX {
                sets.clear();
            }
            describe_headers(number_of(sets.len()), &lines(headers));
            let own = |(name, value): &Header<'_>| ((*name).clone(), (*value).clone());
            sets.push(headers.iter().map(own).collect());
            sets.len() - 1
        });
        number_of(number)
    })
}

/// Whether a set has these headers in this order. Most values are constants, or copies that share their text with the
/// set's: these need no comparison.
fn is_equal(set: &HeaderSet, headers: &[Header<'_>]) -> bool {
    let is_same = |value: &HeaderValue, other: &HeaderValue| {
        ptr::eq(value.as_bytes(), other.as_bytes()) || value == other
    };
    let mut pairs = set.iter().zip(headers);
    set.len() == headers.len()
        && pairs.all(|((name, value), (other_name, other))| {
            name == *other_name && is_same(value, other)
        })
}

fn number_of(index: usize) -> u32 {
    u32::try_from(index).unwrap_or_default()
}

/// Responds to a request.
pub async fn send(call: &Call, response: Response<Body>) {
    let (parts, body) = response.into_parts();
    let status = parts.status.as_u16();
    let size = body.size_hint().exact();
    // After each wait: until then another response can number the sets anew.
    let headers = || Headers::of(&parts.headers, size.is_some_and(|size| size > 0));
    if size.is_none() {
        return send_stream(call, status, &headers(), body);
    }
    match whole(body).await {
        Ok(body) => {
            let Headers { set, own } = headers();
            if own.is_none() && parts.extensions.get::<Repeatable>().is_some() {
                respond_always(call.id(), status, set, &body);
            } else {
                respond(call.id(), status, set, own.as_deref(), &body);
            }
        }
        Err(error) => fail(call, &error),
    }
}

#[cold]
#[inline(never)]
fn fail(call: &Call, error: &axum::Error) {
    HostEvent::BodyFailed { cause: Cause(error) }.emit();
    respond_bare(call, StatusCode::INTERNAL_SERVER_ERROR);
}

#[inline(never)]
fn send_stream(call: &Call, status: u16, Headers { set, own }: &Headers, body: Body) {
    let stream = next_id();
    STREAMS.with_borrow_mut(|streams| streams.insert(stream, Stream { body: Some(body), task: 0 }));
    respond_with_stream(call.id(), status, *set, own.as_deref(), stream);
}

/// A body of known length, which is one part, or a few.
async fn whole(mut body: Body) -> Result<Bytes, axum::Error> {
    let mut whole = Bytes::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        if let Ok(part) = frame?.into_data() {
            whole = if whole.is_empty() { part } else { [whole, part].concat().into() };
        }
    }
    Ok(whole)
}

/// Responds to a request that is not valid in HTTP.
#[cold]
#[inline(never)]
pub fn refuse(call: &Call, reason: &str) {
    HostEvent::RequestMalformed { cause: Cause(&reason) }.emit();
    respond_bare(call, StatusCode::BAD_REQUEST);
}

fn respond_bare(call: &Call, status: StatusCode) {
    respond(call.id(), status.as_u16(), set_number(&[]), None, &[]);
}

/// Makes the next part of a stream. JavaScript calls this.
pub extern "C" fn pull(stream: u32) {
    let task = next_id();
    let body = STREAMS.with_borrow_mut(|streams| {
        let stream = streams.get_mut(stream)?;
        let body = stream.body.take()?;
        stream.task = task;
        Some(body)
    });
    let Some(mut body) = body else { return };
    enter(|| {
        spawn(task, async move {
            match poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
                Some(Ok(frame)) => {
                    // Not after `cancel`.
                    let is_wanted = STREAMS.with_borrow_mut(|streams| {
                        streams.get_mut(stream).map(|stream| stream.body = Some(body)).is_some()
                    });
                    match frame.into_data() {
                        Ok(part) => push_part(stream, &part),
                        // Trailers: workerd has none.
                        Err(_) if is_wanted => pull(stream),
                        Err(_) => {}
                    }
                }
                end => {
                    STREAMS.with_borrow_mut(|streams| streams.remove(stream));
                    end_stream(stream, end.is_none());
                }
            }
        });
    });
}

/// Drops a stream, whose client has disconnected. JavaScript calls this.
pub extern "C" fn cancel(stream: u32) {
    let Some(stream) = STREAMS.with_borrow_mut(|streams| streams.remove(stream)) else { return };
    // The runtime may have cancelled the operation of the part under way.
    abandon(stream.task);
    enter(|| drop(stream));
}
