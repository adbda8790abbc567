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
//! The record is JSON: `{"description","amount","currency","category","date","created_at",
//! "updated_at"}`, the amount as a string, the times in Unix seconds. Nothing expires.
//!
//! Cost: a page is 1 `list` (and 1 `get` for each row too long for metadata), one expense 1 `get`,
//! a create 1 `put`, a delete 1 `get` and 1 `delete`.

use std::{fmt::Write as _, sync::Arc};

use axum::{
    extract::{FromRef, FromRequestParts},
    response::Response,
};
use futures_util::future::join_all;
use http::request::Parts;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::value::to_raw_value;
use sha2::{Digest, Sha256};

use super::model::{Amount, Expense, ExpenseContent, ExpenseId, Timestamp, parse_date};
use crate::{
    app::AppState,
    authkit::CurrentUser,
    runtime::{KV_KEY_MAX_BYTES, KV_METADATA_MAX_BYTES, KvError, KvKey, KvNamespace, KvPut},
};

/// The Workers KV binding that the namespace is under.
pub const BINDING: &str = "EXPENSES";

/// All but RFC 3986's unreserved characters.
const ENCODED_IN_OWNER: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// `expense:` and `:` and an id of 26 characters.
const KEY_OVERHEAD_BYTES: usize = 8 + 1 + 26;

/// Everybody's expenses. What is in it can only be reached [for a user](Self::for_user).
#[derive(Clone)]
pub struct ExpenseStore {
    kv: Arc<dyn KvNamespace>,
}

/// One user's expenses: what a handler of theirs works with.
pub struct UserExpenses {
    kv: Arc<dyn KvNamespace>,
    prefix: String,
}

/// One page of expenses, newest first.
#[derive(Debug)]
pub struct Page {
    /// The rows.
    pub expenses: Vec<Expense>,
    /// Where the next page begins; `None` on the last.
    pub cursor: Option<String>,
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
struct ExpenseRecord {
    description: String,
    amount: String,
    currency: String,
    category: String,
    date: String,
    created_at: i64,
    updated_at: i64,
}

impl ExpenseStore {
    /// Expenses in `kv`.
    #[must_use]
    pub fn new(kv: Arc<dyn KvNamespace>) -> Self {
        Self { kv }
    }

    /// The expenses of whoever is calling.
    #[must_use]
    pub fn for_user(&self, user: &CurrentUser) -> UserExpenses {
        UserExpenses { kv: Arc::clone(&self.kv), prefix: owner_prefix(user.id()) }
    }
}

/// A handler that takes its caller's expenses is protected, and has no others.
impl FromRequestParts<AppState> for UserExpenses {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Response> {
        let user = CurrentUser::from_request_parts(parts, state).await?;
        Ok(ExpenseStore::from_ref(state).for_user(&user))
    }
}

impl UserExpenses {
    /// A page of at most `limit` (1–1,000) expenses. What cannot be read is left out with a log
    /// line, so that one bad record hides no other.
    ///
    /// # Errors
    ///
    /// [`KvError`].
    pub async fn list(&self, limit: usize, cursor: Option<&str>) -> Result<Page, KvError> {
        let page = self.kv.list(&self.prefix, limit, cursor).await?;
        let mut rows: Vec<Row> = page.keys.into_iter().filter_map(|key| self.row(key)).collect();
        // All at once: their number is small, and one after the other they would take long.
        let without_metadata = rows.iter_mut().filter(|row| row.is_in_value).map(async |row| {
            row.expense = self.get(row.id).await?;
            Ok::<(), KvError>(())
        });
        join_all(without_metadata).await.into_iter().collect::<Result<(), _>>()?;
        let expenses = rows.into_iter().filter_map(|row| row.expense).collect();
        Ok(Page { expenses, cursor: page.cursor })
    }

    /// Reads a listed key; one that is no expense's is logged and left out.
    fn row(&self, key: KvKey) -> Option<Row> {
        let id = key.name.strip_prefix(&self.prefix).map(ExpenseId::parse);
        let Some(Ok(id)) = id else {
            log::error!("a key under an owner's prefix ends in no expense id");
            return None;
        };
        let expense = key.metadata.as_ref().and_then(|metadata| decode(id, metadata.get()));
        Some(Row { id, expense, is_in_value: key.metadata.is_none() })
    }

    /// The expense called `id`, or `None`.
    ///
    /// # Errors
    ///
    /// [`KvError`].
    pub async fn get(&self, id: ExpenseId) -> Result<Option<Expense>, KvError> {
        let value = self.kv.get(&self.key(id)).await?;
        Ok(value.and_then(|value| decode(id, &value)))
    }

