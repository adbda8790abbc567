//! The use cases of a user's expenses, shared by all interfaces. Writes go to the user's ledger. Reads ask KV and the
//! ledger at the same time.

use std::{pin::pin, sync::Arc};

use chrono::NaiveDate;
use futures_util::future::{Either, select};
use thiserror::Error;

use super::{
    batches::{Batches, not_reached, unfilled},
    cursor::{Cursors, ListedBatch, Position, paginate},
    filter::Filter,
    idempotency::IdempotentRequest,
    keys::Owner,
    ledger::{
        client::{LedgerError, Ledgers, WriteError, Written, unexpected},
        overlay::{Consistency, Reading, Recent},
    },
    model::{Expense, ExpenseChanges, ExpenseId, NewExpense, UnfitAmount},
    order::{FirstRows, Place, Sort},
    row::{Figures, Row, RowRef, Rows},
    store::{ExpenseStore, GetError},
    summary::SummaryBuilder,
    version::Condition,
};
use axum_authkit::seal::Sealer;
use edge_host::{Clock, KV_LIST_MAX_KEYS, KvError, KvNamespace, ObjectNamespace, TimedKv};

/// The expenses of all users. Clones share everything.
#[derive(Clone)]
pub struct Expenses(Arc<Services>);

/// What the expenses of every user need.
struct Services {
    store: ExpenseStore,
    ledgers: Ledgers,
    cursors: Cursors,
    clock: Arc<dyn Clock>,
}

impl Expenses {
    /// Expenses in `kv`, written by the objects of `ledger`; `cursor_sealer` seals the cursors of lists.
    #[must_use]
    pub fn new(
        kv: Arc<dyn KvNamespace>,
        ledger: Arc<dyn ObjectNamespace>,
        clock: Arc<dyn Clock>,
        cursor_sealer: Sealer,
    ) -> Self {
        let kv = TimedKv::new(kv, Arc::clone(&clock));
        Self(Arc::new(Services {
            store: ExpenseStore::new(Arc::new(kv)),
            ledgers: Ledgers::new(ledger, Arc::clone(&clock)),
            cursors: Cursors(cursor_sealer),
            clock,
        }))
    }

    /// The expenses of the user with this id, who is a verified caller.
    #[must_use]
    pub(crate) fn of_user(&self, user_id: &str) -> UserExpenses {
        UserExpenses { all: Arc::clone(&self.0), owner: Owner::new(user_id) }
    }

    /// Erases a user's stored data. From now on the user has no expenses, and can add none; the keys in KV are
    /// deleted in the background.
    ///
    /// # Errors
    ///
    /// [`LedgerError`]: a retry is safe.
    pub async fn erase_user(&self, user_id: &str) -> Result<(), LedgerError> {
        self.0.ledgers.erase(&Owner::new(user_id)).await
    }
}

/// One user's expenses.
#[derive(Clone)]
pub struct UserExpenses {
    all: Arc<Services>,
    owner: Owner,
}

/// One page of a list.
#[derive(Debug)]
pub struct Page {
    /// The rows, in the list's order.
    pub rows: Rows,
    /// The cursor of the next page; `None` on the last page.
    pub cursor: Option<String>,
}

/// A page, and the dates of its neighbours in a list by date.
#[derive(Debug)]
pub struct PageInOrder {
    /// The page.
    pub page: Page,
    /// The date of the expense before the first row.
    pub before: Option<NaiveDate>,
    /// The date of the expense after the last row.
    pub after: Option<NaiveDate>,
}

/// Takes each expense that is read: its row, its figures, and whether the filter selects it.
pub type EachExpense<'a> = dyn FnMut(RowRef<'_>, &Figures<'_>, bool) + Send + 'a;

