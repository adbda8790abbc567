//! The use cases of a user's expenses, shared by all interfaces. Writes go to the user's ledger. Reads ask KV and the
//! ledger at the same time.

use std::{pin::pin, sync::Arc};

use futures_util::future::{Either, join, select};
use thiserror::Error;

use super::{
    cursor::{Cursors, ListedBatch, Position, paginate},
    events::ExpensesEvent,
    filter::Filter,
    idempotency::IdempotentRequest,
    keys::Owner,
    ledger::{
        client::{LedgerError, Ledgers, WriteError, Written},
        overlay::{Consistency, Overlay, Reading, Recent},
    },
    model::{Currency, Expense, ExpenseChanges, ExpenseId, NewExpense, UnfitAmount},
    row::{Row, RowRef, Rows},
    store::{Batch, ExpenseStore, GetError},
    summary::SummaryBuilder,
    version::Condition,
};
use axum_authkit::seal::Sealer;
use edge_host::{
    Cause, Clock, Emit as _, KV_LIST_MAX_KEYS, KvError, KvNamespace, ObjectNamespace, TimedKv,
};

/// The expenses of all users.
#[derive(Clone)]
pub struct Expenses {
    store: ExpenseStore,
    ledgers: Ledgers,
    cursors: Arc<Cursors>,
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
        Self {
            store: ExpenseStore::new(Arc::new(kv)),
            ledgers: Ledgers::new(ledger, Arc::clone(&clock)),
            cursors: Arc::new(Cursors(cursor_sealer)),
            clock,
        }
    }

    /// The expenses of the user with this id.
    #[must_use]
    pub fn of_user(&self, user_id: &str) -> UserExpenses {
        UserExpenses { all: self.clone(), owner: Owner::new(user_id) }
    }

    /// Erases a user's stored data. From now on the user has no expenses, and can add none; the keys in KV are
    /// deleted in the background.
    ///
    /// # Errors
    ///
    /// [`LedgerError`]: a retry is safe.
    pub async fn erase_user(&self, user_id: &str) -> Result<(), LedgerError> {
        self.ledgers.erase(&Owner::new(user_id)).await
    }
}

/// One user's expenses.
#[derive(Clone)]
pub struct UserExpenses {
    all: Expenses,
    owner: Owner,
}

/// One page of a list, newest first.
#[derive(Debug)]
pub struct Page {
    /// The rows.
    pub rows: Rows,
    /// The cursor of the next page; `None` on the last page.
    pub cursor: Option<String>,
}

/// A page, and the batch that contains it.
#[derive(Debug)]
pub struct ListedPage {
    /// The unfiltered batch, newest first: one `list` of KV, or more where expenses in it are deleted.
    pub listed: Rows,
    /// The indices of the page's rows.
    pub page: Vec<usize>,
    /// The cursor of the next page; `None` on the last page.
    pub cursor: Option<String>,
    /// Whether the batch has all of the user's expenses.
    pub is_whole: bool,
}

