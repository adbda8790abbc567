//! Adds an expense once per `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header). A known key with
//! another body is 422; a key whose first request is in process is 409.
//!
//! | key | value | lives |
//! | --- | --- | --- |
//! | `idempotency:{owner}:{hash}` | `{"body_hash", "id", "expense": record}` | 24 hours |
//!
//! `hash` is the key's SHA-256. The record is written before the expense and holds the whole expense: if a
//! request fails in between, the client sends it again with the same key, and the second request writes the
//! expense.
//!
//! In an isolate, one request adds the expense. A second request with the same key polls for the outcome,
//! because a request on Workers cannot await another request's I/O. The isolate keeps the expense of each
//! key for ten minutes, even after a failed write: a retry writes the same expense.
//!
//! KV has no locks and shows a write up to a minute late. A key adds a second expense in two cases: two
//! requests reach two isolates, and the later one does not see the record of the earlier one yet; or a
//! write that timed out takes effect after a retry has reached another isolate.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Duration, Utc};
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thiserror::Error;

use super::{
    keys::{Owner, sha256_hex},
    model::{Expense, ExpenseId, TextError},
    record::ExpenseRecord,
    store::ExpenseStore,
};
use edge_host::{Clock, KvError, KvPut, WaitUntil, fair::FairMap};

/// How long a key identifies a request.
const TTL_SECS: u64 = 24 * 60 * 60;
/// How long after the key's record the expense may be missing because its write is not finished.
const UNFINISHED_MAX_SECS: i64 = 10 * 60;
/// The interval at which a request polls for the outcome of another request with the same key.
const WAIT_STEP_MILLIS: u32 = 20;
/// How long a request polls.
const WAIT_MAX_SECS: i64 = 5;
/// The longest time that a writing request takes: [`edge_host::TimedKv`] limits its read and two writes.
const WRITING_MAX_SECS: i64 = 30;
/// How long an isolate remembers a key: well over the minute for which KV can be stale.
const MEMORY_SECS: i64 = 10 * 60;
/// The most keys that an isolate remembers. Past it, the user with the most keys loses the oldest; KV still
/// has its record.
const MAX_REMEMBERED: usize = 1000;

/// An idempotency key: 1 to 255 printable ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

/// Why a text is not an idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum IdempotencyKeyError {
    /// The text is empty or too long.
    #[error(transparent)]
    Length(#[from] TextError),
    /// The text has characters other than printable ASCII.
    #[error("the text has characters other than printable ASCII")]
    NotPrintable,
}

impl IdempotencyKey {
    /// The most characters.
    pub const MAX_CHARS: usize = 255;

    /// Parses a key. White space is significant.
    ///
    /// # Errors
    ///
    /// [`IdempotencyKeyError`].
    pub fn parse(text: &str) -> Result<Self, IdempotencyKeyError> {
        match text.chars().count() {
            0 => Err(TextError::Empty.into()),
            1..=Self::MAX_CHARS if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) => {
                Ok(Self(text.to_owned()))
            }
            1..=Self::MAX_CHARS => Err(IdempotencyKeyError::NotPrintable),
            _ => Err(TextError::TooLong { max_chars: Self::MAX_CHARS }.into()),
        }
    }
}

/// The key and body of a request that adds an expense once.
#[derive(Debug, Clone)]
pub struct IdempotentRequest {
    key: IdempotencyKey,
    body_hash: String,
}

impl IdempotentRequest {
    /// The request with this key. Equivalent bodies have the same `canonical_body`.
    #[must_use]
    pub fn new(key: IdempotencyKey, canonical_body: &str) -> Self {
        Self { key, body_hash: sha256_hex(canonical_body.as_bytes()) }
    }

    /// The request with this key and JSON body. The order of members and white space are ignored.
    #[must_use]
    pub fn of_json(key: IdempotencyKey, body: &Value) -> Self {
        let mut sorted = body.clone();
        sorted.sort_all_objects();
        Self::new(key, &sorted.to_string())
    }
}

