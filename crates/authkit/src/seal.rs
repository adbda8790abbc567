//! Sealing: AES-256-GCM over what goes into a cookie, and the keys for it.
//!
//! A sealed value is standard base64 of `nonce(12) ‖ ciphertext ‖ tag(16)` (NIST SP 800-38D),
//! with a fresh random nonce and no additional data: the format of the official `workos` crate.
//!
//! Each purpose has its own key, so that a value sealed for one is never opened for another.
//! The session's key is fixed by that format: a password of 64 hex digits is the key itself. Any
//! other, which that crate does not take, is stretched with HKDF-SHA-256 (RFC 5869). The other
//! purposes derive theirs from the password in every case. A session has no label in its format to
//! tell it from others; its key does.
//!
//! With a previous password, a sealer still opens what that one sealed, and seals nothing with it.

use std::fmt;

use aes_gcm::{
    Aes256Gcm,
    aead::{Aead, KeyInit},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use hkdf::Hkdf;
use sha2::Sha256;
use thiserror::Error;

use super::secret::Secret;
use edge_host::random_bytes;

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;

/// What a sealed value is for. Each has a key of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The session cookie, in the format other WorkOS SDKs read.
    Session,
    /// The cookie of one sign-in in flight: PKCE verifier, hash of `state`.
    SignIn,
    /// The `state` parameter of a sign-in: where it leads.
    SignInState,
    /// A session that has just been renewed, left for other isolates.
    Rotation,
    /// The key set, kept past the isolate: who could write it could sign for anybody.
    KeySet,
    /// The key set of AuthKit Connect: a set moved from one place in KV to the other opens in neither.
    ConnectKeySet,
    /// Something of the application's own, named so that it is nothing else's.
    Application(&'static str),
}

impl Purpose {
    /// HKDF's `info`: changing one makes everything sealed for that purpose unreadable.
    const fn hkdf_info(self) -> (&'static [u8], &'static [u8]) {
        let label: &[u8] = match self {
            Self::Session => b"authkit-edge/session/v1",
            Self::SignIn => b"authkit-edge/sign-in/v1",
            Self::SignInState => b"authkit-edge/sign-in-state/v1",
            Self::Rotation => b"authkit-edge/rotation/v1",
            Self::KeySet => b"authkit-edge/key-set/v1",
            Self::ConnectKeySet => b"authkit-edge/connect-key-set/v1",
            Self::Application(name) => return (b"authkit-edge/application/", name.as_bytes()),
        };
        (label, b"")
    }
}

/// Seals and opens values of one [`Purpose`]. Deriving its keys is the expensive part: make it
/// once.
#[derive(Clone)]
pub struct Sealer {
    current: Aes256Gcm,
    previous: Option<Aes256Gcm>,
}

/// A value that was sealed here, or by whoever has the same password.
#[derive(PartialEq, Eq)]
pub struct Opened {
    /// What was sealed.
    pub plaintext: Vec<u8>,
    /// Whether it was sealed with the previous password and should be sealed again.
    pub by_previous_password: bool,
}

impl fmt::Debug for Opened {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Opened")
            .field("by_previous_password", &self.by_previous_password)
            .finish_non_exhaustive()
    }
}

/// Why a value was not opened. Which of the two passwords failed is nobody's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum OpenError {
    /// Not base64, or too short to be sealed.
    #[error("the sealed value is malformed")]
    Malformed,
    /// Sealed with another password or for another purpose, or changed since.
    #[error("the sealed value does not open")]
    Refused,
}

impl Sealer {
    /// Derives the keys for `purpose`.
    #[must_use]
    pub fn new(purpose: Purpose, password: &Secret, previous: Option<&Secret>) -> Self {
        Self {
            current: cipher(purpose, password),
            previous: previous.map(|password| cipher(purpose, password)),
        }
    }

    /// Seals `plaintext` with the current password under a fresh nonce.
    ///
    /// # Panics
    ///
    /// Past AES-GCM's limit of 64 GiB.
    #[must_use]
    pub fn seal(&self, plaintext: &[u8]) -> String {
        let nonce: [u8; NONCE_BYTES] = random_bytes();
        #[expect(clippy::expect_used, reason = "see # Panics")]
        let ciphertext = self
            .current
            .encrypt(&nonce.into(), plaintext)
            .expect("a value in memory is shorter than 64 GiB");
        STANDARD.encode([&nonce[..], &ciphertext].concat())
    }

    /// Opens what [`seal`](Self::seal) made with the current or the previous password.
    ///
    /// # Errors
    ///
    /// [`OpenError::Malformed`] or [`OpenError::Refused`].
    pub fn open(&self, sealed: &str) -> Result<Opened, OpenError> {
        let bytes = STANDARD.decode(sealed).map_err(|_| OpenError::Malformed)?;
        let (nonce, ciphertext) = bytes
            .split_first_chunk::<NONCE_BYTES>()
            .filter(|(_, ciphertext)| ciphertext.len() >= TAG_BYTES)
            .ok_or(OpenError::Malformed)?;
        let decrypt = |cipher: &Aes256Gcm| cipher.decrypt(nonce.into(), ciphertext).ok();
        if let Some(plaintext) = decrypt(&self.current) {
            return Ok(Opened { plaintext, by_previous_password: false });
        }
        let plaintext = self.previous.as_ref().and_then(decrypt).ok_or(OpenError::Refused)?;
        Ok(Opened { plaintext, by_previous_password: true })
    }
}

