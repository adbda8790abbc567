//! The use cases of a user's expenses, shared by all interfaces.

use std::sync::Arc;

use thiserror::Error;

use super::{
    cursor::{Cursors, Position, paginate},
    erase::{Erasure, erase},
    filter::Filter,
    idempotency::{AddError, IdempotentRequest, InFlight, OnceWriter},
    keys::Owner,
    model::{Currency, Expense, ExpenseChanges, ExpenseContent, ExpenseId, NewExpense, Timestamp},
    store::{ExpenseStore, GetError},
    summary::SummaryBuilder,
};
use axum_authkit::seal::Sealer;
use edge_host::{Clock, KV_LIST_MAX_KEYS, KvError, KvNamespace, TimedKv, WaitUntil};

/// The expenses of all users.
#[derive(Clone)]
pub struct Expenses {
    store: ExpenseStore,
    in_flight: Arc<InFlight>,
    cursors: Arc<Cursors>,
    clock: Arc<dyn Clock>,
}

impl Expenses {
    /// Expenses in `kv`; `cursor_sealer` seals the cursors of lists.
    #[must_use]
    pub fn new(kv: Arc<dyn KvNamespace>, clock: Arc<dyn Clock>, cursor_sealer: Sealer) -> Self {
        let kv = TimedKv::new(kv, Arc::clone(&clock));
        Self {
            store: ExpenseStore::new(Arc::new(kv)),
            in_flight: Arc::default(),
            cursors: Arc::new(Cursors(cursor_sealer)),
            clock,
        }
    }

    /// The expenses of the user with this id. `wait_until` belongs to the request: it finishes writes if
    /// the client disconnects.
    #[must_use]
    pub fn of_user(&self, user_id: &str, wait_until: WaitUntil) -> UserExpenses {
        let Self { store, in_flight, cursors, clock } = self.clone();
        let owner = Owner::new(user_id);
        UserExpenses { writer: OnceWriter { store, in_flight, clock, owner }, cursors, wait_until }
    }

    /// Deletes a user's stored data within the limits of one request.
    ///
    /// # Errors
    ///
    /// [`KvError`]: some data may be deleted. A retry is safe.
    pub async fn erase_user(&self, user_id: &str) -> Result<Erasure, KvError> {
        erase(self.store.kv(), &Owner::new(user_id)).await
    }
}

/// One user's expenses.
#[derive(Clone)]
pub struct UserExpenses {
    writer: OnceWriter,
    cursors: Arc<Cursors>,
    wait_until: WaitUntil,
}

/// One page of a list, newest first.
#[derive(Debug)]
pub struct Page {
    /// The rows.
    pub expenses: Vec<Expense>,
    /// The cursor of the next page; `None` on the last page.
    pub cursor: Option<String>,
}

/// A page, and the KV batch that contains it.
#[derive(Debug)]
pub struct ListedPage {
    /// The page.
    pub page: Page,
    /// The unfiltered batch: at most a thousand expenses, newest first.
    pub listed: Vec<Expense>,
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

/// Why an expense was not changed.
#[derive(Debug, Clone, Error)]
pub enum ChangeError {
    /// The expense does not exist, or belongs to another user.
    #[error("the expense does not exist")]
    Absent,
    /// The changes cannot be applied, because the stored record is unreadable.
    #[error("the stored record of expense {0} cannot be read")]
    Unreadable(ExpenseId),
    /// KV failed to read: nothing was written.
    #[error(transparent)]
    Read(KvError),
    /// KV failed to write: the change may take effect, now or later.
    #[error(transparent)]
    Write(KvError),
}

impl From<GetError> for ChangeError {
    fn from(error: GetError) -> Self {
        match error {
            GetError::Unreadable(id) => Self::Unreadable(id),
            GetError::Kv(error) => Self::Read(error),
        }
    }
}

/// Why an expense was not removed.
#[derive(Debug, Clone, Error)]
pub enum RemoveError {
    /// The expense does not exist, or belongs to another user.
    #[error("the expense does not exist")]
    Absent,
    /// KV failed to read: nothing was deleted.
    #[error(transparent)]
    Read(KvError),
    /// KV failed to delete: the deletion may take effect, now or later.
    #[error(transparent)]
    Write(KvError),
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
    ) -> Result<Expense, AddError> {
        let OnceWriter { store, clock, owner, .. } = &self.writer;
        let now = clock.now();
        let expense = Expense::new(new.into_content(now.date_naive()), now);
        match once {
            Some(request) => self.writer.add(expense, request, &self.wait_until).await,
            None => match store.put(owner, &expense).await {
                Ok(()) => Ok(expense),
                Err(error) => Err(AddError::Write(error)),
            },
        }
    }