/// Why no expense was added.
#[derive(Debug, Clone, Error)]
pub enum AddError {
    /// An earlier request used the key with another body.
    #[error("the idempotency key was used with another body")]
    KeyReused,
    /// Another request with the key is still in process.
    #[error("a request with the same idempotency key is in process")]
    InProcess,
    /// The key is used, but its record is unreadable: the expense that it added is unknown.
    #[error("the stored record of an idempotency key cannot be read")]
    UnreadableKey,
    /// KV failed to read: nothing was written.
    #[error(transparent)]
    Read(KvError),
    /// KV failed to write: the expense may be added, now or later. A retry with a key is safe.
    #[error(transparent)]
    Write(KvError),
}

/// The record of a key.
#[derive(Serialize, Deserialize)]
struct IdempotencyRecord<'a> {
    /// The hash of the first request's body.
    body_hash: String,
    id: String,
    #[serde(borrow)]
    expense: ExpenseRecord<'a>,
}

/// The attempts of recent and unfinished requests in this isolate, by their key in KV.
pub(super) struct InFlight(Mutex<FairMap<String, Attempt>>);

impl Default for InFlight {
    fn default() -> Self {
        Self(Mutex::new(FairMap::new(MAX_REMEMBERED)))
    }
}

struct Attempt {
    body_hash: String,
    expense: Expense,
    progress: Progress,
    since: DateTime<Utc>,
}

enum Progress {
    Writing,
    /// The write failed, and may still take effect.
    Unknown,
    Added,
}

/// The next step of a request.
enum Step {
    Add(Box<Expense>),
    Use(Box<Expense>),
    Wait,
    Refuse,
}

impl InFlight {
    fn next_step(
        &self,
        owner: &str,
        key: &str,
        body_hash: &str,
        expense: &Expense,
        now: DateTime<Utc>,
    ) -> Step {
        let mut attempts = self.attempts();
        let mut to_add = expense;
        if let Some(attempt) = attempts.get(key) {
            let is_same = attempt.body_hash == body_hash;
            let age_secs = now.timestamp() - attempt.expense.created_at.unix_secs();
            let is_within = |secs| {
                now - attempt.since < Duration::seconds(secs) && age_secs < TTL_SECS.cast_signed()
            };
            match attempt.progress {
                Progress::Added if is_within(MEMORY_SECS) => {
                    return if is_same {
                        Step::Use(Box::new(attempt.expense.clone()))
                    } else {
                        Step::Refuse
                    };
                }
                Progress::Writing if is_within(WRITING_MAX_SECS) => {
                    return if is_same { Step::Wait } else { Step::Refuse };
                }
                Progress::Writing | Progress::Unknown if is_same && is_within(MEMORY_SECS) => {
                    to_add = &attempt.expense;
                }
                // The record in KV decides: it has the hash of the first request's body.
                Progress::Writing | Progress::Unknown | Progress::Added => {}
            }
        }
        let expense = to_add.clone();
        let attempt = Attempt {
            body_hash: body_hash.to_owned(),
            expense: expense.clone(),
            progress: Progress::Writing,
            since: now,
        };
        attempts.insert(owner, key.to_owned(), attempt, 1);
        attempts.retain(|attempt| now - attempt.since < Duration::seconds(MEMORY_SECS));
        Step::Add(Box::new(expense))
    }

    fn finish(&self, key: &str, outcome: &Result<Expense, AddError>, now: DateTime<Utc>) {
        let mut attempts = self.attempts();
        let Some(attempt) = attempts.get_mut(key) else { return };
        attempt.since = now;
        match outcome {
            Ok(expense) => {
                attempt.expense = expense.clone();
                attempt.progress = Progress::Added;
            }
            Err(AddError::Read(_) | AddError::Write(_)) => attempt.progress = Progress::Unknown,
            Err(_) => drop(attempts.remove(key)),
        }
    }

