//! RS256 signatures (RFC 7518, section 3.3): the public key, and the host's verification.
//!
//! [`RsaPublicKey`] checks a key once for every host, so that hosts accept the same keys.

use async_trait::async_trait;
use thiserror::Error;

/// The sizes of a modulus: RFC 7518 requires 2048 bits, and a signature of more than 4096 bits is slow to verify.
const MODULUS_BITS: [usize; 3] = [2048, 3072, 4096];

/// A public key for RS256 signatures, of a secure size, with the exponent 65537.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RsaPublicKey {
    modulus: Box<[u8]>,
}

/// The modulus or the exponent of a key is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an RSA key needs an odd modulus of 2048, 3072 or 4096 bits and the exponent 65537")]
pub struct UnusableRsaKey;

impl RsaPublicKey {
    /// The exponent of every key, in big-endian bytes: 65537. Hosts differ in the other exponents that they accept.
    pub const EXPONENT: [u8; 3] = [1, 0, 1];

    /// A key from its modulus and exponent in big-endian bytes, which may begin with zeros.
    ///
    /// # Errors
    ///
    /// [`UnusableRsaKey`].
    pub fn new(modulus: &[u8], exponent: &[u8]) -> Result<Self, UnusableRsaKey> {
        let [modulus, exponent] = [modulus, exponent].map(without_leading_zeros);
        let bits = modulus.first().map_or(0, |first| {
            modulus.len() * 8 - usize::try_from(first.leading_zeros()).unwrap_or_default()
        });
        let is_odd = modulus.last().is_some_and(|last| last % 2 == 1);
        if exponent != Self::EXPONENT || !is_odd || !MODULUS_BITS.contains(&bits) {
            return Err(UnusableRsaKey);
        }
        Ok(Self { modulus: modulus.into() })
    }

    /// The modulus in big-endian bytes, without leading zeros.
    #[must_use]
    pub fn modulus(&self) -> &[u8] {
        &self.modulus
    }
}

fn without_leading_zeros(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    &bytes[zeros..]
}

/// The host could not verify a signature, so the signature is neither valid nor invalid.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the host cannot verify signatures: {0}")]
pub struct SignatureError(pub String);

/// Verifies signatures: by Web Crypto on Workers, which is faster than WebAssembly and no part of the bundle.
#[async_trait]
pub trait SignatureVerifier: Send + Sync {
    /// Whether `signature` is the RS256 signature of `message` by the private half of `key`: RSASSA-PKCS1-v1_5 with
    /// SHA-256 (RFC 8017, section 8.2). A signature of another length than the modulus is not.
    ///
    /// # Errors
    ///
    /// [`SignatureError`] when the host fails.
    async fn verify_rs256(
        &self,
        key: &RsaPublicKey,
        message: &[u8],
        signature: &[u8],
    ) -> Result<bool, SignatureError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modulus(bits: usize) -> Vec<u8> {
        let mut modulus = vec![0xff; bits.div_ceil(8)];
        modulus[0] = 0xff >> (bits.next_multiple_of(8) - bits);
        modulus
    }

    #[test]
    fn key_has_a_secure_size() {
        for bits in [2048, 3072, 4096] {
            assert!(RsaPublicKey::new(&modulus(bits), &RsaPublicKey::EXPONENT).is_ok(), "{bits}");
        }
        for bits in [512, 1024, 2040, 2047, 2049, 4095, 4097, 4104, 8192] {
            assert_eq!(
                RsaPublicKey::new(&modulus(bits), &RsaPublicKey::EXPONENT),
                Err(UnusableRsaKey),
                "{bits}"
            );
        }
        assert_eq!(RsaPublicKey::new(&[], &RsaPublicKey::EXPONENT), Err(UnusableRsaKey));
        assert_eq!(RsaPublicKey::new(&[0; 256], &RsaPublicKey::EXPONENT), Err(UnusableRsaKey));
    }

    #[test]
    fn key_ignores_leading_zeros() {
        let padded = [vec![0, 0], modulus(2048)].concat();
        let key = RsaPublicKey::new(&padded, &[0, 1, 0, 1]).unwrap();
        assert_eq!(key.modulus(), modulus(2048));
        assert!(
            RsaPublicKey::new(&[vec![0], modulus(2040)].concat(), &RsaPublicKey::EXPONENT).is_err()
        );
    }

    #[test]
    fn key_has_an_odd_modulus_and_65537() {
        let mut even = modulus(2048);
        *even.last_mut().unwrap() = 0xfe;
        assert!(RsaPublicKey::new(&even, &RsaPublicKey::EXPONENT).is_err());
        for exponent in [&[][..], &[0], &[1], &[2], &[3], &[17], &[1, 0, 0], &[1, 0, 1, 0]] {
            assert!(RsaPublicKey::new(&modulus(2048), exponent).is_err(), "{exponent:?}");
        }
    }
}