    /// Replaces an expense's content, even if its stored record is unreadable.
    ///
    /// # Errors
    ///
    /// [`ChangeError`], except [`ChangeError::Unreadable`].
    pub async fn replace(&self, id: ExpenseId, new: NewExpense) -> Result<Expense, ChangeError> {
        let created_at = match self.get(id).await {
            Ok(Some(expense)) => expense.created_at,
            Ok(None) => return Err(ChangeError::Absent),
            Err(GetError::Unreadable(_)) => id.created_at().unwrap_or(self.now()),
            Err(GetError::Kv(error)) => return Err(ChangeError::Read(error)),
        };
        let content = new.into_content(self.writer.clock.now().date_naive());
        self.write_changed(id, content, created_at).await
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
    ) -> Result<Expense, ChangeError> {
        let Expense { content, created_at, .. } = self.get(id).await?.ok_or(ChangeError::Absent)?;
        let content = changes.apply(content, self.writer.clock.now().date_naive());
        self.write_changed(id, content, created_at).await
    }

    async fn write_changed(
        &self,
        id: ExpenseId,
        content: ExpenseContent,
        created_at: Timestamp,
    ) -> Result<Expense, ChangeError> {
        let changed = Expense { id, content, created_at, updated_at: self.now() };
        let written = self.writer.store.put(&self.writer.owner, &changed).await;
        written.map(|()| changed).map_err(ChangeError::Write)
    }

    /// Removes an expense, readable or not.
    ///
    /// # Errors
    ///
    /// [`RemoveError`].
    pub async fn remove(&self, id: ExpenseId) -> Result<(), RemoveError> {
        let OnceWriter { store, owner, .. } = &self.writer;
        if !store.contains(owner, id).await.map_err(RemoveError::Read)? {
            return Err(RemoveError::Absent);
        }
        store.delete(owner, id).await.map_err(RemoveError::Write)
    }

    /// Reads an expense; `None` if the user has no such expense.
    ///
    /// # Errors
    ///
    /// [`GetError`].
    pub async fn get(&self, id: ExpenseId) -> Result<Option<Expense>, GetError> {
        self.writer.store.get(&self.writer.owner, id).await
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
    ) -> Result<Page, ListError> {
        let position = self.position(cursor, filter)?;
        // A page that begins within a batch or has a filter reads the whole batch.
        let takes_all = filter.is_empty() && position.after.is_none();
        let batch_limit = if takes_all { limit } else { KV_LIST_MAX_KEYS };
        let (batch, next_batch) =
            self.list_batch(batch_limit, position.kv_cursor.as_deref()).await?;
        let (expenses, next) = paginate(batch, position, next_batch, limit, filter);
        Ok(Page { expenses, cursor: self.seal_cursor(next, filter) })
    }

    /// Lists a page like [`Self::list`], and returns it with its KV batch.
    ///
    /// # Errors
    ///
    /// [`ListError`].
    pub async fn list_with_batch(
        &self,
        limit: usize,
        cursor: Option<&str>,
        filter: &Filter,
    ) -> Result<ListedPage, ListError> {
        let position = self.position(cursor, filter)?;
        let (listed, next_batch) =
            self.list_batch(KV_LIST_MAX_KEYS, position.kv_cursor.as_deref()).await?;
        let is_whole = position.kv_cursor.is_none() && next_batch.is_none();
        let (rows, next) = paginate(&listed, position, next_batch, limit, filter);
        let expenses = rows.into_iter().cloned().collect();
        let page = Page { expenses, cursor: self.seal_cursor(next, filter) };
        Ok(ListedPage { page, listed, is_whole })
    }

    /// Exports every expense that `filter` selects, newest first, one KV batch at a time.
    #[must_use]
    pub fn export(self, filter: Filter) -> Export {
        Export { expenses: self, filter, next: Some(None) }
    }

    /// Adds up the expenses that `filter` selects, in one currency or in all currencies.
    ///
    /// # Errors
    ///
    /// [`KvError`].
    pub async fn sum(
        &self,
        currency: Option<Currency>,
        filter: &Filter,
    ) -> Result<SummaryBuilder, KvError> {
        let mut sums = SummaryBuilder::default();
        let mut cursor = None;
        loop {
            let (batch, next) = self.list_batch(KV_LIST_MAX_KEYS, cursor.as_deref()).await?;
            let contents = batch.iter().map(|expense| &expense.content);
            contents
                .filter(|content| filter.matches(content))
                .filter(|content| currency.is_none_or(|currency| currency == content.currency))
                .for_each(|content| sums.add(content));
            if next.is_none() {
                return Ok(sums);
            }
            cursor = next;
        }
    }

