//! Our answer as the runtime wants it.
//!
//! Every body here is in memory already. `worker` would make a stream of it, which costs more than
//! most of our handlers; this hands the bytes over, and status and headers in one string.

use axum::body::{Body, to_bytes};
use http::{HeaderMap, Response};
use serde::{Serialize, Serializer};
use worker::{
    js_sys::{JSON, Uint8Array},
    wasm_bindgen::JsCast,
    worker_sys::web_sys::{self, ResponseInit},
};

/// A `ResponseInit` of the Fetch standard.
#[derive(Serialize)]
struct Init<'a> {
    status: u16,
    #[serde(serialize_with = "serialize_headers")]
    headers: &'a HeaderMap,
}

/// As an object where it can be: the runtime takes three times as long for a list of pairs, which only
/// a name that is there twice needs.
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
/// When the runtime does not take the answer, or its body cannot be read.
pub async fn into_web(response: Response<Body>) -> worker::Result<web_sys::Response> {
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.map_err(|error| error.to_string())?;
    let init = Init { status: parts.status.as_u16(), headers: &parts.headers };
    let init: ResponseInit = JSON::parse(&serde_json::to_string(&init)?)?.unchecked_into();
    // A copy that JavaScript owns: the runtime may read it after this memory is used for something
    // else. No body, and not an empty one: 204 and 304 may not have any.
    let bytes = (!body.is_empty()).then(|| Uint8Array::from(&body[..]));
    Ok(web_sys::Response::new_with_opt_js_u8_array_and_init(bytes.as_ref(), &init)?)
}
