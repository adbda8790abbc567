//! Signatures, verified by the runtime's Web Crypto behind [`SignatureVerifier`].
//! <https://developers.cloudflare.com/workers/runtime-apis/web-crypto/>

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use wasm_bindgen::prelude::wasm_bindgen;

use super::operation::{Operation, Outcome};
use crate::{RsaPublicKey, SignatureError, SignatureVerifier};

#[wasm_bindgen(module = "/src/workers/signature.js")]
extern "C" {
    #[wasm_bindgen(js_name = verifyRs256)]
    fn verify_rs256(waiter: u32, modulus: &str, exponent: &str, message: &[u8], signature: &[u8]);
}

/// The runtime's verification.
#[derive(Debug)]
pub struct WorkersSignatureVerifier;

#[async_trait]
impl SignatureVerifier for WorkersSignatureVerifier {
    async fn verify_rs256(
        &self,
        key: &RsaPublicKey,
        message: &[u8],
        signature: &[u8],
    ) -> Result<bool, SignatureError> {
        let [modulus, exponent] =
            [key.modulus(), &RsaPublicKey::EXPONENT].map(|number| URL_SAFE_NO_PAD.encode(number));
        let verification = Operation::start(|waiter| {
            verify_rs256(waiter, &modulus, &exponent, message, signature);
        });
        match verification.await {
            Outcome::Bytes(text) => Ok(text == b"valid"),
            Outcome::Nothing => Ok(false),
            Outcome::Failed(reason) => Err(SignatureError(reason)),
            Outcome::TimedOut => Err(SignatureError("no outcome in time".to_owned())),
        }
    }
}
