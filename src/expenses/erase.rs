//! Deletes a user's keys within the limits of one invocation, which on Workers has a limited number of
//! operations. The ledger's alarms repeat it until no key is left.

use std::marker::PhantomData;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::de::IgnoredAny;

use super::{
    keys::Owner,
    limits::{AT_ONCE_MAX, OPERATIONS_MAX},
};
use edge_host::{KV_LIST_MAX_KEYS, KvError, KvNamespace};

/// The outcome of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Erased {
    /// The number of keys that KV has listed and the run has deleted.
    pub(super) keys: usize,
    /// Whether the run has seen the end of every list.
    pub(super) is_complete: bool,
}

/// Deletes the owner's expenses, and the idempotency records of versions without a ledger. `list` can return
/// deleted keys for a minute; deleting a key twice is safe.
///
/// After an error, some data may be deleted; the caller can try again.
pub(super) async fn erase(kv: &dyn KvNamespace, owner: &Owner) -> Result<Erased, KvError> {
    let mut operations_left = OPERATIONS_MAX;
    let mut deleted = 0;
    for prefix in [owner.expense_prefix(), owner.idempotency_prefix()] {
        let mut cursor: Option<String> = None;
        loop {
            // The next round needs at least one `list` and one `delete`.
            if operations_left < 2 {
                return Ok(Erased { keys: deleted, is_complete: false });
            }
            operations_left -= 1;
            let limit = operations_left.min(KV_LIST_MAX_KEYS);
            let listing = kv.list(&prefix, limit, cursor.as_deref()).await?;
            // Unreadable records are deleted too: the metadata is ignored.
            let page = listing.page_with(PhantomData::<IgnoredAny>)?;
            cursor = page.next_cursor().map(str::to_owned);
            let keys: Vec<String> =
                page.keys.into_iter().map(|key| key.name.into_owned()).collect();
            operations_left -= keys.len();
            deleted += keys.len();
            stream::iter(keys)
                .map(async |key| kv.delete(&key).await)
                .buffer_unordered(AT_ONCE_MAX)
                .try_collect::<()>()
                .await?;
            if cursor.is_none() {
                break;
            }
        }
    }
    Ok(Erased { keys: deleted, is_complete: true })
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, sync::Arc};

    use chrono::Duration;
    use edge_host::memory::{ManualClock, MemoryKv};
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn erasure_leaves_one_of_six_connections() {
        let clock = Arc::new(ManualClock::default());
        let kv = MemoryKv::new(Arc::clone(&clock) as _);
        let owner = Owner::new("user_1");
        for number in 0..50 {
            kv.insert_raw(&format!("{}{number}", owner.expense_prefix()), "{}", None);
        }
        kv.delay_responses(100);
        let mut erasure = pin!(erase(&kv, &owner));
        let erased = loop {
            if let Some(erased) = erasure.as_mut().now_or_never() {
                break erased.unwrap();
            }
            clock.advance(Duration::milliseconds(100));
        };
        assert_eq!(erased, Erased { keys: 50, is_complete: true });
        assert!(kv.keys().is_empty());
        assert_eq!(kv.take_most_at_once(), 5);
    }
}