/// Why a page cannot be listed.
#[derive(Debug, Clone, Error)]
pub enum ListError {
    /// The cursor is forged, or belongs to another user or another filter.
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

/// The ledger has responded to another command.
fn unexpected() -> WriteError {
    WriteError::MaybeWritten("the ledger: a response to another command".to_owned())
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
            _ => Err(unexpected().into()),
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
            _ => Err(unexpected().into()),
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
            _ => Err(unexpected().into()),
        }
    }

    /// The removed expense that [`Self::restore`] would restore; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub async fn removed(&self, id: ExpenseId) -> Result<Option<Row>, LedgerError> {
        self.all.ledgers.removed(&self.owner, id).await
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
    /// from one KV batch, so it can be short or empty without being the last page. Unreadable records
    /// are logged and left out.
    ///
    /// # Errors
    ///
    /// [`ListError`].
    pub async fn list(
        &self,
        limit: usize,
        cursor: Option<&str>,
        filter: &Filter,
    ) -> Result<Reading<Page>, ListError> {
        let position = self.position(cursor, filter)?;
        // A page that begins within a batch or has a filter reads the whole batch.
        let takes_all = filter.is_empty() && position.after.is_none();
        let batch_limit = if takes_all { limit } else { KV_LIST_MAX_KEYS };
        // The ledger does not know where the batch of an earlier version's cursor begins.
        let begins_here = position.kv_cursor.is_none() || position.begin.is_some();
        let recent_limit = Some(limit).filter(|_| takes_all && begins_here);
        let (batch, overlay, consistency) =
            self.first_batch(&position, batch_limit, recent_limit).await?;
        let ListedBatch { mut rows, next } = batch;
        let (page, mut next) = paginate(&rows, &position, next, limit, filter);
        rows.keep(&page);
        while let Some(position) = unfilled(rows.len(), limit, &next, filter) {
            let batch = self.batch(&position, KV_LIST_MAX_KEYS, &overlay).await?;
            let ListedBatch { rows: mut more, next: next_batch } = batch;
            let (page, following) =
                paginate(&more, &position, next_batch, limit - rows.len(), filter);
            more.keep(&page);
            rows.append(&more);
            next = following;
        }
        let cursor = self.seal_cursor(next, filter);
        Ok(Reading { value: Page { rows, cursor }, consistency })
    }

    /// Lists a page like [`Self::list`], and returns it with its batch.
    ///
    /// # Errors
    ///
    /// [`ListError`].
    pub async fn list_with_batch(
        &self,
        limit: usize,
        cursor: Option<&str>,
        filter: &Filter,
    ) -> Result<Reading<ListedPage>, ListError> {
        let position = self.position(cursor, filter)?;
        let (batch, overlay, consistency) =
            self.first_batch(&position, KV_LIST_MAX_KEYS, None).await?;
        let is_first = position.kv_cursor.is_none();
        let ListedBatch { rows: mut listed, next: mut next_batch } = batch;
        let (mut page, mut next) = paginate(&listed, &position, next_batch.clone(), limit, filter);
        while let Some(position) = unfilled(page.len(), limit, &next, filter) {
            let batch = self.batch(&position, KV_LIST_MAX_KEYS, &overlay).await?;
            let missing = limit - page.len();
            let (more, following) =
                paginate(&batch.rows, &position, batch.next.clone(), missing, filter);
            page.extend(more.into_iter().map(|index| listed.len() + index));
            next = following;
            listed.append(&batch.rows);
            next_batch = batch.next;
        }
        let is_whole = is_first && next_batch.is_none();
        let cursor = self.seal_cursor(next, filter);
        Ok(Reading { value: ListedPage { listed, page, cursor, is_whole }, consistency })
    }

    /// Exports every expense that `filter` selects, newest first, one KV batch at a time.
    #[must_use]
    pub fn export(self, filter: Filter) -> Export {
        Export { expenses: self, filter, next: Some(Position::default()), consistency: None }
    }

    /// Adds up the expenses that `filter` selects, in one currency or in all currencies.
    ///
    /// # Errors
    ///
    /// [`SumError`].
    pub async fn sum(
        &self,
        currency: Option<Currency>,
        filter: &Filter,
    ) -> Result<Reading<SummaryBuilder>, SumError> {
        let mut sums = SummaryBuilder::default();
        let mut consistency = Consistency::Strong;
        let mut next = Some(Position::default());
        while let Some(position) = next {
            let (batch, _, read) = self.first_batch(&position, KV_LIST_MAX_KEYS, None).await?;
            if read == Consistency::Eventual {
                consistency = read;
            }
            let figures = batch.rows.iter().filter_map(RowRef::figures);
            figures
                .filter(|figures| filter.matches(figures))
                .filter(|figures| currency.is_none_or(|currency| currency == figures.currency))
                .for_each(|figures| sums.add(&figures));
            if sums.has_too_many_categories() {
                return Err(SumError::TooManyCategories);
            }
            next = batch.next;
        }
        Ok(Reading { value: sums, consistency })
    }

    /// Asks KV and the ledger at the same time: KV for `limit` keys, and the ledger for what a page of
    /// `recent_limit` expenses needs, or for all that follows.
    async fn first_batch(
        &self,
        position: &Position,
        limit: usize,
        recent_limit: Option<usize>,
    ) -> Result<(ListedBatch, Overlay, Consistency), KvError> {
        let Position { kv_cursor, begin, .. } = position;
        let stored = self.all.store.list(&self.owner, limit, kv_cursor.as_deref());
        let recent = self.all.ledgers.list(&self.owner, begin.as_deref(), recent_limit);
        let (stored, recent) = join(stored, recent).await;
        let (overlay, consistency) = match recent {
            Ok(Overlay::Erased) => {
                let none = ListedBatch { rows: Rows::default(), next: None };
                return Ok((none, Overlay::Erased, Consistency::Strong));
            }
            Ok(overlay) => (overlay, Consistency::Strong),
            Err(error) => (Overlay::none(), not_reached(&error)),
        };
        Ok((overlaid(stored?, position, &overlay), overlay, consistency))
    }

    /// Asks KV for another batch of the same page.
    async fn batch(
        &self,
        position: &Position,
        limit: usize,
        overlay: &Overlay,
    ) -> Result<ListedBatch, KvError> {
        let stored = self.all.store.list(&self.owner, limit, position.kv_cursor.as_deref()).await?;
        Ok(overlaid(stored, position, overlay))
    }

    fn position(&self, cursor: Option<&str>, filter: &Filter) -> Result<Position, ListError> {
        let Some(cursor) = cursor else { return Ok(Position::default()) };
        let position = self.all.cursors.open(&self.owner, cursor, filter);
        position.ok_or(ListError::ForeignCursor)
    }

    fn seal_cursor(&self, next: Option<Position>, filter: &Filter) -> Option<String> {
        next.map(|position| self.all.cursors.seal(&self.owner, position, filter))
    }
}

