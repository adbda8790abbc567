//! A key set as an issuer publishes it: no key in it but the signer's verifies a token.

use std::sync::LazyLock;

use axum_authkit::{
    keys::KeySet,
    token::{TokenKind, UntrustedToken},
    workos::JwkSet,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use edge_host::memory::MemorySignatureVerifier;
use futures_util::FutureExt;
use serde_json::Value;

const TOKEN: &str = include_str!("../../../crates/authkit/tests/vectors/token.jwt");

/// The modulus of the key that has signed [`TOKEN`].
static MODULUS: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let keys = include_str!("../../../crates/authkit/tests/vectors/jwks.json");
    let keys: Value = serde_json::from_str(keys).unwrap();
    let keys = keys["keys"].as_array().unwrap();
    let key = keys.iter().find(|key| key["kid"] == "key_current").unwrap();
    URL_SAFE_NO_PAD.decode(key["n"].as_str().unwrap()).unwrap()
});

pub fn check(data: &[u8]) {
    let Ok(set) = serde_json::from_slice::<JwkSet>(data) else { return };
    // A member that is skipped may have invalid bytes, with which the document is no `Value`.
    let Ok(document) = serde_json::from_slice::<Value>(data) else { return };
    let jwks = document["keys"].as_array().cloned().unwrap_or_default();
    let keys = KeySet::from(set);
    assert!(keys.find("").is_none());
    for kid in jwks.iter().filter_map(|key| key.get("kid")?.as_str()) {
        let Some(key) = keys.find(kid) else { continue };
        let token = UntrustedToken::parse(TOKEN.trim()).unwrap();
        let verified = token.verify_signature(TokenKind::Session, key, &MemorySignatureVerifier);
        if verified.now_or_never().unwrap().is_ok() {
            let is_signers = |key: &Value| {
                let number = key.get("n").and_then(Value::as_str);
                let number = number.and_then(|number| URL_SAFE_NO_PAD.decode(number).ok());
                let zeros = |number: &Vec<u8>| number.iter().take_while(|byte| **byte == 0).count();
                key.get("kid").and_then(Value::as_str) == Some(kid)
                    && number.is_some_and(|number| number[zeros(&number)..] == **MODULUS)
            };
            assert!(jwks.iter().any(is_signers), "{kid}");
        }
    }
}
