//! The object: it responds to messages and runs the alarm.
//!
//! A write is decided between two awaits: the log as it is then, or else the expense that KV has, gives the current
//! value. A message that reads KV looks at the log again after it. KV's value is current where the log has none,
//! because the log keeps every write for ten minutes after KV has it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use axum_authkit::seal::UserHasher;
use chrono::DateTime;
use edge_host::{
    Cause, Clock, Emit as _, Host, Object, ObjectContext, ObjectFault, ObjectStorage, TimedKv,
    UserHash, json,
};

use super::{
    entries::Entry,
    erasure::Erasure,
    log::{ERASURE, Log},
    messages::{
        Command, EntryMessage, KeyMessage, Message, Outcome, Response, RowMessage, UnknownVersion,
        VERSION, json_of_length, parse, rows_length,
    },
    times::KV_LAG_MAX_MILLIS,
};
use crate::expenses::{
    events::ExpensesEvent,
    keys::Owner,
    model::{Expense, ExpenseChanges, ExpenseId, Timestamp, UnfitAmount},
    record::{ExpenseRecord, Text, decode},
    row::Row,
    store::{self, ExpenseStore},
    version::{Condition, Version},
};

/// The entries by which a log grows until the next report.
const GROWTH_STEP: usize = 1_000;

/// The ledger of one owner: a Durable Object.
pub struct Ledger(Result<Arc<Shared>, ObjectFault>);

/// Makes a ledger on `host`. Without the KV binding each message is a fault.
pub fn ledger(host: &impl Host, context: ObjectContext) -> Ledger {
    let Some(kv) = host.kv(store::BINDING) else {
        let reason = format!("{} is not bound to a KV namespace", store::BINDING);
        return Ledger(Err(ObjectFault::new(reason)));
    };
    let clock = host.clock();
    let store = ExpenseStore::new(Arc::new(TimedKv::new(kv, Arc::clone(&clock))));
    let hasher = UserHasher::from_env(host);
    Ledger(Ok(Arc::new(Shared { store, clock, context, hasher, state: Mutex::default() })))
}

/// The state that the events of an instance share.
pub(super) struct Shared {
    pub(super) store: ExpenseStore,
    clock: Arc<dyn Clock>,
    context: ObjectContext,
    hasher: Option<UserHasher>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// `None` before the first event, and after a failure of the storage.
    log: Option<Log>,
    is_flushing: bool,
}

/// A write of an existing expense.
enum Edit {
    Replace(Box<Expense>),
    Change(Box<ExpenseChanges>),
    Remove,
    /// Makes a removed expense of the log the expense again.
    Restore,
}

/// An expense as KV has it.
enum Base {
    /// The log has it, so KV was not asked.
    InLog,
    /// KV's record, which may be unreadable.
    Stored(Option<String>),
    Failed(String),
}

#[async_trait]
impl Object for Ledger {
    async fn receive(&self, message: &str) -> Result<String, ObjectFault> {
        let shared = self.0.as_ref().map_err(Clone::clone)?;
        let message: Message<'_> = parse("message", message)?;
        let owner = Owner::from_stored(message.owner.into_owned());
        let form = if message.reads_rows { Form::Rows } else { Form::Records };
        shared.respond(&owner, &message.request, message.command, form).await
    }

    async fn alarm(&self) -> Result<(), ObjectFault> {
        self.0.as_ref().map_err(Clone::clone)?.run_alarm().await
    }
}

