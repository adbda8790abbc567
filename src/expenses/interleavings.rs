//! Random interleavings of writes and reads with KV's faults, evictions and alarms, against a model: a map of
//! amounts by id. KV shows everything a minute late, and accepts one write of a key per second.

#![allow(clippy::unwrap_used, reason = "proptest's functions are no tests to clippy")]

use std::{
    collections::{BTreeMap, BTreeSet},
    future::poll_fn,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
};

use async_trait::async_trait;
use axum_authkit::seal::{Purpose, Sealer};
use chrono::{DateTime, Duration, Utc};
use edge_host::{
    Clock, KvError, KvErrorKind, KvListing, KvNamespace, KvOperation, KvPut,
    memory::{
        BackgroundTasks, KvBehavior, KvLocation, ManualClock, MemoryHost, MemoryKvLocations,
        MemoryObjects,
    },
};
use futures_util::FutureExt;
use proptest::{collection::vec, option, prelude::*};

use super::{
    Expenses, UserExpenses,
    amount::Amount,
    filter::Filter,
    idempotency::{IdempotencyKey, IdempotentRequest},
    ledger::{client::WriteError, ledger, overlay::Consistency},
    model::{Description, ExpenseChanges, ExpenseId, NewExpense},
    order::Sort,
    row::{Row, RowRef},
    user_expenses::{AddError, ChangeError, RemoveError, RestoreError},
    version::Condition,
};

/// The time until a failed write takes effect, at most a minute later. KV shows it a minute after that: together the
/// ten minutes that the ledger allows.
const LATE: Duration = Duration::minutes(8);
/// The longest time until the ledger is done once no fault is left.
const SETTLING: Duration = Duration::minutes(60);

/// How long at least a removed expense can be restored.
const REMEMBERED: Duration = Duration::minutes(10);

/// What happens to the ledger's writes to KV.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum WriteFault {
    #[default]
    None,
    /// They fail without an effect.
    Before,
    /// They fail after they took effect.
    After,
    /// They fail and take effect later.
    Late,
    /// They do not respond, and take effect later.
    Hang,
}

/// A write that takes effect later.
struct LateWrite {
    began: DateTime<Utc>,
    key: String,
    /// The value, which is its metadata too; `None` deletes the key.
    value: Option<String>,
}

#[derive(Default)]
struct Faults {
    writes: WriteFault,
    reads_fail: bool,
    /// Whether the next `get` waits until it is released.
    holds_next_get: bool,
    is_released: bool,
    late: Vec<LateWrite>,
}

/// A location's KV with faults.
#[derive(Clone)]
struct FaultyKv {
    kv: KvLocation,
    clock: Arc<ManualClock>,
    faults: Arc<Mutex<Faults>>,
}

impl FaultyKv {
    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap()
    }

    fn begin_read(&self, operation: KvOperation) -> Result<(), KvError> {
        if self.faults().reads_fail {
            return Err(KvError::new(operation, KvErrorKind::Unavailable, "made to fail"));
        }
        Ok(())
    }

    async fn write(
        &self,
        operation: KvOperation,
        key: &str,
        value: Option<String>,
    ) -> Result<(), KvError> {
        let failed = || Err(KvError::new(operation, KvErrorKind::Unavailable, "made to fail"));
        let fault = self.faults().writes;
        match fault {
            WriteFault::None => self.land(key, value).await,
            WriteFault::Before => failed(),
            WriteFault::After => {
                self.land(key, value).await?;
                failed()
            }
            WriteFault::Late | WriteFault::Hang => {
                let late = LateWrite { began: self.clock.now(), key: key.to_owned(), value };
                self.faults().late.push(late);
                if fault == WriteFault::Hang {
                    std::future::pending::<()>().await;
                }
                failed()
            }
        }
    }

    async fn land(&self, key: &str, value: Option<String>) -> Result<(), KvError> {
        match value {
            Some(value) => {
                let options = KvPut { metadata: Some(&value), expiration_ttl_secs: None };
                self.kv.put(key, &value, options).await
            }
            None => self.kv.delete(key).await,
        }
    }
}

