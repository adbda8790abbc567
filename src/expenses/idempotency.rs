//! Creating an expense once for one `Idempotency-Key`, as draft-ietf-httpapi-idempotency-key-header
//! has it: a key with another body than before is 422, and 409 is for a key whose first request is still
//! being answered.
//!
//! | key | value | lives |
//! | --- | --- | --- |
//! | `idempotency:{owner}:{hash}` | `{"body_hash", "id", "expense": record}` | 24 hours |
//!
//! `hash` is the key's SHA-256. The record is written before the expense and has the whole expense in
//! it: whoever is cut off in between, or told that KV has failed, tries again with the same key, and
//! what is missing is written then.
//!
//! In an isolate one request makes the expense. Another with the same key looks again after a short
//! sleep of its own, because a request on Workers may not await another's I/O. For ten minutes the
//! isolate remembers what each key has made, and what it was to make where the outcome is not known, so
//! that the next try writes the same expense and not another.
//!
//! KV has no locks, and tells of a write up to a minute late. So a second expense is made when two
//! requests with one key come to two isolates and the later one is not told of the earlier one's record
//! yet, and when KV carries out a write that was given up after the next try came to another isolate.

use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Duration, Utc};
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thiserror::Error;

use super::{
    model::{Expense, ExpenseId},
    store::{ExpenseRecord, UserExpenses, expense_of, sha256_hex},
};
use crate::{
    runtime::{KvError, KvPut, fair::FairMap},
    validation::{Parsed, Problem, parse_string},
};

/// Longest key that is taken.
pub(super) const IDEMPOTENCY_KEY_MAX_CHARS: usize = 255;

/// How long a key means the same request.
const TTL_SECS: u64 = 24 * 60 * 60;
/// How long after its key's record an expense may be missing because nobody has written it yet.
const UNFINISHED_MAX_SECS: i64 = 10 * 60;
/// How often a request looks for what another makes of the same key.
const WAIT_STEP_MILLIS: u32 = 20;
/// How long it looks.
const WAIT_MAX_SECS: i64 = 5;
/// After this long whoever was writing is gone: a read and two writes take less, by
/// [`crate::runtime::TimedKv`].
const WRITING_MAX_SECS: i64 = 30;
/// How long an isolate remembers a key: well over the minute that KV may be late.
const MEMORY_SECS: i64 = 10 * 60;
/// An isolate that has seen more keys forgets the oldest of the user who has the most; KV still has them.
const MAX_REMEMBERED: usize = 1000;

/// Reads a key: 1 to 255 printable ASCII characters.
///
/// # Errors
///
/// `string_type`, `string_too_short`, `string_too_long`, `string_pattern_mismatch`.
pub fn parse_key(value: Value, loc: &[&str]) -> Parsed<String> {
    let key = parse_string(value, loc)?;
    let (kind, msg, ctx) = match key.chars().count() {
        0 => {
            let msg = "String should have at least 1 character";
            ("string_too_short", msg, json!({"min_length": 1}))
        }
        1..=IDEMPOTENCY_KEY_MAX_CHARS if key.bytes().all(|byte| matches!(byte, b' '..=b'~')) => {
            return Ok(key);
        }
        1..=IDEMPOTENCY_KEY_MAX_CHARS => {
            let msg = "String should match pattern '^[\\x20-\\x7e]+$'";
            ("string_pattern_mismatch", msg, json!({"pattern": "^[\\x20-\\x7e]+$"}))
        }
        _ => {
            let msg = "String should have at most 255 characters";
            ("string_too_long", msg, json!({"max_length": IDEMPOTENCY_KEY_MAX_CHARS}))
        }
    };
    Err(Problem::new(kind, loc, msg, json!(key)).with_ctx(ctx).into())
}

/// The problem of a key that was used with another body.
#[must_use]
pub fn key_reused(key: &str, loc: &[&str]) -> Problem {
    let msg = "Value error, this key was used with another body: use a new key for a new expense";
    Problem::new("value_error", loc, msg, json!(key))
}

/// What of a body is compared: members sorted, no white space, so that it is what a client means.
#[must_use]
pub fn canonical(body: &Value) -> String {
    let mut sorted = body.clone();
    sorted.sort_all_objects();
    sorted.to_string()
}

/// Why there is no new expense.
#[derive(Debug, Clone, Error)]
pub enum CreateError {
    /// The key was used with another body.
    #[error("the idempotency key was used with another body")]
    KeyReused,
    /// Another request with the key is being answered, and takes its time.
    #[error("a request with the same idempotency key is in process")]
    InProcess,
    /// KV failed; with the same key it is safe to try again.
    #[error(transparent)]
    Kv(#[from] KvError),
}

/// What a key has made.
#[derive(Serialize, Deserialize)]
struct IdempotencyRecord<'a> {
    /// Of the body that it came with.
    body_hash: String,
    id: String,
    #[serde(borrow)]
    expense: ExpenseRecord<'a>,
}

/// What an isolate knows of keys, by their key in KV.
pub struct Attempts(Mutex<FairMap<String, Attempt>>);

impl Default for Attempts {
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
    /// It failed, and may or may not have been written.
    Unknown,
    Made,
}

/// What a look at [`Attempts`] tells a request to do.
enum Step {
    Make(Box<Expense>),
    Use(Box<Expense>),
    Wait,
    Refuse,
}

