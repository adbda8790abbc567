//! The one place where errors become HTTP: `{"detail": …}`, as FastAPI answers.
//!
//! An [`AppError`] carries what the caller is told and, apart from it, what the log is told. It
//! travels in the answer's extensions too, where a layer finds it.

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
    /// What only the log and a browser's page have of it.
    pub aside: Box<Aside>,
}

/// What programs are not told.
#[derive(Debug, Clone, Default)]
pub struct Aside {
    /// What the log is told, and nobody else.
    pub cause: Option<Box<str>>,
    /// What can be done about it: a link's text, and where it leads.
    pub way_on: Option<(&'static str, String)>,
    /// The page, instead of the one that all errors have.
    pub page: Option<Box<str>>,
}

impl AppError {
    /// An error that says `detail` to the caller. JSON `null`s and objects are as welcome as text.
    #[must_use]
    pub fn new(status: StatusCode, detail: impl Into<Value>) -> Self {
        Self { status, detail: detail.into(), headers: Vec::new(), aside: Box::default() }
    }

    /// 500, which says nothing of the inside; `cause` goes to the log.
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

    /// Says to the log, and to nobody else, what happened.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Display) -> Self {
        self.aside.cause = Some(cause.to_string().into());
        self
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Says what a person can do about it.
    #[must_use]
    pub fn with_way_on(mut self, label: &'static str, href: impl Into<String>) -> Self {
        self.aside.way_on = Some((label, href.into()));
        self
    }

    /// Answers browsers with `page`.
    #[must_use]
    pub fn with_page(mut self, page: impl Into<String>) -> Self {
        self.aside.page = Some(page.into().into());
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

/// What the interfaces say of a failed KV operation, until each maps the store's own errors.
impl From<edge_host::KvError> for AppError {
    fn from(error: edge_host::KvError) -> Self {
        let detail = if error.is_of_write() {
            "Expenses cannot be reached right now, and the change may or may not have been saved: look, or \
             send it again in a moment"
        } else {
            "Expenses cannot be reached right now: try again in a moment"
        };
        Self::unavailable(detail, 2, error)
    }
}
