//! The entries of a ledger's log: the latest write of each expense that KV may not show yet.

use std::{borrow::Cow, cell::OnceCell, collections::BTreeMap};

use edge_host::{KvError, KvErrorKind, ObjectFault, ObjectStorage, json};
use serde::{Deserialize, Serialize};

use super::{
    messages::{UnknownVersion, VERSION, parse, versioned},
    times::{KV_LAG_MAX_MILLIS, delay_millis},
};
use crate::expenses::{
    model::{Expense, ExpenseId},
    record::ExpenseRecord,
    row::Row,
};

/// The pause between two writes of one key, which KV demands.
/// <https://developers.cloudflare.com/kv/platform/limits/>
const KV_WRITE_PAUSE_MILLIS: i64 = 1000;
/// The last requests of an entry: one that is sent again is recognized.
const MAX_REQUESTS: usize = 8;

pub(super) const LOG: &str = "log:";

#[derive(Serialize, Deserialize)]
struct EntryRow<'a> {
    v: u32,
    #[serde(borrow)]
    record: Option<ExpenseRecord<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    removed: Option<ExpenseRecord<'a>>,
    at: i64,
    kv_at: Option<i64>,
    uncertain: bool,
    requests: Cow<'a, [String]>,
}

versioned!(EntryRow<'_>);

/// The latest write of an expense.
#[derive(Clone)]
pub(super) struct Entry {
    /// `None`: removed.
    pub(super) expense: Option<Expense>,
    /// The expense that a removal has removed, unless it was unreadable.
    pub(super) removed: Option<Box<Expense>>,
    pub(super) at: i64,
    pub(super) kv_at: Option<i64>,
    pub(super) uncertain: bool,
    pub(super) requests: Vec<String>,
    /// Attempts to write to KV that failed in a row. Not stored.
    failures: u32,
    /// When KV may be written again. Not stored.
    not_before: i64,
    /// Whether this instance repeats an uncertain write now, without a failure so far. Not stored.
    repeats: bool,
    /// The stored text of the row, made at the first read. Not stored.
    row: OnceCell<String>,
}

impl Entry {
    /// A write by `request`, after `before`.
    pub(super) fn new(
        expense: Option<Expense>,
        request: &str,
        now: i64,
        before: Option<&Self>,
    ) -> Self {
        let mut requests = before.map(|before| before.requests.clone()).unwrap_or_default();
        if requests.len() >= MAX_REQUESTS {
            requests.remove(0);
        }
        requests.push(request.to_owned());
        Self {
            expense,
            removed: None,
            at: now,
            kv_at: None,
            uncertain: before.is_some_and(|before| before.uncertain),
            requests,
            failures: before.map_or(0, |before| before.failures),
            not_before: before.map_or(0, |before| before.not_before),
            repeats: false,
            row: OnceCell::new(),
        }
    }

    pub(super) fn parse(id: ExpenseId, json: &str) -> Result<Self, ObjectFault> {
        let row: EntryRow<'_> = parse("row of an expense", json)?;
        let expense = match row.record {
            Some(record) => Some(record.into_expense(id).ok_or(UnknownVersion("row's record"))?),
            None => None,
        };
        // If it is unreadable, the expense cannot be restored; nothing else is lost.
        let removed = row.removed.and_then(|record| record.into_expense(id)).map(Box::new);
        Ok(Self {
            expense,
            removed,
            at: row.at,
            kv_at: row.kv_at,
            // An instance that ended may have begun a write to KV.
            uncertain: row.uncertain || row.kv_at.is_none(),
            requests: row.requests.into_owned(),
            failures: 0,
            not_before: 0,
            repeats: false,
            row: OnceCell::new(),
        })
    }

    /// Whether the request made one of the last writes: then it was sent again.
    pub(super) fn is_of(&self, request: &str) -> bool {
        self.requests.iter().any(|known| known == request)
    }

    /// The stored text of the expense's row; `None` for a removal.
    pub(super) fn row(&self) -> Option<&str> {
        let expense = self.expense.as_ref()?;
        Some(self.row.get_or_init(|| Row::from(expense).stored()))
    }

    /// The key and the value of the stored row.
    pub(super) fn stored(&self, id: ExpenseId) -> (String, String) {
        let row = EntryRow {
            v: VERSION,
            record: self.expense.as_ref().map(ExpenseRecord::from),
            removed: self.removed.as_deref().map(ExpenseRecord::from),
            at: self.at,
            kv_at: self.kv_at,
            uncertain: self.uncertain,
            requests: Cow::Borrowed(&self.requests),
        };
        ([LOG, id.encode().as_str()].concat(), json::write(&row))
    }

    fn store(&self, id: ExpenseId, storage: &dyn ObjectStorage) -> Result<(), ObjectFault> {
        let (key, value) = self.stored(id);
        storage.put(&key, &value)
    }

    /// Notes that a write to KV begins. If it is repeated, the row says meanwhile that KV lacks the entry: if the
    /// instance ends, the attempt may take effect late, and counts as uncertain.
    pub(super) fn begin(
        &mut self,
        id: ExpenseId,
        storage: &dyn ObjectStorage,
    ) -> Result<(), ObjectFault> {
        if self.kv_at.take().is_some() {
            self.repeats = true;
            self.store(id, storage)?;
        }
        Ok(())
    }

    /// Notes the result of a write to KV. The entry may have changed meanwhile: then it is still due.
    pub(super) fn settle(
        &mut self,
        storage: &dyn ObjectStorage,
        transfer: &Transfer,
        result: &Result<(), KvError>,
        now: i64,
    ) -> Result<(), ObjectFault> {
        match result {
            Ok(()) => {
                self.failures = 0;
                self.not_before = now + KV_WRITE_PAUSE_MILLIS;
                if self.expense.as_ref() == transfer.expense.as_ref().map(|(expense, _)| expense) {
                    self.uncertain &= !std::mem::take(&mut self.repeats);
                    self.kv_at = Some(now);
                    self.store(transfer.id, storage)?;
                }
            }
            Err(error) => {
                self.failures += 1;
                self.not_before = now + delay_millis(self.failures);
                // The attempt may take effect late, also one that repeats an uncertain write: the next success
                // begins the ten minutes anew.
                self.repeats = false;
                if !self.uncertain && error.kind != KvErrorKind::InvalidRequest {
                    self.uncertain = true;
                    self.store(transfer.id, storage)?;
                }
            }
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        let expenses = [self.expense.as_ref(), self.removed.as_deref()];
        expenses.into_iter().flatten().map(message_bytes).sum()
    }

    /// When KV confirmed the entry's last write for good; `None` while a write is to follow.
    fn settled_at(&self) -> Option<i64> {
        self.kv_at.filter(|_| !self.uncertain)
    }

    /// When KV is to be written; `None` if it has the entry for good.
    pub(super) fn due_at(&self) -> Option<i64> {
        match self.kv_at {
            None => Some(self.not_before),
            Some(at) if self.uncertain => Some(self.not_before.max(at + KV_LAG_MAX_MILLIS)),
            Some(_) => None,
        }
    }
}

/// The bytes of an expense in JSON without its texts, about.
const NUMBERS_BYTES: usize = 150;

/// About as many bytes as an expense has in a message, which has the stored text of its row as a string.
pub(super) fn message_bytes(expense: &Expense) -> usize {
    let byte = |byte| match byte {
        b'\0'..b' ' => 7,
        b'\\' => 4,
        b'"' => 3,
        b'\'' => 2,
        _ => 1,
    };
    let bytes = |text: &str| text.bytes().map(byte).sum::<usize>();
    NUMBERS_BYTES + bytes(&expense.content.description) + bytes(&expense.content.category)
}

/// A write to KV.
pub(super) struct Transfer {
    pub(super) id: ExpenseId,
    /// The expense and the stored text of its row. `None`: the key is to be deleted.
    pub(super) expense: Option<(Expense, String)>,
}

/// The entries, in the order of their ids. What is due next is found without a look at all of them.
#[derive(Default)]
pub(super) struct Entries {
    by_id: BTreeMap<ExpenseId, Entry>,
    /// The ids of those that are to be written to KV, now or later, in order.
    unsettled: Vec<ExpenseId>,
    /// When the first of the others was settled, or earlier.
    earliest_settled_at: Option<i64>,
    /// The sum of [`Entry::bytes`].
    bytes: usize,
}

impl Entries {
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn get(&self, id: &ExpenseId) -> Option<&Entry> {
        self.by_id.get(id)
    }

    pub(super) fn contains(&self, id: &ExpenseId) -> bool {
        self.by_id.contains_key(id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ExpenseId, &Entry)> {
        self.by_id.iter().map(|(id, entry)| (*id, entry))
    }

    pub(super) fn insert(&mut self, id: ExpenseId, entry: Entry) {
        self.note(id, entry.settled_at());
        self.bytes += entry.bytes();
        if let Some(before) = self.by_id.insert(id, entry) {
            self.bytes -= before.bytes();
        }
    }

    /// About as many bytes as all entries have in a message.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Changes the entry, if there is one: an erasure removes entries while they are written to KV.
    pub(super) fn change(
        &mut self,
        id: ExpenseId,
        change: impl FnOnce(&mut Entry) -> Result<(), ObjectFault>,
    ) -> Result<(), ObjectFault> {
        let Some(entry) = self.by_id.get_mut(&id) else { return Ok(()) };
        let changed = change(entry);
        let settled_at = entry.settled_at();
        self.note(id, settled_at);
        changed
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The entries that are to be written to KV, now or later.
    pub(super) fn unsettled(&self) -> impl Iterator<Item = (ExpenseId, &Entry)> {
        self.unsettled.iter().filter_map(|id| Some((*id, self.by_id.get(id)?)))
    }

    /// When KV had the first of the other entries for good, or an earlier time: the entry may have been written since.
    pub(super) fn earliest_settled_at(&self) -> Option<i64> {
        self.earliest_settled_at
    }

    /// Removes the entries that KV has for good since `until` or longer, and returns their ids.
    pub(super) fn take_settled(&mut self, until: i64) -> Vec<ExpenseId> {
        let mut taken = Vec::new();
        if self.earliest_settled_at.is_some_and(|at| at <= until) {
            self.earliest_settled_at = None;
            for (id, entry) in &self.by_id {
                match entry.settled_at() {
                    Some(at) if at <= until => taken.push(*id),
                    Some(at) => note_earliest(&mut self.earliest_settled_at, at),
                    None => {}
                }
            }
            for id in &taken {
                self.bytes -= self.by_id.remove(id).map_or(0, |entry| entry.bytes());
            }
        }
        taken
    }

    fn note(&mut self, id: ExpenseId, settled_at: Option<i64>) {
        match (self.unsettled.binary_search(&id), settled_at) {
            (Err(place), None) => self.unsettled.insert(place, id),
            (Ok(place), Some(_)) => {
                self.unsettled.remove(place);
            }
            _ => {}
        }
        if let Some(at) = settled_at {
            note_earliest(&mut self.earliest_settled_at, at);
        }
    }
}

/// Moves `earliest` to `at`, if that is earlier.
pub(super) fn note_earliest(earliest: &mut Option<i64>, at: i64) {
    *earliest = Some(earliest.map_or(at, |earlier| earlier.min(at)));
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::*;

    use super::*;

    /// What happens to the entry of an id.
    #[derive(Debug, Clone, Copy)]
    enum Step {
        Insert,
        Settle { at: i64 },
        Doubt,
        Begin,
        TakeSettled { until: i64 },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            Just(Step::Insert),
            (0_i64..4).prop_map(|at| Step::Settle { at }),
            Just(Step::Doubt),
            Just(Step::Begin),
            (0_i64..4).prop_map(|until| Step::TakeSettled { until }),
        ]
    }

    /// The ids that [`Entries::take_settled`] is to remove.
    fn settled(entries: &Entries, until: i64) -> Vec<ExpenseId> {
        let is_taken = |entry: &Entry| entry.settled_at().is_some_and(|at| at <= until);
        entries.iter().filter(|(_, entry)| is_taken(entry)).map(|(id, _)| id).collect()
    }

    fn first_settled_at(entries: &Entries) -> Option<i64> {
        entries.iter().filter_map(|(_, entry)| entry.settled_at()).min()
    }

    fn apply(entries: &mut Entries, id: ExpenseId, step: Step) {
        let mut change = |change: &dyn Fn(&mut Entry)| {
            let changed = entries.change(id, |entry| {
                change(entry);
                Ok(())
            });
            changed.unwrap();
        };
        match step {
            Step::Insert => {
                let entry = Entry::new(None, "request", 0, entries.get(&id));
                entries.insert(id, entry);
            }
            Step::Settle { at } => {
                change(&|entry| (entry.kv_at, entry.uncertain) = (Some(at), false));
            }
            Step::Doubt => change(&|entry| entry.uncertain = true),
            Step::Begin => change(&|entry| entry.kv_at = None),
            Step::TakeSettled { until } => {
                let expected = settled(entries, until);
                assert_eq!(entries.take_settled(until), expected);
                if !expected.is_empty() {
                    assert_eq!(entries.earliest_settled_at(), first_settled_at(entries));
                }
            }
        }
    }

    proptest! {
        #[test]
        fn due_entries_are_those_of_a_scan(steps in prop::collection::vec((0..6_usize, step()), 0..60)) {
            let mut entries = Entries::default();
            let first = ExpenseId::new(DateTime::UNIX_EPOCH);
            for (number, step) in steps {
                apply(&mut entries, first.nth(number), step);
                let settled_at = first_settled_at(&entries);
                let earliest = entries.earliest_settled_at();
                prop_assert!(settled_at.is_none_or(|at| earliest.is_some_and(|earliest| earliest <= at)));
                let is_unsettled = |(id, entry): (_, &Entry)| entry.settled_at().is_none().then_some(id);
                let expected: Vec<_> = entries.iter().filter_map(is_unsettled).collect();
                prop_assert_eq!(entries.bytes(), entries.iter().map(|(_, entry)| entry.bytes()).sum::<usize>());
                prop_assert_eq!(entries.unsettled().map(|(id, _)| id).collect::<Vec<_>>(), expected);
            }
        }
    }
}
