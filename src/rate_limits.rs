//! Limits on what callers may do, whatever the token or session.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use axum_authkit::{CurrentUser, RateLimiter, Rejection};
use edge_host::Host;
use futures_util::future::BoxFuture;
use http::request::Parts;

use crate::uploads::Uploads;

/// The binding of the limit for the API and the pages.
const CALLER_BINDING: &str = "CALLER_RATE_LIMIT";
/// The binding of the limit for `/mcp`.
const MCP_BINDING: &str = "MCP_RATE_LIMIT";
/// The period of these two bindings in `wrangler.toml`.
const PERIOD_SECS: u32 = 10;
/// The binding of the limit for what WorkOS does for a caller.
const ACCOUNT_BINDING: &str = "ACCOUNT_RATE_LIMIT";
/// Its period.
const ACCOUNT_PERIOD_SECS: u32 = 60;

/// The limits of the application.
#[derive(Clone, Default)]
pub struct CallerLimits {
    /// For the API and the pages.
    pub caller: RateLimiter,
    /// For `/mcp`, where each message of a batch counts.
    pub mcp: RateLimiter,
    /// For what WorkOS does for a caller. WorkOS limits the requests of the application as a whole.
    pub account: RateLimiter,
    /// The memory for files to import.
    pub uploads: Uploads,
}

impl CallerLimits {
    /// The limits that are bound on `host`.
    #[must_use]
    pub fn bound(host: &impl Host) -> Self {
        Self {
            caller: RateLimiter::bound(host, CALLER_BINDING, PERIOD_SECS),
            mcp: RateLimiter::bound(host, MCP_BINDING, PERIOD_SECS),
            account: RateLimiter::bound(host, ACCOUNT_BINDING, ACCOUNT_PERIOD_SECS),
            uploads: Uploads::default(),
        }
    }
}

/// The caller of a request, which counts for the limit of the API and the pages.
pub struct LimitedCaller(pub CurrentUser);

impl<S> FromRequestParts<S> for LimitedCaller
where
    Arc<CallerLimits>: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Rejection> {
        limited_caller(parts, Arc::from_ref(state), |limits| &limits.caller).await.map(Self)
    }
}

/// The caller of a request for which this Worker asks WorkOS each time. It counts against `ACCOUNT_RATE_LIMIT`.
pub struct AccountCaller(pub CurrentUser);

impl<S> FromRequestParts<S> for AccountCaller
where
    Arc<CallerLimits>: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Rejection> {
        limited_caller(parts, Arc::from_ref(state), |limits| &limits.account).await.map(Self)
    }
}

/// Boxed, so that it is compiled once and not into each handler.
fn limited_caller(
    parts: &mut Parts,
    limits: Arc<CallerLimits>,
    choose: fn(&CallerLimits) -> &RateLimiter,
) -> BoxFuture<'_, Result<CurrentUser, Rejection>> {
    Box::pin(async move {
        let caller = CurrentUser::from_request_parts(parts, &()).await?;
        choose(&limits).check(caller.id()).await?;
        Ok(caller)
    })
}