    /// Writes an expense, whether it is new or not.
    ///
    /// # Errors
    ///
    /// [`KvError`]: whether it was written is not known then.
    pub async fn put(&self, expense: &Expense) -> Result<(), KvError> {
        let record = to_raw_value(&ExpenseRecord::from(expense))
            .map_err(|error| KvError { operation: "put", reason: error.to_string() })?;
        let value = record.get().to_owned();
        let metadata = (value.len() <= KV_METADATA_MAX_BYTES).then_some(record);
        let options = KvPut { metadata, ..KvPut::default() };
        self.kv.put(&self.key(expense.id), &value, options).await
    }

    /// Removes the expense called `id`; whether there was one.
    ///
    /// # Errors
    ///
    /// [`KvError`].
    pub async fn delete(&self, id: ExpenseId) -> Result<bool, KvError> {
        let key = self.key(id);
        if self.kv.get(&key).await?.is_none() {
            return Ok(false);
        }
        self.kv.delete(&key).await?;
        Ok(true)
    }

    fn key(&self, id: ExpenseId) -> String {
        format!("{}{id}", self.prefix)
    }
}

fn owner_prefix(sub: &str) -> String {
    let mut owner = utf8_percent_encode(sub, ENCODED_IN_OWNER).to_string();
    if owner.len() > KV_KEY_MAX_BYTES - KEY_OVERHEAD_BYTES {
        owner = Sha256::digest(sub).iter().fold("sha256=".to_owned(), |mut text, byte| {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        });
    }
    format!("expense:{owner}:")
}

impl From<&Expense> for ExpenseRecord {
    fn from(expense: &Expense) -> Self {
        let Expense { content, created_at, updated_at, .. } = expense;
        Self {
            description: content.description.clone(),
            amount: content.amount.to_string(),
            currency: content.currency.clone(),
            category: content.category.clone(),
            date: content.date.to_string(),
            created_at: created_at.unix_secs(),
            updated_at: updated_at.unix_secs(),
        }
    }
}

/// Reads a record; one that is none is logged, by its id alone.
fn decode(id: ExpenseId, record: &str) -> Option<Expense> {
    let record = serde_json::from_slice::<ExpenseRecord>(record.as_bytes());
    let expense = record.ok().and_then(|record| {
        Some(Expense {
            id,
            content: ExpenseContent {
                amount: Amount::parse(&record.amount).ok()?,
                date: parse_date(&record.date).ok()?,
                description: record.description,
                currency: record.currency,
                category: record.category,
            },
            created_at: Timestamp::from_unix_secs(record.created_at)?,
            updated_at: Timestamp::from_unix_secs(record.updated_at)?,
        })
    });
    if expense.is_none() {
        log::error!("the stored expense {id} cannot be read and is left out");
    }
    expense
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::memory::MemoryKv;
    use chrono::{DateTime, Duration, Utc};

    fn noon() -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_435_200, 0).unwrap()
    }

    fn user_expenses(kv: &Arc<MemoryKv>, sub: &str) -> UserExpenses {
        UserExpenses { kv: Arc::clone(kv) as Arc<dyn KvNamespace>, prefix: owner_prefix(sub) }
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

        assert_eq!(expenses.list(100, None).await.unwrap().expenses, [lunch]);
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
            let page = expenses.list(10, cursor.as_deref()).await.unwrap();
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
        assert_eq!(expenses.list(100, None).await.unwrap().expenses, [short, long]);
        assert_eq!(kv.take_operations(), ["list", "get"]);
    }

    #[tokio::test]
    async fn no_user_reaches_into_anothers_prefix_whatever_their_sub() {
        let kv = Arc::new(MemoryKv::default());
        let long = "x".repeat(600);
        let hash_of_long = owner_prefix(&long)["expense:".len()..].trim_end_matches(':').to_owned();
        let subs = ["a", "a:b", "a:", "a/b", "a%3Ab", "", "%", "ü", &long, &hash_of_long];
        for sub in subs {
            user_expenses(&kv, sub)
                .put(&expense(sub.get(..5).unwrap_or(sub), noon()))
                .await
                .unwrap();
        }
        assert_eq!(kv.keys().len(), subs.len());
        for sub in subs {
            let page = user_expenses(&kv, sub).list(100, None).await.unwrap();
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
        kv.insert_raw(&format!("expense:user_1:{bad}"), "{", to_raw_value(&[1]).ok());
        kv.insert_raw("expense:user_1:not-an-id", "{}", None);
        assert_eq!(expenses.list(100, None).await.unwrap().expenses, [good]);
        assert_eq!(expenses.get(bad).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_failing_read_is_an_error_and_never_an_empty_list() {
        let kv = Arc::new(MemoryKv::default());
        let expenses = user_expenses(&kv, "user_1");
        let mut long = expense(&"🧾".repeat(200), noon());
        long.content.category = "🧾".repeat(50);
        expenses.put(&long).await.unwrap();
        kv.fail(Some("list"));
        assert!(expenses.list(100, None).await.is_err());
        kv.fail(Some("get"));
        assert!(expenses.list(100, None).await.is_err());
        assert!(expenses.get(long.id).await.is_err());
    }
}
