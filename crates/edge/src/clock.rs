//! Time.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

/// Wall-clock time.
#[async_trait]
pub trait Clock: Send + Sync {
    /// The current time. On Workers it stands still between two I/O operations.
    fn now(&self) -> DateTime<Utc>;

    /// Returns after `millis` milliseconds. A request on Workers may not await I/O that another request
    /// began, so it waits for another request's result by repeated sleeps.
    async fn sleep(&self, millis: u32);

    /// Returns after `millis` milliseconds, for a race with an operation that may not take longer. This is
    /// not [`Self::sleep`], because a clock that is set by hand moves forward for a sleep, and must not for
    /// a time limit.
    async fn time_limit(&self, millis: u32) {
        self.sleep(millis).await;
    }
}
