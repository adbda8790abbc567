//! The signatures of `signatures.json` on the memory host. `tests/wasm.rs` at the root has them verified by Web Crypto.

#![allow(clippy::unwrap_used, missing_docs)]

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use edge_host::{RsaPublicKey, SignatureVerifier, memory::MemorySignatureVerifier};
use serde::Deserialize;

#[derive(Deserialize)]
struct File {
    signatures: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    modulus: String,
    message: String,
    signature: String,
    is_valid: bool,
}

#[tokio::test]
async fn memory_host_verifies_the_vectors() {
    let file: File = serde_json::from_str(include_str!("signatures.json")).unwrap();
    assert_eq!(file.signatures.iter().filter(|vector| vector.is_valid).count(), 4);
    for vector in file.signatures {
        let [modulus, message, signature] = [vector.modulus, vector.message, vector.signature]
            .map(|text| URL_SAFE_NO_PAD.decode(text).unwrap());
        let key = RsaPublicKey::new(&modulus, &RsaPublicKey::EXPONENT).unwrap();
        let outcome = MemorySignatureVerifier.verify_rs256(&key, &message, &signature).await;
        assert_eq!(outcome, Ok(vector.is_valid), "{}", vector.name);
    }
}
