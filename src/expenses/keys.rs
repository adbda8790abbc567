//! The keys of expenses in KV.
//!
//! | key | value | metadata | lives |
//! | --- | --- | --- | --- |
//! | `expense:{owner}:{id}` | the record with its row: `super::record` | the row, if it fits 1,024 bytes: `super::row` | until it is deleted |
//! | `idempotency:{owner}:{hash}` | an `Idempotency-Key`, from versions without a ledger; erased with the owner | | 24 hours |
//!
//! `owner` is the user's `sub` with every character but letters, digits, `-`, `_`, `.` and `~`
//! percent-encoded, so that no `sub` reaches into another's prefix. A `sub` too long for a key becomes
//! `sha256=` and its hash, which no encoded `sub` can be. Ids sort newest first, and so does `list`.

use axum_authkit::seal::UserHasher;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::{Digest, Sha256};

use super::model::ExpenseId;
use edge_host::{KV_KEY_MAX_BYTES, UserHash};

/// All characters except RFC 3986's unreserved ones.
const ENCODED_IN_OWNER: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// `idempotency:` and `:` and a hash of 64 characters: the longest text around an owner.
const KEY_OVERHEAD_BYTES: usize = 12 + 1 + 64;

/// The owner of keys: a user's `sub` in the form that keys contain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner(String);

impl Owner {
    /// The owner with this `sub`.
    pub(crate) fn new(sub: &str) -> Self {
        let encoded = utf8_percent_encode(sub, ENCODED_IN_OWNER).to_string();
        if encoded.len() > KV_KEY_MAX_BYTES - KEY_OVERHEAD_BYTES {
            return Self(format!("sha256={}", sha256_hex(sub.as_bytes())));
        }
        Self(encoded)
    }

    /// The owner with this text in keys.
    pub(super) fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The owner's text in keys, which is the name of the owner's ledger too.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The pseudonym of the owner in events: that of the `sub`, unless a hash stands for it.
    pub(super) fn pseudonym(&self, hasher: &UserHasher) -> UserHash {
        hasher.hash(&percent_decode_str(&self.0).decode_utf8_lossy())
    }

    /// The prefix of the keys of the owner's expenses.
    pub(super) fn expense_prefix(&self) -> String {
        format!("expense:{}:", self.0)
    }

    /// The key of an expense.
    pub(super) fn expense_key(&self, id: ExpenseId) -> String {
        ["expense:", &self.0, ":", id.encode().as_str()].concat()
    }

    /// The prefix of the keys of the owner's idempotency records.
    pub(super) fn idempotency_prefix(&self) -> String {
        format!("idempotency:{}:", self.0)
    }
}

/// The SHA-256 of `bytes` in hexadecimal.
pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    base16ct::lower::encode_string(&Sha256::digest(bytes))
}
