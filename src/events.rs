//! The events of the application, beside those of [`crate::expenses::events`].

use edge_host::{Cause, UserHash};

edge_host::events! {
    /// What the application reports.
    pub enum AppEvent<'a> {
        /// A request ended. `LOG_REQUESTS` says which requests are reported; those with a status of 500 and above are
        /// always. The times and counts of services are left out where there were no calls.
        Info Request = "request" {
            /// The method; `OTHER` for one that HTTP's specifications do not have.
            method: &'a str,
            /// The pattern of the route, such as `/expenses/{id}`. Left out for a path without a route.
            route: Option<&'a str>,
            /// The status.
            status: u32,
            /// The milliseconds until the response, without a body that is sent in parts.
            ms: u32,
            /// The milliseconds in KV.
            kv_ms: Option<u32>,
            /// The operations of KV.
            kv_ops: Option<u32>,
            /// The milliseconds in the user's ledger.
            ledger_ms: Option<u32>,
            /// The messages to the ledger.
            ledger_ops: Option<u32>,
            /// The milliseconds in the objects of sessions, which include their requests to WorkOS.
            sessions_ms: Option<u32>,
            /// The messages to them.
            sessions_ops: Option<u32>,
            /// The milliseconds in WorkOS, without renewals of sessions.
            workos_ms: Option<u32>,
            /// The requests to WorkOS.
            workos_ops: Option<u32>,
            /// The user whose token was verified. Left out for a request without one.
            user: Option<UserHash>,
        }
        /// The download of expenses broke off, because KV or the ledger failed after the response had begun.
        Error ExportBrokenOff = "export_broken_off" {
            /// The error.
            cause: Cause<'a>,
        }
        /// A tool call did not succeed for a reason that is not the caller's.
        Error ToolFailed = "tool_failed" {
            /// The name of the tool.
            tool: &'a str,
            /// The error.
            cause: Cause<'a>,
        }
        /// A webhook was handled.
        Info WebhookHandled = "webhook_handled" {
            /// `user_deleted`, or `other` for an event that changes nothing here.
            kind: &'a str,
            /// The deleted user.
            user: Option<UserHash>,
        }
    }
}
