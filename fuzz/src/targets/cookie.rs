//! `Cookie` headers, one to a line: parses them, and writes a session over any cookies they contain.

use std::sync::LazyLock;

use axum_authkit::{
    config::{CookieConfig, SameSite},
    cookie::{COOKIE_MAX_BYTES, RequestCookies},
    origin::RequestOrigin,
};
use http::{HeaderMap, HeaderValue, header};

static ORIGIN: LazyLock<RequestOrigin> = LazyLock::new(|| {
    let url = "https://app.test".parse().expect("a constant URL");
    RequestOrigin::of_url(url).expect("the URL has a host")
});

/// A short name, so that the fuzzer finds it.
static SESSION: LazyLock<CookieConfig> = LazyLock::new(|| CookieConfig {
    name: Some("s".to_owned()),
    max_age_secs: 3600,
    domain: Some("app.test".to_owned()),
    same_site: SameSite::Lax,
});

pub fn check(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(header::COOKIE, value);
        }
    }
    let cookies = RequestCookies::from_headers(&headers);
    let cookie = SESSION.session_cookie(&ORIGIN);
    for candidate in cookie.read(&cookies, |value| Some(value.to_owned())) {
        assert!(!candidate.contains(';'));
        // A value that was read can be written back if it fits.
        if let Ok(set) = cookie.write(&candidate, &cookies) {
            for header in set {
                assert!(header.as_bytes().starts_with(b"s") && header.len() <= COOKIE_MAX_BYTES);
            }
        }
    }
    for header in cookie.remove(&cookies) {
        assert!(header.as_bytes().ends_with(b"; Secure"));
    }
}
