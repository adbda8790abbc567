//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a request that adds an expense once. The user's
//! ledger knows each key for 24 hours: the same key and body get the first expense, another body is refused.

use serde_json::Value;
use thiserror::Error;

use super::{keys::sha256_hex, model::TextError};

/// An idempotency key: 1 to 255 printable ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

/// Why a text is not an idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum IdempotencyKeyError {
    /// The text is empty or too long.
    #[error(transparent)]
    Length(#[from] TextError),
    /// The text has characters other than printable ASCII.
    #[error("the text has characters other than printable ASCII")]
    NotPrintable,
}

impl IdempotencyKey {
    /// The most characters.
    pub const MAX_CHARS: usize = 255;

    /// The characters, as a regular expression of JSON Schema.
    pub const PATTERN: &str = "^[ -~]+$";

    /// Parses a key. White space is significant.
    ///
    /// # Errors
    ///
    /// [`IdempotencyKeyError`].
    pub fn parse(text: &str) -> Result<Self, IdempotencyKeyError> {
        match text.chars().count() {
            0 => Err(TextError::Empty.into()),
            1..=Self::MAX_CHARS if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) => {
                Ok(Self(text.to_owned()))
            }
            1..=Self::MAX_CHARS => Err(IdempotencyKeyError::NotPrintable),
            _ => Err(TextError::TooLong { max_chars: Self::MAX_CHARS }.into()),
        }
    }
}

/// The key and body of a request that adds an expense once.
#[derive(Debug, Clone)]
pub struct IdempotentRequest {
    key: IdempotencyKey,
    body_hash: String,
}

impl IdempotentRequest {
    /// The request with this key. Equivalent bodies have the same `canonical_body`.
    #[must_use]
    pub fn new(key: IdempotencyKey, canonical_body: &str) -> Self {
        Self { key, body_hash: sha256_hex(canonical_body.as_bytes()) }
    }

    /// The request with this key and JSON body. The order of members and white space are ignored.
    #[must_use]
    pub fn of_json(key: IdempotencyKey, body: &Value) -> Self {
        let mut sorted = body.clone();
        sorted.sort_all_objects();
        Self::new(key, &edge_host::json::write(&sorted))
    }

    /// The SHA-256 of the key, in hexadecimal.
    pub(super) fn key_hash(&self) -> String {
        sha256_hex(self.key.0.as_bytes())
    }

    /// The SHA-256 of the canonical body, in hexadecimal.
    pub(super) fn body_hash(&self) -> &str {
        &self.body_hash
    }
}
