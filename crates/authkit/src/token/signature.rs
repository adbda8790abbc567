//! RS256 as an algorithm of `jwt-compact` whose signatures the host verifies.
//!
//! The host's verification is asynchronous and `jwt-compact`'s is not. So the host verifies first, and
//! [`CheckedSignature`] gives `jwt-compact` the outcome for exactly the bytes that the host has verified. Only
//! [`CheckedSignature::check`] makes one, so no token passes without the host's verification.

use std::{borrow::Cow, convert::Infallible};

use edge_host::{RsaPublicKey, SignatureError, SignatureVerifier};
use jwt_compact::{Algorithm, AlgorithmSignature};

/// The `alg` header of the only algorithm.
pub(super) const ALGORITHM: &str = "RS256";

/// The host's outcome for one message and signature.
pub(super) struct CheckedSignature<'a> {
    message: &'a [u8],
    signature: &'a [u8],
    is_valid: bool,
}

/// The bytes of a signature.
pub(super) struct Rs256Signature(Box<[u8]>);

impl<'a> CheckedSignature<'a> {
    /// Verifies `signature` over `message` by the host.
    ///
    /// # Errors
    ///
    /// [`SignatureError`].
    pub async fn check(
        message: &'a [u8],
        signature: &'a [u8],
        key: &RsaPublicKey,
        verifier: &dyn SignatureVerifier,
    ) -> Result<Self, SignatureError> {
        let is_valid = verifier.verify_rs256(key, message, signature).await?;
        Ok(Self { message, signature, is_valid })
    }
}

impl Algorithm for CheckedSignature<'_> {
    /// This crate signs nothing.
    type SigningKey = Infallible;
    type VerifyingKey = ();
    type Signature = Rs256Signature;

    fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed(ALGORITHM)
    }

    fn sign(&self, key: &Infallible, _: &[u8]) -> Rs256Signature {
        match *key {}
    }

    fn verify_signature(&self, signature: &Rs256Signature, (): &(), message: &[u8]) -> bool {
        self.is_valid && *signature.0 == *self.signature && message == self.message
    }
}

impl AlgorithmSignature for Rs256Signature {
    fn try_from_slice(bytes: &[u8]) -> anyhow::Result<Self> {
        Ok(Self(bytes.into()))
    }

    fn as_bytes(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcome_counts_for_its_own_bytes_alone() {
        let verifies = |is_valid, message: &[u8], signature: &[u8]| {
            let checked =
                CheckedSignature { message: b"message", signature: b"signature", is_valid };
            let signature = Rs256Signature::try_from_slice(signature).unwrap();
            checked.verify_signature(&signature, &(), message)
        };
        assert!(verifies(true, b"message", b"signature"));
        assert!(!verifies(false, b"message", b"signature"));
        for (message, signature) in
            [("message", "other"), ("other", "signature"), ("message", ""), ("", "signature")]
        {
            assert!(!verifies(true, message.as_bytes(), signature.as_bytes()), "{message}");
        }
    }
}
