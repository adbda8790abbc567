//! Exports of all expenses of a user, a thousand at a time.

use thiserror::Error;

use super::{
    cursor::{ListedBatch, Position},
    filter::Filter,
    ledger::overlay::Consistency,
    order::{FirstRows, Place, Sort},
    row::Rows,
    user_expenses::UserExpenses,
};
use edge_host::{KV_LIST_MAX_KEYS, KvError};

/// The most rows that one reading of all expenses gives to an export by date, and the most bytes of their JSON. While
/// it reads, memory holds up to twice as much, and users share an isolate's 128 MB.
const SORTED_MAX_ROWS: usize = 10_000;
const SORTED_MAX_BYTES: usize = 4_000_000;

/// An export of a user's expenses, a thousand at a time. In the order of additions each thousand is one KV batch, and
/// memory holds no more. By date, all expenses are read for every [`SORTED_MAX_ROWS`] of them.
pub struct Export {
    expenses: UserExpenses,
    filter: Filter,
    sort: Sort,
    /// The position of the next batch or reading; `None` after the last.
    next: Option<Position>,
    /// The rows of a reading by date, of which the first `sent` are exported.
    sorted: Rows,
    sent: usize,
    /// How current the first batch is, and with it the file.
    consistency: Option<Consistency>,
}

/// Why an export cannot go on.
#[derive(Debug, Clone, Error)]
pub enum ExportError {
    /// KV failed to read.
    #[error(transparent)]
    Kv(#[from] KvError),
    /// The first part shows every write, and the ledger cannot be reached for the next one.
    #[error("the ledger cannot be reached any more")]
    LedgerLost,
}

impl Export {
    /// Exports every expense that `filter` selects.
    #[must_use]
    pub fn new(expenses: UserExpenses, filter: Filter, sort: Sort) -> Self {
        let next = Some(Position::default());
        let sorted = Rows::default();
        Self { expenses, filter, sort, next, sorted, sent: 0, consistency: None }
    }

    /// Whether all expenses are exported.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.next.is_none() && self.sent == self.sorted.len()
    }

    /// How current the file is, known after the first rows.
    #[must_use]
    pub fn consistency(&self) -> Consistency {
        self.consistency.unwrap_or(Consistency::Strong)
    }

    /// The next rows that are selected, which can be none; `None` after the last.
    ///
    /// # Errors
    ///
    /// [`ExportError`].
    pub async fn next(&mut self) -> Result<Option<Rows>, ExportError> {
        if self.sort == Sort::Date && self.sent < self.sorted.len() {
            return Ok(Some(self.next_sorted()));
        }
        let Some(position) = &self.next else { return Ok(None) };
        if self.sort == Sort::Date {
            let after = position.place(self.sort);
            let mut first = FirstRows::new(after, SORTED_MAX_ROWS, SORTED_MAX_BYTES);
            let consistency = self
                .expenses
                .batches()
                .read_all(&self.filter, &mut |row, figures, is_selected, _| {
                    if is_selected {
                        first.add(Place::new(Sort::Date, figures.date, row.id), row);
                    }
                    true
                })
                .await?;
            self.note(consistency)?;
            let (rows, places, has_more) = first.finish();
            let last = places.last().filter(|_| has_more);
            self.next = last.map(|last| Position::by_date(*last));
            (self.sorted, self.sent) = (rows, 0);
            return Ok(Some(self.next_sorted()));
        }
        let (ListedBatch { mut rows, next }, consistency) =
            self.expenses.batches().current_batch(position).await?;
        self.note(consistency)?;
        if !self.filter.is_empty() {
            rows.retain(|row| row.figures().is_some_and(|figures| self.filter.matches(&figures)));
        }
        self.next = next;
        Ok(Some(rows))
    }

    /// A file whose beginning shows every write does not go on with rows that may lag.
    fn note(&mut self, consistency: Consistency) -> Result<(), ExportError> {
        let first = *self.consistency.get_or_insert(consistency);
        if first == Consistency::Strong && consistency == Consistency::Eventual {
            return Err(ExportError::LedgerLost);
        }
        Ok(())
    }

    fn next_sorted(&mut self) -> Rows {
        let rows: Rows = self.sorted.iter().skip(self.sent).take(KV_LIST_MAX_KEYS).collect();
        self.sent += rows.len();
        rows
    }
}
