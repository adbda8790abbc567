//! Randomness.

/// Fresh bytes from the system's cryptographic generator (Web Crypto on Workers).
///
/// With the feature `memory`, a running `memory::Simulation` replaces the generator on its
/// own thread. No other code can.
///
/// # Panics
///
/// When the system has no randomness. Nothing can be sealed then, and predictable keys would be worse.
#[must_use]
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[cfg(feature = "memory")]
    if seeded::fill(&mut bytes) {
        return bytes;
    }
    assert!(fill(&mut bytes), "the system generator has failed");
    bytes
}

#[cfg(not(target_arch = "wasm32"))]
fn fill(bytes: &mut [u8]) -> bool {
    getrandom::getrandom(bytes).is_ok()
}

/// In one call of JavaScript: `getrandom` looks for the generators of all environments first.
#[cfg(target_arch = "wasm32")]
use crate::workers::random::fill;

/// The seeded generator of a simulation. It exists only with the feature `memory`, which a Worker does not have.
#[cfg(feature = "memory")]
pub(crate) mod seeded {
    use std::cell::RefCell;

    use fastrand::Rng;

    thread_local! {
        static GENERATOR: RefCell<Option<Rng>> = const { RefCell::new(None) };
    }

    /// Replaces the system's generator on this thread while it lives.
    pub(crate) struct Seeded(Option<Rng>);

    impl Seeded {
        pub(crate) fn new(generator: Rng) -> Self {
            Self(GENERATOR.replace(Some(generator)))
        }
    }

    impl Drop for Seeded {
        fn drop(&mut self) {
            GENERATOR.set(self.0.take());
        }
    }

    pub(super) fn fill(bytes: &mut [u8]) -> bool {
        GENERATOR.with_borrow_mut(|generator| match generator {
            Some(generator) => {
                generator.fill(bytes);
                true
            }
            None => false,
        })
    }
}