    async fn list_batch(
        &self,
        limit: usize,
        kv_cursor: Option<&str>,
    ) -> Result<(Vec<Expense>, Option<String>), KvError> {
        self.writer.store.list(&self.writer.owner, limit, kv_cursor).await
    }

    fn position(&self, cursor: Option<&str>, filter: &Filter) -> Result<Position, ListError> {
        let Some(cursor) = cursor else { return Ok(Position::default()) };
        let position = self.cursors.open(&self.writer.owner, cursor, filter);
        position.ok_or(ListError::ForeignCursor)
    }

    fn seal_cursor(&self, next: Option<Position>, filter: &Filter) -> Option<String> {
        next.map(|position| self.cursors.seal(&self.writer.owner, position, filter))
    }

    fn now(&self) -> Timestamp {
        self.writer.clock.now().into()
    }
}

/// An export of a user's expenses. Memory holds one KV batch of a thousand at a time.
pub struct Export {
    expenses: UserExpenses,
    filter: Filter,
    /// KV's cursor for the next batch, `Some(None)` for the first; `None` after the last.
    next: Option<Option<String>>,
}

impl Export {
    /// Whether all batches are exported.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.next.is_none()
    }

    /// The selected expenses of the next batch, which can be empty; `None` after the last batch.
    ///
    /// # Errors
    ///
    /// [`KvError`].
    pub async fn next(&mut self) -> Result<Option<Vec<Expense>>, KvError> {
        let Some(cursor) = &self.next else { return Ok(None) };
        let (mut batch, next) =
            self.expenses.list_batch(KV_LIST_MAX_KEYS, cursor.as_deref()).await?;
        batch.retain(|expense| self.filter.matches(&expense.content));
        self.next = next.map(Some);
        Ok(Some(batch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expenses::{
        amount::Amount,
        model::{Category, Description},
    };
    use async_trait::async_trait;
    use axum_authkit::seal::Purpose;
    use chrono::{DateTime, Duration, Utc};
    use edge_host::KvOperation;
    use edge_host::memory::MemoryKv;
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
        Expenses::new(Arc::clone(kv) as _, Arc::new(Noon), sealer)
            .of_user(sub, WaitUntil::default())
    }

    async fn put(expenses: &UserExpenses, expense: &Expense) {
        expenses.writer.store.put(&expenses.writer.owner, expense).await.unwrap();
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

        assert_eq!(expenses.get(lunch.id).await.unwrap(), Some(lunch.clone()));
        assert_eq!(kv.take_operations(), [KvOperation::Get]);

        assert_eq!(expenses.list(100, None, &Filter::default()).await.unwrap().expenses, [lunch]);
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
            let page = expenses.list(10, cursor.as_deref(), &Filter::default()).await.unwrap();
            seen.extend(
                page.expenses.into_iter().map(|expense| expense.content.description.to_string()),
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
        assert_eq!(
            expenses.list(100, None, &Filter::default()).await.unwrap().expenses,
            [short, long]
        );
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
            let page = user_expenses(&kv, sub).list(100, None, &Filter::default()).await.unwrap();
            assert_eq!(page.expenses.len(), 1, "{sub}");
        }
    }

    #[tokio::test]
    async fn remove_reports_an_absent_expense() {
        let kv = Arc::new(MemoryKv::default());
        let expenses = user_expenses(&kv, "user_1");
        let lunch = expense("lunch", noon());
        put(&expenses, &lunch).await;
        let others = user_expenses(&kv, "user_2").remove(lunch.id).await;
        assert!(matches!(others, Err(RemoveError::Absent)));
        expenses.remove(lunch.id).await.unwrap();
        let again = expenses.remove(lunch.id).await;
        assert!(matches!(again, Err(RemoveError::Absent)));
        assert_eq!(expenses.get(lunch.id).await.unwrap(), None);
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
        assert_eq!(expenses.list(100, None, &Filter::default()).await.unwrap().expenses, [good]);
        assert!(matches!(expenses.get(bad).await, Err(GetError::Unreadable(id)) if id == bad));
        expenses.remove(bad).await.unwrap();
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
        assert_eq!(expenses.list(100, None, &Filter::default()).await.unwrap().expenses, [good]);
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