/// Why a page cannot be listed.
#[derive(Debug, Clone, Error)]
pub enum ListError {
    /// The cursor is forged, or belongs to another user, another filter or another order.
    #[error("the cursor does not belong to this list")]
    ForeignCursor,
    /// KV failed to read.
    #[error(transparent)]
    Kv(#[from] KvError),
}

/// Why expenses cannot be added up.
#[derive(Debug, Clone, Error)]
pub enum SumError {
    /// They have more than [`CATEGORIES_MAX`](super::summary::CATEGORIES_MAX) categories.
    #[error("the expenses have too many categories")]
    TooManyCategories,
    /// KV failed to read.
    #[error(transparent)]
    Kv(#[from] KvError),
}

/// Why no expense was added.
#[derive(Debug, Clone, Error)]
pub enum AddError {
    /// An earlier request used the idempotency key with another body.
    #[error("the idempotency key was used with another body")]
    KeyReused,
    /// The write failed. After [`WriteError::MaybeWritten`] a retry with a key is safe.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Why an expense was not changed.
#[derive(Debug, Clone, Error)]
pub enum ChangeError {
    /// The expense does not exist, or belongs to another user.
    #[error("the expense does not exist")]
    Absent,
    /// The changes cannot be applied, because the stored record is unreadable.
    #[error("the stored record of expense {0} cannot be read")]
    Unreadable(ExpenseId),
    /// The expense does not meet the request's condition.
    #[error("the expense does not meet the condition")]
    ConditionNotMet,
    /// The currency does not have the amount.
    #[error(transparent)]
    Unfit(UnfitAmount),
    /// The write failed.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Why an expense was not removed.
#[derive(Debug, Clone, Error)]
pub enum RemoveError {
    /// The expense does not exist, or belongs to another user.
    #[error("the expense does not exist")]
    Absent,
    /// The expense does not meet the request's condition.
    #[error("the expense does not meet the condition")]
    ConditionNotMet,
    /// The write failed.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Why an expense was not restored.
#[derive(Debug, Clone, Error)]
pub enum RestoreError {
    /// The expense does not exist, belongs to another user, or was removed too long ago.
    #[error("the expense does not exist, and is not remembered")]
    Absent,
    /// The expense is there, and its stored record is unreadable.
    #[error("the stored record of expense {0} cannot be read")]
    Unreadable(ExpenseId),
    /// The write failed.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Why expenses were not imported.
#[derive(Debug, Clone, Error)]
pub enum ImportError {
    /// No log has room for so many bytes. Nothing was written.
    #[error("the texts are too long")]
    TooLong,
    /// KV failed to read. Nothing was written.
    #[error(transparent)]
    Kv(#[from] KvError),
    /// The write failed. A retry is safe.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl UserExpenses {
    /// Adds an expense. With `once`, later requests with the same key and body add no second expense.
    ///
    /// # Errors
    ///
    /// [`AddError`].
    pub async fn add(
        &self,
        new: NewExpense,
        once: Option<IdempotentRequest>,
    ) -> Result<Row, AddError> {
        let now = self.all.clock.now();
        let expense = Expense::new(new.into_content(now.date_naive()), now);
        match self.all.ledgers.add(&self.owner, &expense, once.as_ref()).await? {
            Written::Saved(row) => Ok(row),
            Written::KeyReused => Err(AddError::KeyReused),
            _ => Err(AddError::Write(unexpected().into())),
        }
    }

    /// Replaces an expense's content, even if its stored record is unreadable.
    ///
    /// # Errors
    ///
    /// [`ChangeError`], except [`ChangeError::Unreadable`].
    pub async fn replace(
        &self,
        id: ExpenseId,
        new: NewExpense,
        condition: Condition,
    ) -> Result<Row, ChangeError> {
        let now = self.all.clock.now();
        let content = new.into_content(now.date_naive());
        let expense = Expense { id, content, created_at: now.into(), updated_at: now.into() };
        changed(id, self.all.ledgers.replace(&self.owner, &expense, condition).await?)
    }

    /// Applies changes to an expense.
    ///
    /// # Errors
    ///
    /// [`ChangeError`].
    pub async fn change(
        &self,
        id: ExpenseId,
        changes: ExpenseChanges,
        condition: Condition,
    ) -> Result<Row, ChangeError> {
        changed(id, self.all.ledgers.change(&self.owner, id, changes, condition).await?)
    }

    /// Removes an expense, readable or not.
    ///
    /// # Errors
    ///
    /// [`RemoveError`].
    pub async fn remove(&self, id: ExpenseId, condition: Condition) -> Result<(), RemoveError> {
        match self.all.ledgers.remove(&self.owner, id, condition).await? {
            Written::Removed => Ok(()),
            Written::Absent => Err(RemoveError::Absent),
            Written::NotMet => Err(RemoveError::ConditionNotMet),
            _ => Err(RemoveError::Write(unexpected().into())),
        }
    }

    /// Restores a removed expense, as it was before the removal. The ledger remembers it for ten minutes at least. An
    /// expense that is there stays as it is.
    ///
    /// # Errors
    ///
    /// [`RestoreError`].
    pub async fn restore(&self, id: ExpenseId) -> Result<Row, RestoreError> {
        match self.all.ledgers.restore(&self.owner, id).await? {
            Written::Saved(row) => Ok(row),
            Written::Absent => Err(RestoreError::Absent),
            Written::Unreadable => Err(RestoreError::Unreadable(id)),
            _ => Err(RestoreError::Write(unexpected().into())),
        }
    }

    /// The owner of the expenses.
    pub(crate) fn owner(&self) -> &Owner {
        &self.owner
    }

    /// The removed expense that [`Self::restore`] would restore; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub async fn removed(&self, id: ExpenseId) -> Result<Option<Row>, LedgerError> {
        self.all.ledgers.removed(&self.owner, id).await
    }