#[async_trait]
impl KvNamespace for FaultyKv {
    async fn get(&self, key: &str) -> Result<Option<String>, KvError> {
        self.begin_read(KvOperation::Get)?;
        let value = self.kv.get(key).await;
        if std::mem::take(&mut self.faults().holds_next_get) {
            poll_fn(|_| if self.faults().is_released { Poll::Ready(()) } else { Poll::Pending })
                .await;
        }
        value
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<String>>, KvError> {
        self.begin_read(KvOperation::Get)?;
        self.kv.get_many(keys).await
    }

    async fn put(&self, key: &str, value: &str, _: KvPut<'_>) -> Result<(), KvError> {
        self.write(KvOperation::Put, key, Some(value.to_owned())).await
    }

    async fn delete(&self, key: &str) -> Result<(), KvError> {
        self.write(KvOperation::Delete, key, None).await
    }

    async fn list(
        &self,
        prefix: &str,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<KvListing, KvError> {
        self.begin_read(KvOperation::List)?;
        self.kv.list(prefix, limit, cursor).await
    }
}

/// A write of the API. Expenses are numbered in the order in which they were added; amounts are cents.
#[derive(Debug, Clone, Copy)]
enum Write {
    Add { amount: u8, key: Option<u8> },
    Change { expense: usize, amount: u8 },
    Replace { expense: usize, amount: u8 },
    Remove { expense: usize },
    Restore { expense: usize },
}

#[derive(Debug, Clone)]
enum Step {
    Write(Write),
    /// A write whose response is lost on the way.
    WriteWithoutResponse(Write),
    /// The second write takes place while the first one waits for KV.
    WriteDuring(Write, Write),
    List,
    Get(usize),
    /// What happens to writes to KV from now on.
    Fault(WriteFault),
    /// Whether reads of KV fail from now on.
    ReadsFail(bool),
    /// Late writes take effect.
    Land,
    /// The ledger ends.
    Evict,
    /// The ledger's work beside its events goes on.
    Settle,
    /// Time passes, and alarms run.
    PassSecs(u16),
    /// The user is deleted.
    Erase,
}

/// The result of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Saved(ExpenseId, Amount),
    Removed,
    Absent,
    KeyReused,
    Erased,
    NotWritten,
    MaybeWritten,
}

impl From<WriteError> for Outcome {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Erased => Self::Erased,
            WriteError::NotWritten(_) => Self::NotWritten,
            WriteError::MaybeWritten(_) => Self::MaybeWritten,
            WriteError::LogFull => panic!("the log is full"),
        }
    }
}

fn cents(amount: u8) -> Amount {
    Amount::parse(&format!("{}.{:02}", amount / 100, amount % 100)).unwrap()
}

fn amount_of(row: RowRef<'_>) -> Amount {
    row.expense().unwrap().content.amount
}

fn new_expense(amount: u8) -> NewExpense {
    let description = Description::parse("x").unwrap();
    let amount = cents(amount);
    NewExpense { description, amount, currency: None, category: None, date: None }
}

/// What the user has, as every read must show it.
#[derive(Default)]
struct Model {
    /// In the order of their addition, removed ones too.
    ids: Vec<ExpenseId>,
    rows: BTreeMap<ExpenseId, Amount>,
    /// The removed expenses, with the times of their removals.
    removed: BTreeMap<ExpenseId, (Amount, DateTime<Utc>)>,
    /// The request with each key, and the expense of its response.
    keys: BTreeMap<u8, (u8, ExpenseId)>,
    is_erased: bool,
}

impl Model {
    fn id(&self, number: usize) -> Option<ExpenseId> {
        (!self.ids.is_empty()).then(|| self.ids[number % self.ids.len()])
    }