    /// A panic cannot leave the map half-written: nothing under the lock runs foreign code.
    fn attempts(&self) -> MutexGuard<'_, FairMap<String, Attempt>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds expenses of one owner, each once per key.
#[derive(Clone)]
pub(super) struct OnceWriter {
    pub(super) store: ExpenseStore,
    pub(super) in_flight: Arc<InFlight>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) owner: Owner,
}

impl OnceWriter {
    /// Adds `expense`, or returns the expense that an earlier request with the key and body hash added.
    /// `wait_until` finishes the writes if the client disconnects.
    pub(super) async fn add(
        &self,
        expense: Expense,
        request: IdempotentRequest,
        wait_until: &WaitUntil,
    ) -> Result<Expense, AddError> {
        let IdempotentRequest { key, body_hash } = request;
        let key = self.owner.idempotency_key(&key.0);
        let owner = self.owner.as_str();
        let began = self.clock.now();
        loop {
            let now = self.clock.now();
            match self.in_flight.next_step(owner, &key, &body_hash, &expense, now) {
                Step::Use(added) => return Ok(*added),
                Step::Refuse => return Err(AddError::KeyReused),
                Step::Wait if now - began >= Duration::seconds(WAIT_MAX_SECS) => {
                    return Err(AddError::InProcess);
                }
                Step::Wait => self.clock.sleep(WAIT_STEP_MILLIS).await,
                Step::Add(expense) => {
                    let added = self.clone().add_once(*expense, key, body_hash).boxed().shared();
                    wait_until.keep_alive(added.clone().map(drop));
                    return added.await;
                }
            }
        }
    }

    async fn add_once(
        self,
        expense: Expense,
        key: String,
        body_hash: String,
    ) -> Result<Expense, AddError> {
        let outcome = self.find_or_write(expense, &key, body_hash).await;
        self.in_flight.finish(&key, &outcome, self.clock.now());
        outcome
    }

    async fn find_or_write(
        &self,
        expense: Expense,
        key: &str,
        body_hash: String,
    ) -> Result<Expense, AddError> {
        if let Some(record) = self.store.kv().get(key).await.map_err(AddError::Read)? {
            return self.finish_first(&record, &body_hash).await;
        }
        let record = IdempotencyRecord {
            body_hash,
            id: expense.id.to_string(),
            expense: ExpenseRecord::from(&expense),
        };
        let options = KvPut { expiration_ttl_secs: Some(TTL_SECS), ..KvPut::default() };
        let written = self.store.kv().put(key, &json!(record).to_string(), options).await;
        written.map_err(AddError::Write)?;
        self.store.put(&self.owner, &expense).await.map_err(AddError::Write)?;
        Ok(expense)
    }

    /// Returns the expense of an earlier request's record, and writes it if it is missing.
    async fn finish_first(&self, record: &str, body_hash: &str) -> Result<Expense, AddError> {
        let record: IdempotencyRecord<'_> =
            serde_json::from_slice(record.as_bytes()).map_err(|_| AddError::UnreadableKey)?;
        if record.body_hash != body_hash {
            return Err(AddError::KeyReused);
        }
        let id = ExpenseId::parse(&record.id).map_err(|_| AddError::UnreadableKey)?;
        let first = record.expense.into_expense(id).ok_or(AddError::UnreadableKey)?;
        if self.store.contains(&self.owner, id).await.map_err(AddError::Read)? {
            return Ok(first);
        }
        // A recent first request may have ended before it wrote the expense. After that time a missing
        // expense was deleted by the user, and must stay deleted.
        let age_secs = self.clock.now().timestamp() - first.created_at.unix_secs();
        if age_secs < UNFINISHED_MAX_SECS {
            self.store.put(&self.owner, &first).await.map_err(AddError::Write)?;
        }
        Ok(first)
    }
}