impl Shared {
    async fn respond(
        self: &Arc<Self>,
        owner: &Owner,
        request: &str,
        command: Command<'_>,
        form: Form,
    ) -> Result<String, ObjectFault> {
        let id = |text: &str| ExpenseId::parse(text).map_err(|_| UnknownVersion("message's id"));
        let unknown = UnknownVersion("message's record");
        match command {
            Command::Add { id: text, record, key } => {
                let expense = record.into_expense(id(&text)?).ok_or(unknown)?;
                self.add(owner, request, expense, key, form)
            }
            Command::Replace { id: text, record, condition } => {
                let id = id(&text)?;
                let expense = record.into_expense(id).ok_or(unknown)?;
                let edit = Edit::Replace(expense.into());
                self.edit(owner, request, id, edit, &condition.into(), form).await
            }
            Command::Change { id: text, changes, condition } => {
                let changes = changes.into_changes().ok_or(unknown)?;
                let edit = Edit::Change(changes.into());
                self.edit(owner, request, id(&text)?, edit, &condition.into(), form).await
            }
            Command::Remove { id: text, condition } => {
                self.edit(owner, request, id(&text)?, Edit::Remove, &condition.into(), form).await
            }
            Command::Restore { id: text } => {
                self.edit(owner, request, id(&text)?, Edit::Restore, &Condition::default(), form)
                    .await
            }
            Command::Import { rows } => {
                let expense = |row: RowMessage<'_>| {
                    let id = ExpenseId::parse(&row.id).ok()?;
                    let Text(stored) = row.row?;
                    Row::from_stored(id, &stored)?.as_ref().expense()
                };
                let expenses = rows.into_iter().map(expense).collect::<Option<_>>();
                self.import(owner, request, expenses.ok_or(unknown)?)
            }
            Command::Get { id: text } => self.get(owner, id(&text)?, form),
            Command::List { after, until, limit } => {
                let [after, until] = [&after, &until].map(|id| id.as_ref().map(|Text(id)| &**id));
                self.list(owner, after, until, limit, form)
            }
            Command::Erase => self.erase(owner),
        }
    }

    fn add(
        self: &Arc<Self>,
        owner: &Owner,
        request: &str,
        expense: Expense,
        key: Option<KeyMessage>,
        form: Form,
    ) -> Result<String, ObjectFault> {
        let now = self.now();
        let added = self.with_log_of(owner, |log, storage| {
            // Sent again: ids are random, so another request has another one.
            if log.entries.contains(&expense.id) {
                return Ok(form.saved(&expense, &Row::from(&expense).stored()));
            }
            let mut expense = expense;
            let mut key = key;
            if let Some(used) = &key
                && let Some(first) = Log::keyed_request(storage, &used.hash, now)?
            {
                if first.body_hash != used.body_hash {
                    return Ok(respond(Outcome::KeyReused));
                }
                // The log keeps an addition for ten minutes at least. If it is not there the storage failed
                // between two rows.
                let is_committed =
                    log.entries.contains(&first.expense.id) || now - first.at >= KV_LAG_MAX_MILLIS;
                if is_committed {
                    return Ok(form.saved(&first.expense, &Row::from(&first.expense).stored()));
                }
                expense = first.expense;
                key = None;
            }
            if log.is_full() {
                return Ok(self.refuse_full(owner));
            }
            let id = expense.id;
            let entry = Entry::new(Some(expense), request, now, None);
            let response = form.written(&entry);
            log.commit(storage, owner, id, entry, key)?;
            Ok(response)
        })?;
        self.begin_transfer();
        Ok(added)
    }

    fn import(
        self: &Arc<Self>,
        owner: &Owner,
        request: &str,
        expenses: Vec<Expense>,
    ) -> Result<String, ObjectFault> {
        let now = self.now();
        let response = self.with_log_of(owner, |log, storage| {
            // The isolate has left out what KV or the log had when it looked, and the log keeps all later writes.
            let (mut added, mut new) = (0, Vec::new());
            for expense in expenses {
                match log.entries.get(&expense.id) {
                    // Sent again. A later write may have removed the expense.
                    Some(entry) if entry.is_of(request) => added += 1,
                    Some(entry) if entry.expense.is_some() => {}
                    _ => new.push(expense),
                }
            }
            // One that is sent again has nothing new, whatever the log has got since.
            if !new.is_empty() && !log.has_room_for(&new) {
                return Ok(self.refuse_full(owner));
            }
            added += new.len();
            for expense in new {
                let id = expense.id;
                let entry = Entry::new(Some(expense), request, now, log.entries.get(&id));
                log.commit(storage, owner, id, entry, None)?;
            }
            let expenses = u32::try_from(added).unwrap_or(u32::MAX);
            ExpensesEvent::Imported { user: self.pseudonym(owner), expenses }.emit();
            Ok(respond(Outcome::Imported { added }))
        })?;
        self.begin_transfer();
        Ok(response)
    }

    async fn edit(
        self: &Arc<Self>,
        owner: &Owner,
        request: &str,
        id: ExpenseId,
        edit: Edit,
        condition: &Condition,
        form: Form,
    ) -> Result<String, ObjectFault> {
        let is_in_log =
            self.with_log(|log, _| Ok(log.erasure.is_some() || log.entries.contains(&id)))?;
        let base = if is_in_log {
            Base::InLog
        } else {
            match self.store.kv().get(&owner.expense_key(id)).await {
                Ok(record) => Base::Stored(record),
                Err(error) => Base::Failed(error.to_string()),
            }
        };
        let now = self.now();
        let response = self.with_log_of(owner, |log, storage| {
            let entry = log.entries.get(&id);
            if let Some(entry) = entry
                && entry.is_of(request)
            {
                // Sent again. Later writes may have followed the first one.
                return Ok(match (&entry.expense, edit) {
                    (None, Edit::Replace(_) | Edit::Change(_) | Edit::Restore) => {
                        respond(Outcome::Absent)
                    }
                    (_, Edit::Remove) => respond(Outcome::Removed),
                    (Some(_), _) => form.written(entry),
                });
            }
            // `None` is a record that cannot be read.
            let current = match (entry, base) {
                (Some(Entry { expense: Some(expense), .. }), _) => Some(expense.clone()),
                (Some(Entry { removed: Some(removed), .. }), _)
                    if matches!(edit, Edit::Restore) =>
                {
                    Some(removed.as_ref().clone())
                }
                (Some(_), _) | (None, Base::Stored(None)) => {
                    return Ok(respond(Outcome::Absent));
                }
                (None, Base::Stored(Some(record))) => {
                    decode(id, &record).and_then(|row| row.as_ref().expense())
                }
                (None, Base::Failed(reason)) => return Ok(respond(Outcome::NotRead { reason })),
                (None, Base::InLog) => {
                    return Err(ObjectFault::new("an entry left the log during an event"));
                }
            };
            let is_removal = matches!(edit, Edit::Remove);
            let removed = is_removal.then(|| current.clone()).flatten().map(Box::new);
            let changed = match edit {
                Edit::Change(_) if current.is_none() => return Ok(respond(Outcome::Unreadable)),
                _ if !condition.is_met_by(|| current.as_ref().map(Version::of)) => {
                    return Ok(respond(Outcome::NotMet));
                }
                Edit::Restore if entry.is_none_or(|entry| entry.expense.is_some()) => {
                    // The expense is there, and stays as it is.
                    return Ok(match &current {
                        Some(expense) => form.saved(expense, &Row::from(expense).stored()),
                        None => respond(Outcome::Unreadable),
                    });
                }
                _ if entry.is_none() && log.is_full() || !is_removal && log.has_max_bytes() => {
                    return Ok(self.refuse_full(owner));
                }
                edit => match edit.apply(id, current, now) {
                    Ok(changed) => changed,
                    Err(UnfitAmount { amount, currency, .. }) => {
                        let (amount, currency) = (amount.to_string(), currency.to_string());
                        return Ok(respond(Outcome::UnfitAmount { amount, currency }));
                    }
                },
            };
            let mut entry = Entry::new(changed, request, now, entry);
            entry.removed = removed;
            let response = form.written(&entry);
            log.commit(storage, owner, id, entry, None)?;
            Ok(response)
        })?;
        self.begin_transfer();
        Ok(response)
    }

    fn get(&self, owner: &Owner, id: ExpenseId, form: Form) -> Result<String, ObjectFault> {
        self.with_log_of(owner, |log, _| {
            let entry = log.entries.get(&id);
            let removed = entry.and_then(|entry| entry.removed.as_deref());
            let removed = removed.map(|removed| Row::from(removed).stored());
            let removed = removed.map(|row| Text(row.into()));
            Ok(respond(match form {
                Form::Rows => Outcome::Row {
                    entry: entry.map(|entry| RowMessage { removed, ..row(id, entry) }),
                },
                Form::Records => Outcome::Entry { entry: entry.map(|entry| record(id, entry)) },
            }))
        })
    }

    fn list(
        &self,
        owner: &Owner,
        after: Option<&str>,
        until: Option<&str>,
        limit: Option<usize>,
        form: Form,
    ) -> Result<String, ObjectFault> {
        self.with_log_of(owner, |log, _| {
            // One more than the page has tells that there is another one. What follows cannot be on the page.
            let mut expenses_left = limit.map_or(usize::MAX, |limit| limit.saturating_add(1));
            let entries = log
                .entries
                .iter()
                .filter(|(id, _)| after.is_none_or(|after| id.encode().as_str() > after))
                .take_while(|(id, _)| until.is_none_or(|until| id.encode().as_str() <= until))
                .take_while(|(_, entry)| {
                    let is_needed = expenses_left > 0;
                    expenses_left -= usize::from(is_needed && entry.expense.is_some());
                    is_needed
                });
            Ok(match form {
                Form::Rows => {
                    let entries: Vec<_> = entries.map(|(id, entry)| row(id, entry)).collect();
                    let length = rows_length(&entries);
                    json_of_length(
                        length,
                        &Response { v: VERSION, outcome: Outcome::Rows { entries } },
                    )
                }
                Form::Records => respond(Outcome::Entries {
                    entries: entries.map(|(id, entry)| record(id, entry)).collect(),
                }),
            })
        })
    }

    fn erase(&self, owner: &Owner) -> Result<String, ObjectFault> {
        let now = self.now();
        self.with_log_of(owner, |log, storage| {
            log.set_owner(storage, owner)?;
            let erasure = Erasure::new(now);
            storage.put(ERASURE, &erasure.row())?;
            log.erasure = Some(erasure);
            log.clear(storage)?;
            log.schedule(storage, now)?;
            ExpensesEvent::ErasureBegun { user: self.pseudonym(owner) }.emit();
            Ok(respond(Outcome::Erased))
        })
    }

    async fn run_alarm(self: &Arc<Self>) -> Result<(), ObjectFault> {
        let now = self.now();
        let erased = self.with_log(|log, storage| {
            log.take_alarm();
            if let (Some(erasure), Some(owner)) = (&log.erasure, &log.owner) {
                let is_due = erasure.due_at().is_some_and(|at| at <= now);
                let owner = is_due.then(|| owner.clone());
                // An erasure that the storage has interrupted.
                log.clear(storage)?;
                if !is_due {
                    log.schedule(storage, now)?;
                }
                return Ok(Some(owner));
            }
            log.expire(storage, now)?;
            // A transfer that began before may end with its instance, and this alarm with success.
            if !log.due(now, 1).is_empty() {
                log.set_safety_alarm(storage, now)?;
            }
            Ok(None)
        })?;
        match erased {
            Some(Some(owner)) => self.erase_keys(&owner).await,
            Some(None) => Ok(()),
            None => Arc::clone(self).flush().await,
        }
    }

    /// Writes to KV beside the event.
    fn begin_transfer(self: &Arc<Self>) {
        let has_work = {
            let state = self.state();
            !state.is_flushing && state.log.as_ref().is_some_and(Log::is_behind)
        };
        if has_work {
            let shared = Arc::clone(self);
            self.context.spawn(async move {
                if let Err(fault) = Arc::clone(&shared).flush().await {
                    let user = shared.owner_pseudonym();
                    ExpensesEvent::TransferFailed { user, cause: Cause(&fault) }.emit();
                }
            });
        }
    }

    pub(super) fn begin_flush(&self) -> bool {
        !std::mem::replace(&mut self.state().is_flushing, true)
    }

    pub(super) fn end_flush(&self) {
        self.state().is_flushing = false;
    }

    /// Runs `act` on the log of `owner`, unless it is erased.
    fn with_log_of(
        &self,
        owner: &Owner,
        act: impl FnOnce(&mut Log, &dyn ObjectStorage) -> Result<String, ObjectFault>,
    ) -> Result<String, ObjectFault> {
        self.with_log(|log, storage| {
            if log.owner.as_ref().is_some_and(|stored| stored != owner) {
                return Err(ObjectFault::new("a message to the ledger of another owner"));
            }
            if log.erasure.is_some() {
                return Ok(respond(Outcome::Erased));
            }
            let entries = log.entries.len();
            let response = act(log, storage)?;
            let grown = log.entries.len();
            if grown / GROWTH_STEP > entries / GROWTH_STEP {
                let entries = u32::try_from(grown).unwrap_or(u32::MAX);
                ExpensesEvent::LedgerLogGrown { user: self.pseudonym(owner), entries }.emit();
            }
            Ok(response)
        })
    }

    /// The pseudonym of an owner in events.
    pub(super) fn pseudonym(&self, owner: &Owner) -> Option<UserHash> {
        self.hasher.as_ref().map(|hasher| owner.pseudonym(hasher))
    }

    /// The pseudonym of the ledger's owner, once it is loaded.
    fn owner_pseudonym(&self) -> Option<UserHash> {
        let owner = self.state().log.as_ref().and_then(|log| log.owner.clone());
        owner.and_then(|owner| self.pseudonym(&owner))
    }

    fn refuse_full(&self, owner: &Owner) -> String {
        ExpensesEvent::LedgerLogFull { user: self.pseudonym(owner) }.emit();
        respond(Outcome::Full)
    }

    /// Runs `act` on the log, without an await. After a fault the log is loaded again: memory is never ahead of
    /// the storage.
    pub(super) fn with_log<T>(
        &self,
        act: impl FnOnce(&mut Log, &dyn ObjectStorage) -> Result<T, ObjectFault>,
    ) -> Result<T, ObjectFault> {
        let storage = self.context.storage();
        let mut state = self.state();
        let mut log = match state.log.take() {
            Some(log) => log,
            None => Log::load(storage, self.now())?,
        };
        let outcome = act(&mut log, storage)?;
        state.log = Some(log);
        Ok(outcome)
    }

    pub(super) fn now(&self) -> i64 {
        self.clock.now().timestamp_millis()
    }

    /// A panic cannot leave the state half-written: `with_log` takes the log out.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Edit {
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

