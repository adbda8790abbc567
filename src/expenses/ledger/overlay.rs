//! Combines KV with a ledger's log: the log has the latest write of each expense that KV may not show yet.

use crate::expenses::{
    model::ExpenseId,
    row::{Row, Rows},
};

/// How current a read is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    /// Every write that was acknowledged before the read began.
    Strong,
    /// KV alone, which can show writes late: the ledger could not be reached.
    Eventual,
}

/// The result of a read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading<T> {
    /// The result.
    pub value: T,
    /// How current it is.
    pub consistency: Consistency,
}

impl<T> Reading<T> {
    /// A read of KV and the ledger.
    pub(crate) fn strong(value: T) -> Self {
        Self { value, consistency: Consistency::Strong }
    }

    /// The same read of something else.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Reading<U> {
        Reading { value: change(self.value), consistency: self.consistency }
    }
}

/// The log's latest write of one expense.
pub(crate) enum Recent {
    /// Written; `None` is a removal.
    Written(Option<Row>),
    /// The log has no write of it: KV shows the latest one.
    Unknown,
}

/// The log's latest writes.
#[derive(Clone)]
pub(crate) enum Overlay {
    /// In the order of the ids; `None` is a removal.
    Recent(Vec<(ExpenseId, Option<Row>)>),
    /// The owner is erased, and has no expense.
    Erased,
}

impl Overlay {
    /// KV without a log.
    pub(crate) fn none() -> Self {
        Self::Recent(Vec::new())
    }

    /// One batch of KV's list as the log changes it. The batch begins after the key that ends in `begin` and ends
    /// with the key that ends in `end`; `None` is the end of the list. Both have the newest expense first. No row is
    /// parsed.
    pub(crate) fn apply(&self, batch: Rows, begin: Option<&str>, end: Option<&str>) -> Rows {
        let Self::Recent(recent) = self else { return Rows::default() };
        let is_within = |id: ExpenseId| {
            let id = id.encode();
            begin.is_none_or(|begin| id.as_str() > begin)
                && end.is_none_or(|end| id.as_str() <= end)
        };
        let mut recent = recent.iter().filter(|(id, _)| is_within(*id)).peekable();
        if recent.peek().is_none() {
            return batch;
        }
        let mut rows = Rows::like(&batch);
        let push = |rows: &mut Rows, latest: &Option<Row>| {
            latest.iter().for_each(|latest| rows.push(latest.as_ref()));
        };
        for stored in batch.iter() {
            let mut is_overridden = false;
            while let Some((id, latest)) = recent.next_if(|(id, _)| *id <= stored.id) {
                is_overridden |= *id == stored.id;
                push(&mut rows, latest);
            }
            if !is_overridden {
                rows.push(stored);
            }
        }
        recent.for_each(|(_, latest)| push(&mut rows, latest));
        rows
    }
}
