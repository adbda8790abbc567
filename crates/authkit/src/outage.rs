//! An outage: WorkOS or KV could not be reached, or gave no usable response. Nothing is known of the caller
//! then, so an outage never signs anybody out.

use std::fmt;

use crate::error::AppError;

/// The reason of an outage, and when the client may retry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// The reason, for the log.
    pub reason: String,
    /// Seconds after which the client may retry.
    pub retry_after_secs: u32,
}

impl Outage {
    /// The 503 with this message for the caller.
    #[must_use]
    pub fn into_error(self, detail: &str) -> AppError {
        AppError::unavailable(detail, self.retry_after_secs, self.reason)
    }
}

impl fmt::Display for Outage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.reason)
    }
}
