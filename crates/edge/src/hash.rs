//! Hash maps for keys that clients choose.
//!
//! std seeds its maps from the system's random source, which `wasm32-unknown-unknown` lacks: all isolates
//! have the same seed, and an attacker can compute colliding keys that make each access scan all of them.
//! These maps use std's algorithm (SipHash-1-3), each with its own key from the Web Crypto generator.

use std::{hash::BuildHasher, sync::OnceLock};

use siphasher::sip::SipHasher13;

use super::random_bytes;

opaque_debug!(SeededState);

/// A map with its own secret seed. `HashMap::default()` returns an empty map.
#[allow(clippy::disallowed_types, reason = "this alias sets the seeded hasher")]
pub type HashMap<K, V> = std::collections::HashMap<K, V, SeededState>;

/// The secret seed of a map's hashes, drawn at the first of them: an isolate has no randomness while it starts.
#[derive(Clone, Default)]
pub struct SeededState(OnceLock<[u8; 16]>);

impl BuildHasher for SeededState {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_key(self.0.get_or_init(random_bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_hash_one_key_differently() {
        let [one, other] = [SeededState::default(), SeededState::default()];
        assert_ne!(one.hash_one("key"), other.hash_one("key"));
        assert_eq!(one.hash_one("key"), one.clone().hash_one("key"));
    }
}
