//! The failures of KV: which operation failed, and why.

use std::fmt;

use thiserror::Error;

/// An operation of a [`KvNamespace`](super::KvNamespace).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KvOperation {
    /// A read of one key or of several.
    Get,
    /// A write of a value.
    Put,
    /// A removal of a key.
    Delete,
    /// A list of keys.
    List,
}

impl KvOperation {
    /// Its name in events.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Put => "put",
            Self::Delete => "delete",
            Self::List => "list",
        }
    }

    /// Whether the operation is a write: `put` or `delete`.
    #[must_use]
    pub fn is_write(self) -> bool {
        matches!(self, Self::Put | Self::Delete)
    }
}

impl fmt::Display for KvOperation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Why an operation failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KvErrorKind {
    /// KV refuses an argument: a key, a value, metadata, a time to live, a number of keys. The same
    /// call fails again.
    InvalidRequest,
    /// Too many operations in a short time; for writes, more than one per second to a key. A later call
    /// can succeed.
    RateLimited,
    /// A quota is used up: of the account for the day, or of one invocation of the Worker.
    QuotaExceeded,
    /// No response within the limit of [`TimedKv`](super::TimedKv).
    TimedOut,
    /// Every other failure of KV or of the connection to it.
    Unavailable,
    /// The response is not as documented, or some metadata is not of the expected type.
    MalformedResponse,
}

impl KvErrorKind {
    /// Its name in events.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::RateLimited => "rate_limited",
            Self::QuotaExceeded => "quota_exceeded",
            Self::TimedOut => "timed_out",
            Self::Unavailable => "unavailable",
            Self::MalformedResponse => "malformed_response",
        }
    }
}

/// An operation of KV failed. It tells nothing about the key: a write may have taken place, or may take
/// place later, unless the kind is [`KvErrorKind::InvalidRequest`].
#[derive(Debug, Clone, Error)]
#[error("KV {operation} failed: {reason}")]
#[non_exhaustive]
pub struct KvError {
    /// The operation that failed.
    pub operation: KvOperation,
    /// Why it failed.
    pub kind: KvErrorKind,
    /// The reason in words, for the log; contains no key, no value and no metadata.
    pub reason: String,
}

impl KvError {
    /// A failure of `operation`. `reason` goes to the log.
    #[must_use]
    pub fn new(operation: KvOperation, kind: KvErrorKind, reason: impl Into<String>) -> Self {
        Self { operation, kind, reason: reason.into() }
    }

    /// An operation had no response within `max_millis` milliseconds.
    #[must_use]
    pub fn timed_out(operation: KvOperation, max_millis: u32) -> Self {
        let reason = format!("no response within {} s", max_millis / 1000);
        Self::new(operation, KvErrorKind::TimedOut, reason)
    }
}

/// The kind of a failure that Workers reports with `message`. Messages are KV's only account of a
/// failure: the runtime makes them of a response's status and adds checks of its own.
/// <https://github.com/cloudflare/workerd/blob/main/src/workerd/api/kv.c%2B%2B>
#[cfg(any(target_arch = "wasm32", test))]
pub(crate) fn kind_of_message(message: &str) -> KvErrorKind {
    // "KV PUT failed: 429 Too Many Requests"
    let status = message.strip_prefix("KV ").and_then(|rest| rest.split_once(" failed: "));
    let status = status.and_then(|(_, rest)| rest.split(' ').next());
    match status {
        Some("400" | "413" | "414") => KvErrorKind::InvalidRequest,
        Some("429") => KvErrorKind::RateLimited,
        Some(_) => KvErrorKind::Unavailable,
        // The runtime checks these before it sends a request.
        None if message == "Key name cannot be empty."
            || message.ends_with(" is not allowed as a key name.") =>
        {
            KvErrorKind::InvalidRequest
        }
        // "KV put() limit exceeded for the day."
        None if message.contains("limit exceeded for the day")
            || message.starts_with("Too many API requests by single ") =>
        {
            KvErrorKind::QuotaExceeded
        }
        None => KvErrorKind::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_gives_the_kind_of_the_failure() {
        for (message, kind) in [
            ("KV PUT failed: 429 Too Many Requests", KvErrorKind::RateLimited),
            ("KV GET failed: 500 Internal Server Error", KvErrorKind::Unavailable),
            ("KV GET_BULK failed: 503 Service Unavailable", KvErrorKind::Unavailable),
            (
                "KV GET failed: 414 UTF-8 encoded length of 513 exceeds key length limit of 512.",
                KvErrorKind::InvalidRequest,
            ),
            (
                "KV PUT failed: 413 Metadata length of 1025 exceeds limit of 1024.",
                KvErrorKind::InvalidRequest,
            ),
            ("KV PUT failed: 400 Bad Request", KvErrorKind::InvalidRequest),
            // A status is a number of three digits, not a prefix of a longer word.
            ("KV PUT failed: 4000", KvErrorKind::Unavailable),
            ("Key name cannot be empty.", KvErrorKind::InvalidRequest),
            ("\".\" is not allowed as a key name.", KvErrorKind::InvalidRequest),
            ("KV put() limit exceeded for the day.", KvErrorKind::QuotaExceeded),
            ("Too many API requests by single Worker invocation.", KvErrorKind::QuotaExceeded),
            ("Network connection lost.", KvErrorKind::Unavailable),
            ("", KvErrorKind::Unavailable),
        ] {
            assert_eq!(kind_of_message(message), kind, "{message}");
        }
    }

    #[test]
    fn error_names_the_operation_and_the_reason() {
        let error =
            KvError::new(KvOperation::Put, KvErrorKind::TimedOut, "no response within 10 s");
        assert_eq!(error.to_string(), "KV put failed: no response within 10 s");
    }
}