    /// Adds expenses that have their ids already, all or none: the number of those that the user did not have. The
    /// others stay as they are. Costs one `list` of KV for each thousand of the user's expenses, and one request to the
    /// ledger.
    ///
    /// # Errors
    ///
    /// [`ImportError`].
    pub async fn import(&self, mut expenses: Vec<Expense>) -> Result<usize, ImportError> {
        // In the order of a list, which has the smallest id first.
        let mut known: Vec<ExpenseId> = Vec::new();
        let mut note = |rows: &Rows, _: &Position| {
            known.extend(rows.iter().map(|row| row.id));
            true
        };
        if let Consistency::Eventual = self.batches().read_batches(&mut note).await? {
            let reason = "the ledger, which knows what KV does not show yet, was not reached";
            return Err(WriteError::NotWritten(reason.to_owned()).into());
        }
        expenses.retain(|expense| known.binary_search(&expense.id).is_err());
        if expenses.is_empty() {
            return Ok(0);
        }
        if !Ledgers::can_hold(&expenses) {
            return Err(ImportError::TooLong);
        }
        Ok(self.all.ledgers.import(&self.owner, expenses).await?)
    }

    /// Reads an expense; `None` if the user has no such expense. An expense in the ledger's log needs no response
    /// of KV.
    ///
    /// # Errors
    ///
    /// [`GetError`].
    pub async fn get(&self, id: ExpenseId) -> Result<Reading<Option<Row>>, GetError> {
        let stored = pin!(self.all.store.get(&self.owner, id));
        let recent = pin!(self.all.ledgers.get(&self.owner, id));
        let (stored, recent) = match select(stored, recent).await {
            Either::Left((stored, recent)) => (Either::Left(stored), recent.await),
            Either::Right((recent, stored)) => (Either::Right(stored), recent),
        };
        let consistency = match recent {
            Ok(Recent::Written(latest)) => {
                return Ok(Reading::strong(latest));
            }
            Ok(Recent::Unknown) => Consistency::Strong,
            Err(error) => not_reached(&error),
        };
        let value = match stored {
            Either::Left(stored) => stored?,
            Either::Right(stored) => stored.await?,
        };
        Ok(Reading { value, consistency })
    }

    /// Reads an expense like [`Self::get`], with its fields.
    ///
    /// # Errors
    ///
    /// [`GetError`].
    pub async fn get_expense(&self, id: ExpenseId) -> Result<Reading<Option<Expense>>, GetError> {
        let Reading { value, consistency } = self.get(id).await?;
        let value = match value {
            Some(row) => Some(row.as_ref().expense().ok_or(GetError::Unreadable(id))?),
            None => None,
        };
        Ok(Reading { value, consistency })
    }

    /// Lists at most `limit` (1–1,000) of the expenses that `filter` selects. A page with a filter comes
    /// from one KV batch, so it can be short or empty without being the last page; a page by date is read as by
    /// [`Self::list_all`]. Unreadable records are logged and left out.
    ///
    /// # Errors
    ///
    /// [`ListError`].
    pub async fn list(
        &self,
        limit: usize,
        cursor: Option<&str>,
        filter: &Filter,
        sort: Sort,
    ) -> Result<Reading<Page>, ListError> {
        if sort == Sort::Date {
            let listed = self.list_all(limit, cursor, filter, sort, &mut |_, _, _| {}).await?;
            return Ok(listed.map(|listed| listed.page));
        }
        let position = self.position(cursor, filter, sort)?;
        // A page that begins within a batch or has a filter reads the whole batch.
        let takes_all = filter.is_empty() && position.after.is_none();
        let batch_limit = if takes_all { limit } else { KV_LIST_MAX_KEYS };
        // The ledger does not know where the batch of an earlier version's cursor begins.
        let begins_here = position.kv_cursor.is_none() || position.begin.is_some();
        let recent_limit = Some(limit).filter(|_| takes_all && begins_here);
        let batches = self.batches();
        let (batch, overlay, consistency) =
            batches.first_batch(&position, batch_limit, recent_limit).await?;
        let ListedBatch { mut rows, next } = batch;
        let (page, mut next) = paginate(&rows, &position, next, limit, filter);
        rows.keep(&page);
        while let Some(position) = unfilled(rows.len(), limit, &next, filter) {
            let batch = batches.batch(&position, KV_LIST_MAX_KEYS, &overlay).await?;
            let ListedBatch { rows: mut more, next: next_batch } = batch;
            let (page, following) =
                paginate(&more, &position, next_batch, limit - rows.len(), filter);
            more.keep(&page);
            rows.append(&more);
            next = following;
        }
        let cursor = self.seal_cursor(next, filter, sort);
        Ok(Reading { value: Page { rows, cursor }, consistency })
    }

