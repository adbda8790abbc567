//! The object: it responds to messages and runs the alarm.
//!
//! A write is decided between two awaits: the log as it is then, or else the expense that KV has, gives the current
//! value. A message that reads KV looks at the log again after it. KV's value is current where the log has none,
//! because the log keeps every write for ten minutes after KV has it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use axum_authkit::seal::UserHasher;
use edge_host::{
    Cause, Clock, Emit as _, Host, Object, ObjectContext, ObjectFault, ObjectStorage, TimedKv,
    UserHash, json,
};
use futures_util::future::BoxFuture;

use super::{
    edit::{Base, Decision, Edit},
    entries::Entry,
    erasure::Erasure,
    log::{ERASURE, Log},
    messages::{
        AddMessage, Command, ImportMessage, KeyMessage, Message, Outcome, Response, RowMessage,
        VERSION, id_of, json_of_length, of_record, parse, rows_length,
    },
    texts::{self, Frequent},
};
use crate::expenses::{
    events::ExpensesEvent,
    keys::Owner,
    model::{Expense, ExpenseId},
    record::{ExpenseRecord, Text},
    row::Row,
    store::{self, ExpenseStore},
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

#[async_trait]
impl Object for Ledger {
    async fn receive(&self, message: &str) -> Result<String, ObjectFault> {
        let shared = self.0.as_ref().map_err(Clone::clone)?;
        if let Some((owner, frequent)) = texts::read(message) {
            return shared.respond_to(&owner, frequent);
        }
        let message: Message<'_> = parse("message", message)?;
        let owner = Owner::from_stored(message.owner.into_owned());
        shared.respond(&owner, &message.request, message.command).await
    }

    async fn alarm(&self) -> Result<(), ObjectFault> {
        self.0.as_ref().map_err(Clone::clone)?.run_alarm().await
    }
}

impl Shared {
    /// Responds to a message that is sent as a text.
    #[inline(never)]
    fn respond_to(
        self: &Arc<Self>,
        owner: &Owner,
        frequent: Frequent<'_>,
    ) -> Result<String, ObjectFault> {
        match frequent {
            Frequent::Get(id) => self.read_entry(owner, id),
            Frequent::Add(id, record) => self.add(owner, id.encode().as_str(), id, record, None),
        }
    }

    async fn respond(
        self: &Arc<Self>,
        owner: &Owner,
        request: &str,
        command: Command<'_>,
    ) -> Result<String, ObjectFault> {
        let edit = match command {
            Command::Get { id } => return self.read_entry(owner, id_of(&id)?),
            Command::List { after, until, limit } => {
                let [after, until] = [&after, &until].map(|id| id.as_ref().map(|Text(id)| &**id));
                let response = self.list(owner, after, until, limit);
                self.resume_transfer();
                return response;
            }
            Command::Add(AddMessage { id, record, key }) => {
                return self.add(owner, request, id_of(&id)?, record, key);
            }
            Command::Import(message) => return self.import(owner, request, message),
            Command::Erase => return self.erase(owner),
            Command::Replace(message) => Edit::replace(request, message)?,
            Command::Change(message) => Edit::change(request, message)?,
            Command::Remove(message) => Edit::remove(request, message)?,
            Command::Restore { id } => Edit::restore(request, &id)?,
        };
        self.edit(owner, edit).await
    }

    // As the other large writes it is not inlined: see `messages::apart`.
    #[inline(never)]
    fn add(
        self: &Arc<Self>,
        owner: &Owner,
        request: &str,
        id: ExpenseId,
        record: ExpenseRecord<'_>,
        key: Option<KeyMessage>,
    ) -> Result<String, ObjectFault> {
        let expense = of_record(record.into_expense(id))?;
        let now = self.now();
        let added = self.with_log_of(owner, |log, storage| {
            // Sent again: ids are random, so another request has another one.
            if log.entries.contains(&id) {
                return Ok(unchanged(&expense));
            }
            if let Some(used) = &key
                && let Some(first) = Log::keyed_request(storage, &used.hash, now)?
            {
                return Ok(if first.body_hash == used.body_hash {
                    unchanged(&first.expense)
                } else {
                    respond(Outcome::KeyReused)
                });
            }
            if log.is_full() {
                return Ok(self.refuse_full(owner));
            }
            let entry = Entry::new(Some(expense), request, now, None);
            let response = written(&entry);
            log.commit(storage, owner, id, entry, key)?;
            Ok(response)
        })?;
        self.begin_transfer();
        Ok(added)
    }

    #[inline(never)]
    fn import(
        self: &Arc<Self>,
        owner: &Owner,
        request: &str,
        ImportMessage { rows }: ImportMessage<'_>,
    ) -> Result<String, ObjectFault> {
        let expense = |row: RowMessage<'_>| {
            let id = ExpenseId::parse(&row.id).ok()?;
            let Text(stored) = row.row?;
            Row::from_stored(id, &stored)?.as_ref().expense()
        };
        let expenses = of_record(rows.into_iter().map(expense).collect::<Option<Vec<_>>>())?;
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

    fn edit<'a>(
        self: &'a Arc<Self>,
        owner: &'a Owner,
        edit: Edit<'a>,
    ) -> BoxFuture<'a, Result<String, ObjectFault>> {
        Box::pin(async move {
            let id = edit.id;
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
                Ok(match edit.decide(log, base, now)? {
                    Decision::Commit(entry) => {
                        let response = written(&entry);
                        log.commit(storage, owner, id, entry, None)?;
                        response
                    }
                    Decision::Unchanged(expense) => unchanged(&expense),
                    Decision::Full => self.refuse_full(owner),
                    Decision::Respond(outcome) => respond(outcome),
                })
            })?;
            self.begin_transfer();
            Ok(response)
        })
    }

    fn read_entry(self: &Arc<Self>, owner: &Owner, id: ExpenseId) -> Result<String, ObjectFault> {
        let response = self.with_log_of(owner, |log, _| {
            Ok(match log.entries.get(&id) {
                Some(entry) => entry_of(id, entry),
                None => texts::NO_ENTRY.to_owned(),
            })
        });
        self.resume_transfer();
        response
    }

    fn list(
        &self,
        owner: &Owner,
        after: Option<&str>,
        until: Option<&str>,
        limit: Option<usize>,
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
            let entries: Vec<_> = entries.map(|(id, entry)| row(id, entry)).collect();
            let length = rows_length(&entries);
            Ok(json_of_length(length, &Response { v: VERSION, outcome: Outcome::Rows { entries } }))
        })
    }

    #[inline(never)]
    fn erase(&self, owner: &Owner) -> Result<String, ObjectFault> {
        let now = self.now();
        // WorkOS repeats its event. An erasure that is not done has an alarm then, even if the runtime gave up the last one.
        self.with_log(|log, storage| match log.erasure {
            Some(_) => log.schedule(storage, now),
            None => Ok(()),
        })?;
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
            if let (Some(_), Some(owner)) = (&log.erasure, &log.owner) {
                let is_due = log.erasure_due_at().is_some_and(|at| at <= now);
                let owner = is_due.then(|| owner.clone());
                // An erasure that the storage has interrupted.
                log.clear(storage)?;
                if is_due {
                    // The deletion may end with its instance.
                    log.set_safety_alarm(storage, now)?;
                } else {
                    log.schedule(storage, now)?;
                }
                return Ok(Some(owner));
            }
            log.expire(storage, now)?;
            // A transfer that began before may end with its instance, and this alarm with success.
            if log.has_due(now) {
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

    /// Writes to KV beside the event, and sets the alarm for what is due later.
    fn begin_transfer(self: &Arc<Self>) {
        self.transfer_if(Log::is_behind);
    }

    /// Writes to KV what an earlier instance has left: an object that is read again and again would otherwise leave it
    /// to the alarm, which comes minutes later.
    fn resume_transfer(self: &Arc<Self>) {
        // Nearly always all is settled: then nobody asks for the time.
        self.transfer_if(|log| !log.is_settled() && log.has_due(self.now()));
    }

    fn transfer_if(self: &Arc<Self>, has_work: impl FnOnce(&Log) -> bool) {
        let has_work = {
            let state = self.state();
            !state.is_flushing && state.log.as_ref().is_some_and(has_work)
        };
        if has_work {
            self.transfer();
        }
    }

    #[inline(never)]
    fn transfer(self: &Arc<Self>) {
        let shared = Arc::clone(self);
        self.context.spawn(async move {
            if let Err(fault) = Arc::clone(&shared).flush().await {
                let user = shared.owner_pseudonym();
                ExpensesEvent::TransferFailed { user, cause: Cause(&fault) }.emit();
            }
        });
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
                self.report_growth(owner, grown);
            }
            Ok(response)
        })
    }

    #[cold]
    #[inline(never)]
    fn report_growth(&self, owner: &Owner, entries: usize) {
        let entries = u32::try_from(entries).unwrap_or(u32::MAX);
        ExpensesEvent::LedgerLogGrown { user: self.pseudonym(owner), entries }.emit();
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
            None => Log::load(storage)?,
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

fn respond(outcome: Outcome<'_>) -> String {
    json::write(&Response { v: VERSION, outcome })
}

fn row(id: ExpenseId, entry: &Entry) -> RowMessage<'_> {
    let row = entry.row().map(|row| Text(row.into()));
    RowMessage { id: id.to_string().into(), row, removed: None }
}

