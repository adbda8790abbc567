//! Outgoing HTTP requests.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use thiserror::Error;

use crate::{Clock, Wait};

opaque_debug!(MeasuredHttpClient);

/// The longest time for an outgoing request and its response. A browser waits meanwhile, and an error after ten
/// seconds serves its user better than a result after thirty.
pub const HTTP_MAX_MILLIS: u32 = 10_000;

/// Sends one HTTP request and reads the whole response. Redirects are not followed.
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
    /// The connection failed, or the response broke off.
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
