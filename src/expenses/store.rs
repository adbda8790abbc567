//! How expenses lie in KV: one key per expense, so that no request reads, changes and writes back
//! what another may be writing.
//!
//! - key: `expense:{owner}:{id}`. `owner` is the user's `sub` with everything but letters, digits,
//!   `-`, `_`, `.` and `~` percent-encoded, so that no `sub` reaches into another's prefix; one too
//!   long for a key is `sha256=` and its hash, which no encoded `sub` can be. Ids sort newest first,
//!   and so does `list`.
//! - value: the record, always.
//! - metadata: the record too when it fits KV's 1,024 bytes, so that one `list` serves a page.
//!
//! | key | value | metadata | lives |
//! | --- | --- | --- | --- |
//! | `expense:{owner}:{id}` | the record | the record, if it fits | until it is deleted |
//! | `idempotency:{owner}:{hash}` | what an `Idempotency-Key` has made: [`super::idempotency`] | | 24 hours |
//!
//! The record is JSON: `{"description","amount","currency","category","date","created_at",
//! "updated_at"}`, the amount as a string, the times in Unix seconds.
//!
//! Cost: a page is 1 `list` (and 1 `get` for a hundred rows too long for metadata), one expense 1
//! `get`, a create 1 `put` (with an idempotency key 1 `get` and 1 `put` more), a change 1 `get` and
//! 1 `put`, a delete 1 `get` and 1 `delete`, a summary 1 `list` for a thousand.

use std::{borrow::Borrow, borrow::Cow, fmt::Write as _, sync::Arc};

use axum::{
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use http::{Method, request::Parts};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::{
    idempotency::Attempts,
    model::{Amount, Expense, ExpenseContent, ExpenseId, Filter, Timestamp},
    summary::Sums,
};
use crate::{
    app::AppState,
    authkit::{Challenge, CurrentUser, UnscopedUser, seal::Sealer},
    error::AppError,
    fastapi::date::parse_date,
    runtime::{
        Clock, KV_BULK_MAX_KEYS, KV_KEY_MAX_BYTES, KV_LIST_MAX_KEYS, KV_METADATA_MAX_BYTES,
        KvError, KvKey, KvNamespace, KvPut, TimedKv, WaitUntil,
    },
};

/// The Workers KV binding that the namespace is under.
pub const BINDING: &str = "EXPENSES";

/// All but RFC 3986's unreserved characters.
const ENCODED_IN_OWNER: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// `idempotency:` and `:` and a hash of 64 characters, the longest of what stands around an owner.
const KEY_OVERHEAD_BYTES: usize = 12 + 1 + 64;

/// What a caller does with expenses. A token that is limited to scopes needs the one for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Looks at them.
    Read,
    /// Changes them.
    Write,
}

impl Access {
    /// Every scope there is.
    pub const SCOPES: [&'static str; 2] = [Self::Read.scope(), Self::Write.scope()];
    /// How every scope of this application begins, those of later versions included.
    pub const SCOPE_PREFIX: &'static str = "expenses:";

    /// What a request of this method does.
    #[must_use]
    pub fn by(method: &Method) -> Self {
        if method.is_safe() { Self::Read } else { Self::Write }
    }

    /// The scope that allows it.
    #[must_use]
    pub const fn scope(self) -> &'static str {
        match self {
            Self::Read => "expenses:read",
            Self::Write => "expenses:write",
        }
    }
}

/// Everybody's expenses. What is in it can only be reached [for a caller](UserExpenses::of_caller).
#[derive(Clone)]
pub struct ExpenseStore {
    pub(super) kv: Arc<dyn KvNamespace>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) attempts: Arc<Attempts>,
    cursor_sealer: Arc<Sealer>,
}

/// One user's expenses: what a handler of theirs works with.
#[derive(Clone)]
pub struct UserExpenses {
    pub(super) store: ExpenseStore,
    /// The user's `sub` as it stands in keys.
    pub(super) owner: String,
    /// What the keys of the user's expenses begin with.
    prefix: String,
    /// Of the request that is being answered, if there is one.
    pub(super) wait_until: Option<WaitUntil>,
}

/// One page of expenses, newest first.
#[derive(Debug)]
pub struct Page {
    /// The rows.
    pub expenses: Vec<Expense>,
    /// Where the next page begins, sealed; `None` on the last.
    pub cursor: Option<String>,
}

