//! The object: it responds to messages and runs the alarm.
//!
//! A write is decided between two awaits: the log as it is then, or else the expense that KV has, gives the current
//! value. A message that reads KV looks at the log again after it. KV's value is current where the log has none,
//! because the log keeps every write for ten minutes after KV has it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use chrono::DateTime;
use edge_host::{Clock, Host, Object, ObjectContext, ObjectFault, ObjectStorage, TimedKv};

use super::{
    erasure::Erasure,
    log::{ERASURE, Entry, Log},
    messages::{
        Command, EntryMessage, KeyMessage, Message, Outcome, Response, UnknownVersion, VERSION,
        json, parse,
    },
    times::KV_LAG_MAX_MILLIS,
};
use crate::expenses::{
    keys::Owner,
    model::{Expense, ExpenseChanges, ExpenseId, Timestamp},
    record::{ExpenseRecord, decode},
    store::{self, ExpenseStore},
    version::Condition,
};

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
    Ledger(Ok(Arc::new(Shared { store, clock, context, state: Mutex::default() })))
}

/// What the events of an instance share.
pub(super) struct Shared {
    pub(super) store: ExpenseStore,
    clock: Arc<dyn Clock>,
    context: ObjectContext,
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
        let Message { owner, request, command, .. } = parse("message", message)?;
        let owner = Owner::from_stored(owner.into_owned());
        shared.respond(&owner, &request, command).await
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
    ) -> Result<String, ObjectFault> {
        let id = |text: &str| ExpenseId::parse(text).map_err(|_| UnknownVersion("message's id"));
        let unknown = UnknownVersion("message's record");
        match command {
            Command::Add { id: text, record, key } => {
                let expense = record.into_expense(id(&text)?).ok_or(unknown)?;
                self.add(owner, request, expense, key)
            }
            Command::Replace { id: text, record, condition } => {
                let id = id(&text)?;
                let expense = record.into_expense(id).ok_or(unknown)?;
                let edit = Edit::Replace(expense.into());
                self.edit(owner, request, id, edit, &condition.into()).await
            }
            Command::Change { id: text, changes, condition } => {
                let changes = changes.into_changes().ok_or(unknown)?;
                let edit = Edit::Change(changes.into());
                self.edit(owner, request, id(&text)?, edit, &condition.into()).await
            }
            Command::Remove { id: text, condition } => {
                self.edit(owner, request, id(&text)?, Edit::Remove, &condition.into()).await
            }
            Command::Get { id: text } => self.get(owner, id(&text)?),
            Command::List { after } => self.list(owner, after.as_deref()),
            Command::Erase => self.erase(owner),
        }
    }

    fn add(
        self: &Arc<Self>,
        owner: &Owner,
        request: &str,
        expense: Expense,
        key: Option<KeyMessage>,
    ) -> Result<String, ObjectFault> {
        let now = self.now();
        let added = self.with_log_of(owner, |log, storage| {
            // Sent again: ids are random, so another request has another one.
            if log.entries.contains_key(&expense.id) {
                return Ok(saved(&expense));
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
                let is_committed = log.entries.contains_key(&first.expense.id)
                    || now - first.at >= KV_LAG_MAX_MILLIS;
                if is_committed {
                    return Ok(saved(&first.expense));
                }
                expense = first.expense;
                key = None;
            }
            if log.is_full() {
                return Ok(respond(Outcome::Full));
            }
            let response = saved(&expense);
            let id = expense.id;
            let entry = Entry::new(Some(expense), request, now, None);
            log.commit(storage, owner, id, entry, key)?;
            Ok(response)
        })?;
        self.begin_transfer();
        Ok(added)
    }

    async fn edit(
        self: &Arc<Self>,
        owner: &Owner,
        request: &str,
        id: ExpenseId,
        edit: Edit,
        condition: &Condition,
    ) -> Result<String, ObjectFault> {
        let is_in_log =
            self.with_log(|log, _| Ok(log.erasure.is_some() || log.entries.contains_key(&id)))?;
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
                && entry.requests.iter().any(|known| known == request)
            {
                // Sent again. Later writes may have followed the first one.
                return Ok(match (&entry.expense, edit) {
                    (_, Edit::Remove) => respond(Outcome::Removed),
                    (Some(expense), _) => saved(expense),
                    (None, _) => respond(Outcome::Absent),
                });
            }
            // `None` is a record that cannot be read.
            let current = match (entry, base) {
                (Some(Entry { expense: Some(expense), .. }), _) => Some(expense.clone()),
                (Some(_), _) | (None, Base::Stored(None)) => {
                    return Ok(respond(Outcome::Absent));
                }
                (None, Base::Stored(Some(record))) => decode(id, &record),
                (None, Base::Failed(reason)) => return Ok(respond(Outcome::NotRead { reason })),
                (None, Base::InLog) => {
                    return Err(ObjectFault::new("an entry left the log during an event"));
                }
            };
            let changed = match edit {
                Edit::Change(_) if current.is_none() => return Ok(respond(Outcome::Unreadable)),
                _ if !condition.is_met_by(current.as_ref()) => return Ok(respond(Outcome::NotMet)),
                _ if entry.is_none() && log.is_full() => return Ok(respond(Outcome::Full)),
                edit => edit.apply(id, current, now),
            };
            let response = changed.as_ref().map_or_else(|| respond(Outcome::Removed), saved);
            let entry = Entry::new(changed, request, now, entry);
            log.commit(storage, owner, id, entry, None)?;
            Ok(response)
        })?;
        self.begin_transfer();
        Ok(response)
    }

    fn get(&self, owner: &Owner, id: ExpenseId) -> Result<String, ObjectFault> {
        self.with_log_of(owner, |log, _| {
            let entry = log.entries.get(&id).map(|entry| message(id, entry));
            Ok(respond(Outcome::Entry { entry }))
        })
    }

    fn list(&self, owner: &Owner, after: Option<&str>) -> Result<String, ObjectFault> {
        self.with_log_of(owner, |log, _| {
            let entries = log
                .entries
                .iter()
                .filter(|(id, _)| after.is_none_or(|after| id.to_string().as_str() > after));
            let entries = entries.map(|(id, entry)| message(*id, entry)).collect();
            Ok(respond(Outcome::Entries { entries }))
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
                if let Err(fault) = shared.flush().await {
                    log::error!("the ledger's transfer to KV: {fault}");
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
            act(log, storage)
        })
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
    fn apply(self, id: ExpenseId, current: Option<Expense>, now: i64) -> Option<Expense> {
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
                let expense = current?;
                let today = DateTime::from(now.unwrap_or(expense.updated_at)).date_naive();
                Expense { content: changes.apply(expense.content, today), ..expense }
            }
            Self::Remove => return None,
        };
        changed.updated_at = now.unwrap_or(changed.updated_at);
        Some(changed)
    }
}

fn respond(outcome: Outcome<'_>) -> String {
    json(&Response { v: VERSION, outcome })
}

fn saved(expense: &Expense) -> String {
    let id = expense.id.to_string();
    respond(Outcome::Saved { id, record: ExpenseRecord::from(expense) })
}

fn message(id: ExpenseId, entry: &Entry) -> EntryMessage<'_> {
    let record = entry.expense.as_ref().map(ExpenseRecord::from);
    EntryMessage { id: id.to_string(), record }
}
