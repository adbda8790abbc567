//! A ledger's log: the latest write of each expense that KV may not show yet, and what else an object stores.
//!
//! | row | value | removed |
//! | --- | --- | --- |
//! | `owner` | `{"v","owner"}` | never |
//! | `log:{id}` | `{"v","record","removed","at","kv_at","uncertain","requests"}` | ten to eleven minutes after KV has it |
//! | `key:{hash}` | `{"v","body_hash","id","record","at"}` | 24 hours later |
//! | `keys` | a number: when the oldest keys are to be removed, or earlier | with the last key |
//! | `pause` | two numbers: KV's failures in a row, and when it is tried again | with the next success |
//! | `erasure` | `{"v","at","emptied_at","is_done"}` | never |
//!
//! Times are Unix milliseconds. `record` of a removed expense is `null`, and `removed` is the record that it had;
//! versions without `removed` ignore it, and their rows have none. `kv_at` is the time when KV confirmed the
//! write. `uncertain` says that a write of the expense failed or ended without a response: KV may still perform
//! it, after later ones. Ten minutes after `kv_at` such an expense is written once more.
//!
//! Storage is the truth. A [`Log`] in memory is dropped when a write to the storage fails, and loaded again.

use edge_host::{ObjectFault, ObjectStorage, json};
use serde::{Deserialize, Serialize};

use super::{
    entries::{Entries, Entry, LOG, Transfer, message_bytes, note_earliest},
    erasure::Erasure,
    messages::{KeyMessage, UnknownVersion, VERSION, parse, versioned},
    times::{KV_LAG_MAX_MILLIS, Pause},
};
use crate::expenses::{
    keys::Owner,
    model::{Expense, ExpenseId},
    record::ExpenseRecord,
};
use chrono::DateTime;

/// The most entries. A user who writes more expenses within ten minutes, or while KV is down, gets 503.
pub(super) const MAX_ENTRIES: usize = 20_000;
/// The most entries after an import, which leaves room for other writes.
const MAX_ENTRIES_OF_IMPORT: usize = 15_000;
/// The most bytes of entries in a message, after which only removals of its own expenses are accepted: a list without a
/// limit gets all entries, and holds them several times in memory. The longest file to import fits, unless it is full
/// of control characters.
pub(super) const MAX_BYTES: usize = 10_000_000;
/// How long a key identifies a request.
const KEY_MILLIS: i64 = 24 * 60 * 60 * 1000;
/// The longest time from a write to KV to the alarm that removes its entry. Entries of one minute are removed together.
const REMOVAL_MAX_MILLIS: i64 = KV_LAG_MAX_MILLIS + 60 * 1000;
/// Keys of one hour are removed together.
const KEY_REMOVAL_STEP_MILLIS: i64 = 60 * 60 * 1000;
/// The delay of the alarm that performs a write to KV that an earlier instance, or this one, may not end.
const SAFETY_MILLIS: i64 = 30 * 1000;

const OWNER: &str = "owner";
const PAUSE: &str = "pause";
pub(super) const ERASURE: &str = "erasure";
const KEY: &str = "key:";
/// A ledger may have hundreds of thousands of keys: this row saves reading them. Earlier versions do not write it.
const KEYS: &str = "keys";

#[derive(Serialize, Deserialize)]
struct OwnerRow {
    v: u32,
    owner: String,
}

#[derive(Serialize, Deserialize)]
struct KeyRow<'a> {
    v: u32,
    body_hash: String,
    id: String,
    #[serde(borrow)]
    record: ExpenseRecord<'a>,
    at: i64,
}

