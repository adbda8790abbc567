//! The isolate's cache of verified tokens and opened sessions: checking an RSA signature costs most of a
//! millisecond in wasm, opening a cookie a tenth of one, and a browser sends the same token for five
//! minutes.
//!
//! The cache's key is the SHA-256 of the token or cookie. A token is cached with the key set that
//! verified it: with another set it is verified again. Only good tokens and sessions are cached, so that
//! junk fills nothing, and a user with many tokens evicts only their own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};

use super::{keys::KeySet, session::Session, token::SignedClaims};
use edge_host::fair::FairMap;

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

/// A token with a good signature. Each request checks what the token allows, because the cookie's rules
/// and the header's differ.
#[derive(Clone)]
pub struct CachedToken {
    /// The name of the key that signed it.
    pub kid: String,
    /// The set that had the key.
    pub key_set: Arc<KeySet>,
    /// What it says.
    pub claims: SignedClaims,
}

/// A session that was opened. Whether it goes on is for its access token to say.
#[derive(Clone)]
pub struct CachedSession {
    /// What the cookie held.
    pub session: Arc<Session>,
    /// Whether it was sealed with the password before.
    pub by_previous_password: bool,
}

/// A finding that belongs to a user.
pub trait Owned {
    /// The user's id.
    fn owner(&self) -> &str;
}

impl Owned for CachedToken {
    fn owner(&self) -> &str {
        self.claims.subject()
    }
}

impl Owned for CachedSession {
    fn owner(&self) -> &str {
        self.session.user_id()
    }
}

/// The results for tokens or cookies that one isolate has checked.
pub struct IsolateCache<T>(Mutex<FairMap<TextHash, T>>);

impl<T> Default for IsolateCache<T> {
    fn default() -> Self {
        Self(Mutex::new(FairMap::new(MAX_BYTES)))
    }
}

impl<T: Clone + Owned> IsolateCache<T> {
    /// What is known of a text.
    pub fn get(&self, hash: &TextHash) -> Option<T> {
        self.known().get(hash).cloned()
    }

    /// Remembers what a text of `length` bytes comes to.
    pub fn insert(&self, hash: TextHash, value: T, length: usize) {
        let owner = value.owner().to_owned();
        self.known().insert(&owner, hash, value, length);
    }

    /// A panic cannot leave the map half-written: nothing under the lock runs foreign code.
    fn known(&self) -> MutexGuard<'_, FairMap<TextHash, T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn session_of(user_id: &str) -> CachedSession {
        let user = json!({"id": user_id, "email": "a@example.com"});
        let session = json!({"access_token": "a", "refresh_token": "r", "user": user});
        let session = serde_json::from_value(session).unwrap();
        CachedSession { session: Arc::new(session), by_previous_password: false }
    }

    #[test]
    fn a_user_with_many_sessions_forgets_no_other_users() {
        let remembered = IsolateCache::default();
        let graces = TextHash::of("grace");
        remembered.insert(graces, session_of("user_grace"), 4_000);
        for number in 0..1_000 {
            let hash = TextHash::of(&number.to_string());
            remembered.insert(hash, session_of("user_ada"), 4_000);
        }
        assert!(remembered.get(&graces).is_some());
        assert!(remembered.get(&TextHash::of("999")).is_some());
        assert!(remembered.get(&TextHash::of("0")).is_none());
    }
}