/// A page with what it was taken from.
#[derive(Debug)]
pub struct View {
    /// The page.
    pub page: Page,
    /// One `list`: at most a thousand expenses, newest first, whatever the filter.
    pub listed: Vec<Expense>,
    /// Whether that is all there is.
    pub is_whole: bool,
}

/// All of a user's expenses, of which memory holds a thousand at a time.
pub struct Export {
    expenses: UserExpenses,
    filter: Filter,
    /// KV's cursor for the next list, none for the first; nothing after the last.
    next: Option<Option<String>>,
}

impl Export {
    /// Whether there is no further list.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.next.is_none()
    }

    /// What the filter means of the next list, perhaps nothing; `None` after the last.
    ///
    /// # Errors
    ///
    /// [`KvError`].
    pub async fn next(&mut self) -> Result<Option<Vec<Expense>>, KvError> {
        let Some(cursor) = &self.next else { return Ok(None) };
        let (mut listed, next) =
            self.expenses.list_all(KV_LIST_MAX_KEYS, cursor.as_deref()).await?;
        listed.retain(|expense| self.filter.matches(&expense.content));
        self.next = next.map(Some);
        Ok(Some(listed))
    }
}

/// Where a page begins. Sealed for the way through the client, so that nobody makes one up or
/// carries one over to another user, or to another filter, where it means nothing.
#[derive(Default, Serialize, Deserialize)]
struct Position {
    owner: String,
    /// The [signature](Filter::signature) of the filter it goes with.
    filter: String,
    /// KV's own cursor, of the list that the page's rows are in.
    kv_cursor: Option<String>,
    /// The last of that list's rows that an earlier page has shown.
    after: Option<String>,
}

/// Why there is no page.
#[derive(Debug, Error)]
pub enum ListError {
    /// The cursor did not come from here, or was another user's or another filter's.
    #[error("not a cursor")]
    Cursor,
    /// KV failed.
    #[error(transparent)]
    Kv(#[from] KvError),
}

/// A listed key on its way to a page.
struct Row {
    id: ExpenseId,
    expense: Option<Expense>,
    /// Whether metadata had no room.
    is_in_value: bool,
}

/// An expense as it is stored. Its id is in the key.
#[derive(Serialize, Deserialize)]
pub(super) struct ExpenseRecord<'a> {
    #[serde(borrow)]
    description: Cow<'a, str>,
    #[serde(borrow)]
    amount: Cow<'a, str>,
    #[serde(borrow)]
    currency: Cow<'a, str>,
    #[serde(borrow)]
    category: Cow<'a, str>,
    #[serde(borrow)]
    date: Cow<'a, str>,
    created_at: i64,
    updated_at: i64,
}

impl ExpenseStore {
    /// Expenses in `kv`; `cursor_sealer` seals where pages end.
    #[must_use]
    pub fn new(kv: Arc<dyn KvNamespace>, clock: Arc<dyn Clock>, cursor_sealer: Sealer) -> Self {
        let kv = Arc::new(TimedKv::new(kv, Arc::clone(&clock)));
        Self { kv, clock, attempts: Arc::default(), cursor_sealer: Arc::new(cursor_sealer) }
    }

    fn for_owner(&self, owner: String) -> UserExpenses {
        let prefix = format!("expense:{owner}:");
        UserExpenses { store: self.clone(), owner, prefix, wait_until: None }
    }
}

/// A handler that takes its caller's expenses is protected, and has no others.
impl FromRequestParts<AppState> for UserExpenses {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Response> {
        let caller = UnscopedUser::from_request_parts(parts, state).await?;
        let challenge = Challenge::from_request_parts(parts, state).await;
        let caller = challenge
            .and_then(|challenge| {
                caller.require_scope(Access::by(&parts.method).scope(), &challenge)
            })
            .map_err(IntoResponse::into_response)?;
        Self::from_caller(&caller, parts, state).await
    }
}

impl UserExpenses {
    /// The expenses of whoever has sent the request in `parts`, for what its method does.
    ///
    /// # Errors
    ///
    /// 403 `insufficient_scope`.
    pub async fn from_caller(
        caller: &CurrentUser,
        parts: &mut Parts,
        state: &AppState,
    ) -> Result<Self, Response> {
        let challenge = Challenge::from_request_parts(parts, state).await;
        let expenses = challenge
            .and_then(|challenge| {
                Self::of_caller(state, caller, Access::by(&parts.method), &challenge)
            })
            .map_err(IntoResponse::into_response)?;
        Ok(expenses.finishing_by(parts.extensions.get().cloned()))
    }

