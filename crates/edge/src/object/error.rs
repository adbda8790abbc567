//! The failures of objects.

use thiserror::Error;

/// An object could not complete an event. The reason goes to the log, and holds no user's data.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct ObjectFault(pub String);

impl ObjectFault {
    /// A fault for this reason.
    #[must_use]
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

/// Why a message has no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ObjectErrorKind {
    /// The object has too many messages and did not take this one.
    Overloaded,
    /// The connection failed, or the object ended while it had the message: it was evicted, or a new version of
    /// the code replaced it. Sent again, the message reaches a new instance.
    Disconnected,
    /// No response within the limit of [`TimedObjects`](super::TimedObjects).
    TimedOut,
    /// The object failed on this message.
    Failed,
}

impl ObjectErrorKind {
    /// Its name in events.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Overloaded => "overloaded",
            Self::Disconnected => "disconnected",
            Self::TimedOut => "timed_out",
            Self::Failed => "failed",
        }
    }
}

/// A message to an object has no response.
#[derive(Debug, Clone, Error)]
#[error("Durable Object {kind:?}: {reason}")]
#[non_exhaustive]
pub struct ObjectError {
    /// Why.
    pub kind: ObjectErrorKind,
    /// The reason in words, for the log.
    pub reason: String,
}

impl ObjectError {
    /// An error of this kind. `reason` goes to the log.
    #[must_use]
    pub fn new(kind: ObjectErrorKind, reason: impl Into<String>) -> Self {
        Self { kind, reason: reason.into() }
    }

    /// A message had no response within `max_millis` milliseconds.
    #[must_use]
    pub fn timed_out(max_millis: u32) -> Self {
        let reason = format!("no response within {} s", max_millis / 1000);
        Self::new(ObjectErrorKind::TimedOut, reason)
    }

    /// Types an error of the runtime by its marks and, after a line break, its message.
    /// <https://developers.cloudflare.com/durable-objects/best-practices/error-handling/>
    ///
    /// The runtime marks its errors: `overloaded`, `retryable` for a failed connection and a new version of the code,
    /// `durableObjectReset` for an instance that ended, `remote` for an error that comes from the object. An object
    /// that exceeds its memory or its CPU time is overloaded and reset: it may have taken the message. `answered` is an
    /// object's own response that it failed.
    #[cfg(any(target_arch = "wasm32", test))]
    pub(crate) fn thrown(error: &str) -> Self {
        let (marks, message) = error.split_once('\n').unwrap_or_default();
        let is = |mark: &str| marks.split(' ').any(|other| other == mark);
        let was_reset = is("durableObjectReset") || message.contains("reset");
        let kind = if is("answered") {
            ObjectErrorKind::Failed
        } else if is("overloaded") && !was_reset && !is("remote") {
            ObjectErrorKind::Overloaded
        } else if was_reset || is("retryable") || !is("remote") || has_hung(message) {
            ObjectErrorKind::Disconnected
        } else {
            ObjectErrorKind::Failed
        };
        Self::new(kind, message)
    }

    /// Whether the object may have received the message, now or later.
    #[must_use]
    pub fn may_have_run(&self) -> bool {
        self.kind != ObjectErrorKind::Overloaded
    }
}

/// Whether the runtime ended an event that nothing could complete, as after a panic in the same isolate.
#[cfg(any(target_arch = "wasm32", test))]
fn has_hung(message: &str) -> bool {
    message.contains("never generate a response")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_of_the_runtime_is_typed_by_its_marks() {
        use ObjectErrorKind::{Disconnected, Failed, Overloaded};

        let text = "an error";
        for (marks, message, kind) in [
            ("overloaded", text, Overloaded),
            // The object may have taken the message.
            ("overloaded durableObjectReset", text, Disconnected),
            ("overloaded", "the object was reset", Disconnected),
            ("overloaded remote", text, Failed),
            ("retryable", text, Disconnected),
            ("retryable remote", text, Disconnected),
            ("durableObjectReset remote", text, Disconnected),
            ("", text, Disconnected),
            ("", "overloaded", Disconnected),
            ("remote", text, Failed),
            ("remote", "overloaded", Failed),
            ("remote", "the object was reset", Disconnected),
            ("remote", "the script will never generate a response", Disconnected),
            ("answered", text, Failed),
            ("answered", "the object was reset", Failed),
        ] {
            let error = ObjectError::thrown(&format!("{marks}\n{message}"));
            assert_eq!((error.kind, &*error.reason), (kind, message), "{marks}: {message}");
        }
    }

    #[test]
    fn only_an_overloaded_object_never_has_the_message() {
        use ObjectErrorKind::{Disconnected, Failed, Overloaded, TimedOut};

        for kind in [Disconnected, Failed, TimedOut] {
            assert!(ObjectError::new(kind, "").may_have_run(), "{kind:?}");
        }
        assert!(!ObjectError::new(Overloaded, "").may_have_run());
    }
}
