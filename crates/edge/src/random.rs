//! Randomness.

/// Fresh bytes from the system's cryptographic generator (Web Crypto on Workers).
///
/// # Panics
///
/// When the system has no randomness. Nothing can be sealed then, and predictable keys would be worse.
#[must_use]
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[expect(clippy::expect_used, reason = "see # Panics")]
    getrandom::getrandom(&mut bytes).expect("the system generator answers");
    bytes
}
