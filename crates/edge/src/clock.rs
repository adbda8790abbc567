//! Time.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

/// Wall-clock time.
#[async_trait]
pub trait Clock: Send + Sync {
    /// The time now. On Workers it stands still between two I/O operations.
    fn now(&self) -> DateTime<Utc>;

    /// Returns after `millis` milliseconds: the only way to wait for what another request is doing,
    /// because a request on Workers may not await I/O that another one began.
    async fn sleep(&self, millis: u32);

    /// Returns after `millis` milliseconds, for a race with what may not take longer. Apart from
    /// [`Self::sleep`] because a clock that is set by hand lets time pass for who sleeps, and not for
    /// who only takes care.
    async fn time_limit(&self, millis: u32) {
        self.sleep(millis).await;
    }
}
