//! The objects of a class.

use async_trait::async_trait;

use super::error::ObjectError;

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
}
