//! The `Authorization: Bearer` header (RFC 6750): an access token or an API key.

use http::{HeaderMap, HeaderValue, header};

use crate::api_keys::is_api_key;

/// Whether the request has an `Authorization` header with the scheme `Bearer`, even without a valid token.
/// Other schemes are not meant for this application, such as `Basic` for a password in front of a staging site.
#[must_use]
pub fn has_bearer(headers: &HeaderMap) -> bool {
    bearer_value(headers).is_some()
}

/// Whether the header holds an API key, which is not checked here.
pub(crate) fn has_api_key(headers: &HeaderMap) -> bool {
    bearer_value(headers).and_then(bearer_token).is_some_and(is_api_key)
}

pub(crate) fn bearer_value(headers: &HeaderMap) -> Option<&HeaderValue> {
    let scheme = |value: &HeaderValue| {
        let scheme = value.as_bytes().split(|byte| *byte == b' ').next().unwrap_or_default();
        scheme.eq_ignore_ascii_case(b"bearer")
    };
    headers.get_all(header::AUTHORIZATION).iter().find(|value| scheme(value))
}

/// The token after `Bearer`, whose case [`bearer_value`] ignores (RFC 9110, section 11.1).
pub(crate) fn bearer_token(value: &HeaderValue) -> Option<&str> {
    // `HeaderValue::to_str` checks a long token byte by byte, on every request.
    let text = std::str::from_utf8(value.as_bytes()).ok().filter(|text| text.is_ascii())?;
    let (_scheme, token) = text.split_once(' ')?;
    Some(token.trim()).filter(|token| !token.is_empty())
}
