//! A write of an existing expense, and what the ledger decides on it. No I/O: the log and KV's record are given.

use chrono::DateTime;
use edge_host::ObjectFault;

use super::{
    entries::Entry,
    log::Log,
    messages::{
        ChangeMessage, Outcome, RemoveMessage, ReplaceMessage, UnfitAmountMessage, UnknownVersion,
        id_of, of_record,
    },
};
use crate::expenses::{
    model::{Expense, ExpenseChanges, ExpenseId, Timestamp, UnfitAmount},
    record::decode,
    version::{Condition, Version},
};

/// A write of an existing expense.
pub(super) struct Edit<'a> {
    /// Of the message.
    request: &'a str,
    pub(super) id: ExpenseId,
    action: Action,
    /// What the expense has to meet as it is now.
    condition: Condition,
}

enum Action {
    Replace(Box<Expense>),
    Change(Box<ExpenseChanges>),
    Remove,
    /// Makes a removed expense of the log the expense again.
    Restore,
}

/// The expense in KV, read before the decision unless the log has it.
pub(super) enum Base {
    /// The log has it, so KV was not asked.
    InLog,
    /// KV's record, which may be unreadable.
    Stored(Option<String>),
    Failed(String),
}

/// What becomes of an [`Edit`].
pub(super) enum Decision {
    /// The entry is to be committed.
    Commit(Entry),
    /// Nothing is to be written: the expense is as the edit wants it.
    Unchanged(Expense),
    /// The log has no room.
    Full,
    /// Nothing is to be written.
    Respond(Outcome<'static>),
}

impl<'a> Edit<'a> {
    #[inline(never)]
    pub(super) fn replace(
        request: &'a str,
        message: ReplaceMessage<'_>,
    ) -> Result<Self, UnknownVersion> {
        let ReplaceMessage { id, record, condition } = message;
        let id = id_of(&id)?;
        let expense = of_record(record.into_expense(id))?;
        let action = Action::Replace(expense.into());
        Ok(Self { request, id, action, condition: condition.into() })
    }

    #[inline(never)]
    pub(super) fn change(request: &'a str, message: ChangeMessage) -> Result<Self, UnknownVersion> {
        let ChangeMessage { id, changes, condition } = message;
        let id = id_of(&id)?;
        let changes = of_record(changes.into_changes())?;
        let action = Action::Change(changes.into());
        Ok(Self { request, id, action, condition: condition.into() })
    }

    pub(super) fn remove(request: &'a str, message: RemoveMessage) -> Result<Self, UnknownVersion> {
        let RemoveMessage { id, condition } = message;
        Ok(Self { request, id: id_of(&id)?, action: Action::Remove, condition: condition.into() })
    }

    pub(super) fn restore(request: &'a str, id: &str) -> Result<Self, UnknownVersion> {
        let (action, condition) = (Action::Restore, Condition::default());
        Ok(Self { request, id: id_of(id)?, action, condition })
    }

    /// Decides with the log as it is at `now`, in Unix milliseconds, and what KV had before.
    pub(super) fn decide(self, log: &Log, base: Base, now: i64) -> Result<Decision, ObjectFault> {
        let Self { request, id, action, condition } = self;
        let entry = log.entries.get(&id);
        if let Some(entry) = entry
            && entry.is_of(request)
        {
            return Ok(action.again(entry));
        }
        let is_restore = matches!(action, Action::Restore);
        // `None` is a record that cannot be read.
        let current = match (entry, base) {
            (Some(Entry { expense: Some(expense), .. }), _) => Some(expense.clone()),
            (Some(Entry { removed: Some(removed), .. }), _) if is_restore => {
                Some(removed.as_ref().clone())
            }
            (Some(_), _) | (None, Base::Stored(None)) => {
                return Ok(Decision::Respond(Outcome::Absent));
            }
            (None, Base::Stored(Some(record))) => {
                decode(id, &record).and_then(|row| row.as_ref().expense())
            }
            (None, Base::Failed(reason)) => {
                return Ok(Decision::Respond(Outcome::NotRead { reason }));
            }
            (None, Base::InLog) => {
                return Err(ObjectFault::new("an entry left the log during an event"));
            }
        };
        if matches!(action, Action::Change(_)) && current.is_none() {
            return Ok(Decision::Respond(Outcome::Unreadable));
        }
        if !condition.is_met_by(|| current.as_ref().map(Version::of)) {
            return Ok(Decision::Respond(Outcome::NotMet));
        }
        if is_restore && entry.is_none_or(|entry| entry.expense.is_some()) {
            return Ok(match current {
                Some(expense) => Decision::Unchanged(expense),
                None => Decision::Respond(Outcome::Unreadable),
            });
        }
        let is_removal = matches!(action, Action::Remove);
        if entry.is_none() && log.is_full() || !is_removal && log.has_max_bytes() {
            return Ok(Decision::Full);
        }
        let removed = is_removal.then(|| current.clone()).flatten().map(Box::new);
        Ok(match action.apply(id, current, now) {
            Ok(changed) => {
                let mut entry = Entry::new(changed, request, now, entry);
                entry.removed = removed;
                Decision::Commit(entry)
            }
            Err(UnfitAmount { amount, currency, .. }) => {
                let (amount, currency) = (amount.to_string(), currency.to_string());
                let unfit = UnfitAmountMessage { amount, currency };
                Decision::Respond(Outcome::UnfitAmount(unfit))
            }
        })
    }
}

impl Action {
    /// The decision on an edit that was sent again, and made `entry` or one that this entry has replaced.
    fn again(&self, entry: &Entry) -> Decision {
        match (&entry.expense, self) {
            (_, Self::Remove) => Decision::Respond(Outcome::Removed),
            (None, _) => Decision::Respond(Outcome::Absent),
            (Some(expense), _) => Decision::Unchanged(expense.clone()),
        }
    }

    /// The expense after the write; `None` if it is removed.
    fn apply(
        self,
        id: ExpenseId,
        current: Option<Expense>,
        now: i64,
    ) -> Result<Option<Expense>, UnfitAmount> {
        let now = Timestamp::from_unix_secs(now.div_euclid(1000));
        let mut changed = match self {
            Self::Replace(new) => {
                let created_at = match current {
                    Some(expense) => expense.created_at,
                    None => id.created_at().unwrap_or(new.created_at),
                };
                Expense { created_at, ..*new }
            }
            Self::Change(changes) => {
                let Some(expense) = current else { return Ok(None) };
                let today = DateTime::from(now.unwrap_or(expense.updated_at)).date_naive();
                Expense { content: changes.apply(expense.content, today)?, ..expense }
            }
            Self::Restore => match current {
                Some(expense) => expense,
                None => return Ok(None),
            },
            Self::Remove => return Ok(None),
        };
        changed.updated_at = now.unwrap_or(changed.updated_at);
        Ok(Some(changed))
    }
}
