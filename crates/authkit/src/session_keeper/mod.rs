//! The Durable Object that owns a WorkOS session, and the side of the isolates that asks it.
//!
//! WorkOS accepts a refresh token once, while many requests in many isolates carry it at the same time. All of
//! them ask one object, the session's keeper:
//!
//! - It exchanges each refresh token once. Concurrent requests share the exchange, which continues when they are
//!   cancelled. The renewed session is stored, sealed, before any response, and a late request with a spent token
//!   gets it.
//! - It records that the user has signed out, or that WorkOS has ended the session. A minute after a sign-out it
//!   revokes the session at WorkOS, in case the browser did not follow the redirect to WorkOS.
//! - It records that a sign-in has replaced the session in its browser.
//!
//! A keeper without a response is an outage: 503, and the browser keeps its cookie. One event loses a session:
//! WorkOS performs an exchange, and the object ends before it has WorkOS's response.
//!
//! - [`messages`]: the messages and responses, each with a version.
//! - `state`: the stored row, and the decisions that follow from it.
//! - `keeper`: the object.
//! - `client`: the isolate's side.

pub(crate) mod client;
pub(crate) mod keeper;
pub mod messages;
mod state;

#[cfg(test)]
mod tests;