    /// Lists a page like [`Self::list`], from all of the user's expenses: each of them goes to `each`, the one added
    /// last first. One `list` of KV reads a thousand, and the ledger gets one request. The page is full unless it is
    /// the last one.
    ///
    /// # Errors
    ///
    /// [`ListError`].
    pub async fn list_all(
        &self,
        limit: usize,
        cursor: Option<&str>,
        filter: &Filter,
        sort: Sort,
        each: &mut EachExpense<'_>,
    ) -> Result<Reading<PageInOrder>, ListError> {
        let begin = self.position(cursor, filter, sort)?.place(sort);
        // One row more tells whether there is another page, and where it begins.
        let mut first = FirstRows::new(begin, limit + 1, usize::MAX);
        // Where the batch begins in which the page ends, if the rows are in the order of additions.
        let mut last_batch = None;
        let mut found = 0;
        let consistency = self
            .batches()
            .read_all(filter, &mut |row, figures, is_selected, position| {
                each(row, figures, is_selected);
                if is_selected {
                    found += 1;
                    if found == limit {
                        last_batch = Some(position.clone());
                    }
                    first.add(Place::new(sort, figures.date, row.id), row);
                }
                true
            })
            .await?;
        let (mut rows, places, _) = first.finish();
        rows.truncate(limit);
        let next =
            places.get(limit).and(places.get(rows.len().saturating_sub(1))).map(
                |last| match sort {
                    Sort::Date => Position::by_date(*last),
                    Sort::Created => Position {
                        after: Some(last.id().to_string()),
                        ..last_batch.unwrap_or_default()
                    },
                },
            );
        let cursor = self.seal_cursor(next, filter, sort);
        let (before, after) = (begin.map(Place::date), places.get(limit).copied().map(Place::date));
        let value = PageInOrder { page: Page { rows, cursor }, before, after };
        Ok(Reading { value, consistency })
    }

    /// Adds up the expenses that `filter` selects.
    ///
    /// # Errors
    ///
    /// [`SumError`].
    pub async fn sum(&self, filter: &Filter) -> Result<Reading<SummaryBuilder>, SumError> {
        let mut sums = SummaryBuilder::default();
        let consistency = self
            .batches()
            .read_all(filter, &mut |_, figures, is_selected, _| {
                if is_selected {
                    sums.add(figures);
                }
                !sums.has_too_many_categories()
            })
            .await?;
        if sums.has_too_many_categories() {
            return Err(SumError::TooManyCategories);
        }
        Ok(Reading { value: sums, consistency })
    }

    /// The batches that these expenses are read in.
    pub(super) fn batches(&self) -> Batches<'_> {
        Batches { store: &self.all.store, ledgers: &self.all.ledgers, owner: &self.owner }
    }

    fn position(
        &self,
        cursor: Option<&str>,
        filter: &Filter,
        sort: Sort,
    ) -> Result<Position, ListError> {
        let Some(cursor) = cursor else { return Ok(Position::default()) };
        let position = self.all.cursors.open(&self.owner, cursor, filter, sort);
        position.ok_or(ListError::ForeignCursor)
    }

