//! A rate limit in memory.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;

use crate::{Clock, RateLimit};

opaque_debug!(MemoryRateLimit);

/// Allows `limit` calls for each key in each period.
pub struct MemoryRateLimit {
    limit: usize,
    period_secs: i64,
    clock: Arc<dyn Clock>,
    /// The current period of each key, and its calls.
    calls: Mutex<BTreeMap<String, (i64, usize)>>,
}

impl MemoryRateLimit {
    /// Allows `limit` calls for each key in `period_secs` seconds by `clock`.
    #[must_use]
    pub fn new(limit: usize, period_secs: i64, clock: Arc<dyn Clock>) -> Self {
        Self { limit, period_secs, clock, calls: Mutex::default() }
    }
}

#[async_trait]
impl RateLimit for MemoryRateLimit {
    async fn allows(&self, key: &str) -> bool {
        let period = self.clock.now().timestamp().div_euclid(self.period_secs);
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let (current, count) = calls.entry(key.to_owned()).or_insert((period, 0));
        if *current != period {
            (*current, *count) = (period, 0);
        }
        *count += 1;
        *count <= self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::ManualClock;

    #[tokio::test]
    async fn each_key_has_its_own_calls_in_each_period() {
        let clock = Arc::new(ManualClock::default());
        let limit = MemoryRateLimit::new(2, 60, Arc::clone(&clock) as _);
        let calls = [limit.allows("a").await, limit.allows("a").await, limit.allows("a").await];
        assert_eq!(calls, [true, true, false]);
        assert!(limit.allows("b").await);
        clock.advance(chrono::Duration::seconds(60));
        assert!(limit.allows("a").await);
    }
}