/// The response to a read of this entry. In a function of its own: most reads do not run it.
#[inline(never)]
fn entry_of(id: ExpenseId, entry: &Entry) -> String {
    let removed = entry.removed.as_deref().map(|removed| Row::from(removed).stored());
    let removed = removed.map(|row| Text(row.into()));
    respond(Outcome::Row { entry: Some(RowMessage { removed, ..row(id, entry) }) })
}

/// The response to a write that made this entry.
fn written(entry: &Entry) -> String {
    match (&entry.expense, entry.row()) {
        (Some(expense), Some(row)) => texts::saved(expense.id, row),
        _ => respond(Outcome::Removed),
    }
}

/// The response to a write that leaves an expense as it is.
fn unchanged(expense: &Expense) -> String {
    texts::saved(expense.id, &Row::from(expense).stored())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expenses::{
        amount::Amount,
        model::{Category, Currency, Description, ExpenseContent},
    };
    use chrono::{DateTime, Duration};
    use edge_host::{
        ObjectNamespace as _,
        memory::{ManualClock, MemoryHost, MemoryKv, MemoryObjects},
    };
    use futures_util::FutureExt;
    use std::pin::pin;

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

    /// The response of the ledger to a message.
    fn send(ledgers: &MemoryObjects, request: &str, command: Command<'_>) -> String {
        let (owner, request) = ("user_1".into(), request.into());
        let message = Message { v: VERSION, owner, request, reads_rows: true, command };
        ledgers.send("user_1", &json::write(&message)).now_or_never().unwrap().unwrap()
    }

    /// The import of so many expenses.
    fn import<'a>(first: ExpenseId, count: usize) -> Command<'a> {
        let row = |number| {
            let id = first.nth(number);
            let row = Some(Text(Row::from(&expense(id)).stored().into()));
            RowMessage { id: id.to_string().into(), row, removed: None }
        };
        Command::Import(ImportMessage { rows: (0..count).map(row).collect() })
    }

    #[test]
    fn import_that_is_sent_again_has_run_whatever_the_log_has_got_since() {
        let host = MemoryHost::default().with_kv("EXPENSES", Arc::new(MemoryKv::default()));
        let ledgers = MemoryObjects::new(move |context| Arc::new(ledger(&host, context)), drop);
        let first = ExpenseId::new(DateTime::UNIX_EPOCH);
        let imported = r#"{"v":1,"outcome":{"imported":{"added":15000}}}"#;
        assert_eq!(send(&ledgers, "import", import(first, 15_000)), imported);
        let other = expense(first.nth(15_000));
        let (id, record) = (other.id.to_string(), ExpenseRecord::from(&other));
        send(&ledgers, "other", Command::Add(AddMessage { id, record, key: None }));
        assert_eq!(send(&ledgers, "import", import(first, 15_000)), imported);
    }

    #[test]
    fn transfer_keeps_the_limits_of_one_invocation() {
        let clock = Arc::new(ManualClock::default());
        let kv = Arc::new(MemoryKv::new(Arc::clone(&clock) as _));
        let host = MemoryHost::default()
            .with_kv("EXPENSES", Arc::clone(&kv) as _)
            .with_clock(Arc::clone(&clock));
        let ledgers = MemoryObjects::new(move |context| Arc::new(ledger(&host, context)), drop);
        send(&ledgers, "import", import(ExpenseId::new(DateTime::UNIX_EPOCH), 2_000));
        kv.delay_responses(100);
        for expected in [900, 900, 200, 0] {
            let mut alarm = pin!(ledgers.run_alarm("user_1", clock.now()));
            while alarm.as_mut().now_or_never().is_none() {
                clock.advance(Duration::milliseconds(100));
            }
            assert_eq!(kv.take_operations().len(), expected);
            assert_eq!(kv.take_most_at_once(), expected.min(5));
        }
        assert_eq!(kv.keys().len(), 2_000);
    }
}
