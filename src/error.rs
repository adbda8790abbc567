//! The one place where errors become HTTP: `{"detail": …}`, as FastAPI answers.
//!
//! An [`AppError`] carries what the caller is told and, apart from it, what the log is told. It
//! travels in the answer's extensions too, where [`crate::report`] finds it.

use std::fmt::Display;

use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

/// An answer that is not what was asked for.
#[derive(Debug, Clone)]
pub struct AppError {
    /// The answer's status.
    pub status: StatusCode,
    /// What the caller is told.
    pub detail: Value,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// What the log is told, and nobody else.
    pub cause: Option<Box<str>>,
}

impl AppError {
    /// An error that says `detail` to the caller. JSON `null`s and objects are as welcome as text.
    #[must_use]
    pub fn new(status: StatusCode, detail: impl Into<Value>) -> Self {
        Self { status, detail: detail.into(), headers: Vec::new(), cause: None }
    }

    /// 500, which says nothing of the inside; `cause` goes to the log.
    #[must_use]
    pub fn internal(cause: impl Display) -> Self {
        Self {
            cause: Some(cause.to_string().into()),
            ..Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal error")
        }
    }

    /// 503 with `Retry-After`; `cause` goes to the log.
    #[must_use]
    pub fn unavailable(
        detail: impl Into<Value>,
        retry_after_secs: u32,
        cause: impl Display,
    ) -> Self {
        Self {
            cause: Some(cause.to_string().into()),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
        }
        .with_header(header::RETRY_AFTER, retry_after_secs.into())
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }
}

impl IntoResponse for AppError {
    fn into_response(self) -> Response {
        let body = json!({"detail": self.detail}).to_string();
        let mut response =
            (self.status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
        response.headers_mut().extend(self.headers.clone());
        response.extensions_mut().insert(self);
        response
    }
}