    /// Applies a write with this outcome, or refuses the outcome.
    fn apply(
        &mut self,
        write: Write,
        outcome: Option<Outcome>,
        reads_fail: bool,
        now: DateTime<Utc>,
    ) -> Result<(), String> {
        let Some(outcome) = outcome else { return Ok(()) };
        let is_right = match (write, outcome) {
            (_, Outcome::Erased) => self.is_erased,
            _ if self.is_erased => false,
            (Write::Add { amount, key }, outcome) => {
                match key.and_then(|key| self.keys.get(&key)) {
                    Some((first, _)) if *first != amount => outcome == Outcome::KeyReused,
                    Some((_, id)) => outcome == Outcome::Saved(*id, cents(amount)),
                    None => match outcome {
                        Outcome::Saved(id, saved) => {
                            self.add(id, amount, key) && saved == cents(amount)
                        }
                        _ => false,
                    },
                }
            }
            // Only an expense that is not in the log needs KV.
            (_, Outcome::NotWritten) => reads_fail,
            (
                Write::Change { expense, amount } | Write::Replace { expense, amount },
                Outcome::Saved(id, saved),
            ) => self.set(expense, amount) == Some(id) && saved == cents(amount),
            (Write::Remove { expense }, Outcome::Removed) => self.remove(expense, now),
            (Write::Restore { expense }, Outcome::Saved(id, saved)) => {
                self.restore(expense) == Some((id, saved))
            }
            (Write::Restore { expense }, Outcome::Absent) => !self.remembers(expense, now),
            (
                Write::Change { expense, .. }
                | Write::Replace { expense, .. }
                | Write::Remove { expense },
                Outcome::Absent,
            ) => self.id(expense).is_none_or(|id| !self.rows.contains_key(&id)),
            _ => false,
        };
        if is_right { Ok(()) } else { Err(format!("{write:?}: {outcome:?}")) }
    }

    fn add(&mut self, id: ExpenseId, amount: u8, key: Option<u8>) -> bool {
        self.ids.push(id);
        if let Some(key) = key {
            self.keys.insert(key, (amount, id));
        }
        self.rows.insert(id, cents(amount)).is_none()
    }

    /// Sets the amount of an expense that exists.
    fn set(&mut self, number: usize, amount: u8) -> Option<ExpenseId> {
        let id = self.id(number)?;
        self.rows.get_mut(&id).map(|row| *row = cents(amount)).map(|()| id)
    }

    fn remove(&mut self, number: usize, now: DateTime<Utc>) -> bool {
        let Some(id) = self.id(number) else { return false };
        let removed = self.rows.remove(&id);
        removed.map(|amount| self.removed.insert(id, (amount, now))).is_some()
    }

    /// The expense that is there after a restoration.
    fn restore(&mut self, number: usize) -> Option<(ExpenseId, Amount)> {
        let id = self.id(number)?;
        if let Some((amount, _)) = self.removed.get(&id) {
            self.rows.entry(id).or_insert(*amount);
        }
        self.rows.get(&id).map(|amount| (id, *amount))
    }

    /// Whether the ledger must have the expense, or remember it.
    fn remembers(&self, number: usize, now: DateTime<Utc>) -> bool {
        let Some(id) = self.id(number) else { return false };
        let is_recent = |(_, at): &(Amount, DateTime<Utc>)| now - at < REMEMBERED;
        self.rows.contains_key(&id) || self.removed.get(&id).is_some_and(is_recent)
    }

    fn erase(&mut self) {
        self.is_erased = true;
        self.rows.clear();
    }
}

