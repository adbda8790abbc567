//! A clock that stands still until it is told to move.

use std::sync::Mutex;

use async_trait::async_trait;
use authkit_edge::runtime::Clock;
use chrono::{DateTime, Duration, Utc};

pub struct FakeClock(Mutex<DateTime<Utc>>);

impl FakeClock {
    /// Noon of 2026-11-23.
    pub fn new() -> Self {
        Self(Mutex::new(DateTime::from_timestamp(1_795_435_200, 0).unwrap()))
    }

    pub fn advance(&self, duration: Duration) {
        *self.0.lock().unwrap() += duration;
    }
}

#[async_trait]
impl Clock for FakeClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }

    /// Takes no time but on this clock; others get their turn.
    async fn sleep(&self, millis: u32) {
        self.advance(Duration::milliseconds(millis.into()));
        tokio::task::yield_now().await;
    }

    /// Is over when somebody else has let that much time pass.
    async fn time_limit(&self, millis: u32) {
        let end = self.now() + Duration::milliseconds(millis.into());
        while self.now() < end {
            tokio::task::yield_now().await;
        }
    }
}
