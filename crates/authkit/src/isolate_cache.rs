//! The isolate's cache of verified tokens and opened sessions. In wasm, an RSA signature check takes most of a
//! millisecond and opening a cookie a tenth of one, and a browser sends the same token for five minutes.
//!
//! The cache's key is the SHA-256 of the token or cookie. A token is cached with the key set that verified it,
//! and verified again with any other set. The cache holds only valid tokens and sessions, so invalid ones
//! cannot fill it, and a user with many tokens evicts only their own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};

use super::{keys::KeySet, session::Session, token::SignedClaims};
use edge_host::fair::FairMap;

/// The bound for the cached tokens, and for the cached sessions, by the length of their texts. An isolate has
/// 128 MB of memory.
const MAX_BYTES: usize = 2_000_000;

/// The SHA-256 of a token or cookie, the cache's key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TextHash([u8; 32]);

impl TextHash {
    /// The hash of `text`.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text).into())
    }
}

/// A token with a valid signature. Each request checks the claims, because the rules for cookies and for the
/// `Authorization` header differ.
#[derive(Clone)]
pub struct CachedToken {
    /// The `kid` of the key that signed it.
    pub kid: String,
    /// The key set that verified it.
    pub key_set: Arc<KeySet>,
    /// Its claims.
    pub claims: SignedClaims,
}

/// A session that was opened. Its access token determines whether it is still valid.
#[derive(Clone)]
pub struct CachedSession {
    /// The session in the cookie.
    pub session: Arc<Session>,
    /// Whether the previous cookie password sealed it.
    pub by_previous_password: bool,
}

/// A cached value that belongs to a user.
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

/// The tokens or sessions that one isolate has checked.
pub struct IsolateCache<T>(Mutex<FairMap<TextHash, T>>);

impl<T> Default for IsolateCache<T> {
    fn default() -> Self {
        Self(Mutex::new(FairMap::new(MAX_BYTES)))
    }
}

impl<T: Clone + Owned> IsolateCache<T> {
    /// The cached value for a token or cookie.
    pub fn get(&self, hash: &TextHash) -> Option<T> {
        self.entries().get(hash).cloned()
    }

    /// Caches `value` for a token or cookie of `length` bytes.
    pub fn insert(&self, hash: TextHash, value: T, length: usize) {
        let owner = value.owner().to_owned();
        self.entries().insert(&owner, hash, value, length);
    }

    /// Ignores poisoning: the code under the lock cannot panic halfway through a change of the map.
    fn entries(&self) -> MutexGuard<'_, FairMap<TextHash, T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{CURRENT, session, session_claims};
    use crate::token::{TokenKind, UntrustedToken};
    use serde_json::json;

    fn session_of(user_id: &str) -> CachedSession {
        let session = Arc::new(session(user_id, "session_1", "refresh_1"));
        CachedSession { session, by_previous_password: false }
    }

    fn hash(number: usize) -> TextHash {
        TextHash::of(&number.to_string())
    }

    /// How many of these entries the cache holds.
    fn count<T: Clone + Owned>(cache: &IsolateCache<T>, numbers: std::ops::Range<usize>) -> usize {
        numbers.filter(|number| cache.get(&hash(*number)).is_some()).count()
    }

    #[test]
    fn cache_distinguishes_texts_with_a_common_part() {
        let cache = IsolateCache::default();
        let text = "a".repeat(4_000);
        cache.insert(TextHash::of(&text), session_of("user_ada"), text.len());
        assert!(cache.get(&TextHash::of(&text)).is_some());
        for other in [&text[1..], &format!("{text}a"), &format!("{}b", &text[1..]), ""] {
            assert!(cache.get(&TextHash::of(other)).is_none());
        }
    }

    #[test]
    fn cache_holds_two_megabytes() {
        let cache = IsolateCache::default();
        for number in 0..500 {
            cache.insert(hash(number), session_of("user_ada"), 4_000);
        }
        assert_eq!(count(&cache, 0..500), 500);
        // One more byte evicts the oldest entry.
        cache.insert(hash(500), session_of("user_ada"), 1);
        assert_eq!((count(&cache, 0..1), count(&cache, 1..501)), (0, 500));
        // A large entry evicts as many as it needs.
        cache.insert(hash(501), session_of("user_ada"), 400_000);
        assert_eq!((count(&cache, 0..101), count(&cache, 101..502)), (0, 401));
    }

    #[test]
    fn entry_over_the_bound_evicts_nothing() {
        let cache = IsolateCache::default();
        cache.insert(hash(0), session_of("user_ada"), 4_000);
        cache.insert(hash(1), session_of("user_ada"), MAX_BYTES + 1);
        assert_eq!((count(&cache, 0..1), count(&cache, 1..2)), (1, 0));
        cache.insert(hash(2), session_of("user_ada"), MAX_BYTES);
        assert_eq!((count(&cache, 0..1), count(&cache, 2..3)), (0, 1));
    }

    #[test]
    fn second_insert_replaces_the_value() {
        let cache = IsolateCache::default();
        cache.insert(hash(0), session_of("user_ada"), 10);
        cache.insert(hash(0), session_of("user_grace"), 10);
        assert_eq!(cache.get(&hash(0)).unwrap().session.user_id(), "user_grace");
    }

    #[test]
    fn user_with_many_sessions_evicts_only_their_own() {
        let cache = IsolateCache::default();
        let graces = TextHash::of("grace");
        cache.insert(graces, session_of("user_grace"), 4_000);
        for number in 0..1_000 {
            cache.insert(hash(number), session_of("user_ada"), 4_000);
        }
        assert!(cache.get(&graces).is_some());
        assert_eq!((count(&cache, 0..501), count(&cache, 501..1_000)), (0, 499));
    }

    #[test]
    fn token_and_session_belong_to_their_user() {
        let set = serde_json::from_value::<crate::workos::JwkSet>(json!({"keys": [CURRENT.jwk()]}));
        let key_set = Arc::new(KeySet::from(set.unwrap()));
        let token = CURRENT.token(&session_claims());
        let token = UntrustedToken::parse(&token).unwrap();
        let key = key_set.find(CURRENT.kid).unwrap();
        let claims = token.verify_signature(TokenKind::Session, key).unwrap();
        let cached = CachedToken { kid: CURRENT.kid.to_owned(), key_set, claims };
        assert_eq!(cached.owner(), "user_ada");
        assert_eq!(session_of("user_grace").owner(), "user_grace");
    }
}
