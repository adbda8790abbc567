//! What an isolate has found out before and need not again: an RSA signature costs most of a
//! millisecond in wasm, opening a cookie a tenth of one, and a browser shows the same token for five
//! minutes.
//!
//! Things are remembered under the SHA-256 of the text that they were found out from. A token is
//! remembered with the key set that it was verified against: with another set it is verified again.
//! Only what was found good is here, so nobody fills it with junk.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sha2::{Digest, Sha256};

use super::{jwks::KeySet, session::Session, token::SignedClaims};

/// Most bytes of texts of one kind; an isolate has 128 MB.
const MAX_BYTES: usize = 2_000_000;

/// A text's name here.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TextHash([u8; 32]);

impl TextHash {
    /// The name of `text`.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text).into())
    }
}

/// A token whose signature was found good. What it may be used for is checked at every request, because
/// the cookie's rules and the header's differ.
#[derive(Clone)]
pub struct SignedToken {
    /// The name of the key that signed it.
    pub kid: String,
    /// The set that had the key.
    pub key_set: Arc<KeySet>,
    /// What it says.
    pub claims: SignedClaims,
}

/// A session that was opened. Whether it goes on is for its access token to say.
#[derive(Clone)]
pub struct KnownSession {
    /// What the cookie held.
    pub session: Arc<Session>,
    /// Whether it was sealed with the password before.
    pub by_previous_password: bool,
}

/// What was found out from texts, in one isolate.
pub struct Remembered<T>(Mutex<Known<T>>);

struct Known<T> {
    by_hash: HashMap<TextHash, T>,
    bytes: usize,
}

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self { by_hash: HashMap::new(), bytes: 0 }
    }
}

impl<T> Default for Remembered<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Remembered<T> {
    /// What is known of a text.
    pub fn get(&self, hash: &TextHash) -> Option<T> {
        self.known().by_hash.get(hash).cloned()
    }

    /// Remembers what a text of `length` bytes comes to. When there are too many all are forgotten:
    /// to be found out again is the worst that happens.
    pub fn insert(&self, hash: TextHash, value: T, length: usize) {
        let mut known = self.known();
        if known.bytes + length > MAX_BYTES {
            *known = Known::default();
        }
        if known.by_hash.insert(hash, value).is_none() {
            known.bytes += length;
        }
    }

    /// A panic cannot leave the map half-written: nothing under the lock runs foreign code.
    fn known(&self) -> MutexGuard<'_, Known<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
