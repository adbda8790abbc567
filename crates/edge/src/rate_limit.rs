//! Rate limits.

use async_trait::async_trait;

/// A rate limit: a number of calls in a period for each key, which the configuration of the host sets. On Workers
/// each location counts by itself.
/// <https://developers.cloudflare.com/workers/runtime-apis/bindings/rate-limit/>
#[async_trait]
pub trait RateLimit: Send + Sync {
    /// Counts one call for `key`, and returns whether the limit allows it. A limit that fails, or on Workers has no
    /// response within two seconds, allows the call.
    async fn allows(&self, key: &str) -> bool;
}
