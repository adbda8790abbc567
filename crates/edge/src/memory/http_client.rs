//! Scripted responses to outgoing requests.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};

use crate::{HttpClient, HttpClientError};

opaque_debug!(ScriptedHttpClient);

/// Responds to a request.
type Script = dyn Fn(&Request<Bytes>) -> Result<Response<Bytes>, HttpClientError> + Send + Sync;

/// A client whose responses a function makes. It records the requests.
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
        response
    }
}
