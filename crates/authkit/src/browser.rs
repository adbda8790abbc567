//! Telling a browser from other clients, and sending it elsewhere.

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};

/// Whether the client prefers HTML to JSON, as every browser's navigation does.
#[must_use]
pub fn wants_html(headers: &HeaderMap) -> bool {
    accepts(headers, "text/html")
}

/// Whether the client names `media_type` among what it accepts (RFC 9110, section 12.5.1). `*/*`
/// names nothing: it is what curl sends.
#[must_use]
pub fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next()?;
            Some((name, !parts.any(|parameter| matches!(parameter, "q=0" | "q=0.0"))))
        })
        .any(|(name, is_accepted)| is_accepted && name.eq_ignore_ascii_case(media_type))
}

/// An empty answer that leads to `location`. A location that is no header value leads home.
#[must_use]
pub fn redirect(status: StatusCode, location: &str) -> Response {
    let location = HeaderValue::from_str(location).unwrap_or(HeaderValue::from_static("/"));
    (status, [(header::LOCATION, location)]).into_response()
}

/// A page that leads to `path`, of this origin, by itself: a navigation that begins here.
#[must_use]
pub fn meta_refresh_page(path: &str) -> Response {
    let href = escape_html(path);
    let page = format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"refresh\" content=\"0;url={href}\"><title>Signed in</title></head>\
         <body><p><a href=\"{href}\">Go on</a></p></body></html>"
    );
    let content_type = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
    (content_type, page).into_response()
}

/// A text as it stands in an HTML attribute.
fn escape_html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