struct World {
    clock: Arc<ManualClock>,
    locations: MemoryKvLocations,
    kv: FaultyKv,
    ledgers: MemoryObjects,
    background: BackgroundTasks,
    in_alarm: Arc<AtomicBool>,
    all: Expenses,
    expenses: UserExpenses,
    model: Model,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::default());
        let locations = MemoryKvLocations::new(Arc::clone(&clock) as _, KvBehavior::worst());
        let kv = FaultyKv {
            kv: locations.location(0),
            clock: Arc::clone(&clock),
            faults: Arc::default(),
        };
        let host = MemoryHost::default()
            .with_clock(Arc::clone(&clock))
            .with_kv("EXPENSES", Arc::new(kv.clone()));
        let background = BackgroundTasks::default();
        let tasks = background.clone();
        let ledgers = MemoryObjects::new(
            move |context| Arc::new(ledger(&host, context)),
            move |work| tasks.spawn(work),
        );
        let sealer = Sealer::new(Purpose::Application("test"), &"password".into(), None);
        let all = Expenses::new(
            Arc::new(kv.clone()),
            Arc::new(ledgers.clone()),
            Arc::clone(&clock) as _,
            sealer,
        );
        let expenses = all.of_user("user");
        Self {
            clock,
            locations,
            kv,
            ledgers,
            background,
            in_alarm: Arc::default(),
            all,
            expenses,
            model: Model::default(),
        }
    }

    /// Performs a write; `None` if it is of an expense and there never was one.
    async fn write(&self, write: Write) -> Option<Outcome> {
        let saved = |result: Result<Row, ChangeError>| match result {
            Ok(row) => Outcome::Saved(row.id(), amount_of(row.as_ref())),
            Err(ChangeError::Absent) => Outcome::Absent,
            Err(ChangeError::Write(error)) => error.into(),
            Err(error) => panic!("{error}"),
        };
        let id = |number| self.model.id(number);
        Some(match write {
            Write::Add { amount, key } => {
                let once = key.map(|key| {
                    let key = IdempotencyKey::parse(&key.to_string()).unwrap();
                    IdempotentRequest::new(key, &amount.to_string())
                });
                match self.expenses.add(new_expense(amount), once).await {
                    Ok(row) => Outcome::Saved(row.id(), amount_of(row.as_ref())),
                    Err(AddError::KeyReused) => Outcome::KeyReused,
                    Err(AddError::Write(error)) => error.into(),
                }
            }
            Write::Change { expense, amount } => {
                let id = id(expense)?;
                let amount = Some(cents(amount));
                let changes = ExpenseChanges { amount, ..ExpenseChanges::default() };
                saved(self.expenses.change(id, changes, Condition::default()).await)
            }
            Write::Replace { expense, amount } => {
                let id = id(expense)?;
                saved(self.expenses.replace(id, new_expense(amount), Condition::default()).await)
            }
            Write::Remove { expense } => {
                let id = id(expense)?;
                match self.expenses.remove(id, Condition::default()).await {
                    Ok(()) => Outcome::Removed,
                    Err(RemoveError::Absent) => Outcome::Absent,
                    Err(RemoveError::Write(error)) => error.into(),
                    Err(error) => panic!("{error}"),
                }
            }
            Write::Restore { expense } => {
                let id = id(expense)?;
                match self.expenses.restore(id).await {
                    Ok(row) => Outcome::Saved(row.id(), amount_of(row.as_ref())),
                    Err(RestoreError::Absent) => Outcome::Absent,
                    Err(RestoreError::Write(error)) => error.into(),
                    Err(error) => panic!("{error}"),
                }
            }
        })
    }

    async fn run(&mut self, step: &Step) -> Result<(), String> {
        let reads_fail = self.kv.faults().reads_fail;
        match *step {
            Step::Write(write) => {
                let outcome = self.write(write).await;
                self.model.apply(write, outcome, reads_fail, self.clock.now())
            }
            // Without a response, the model needs to know what KV's failure would have done.
            Step::WriteWithoutResponse(_) if reads_fail || self.model.is_erased => Ok(()),
            Step::WriteWithoutResponse(write) => self.write_without_response(write).await,
            Step::WriteDuring(first, second) => {
                {
                    let mut faults = self.kv.faults();
                    (faults.holds_next_get, faults.is_released) = (true, false);
                }
                let (meanwhile, outcome) = {
                    let mut waiting = pin!(self.write(first));
                    let early = waiting.as_mut().now_or_never();
                    self.kv.faults().holds_next_get = false;
                    match early {
                        Some(outcome) => (None, outcome),
                        None => {
                            let meanwhile = self.write(second).await;
                            self.kv.faults().is_released = true;
                            (meanwhile, waiting.await)
                        }
                    }
                };
                // Both were numbered before either took place.
                let ids = self.model.ids.clone();
                self.model.apply(second, meanwhile, reads_fail, self.clock.now())?;
                let new_ids = self.model.ids.split_off(ids.len());
                self.model.apply(first, outcome, reads_fail, self.clock.now())?;
                self.model.ids.extend(new_ids);
                Ok(())
            }
            Step::List => self.check_list().await,
            Step::Get(number) => self.check_one(number).await,
            Step::Fault(fault) => {
                self.kv.faults().writes = fault;
                Ok(())
            }
            Step::ReadsFail(fail) => {
                self.kv.faults().reads_fail = fail;
                Ok(())
            }
            Step::Land => {
                self.land(self.clock.now()).await;
                Ok(())
            }
            Step::Evict => {
                self.ledgers.evict_all();
                Ok(())
            }
            Step::Settle => {
                self.settle();
                Ok(())
            }
            Step::PassSecs(secs) => {
                self.pass(Duration::seconds(secs.into())).await;
                Ok(())
            }
            Step::Erase => {
                self.all.erase_user("user").await.map_err(|error| error.to_string())?;
                self.model.erase();
                Ok(())
            }
        }
    }

    async fn write_without_response(&mut self, write: Write) -> Result<(), String> {
        self.ledgers.lose_responses(true);
        let outcome = self.write(write).await;
        self.ledgers.lose_responses(false);
        match (write, outcome) {
            (_, None) => Ok(()),
            (_, Some(outcome)) if outcome != Outcome::MaybeWritten => {
                Err(format!("{write:?} without a response: {outcome:?}"))
            }
            (Write::Add { key: Some(key), .. }, _) if self.model.keys.contains_key(&key) => Ok(()),
            (Write::Add { amount, key }, _) => {
                let known: BTreeSet<ExpenseId> = self.model.ids.iter().copied().collect();
                let listed = self.list().await?;
                let new: Vec<_> = listed.keys().filter(|id| !known.contains(id)).collect();
                let &[id] = &new[..] else { return Err(format!("{write:?} added {new:?}")) };
                self.model.add(*id, amount, key);
                self.check_list().await
            }
            (Write::Change { expense, amount } | Write::Replace { expense, amount }, _) => {
                self.model.set(expense, amount);
                self.check_list().await
            }
            (Write::Remove { expense }, _) => {
                self.model.remove(expense, self.clock.now());
                self.check_list().await
            }
            (Write::Restore { expense }, _) => {
                // Whether the ledger still remembers an expense that was removed long ago shows in the list.
                let id = self.model.id(expense);
                let is_listed = match id {
                    Some(id) => self.list().await?.contains_key(&id),
                    None => false,
                };
                if is_listed || self.model.remembers(expense, self.clock.now()) {
                    self.model.restore(expense);
                }
                self.check_list().await
            }
        }
    }

    async fn list(&self) -> Result<BTreeMap<ExpenseId, Amount>, String> {
        let listed = self.expenses.list(1_000, None, &Filter::default(), Sort::Created).await;
        let listed = listed.map_err(|error| error.to_string())?;
        let rows: Vec<_> = listed.value.rows.iter().map(|row| (row.id, amount_of(row))).collect();
        if !rows.is_sorted_by_key(|(id, _)| *id) {
            return Err(format!("out of order: {rows:?}"));
        }
        let count = rows.len();
        let rows: BTreeMap<_, _> = rows.into_iter().collect();
        if rows.len() < count { Err(format!("twice: {rows:?}")) } else { Ok(rows) }
    }

    async fn check_list(&self) -> Result<(), String> {
        match self.list().await {
            Err(error) if error.starts_with("KV ") && self.kv.faults().reads_fail => Ok(()),
            Err(error) => Err(error),
            Ok(rows) if rows == self.model.rows => Ok(()),
            Ok(rows) => Err(format!("listed {rows:?}, expected {:?}", self.model.rows)),
        }
    }

    async fn check_one(&self, number: usize) -> Result<(), String> {
        let Some(id) = self.model.id(number) else { return Ok(()) };
        let expected = self.model.rows.get(&id);
        match self.expenses.get(id).await {
            Err(_) if self.kv.faults().reads_fail => Ok(()),
            Err(error) => Err(error.to_string()),
            Ok(read) if read.consistency != Consistency::Strong => Err("a weak read".to_owned()),
            Ok(read) => {
                let amount = read.value.map(|row| amount_of(row.as_ref()));
                if amount.as_ref() == expected { Ok(()) } else { Err(format!("{id}: {amount:?}")) }
            }
        }
    }

    /// Lets the late writes that began until `latest` take effect.
    async fn land(&self, latest: DateTime<Utc>) {
        let (due, later) = std::mem::take(&mut self.kv.faults().late)
            .into_iter()
            .partition(|write| write.began <= latest);
        self.kv.faults().late = later;
        let due: Vec<LateWrite> = due;
        for LateWrite { key, value, .. } in due {
            // KV refuses a second write within a second.
            let _: Result<(), KvError> = self.kv.land(&key, value).await;
        }
    }

    /// Runs the background until it waits; whether it is done.
    fn settle(&self) -> bool {
        (0..10).any(|_| self.background.settle().now_or_never().is_some())
    }

    async fn pass(&self, duration: Duration) {
        let end = self.clock.now() + duration;
        loop {
            let now = self.clock.now();
            self.land(now - LATE).await;
            let next = self.ledgers.next_alarm();
            if let Some((at, name)) = next.clone().filter(|(at, _)| *at <= now)
                && !self.in_alarm.swap(true, Ordering::Relaxed)
            {
                let (ledgers, in_alarm) = (self.ledgers.clone(), Arc::clone(&self.in_alarm));
                let alarm = async move {
                    ledgers.run_alarm(&name, at + Duration::seconds(2)).await;
                    in_alarm.store(false, Ordering::Relaxed);
                };
                self.background.spawn(alarm.boxed());
                self.settle();
                continue;
            }
            // Work that waits for KV ends after its time limit.
            let is_idle = self.settle();
            if now >= end {
                return;
            }
            let next = next.map(|(at, _)| at).filter(|at| is_idle && *at > now);
            let step =
                if is_idle { now + Duration::minutes(1) } else { now + Duration::seconds(5) };
            self.clock.advance(next.map_or(step, |at| at.min(step)).min(end) - now);
        }
    }

    /// Ends every fault. Afterwards KV alone has what the model has.
    async fn check_end(&mut self) -> Result<(), String> {
        {
            let mut faults = self.kv.faults();
            (faults.writes, faults.reads_fail) = (WriteFault::None, false);
        }
        self.check_list().await?;
        self.pass(SETTLING).await;
        self.check_list().await?;
        let rows = self.ledgers.storage("user").list("log:").unwrap();
        if !rows.is_empty() {
            return Err(format!("the log still has {rows:?}"));
        }
        self.ledgers.set_unreachable(true);
        self.check_list().await.map_err(|error| format!("KV alone: {error}"))?;
        let keys = self.locations.entries().len();
        if keys == self.model.rows.len() { Ok(()) } else { Err(format!("KV has {keys} keys")) }
    }
}

