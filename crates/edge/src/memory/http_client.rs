//! Scripted responses to outgoing requests.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};

use super::request::keep_headers;
use crate::{HttpClient, HttpClientError, RESPONSE_HEADERS};

opaque_debug!(ScriptedHttpClient);

/// Responds to a request.
type Script = dyn Fn(&Request<Bytes>) -> Result<Response<Bytes>, HttpClientError> + Send + Sync;

/// A client whose responses a function makes. It records the requests, and keeps to what an [`HttpClient`] can do: a
/// response loses the headers that it would not have on Workers, and one that is not UTF-8 fails.
pub struct ScriptedHttpClient {
    script: Box<Script>,
    requests: Mutex<Vec<Request<Bytes>>>,
}

impl ScriptedHttpClient {
    /// Lets `script` respond to every request.
    #[must_use]
    pub fn new(
        script: impl Fn(&Request<Bytes>) -> Result<Response<Bytes>, HttpClientError>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self { script: Box::new(script), requests: Mutex::default() }
    }

    /// No request gets a response.
    #[must_use]
    pub fn unreachable() -> Self {
        Self::new(|_| Err(HttpClientError::Connection))
    }

    /// The requests since the last call, in order.
    pub fn take_requests(&self) -> Vec<Request<Bytes>> {
        std::mem::take(&mut self.requests.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl HttpClient for ScriptedHttpClient {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpClientError> {
        let response = (self.script)(&request);
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        let mut response = response?;
        keep_headers(response.headers_mut(), |name| RESPONSE_HEADERS.contains(name));
        match std::str::from_utf8(response.body()) {
            Ok(_) => Ok(response),
            Err(_) => Err(HttpClientError::Connection),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn send(body: &'static [u8]) -> Result<Response<Bytes>, HttpClientError> {
        let client = ScriptedHttpClient::new(move |_| {
            let response = Response::builder().header("retry-after", "5").header("etag", "x");
            Ok(response.body(Bytes::from_static(body)).unwrap())
        });
        client.send(Request::new(Bytes::new())).now_or_never().unwrap()
    }

    #[test]
    fn response_has_what_one_on_workers_has() {
        let response = send("ü".as_bytes()).unwrap();
        assert_eq!(response.headers().keys().collect::<Vec<_>>(), ["retry-after"]);
        assert!(send(b"\xff").is_err());
    }
}