fn changed(id: ExpenseId, written: Written) -> Result<Row, ChangeError> {
    match written {
        Written::Saved(row) => Ok(row),
        Written::Absent => Err(ChangeError::Absent),
        Written::Unreadable => Err(ChangeError::Unreadable(id)),
        Written::NotMet => Err(ChangeError::ConditionNotMet),
        Written::Unfit(unfit) => Err(ChangeError::Unfit(unfit)),
        Written::Removed | Written::KeyReused => Err(unexpected().into()),
    }
}

/// A read goes on without the ledger.
fn not_reached(error: &LedgerError) -> Consistency {
    ExpensesEvent::ReadWithoutLedger { cause: Cause(error) }.emit();
    Consistency::Eventual
}

/// The position to go on from if a page without a filter is short because expenses in its batch are deleted.
fn unfilled(
    rows: usize,
    limit: usize,
    next: &Option<Position>,
    filter: &Filter,
) -> Option<Position> {
    next.clone().filter(|next| rows < limit && filter.is_empty() && next.after.is_none())
}

fn overlaid(stored: Batch, position: &Position, overlay: &Overlay) -> ListedBatch {
    let Batch { rows, end, next } = stored;
    let mut begin = position.begin.clone();
    if begin.is_none() && position.kv_cursor.is_some() {
        // A cursor of an earlier version does not tell where the batch begins.
        begin = position.after.clone().or_else(|| {
            let first = rows.iter().next().map(|row| row.id.to_string());
            first.or_else(|| end.clone())
        });
    }
    // An empty batch that is not the last ends where it begins.
    let end = end.or_else(|| begin.clone());
    let next = next.map(|cursor| Position {
        kv_cursor: Some(cursor),
        begin: Some(end.clone().unwrap_or_default()),
        ..Position::default()
    });
    let end = next.as_ref().map(|_| end.unwrap_or_default());
    ListedBatch { rows: overlay.apply(rows, begin.as_deref(), end.as_deref()), next }
}

