//! Outgoing requests: `fetch()` with a time limit, redirects not followed.
//!
//! `fetch()` is called directly, as KV is in [`super::kv`]: `worker::Fetch` would add a quarter to the bundle's
//! bindings, for features that small JSON exchanges do not use.

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderName, Request, Response, header};
use serde_json::{Map, Value, json};
use wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen};
use worker::{
    js_sys::{self, JSON, Promise, Reflect},
    send::SendFuture,
    wasm_bindgen_futures::JsFuture,
};

use crate::{HTTP_MAX_MILLIS, HttpClient, HttpClientError};

/// The response's headers that callers read.
const READ_HEADERS: [HeaderName; 3] =
    [header::CACHE_CONTROL, header::CONTENT_TYPE, header::RETRY_AFTER];

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(catch)]
    fn fetch(url: &str, init: &JsValue) -> Result<Promise, JsValue>;

    #[wasm_bindgen(js_name = "timeout", js_namespace = AbortSignal)]
    fn abort_after(millis: u32) -> JsValue;

    type FetchedResponse;

    #[wasm_bindgen(method, getter)]
    fn status(this: &FetchedResponse) -> u16;

    #[wasm_bindgen(method, getter)]
    fn headers(this: &FetchedResponse) -> FetchedHeaders;

    #[wasm_bindgen(method, catch)]
    fn text(this: &FetchedResponse) -> Result<Promise, JsValue>;

    type FetchedHeaders;

    #[wasm_bindgen(method)]
    fn get(this: &FetchedHeaders, name: &str) -> Option<String>;
}

/// The Worker's `fetch()`.
pub struct FetchClient;

#[async_trait]
impl HttpClient for FetchClient {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpClientError> {
        SendFuture::new(async {
            exchange(&request).await.map_err(|error| {
                let name =
                    Reflect::get(&error, &"name".into()).ok().and_then(|name| name.as_string());
                // The runtime's message may contain addresses, so it goes no further.
                match name.as_deref() {
                    Some("TimeoutError") => HttpClientError::Timeout,
                    _ => HttpClientError::Connection,
                }
            })
        })
        .await
    }
}

async fn exchange(request: &Request<Bytes>) -> Result<Response<Bytes>, JsValue> {
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
    let init = JSON::parse(&init.to_string())?;
    Reflect::set(&init, &"signal".into(), &abort_after(HTTP_MAX_MILLIS))?;

    let fetched = JsFuture::from(fetch(&request.uri().to_string(), &init)?).await?;
    let fetched: FetchedResponse = fetched.unchecked_into();
    let body = JsFuture::from(fetched.text()?).await?.as_string().unwrap_or_default();
    let mut response = Response::builder().status(fetched.status());
    for name in READ_HEADERS {
        if let Some(value) = fetched.headers().get(name.as_str()) {
            response = response.header(name, value);
        }
    }
    response.body(body.into()).map_err(|_| js_sys::Error::new("not an HTTP response").into())
}
