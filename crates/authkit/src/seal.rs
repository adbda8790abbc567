//! Seals values with AES-256-GCM, and derives a key for each purpose from the cookie password.
//!
//! A sealed value is standard base64 of `nonce(12) ‖ ciphertext ‖ tag(16)` (NIST SP 800-38D),
//! with a fresh random nonce and no additional data: the format of the official `workos` crate.
//!
//! Each purpose has its own key, so that a value sealed for one purpose does not open for another. The
//! format of the `workos` crate fixes the session's key: a password of 64 hex digits is the key itself.
//! HKDF-SHA-256 (RFC 5869) derives the key from any other password, which that crate does not accept. For
//! the other purposes HKDF always derives the key. The session format has no label for its purpose; only
//! the key separates sessions from other sealed values.
//!
//! With a previous password configured, a sealer opens values sealed with either password and seals with
//! the current one.

use std::{fmt, sync::OnceLock};

use aes_gcm::{
    Aes256Gcm,
    aead::{Aead, KeyInit},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use thiserror::Error;

use crate::secret::Secret;
use edge_host::{Host, UserHash, random_bytes};

edge_host::opaque_debug!(Sealer, UserHasher);

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;

/// The purpose of a sealed value. Each purpose has its own key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The session cookie, in the format of other WorkOS SDKs.
    Session,
    /// The cookie of one pending sign-in: the PKCE verifier and the hash of `state`.
    SignIn,
    /// The `state` parameter of a sign-in, which holds the page to return to.
    SignInState,
    /// A session in the storage of its keeper.
    SessionKeeper,
    /// The key set in KV. Sealing stops a writer of KV from adding a key and forging tokens.
    KeySet,
    /// The key set of AuthKit Connect in KV. A separate key stops a writer of KV from swapping the two
    /// sets.
    ConnectKeySet,
    /// A value of the application, under a name that is unique in the application.
    Application(&'static str),
}

impl Purpose {
    /// HKDF's `info`. A changed label makes every value sealed for that purpose unreadable.
    const fn hkdf_info(self) -> (&'static [u8], &'static [u8]) {
        let label: &[u8] = match self {
            Self::Session => b"authkit-edge/session/v1",
            Self::SignIn => b"authkit-edge/sign-in/v1",
            Self::SignInState => b"authkit-edge/sign-in-state/v1",
            Self::SessionKeeper => b"authkit-edge/session-keeper/v1",
            Self::KeySet => b"authkit-edge/key-set/v1",
            Self::ConnectKeySet => b"authkit-edge/connect-key-set/v1",
            Self::Application(name) => return (b"authkit-edge/application/", name.as_bytes()),
        };
        (label, b"")
    }
}

/// Seals and opens values of one [`Purpose`]. Key derivation is expensive: create a sealer once and reuse
/// it.
#[derive(Clone)]
pub struct Sealer {
    current: Aes256Gcm,
    previous: Option<Aes256Gcm>,
}

/// The plaintext of a sealed value. Every holder of the password can seal one.
#[derive(PartialEq, Eq)]
pub struct Opened {
    /// The plaintext.
    pub plaintext: Vec<u8>,
    /// Whether the previous password sealed the value, so that it should be sealed again.
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

/// Why a value does not open. The error does not tell which of the two passwords failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum OpenError {
    /// The value is not base64, or shorter than a nonce and a tag.
    #[error("the sealed value is malformed")]
    Malformed,
    /// The value was sealed with another password or for another purpose, or it was modified.
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
    /// If `plaintext` exceeds AES-GCM's limit of 64 GiB.
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

    /// Opens a value that [`seal`](Self::seal) returned under the current or the previous password.
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

/// HKDF's `info` for the key of [`UserHasher`].
const USER_HASH_INFO: &[u8] = b"authkit-edge/user-hash/v1";
/// HKDF's `info` for the key of [`ApiKeyHasher`].
const API_KEY_HASH_INFO: &[u8] = b"authkit-edge/api-key-hash/v1";

/// HMAC-SHA-256 (RFC 2104) with a key of its own, which HKDF-SHA-256 derives from the password and `info`.
fn keyed_hash(password: &Secret, info: &[u8]) -> Hmac<Sha256> {
    let mut key = [0; KEY_BYTES];
    #[expect(clippy::expect_used, reason = "HKDF-SHA-256 derives up to 8,160 bytes")]
    Hkdf::<Sha256>::new(None, password.expose().as_bytes())
        .expand(info, &mut key)
        .expect("32 bytes are within HKDF's limit");
    #[expect(clippy::expect_used, reason = "HMAC accepts a key of any length")]
    Mac::new_from_slice(&key).expect("HMAC accepts a key of any length")
}

/// Makes pseudonyms of users for events: HMAC-SHA-256 (RFC 2104) of the user's id with a key of its own, which
/// HKDF-SHA-256 derives from the cookie password. All isolates of a Worker have the same pseudonyms until the password
/// changes.
#[derive(Clone)]
pub struct UserHasher {
    password: Secret,
    keyed: OnceLock<Hmac<Sha256>>,
}

impl UserHasher {
    /// Derives the key.
    #[must_use]
    pub fn new(password: &Secret) -> Self {
        let hasher = Self { password: password.clone(), keyed: OnceLock::new() };
        hasher.keyed();
        hasher
    }

    /// The hasher of an environment, for a Durable Object that reports events; `None` without a cookie password. It
    /// derives the key for the first pseudonym: an object starts often, and seldom has an event to report.
    #[must_use]
    pub fn from_env(host: &(impl Host + ?Sized)) -> Option<Self> {
        let password = Secret::from(host.var("WORKOS_COOKIE_PASSWORD")?);
        Some(Self { password, keyed: OnceLock::new() })
    }

    /// The pseudonym of the user with this id.
    #[must_use]
    pub fn hash(&self, user_id: &str) -> UserHash {
        let code = self.keyed().clone().chain_update(user_id).finalize().into_bytes();
        UserHash::new(&code.into())
    }

    fn keyed(&self) -> &Hmac<Sha256> {
        self.keyed.get_or_init(|| keyed_hash(&self.password, USER_HASH_INFO))
    }
}

/// Names API keys in an isolate's memory, which holds no key itself.
#[derive(Clone)]
pub(crate) struct ApiKeyHasher(Hmac<Sha256>);

impl ApiKeyHasher {
    /// Derives the key of the hash.
    pub fn new(password: &Secret) -> Self {
        Self(keyed_hash(password, API_KEY_HASH_INFO))
    }

    /// The name of an API key.
    pub fn hash(&self, api_key: &str) -> [u8; 32] {
        self.0.clone().chain_update(api_key).finalize().into_bytes().into()
    }
}

fn cipher(purpose: Purpose, password: &Secret) -> Aes256Gcm {
    let password = password.expose();
    let key = match (purpose, hex_key(password)) {
        (Purpose::Session, Some(key)) => key,
        _ => {
            let mut key = [0; KEY_BYTES];
            let (label, name) = purpose.hkdf_info();
            #[expect(clippy::expect_used, reason = "HKDF-SHA-256 derives up to 8,160 bytes")]
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
    fn sealed_value_opens() {
        let sealer = sealer("a password of at least 32 characters");
        let opened = sealer.open(&sealer.seal(b"hello")).unwrap();
        assert_eq!(opened, Opened { plaintext: b"hello".to_vec(), by_previous_password: false });
    }

    #[test]
    fn sealed_value_is_nonce_ciphertext_and_tag_in_base64() {
        let sealed = STANDARD.decode(sealer(HEX_PASSWORD).seal(b"hello")).unwrap();
        assert_eq!(sealed.len(), 12 + 5 + 16);
    }

    #[test]
    fn seal_returns_a_different_value_each_time() {
        let sealer = sealer(HEX_PASSWORD);
        assert_ne!(sealer.seal(b"hello"), sealer.seal(b"hello"));
    }

    #[test]
    fn password_of_64_hex_digits_is_the_key() {
        let key: [u8; 32] = std::array::from_fn(|index| u8::try_from(index).unwrap());
        let nonce = [7; 12];
        let ciphertext = Aes256Gcm::new(&key.into()).encrypt(&nonce.into(), &b"raw"[..]).unwrap();
        let sealed = STANDARD.encode([&nonce[..], &ciphertext].concat());
        assert_eq!(sealer(HEX_PASSWORD).open(&sealed).unwrap().plaintext, b"raw");
    }

    #[test]
    fn open_refuses_a_flipped_bit_in_any_byte() {
        let sealer = sealer(HEX_PASSWORD);
        let sealed = STANDARD.decode(sealer.seal(b"hello")).unwrap();
        for index in 0..sealed.len() {
            let mut flipped = sealed.clone();
            flipped[index] ^= 1;
            assert_eq!(sealer.open(&STANDARD.encode(&flipped)), Err(OpenError::Refused), "{index}");
        }
    }

    #[test]
    fn open_refuses_another_password() {
        let sealed = sealer("a password of at least 32 characters").seal(b"hello");
        let other = sealer("another password of some 32 characters");
        assert_eq!(other.open(&sealed), Err(OpenError::Refused));
    }

    #[test]
    fn open_refuses_another_purpose_with_any_password() {
        for password in [HEX_PASSWORD, "a password of at least 32 characters"] {
            let sign_in = Sealer::new(Purpose::SignIn, &Secret::from(password), None);
            let sealed = sign_in.seal(b"hello");
            assert_eq!(sealer(password).open(&sealed), Err(OpenError::Refused));
        }
    }

    #[test]
    fn previous_password_opens_and_never_seals() {
        let previous = Secret::from("the password before, of 32 characters");
        let both = Sealer::new(Purpose::Session, &Secret::from(HEX_PASSWORD), Some(&previous));
        let only_previous = Sealer::new(Purpose::Session, &previous, None);

        assert!(both.open(&only_previous.seal(b"old")).unwrap().by_previous_password);
        assert!(!both.open(&both.seal(b"new")).unwrap().by_previous_password);
        assert_eq!(only_previous.open(&both.seal(b"new")), Err(OpenError::Refused));
    }

    #[test]
    fn user_has_one_pseudonym_for_each_password() {
        let hasher = |password: &str| UserHasher::new(&Secret::from(password));
        let (ada, grace) = ("user_ada", "user_grace");
        let hash = hasher(HEX_PASSWORD).hash(ada);
        assert_eq!(hash, hasher(HEX_PASSWORD).hash(ada));
        assert_ne!(hash, hasher(HEX_PASSWORD).hash(grace));
        assert_ne!(hash, hasher("a password of at least 32 characters").hash(ada));
        // The first 64 bits of HMAC-SHA-256 with the key that HKDF derives, computed with Python's `hmac`.
        assert_eq!(hash.as_str(), "030cbad1f84d6150");
    }

    #[test]
    fn open_reports_unsealed_text_as_malformed() {
        let sealer = sealer(HEX_PASSWORD);
        for sealed in ["", "not base64!", "AAAA", &STANDARD.encode([0; 27])] {
            assert_eq!(sealer.open(sealed), Err(OpenError::Malformed), "{sealed}");
        }
    }
}
