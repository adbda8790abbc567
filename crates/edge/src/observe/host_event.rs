//! The events of the host.

use super::event::Cause;

events! {
    /// What the host reports: failures of the services that it stands for.
    pub enum HostEvent<'a> {
        /// An operation of KV failed, or did not end in time. The application repeats it, goes on without, or
        /// responds with 503.
        Warn KvFailed = "kv_failed" {
            /// `get`, `list`, `put` or `delete`.
            operation: &'a str,
            /// `invalid_request`, `rate_limited`, `quota_exceeded`, `timed_out`, `unavailable` or
            /// `malformed_response`.
            kind: &'a str,
            /// KV's message.
            cause: Cause<'a>,
        }
        /// A message to a Durable Object has no response. A message that may be repeated is sent once more.
        Warn ObjectUnreached = "object_unreached" {
            /// The application's name for the objects, such as `ledger`.
            service: &'a str,
            /// `overloaded`, `disconnected`, `timed_out` or `failed`.
            kind: &'a str,
            /// The runtime's message.
            cause: Cause<'a>,
        }
        /// A Durable Object failed on a message: its storage failed, or the message or a stored row is of a version
        /// that it does not know.
        Error ObjectFailed = "object_failed" {
            /// The fault.
            cause: Cause<'a>,
        }
        /// The alarm of a Durable Object failed. The runtime runs it again.
        Error AlarmFailed = "alarm_failed" {
            /// How often the runtime has run it again before.
            retries: u32,
            /// The fault.
            cause: Cause<'a>,
        }
        /// A rate limit failed, or did not respond within two seconds. Such a call is allowed. Reported once for each
        /// isolate and binding.
        Error RateLimitFailed = "rate_limit_failed" {
            /// The binding's name.
            binding: &'a str,
            /// The runtime's message, `no response in time` or `no result`.
            cause: Cause<'a>,
        }
        /// A response's body could not be read; the client got a 500 without a body.
        Error BodyFailed = "body_failed" {
            /// The error.
            cause: Cause<'a>,
        }
        /// The runtime's request is not valid in HTTP; the client got a 400 without a body.
        Error RequestMalformed = "request_malformed" {
            /// The error.
            cause: Cause<'a>,
        }
        /// The code panicked. Its request gets 500, others 503, and the next one runs in a new instance of the module.
        /// The crate `worker` writes a line of text beside this event, with the message of the panic.
        Error Panicked = "panicked" {
            /// The place in the code: file and line, with the column 1 in a release bundle.
            location: Cause<'a>,
        }
        /// Variables or bindings are missing or invalid: every request gets a 500 that names them. Reported once for
        /// each isolate.
        Error Misconfigured = "misconfigured" {
            /// The names, without their values.
            cause: Cause<'a>,
        }
    }
}
