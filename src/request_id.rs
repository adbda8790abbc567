//! The request's ID, which the log, error responses and pages carry.

use http::HeaderMap;

/// The ID that Cloudflare gives the request, in the `cf-ray` header.
#[must_use]
pub fn request_id(headers: &HeaderMap) -> Option<String> {
    headers.get("cf-ray").and_then(|ray| ray.to_str().ok()).map(str::to_owned)
}
