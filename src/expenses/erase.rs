//! Deletes everything stored of one user, as far as one request may: an invocation on Workers has a
//! limited number of operations. A user with more is erased by several requests, each of which goes on
//! where the last one stopped.

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::Value;

use super::keys::Owner;
use edge_host::{KV_LIST_MAX_KEYS, KvError, KvNamespace};

/// Most KV operations of one request, `list`s included. Workers allow 1,000 to all services together;
/// the rest is for the request's other work.
/// <https://developers.cloudflare.com/kv/platform/limits/>
const MAX_OPERATIONS: usize = 900;
/// Most deletes at a time: as many connections as Workers open for one request. A delete that waits
/// for a connection uses up its time limit.
/// <https://developers.cloudflare.com/workers/platform/limits/#simultaneous-open-connections>
const MAX_AT_ONCE: usize = 6;

/// The outcome of one request that erases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Erasure {
    /// Nothing is left.
    Done,
    /// More is left than one request may delete.
    Unfinished,
}

/// Deletes the owner's expenses and idempotency records. `list` may show deleted keys for a minute:
/// deleting them again does no harm.
///
/// After an error some may be deleted; the caller may try again.
pub(super) async fn erase(kv: &dyn KvNamespace, owner: &Owner) -> Result<Erasure, KvError> {
    let mut operations_left = MAX_OPERATIONS;
    for prefix in [owner.expense_prefix(), owner.idempotency_prefix()] {
        let mut cursor: Option<String> = None;
        loop {
            // One list and one delete.
            if operations_left < 2 {
                return Ok(Erasure::Unfinished);
            }
            operations_left -= 1;
            let limit = operations_left.min(KV_LIST_MAX_KEYS);
            let listing = kv.list(&prefix, limit, cursor.as_deref()).await?;
            // Unreadable records are deleted too, whatever their metadata.
            let page = listing.page::<Value>()?;
            cursor = page.next_cursor().map(str::to_owned);
            let keys: Vec<String> =
                page.keys.into_iter().map(|key| key.name.into_owned()).collect();
            operations_left -= keys.len();
            stream::iter(keys)
                .map(async |key| kv.delete(&key).await)
                .buffer_unordered(MAX_AT_ONCE)
                .try_collect::<()>()
                .await?;
            if cursor.is_none() {
                break;
            }
        }
    }
    Ok(Erasure::Done)
}
