//! Outgoing requests: `fetch()` with a time limit, redirects not followed.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::{Either, select};
use http::{Request, Response, response};
use worker::{
    AbortController, Delay, Fetch, Headers, Method, RequestInit, RequestRedirect, send::SendFuture,
    wasm_bindgen::JsValue,
};

use crate::runtime::{HttpClient, HttpClientError};

/// A browser is waiting: better a clear answer in ten seconds than a good one in thirty.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// The Worker's `fetch()`.
pub struct FetchClient;

#[async_trait]
impl HttpClient for FetchClient {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpClientError> {
        SendFuture::new(async {
            let controller = AbortController::default();
            let signal = controller.signal();
            let exchange = std::pin::pin!(exchange(request, &signal));
            match select(exchange, Delay::from(TIMEOUT)).await {
                // The runtime's errors name addresses at best; nothing in them is for the caller.
                Either::Left((answer, _)) => answer.map_err(|_| HttpClientError::Connection),
                Either::Right(_) => {
                    controller.abort();
                    Err(HttpClientError::Timeout)
                }
            }
        })
        .await
    }
}

async fn exchange(
    request: Request<Bytes>,
    signal: &worker::AbortSignal,
) -> worker::Result<Response<Bytes>> {
    let (parts, body) = request.into_parts();
    let mut init = RequestInit::new();
    init.with_method(Method::from(parts.method.to_string()))
        .with_headers(Headers::from(&parts.headers))
        .with_redirect(RequestRedirect::Manual);
    if !body.is_empty() {
        let text = std::str::from_utf8(&body)?;
        init.with_body(Some(JsValue::from_str(text)));
    }
    let request = worker::Request::new_with_init(&parts.uri.to_string(), &init)?;
    let mut answer = Fetch::Request(request).send_with_signal(signal).await?;
    let mut response = response::Builder::new().status(answer.status_code());
    for (name, value) in answer.headers() {
        response = response.header(name, value);
    }
    let body = answer.bytes().await?;
    Ok(response.body(body.into())?)
}
