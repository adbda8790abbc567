//! Access tokens: the input as a token, and its two lines as header and payload of a token with the signature of
//! another. The key is that of `crates/authkit/tests/vectors`; the fuzzer does not have its private half.

use std::sync::LazyLock;

use axum_authkit::{
    keys::KeySet,
    token::{SignatureCheckError, TokenError, TokenKind, UntrustedToken},
    workos::JwkSet,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use edge_host::memory::MemorySignatureVerifier;
use futures_util::FutureExt;

const TOKEN: &str = include_str!("../../../crates/authkit/tests/vectors/token.jwt");
const HEADER: &[u8] = br#"{"alg":"RS256","kid":"key_current"}"#;

static KEYS: LazyLock<KeySet> = LazyLock::new(|| {
    let keys = include_str!("../../../crates/authkit/tests/vectors/jwks.json");
    KeySet::from(serde_json::from_str::<JwkSet>(keys).unwrap())
});

pub fn check(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        check_token(text);
    }
    let mut lines = data.splitn(2, |byte| *byte == b'\n');
    let (first, second) = (lines.next().unwrap_or_default(), lines.next());
    // A single line is a payload.
    let (header, payload) = second.map_or((HEADER, first), |payload| (first, payload));
    let (_, signature) = TOKEN.trim().rsplit_once('.').unwrap();
    let [header, payload] = [header, payload].map(|part| URL_SAFE_NO_PAD.encode(part));
    check_token(&format!("{header}.{payload}.{signature}"));
}

fn check_token(text: &str) {
    let Ok(token) = UntrustedToken::parse(text) else { return };
    assert!(!token.kid().is_empty());
    let _ = token.session_id_unverified();

    let key = KEYS.find("key_current").unwrap();
    let verified = token.verify_signature(TokenKind::Session, key, &MemorySignatureVerifier);
    let verified = verified.now_or_never().unwrap().map(|_| ());
    if text != TOKEN.trim() {
        // The payload is parsed before the signature counts.
        let refused =
            [TokenError::Signature, TokenError::Malformed].map(SignatureCheckError::Token);
        assert!(verified.is_err_and(|error| refused.contains(&error)));
    }
}
