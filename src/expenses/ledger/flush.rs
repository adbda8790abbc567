//! Writes the log to KV. One transfer runs at a time. It does not wait for writes
//! that are due later: an alarm or a later message performs them.

use std::sync::Arc;

use futures_util::future::join_all;

use super::{
    entries::{Entry, Transfer},
    log::ERASURE,
    object::Shared,
};
use crate::expenses::{
    erase::{Erased, erase},
    events::ExpensesEvent,
    keys::Owner,
    limits::{AT_ONCE_MAX, OPERATIONS_MAX},
};
use edge_host::{Cause, Emit as _, KvError, KvErrorKind, ObjectFault};

/// The transfer that runs. The host may drop one that takes long: the next alarm or message then begins another.
struct Flushing<'a>(&'a Shared);

impl Drop for Flushing<'_> {
    fn drop(&mut self) {
        self.0.end_flush();
    }
}

impl Shared {
    /// Performs the writes to KV that are due. Returns at once if a transfer runs.
    pub(super) async fn flush(self: Arc<Self>) -> Result<(), ObjectFault> {
        if !self.begin_flush() {
            return Ok(());
        }
        let _flushing = Flushing(&self);
        let mut writes_left = OPERATIONS_MAX;
        let mut now = self.now();
        while let Some((owner, transfers)) = self.next_transfers(now, writes_left)? {
            writes_left -= transfers.len();
            let results =
                join_all(transfers.iter().map(|transfer| self.write(&owner, transfer))).await;
            now = self.now();
            self.settle(now, &transfers, &results)?;
        }
        // No await since the last look at the log: a write that is committed later begins a transfer of its own.
        Ok(())
    }

    /// The next writes. `None` ends the transfer and sets the alarm.
    fn next_transfers(
        &self,
        now: i64,
        writes_left: usize,
    ) -> Result<Option<(Owner, Vec<Transfer>)>, ObjectFault> {
        self.with_log(|log, storage| {
            let transfers = log.due(now, AT_ONCE_MAX.min(writes_left));
            for transfer in &transfers {
                log.entries.change(transfer.id, |entry| entry.begin(transfer.id, storage))?;
            }
            match &log.owner {
                Some(owner) if !transfers.is_empty() => Ok(Some((owner.clone(), transfers))),
                _ => {
                    log.schedule(storage, now)?;
                    Ok(None)
                }
            }
        })
    }

    async fn write(&self, owner: &Owner, transfer: &Transfer) -> Result<(), KvError> {
        let result = match &transfer.expense {
            Some((expense, row)) => self.store.put(owner, expense, row).await,
            None => self.store.delete(owner, transfer.id).await,
        };
        if let Err(error) = &result {
            let (user, kind) = (self.pseudonym(owner), error.kind.name());
            let operation = error.operation.name();
            ExpensesEvent::KvDeferred { user, operation, kind }.emit();
        }
        result
    }

    fn settle(
        &self,
        now: i64,
        transfers: &[Transfer],
        results: &[Result<(), KvError>],
    ) -> Result<(), ObjectFault> {
        self.with_log(|log, storage| {
            for (transfer, result) in transfers.iter().zip(results) {
                let settle = |entry: &mut Entry| entry.settle(storage, transfer, result, now);
                log.entries.change(transfer.id, settle)?;
            }
            let is_failing = |error: &KvError| {
                !matches!(error.kind, KvErrorKind::RateLimited | KvErrorKind::InvalidRequest)
            };
            if results.iter().any(Result::is_ok) {
                log.note_success(storage)
            } else if results.iter().filter_map(|result| result.as_ref().err()).any(is_failing) {
                log.note_failure(storage, now)
            } else {
                Ok(())
            }
        })
    }

    /// Deletes the keys of an erased owner, as many as one invocation may.
    pub(super) async fn erase_keys(&self, owner: &Owner) -> Result<(), ObjectFault> {
        let outcome = erase(self.store.kv(), owner).await;
        let user = self.pseudonym(owner);
        match &outcome {
            Ok(Erased { keys, is_complete }) if *keys > 0 => {
                let keys = u32::try_from(*keys).unwrap_or(u32::MAX);
                ExpensesEvent::KeysErased { user, keys, is_complete: *is_complete }.emit();
            }
            Ok(_) => {}
            Err(error) => ExpensesEvent::ErasureDeferred { user, cause: Cause(error) }.emit(),
        }
        let now = self.now();
        self.with_log(|log, storage| {
            match &outcome {
                Ok(_) => log.note_success(storage)?,
                Err(_) => log.note_failure(storage, now)?,
            }
            if let (Some(erasure), Ok(erased)) = (&mut log.erasure, &outcome)
                && erasure.note(erased, now)
            {
                storage.put(ERASURE, &erasure.row())?;
                if erasure.due_at().is_none() {
                    ExpensesEvent::Erased { user }.emit();
                }
            }
            log.schedule(storage, now)
        })
    }
}
