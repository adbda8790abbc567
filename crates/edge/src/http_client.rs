//! Outgoing HTTP requests.

use async_trait::async_trait;
use bytes::Bytes;
use thiserror::Error;

/// Sends one HTTP request and reads the whole answer. Redirects are not followed.
#[async_trait]
pub trait HttpClient: Send + Sync {
    /// # Errors
    ///
    /// [`HttpClientError`] when there is no answer at all; any status is an answer.
    async fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, HttpClientError>;
}

/// Why an outgoing request has no answer.
#[derive(Debug, Error)]
pub enum HttpClientError {
    /// No answer within the client's own limit.
    #[error("no answer in time")]
    Timeout,
    /// The connection failed, or the answer broke off.
    #[error("connection failed")]
    Connection,
}
