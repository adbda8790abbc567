//! Limits on the calls of one caller or one address, by a rate limit of the host.

use std::sync::Arc;

use edge_host::{Emit as _, Host, RateLimit};

use crate::{events::AuthKitEvent, rejection::Rejection};

edge_host::opaque_debug!(RateLimiter);

/// A rate limit that rejects calls beyond it with 429. Without a binding it rejects none.
#[derive(Clone, Default)]
pub struct RateLimiter {
    limit: Option<Arc<dyn RateLimit>>,
    /// The name of the binding, for events.
    binding: Arc<str>,
    retry_after_secs: u32,
}

impl RateLimiter {
    /// The limit that is bound to `binding`. `retry_after_secs` is the `Retry-After` of a rejection: the period
    /// of the binding.
    #[must_use]
    pub fn bound(host: &(impl Host + ?Sized), binding: &str, retry_after_secs: u32) -> Self {
        Self { limit: host.rate_limit(binding), binding: binding.into(), retry_after_secs }
    }

    /// Counts one call for `key`.
    ///
    /// # Errors
    ///
    /// [`Rejection::TooManyRequests`] beyond the limit.
    pub async fn check(&self, key: &str) -> Result<(), Rejection> {
        match &self.limit {
            Some(limit) if !limit.allows(key).await => {
                AuthKitEvent::RateLimited { binding: &self.binding }.emit();
                Err(Rejection::TooManyRequests { retry_after_secs: self.retry_after_secs })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use edge_host::memory::{ManualClock, MemoryHost, MemoryRateLimit};

    #[tokio::test]
    async fn call_beyond_the_limit_is_rejected() {
        let limit = MemoryRateLimit::new(1, 10, Arc::new(ManualClock::default()));
        let host = MemoryHost::default().with_rate_limit("LIMIT", Arc::new(limit));
        let limiter = RateLimiter::bound(&host, "LIMIT", 10);
        assert!(limiter.check("a").await.is_ok());
        let rejection = limiter.check("a").await.unwrap_err();
        assert!(matches!(rejection, Rejection::TooManyRequests { retry_after_secs: 10 }));
        assert!(limiter.check("b").await.is_ok());
    }

    #[tokio::test]
    async fn missing_binding_rejects_no_call() {
        let limiter = RateLimiter::bound(&MemoryHost::default(), "LIMIT", 10);
        for _ in 0..1000 {
            assert!(limiter.check("a").await.is_ok());
        }
    }
}
