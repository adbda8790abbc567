//! Access tokens: the input as one, and its two lines as the header and payload of one that somebody
//! else signed. The key is that of `tests/vectors`, whose private half the fuzzer does not have.

#![no_main]
#![allow(clippy::unwrap_used)]

use std::sync::LazyLock;

use authkit_edge::authkit::{
    AuthKitConfig,
    jwks::{JwkSet, KeySet},
    token::{TokenError, UntrustedToken},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::DateTime;
use libfuzzer_sys::fuzz_target;

const TOKEN: &str = include_str!("../../tests/vectors/token.jwt");
const HEADER: &[u8] = br#"{"alg":"RS256","kid":"key_current"}"#;

static KEYS: LazyLock<KeySet> = LazyLock::new(|| {
    let keys = include_str!("../../tests/vectors/jwks.json");
    KeySet::from(serde_json::from_str::<JwkSet>(keys).unwrap())
});
static CONFIG: LazyLock<AuthKitConfig> = LazyLock::new(|| {
    AuthKitConfig::from_lookup(|name| match name {
        "WORKOS_API_KEY" => Some("sk_test".to_owned()),
        "WORKOS_CLIENT_ID" => Some("client_test".to_owned()),
        "WORKOS_COOKIE_PASSWORD" => Some("a password of at least 32 characters".to_owned()),
        _ => None,
    })
    .unwrap()
});

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data) {
        check(text);
    }
    let mut lines = data.splitn(2, |byte| *byte == b'\n');
    let (first, second) = (lines.next().unwrap_or_default(), lines.next());
    // One line is a payload.
    let (header, payload) = second.map_or((HEADER, first), |payload| (first, payload));
    let (_, signature) = TOKEN.trim().rsplit_once('.').unwrap();
    let [header, payload] = [header, payload].map(|part| URL_SAFE_NO_PAD.encode(part));
    check(&format!("{header}.{payload}.{signature}"));
});

fn check(text: &str) {
    let Ok(token) = UntrustedToken::parse(text) else { return };
    assert!(!token.kid().is_empty());
    let _ = token.session_id_unverified();

    let now = DateTime::from_timestamp(1_795_435_200, 0).unwrap();
    let verified = token.verify(KEYS.find("key_current").unwrap(), &CONFIG, now);
    if text != TOKEN.trim() {
        // The payload is read before the signature is checked.
        assert!(matches!(verified, Err(TokenError::Signature | TokenError::Malformed)));
    }
}
