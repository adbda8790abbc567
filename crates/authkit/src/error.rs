//! Error responses: `{"detail": …}`, in FastAPI's shape.
//!
//! An [`AppError`] carries the detail for the caller and, separately, the cause for the log. The response
//! carries the error as an extension, from which a layer logs it and makes a page of it.

use std::fmt::Display;

use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::Value;

/// An error response.
#[derive(Debug, Clone)]
pub struct AppError {
    /// The status.
    pub status: StatusCode,
    /// The message for the caller: text, or a list of problems.
    pub detail: Value,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// The parts that the JSON body lacks.
    pub internal: Box<Internal>,
}

/// The parts of an error for the log and for a browser's page.
#[derive(Debug, Clone, Default)]
pub struct Internal {
    /// The cause, for the log alone.
    pub cause: Option<Box<str>>,
    /// The action that a page offers: a link's text and address.
    pub action: Option<(&'static str, String)>,
    /// The page for browsers, instead of the general error page.
    pub page: Option<Box<str>>,
}

impl AppError {
    /// An error with `detail`: text or any other JSON.
    #[must_use]
    pub fn new(status: StatusCode, detail: impl Into<Value>) -> Self {
        Self { status, detail: detail.into(), headers: Vec::new(), internal: Box::default() }
    }

    /// 500 without details; `cause` goes to the log.
    #[must_use]
    pub fn internal(cause: impl Display) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal error").caused_by(cause)
    }

    /// 503 with `Retry-After`; `cause` goes to the log.
    #[must_use]
    pub fn unavailable(
        detail: impl Into<Value>,
        retry_after_secs: u32,
        cause: impl Display,
    ) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
            .caused_by(cause)
            .with_header(header::RETRY_AFTER, retry_after_secs.into())
    }

    /// Sets the cause, which only the log shows.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Display) -> Self {
        self.internal.cause = Some(cause.to_string().into());
        self
    }

    /// Adds a header to the response.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Sets the action that a page offers.
    #[must_use]
    pub fn with_action(mut self, label: &'static str, href: impl Into<String>) -> Self {
        self.internal.action = Some((label, href.into()));
        self
    }

    /// Sets the page for browsers, which is HTML.
    #[must_use]
    pub fn with_page(mut self, page: impl Into<String>) -> Self {
        self.internal.page = Some(page.into().into());
        self
    }
}

impl IntoResponse for AppError {
    fn into_response(self) -> Response {
        let body = ["{\"detail\":", &edge_host::json::write(&self.detail), "}"].concat();
        let mut response =
            (self.status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
        response.headers_mut().extend(self.headers.clone());
        response.extensions_mut().insert(self);
        response
    }
}
