//! Outgoing requests: `fetch()` with a time limit, redirects not followed.
//!
//! `fetch()` is called directly, as KV is in [`super::kv`]: `worker::Fetch` would add a quarter to the bundle's
//! bindings, for features that small JSON exchanges do not use.

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use serde_json::{Map, Value, json};
use wasm_bindgen::prelude::wasm_bindgen;

use super::operation::{Operation, Outcome};
use crate::{HTTP_MAX_MILLIS, HttpClient, HttpClientError, RESPONSE_HEADERS, json};

#[wasm_bindgen(module = "/src/workers/fetch.js")]
extern "C" {
    #[wasm_bindgen(js_name = sendRequest)]
    fn send_request(waiter: u32, url: &str, init: &str, max_millis: u32);
}

/// The Worker's `fetch()`.
pub struct FetchClient;

#[async_trait]
impl HttpClient for FetchClient {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpClientError> {
        let (url, init) = (request.uri().to_string(), init(&request));
        let exchange =
            Operation::start(|waiter| send_request(waiter, &url, &init, HTTP_MAX_MILLIS));
        match exchange.await {
            Outcome::Bytes(response) => read_response(response).ok_or(HttpClientError::Connection),
            Outcome::TimedOut => Err(HttpClientError::Timeout),
            Outcome::Nothing | Outcome::Failed(_) => Err(HttpClientError::Connection),
        }
    }
}

/// A `RequestInit` of the Fetch standard, as JSON.
fn init(request: &Request<Bytes>) -> String {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers: Map<String, Value> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), text(value).into()))
        .collect();
    let mut init = json!({
        "method": request.method().as_str(), "headers": headers, "redirect": "manual",
    });
    if !request.body().is_empty() {
        init["body"] = String::from_utf8_lossy(request.body()).into();
    }
    json::write(&init)
}

/// The status, the headers and the body, each after a line break.
fn read_response(response: Vec<u8>) -> Option<Response<Bytes>> {
    let response = String::from_utf8(response).ok()?;
    let mut parts = response.splitn(2 + RESPONSE_HEADERS.len(), '\n');
    let mut read = Response::builder().status(parts.next()?);
    for name in RESPONSE_HEADERS {
        let value = parts.next()?;
        if !value.is_empty() {
            read = read.header(name, value);
        }
    }
    read.body(parts.next()?.to_owned().into()).ok()
}
