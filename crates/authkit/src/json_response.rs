//! JSON responses. axum's own `Json` turns on serde_json's `raw_value`, which lets a small request
//! overflow the stack of every parser in the application.

use axum::response::{IntoResponse, Response};
use edge_host::json;
use http::header;
use serde::Serialize;

/// `body` as `application/json`: a struct, which always has JSON.
pub(crate) fn json_response(body: &impl Serialize) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], json::write(body)).into_response()
}
