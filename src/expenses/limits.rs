//! Limits of Workers for one invocation, which the ledgers' work in KV keeps.

/// The most operations of KV in one run. Workers allows 1,000 to all services together; the rest is for the
/// invocation's other work.
/// <https://developers.cloudflare.com/kv/platform/limits/>
pub(super) const OPERATIONS_MAX: usize = 900;
/// The most simultaneous ones. Workers opens six connections for one invocation, and an operation that waits for one
/// uses up its time limit: one is left for the read that a change begins with.
/// <https://developers.cloudflare.com/workers/platform/limits/#simultaneous-open-connections>
pub(super) const AT_ONCE_MAX: usize = 5;
