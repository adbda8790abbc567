//! The isolate's cache of verified tokens and opened sessions. In wasm, a signature check takes most of a
//! millisecond and opening a cookie a tenth of one, and a browser sends the same cookie for five minutes.
//!
//! The key is the text itself, so that a hit costs no hash of kilobytes: the map hashes only the length and the last
//! bytes, and compares the text. Those bytes are the end of a signature or of an authentication tag, so that valid
//! texts of one length differ in them. Two that do not would replace each other.
//!
//! An opened session holds the verified token of its cookie, so that a known cookie takes one lookup. A token is
//! cached with the key set that verified it, and verified again with any other set; its claims are checked by each
//! request. The cache holds only valid tokens and sessions, so invalid ones cannot fill it, and a user with many
//! tokens evicts only their own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{keys::KeySet, session::Session, token::SignedClaims};
use edge_host::{UserHash, fair::FairMap, scan::is_equal};

/// The bound for the cached tokens, and for the cached sessions: the lengths of their texts with [`ENTRY_BYTES`] for
/// each. An isolate has 128 MB of memory, and an entry takes about four times the length of its text.
const MAX_BYTES: usize = 2_000_000;
/// The weight of an entry beside its text, which bounds the number of entries: 2,000.
const ENTRY_BYTES: usize = 1_000;
/// The bytes at the end of a text that its key has: 24 bytes of a signature or tag, in base64.
const END_BYTES: usize = 32;

/// A token with a valid signature. Each request checks the claims, because the rules for cookies and for the
/// `Authorization` header differ.
pub struct CachedToken {
    /// The `kid` of the key that signed it.
    pub kid: String,
    /// The key set that verified it.
    pub key_set: Arc<KeySet>,
    /// Its claims.
    pub claims: SignedClaims,
    /// The pseudonym of its subject.
    pub user: UserHash,
}

/// A session that was opened. Its access token determines whether it is still valid.
pub struct CachedSession {
    /// The session in the cookie.
    pub session: Arc<Session>,
    /// Whether the previous cookie password sealed it.
    pub by_previous_password: bool,
    /// The session's access token, once its signature is verified.
    token: Mutex<Option<Arc<CachedToken>>>,
}

impl CachedSession {
    /// A session whose token is not verified yet.
    #[must_use]
    pub fn new(session: Session, by_previous_password: bool) -> Self {
        Self { session: Arc::new(session), by_previous_password, token: Mutex::default() }
    }

    /// The session's access token, if its signature was verified.
    #[must_use]
    pub fn token(&self) -> Option<Arc<CachedToken>> {
        self.slot().clone()
    }

    /// Remembers the session's access token, whose signature is verified.
    pub fn set_token(&self, token: Arc<CachedToken>) {
        *self.slot() = Some(token);
    }

    /// Ignores poisoning: the code under the lock cannot panic halfway through a change.
    fn slot(&self) -> MutexGuard<'_, Option<Arc<CachedToken>>> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }
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

/// The part of a text that is hashed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct TextKey {
    length: usize,
    /// The last bytes; zeros come first where the text is shorter.
    end: [u8; END_BYTES],
}

impl TextKey {
    fn of(text: &str) -> Self {
        let mut end = [0; END_BYTES];
        let length = text.len().min(END_BYTES);
        end[END_BYTES - length..].copy_from_slice(&text.as_bytes()[text.len() - length..]);
        Self { length: text.len(), end }
    }
}

/// A text that was found valid. It is a credential, so the type has no `Debug`.
struct Entry<T> {
    text: Box<str>,
    value: Arc<T>,
}

/// The tokens or sessions that one isolate has checked.
pub struct IsolateCache<T>(Mutex<FairMap<TextKey, Entry<T>>>);

impl<T> Default for IsolateCache<T> {
    fn default() -> Self {
        Self(Mutex::new(FairMap::new(MAX_BYTES)))
    }
}

impl<T: Owned> IsolateCache<T> {
    /// The cached value for a token or cookie.
    pub fn get(&self, text: &str) -> Option<Arc<T>> {
        let entries = self.entries();
        let is_same = |entry: &&Entry<T>| is_equal(entry.text.as_bytes(), text.as_bytes());
        let entry = entries.get(&TextKey::of(text)).filter(is_same)?;
        Some(Arc::clone(&entry.value))
    }

    /// Caches `value` for a token or cookie.
    pub fn insert(&self, text: &str, value: &Arc<T>) {
        let entry = Entry { text: text.into(), value: Arc::clone(value) };
        let weight = text.len() + ENTRY_BYTES;
        self.entries().insert(value.owner(), TextKey::of(text), entry, weight);
    }

    /// Ignores poisoning: the code under the lock cannot panic halfway through a change of the map.
    fn entries(&self) -> MutexGuard<'_, FairMap<TextKey, Entry<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{CURRENT, session, session_claims};
    use crate::token::{TokenKind, UntrustedToken};
    use edge_host::memory::MemorySignatureVerifier;
    use serde_json::json;

    /// The weight of most entries of these tests.
    const WEIGHT: usize = 4_000;

    fn session_of(user_id: &str) -> Arc<CachedSession> {
        Arc::new(CachedSession::new(session(user_id, "session_1", "refresh_1"), false))
    }

