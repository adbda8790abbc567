//! Failures of KV.

use thiserror::Error;

/// KV could not tell, or could not write. Nothing is known of the key.
#[derive(Debug, Clone, Error)]
#[error("KV {operation} failed: {reason}")]
pub struct KvError {
    /// `get`, `put`, `delete` or `list`.
    pub operation: &'static str,
    /// What the runtime said; holds no value and no key.
    pub reason: String,
}

impl KvError {
    /// Whether it was a write that failed. Then it may have taken place all the same, now or later.
    #[must_use]
    pub fn is_of_write(&self) -> bool {
        matches!(self.operation, "put" | "delete")
    }
}
