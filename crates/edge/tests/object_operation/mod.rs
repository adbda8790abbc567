//! The object that runs the operations of `object-steps.json`. The test of the memory host and the Worker of
//! `worker/` share this file.

use std::{
    fmt::Display,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use edge_host::{
    Clock, OBJECT_VALUE_MAX_BYTES, Object, ObjectContext, ObjectError, ObjectErrorKind, ObjectFault,
};
use serde::Deserialize;
use serde_json::{Value, json};

/// The row in which alarms are counted.
const ALARMS: &str = "alarms";
/// The row that says how many alarms fail.
const FAILING_ALARMS: &str = "failing alarms";
/// How often an operation that waits for a row looks again.
const POLL_MILLIS: u32 = 5;

/// An operation with its arguments: a message to a [`Stepper`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Operation {
    /// The value of a row, or `null`.
    Get(String),
    /// The first keys with a prefix and after a key, and their values.
    Page(String, String, usize),
    /// The keys with a prefix, and their values.
    List(String),
    /// Writes so many rows with a prefix.
    PutMany(String, usize),
    /// Deletes the rows with a prefix one by one, and counts them.
    DeleteEach(String),
    /// Writes a row.
    Put(String, String),
    /// Writes rows, all or none.
    PutAll(Vec<(String, String)>),
    /// Writes a row, and with it one that is too long.
    PutTooLong(String),
    /// Deletes a row.
    Delete(String),
    /// Deletes everything.
    DeleteAll,
    /// Sets the alarm so many seconds from now.
    SetAlarm(i64),
    /// Deletes the alarm.
    DeleteAlarm,
    /// Makes so many of the next alarms fail.
    FailAlarms(usize),
    /// Writes a row after the response, so many milliseconds later.
    Spawn(String, String, u32),
    /// Responds once a row exists.
    WaitFor(String),
    /// Writes a row and never responds.
    PutAndHang(String, String),
    /// The number of messages that this instance has received.
    Count,
    /// Fails.
    Fail,
    /// Panics.
    Panic,
}

/// Runs operations.
pub struct Stepper {
    context: ObjectContext,
    clock: Arc<dyn Clock>,
    messages: AtomicUsize,
}

impl Stepper {
    /// An instance.
    pub fn new(clock: Arc<dyn Clock>, context: ObjectContext) -> Self {
        Self { context, clock, messages: AtomicUsize::new(0) }
    }

    async fn wait_for(&self, key: &str) -> Result<(), ObjectFault> {
        while self.context.storage().get(key)?.is_none() {
            self.clock.sleep(POLL_MILLIS).await;
        }
        Ok(())
    }

    /// The number in a row.
    fn number(&self, key: &str) -> Result<usize, ObjectFault> {
        let text = self.context.storage().get(key)?;
        text.map_or(Ok(0), |text| text.parse().map_err(fault))
    }
}

fn fault(error: impl Display) -> ObjectFault {
    ObjectFault::new(error.to_string())
}

#[async_trait]
impl Object for Stepper {
    async fn receive(&self, message: &str) -> Result<String, ObjectFault> {
        let count = self.messages.fetch_add(1, Ordering::Relaxed) + 1;
        let storage = self.context.storage();
        let response = match serde_json::from_str(message).map_err(fault)? {
            Operation::Get(key) => json!(storage.get(&key)?),
            Operation::Page(prefix, after, limit) => json!(storage.page(&prefix, &after, limit)?),
            Operation::List(prefix) => {
                let mut rows = Vec::new();
                storage.each(&prefix, &mut |key, value| {
                    rows.push((key.to_owned(), value.to_owned()));
                    Ok(())
                })?;
                json!(rows)
            }
            Operation::PutMany(prefix, count) => {
                (0..count).try_for_each(|row| storage.put(&format!("{prefix}{row}"), ""))?;
                json!(null)
            }
            Operation::DeleteEach(prefix) => {
                let mut visited = 0;
                storage.each(&prefix, &mut |key, _| {
                    visited += 1;
                    storage.delete(key)
                })?;
                json!(visited)
            }
            Operation::Put(key, value) => json!(storage.put(&key, &value)?),
            Operation::PutAll(rows) => json!(storage.put_all(&rows)?),
            Operation::PutTooLong(key) => {
                let long = "x".repeat(OBJECT_VALUE_MAX_BYTES * 2);
                let rows = [(key, String::new()), ("long".to_owned(), long)];
                json!(storage.put_all(&rows)?)
            }
            Operation::Delete(key) => json!(storage.delete(&key)?),
            Operation::DeleteAll => json!(storage.delete_all()?),
            Operation::SetAlarm(secs) => {
                let at = self.clock.now() + chrono::Duration::seconds(secs);
                json!(storage.set_alarm(Some(at))?)
            }
            Operation::DeleteAlarm => json!(storage.set_alarm(None)?),
            Operation::FailAlarms(times) => json!(storage.put(FAILING_ALARMS, &times.to_string())?),
            Operation::Spawn(key, value, millis) => {
                let (context, clock) = (self.context.clone(), Arc::clone(&self.clock));
                self.context.spawn(async move {
                    clock.sleep(millis).await;
                    // A row that is not written fails the test.
                    let _ = context.storage().put(&key, &value);
                });
                Value::Null
            }
            Operation::WaitFor(key) => json!(self.wait_for(&key).await?),
            Operation::PutAndHang(key, value) => {
                storage.put(&key, &value)?;
                json!(self.wait_for("no such row").await?)
            }
            Operation::Count => json!(count),
            Operation::Fail => return Err(ObjectFault::new("made to fail")),
            Operation::Panic => panic!("made to panic"),
        };
        Ok(response.to_string())
    }

    async fn alarm(&self) -> Result<(), ObjectFault> {
        let storage = self.context.storage();
        let failing = self.number(FAILING_ALARMS)?;
        if failing > 0 {
            storage.put(FAILING_ALARMS, &(failing - 1).to_string())?;
            return Err(ObjectFault::new("made to fail"));
        }
        storage.put(ALARMS, &(self.number(ALARMS)? + 1).to_string())
    }
}

/// What a sender has received, as JSON.
pub fn outcome(response: Result<String, ObjectError>) -> Value {
    match response {
        Ok(text) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        Err(error) => json!({"error": name(error.kind)}),
    }
}

fn name(kind: ObjectErrorKind) -> &'static str {
    match kind {
        ObjectErrorKind::Overloaded => "overloaded",
        ObjectErrorKind::Disconnected => "disconnected",
        ObjectErrorKind::TimedOut => "timed_out",
        ObjectErrorKind::Failed => "failed",
    }
}
