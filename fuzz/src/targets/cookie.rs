//! `Cookie` headers, one to a line: parses them, and writes a session over any cookies they contain.

use std::{collections::BTreeSet, sync::LazyLock};

use axum_authkit::{
    config::{CookieConfig, SameSite},
    cookie::{COOKIE_MAX_BYTES, RequestCookies},
    origin::RequestOrigin,
};
use http::{HeaderMap, HeaderValue, header};

static ORIGIN: LazyLock<RequestOrigin> = LazyLock::new(|| {
    let url = "https://app.test".parse().unwrap();
    RequestOrigin::of_url(url).unwrap()
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
        assert!(is_made_of(&candidate, &headers), "{candidate:?}");
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

/// Whether the value is one that the headers have, or several of them, one after the other.
fn is_made_of(value: &str, headers: &HeaderMap) -> bool {
    // A pair that is not UTF-8 hides no other.
    let lines = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes);
    let pairs = lines.flat_map(|line| line.split(|byte| *byte == b';'));
    let pairs = pairs.filter_map(|pair| std::str::from_utf8(pair).ok()?.split_once('='));
    let values: BTreeSet<&str> = pairs
        .map(|(_, value)| value.trim_matches([' ', '\t']))
        .filter(|value| !value.is_empty())
        .collect();
    // The lengths of the starts that are made of values.
    let mut starts = BTreeSet::from([0]);
    while let Some(start) = starts.pop_first() {
        if start == value.len() {
            return true;
        }
        let rest = &value[start..];
        starts.extend(
            values.iter().filter(|part| rest.starts_with(**part)).map(|part| start + part.len()),
        );
    }
    false
}
