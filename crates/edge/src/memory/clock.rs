//! A clock that is set by hand.

use std::{
    future::poll_fn,
    sync::{Mutex, MutexGuard, PoisonError},
    task::Poll,
};

use async_trait::async_trait;
use chrono::{DateTime, Duration, Utc};

use crate::Clock;

opaque_debug!(ManualClock);

/// A clock that stands still until a test moves it. The default is noon of 2026-11-23, UTC.
pub struct ManualClock(Mutex<DateTime<Utc>>);

/// Noon of 2026-11-23, UTC.
pub(super) const NOON_UNIX_SECS: i64 = 1_795_435_200;

impl Default for ManualClock {
    fn default() -> Self {
        Self::new(DateTime::from_timestamp(NOON_UNIX_SECS, 0).unwrap_or_default())
    }
}

impl ManualClock {
    /// A clock that shows `now`.
    #[must_use]
    pub fn new(now: DateTime<Utc>) -> Self {
        Self(Mutex::new(now))
    }

    /// Moves the clock forward.
    pub fn advance(&self, duration: Duration) {
        *self.time() += duration;
    }

    fn time(&self) -> MutexGuard<'_, DateTime<Utc>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        *self.time()
    }

    /// Moves this clock forward and returns, after other tasks had a turn.
    async fn sleep(&self, millis: u32) {
        self.advance(Duration::milliseconds(millis.into()));
        yield_now().await;
    }

    /// Returns once the test, or another task's [`Self::sleep`], has moved the clock so far.
    async fn time_limit(&self, millis: u32) {
        let end = self.now() + Duration::milliseconds(millis.into());
        while self.now() < end {
            yield_now().await;
        }
    }
}

/// Gives other tasks a turn.
pub(super) async fn yield_now() {
    let mut has_yielded = false;
    poll_fn(|context| {
        if has_yielded {
            return Poll::Ready(());
        }
        has_yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