versioned!(OwnerRow, KeyRow<'_>);

impl From<UnknownVersion> for ObjectFault {
    fn from(error: UnknownVersion) -> Self {
        Self::new(error.to_string())
    }
}

/// Moves the time of the earliest removal to that of a key from `at`, if it is earlier.
fn note_key(earliest: &mut Option<i64>, at: i64) {
    let step = KEY_REMOVAL_STEP_MILLIS;
    let due_at = (at + KEY_MILLIS + step - 1).div_euclid(step) * step;
    note_earliest(earliest, due_at);
}

/// A request that added an expense with an idempotency key.
pub(super) struct KeyedRequest {
    pub(super) body_hash: String,
    pub(super) expense: Expense,
}

/// The loaded state of a ledger.
pub(super) struct Log {
    pub(super) owner: Option<Owner>,
    pub(super) entries: Entries,
    pub(super) erasure: Option<Erasure>,
    /// When the oldest idempotency keys are to be removed; the outer `None` until an event needs it.
    keys_due_at: Option<Option<i64>>,
    /// The alarm, as far as this instance knows.
    alarm: Option<i64>,
    /// KV's failures in a row, whatever the key.
    kv: Pause,
}

impl Log {
    /// Loads the log. A row of an unknown version is a fault and stays as it is.
    pub(super) fn load(storage: &dyn ObjectStorage) -> Result<Self, ObjectFault> {
        let owner = match storage.get(OWNER)? {
            Some(row) => {
                Some(Owner::from_stored(parse::<OwnerRow>("row of the owner", &row)?.owner))
            }
            None => None,
        };
        let erasure = match storage.get(ERASURE)? {
            Some(row) => Some(Erasure::parse(&row)?),
            None => None,
        };
        let mut log = Self {
            owner,
            entries: Entries::default(),
            erasure,
            keys_due_at: None,
            alarm: None,
            kv: match storage.get(PAUSE)? {
                Some(row) => Pause::parse(&row)?,
                None => Pause::default(),
            },
        };
        if log.erasure.is_some() {
            return Ok(log);
        }
        storage.each(LOG, &mut |key, row| {
            let id = key.strip_prefix(LOG).and_then(|id| ExpenseId::parse(id).ok());
            let id = id.ok_or(UnknownVersion("key of a row"))?;
            log.entries.insert(id, Entry::parse(id, row)?);
            Ok(())
        })?;
        Ok(log)
    }

    /// Whether another expense is refused.
    pub(super) fn is_full(&self) -> bool {
        self.entries.len() >= MAX_ENTRIES || self.has_max_bytes()
    }

    /// Whether a change of an expense is refused, too.
    pub(super) fn has_max_bytes(&self) -> bool {
        self.entries.bytes() >= MAX_BYTES
    }

    /// Whether the log has room for these imported expenses.
    pub(super) fn has_room_for(&self, imported: &[Expense]) -> bool {
        let bytes: usize = imported.iter().map(message_bytes).sum();
        self.entries.len() + imported.len() <= MAX_ENTRIES_OF_IMPORT
            && self.entries.bytes() + bytes <= MAX_BYTES
    }

    /// Whether KV has every write for good.
    pub(super) fn is_settled(&self) -> bool {
        self.entries.unsettled().next().is_none()
    }

    /// Whether a write to KV is due.
    pub(super) fn has_due(&self, now: i64) -> bool {
        !self.due(now, 1).is_empty()
    }

    /// Whether KV lacks a write.
    pub(super) fn is_behind(&self) -> bool {
        self.entries.unsettled().any(|(_, entry)| entry.kv_at.is_none())
    }

    /// When the oldest idempotency keys are to be removed.
    fn keys_due_at(&mut self, storage: &dyn ObjectStorage) -> Result<Option<i64>, ObjectFault> {
        if let Some(known) = self.keys_due_at {
            return Ok(known);
        }
        if let Some(row) = storage.get(KEYS)? {
            let due_at = row.parse().map_err(|_| UnknownVersion("row of the idempotency keys"))?;
            self.keys_due_at = Some(Some(due_at));
            return Ok(Some(due_at));
        }
        self.keys_due_at = Some(None);
        let mut earliest = None;
        storage.each(KEY, &mut |_, row| {
            note_key(&mut earliest, parse::<KeyRow<'_>>("row of an idempotency key", row)?.at);
            Ok(())
        })?;
        self.set_keys_due_at(storage, earliest)?;
        Ok(earliest)
    }

    fn set_keys_due_at(
        &mut self,
        storage: &dyn ObjectStorage,
        due_at: Option<i64>,
    ) -> Result<(), ObjectFault> {
        if self.keys_due_at == Some(due_at) {
            return Ok(());
        }
        match due_at {
            Some(due_at) => storage.put(KEYS, &due_at.to_string())?,
            None => storage.delete(KEYS)?,
        }
        self.keys_due_at = Some(due_at);
        Ok(())
    }

    /// The request that used a key within 24 hours.
    pub(super) fn keyed_request(
        storage: &dyn ObjectStorage,
        hash: &str,
        now: i64,
    ) -> Result<Option<KeyedRequest>, ObjectFault> {
        let Some(row) = storage.get(&format!("{KEY}{hash}"))? else { return Ok(None) };
        let row: KeyRow<'_> = parse("row of an idempotency key", &row)?;
        if now - row.at >= KEY_MILLIS {
            return Ok(None);
        }
        let unknown = UnknownVersion("row's record");
        let id = ExpenseId::parse(&row.id).map_err(|_| unknown)?;
        let expense = row.record.into_expense(id).ok_or(unknown)?;
        Ok(Some(KeyedRequest { body_hash: row.body_hash, expense }))
    }

    /// Commits a write, with the idempotency key of an addition: both or neither. The alarm comes first.
    pub(super) fn commit(
        &mut self,
        storage: &dyn ObjectStorage,
        owner: &Owner,
        id: ExpenseId,
        entry: Entry,
        key: Option<KeyMessage>,
    ) -> Result<(), ObjectFault> {
        // A row that this version cannot read is a fault before the write.
        let mut keys_due_at = self.keys_due_at(storage)?;
        self.set_owner(storage, owner)?;
        self.set_commit_alarm(storage, entry.at)?;
        if let (Some(key), Some(expense)) = (key, &entry.expense) {
            let row = KeyRow {
                v: VERSION,
                body_hash: key.body_hash,
                id: id.to_string(),
                record: expense.into(),
                at: entry.at,
            };
            note_key(&mut keys_due_at, entry.at);
            self.set_keys_due_at(storage, keys_due_at)?;
            let key = (format!("{KEY}{}", key.hash), json::write(&row));
            storage.put_all(&[key, entry.stored(id)])?;
        } else {
            let (key, value) = entry.stored(id);
            storage.put(&key, &value)?;
        }
        self.entries.insert(id, entry);
        Ok(())
    }

    pub(super) fn set_owner(
        &mut self,
        storage: &dyn ObjectStorage,
        owner: &Owner,
    ) -> Result<(), ObjectFault> {
        if self.owner.is_none() {
            let row = OwnerRow { v: VERSION, owner: owner.as_str().to_owned() };
            storage.put(OWNER, &json::write(&row))?;
            self.owner = Some(owner.clone());
        }
        Ok(())
    }

    /// Removes the rows of expenses and keys. The owner is erased.
    pub(super) fn clear(&mut self, storage: &dyn ObjectStorage) -> Result<(), ObjectFault> {
        for prefix in [LOG, KEY] {
            storage.each(prefix, &mut |key, _| storage.delete(key))?;
        }
        self.entries.clear();
        self.set_keys_due_at(storage, None)
    }

    /// At most `max` writes to KV that are due.
    pub(super) fn due(&self, now: i64, max: usize) -> Vec<Transfer> {
        if now < self.kv.until || self.erasure.is_some() {
            return Vec::new();
        }
        let is_due = |entry: &Entry| entry.due_at().is_some_and(|at| at <= now);
        let due = self.entries.unsettled().filter(|(_, entry)| is_due(entry));
        due.take(max)
            .map(|(id, entry)| Transfer {
                id,
                expense: entry.expense.clone().zip(entry.row().map(str::to_owned)),
            })
            .collect()
    }

    /// KV works.
    pub(super) fn note_success(&mut self, storage: &dyn ObjectStorage) -> Result<(), ObjectFault> {
        if std::mem::take(&mut self.kv).is_long() {
            storage.delete(PAUSE)?;
        }
        Ok(())
    }

    /// KV does not work at all: every write waits.
    pub(super) fn note_failure(
        &mut self,
        storage: &dyn ObjectStorage,
        now: i64,
    ) -> Result<(), ObjectFault> {
        self.kv = self.kv.after_failure(now);
        if self.kv.is_long() {
            storage.put(PAUSE, &self.kv.row())?;
        }
        Ok(())
    }

    /// When the keys of the erased owner are to be deleted from KV; `None` without an erasure, and when all is done.
    pub(super) fn erasure_due_at(&self) -> Option<i64> {
        Some(self.erasure.as_ref()?.due_at()?.max(self.kv.until))
    }

    /// Removes the entries that KV shows everywhere, and the keys of more than 24 hours ago.
    pub(super) fn expire(
        &mut self,
        storage: &dyn ObjectStorage,
        now: i64,
    ) -> Result<(), ObjectFault> {
        for id in self.entries.take_settled(now - KV_LAG_MAX_MILLIS) {
            storage.delete(&[LOG, id.encode().as_str()].concat())?;
        }
        if self.keys_due_at(storage)?.is_some_and(|at| at <= now) {
            let mut earliest = None;
            storage.each(KEY, &mut |key, row| {
                let at = parse::<KeyRow<'_>>("row of an idempotency key", row)?.at;
                if now - at >= KEY_MILLIS {
                    return storage.delete(key);
                }
                note_key(&mut earliest, at);
                Ok(())
            })?;
            self.set_keys_due_at(storage, earliest)?;
        }
        Ok(())
    }

    /// Makes sure that an alarm runs soon, whatever happens to this instance.
    pub(super) fn set_safety_alarm(
        &mut self,
        storage: &dyn ObjectStorage,
        now: i64,
    ) -> Result<(), ObjectFault> {
        self.set_alarm_until(storage, now, self.kv.until.max(now + SAFETY_MILLIS))
    }

    /// Makes sure that an alarm follows a write. The alarm removes the entry, so a write sets one only if no other
    /// write has. If the instance ends before KV has the write, the next request performs it, or else this alarm; until
    /// then reads take it from the log.
    fn set_commit_alarm(
        &mut self,
        storage: &dyn ObjectStorage,
        now: i64,
    ) -> Result<(), ObjectFault> {
        // The time at which the earliest entry is removed. A new instance does not know which alarm is set, so its first
        // write sets one.
        let first = self.entries.earliest_settled_at().map_or(now, |at| at.min(now));
        self.set_alarm_until(storage, now, (first + REMOVAL_MAX_MILLIS).max(now))
    }

    /// Sets the alarm to `latest`, unless it runs earlier.
    fn set_alarm_until(
        &mut self,
        storage: &dyn ObjectStorage,
        now: i64,
        latest: i64,
    ) -> Result<(), ObjectFault> {
        if self.alarm.is_some_and(|at| now < at && at <= latest) {
            return Ok(());
        }
        self.set_alarm(storage, Some(latest))
    }

    /// Makes sure that an alarm runs when something is due next: a write to KV on time, a removal at most
    /// [`REMOVAL_MAX_MILLIS`] after KV has the entry. An alarm that runs earlier calls this again.
    pub(super) fn schedule(
        &mut self,
        storage: &dyn ObjectStorage,
        now: i64,
    ) -> Result<(), ObjectFault> {
        let keys_due_at = if self.erasure.is_none() { self.keys_due_at(storage)? } else { None };
        let next = match &self.erasure {
            Some(_) => self.erasure_due_at(),
            None => {
                let due_at = self.entries.unsettled().filter_map(|(_, entry)| entry.due_at());
                let writes = due_at.map(|at| at.max(self.kv.until));
                let settled_at = self.entries.earliest_settled_at();
                let removal = settled_at.map(|at| at + REMOVAL_MAX_MILLIS);
                writes.chain(removal).chain(keys_due_at).min()
            }
        };
        match next {
            // A safety alarm would run earlier, for nothing.
            Some(at) if now < self.kv.until || self.erasure.is_some() => {
                self.set_alarm(storage, Some(at))
            }
            Some(at) => self.set_alarm_until(storage, now, at.max(now)),
            None => self.set_alarm(storage, None),
        }
    }

    /// The alarm has run.
    pub(super) fn take_alarm(&mut self) {
        self.alarm = None;
    }

    fn set_alarm(
        &mut self,
        storage: &dyn ObjectStorage,
        at: Option<i64>,
    ) -> Result<(), ObjectFault> {
        if self.alarm != at {
            storage.set_alarm(at.and_then(DateTime::from_timestamp_millis))?;
            self.alarm = at;
        }
        Ok(())
    }
}
