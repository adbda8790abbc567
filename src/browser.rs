//! Telling a browser from other clients, and sending it elsewhere.

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};

/// Whether the client prefers HTML to JSON: it names `text/html`, as every browser's navigation
/// does. `*/*` alone is curl.
#[must_use]
pub fn wants_html(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let media_type = parts.next()?;
            Some((media_type, !parts.any(|parameter| matches!(parameter, "q=0" | "q=0.0"))))
        })
        .any(|(media_type, accepted)| accepted && media_type.eq_ignore_ascii_case("text/html"))
}

/// An empty answer that leads to `location`. A location that is no header value leads home.
#[must_use]
pub fn redirect(status: StatusCode, location: &str) -> Response {
    let location = HeaderValue::from_str(location).unwrap_or(HeaderValue::from_static("/"));
    (status, [(header::LOCATION, location)]).into_response()
}
