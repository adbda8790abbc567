//! Signatures, verified by the crate `rsa`.

use async_trait::async_trait;
use rsa::{
    BigUint, Pkcs1v15Sign,
    sha2::{Digest, Sha256},
};

use crate::{RsaPublicKey, SignatureError, SignatureVerifier};

/// Verifies signatures on this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct MemorySignatureVerifier;

#[async_trait]
impl SignatureVerifier for MemorySignatureVerifier {
    async fn verify_rs256(
        &self,
        key: &RsaPublicKey,
        message: &[u8],
        signature: &[u8],
    ) -> Result<bool, SignatureError> {
        let [modulus, exponent] =
            [key.modulus(), &RsaPublicKey::EXPONENT].map(BigUint::from_bytes_be);
        let key = rsa::RsaPublicKey::new(modulus, exponent)
            .map_err(|error| SignatureError(error.to_string()))?;
        let digest = Sha256::digest(message);
        Ok(key.verify(Pkcs1v15Sign::new::<Sha256>(), &digest, signature).is_ok())
    }
}
