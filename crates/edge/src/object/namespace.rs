//! The objects of a class.

use async_trait::async_trait;
use futures_util::future::{Either, select};

use super::error::ObjectError;
use crate::Clock;

/// The variable that restricts every object to a jurisdiction. A name is another object, with empty storage, in each
/// jurisdiction and without one: a change of the variable leaves the rows where they are.
pub const JURISDICTION_VARIABLE: &str = "DATA_JURISDICTION";

/// The jurisdictions of Durable Objects.
/// <https://developers.cloudflare.com/durable-objects/reference/data-location/>
pub const JURISDICTIONS: [&str; 3] = ["eu", "fedramp", "us"];

/// The objects of one class, by their names.
#[async_trait]
pub trait ObjectNamespace: Send + Sync {
    /// Sends `message` to the object with this name and returns its response. A name that was never used has an
    /// object with empty storage.
    ///
    /// # Errors
    ///
    /// [`ObjectError`]. The object may have received the message all the same:
    /// [`ObjectError::may_have_run`].
    async fn send(&self, name: &str, message: &str) -> Result<String, ObjectError>;

    /// As [`send`](Self::send), with the longest wait for the response, by `clock` where the host has no timers of
    /// its own. The limit ends the wait: the object may respond later.
    ///
    /// # Errors
    ///
    /// [`ObjectError`]; of the kind [`ObjectErrorKind::TimedOut`](super::ObjectErrorKind::TimedOut) after
    /// `max_millis` milliseconds.
    async fn send_within(
        &self,
        name: &str,
        message: &str,
        max_millis: u32,
        clock: &dyn Clock,
    ) -> Result<String, ObjectError> {
        match select(self.send(name, message), clock.time_limit(max_millis)).await {
            Either::Left((response, _)) => response,
            Either::Right(_) => Err(ObjectError::timed_out(max_millis)),
        }
    }
}