    /// The expenses of whoever is calling, for one kind of access.
    ///
    /// # Errors
    ///
    /// 403 `insufficient_scope`.
    pub fn of_caller(
        state: &AppState,
        caller: &CurrentUser,
        access: Access,
        challenge: &Challenge,
    ) -> Result<Self, AppError> {
        caller.require_scope(access.scope(), challenge)?;
        Ok(state.expenses.for_owner(encode_owner(caller.id())))
    }

    /// What has begun is finished by `wait_until` although the client goes away.
    #[must_use]
    pub fn finishing_by(self, wait_until: Option<WaitUntil>) -> Self {
        Self { wait_until, ..self }
    }

    /// A page of at most `limit` (1–1,000) of the expenses that `filter` means. With a filter a
    /// page may be short, even empty, and not the last: it is what one `list` holds. What cannot be
    /// read is left out with a log line, so that one bad record hides no other.
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
        let position = match cursor {
            Some(cursor) => self.open_cursor(cursor, filter).ok_or(ListError::Cursor)?,
            None => Position::default(),
        };
        // Within a list of a thousand, an earlier page has ended somewhere: it is to be found again.
        let takes_all = filter.is_empty() && position.after.is_none();
        let list_limit = if takes_all { limit } else { KV_LIST_MAX_KEYS };
        let (expenses, next_list) =
            self.list_all(list_limit, position.kv_cursor.as_deref()).await?;
        let (expenses, cursor) = self.cut(expenses, position, next_list, limit, filter);
        Ok(Page { expenses, cursor })
    }

    /// A page as [`Self::list`] gives it, and all that the one `list` holds which it was made from.
    ///
    /// # Errors
    ///
    /// [`ListError`].
    pub async fn view(
        &self,
        limit: usize,
        cursor: Option<&str>,
        filter: &Filter,
    ) -> Result<View, ListError> {
        let position = match cursor {
            Some(cursor) => self.open_cursor(cursor, filter).ok_or(ListError::Cursor)?,
            None => Position::default(),
        };
        let (listed, next_list) =
            self.list_all(KV_LIST_MAX_KEYS, position.kv_cursor.as_deref()).await?;
        let is_whole = position.kv_cursor.is_none() && next_list.is_none();
        let (rows, cursor) = self.cut(&listed, position, next_list, limit, filter);
        let page = Page { expenses: rows.into_iter().cloned().collect(), cursor };
        Ok(View { page, listed, is_whole })
    }

    /// Every expense that `filter` means, newest first, one `list` of KV's at a time.
    #[must_use]
    pub fn export(self, filter: Filter) -> Export {
        Export { expenses: self, filter, next: Some(None) }
    }

    /// What a page shows of one `list`, from `position` on, and the next page's cursor.
    fn cut<E: Borrow<Expense>>(
        &self,
        listed: impl IntoIterator<Item = E>,
        position: Position,
        next_list: Option<String>,
        limit: usize,
        filter: &Filter,
    ) -> (Vec<E>, Option<String>) {
        let mut meant = listed
            .into_iter()
            .filter(|expense| filter.matches(&expense.borrow().content))
            .filter(|expense| {
                position.after.as_ref().is_none_or(|id| expense.borrow().id.to_string() > *id)
            });
        let rows: Vec<E> = meant.by_ref().take(limit).collect();
        let next = if meant.next().is_some() {
            let after = rows.last().map(|expense| expense.borrow().id.to_string());
            Some(Position { after, ..position })
        } else {
            next_list.map(|cursor| Position { kv_cursor: Some(cursor), ..Position::default() })
        };
        (rows, next.map(|position| self.seal_cursor(position, filter)))
    }

    /// Adds up the expenses that `filter` means, in one currency or in all.
    ///
    /// # Errors
    ///
    /// [`KvError`].
    pub async fn sum(&self, currency: Option<&str>, filter: &Filter) -> Result<Sums, KvError> {
        let mut sums = Sums::default();
        let mut cursor = None;
        loop {
            let (expenses, next) = self.list_all(KV_LIST_MAX_KEYS, cursor.as_deref()).await?;
            let contents = expenses.iter().map(|expense| &expense.content);
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

    /// One `list` of KV's, with every row that can be read, and where the next one begins.
    async fn list_all(
        &self,
        limit: usize,
        kv_cursor: Option<&str>,
    ) -> Result<(Vec<Expense>, Option<String>), KvError> {
        let listing = self.store.kv.list(&self.prefix, limit, kv_cursor).await?;
        let (mut rows, next_list): (Vec<Row>, _) = match listing.page::<ExpenseRecord<'_>>() {
            Ok(page) => {
                let next_list = page.next_cursor().map(str::to_owned);
                let row =
                    |key: KvKey<'_, _>| self.row(&key.name, |id| expense_of(id, key.metadata?));
                (page.keys.into_iter().filter_map(row).collect(), next_list)
            }
            // Some metadata is no record: which, is found out one by one.
            Err(_) => {
                let page = listing.page::<Value>()?;
                let next_list = page.next_cursor().map(str::to_owned);
                let row = |key: KvKey<'_, Value>| {
                    self.row(&key.name, |id| decode(id, &key.metadata?.to_string()))
                };
                (page.keys.into_iter().filter_map(row).collect(), next_list)
            }
        };
        let mut in_values: Vec<&mut Row> = rows.iter_mut().filter(|row| row.is_in_value).collect();
        for chunk in in_values.chunks_mut(KV_BULK_MAX_KEYS) {
            let keys: Vec<String> = chunk.iter().map(|row| self.key(row.id)).collect();
            let values = self.store.kv.get_many(&keys).await?;
            for (row, value) in chunk.iter_mut().zip(values) {
                row.expense = value.and_then(|value| decode(row.id, &value));
                if row.expense.is_none() {
                    log::error!("the stored expense {} cannot be read and is left out", row.id);
                }
            }
        }
        Ok((rows.into_iter().filter_map(|row| row.expense).collect(), next_list))
    }

    fn seal_cursor(&self, position: Position, filter: &Filter) -> String {
        let position =
            Position { owner: self.owner.clone(), filter: filter.signature(), ..position };
        // A struct of strings always serializes.
        self.store.cursor_sealer.seal(&serde_json::to_vec(&position).unwrap_or_default())
    }

    fn open_cursor(&self, cursor: &str, filter: &Filter) -> Option<Position> {
        let opened = self.store.cursor_sealer.open(cursor).ok()?;
        let position: Position = serde_json::from_slice(&opened.plaintext).ok()?;
        (position.owner == self.owner && position.filter == filter.signature()).then_some(position)
    }

    /// A listed key, whose metadata `read` makes an expense of; one that is no expense's is logged and
    /// left out.
    fn row(&self, key: &str, read: impl FnOnce(ExpenseId) -> Option<Expense>) -> Option<Row> {
        let id = key.strip_prefix(&self.prefix).map(ExpenseId::parse);
        let Some(Ok(id)) = id else {
            log::error!("a key under an owner's prefix ends in no expense id");
            return None;
        };
        let expense = read(id);
        // Metadata that cannot be read says nothing against the value.
        let is_in_value = expense.is_none();
        Some(Row { id, expense, is_in_value })
    }

    /// The expense called `id`, or `None`.
    ///
    /// # Errors
    ///
    /// [`KvError`], also for one that is there and cannot be read.
    pub async fn get(&self, id: ExpenseId) -> Result<Option<Expense>, KvError> {
        let Some(value) = self.store.kv.get(&self.key(id)).await? else { return Ok(None) };
        // It is there, whatever it is: to say that it is not would be wrong.
        let unreadable = || {
            let reason = format!("the stored expense {id} cannot be read");
            KvError { operation: "get", reason }
        };
        decode(id, &value).map(Some).ok_or_else(unreadable)
    }

    /// Writes an expense, whether it is new or not.
    ///
    /// # Errors
    ///
    /// [`KvError`]: whether it was written is not known then.
    pub async fn put(&self, expense: &Expense) -> Result<(), KvError> {
        // A struct of strings and numbers always serializes.
        let value = serde_json::to_string(&ExpenseRecord::from(expense)).unwrap_or_default();
        let metadata = (value.len() <= KV_METADATA_MAX_BYTES).then_some(&*value);
        let options = KvPut { metadata, ..KvPut::default() };
        self.store.kv.put(&self.key(expense.id), &value, options).await
    }

    /// Removes the expense called `id`; whether there was one.
    ///
    /// # Errors
    ///
    /// [`KvError`].
    pub async fn delete(&self, id: ExpenseId) -> Result<bool, KvError> {
        let key = self.key(id);
        if self.store.kv.get(&key).await?.is_none() {
            return Ok(false);
        }
        self.store.kv.delete(&key).await?;
        Ok(true)
    }

    fn key(&self, id: ExpenseId) -> String {
        format!("{}{id}", self.prefix)
    }
}

