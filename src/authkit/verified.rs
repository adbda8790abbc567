//! Tokens that were verified before: an RSA signature costs most of a millisecond in wasm, and a
//! browser shows the same token for five minutes.
//!
//! A token is remembered under its SHA-256, with the key set that it was verified against: with
//! another set it is verified again. Only tokens that were found good are here, so nobody fills it
//! with junk.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sha2::{Digest, Sha256};

use super::{jwks::KeySet, token::VerifiedClaims};

/// Most bytes of tokens, as they were sent; an isolate has 128 MB.
const MAX_BYTES: usize = 2_000_000;

/// A token's name here.
pub type TokenHash = [u8; 32];

/// Verified tokens of one isolate.
#[derive(Default)]
pub struct VerifiedTokens(Mutex<Tokens>);

#[derive(Default)]
struct Tokens {
    by_hash: HashMap<TokenHash, VerifiedToken>,
    bytes: usize,
}

/// A token that was found good.
#[derive(Clone)]
pub struct VerifiedToken {
    /// The name of the key that signed it.
    pub kid: String,
    /// The set that had the key.
    pub key_set: Arc<KeySet>,
    /// What it says.
    pub claims: VerifiedClaims,
}

impl VerifiedTokens {
    /// What is known of a token.
    pub fn get(&self, hash: &TokenHash) -> Option<VerifiedToken> {
        self.tokens().by_hash.get(hash).cloned()
    }

    /// Remembers a token of `length` bytes. When there are too many all are forgotten: to be
    /// verified again is the worst that happens.
    pub fn insert(&self, hash: TokenHash, token: VerifiedToken, length: usize) {
        let mut tokens = self.tokens();
        if tokens.bytes + length > MAX_BYTES {
            *tokens = Tokens::default();
        }
        if tokens.by_hash.insert(hash, token).is_none() {
            tokens.bytes += length;
        }
    }

    /// A panic cannot leave the map half-written: nothing under the lock runs foreign code.
    fn tokens(&self) -> MutexGuard<'_, Tokens> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name of a token.
#[must_use]
pub fn hash(token: &str) -> TokenHash {
    Sha256::digest(token).into()
}
