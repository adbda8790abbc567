//! The one place where errors become HTTP: `{"detail": …}`, as FastAPI answers.
//!
//! An [`AppError`] carries what the caller is told and, apart from it, what the log is told. The
//! [`report`] layer, around the whole router, logs once with the request's id, gives an unexpected
//! failure that id to show, and makes a page of the answer for a browser.

use std::fmt::Display;

use axum::{
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use crate::{pages, runtime::random_bytes};

/// An answer that is not what was asked for.
#[derive(Debug, Clone)]
pub struct AppError {
    status: StatusCode,
    detail: Value,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// For the log alone.
    cause: Option<String>,
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
            cause: Some(cause.to_string()),
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
            cause: Some(cause.to_string()),
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

/// The layer around every route: logs errors, and gives them the form their reader wants.
pub async fn report(request: Request, next: Next) -> Response {
    let request_id =
        request.headers().get("cf-ray").and_then(|ray| ray.to_str().ok()).map(str::to_owned);
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let wants_html = pages::wants_html(request.headers());

    let mut response = next.run(request).await;
    let Some(mut error) = response.extensions_mut().remove::<AppError>() else {
        return response;
    };
    if let Some(cause) = &error.cause {
        let request_id = request_id.unwrap_or_else(|| hex(&random_bytes::<8>()));
        log::error!("{request_id} {method} {path} {}: {cause}", error.status.as_u16());
        if error.status == StatusCode::INTERNAL_SERVER_ERROR {
            error.detail = format!(
                "Something went wrong on our side. If it happens again, report request {request_id}"
            )
            .into();
        }
    }
    // Headers that a layer inside of this one has added are kept.
    let headers = response.headers().clone();
    let mut response =
        if wants_html { pages::error(error.status, &error.detail) } else { error.into_response() };
    for (name, value) in &headers {
        if !response.headers().contains_key(name) || name == header::SET_COOKIE {
            response.headers_mut().append(name, value.clone());
        }
    }
    response
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
