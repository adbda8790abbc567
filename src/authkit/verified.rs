//! Tokens that were verified before: an RSA signature costs most of a millisecond in wasm, and a
//! browser shows the same token for five minutes.
//!
//! A token is remembered under its SHA-256, with the key that signed it: once that key is retired the
//! token is forgotten too. Only tokens that were found good are here, so nobody fills it with junk.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use super::token::VerifiedClaims;

/// Some 2 MB of tokens with few claims; an isolate has 128 MB.
const MAX_TOKENS: usize = 1000;

/// A token's name here.
pub type TokenHash = [u8; 32];

/// Verified tokens of one isolate.
#[derive(Default)]
pub struct VerifiedTokens(Mutex<HashMap<TokenHash, VerifiedToken>>);

/// A token that was found good.
#[derive(Clone)]
pub struct VerifiedToken {
    /// The name of the key that signed it.
    pub kid: String,
    /// What it says.
    pub claims: VerifiedClaims,
}

impl VerifiedTokens {
    /// What is known of a token.
    pub fn get(&self, hash: &TokenHash) -> Option<VerifiedToken> {
        self.tokens().get(hash).cloned()
    }

    /// Remembers a token. When there are too many, those that have expired go, or else all: to be
    /// verified again is the worst that happens.
    pub fn insert(&self, hash: TokenHash, token: VerifiedToken, now: DateTime<Utc>) {
        let mut tokens = self.tokens();
        if tokens.len() >= MAX_TOKENS {
            tokens.retain(|_, token| !token.claims.is_expired(now));
        }
        if tokens.len() >= MAX_TOKENS {
            tokens.clear();
        }
        tokens.insert(hash, token);
    }

    /// A panic cannot leave the map half-written: nothing under the lock runs foreign code.
    fn tokens(&self) -> MutexGuard<'_, HashMap<TokenHash, VerifiedToken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name of a token.
#[must_use]
pub fn hash(token: &str) -> TokenHash {
    Sha256::digest(token).into()
}
