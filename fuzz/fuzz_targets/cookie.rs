//! `Cookie` headers, one to a line: reading them, and writing a session over whatever they hold.

#![no_main]

use authkit_edge::authkit::{
    config::SameSite,
    cookie::{COOKIE_MAX_BYTES, Cookie, RequestCookies},
};
use http::{HeaderMap, HeaderValue, header};
use libfuzzer_sys::fuzz_target;

/// A short name is found by the fuzzer.
const SESSION: Cookie<'_> = Cookie {
    name: "s",
    path: "/",
    max_age_secs: 3600,
    domain: Some("app.test"),
    same_site: SameSite::Lax,
    secure: true,
};

fuzz_target!(|data: &[u8]| {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(header::COOKIE, value);
        }
    }
    let cookies = RequestCookies::from_headers(&headers);
    for candidate in SESSION.read(&cookies) {
        assert!(!candidate.contains(';'));
        // What was read can be written, if there is room.
        if let Ok(set) = SESSION.write(&candidate, &cookies) {
            for header in set {
                assert!(header.as_bytes().starts_with(b"s") && header.len() <= COOKIE_MAX_BYTES);
            }
        }
    }
    for header in SESSION.remove(&cookies) {
        assert!(header.as_bytes().ends_with(b"; Domain=app.test; Secure"));
    }
});
