//! Limits on the requests of one caller, whatever the token or session.

use axum_authkit::RateLimiter;
use edge_host::Host;

/// The binding of the limit for the API and the pages.
const CALLER_BINDING: &str = "CALLER_RATE_LIMIT";
/// The binding of the limit for `/mcp`.
const MCP_BINDING: &str = "MCP_RATE_LIMIT";
/// The period of both bindings in `wrangler.toml`.
const PERIOD_SECS: u32 = 10;

/// The limits of the application.
#[derive(Clone, Default)]
pub struct CallerLimits {
    /// For the API and the pages.
    pub caller: RateLimiter,
    /// For `/mcp`, where each message of a batch counts.
    pub mcp: RateLimiter,
}

impl CallerLimits {
    /// The limits that are bound on `host`.
    #[must_use]
    pub fn bound(host: &impl Host) -> Self {
        Self {
            caller: RateLimiter::bound(host, CALLER_BINDING, PERIOD_SECS),
            mcp: RateLimiter::bound(host, MCP_BINDING, PERIOD_SECS),
        }
    }
}
