//! JSON responses. axum's own `Json` turns on serde_json's `raw_value`, which lets a small request
//! overflow the stack of every parser in the application.

use axum::response::{IntoResponse, Response};
use http::header;
use serde::Serialize;

use crate::error::AppError;

/// `body` as `application/json`.
pub(crate) fn json_response(body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(error) => AppError::internal(error).into_response(),
    }
}