/// An export of a user's expenses. Memory holds one KV batch of a thousand at a time.
pub struct Export {
    expenses: UserExpenses,
    filter: Filter,
    /// The position of the next batch; `None` after the last.
    next: Option<Position>,
    /// What the first batch shows, and with it the file.
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
    /// Whether all batches are exported.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.next.is_none()
    }

    /// What the file shows, known after the first batch.
    #[must_use]
    pub fn consistency(&self) -> Consistency {
        self.consistency.unwrap_or(Consistency::Strong)
    }

    /// The selected rows of the next batch, which can be empty; `None` after the last batch.
    ///
    /// # Errors
    ///
    /// [`ExportError`].
    pub async fn next(&mut self) -> Result<Option<Rows>, ExportError> {
        let Some(position) = &self.next else { return Ok(None) };
        let (batch, _, consistency) =
            self.expenses.first_batch(position, KV_LIST_MAX_KEYS, None).await?;
        if *self.consistency.get_or_insert(consistency) == Consistency::Strong
            && consistency == Consistency::Eventual
        {
            return Err(ExportError::LedgerLost);
        }
        let ListedBatch { mut rows, next } = batch;
        if !self.filter.is_empty() {
            rows.retain(|row| row.figures().is_some_and(|figures| self.filter.matches(&figures)));
        }
        self.next = next;
        Ok(Some(rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expenses::{
        amount::Amount,
        ledger::ledger,
        model::{Category, Description, ExpenseContent},
    };
    use async_trait::async_trait;
    use axum_authkit::seal::Purpose;
    use chrono::{DateTime, Duration, Utc};
    use edge_host::KvOperation;
    use edge_host::memory::{BackgroundTasks, MemoryHost, MemoryKv, MemoryObjects};
    use serde_json::json;

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

    fn user_expenses(kv: &Arc<MemoryKv>, sub: &str) -> UserExpenses {
        let sealer = Sealer::new(Purpose::Application("test"), &"password".into(), None);
        let host = MemoryHost::default().with_kv("EXPENSES", Arc::clone(kv) as _);
        let background = BackgroundTasks::default();
        let ledgers = MemoryObjects::new(
            move |context| Arc::new(ledger(&host, context)),
            move |work| background.spawn(work),
        );
        Expenses::new(Arc::clone(kv) as _, Arc::new(ledgers), Arc::new(Noon), sealer).of_user(sub)
    }

    async fn put(expenses: &UserExpenses, expense: &Expense) {
        let row = Row::from(expense).stored();
        expenses.all.store.put(&expenses.owner, expense, &row).await.unwrap();
    }

    fn read(rows: &Rows) -> Vec<Expense> {
        rows.iter().map(|row| row.expense().unwrap()).collect()
    }

    async fn listed(expenses: &UserExpenses) -> Vec<Expense> {
        read(&expenses.list(100, None, &Filter::default()).await.unwrap().value.rows)
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
            let page =
                expenses.list(10, cursor.as_deref(), &Filter::default()).await.unwrap().value;
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
        let cursor = expenses.seal_cursor(Some(position), &Filter::default());
        let page = expenses.list(2, cursor.as_deref(), &Filter::default()).await.unwrap().value;
        assert_eq!(read(&page.rows), [second]);
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
            let page =
                user_expenses(&kv, sub).list(100, None, &Filter::default()).await.unwrap().value;
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
        assert!(expenses.list(100, None, &Filter::default()).await.is_err());
        kv.fail(Some(KvOperation::Get));
        assert!(expenses.list(100, None, &Filter::default()).await.is_err());
        assert!(expenses.get(long.id).await.is_err());
    }
}
