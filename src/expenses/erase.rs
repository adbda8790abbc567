//! Removing everything that is kept of one user, as far as one request may: an invocation on Workers
//! has so many operations and no more, so who has more than that is removed in several. What is gone is
//! gone, and the next one goes on.

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::Value;

use super::store::{ExpenseStore, encode_owner};
use crate::runtime::{KV_LIST_MAX_KEYS, KvError};

/// Operations of KV's in one invocation, `list`s included. Workers allow 1,000 to all services
/// together; the rest is for what the request does besides.
/// <https://developers.cloudflare.com/kv/platform/limits/>
const MAX_OPERATIONS: usize = 900;
/// Deletes at a time: as many connections as Workers open for one request. What waits behind them
/// would use up its time limit waiting.
/// <https://developers.cloudflare.com/workers/platform/limits/#simultaneous-open-connections>
const MAX_AT_ONCE: usize = 6;

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Erasure {
    /// Nothing is left.
    Done,
    /// There is more than one request may remove.
    Unfinished,
}

impl ExpenseStore {
    /// Removes every expense of the user with this id, and what their idempotency keys have made. No
    /// user's is anybody else's, so it needs no caller; who asks must know that the user is gone.
    ///
    /// KV's `list` may name for a minute what is gone already: that is removed again, and does no harm.
    ///
    /// # Errors
    ///
    /// [`KvError`]: some of it may be gone, and it can be asked for again.
    pub async fn erase_user(&self, user_id: &str) -> Result<Erasure, KvError> {
        let owner = encode_owner(user_id);
        let mut operations_left = MAX_OPERATIONS;
        for prefix in [format!("expense:{owner}:"), format!("idempotency:{owner}:")] {
            let mut cursor: Option<String> = None;
            loop {
                // A list and something to remove.
                if operations_left < 2 {
                    return Ok(Erasure::Unfinished);
                }
                operations_left -= 1;
                let limit = operations_left.min(KV_LIST_MAX_KEYS);
                let listing = self.kv.list(&prefix, limit, cursor.as_deref()).await?;
                // Metadata may be anything: what cannot be read goes too.
                let page = listing.page::<Value>()?;
                cursor = page.next_cursor().map(str::to_owned);
                let keys: Vec<String> =
                    page.keys.into_iter().map(|key| key.name.into_owned()).collect();
                operations_left -= keys.len();
                stream::iter(keys)
                    .map(async |key| self.kv.delete(&key).await)
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
}
