//! JSON answers. axum's own `Json` turns on serde_json's `raw_value`, which is not to be had here: see
//! `Cargo.toml`.

use axum::response::{IntoResponse, Response};
use http::header;
use serde::Serialize;

use crate::error::AppError;

/// An answer's body.
#[derive(Debug, Clone, Copy)]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
            Err(error) => AppError::internal(error).into_response(),
        }
    }
}