impl Attempts {
    fn next_step(
        &self,
        owner: &str,
        key: &str,
        body_hash: &str,
        expense: &Expense,
        now: DateTime<Utc>,
    ) -> Step {
        let mut attempts = self.attempts();
        let mut to_make = expense;
        if let Some(attempt) = attempts.get(key) {
            let is_same = attempt.body_hash == body_hash;
            let age_secs = now.timestamp() - attempt.expense.created_at.unix_secs();
            let is_within = |secs| {
                now - attempt.since < Duration::seconds(secs) && age_secs < TTL_SECS.cast_signed()
            };
            match attempt.progress {
                Progress::Made if is_within(MEMORY_SECS) => {
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
                    to_make = &attempt.expense;
                }
                // Which body came first, if any did, is for KV to say.
                Progress::Writing | Progress::Unknown | Progress::Made => {}
            }
        }
        let expense = to_make.clone();
        let attempt = Attempt {
            body_hash: body_hash.to_owned(),
            expense: expense.clone(),
            progress: Progress::Writing,
            since: now,
        };
        attempts.insert(owner, key.to_owned(), attempt, 1);
        attempts.retain(|attempt| now - attempt.since < Duration::seconds(MEMORY_SECS));
        Step::Make(Box::new(expense))
    }

    fn finish(&self, key: &str, outcome: &Result<Expense, CreateError>, now: DateTime<Utc>) {
        let mut attempts = self.attempts();
        let Some(attempt) = attempts.get_mut(key) else { return };
        attempt.since = now;
        match outcome {
            Ok(expense) => {
                attempt.expense = expense.clone();
                attempt.progress = Progress::Made;
            }
            Err(CreateError::Kv(_)) => attempt.progress = Progress::Unknown,
            Err(_) => drop(attempts.remove(key)),
        }
    }

    /// A panic cannot leave the map half-written: nothing under the lock runs foreign code.
    fn attempts(&self) -> MutexGuard<'_, FairMap<String, Attempt>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UserExpenses {
    /// Writes a new expense once for one idempotency key: `expense`, or the one that the key has made before from a body of the same hash. What has begun is finished
    /// although the client goes away.
    ///
    /// # Errors
    ///
    /// [`CreateError`].
    pub async fn create_once(
        &self,
        expense: Expense,
        idempotency_key: &str,
        body: &[u8],
    ) -> Result<Expense, CreateError> {
        let key = format!("idempotency:{}:{}", self.owner, sha256_hex(idempotency_key.as_bytes()));
        let body_hash = sha256_hex(body);
        let began = self.store.clock.now();
        loop {
            let now = self.store.clock.now();
            match self.store.attempts.next_step(&self.owner, &key, &body_hash, &expense, now) {
                Step::Use(made) => return Ok(*made),
                Step::Refuse => return Err(CreateError::KeyReused),
                Step::Wait if now - began >= Duration::seconds(WAIT_MAX_SECS) => {
                    return Err(CreateError::InProcess);
                }
                Step::Wait => self.store.clock.sleep(WAIT_STEP_MILLIS).await,
                Step::Make(expense) => {
                    let make = self.clone().make_once(*expense, key, body_hash).boxed().shared();
                    if let Some(wait_until) = &self.wait_until {
                        wait_until.run(make.clone().map(drop).boxed());
                    }
                    return make.await;
                }
            }
        }
    }

    async fn make_once(
        self,
        expense: Expense,
        key: String,
        body_hash: String,
    ) -> Result<Expense, CreateError> {
        let outcome = self.find_or_write(expense, &key, body_hash).await;
        self.store.attempts.finish(&key, &outcome, self.store.clock.now());
        outcome
    }

    async fn find_or_write(
        &self,
        expense: Expense,
        key: &str,
        body_hash: String,
    ) -> Result<Expense, CreateError> {
        if let Some(value) = self.store.kv.get(key).await? {
            return self.finish_first(&value, &body_hash).await;
        }
        let record = IdempotencyRecord {
            body_hash,
            id: expense.id.to_string(),
            expense: ExpenseRecord::from(&expense),
        };
        let options = KvPut { expiration_ttl_secs: Some(TTL_SECS), ..KvPut::default() };
        self.store.kv.put(key, &json!(record).to_string(), options).await?;
        self.put(&expense).await?;
        Ok(expense)
    }

    /// The expense of a record that is there already.
    async fn finish_first(&self, record: &str, body_hash: &str) -> Result<Expense, CreateError> {
        let unreadable = || KvError {
            operation: "get",
            reason: "an idempotency record that cannot be read".to_owned(),
        };
        let record: IdempotencyRecord<'_> =
            serde_json::from_slice(record.as_bytes()).map_err(|_| unreadable())?;
        if record.body_hash != body_hash {
            return Err(CreateError::KeyReused);
        }
        let first = ExpenseId::parse(&record.id)
            .ok()
            .and_then(|id| expense_of(id, record.expense))
            .ok_or_else(unreadable)?;
        if self.get(first.id).await?.is_some() {
            return Ok(first);
        }
        // Whoever wrote the record may have been cut off before it wrote the expense. Later, its
        // user has deleted it, and it must stay away.
        if self.store.clock.now().timestamp() - first.created_at.unix_secs() < UNFINISHED_MAX_SECS {
            self.put(&first).await?;
        }
        Ok(first)
    }
}