/// A `sub` as it stands in keys: see the module's documentation.
pub(super) fn encode_owner(sub: &str) -> String {
    let mut owner = utf8_percent_encode(sub, ENCODED_IN_OWNER).to_string();
    if owner.len() > KV_KEY_MAX_BYTES - KEY_OVERHEAD_BYTES {
        owner = format!("sha256={}", sha256_hex(sub.as_bytes()));
    }
    owner
}

pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl<'a> From<&'a Expense> for ExpenseRecord<'a> {
    fn from(expense: &'a Expense) -> Self {
        let Expense { content, created_at, updated_at, .. } = expense;
        Self {
            description: Cow::Borrowed(&content.description),
            amount: content.amount.to_string().into(),
            currency: Cow::Borrowed(&content.currency),
            category: Cow::Borrowed(&content.category),
            date: content.date.to_string().into(),
            created_at: created_at.unix_secs(),
            updated_at: updated_at.unix_secs(),
        }
    }
}

fn decode(id: ExpenseId, value: &str) -> Option<Expense> {
    expense_of(id, serde_json::from_slice(value.as_bytes()).ok()?)
}

pub(super) fn expense_of(id: ExpenseId, record: ExpenseRecord<'_>) -> Option<Expense> {
    Some(Expense {
        id,
        content: ExpenseContent {
            amount: Amount::parse(&record.amount).ok()?,
            date: parse_date(&record.date).ok()?,
            description: record.description.into_owned(),
            currency: record.currency.into_owned(),
            category: record.category.into_owned(),
        },
        created_at: Timestamp::from_unix_secs(record.created_at)?,
        updated_at: Timestamp::from_unix_secs(record.updated_at)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{authkit::seal::Purpose, runtime::memory::MemoryKv};
    use async_trait::async_trait;
    use chrono::{DateTime, Duration, Utc};
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
        let store = ExpenseStore::new(Arc::clone(kv) as _, Arc::new(Noon), sealer);
        store.for_owner(encode_owner(sub))
    }

    fn expense(description: &str, made_at: DateTime<Utc>) -> Expense {
        Expense {
            id: ExpenseId::new(made_at),
            content: ExpenseContent {
                description: description.to_owned(),
                amount: Amount::parse("42.50").unwrap(),
                currency: "USD".to_owned(),
                category: "meals".to_owned(),
                date: made_at.date_naive(),
            },
            created_at: made_at.into(),
            updated_at: made_at.into(),
        }
    }

    #[tokio::test]
    async fn what_was_put_is_got_and_listed_with_one_operation_each() {
        let kv = Arc::new(MemoryKv::default());
        let expenses = user_expenses(&kv, "user_1");
        let lunch = expense("Team lunch", noon());
        expenses.put(&lunch).await.unwrap();
        assert_eq!(kv.take_operations(), ["put"]);
        assert_eq!(kv.keys(), [format!("expense:user_1:{}", lunch.id)]);

        assert_eq!(expenses.get(lunch.id).await.unwrap(), Some(lunch.clone()));
        assert_eq!(kv.take_operations(), ["get"]);

        assert_eq!(expenses.list(100, None, &Filter::default()).await.unwrap().expenses, [lunch]);
        assert_eq!(kv.take_operations(), ["list"]);
    }

    #[tokio::test]
    async fn pages_follow_each_other_newest_first() {
        let kv = Arc::new(MemoryKv::default());
        let expenses = user_expenses(&kv, "user_1");
        for minute in 0..25 {
            let made_at = noon() + Duration::minutes(minute);
            expenses.put(&expense(&minute.to_string(), made_at)).await.unwrap();
        }
        let mut seen = Vec::new();
        let mut cursor = None;
        loop {
            let page = expenses.list(10, cursor.as_deref(), &Filter::default()).await.unwrap();
            seen.extend(page.expenses.into_iter().map(|expense| expense.content.description));
            cursor = page.cursor;
            if cursor.is_none() {
                break;
            }
            // What comes in while someone is reading does not shift the pages.
            expenses.put(&expense("late", noon() + Duration::days(1))).await.unwrap();
        }
        let newest_first: Vec<String> = (0..25).rev().map(|minute| minute.to_string()).collect();
        assert_eq!(seen, newest_first);
    }

    #[tokio::test]
    async fn a_record_too_long_for_metadata_is_served_from_its_value() {
        let kv = Arc::new(MemoryKv::default());
        let expenses = user_expenses(&kv, "user_1");
        let mut long = expense(&"🧾".repeat(200), noon());
        long.content.category = "🧾".repeat(50);
        let short = expense("short", noon() + Duration::seconds(1));
        expenses.put(&long).await.unwrap();
        expenses.put(&short).await.unwrap();
        kv.take_operations();
        assert_eq!(
            expenses.list(100, None, &Filter::default()).await.unwrap().expenses,
            [short, long]
        );
        assert_eq!(kv.take_operations(), ["list", "get"]);
    }

    #[tokio::test]
    async fn no_user_reaches_into_anothers_prefix_whatever_their_sub() {
        let kv = Arc::new(MemoryKv::default());
        let long = "x".repeat(600);
        let hash_of_long = encode_owner(&long);
        let subs = ["a", "a:b", "a:", "a/b", "a%3Ab", "", "%", "ü", &long, &hash_of_long];
        for sub in subs {
            user_expenses(&kv, sub)
                .put(&expense(sub.get(..5).unwrap_or(sub), noon()))
                .await
                .unwrap();
        }
        assert_eq!(kv.keys().len(), subs.len());
        for sub in subs {
            let page = user_expenses(&kv, sub).list(100, None, &Filter::default()).await.unwrap();
            assert_eq!(page.expenses.len(), 1, "{sub}");
        }
    }

    #[tokio::test]
    async fn deleting_tells_whether_there_was_one() {
        let kv = Arc::new(MemoryKv::default());
        let expenses = user_expenses(&kv, "user_1");
        let lunch = expense("lunch", noon());
        expenses.put(&lunch).await.unwrap();
        assert!(!user_expenses(&kv, "user_2").delete(lunch.id).await.unwrap());
        assert!(expenses.delete(lunch.id).await.unwrap());
        assert!(!expenses.delete(lunch.id).await.unwrap());
        assert_eq!(expenses.get(lunch.id).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_record_that_cannot_be_read_hides_no_other() {
        let kv = Arc::new(MemoryKv::default());
        let expenses = user_expenses(&kv, "user_1");
        let good = expense("good", noon());
        expenses.put(&good).await.unwrap();
        let bad = ExpenseId::new(noon());
        kv.insert_raw(&format!("expense:user_1:{bad}"), "{", Some(json!([1])));
        kv.insert_raw("expense:user_1:not-an-id", "{}", None);
        assert_eq!(expenses.list(100, None, &Filter::default()).await.unwrap().expenses, [good]);
        assert!(expenses.get(bad).await.is_err());
        assert!(expenses.delete(bad).await.unwrap());
    }

    #[tokio::test]
    async fn metadata_that_cannot_be_read_hides_no_value_that_can() {
        let kv = Arc::new(MemoryKv::default());
        let expenses = user_expenses(&kv, "user_1");
        let good = expense("good", noon());
        expenses.put(&good).await.unwrap();
        let key = format!("expense:user_1:{}", good.id);
        let (value, _) = kv.entry(&key).unwrap();
        kv.insert_raw(&key, &value, Some(json!({"amount": 1})));
        assert_eq!(expenses.list(100, None, &Filter::default()).await.unwrap().expenses, [good]);
    }

    #[tokio::test]
    async fn a_failing_read_is_an_error_and_never_an_empty_list() {
        let kv = Arc::new(MemoryKv::default());
        let expenses = user_expenses(&kv, "user_1");
        let mut long = expense(&"🧾".repeat(200), noon());
        long.content.category = "🧾".repeat(50);
        expenses.put(&long).await.unwrap();
        kv.fail(Some("list"));
        assert!(expenses.list(100, None, &Filter::default()).await.is_err());
        kv.fail(Some("get"));
        assert!(expenses.list(100, None, &Filter::default()).await.is_err());
        assert!(expenses.get(long.id).await.is_err());
    }
}