    fn seal_cursor(&self, next: Option<Position>, filter: &Filter, sort: Sort) -> Option<String> {
        next.map(|position| self.all.cursors.seal(&self.owner, position, filter, sort))
    }
}

fn changed(id: ExpenseId, written: Written) -> Result<Row, ChangeError> {
    match written {
        Written::Saved(row) => Ok(row),
        Written::Absent => Err(ChangeError::Absent),
        Written::Unreadable => Err(ChangeError::Unreadable(id)),
        Written::NotMet => Err(ChangeError::ConditionNotMet),
        Written::Unfit(unfit) => Err(ChangeError::Unfit(unfit)),
        Written::Removed | Written::KeyReused | Written::Imported(_) => {
            Err(ChangeError::Write(unexpected().into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expenses::{
        amount::Amount,
        export::Export,
        ledger::ledger,
        model::{Category, Currency, Description, ExpenseContent},
    };
    use async_trait::async_trait;
    use axum_authkit::seal::Purpose;
    use chrono::{DateTime, Duration, Utc};
    use edge_host::memory::{BackgroundTasks, MemoryHost, MemoryKv, MemoryObjects};
    use edge_host::{KvOperation, ObjectError};
    use futures_util::FutureExt;
    use proptest::prelude::*;
    use serde_json::json;
    use std::cmp::Reverse;
    use std::sync::atomic::{AtomicUsize, Ordering};

    struct Noon;

    #[async_trait]
    impl Clock for Noon {
        fn now(&self) -> DateTime<Utc> {
            noon()
        }

        async fn sleep(&self, _: u32) {
            std::future::pending().await
        }
    }

    fn noon() -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_435_200, 0).unwrap()
    }

    /// The ledgers' objects, and the bytes of their responses.
    struct Measured(MemoryObjects, AtomicUsize);

    #[async_trait]
    impl ObjectNamespace for Measured {
        async fn send(&self, name: &str, message: &str) -> Result<String, ObjectError> {
            let response = self.0.send(name, message).await?;
            self.1.fetch_add(response.len(), Ordering::Relaxed);
            Ok(response)
        }
    }

    fn user_expenses(kv: &Arc<MemoryKv>, sub: &str) -> UserExpenses {
        measured_expenses(kv, sub).0
    }

    fn measured_expenses(kv: &Arc<MemoryKv>, sub: &str) -> (UserExpenses, Arc<Measured>) {
        let sealer = Sealer::new(Purpose::Application("test"), &"password".into(), None);
        let host = MemoryHost::default().with_kv("EXPENSES", Arc::clone(kv) as _);
        let background = BackgroundTasks::default();
        let objects = MemoryObjects::new(
            move |context| Arc::new(ledger(&host, context)),
            move |work| background.spawn(work),
        );
        let ledgers = Arc::new(Measured(objects, AtomicUsize::default()));
        let all =
            Expenses::new(Arc::clone(kv) as _, Arc::clone(&ledgers) as _, Arc::new(Noon), sealer);
        (all.of_user(sub), ledgers)
    }

    async fn put(expenses: &UserExpenses, expense: &Expense) {
        let row = Row::from(expense).stored();
        expenses.all.store.put(&expenses.owner, expense, &row).await.unwrap();
    }

    fn read(rows: &Rows) -> Vec<Expense> {
        rows.iter().map(|row| row.expense().unwrap()).collect()
    }

    async fn listed(expenses: &UserExpenses) -> Vec<Expense> {
        read(&expenses.list(100, None, &Filter::default(), Sort::Created).await.unwrap().value.rows)
    }

    fn expense(description: &str, made_at: DateTime<Utc>) -> Expense {
        Expense {
            id: ExpenseId::new(made_at),
            content: ExpenseContent {
                description: Description::parse(description).unwrap(),
                amount: Amount::parse("42.50").unwrap(),
                currency: Currency::DEFAULT,
                category: Category::parse("meals").unwrap(),
                date: made_at.date_naive(),
            },
            created_at: made_at.into(),
            updated_at: made_at.into(),
        }
    }

    #[tokio::test]
    async fn put_get_and_list_need_one_operation_each() {
        let kv = Arc::new(MemoryKv::default());
        let expenses = user_expenses(&kv, "user_1");
        let lunch = expense("Team lunch", noon());
        put(&expenses, &lunch).await;
        assert_eq!(kv.take_operations(), [KvOperation::Put]);
        assert_eq!(kv.keys(), [format!("expense:user_1:{}", lunch.id)]);

        assert_eq!(expenses.get_expense(lunch.id).await.unwrap().value, Some(lunch.clone()));
        assert_eq!(kv.take_operations(), [KvOperation::Get]);

        assert_eq!(listed(&expenses).await, [lunch]);
        assert_eq!(kv.take_operations(), [KvOperation::List]);
    }

    #[tokio::test]
    async fn pages_follow_each_other_newest_first() {
        let kv = Arc::new(MemoryKv::default());
        let expenses = user_expenses(&kv, "user_1");
        for minute in 0..25 {
            let made_at = noon() + Duration::minutes(minute);
            put(&expenses, &expense(&minute.to_string(), made_at)).await;
        }
        let mut seen = Vec::new();
        let mut cursor = None;
        loop {
            let page = expenses
                .list(10, cursor.as_deref(), &Filter::default(), Sort::Created)
                .await
                .unwrap()
                .value;
            seen.extend(
                read(&page.rows).into_iter().map(|expense| expense.content.description.to_string()),
            );
            cursor = page.cursor;
            if cursor.is_none() {
                break;
            }
            // An expense that is added between two pages does not shift them.
            put(&expenses, &expense("late", noon() + Duration::days(1))).await;
        }
        let newest_first: Vec<String> = (0..25).rev().map(|minute| minute.to_string()).collect();
        assert_eq!(seen, newest_first);
    }

    /// Earlier versions have not sealed where the batch begins.
    #[tokio::test]
    async fn cursor_of_an_earlier_version_shows_every_recent_change() {
        let kv = Arc::new(MemoryKv::default());
        let expenses = user_expenses(&kv, "user_1");
        let [first, second, third] = [3, 2, 1].map(|minutes| {
            expense(&minutes.to_string(), noon() - Duration::days(1) + Duration::minutes(minutes))
        });
        for stored in [&first, &second, &third] {
            put(&expenses, stored).await;
        }
        for _ in 0..3 {
            expenses.add(NewExpense::from(first.content.clone()), None).await.unwrap();
        }
        expenses.remove(third.id, Condition::default()).await.unwrap();
        let position = Position {
            kv_cursor: Some(expenses.owner.expense_key(first.id)),
            ..Position::default()
        };
        let cursor = expenses.seal_cursor(Some(position), &Filter::default(), Sort::Created);
        let page = expenses
            .list(2, cursor.as_deref(), &Filter::default(), Sort::Created)
            .await
            .unwrap()
            .value;
        assert_eq!(read(&page.rows), [second]);
    }

    /// A write between two pages.
    #[derive(Debug, Clone)]
    enum Write {
        Add { day: u32 },
        Move { which: usize, day: u32 },
        Remove { which: usize },
    }

    fn write() -> impl Strategy<Value = Write> {
        let which = 0_usize..40;
        prop_oneof![
            (1_u32..6).prop_map(|day| Write::Add { day }),
            (which.clone(), 1_u32..6).prop_map(|(which, day)| Write::Move { which, day }),
            which.prop_map(|which| Write::Remove { which }),
        ]
    }

    fn on_day(minutes: i64, day: u32) -> Expense {
        let mut expense = expense("x", noon() - Duration::days(1) + Duration::minutes(minutes));
        expense.content.date = NaiveDate::from_ymd_opt(2026, 1, day).unwrap();
        expense
    }

    fn by_date(expense: &Expense) -> (Reverse<NaiveDate>, ExpenseId) {
        (Reverse(expense.content.date), expense.id)
    }

    /// Reads all pages by date and performs writes between them. An expense that no write has touched is on one page,
    /// and all rows are in order.
    async fn read_pages_while_others_write(stored: Vec<Expense>, limit: usize, writes: Vec<Write>) {
        let kv = Arc::new(MemoryKv::default());
        let expenses = user_expenses(&kv, "user_1");
        for each in &stored {
            put(&expenses, each).await;
        }
        let mut writes = writes.into_iter();
        let mut touched = Vec::new();
        let mut seen: Vec<Expense> = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let filter = Filter::default();
            let page = expenses.list(limit, cursor.as_deref(), &filter, Sort::Date).await;
            let page = page.unwrap().value;
            assert!(page.rows.len() == limit || page.cursor.is_none());
            seen.extend(read(&page.rows));
            cursor = page.cursor;
            if cursor.is_none() {
                break;
            }
            for write in writes.by_ref().take(2) {
                let target = |which: usize| stored[which % stored.len()].clone();
                match write {
                    Write::Add { day } => {
                        let new = NewExpense::from(on_day(0, day).content);
                        expenses.add(new, None).await.unwrap();
                    }
                    Write::Move { which, day } => {
                        let target = target(which);
                        touched.push(target.id);
                        let new = NewExpense::from(on_day(0, day).content);
                        let _ = expenses.replace(target.id, new, Condition::default()).await;
                    }
                    Write::Remove { which } => {
                        let target = target(which);
                        touched.push(target.id);
                        let _ = expenses.remove(target.id, Condition::default()).await;
                    }
                }
            }
        }
        assert!(seen.is_sorted_by_key(by_date), "{seen:?}");
        seen.retain(|row| {
            stored.iter().any(|each| each.id == row.id) && !touched.contains(&row.id)
        });
        let mut lasting = stored;
        lasting.retain(|each| !touched.contains(&each.id));
        lasting.sort_by_key(by_date);
        assert_eq!(seen, lasting);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn pages_by_date_stay_exact_while_others_write(
            days in proptest::collection::vec(1_u32..6, 0..40),
            limit in 1_usize..8,
            writes in proptest::collection::vec(write(), 0..20),
        ) {
            let stored = (0..).zip(days).map(|(minutes, day)| on_day(minutes, day)).collect();
            let pages = read_pages_while_others_write(stored, limit, writes);
            pages.now_or_never().unwrap();
        }
    }

    #[tokio::test]
    async fn pages_by_date_are_exact_across_batches_of_kv() {
        let stored: Vec<Expense> =
            (0..2_300).map(|number| on_day(i64::from(number), number * 7 % 25 + 1)).collect();
        let writes = (0..12).map(|which| Write::Move { which: which * 100, day: 3 });
        let writes = writes.chain((0..12).map(|which| Write::Remove { which: 50 + which * 100 }));
        read_pages_while_others_write(stored, 190, writes.collect()).await;
    }

    #[tokio::test]
    async fn page_by_date_reads_each_thousand_once() {
        let kv = Arc::new(MemoryKv::default());
        let expenses = user_expenses(&kv, "user_1");
        for number in 0..1_001 {
            put(&expenses, &on_day(number, 1)).await;
        }
        kv.take_operations();
        let first = expenses.list(1, None, &Filter::default(), Sort::Date).await.unwrap().value;
        assert_eq!(kv.take_operations(), [KvOperation::List; 2]);
        // A cursor belongs to one order.
        for sort in [Sort::Date, Sort::Created] {
            let listed = expenses.list(1, first.cursor.as_deref(), &Filter::default(), sort).await;
            assert_eq!(listed.is_ok(), sort == Sort::Date);
        }
        // A reader of all expenses gets the page in the order of additions too, and its cursor is that of the list.
        let mut count = 0;
        let mut each =
            |_: RowRef<'_>, _: &Figures<'_>, is_selected| count += u32::from(is_selected);
        let listed =
            expenses.list_all(1_000, None, &Filter::default(), Sort::Created, &mut each).await;
        let page = listed.unwrap().value.page;
        assert_eq!((page.rows.len(), count), (1_000, 1_001));
        let cursor = page.cursor.as_deref();
        let last = expenses.list(7, cursor, &Filter::default(), Sort::Created).await.unwrap().value;
        assert_eq!(read(&last.rows)[0].id, on_day_zero(&kv));
    }

    /// The id of the oldest expense in KV.
    fn on_day_zero(kv: &MemoryKv) -> ExpenseId {
        let keys = kv.keys();
        ExpenseId::parse(keys.last().unwrap().rsplit(':').next().unwrap()).unwrap()
    }

    #[tokio::test]
    async fn export_by_date_reads_all_for_each_ten_thousand() {
        let kv = Arc::new(MemoryKv::default());
        let expenses = user_expenses(&kv, "user_1");
        let day = |number: u32| 1 + number * 7 % 28;
        for number in 0..12_500 {
            put(&expenses, &on_day(i64::from(number), day(number))).await;
        }
        kv.take_operations();
        let mut export = Export::new(expenses.clone(), Filter::default(), Sort::Date);
        let mut seen = Vec::new();
        while let Some(rows) = export.next().await.unwrap() {
            assert!(rows.len() <= KV_LIST_MAX_KEYS);
            seen.extend(read(&rows));
        }
        assert!(export.is_done());
        assert_eq!(kv.take_operations(), [KvOperation::List; 26]);
        assert_eq!(seen.len(), 12_500);
        assert!(seen.is_sorted_by_key(by_date));
    }

    /// Each batch asks for the entries of its own part of a long log, the first one for all.
    #[tokio::test]
    async fn export_reads_a_long_log_twice_at_most() {
        let kv = Arc::new(MemoryKv::default());
        let (expenses, ledger) = measured_expenses(&kv, "user_1");
        let stored: Vec<Expense> =
            (0..5_500).map(|number| on_day(i64::from(number), number % 25 + 1)).collect();
        expenses.import(stored.clone()).await.unwrap();
        for each in &stored {
            put(&expenses, each).await;
        }
        let mut expected = stored;
        expected.sort_by_key(|expense| expense.id);
        // The first and the last of a batch too.
        for place in [3_500, 2_000, 1_999, 1_000, 999] {
            let removed = expected.remove(place);
            expenses.remove(removed.id, Condition::default()).await.unwrap();
            // As KV shows it for a while.
            put(&expenses, &removed).await;
        }
        let ids = |rows: &[Expense]| rows.iter().map(|expense| expense.id).collect::<Vec<_>>();

        ledger.1.store(0, Ordering::Relaxed);
        let listed = expenses.list(1_000, None, &Filter::default(), Sort::Created).await;
        let page_bytes = ledger.1.swap(0, Ordering::Relaxed);
        assert_eq!(ids(&read(&listed.unwrap().value.rows)), ids(&expected)[..1_000]);

        let mut export = Export::new(expenses, Filter::default(), Sort::Created);
        let mut seen = Vec::new();
        while let Some(rows) = export.next().await.unwrap() {
            seen.extend(read(&rows));
        }
        assert_eq!(ids(&seen), ids(&expected));
        let bytes = ledger.1.load(Ordering::Relaxed);
        assert!(
            bytes < 11 * page_bytes,
            "{bytes} bytes, and a page of a thousand has {page_bytes}"
        );
    }

    #[tokio::test]
    async fn list_reads_long_records_from_values() {
        let kv = Arc::new(MemoryKv::default());
        let expenses = user_expenses(&kv, "user_1");
        let mut long = expense(&"🧾".repeat(200), noon());
        long.content.category = Category::parse(&"🧾".repeat(50)).unwrap();
        let short = expense("short", noon() + Duration::seconds(1));
        put(&expenses, &long).await;
        put(&expenses, &short).await;
        kv.take_operations();
        assert_eq!(listed(&expenses).await, [short, long]);
        assert_eq!(kv.take_operations(), [KvOperation::List, KvOperation::Get]);
    }

    #[tokio::test]
    async fn user_prefixes_never_overlap() {
        let kv = Arc::new(MemoryKv::default());
        let long = "x".repeat(600);
        let hash_of_long = Owner::new(&long).as_str().to_owned();
        let subs = ["a", "a:b", "a:", "a/b", "a%3Ab", "", "%", "ü", &long, &hash_of_long];
        for sub in subs {
            put(&user_expenses(&kv, sub), &expense("x", noon())).await;
        }
        assert_eq!(kv.keys().len(), subs.len());
        for sub in subs {
            let page = user_expenses(&kv, sub)
                .list(100, None, &Filter::default(), Sort::Created)
                .await
                .unwrap()
                .value;
            assert_eq!(page.rows.len(), 1, "{sub}");
        }
    }

    #[tokio::test]
    async fn remove_reports_an_absent_expense() {
        let kv = Arc::new(MemoryKv::default());
        let expenses = user_expenses(&kv, "user_1");
        let lunch = expense("lunch", noon());
        put(&expenses, &lunch).await;
        let others = user_expenses(&kv, "user_2").remove(lunch.id, Condition::default()).await;
        assert!(matches!(others, Err(RemoveError::Absent)));
        expenses.remove(lunch.id, Condition::default()).await.unwrap();
        let again = expenses.remove(lunch.id, Condition::default()).await;
        assert!(matches!(again, Err(RemoveError::Absent)));
        assert_eq!(expenses.get(lunch.id).await.unwrap().value, None);
    }

    #[tokio::test]
    async fn unreadable_record_hides_no_other_record() {
        let kv = Arc::new(MemoryKv::default());
        let expenses = user_expenses(&kv, "user_1");
        let good = expense("good", noon());
        put(&expenses, &good).await;
        let bad = ExpenseId::new(noon());
        kv.insert_raw(&format!("expense:user_1:{bad}"), "{", Some(json!([1])));
        kv.insert_raw("expense:user_1:not-an-id", "{}", None);
        assert_eq!(listed(&expenses).await, [good]);
        assert!(matches!(expenses.get(bad).await, Err(GetError::Unreadable(id)) if id == bad));
        expenses.remove(bad, Condition::default()).await.unwrap();
    }

    #[tokio::test]
    async fn unreadable_metadata_hides_no_readable_value() {
        let kv = Arc::new(MemoryKv::default());
        let expenses = user_expenses(&kv, "user_1");
        let good = expense("good", noon());
        put(&expenses, &good).await;
        let key = format!("expense:user_1:{}", good.id);
        let (value, _) = kv.entry(&key).unwrap();
        kv.insert_raw(&key, &value, Some(json!({"amount": 1})));
        assert_eq!(listed(&expenses).await, [good]);
    }

    #[tokio::test]
    async fn failed_read_is_an_error_not_an_empty_list() {
        let kv = Arc::new(MemoryKv::default());
        let expenses = user_expenses(&kv, "user_1");
        let mut long = expense(&"🧾".repeat(200), noon());
        long.content.category = Category::parse(&"🧾".repeat(50)).unwrap();
        put(&expenses, &long).await;
        kv.fail(Some(KvOperation::List));
        assert!(expenses.list(100, None, &Filter::default(), Sort::Created).await.is_err());
        kv.fail(Some(KvOperation::Get));
        assert!(expenses.list(100, None, &Filter::default(), Sort::Created).await.is_err());
        assert!(expenses.get(long.id).await.is_err());
    }
}
