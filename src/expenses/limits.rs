//! Limits of Workers for one invocation, which the ledgers' work in KV keeps.

/// The most operations of KV in one run. Workers allows 1,000 to all services together; the rest is for the
/// invocation's other work.
/// <https://developers.cloudflare.com/kv/platform/limits/>
pub(super) const OPERATIONS_MAX: usize = 900;
/// The most operations of KV at the same time. Workers opens six connections for one invocation, and an operation that
/// waits for a connection uses up its time limit. The sixth is for a change, which may read its expense from KV.
/// <https://developers.cloudflare.com/workers/platform/limits/#simultaneous-open-connections>
pub(super) const AT_ONCE_MAX: usize = 5;
