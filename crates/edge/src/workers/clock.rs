//! Time on Workers: `Date.now()` and `setTimeout()`.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use worker::{Date, Delay, send::SendFuture};

use crate::Clock;

/// The clock of the Workers runtime.
pub struct WorkersClock;

#[async_trait]
impl Clock for WorkersClock {
    fn now(&self) -> DateTime<Utc> {
        let millis = i64::try_from(Date::now().as_millis()).unwrap_or(i64::MAX);
        DateTime::from_timestamp_millis(millis).unwrap_or_default()
    }

    async fn sleep(&self, millis: u32) {
        SendFuture::new(Delay::from(Duration::from_millis(millis.into()))).await;
    }
}
