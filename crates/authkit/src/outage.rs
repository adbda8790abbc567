//! An outage: WorkOS or KV could not be reached, or gave no usable response. Nothing is known of the caller
//! then, so an outage never signs anybody out.

use thiserror::Error;

use crate::error::AppError;

/// The delay before another try where WorkOS names none: long enough to spare WorkOS, short enough for a client that
/// waits.
pub(crate) const RETRY_AFTER_SECS: u32 = 5;

/// The reason of an outage, and when the client may retry.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{reason}")]
pub struct Outage {
    /// The reason, for the log.
    pub reason: String,
    /// Seconds after which the client may retry.
    pub retry_after_secs: u32,
}

impl Outage {
    /// An outage with the default delay.
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), retry_after_secs: RETRY_AFTER_SECS }
    }

    /// The 503 with this message for the caller.
    #[must_use]
    pub fn into_error(self, detail: &str) -> AppError {
        AppError::unavailable(detail, self.retry_after_secs, self.reason)
    }
}