fn cipher(purpose: Purpose, password: &Secret) -> Aes256Gcm {
    let password = password.expose();
    let key = match (purpose, hex_key(password)) {
        (Purpose::Session, Some(key)) => key,
        _ => {
            let mut key = [0; KEY_BYTES];
            let (label, name) = purpose.hkdf_info();
            #[expect(clippy::expect_used, reason = "HKDF-SHA-256 gives up to 8,160 bytes")]
            Hkdf::<Sha256>::new(None, password.as_bytes())
                .expand_multi_info(&[label, name], &mut key)
                .expect("32 bytes are within HKDF's limit");
            key
        }
    };
    Aes256Gcm::new(&key.into())
}

fn hex_key(password: &str) -> Option<[u8; KEY_BYTES]> {
    let digits = <&[u8; 2 * KEY_BYTES]>::try_from(password.as_bytes()).ok()?;
    let mut key = [0; KEY_BYTES];
    for (byte, pair) in key.iter_mut().zip(digits.as_chunks::<2>().0) {
        let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
        *byte = u8::try_from(high? * 16 + low?).ok()?;
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX_PASSWORD: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F";

    fn sealer(password: &str) -> Sealer {
        Sealer::new(Purpose::Session, &Secret::from(password), None)
    }

    #[test]
    fn what_was_sealed_opens() {
        let sealer = sealer("a password of at least 32 characters");
        let opened = sealer.open(&sealer.seal(b"hello")).unwrap();
        assert_eq!(opened, Opened { plaintext: b"hello".to_vec(), by_previous_password: false });
    }

    #[test]
    fn a_sealed_value_is_nonce_ciphertext_and_tag_in_base64() {
        let sealed = STANDARD.decode(sealer(HEX_PASSWORD).seal(b"hello")).unwrap();
        assert_eq!(sealed.len(), 12 + 5 + 16);
    }

    #[test]
    fn sealing_twice_gives_two_values() {
        let sealer = sealer(HEX_PASSWORD);
        assert_ne!(sealer.seal(b"hello"), sealer.seal(b"hello"));
    }

    #[test]
    fn a_password_of_64_hex_digits_is_the_key_itself() {
        let key: [u8; 32] = std::array::from_fn(|index| u8::try_from(index).unwrap());
        let nonce = [7; 12];
        let ciphertext = Aes256Gcm::new(&key.into()).encrypt(&nonce.into(), &b"raw"[..]).unwrap();
        let sealed = STANDARD.encode([&nonce[..], &ciphertext].concat());
        assert_eq!(sealer(HEX_PASSWORD).open(&sealed).unwrap().plaintext, b"raw");
    }

    #[test]
    fn a_flipped_bit_anywhere_is_refused() {
        let sealer = sealer(HEX_PASSWORD);
        let sealed = STANDARD.decode(sealer.seal(b"hello")).unwrap();
        for index in 0..sealed.len() {
            let mut flipped = sealed.clone();
            flipped[index] ^= 1;
            assert_eq!(sealer.open(&STANDARD.encode(&flipped)), Err(OpenError::Refused), "{index}");
        }
    }

    #[test]
    fn another_password_is_refused() {
        let sealed = sealer("a password of at least 32 characters").seal(b"hello");
        let other = sealer("another password of some 32 characters");
        assert_eq!(other.open(&sealed), Err(OpenError::Refused));
    }

    #[test]
    fn another_purpose_is_refused_with_either_kind_of_password() {
        for password in [HEX_PASSWORD, "a password of at least 32 characters"] {
            let sign_in = Sealer::new(Purpose::SignIn, &Secret::from(password), None);
            let sealed = sign_in.seal(b"hello");
            assert_eq!(sealer(password).open(&sealed), Err(OpenError::Refused));
        }
    }

    #[test]
    fn the_previous_password_opens_and_never_seals() {
        let previous = Secret::from("the password before, of 32 characters");
        let both = Sealer::new(Purpose::Session, &Secret::from(HEX_PASSWORD), Some(&previous));
        let only_previous = Sealer::new(Purpose::Session, &previous, None);

        assert!(both.open(&only_previous.seal(b"old")).unwrap().by_previous_password);
        assert!(!both.open(&both.seal(b"new")).unwrap().by_previous_password);
        assert_eq!(only_previous.open(&both.seal(b"new")), Err(OpenError::Refused));
    }

    #[test]
    fn what_is_not_sealed_at_all_is_malformed() {
        let sealer = sealer(HEX_PASSWORD);
        for sealed in ["", "not base64!", "AAAA", &STANDARD.encode([0; 27])] {
            assert_eq!(sealer.open(sealed), Err(OpenError::Malformed), "{sealed}");
        }
    }
}