fn write() -> impl Strategy<Value = Write> {
    let (amount, expense) = (1_u8..4, 0_usize..6);
    prop_oneof![
        3 => (amount.clone(), option::of(0_u8..3)).prop_map(|(amount, key)| Write::Add { amount, key }),
        3 => (expense.clone(), amount.clone())
            .prop_map(|(expense, amount)| Write::Change { expense, amount }),
        1 => (expense.clone(), amount).prop_map(|(expense, amount)| Write::Replace { expense, amount }),
        2 => expense.clone().prop_map(|expense| Write::Remove { expense }),
        2 => expense.prop_map(|expense| Write::Restore { expense }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let fault = prop_oneof![
        2 => Just(WriteFault::None),
        1 => Just(WriteFault::Before),
        1 => Just(WriteFault::After),
        2 => Just(WriteFault::Late),
        2 => Just(WriteFault::Hang),
    ];
    prop_oneof![
        60 => write().prop_map(Step::Write),
        8 => write().prop_map(Step::WriteWithoutResponse),
        15 => (write(), write()).prop_map(|(first, second)| Step::WriteDuring(first, second)),
        15 => Just(Step::List),
        15 => (0_usize..6).prop_map(Step::Get),
        20 => fault.prop_map(Step::Fault),
        4 => any::<bool>().prop_map(Step::ReadsFail),
        8 => Just(Step::Land),
        10 => Just(Step::Evict),
        20 => Just(Step::Settle),
        20 => (1_u16..70).prop_map(Step::PassSecs),
        20 => (540_u16..700).prop_map(Step::PassSecs),
        1 => Just(Step::Erase),
    ]
}

fn check(steps: &[Step]) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut world = World::new();
        for (number, step) in steps.iter().enumerate() {
            world.run(step).await.map_err(|error| format!("step {number}: {error}"))?;
        }
        world.check_end().await.map_err(|error| format!("at the end: {error}"))
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 128,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn reads_show_every_write_whatever_fails(steps in vec(step(), 1..60)) {
        prop_assert_eq!(check(&steps), Ok(()));
    }
}
