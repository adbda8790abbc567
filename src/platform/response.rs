//! Our answer as the runtime wants it.
//!
//! Every body here is in memory already. `worker` would make a stream of it, which costs more than
//! most of our handlers; this hands the bytes over, and status and headers in one string.

use std::{borrow::Cow, collections::BTreeMap};

use axum::body::{Body, to_bytes};
use http::{Response, header};
use serde::Serialize;
use worker::{
    js_sys::{JSON, Uint8Array},
    wasm_bindgen::JsCast,
    worker_sys::web_sys::{self, ResponseInit},
};

/// A `ResponseInit` of the Fetch standard. The runtime takes headers by name in a third of the time
/// that it takes for a list of pairs.
#[derive(Serialize)]
struct Init<'a> {
    status: u16,
    headers: BTreeMap<&'a str, Cow<'a, str>>,
}

/// # Errors
///
/// When the runtime does not take the answer, or its body cannot be read.
pub async fn into_web(response: Response<Body>) -> worker::Result<web_sys::Response> {
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.map_err(|error| error.to_string())?;
    let mut headers: BTreeMap<&str, Cow<'_, str>> = BTreeMap::new();
    for (name, value) in &parts.headers {
        if name == header::SET_COOKIE {
            continue;
        }
        let value = String::from_utf8_lossy(value.as_bytes());
        // Of the other headers, more than one mean the same as their list (RFC 9110, section 5.3).
        headers
            .entry(name.as_str())
            .and_modify(|values| *values = format!("{values}, {value}").into())
            .or_insert(value);
    }
    let init = serde_json::to_string(&Init { status: parts.status.as_u16(), headers })?;
    let init: ResponseInit = JSON::parse(&init)?.unchecked_into();
    // A copy that JavaScript owns: the runtime may read it after this memory is used for something
    // else. No body, and not an empty one: 204 and 304 may not have any.
    let bytes = (!body.is_empty()).then(|| Uint8Array::from(&body[..]));
    let answer = web_sys::Response::new_with_opt_js_u8_array_and_init(bytes.as_ref(), &init)?;
    for cookie in parts.headers.get_all(header::SET_COOKIE) {
        answer.headers().append("set-cookie", &String::from_utf8_lossy(cookie.as_bytes()))?;
    }
    Ok(answer)
}
