//! Request bodies: read up to a limit, and by their media type.

use std::{future::poll_fn, pin::Pin};

use axum::body::{Body, HttpBody as _};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde_json::Value;

use crate::fastapi::parse_json;
use axum_authkit::{AppError, browser::JSON};

/// The media type of forms with files.
pub(crate) const UPLOAD: &str = "multipart/form-data";

const MERGE_PATCH: &str = "application/merge-patch+json";
const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");

/// Longest body that is read.
const MAX_BODY_KIB: usize = 64;

/// Reads a JSON body and parses it.
///
/// # Errors
///
/// As [`read_json_bytes`], and 422 for text that is not JSON.
pub async fn read_json(headers: &HeaderMap, body: Body) -> Result<Value, AppError> {
    Ok(parse_json(&read_json_bytes(headers, body).await?)?)
}

/// Reads a JSON merge patch (RFC 7396) and parses it.
///
/// # Errors
///
/// As [`read_json`]. A body that cannot be read gets the types in `Accept-Patch` (RFC 5789, section 3.1): other patch
/// formats are JSON too, and would be read as something else.
pub async fn read_merge_patch(headers: &HeaderMap, body: Body) -> Result<Value, AppError> {
    let is_patch = |essence: &str| matches!(essence, MERGE_PATCH | JSON);
    let patch = read_bytes_of(headers, body, is_patch).await;
    let types = HeaderValue::from_static("application/merge-patch+json, application/json");
    let patch = patch.map_err(|error| error.with_header(ACCEPT_PATCH, types))?;
    Ok(parse_json(&patch)?)
}

/// Reads a JSON body.
///
/// # Errors
///
/// 415 for another media type, a patch's too; 413 past 64 KiB, 400 if the body breaks off.
pub async fn read_json_bytes(headers: &HeaderMap, body: Body) -> Result<Vec<u8>, AppError> {
    read_bytes_of(headers, body, is_json).await
}

async fn read_bytes_of(
    headers: &HeaderMap,
    body: Body,
    is_type: fn(&str) -> bool,
) -> Result<Vec<u8>, AppError> {
    let body = read_body(body).await?;
    // An empty body has no type.
    let essence = headers.get(header::CONTENT_TYPE).and_then(essence);
    if !body.is_empty() && !essence.is_some_and(|essence| is_type(&essence)) {
        return Err(AppError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "The body must be JSON: send Content-Type: application/json",
        ));
    }
    Ok(body)
}

/// Reads a body of any media type.
///
/// # Errors
///
/// 413 past 64 KiB, 400 if the body breaks off.
pub async fn read_body(body: Body) -> Result<Vec<u8>, AppError> {
    read_body_up_to(body, MAX_BODY_KIB).await
}

/// Reads a body of any media type into one buffer. A body whose declared length is over the limit is not touched.
///
/// # Errors
///
/// 413 past `max_kib`, 400 if the body breaks off.
pub async fn read_body_up_to(mut body: Body, max_kib: usize) -> Result<Vec<u8>, AppError> {
    max_bytes(&body, max_kib)?;
    let length = body.size_hint().lower() as usize;
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let broken_off =
            |_| AppError::new(StatusCode::BAD_REQUEST, "The body broke off: send it again");
        let Ok(part) = frame.map_err(broken_off)?.into_data() else { continue };
        if bytes.len() + part.len() > max_kib * 1024 {
            return Err(too_long(max_kib));
        }
        if bytes.is_empty() {
            // No memory for a client that sends nothing.
            bytes.reserve_exact(length.max(part.len()));
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

/// The most bytes that the body can have: the declared length, or `max_kib`.
///
/// # Errors
///
/// 413 where the declared length is past `max_kib`.
pub(crate) fn max_bytes(body: &Body, max_kib: usize) -> Result<usize, AppError> {
    let max_bytes = max_kib * 1024;
    let length = body.size_hint();
    if length.lower() > max_bytes as u64 {
        return Err(too_long(max_kib));
    }
    Ok(length.exact().and_then(|exact| exact.try_into().ok()).unwrap_or(max_bytes))
}

fn too_long(max_kib: usize) -> AppError {
    let detail = format!("The body must not be longer than {max_kib} KiB");
    AppError::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
}

/// `application/x-www-form-urlencoded`, which a page of any site can make a browser send: see
/// [`RequestOrigin::is_same_origin_form`](axum_authkit::origin::RequestOrigin::is_same_origin_form).
#[must_use]
pub fn is_form(content_type: &HeaderValue) -> bool {
    essence(content_type).as_deref() == Some("application/x-www-form-urlencoded")
}

/// `multipart/form-data`, a form with a file, which a page of any site can make a browser send too.
#[must_use]
pub fn is_upload(content_type: &HeaderValue) -> bool {
    essence(content_type).as_deref() == Some(UPLOAD)
}

/// The media type in lower case, without its parameters.
pub(crate) fn essence(content_type: &HeaderValue) -> Option<String> {
    let essence = content_type.to_str().ok()?.split(';').next()?;
    Some(essence.trim().to_ascii_lowercase())
}

/// `application/json`, or a type with the suffix `+json` (RFC 6839) that is no patch.
fn is_json(essence: &str) -> bool {
    let name = essence.strip_prefix("application/").and_then(|name| name.strip_suffix("json"));
    name.is_some_and(|name| name.is_empty() || name.ends_with('+') && !name.ends_with("-patch+"))
}