fn respond(outcome: Outcome<'_>) -> String {
    json::write(&Response { v: VERSION, outcome })
}

fn row(id: ExpenseId, entry: &Entry) -> RowMessage<'_> {
    let row = entry.row().map(|row| Text(row.into()));
    RowMessage { id: id.to_string().into(), row, removed: None }
}

fn record(id: ExpenseId, entry: &Entry) -> EntryMessage<'_> {
    let record = entry.expense.as_ref().map(ExpenseRecord::from);
    EntryMessage { id: id.to_string(), record }
}

/// How a response writes expenses.
#[derive(Clone, Copy)]
enum Form {
    Rows,
    /// For isolates of versions without rows.
    Records,
}

impl Form {
    /// The response to a write that made this entry.
    fn written(self, entry: &Entry) -> String {
        match (&entry.expense, entry.row()) {
            (Some(expense), Some(row)) => self.saved(expense, row),
            _ => respond(Outcome::Removed),
        }
    }

    fn saved(self, expense: &Expense, row: &str) -> String {
        let id = expense.id.to_string();
        respond(match self {
            Self::Rows => Outcome::SavedRow { id: id.into(), row: row.into() },
            Self::Records => Outcome::Saved { id, record: ExpenseRecord::from(expense) },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expenses::{
        amount::Amount,
        model::{Category, Currency, Description, ExpenseContent},
    };
    use edge_host::{
        ObjectNamespace as _,
        memory::{MemoryHost, MemoryKv, MemoryObjects},
    };
    use futures_util::FutureExt;

    fn expense(id: ExpenseId) -> Expense {
        let day = DateTime::UNIX_EPOCH;
        let content = ExpenseContent {
            description: Description::parse("x").unwrap(),
            amount: Amount::parse("1.00").unwrap(),
            currency: Currency::DEFAULT,
            category: Category::parse("a").unwrap(),
            date: day.date_naive(),
        };
        Expense { id, content, created_at: day.into(), updated_at: day.into() }
    }

    #[test]
    fn import_that_is_sent_again_has_run_whatever_the_log_has_got_since() {
        let host = MemoryHost::default().with_kv("EXPENSES", Arc::new(MemoryKv::default()));
        let ledgers = MemoryObjects::new(move |context| Arc::new(ledger(&host, context)), drop);
        let send = |request: &str, command: Command<'_>| {
            let (owner, request) = ("user_1".into(), request.into());
            let message = Message { v: VERSION, owner, request, reads_rows: true, command };
            ledgers.send("user_1", &json::write(&message)).now_or_never().unwrap().unwrap()
        };
        let first = ExpenseId::new(DateTime::UNIX_EPOCH);
        let import = || {
            let row = |number| {
                let id = first.nth(number);
                let row = Some(Text(Row::from(&expense(id)).stored().into()));
                RowMessage { id: id.to_string().into(), row, removed: None }
            };
            send("import", Command::Import { rows: (0..15_000).map(row).collect() })
        };
        let imported = r#"{"v":1,"outcome":{"imported":{"added":15000}}}"#;
        assert_eq!(import(), imported);
        let other = expense(first.nth(15_000));
        let (id, record) = (other.id.to_string(), ExpenseRecord::from(&other));
        send("other", Command::Add { id, record, key: None });
        assert_eq!(import(), imported);
    }
}
