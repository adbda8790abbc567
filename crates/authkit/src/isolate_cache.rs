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

    /// How many of these the cache still has.
    fn count<T: Clone + Owned>(cache: &IsolateCache<T>, numbers: std::ops::Range<usize>) -> usize {
        numbers.filter(|number| cache.get(&hash(*number)).is_some()).count()
    }

    #[test]
    fn text_with_the_same_beginning_is_another_one() {
        let cache = IsolateCache::default();
        let text = "a".repeat(4_000);
        cache.insert(TextHash::of(&text), session_of("user_ada"), text.len());
        assert!(cache.get(&TextHash::of(&text)).is_some());
        for other in [&text[1..], &format!("{text}a"), &format!("{}b", &text[1..]), ""] {
            assert!(cache.get(&TextHash::of(other)).is_none());
        }
    }

    #[test]
    fn cache_holds_two_megabytes_of_texts() {
        let cache = IsolateCache::default();
        for number in 0..500 {
            cache.insert(hash(number), session_of("user_ada"), 4_000);
        }
        assert_eq!(count(&cache, 0..500), 500);
        // One byte more takes the oldest out.
        cache.insert(hash(500), session_of("user_ada"), 1);
        assert_eq!((count(&cache, 0..1), count(&cache, 1..501)), (0, 500));
        // A heavy one as many as it needs.
        cache.insert(hash(501), session_of("user_ada"), 400_000);
        assert_eq!((count(&cache, 0..101), count(&cache, 101..502)), (0, 401));
    }

    #[test]
    fn text_past_the_bound_takes_nobodys_place() {
        let cache = IsolateCache::default();
        cache.insert(hash(0), session_of("user_ada"), 4_000);
        cache.insert(hash(1), session_of("user_ada"), MAX_BYTES + 1);
        assert_eq!((count(&cache, 0..1), count(&cache, 1..2)), (1, 0));
        cache.insert(hash(2), session_of("user_ada"), MAX_BYTES);
        assert_eq!((count(&cache, 0..1), count(&cache, 2..3)), (0, 1));
    }

    #[test]
    fn text_inserted_again_has_its_new_value() {
        let cache = IsolateCache::default();
        cache.insert(hash(0), session_of("user_ada"), 10);
        cache.insert(hash(0), session_of("user_grace"), 10);
        assert_eq!(cache.get(&hash(0)).unwrap().session.user_id(), "user_grace");
    }

    #[test]
    fn user_with_many_sessions_evicts_no_other_users() {
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
    fn token_belongs_to_its_subject() {
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
