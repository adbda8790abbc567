//! Reads a user's expenses in batches. A batch is one `list` of KV with the ledger's overlay.

use futures_util::future::join;

use super::{
    cursor::{ListedBatch, Position},
    events::ExpensesEvent,
    filter::Filter,
    keys::Owner,
    ledger::{
        client::{LedgerError, Ledgers},
        overlay::{Consistency, Overlay},
    },
    row::{Figures, RowRef, Rows},
    store::{Batch, ExpenseStore},
};
use edge_host::{Cause, Emit as _, KV_LIST_MAX_KEYS, KvError};

/// Takes an expense: its row, its figures, whether the filter selects it, and the position of its batch. Returns
/// whether to go on.
type Read<'a> = dyn FnMut(RowRef<'_>, &Figures<'_>, bool, &Position) -> bool + Send + 'a;

/// The batches of one user's expenses.
#[derive(Clone, Copy)]
pub(super) struct Batches<'a> {
    pub(super) store: &'a ExpenseStore,
    pub(super) ledgers: &'a Ledgers,
    pub(super) owner: &'a Owner,
}

impl Batches<'_> {
    /// Reads all expenses, the one added last first.
    pub(super) async fn read_all(
        &self,
        filter: &Filter,
        each: &mut Read<'_>,
    ) -> Result<Consistency, KvError> {
        let mut read = |rows: &Rows, position: &Position| {
            rows.iter().all(|row| {
                let figures = row.figures();
                figures
                    .is_none_or(|figures| each(row, &figures, filter.matches(&figures), position))
            })
        };
        self.read_batches(&mut read).await
    }

    /// Reads the batches of all expenses until `each` says to stop. The ledger is asked once: what its log has at the
    /// beginning is every write that KV may not show.
    pub(super) async fn read_batches(
        &self,
        each: &mut (dyn FnMut(&Rows, &Position) -> bool + Send),
    ) -> Result<Consistency, KvError> {
        let mut position = Position::default();
        let (mut batch, overlay, consistency) =
            self.first_batch(&position, KV_LIST_MAX_KEYS, None).await?;
        loop {
            if !each(&batch.rows, &position) {
                return Ok(consistency);
            }
            let Some(next) = batch.next else { return Ok(consistency) };
            batch = self.batch(&next, KV_LIST_MAX_KEYS, &overlay).await?;
            position = next;
        }
    }

    /// Asks KV and the ledger at the same time: KV for `limit` keys, and the ledger for what a page of
    /// `recent_limit` expenses needs, or for all that follows.
    pub(super) async fn first_batch(
        &self,
        position: &Position,
        limit: usize,
        recent_limit: Option<usize>,
    ) -> Result<(ListedBatch, Overlay, Consistency), KvError> {
        let stored = self.store.list(self.owner, limit, position.kv_cursor.as_deref());
        let recent = self.recent(position, None, recent_limit);
        let (stored, (overlay, consistency)) = join(stored, recent).await;
        Ok((overlaid(stored, position, &overlay)?, overlay, consistency))
    }

    /// Asks the ledger for its entries from a position on, up to the id `until`, as far as a page of `limit` expenses
    /// needs them.
    async fn recent(
        &self,
        position: &Position,
        until: Option<&str>,
        limit: Option<usize>,
    ) -> (Overlay, Consistency) {
        let after = position.begin.as_deref();
        match self.ledgers.list(self.owner, after, until, limit).await {
            Ok(overlay) => (overlay, Consistency::Strong),
            Err(error) => (Overlay::none(), not_reached(&error)),
        }
    }

    /// Asks KV for another batch of the same page.
    pub(super) async fn batch(
        &self,
        position: &Position,
        limit: usize,
        overlay: &Overlay,
    ) -> Result<ListedBatch, KvError> {
        let stored = self.store.list(self.owner, limit, position.kv_cursor.as_deref()).await;
        overlaid(stored, position, overlay)
    }

    /// A batch of a list that goes on for long: the ledger is asked at each batch.
    pub(super) async fn current_batch(
        &self,
        position: &Position,
    ) -> Result<(ListedBatch, Consistency), KvError> {
        if position.begin.is_none() {
            let (batch, _, consistency) =
                self.first_batch(position, KV_LIST_MAX_KEYS, None).await?;
            return Ok((batch, consistency));
        }
        // The ledger comes after KV, which tells where the batch ends: a long log has most of its entries beyond.
        let cursor = position.kv_cursor.as_deref();
        let stored = self.store.list(self.owner, KV_LIST_MAX_KEYS, cursor).await?;
        let until = stored.end.as_deref().filter(|_| stored.next.is_some());
        let (overlay, consistency) = self.recent(position, until, None).await;
        Ok((overlaid(Ok(stored), position, &overlay)?, consistency))
    }
}

/// A read goes on without the ledger.
pub(super) fn not_reached(error: &LedgerError) -> Consistency {
    ExpensesEvent::ReadWithoutLedger { cause: Cause(error) }.emit();
    Consistency::Eventual
}

/// The position to go on from if a page without a filter is short because expenses in its batch are deleted.
pub(super) fn unfilled(
    rows: usize,
    limit: usize,
    next: &Option<Position>,
    filter: &Filter,
) -> Option<Position> {
    next.clone().filter(|next| rows < limit && filter.is_empty() && next.after.is_none())
}

/// Where the batch at a cursor of an earlier version begins, which the cursor does not tell.
#[cold]
#[inline(never)]
fn begin_of_earlier(position: &Position, rows: &Rows, end: Option<&str>) -> Option<String> {
    position.after.clone().or_else(|| {
        let first = rows.iter().next().map(|row| row.id.to_string());
        first.or_else(|| end.map(str::to_owned))
    })
}

/// A batch of KV as the log changes it. An erased owner has none, whether KV responds or not.
fn overlaid(
    stored: Result<Batch, KvError>,
    position: &Position,
    overlay: &Overlay,
) -> Result<ListedBatch, KvError> {
    if let Overlay::Erased = overlay {
        return Ok(ListedBatch { rows: Rows::default(), next: None });
    }
    let Batch { rows, end, next } = stored?;
    let begin = match &position.begin {
        None if position.kv_cursor.is_some() => begin_of_earlier(position, &rows, end.as_deref()),
        begin => begin.clone(),
    };
    // An empty batch that is not the last ends where it begins.
    let end = end.or_else(|| begin.clone());
    let next = next.map(|cursor| Position {
        kv_cursor: Some(cursor),
        begin: Some(end.clone().unwrap_or_default()),
        ..Position::default()
    });
    let end = next.as_ref().map(|_| end.unwrap_or_default());
    Ok(ListedBatch { rows: overlay.apply(rows, begin.as_deref(), end.as_deref()), next })
}
