//! An [`http::Response`] as the runtime's response.
//!
//! Nearly every body is in memory already. `worker` would make a stream of it, which costs more than most
//! handlers; this module passes the bytes, and status and headers in one string. A body of unknown length is
//! a stream: the runtime pulls a part when the client can receive it, an error aborts the response, and the
//! rest is dropped when the client disconnects.

use axum::body::{Body, HttpBody as _, to_bytes};
use futures_util::TryStreamExt;
use http::{HeaderMap, Response};
use serde::{Serialize, Serializer};
use wasm_streams::ReadableStream;
use worker::{
    js_sys::{self, JSON, Uint8Array},
    wasm_bindgen::{JsCast, JsValue},
    worker_sys::web_sys::{self, ResponseInit},
};

/// A `ResponseInit` of the Fetch standard.
#[derive(Serialize)]
struct Init<'a> {
    status: u16,
    #[serde(serialize_with = "serialize_headers")]
    headers: &'a HeaderMap,
}

/// Headers as an object, unless a name occurs twice, which needs a list of pairs: the runtime takes three
/// times as long for a list.
fn serialize_headers<S: Serializer>(headers: &HeaderMap, serializer: S) -> Result<S::Ok, S::Error> {
    let pairs = headers
        .iter()
        .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes())));
    if headers.len() == headers.keys_len() {
        serializer.collect_map(pairs)
    } else {
        serializer.collect_seq(pairs)
    }
}

/// # Errors
///
/// When the runtime rejects the response, or its body cannot be read.
pub async fn into_web(response: Response<Body>) -> worker::Result<web_sys::Response> {
    let (parts, body) = response.into_parts();
    let init = Init { status: parts.status.as_u16(), headers: &parts.headers };
    let init: ResponseInit = JSON::parse(&serde_json::to_string(&init)?)?.unchecked_into();
    if body.size_hint().exact().is_none() {
        let stream = stream_of(body);
        let response =
            web_sys::Response::new_with_opt_readable_stream_and_init(Some(&stream), &init);
        return Ok(response?);
    }
    let body = to_bytes(body, usize::MAX).await.map_err(|error| error.to_string())?;
    // JavaScript owns this copy: the runtime may read it after this memory is reused. An empty body becomes
    // no body, because 204 and 304 may not have one.
    let bytes = (!body.is_empty()).then(|| Uint8Array::from(&body[..]));
    Ok(web_sys::Response::new_with_opt_js_u8_array_and_init(bytes.as_ref(), &init)?)
}

fn stream_of(body: Body) -> web_sys::ReadableStream {
    let parts = body
        .into_data_stream()
        // The cause is in the log; the runtime shows this message to no client.
        .map_err(|_| JsValue::from(js_sys::Error::new("the response breaks off")))
        .map_ok(|part| JsValue::from(Uint8Array::from(&part[..])));
    ReadableStream::from_stream(parts).into_raw()
}