    /// The text of an entry with this weight.
    fn text(number: usize, weight: usize) -> String {
        let number = number.to_string();
        "0".repeat(weight - ENTRY_BYTES - number.len()) + &number
    }

    fn insert(cache: &IsolateCache<CachedSession>, number: usize, user_id: &str) {
        cache.insert(&text(number, WEIGHT), &session_of(user_id));
    }

    /// How many of these entries the cache holds.
    fn count(cache: &IsolateCache<CachedSession>, numbers: std::ops::Range<usize>) -> usize {
        numbers.filter(|number| cache.get(&text(*number, WEIGHT)).is_some()).count()
    }

    #[test]
    fn cache_distinguishes_texts_with_a_common_part() {
        let cache = IsolateCache::default();
        let text = "a".repeat(4_000);
        cache.insert(&text, &session_of("user_ada"));
        assert!(cache.get(&text).is_some());
        let end = &text[1..];
        for other in [end, &format!("{text}a"), &format!("{end}b"), &format!("b{end}"), "", "a"] {
            assert!(cache.get(other).is_none(), "{other}");
        }
    }

    #[test]
    fn cache_distinguishes_short_texts() {
        let cache = IsolateCache::default();
        cache.insert("a", &session_of("user_ada"));
        assert!(cache.get("a").is_some());
        for other in ["", "aa", "b", "\0a"] {
            assert!(cache.get(other).is_none(), "{other}");
        }
    }

    #[test]
    fn text_with_an_equal_end_replaces_the_other() {
        let cache = IsolateCache::default();
        let [one, other] = ["a", "b"].map(|first| format!("{first}{}", "c".repeat(END_BYTES)));
        cache.insert(&one, &session_of("user_ada"));
        cache.insert(&other, &session_of("user_grace"));
        assert!(cache.get(&one).is_none());
        assert_eq!(cache.get(&other).unwrap().session.user_id(), "user_grace");
    }

    #[test]
    fn cache_holds_two_megabytes() {
        let cache = IsolateCache::default();
        for number in 0..500 {
            insert(&cache, number, "user_ada");
        }
        assert_eq!(count(&cache, 0..500), 500);
        // One more byte evicts the oldest entry.
        cache.insert("x", &session_of("user_ada"));
        assert_eq!((count(&cache, 0..1), count(&cache, 1..500)), (0, 499));
        // A large entry evicts as many as it needs.
        cache.insert(&text(501, 400_000), &session_of("user_ada"));
        assert_eq!((count(&cache, 0..101), count(&cache, 101..500)), (0, 399));
    }

    #[test]
    fn cache_holds_two_thousand_short_texts() {
        let cache = IsolateCache::default();
        for number in 0..5_000 {
            cache.insert(&number.to_string(), &session_of("user_ada"));
        }
        let held = (0..5_000).filter(|number| cache.get(&number.to_string()).is_some()).count();
        assert!((1_900..=2_000).contains(&held), "{held}");
    }

    #[test]
    fn entry_over_the_bound_evicts_nothing() {
        let cache = IsolateCache::default();
        insert(&cache, 0, "user_ada");
        let (too_heavy, heavy) = (text(1, MAX_BYTES + 1), text(2, MAX_BYTES));
        cache.insert(&too_heavy, &session_of("user_ada"));
        assert_eq!((count(&cache, 0..1), cache.get(&too_heavy).is_some()), (1, false));
        cache.insert(&heavy, &session_of("user_ada"));
        assert_eq!((count(&cache, 0..1), cache.get(&heavy).is_some()), (0, true));
    }

    #[test]
    fn second_insert_replaces_the_value() {
        let cache = IsolateCache::default();
        insert(&cache, 0, "user_ada");
        insert(&cache, 0, "user_grace");
        assert_eq!(cache.get(&text(0, WEIGHT)).unwrap().session.user_id(), "user_grace");
    }

    #[test]
    fn user_with_many_sessions_evicts_only_their_own() {
        let cache = IsolateCache::default();
        cache.insert("grace", &session_of("user_grace"));
        for number in 0..1_000 {
            insert(&cache, number, "user_ada");
        }
        assert!(cache.get("grace").is_some());
        assert_eq!((count(&cache, 0..501), count(&cache, 501..1_000)), (0, 499));
    }

    #[tokio::test]
    async fn token_and_session_belong_to_their_user() {
        let set = serde_json::from_value::<crate::workos::JwkSet>(json!({"keys": [CURRENT.jwk()]}));
        let key_set = Arc::new(KeySet::from(set.unwrap()));
        let token = CURRENT.token(&session_claims());
        let token = UntrustedToken::parse(&token).unwrap();
        let key = key_set.find(CURRENT.kid).unwrap();
        let claims = token
            .verify_signature(TokenKind::Session, key, &MemorySignatureVerifier)
            .await
            .unwrap();
        let user = UserHash::new(&[0; 32]);
        let cached = CachedToken { kid: CURRENT.kid.to_owned(), key_set, claims, user };
        assert_eq!(cached.owner(), "user_ada");
        assert_eq!(session_of("user_grace").owner(), "user_grace");
    }
}
