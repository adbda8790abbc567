//! Outgoing HTTP requests.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderName, header};
use thiserror::Error;

use crate::{Clock, Wait};

opaque_debug!(MeasuredHttpClient);

/// The longest time for an outgoing request and its response. A browser waits meanwhile, and an error after ten
/// seconds serves its user better than a result after thirty.
pub const HTTP_MAX_MILLIS: u32 = 10_000;

/// The headers that a response of an [`HttpClient`] has.
pub const RESPONSE_HEADERS: [HeaderName; 3] =
    [header::CACHE_CONTROL, header::CONTENT_TYPE, header::RETRY_AFTER];

/// Sends one HTTP request and reads the whole response. Redirects are not followed. It is for exchanges of text with
/// services that respond within [`HTTP_MAX_MILLIS`], such as a JSON API:
///
/// - bodies are UTF-8; any other response is [`HttpClientError::Connection`];
/// - of several headers of a request with one name, the last is sent;
/// - a response has the headers [`RESPONSE_HEADERS`] and no others.
///
/// For anything else, use `worker::Fetch`.
#[async_trait]
pub trait HttpClient: Send + Sync {
    /// # Errors
    ///
    /// [`HttpClientError`] when there is no response. A response of any status is not an error.
    async fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, HttpClientError>;
}

/// The reason that an outgoing request has no response.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HttpClientError {
    /// No response within [`HTTP_MAX_MILLIS`].
    #[error("no response in time")]
    Timeout,
    /// The connection failed, the response broke off, or its body is not UTF-8.
    #[error("connection failed")]
    Connection,
}

/// A client that measures each request in the scope of the incoming one.
pub struct MeasuredHttpClient {
    http: Arc<dyn HttpClient>,
    clock: Arc<dyn Clock>,
    service: &'static str,
}

impl MeasuredHttpClient {
    /// Measures the requests of `http` by `clock`, as calls of `service`.
    #[must_use]
    pub fn new(http: Arc<dyn HttpClient>, clock: Arc<dyn Clock>, service: &'static str) -> Self {
        Self { http, clock, service }
    }
}

#[async_trait]
impl HttpClient for MeasuredHttpClient {
    async fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, HttpClientError> {
        let wait = Wait::begin(self.service, &*self.clock);
        let response = self.http.send(request).await;
        wait.end(&*self.clock);
        response
    }
}
