//! The isolate's side of a ledger.
//!
//! A message that may have been lost on the way is sent a second time. It carries the same request id, and a ledger
//! that has performed the first one responds to the second without another write.

use std::sync::Arc;

use edge_host::{Clock, ObjectErrorKind, ObjectNamespace, TimedObjects, random_bytes};
use thiserror::Error;

use super::{
    messages::{
        Command, EntryMessage, KeyMessage, Message, Outcome, Response, UnknownVersion, VERSION,
        json, parse,
    },
    overlay::{Overlay, Recent},
};
use crate::expenses::{
    idempotency::IdempotentRequest,
    keys::Owner,
    model::{Expense, ExpenseChanges, ExpenseId},
    record::ExpenseRecord,
    version::Condition,
};

/// The longest wait for a ledger. A write may read KV, which takes five seconds at most.
const MAX_MILLIS: u32 = 10_000;

/// The ledgers of all owners.
#[derive(Clone)]
pub(crate) struct Ledgers(Arc<dyn ObjectNamespace>);

/// A ledger has not responded, or not with a response of a known version.
#[derive(Debug, Clone, Error)]
#[error("{reason}")]
pub struct LedgerError {
    /// Whether the message may take effect, now or later.
    may_have_run: bool,
    reason: String,
}

impl From<UnknownVersion> for LedgerError {
    fn from(error: UnknownVersion) -> Self {
        Self { may_have_run: true, reason: format!("the ledger: {error}") }
    }
}

/// Why a write of any kind did not succeed.
#[derive(Debug, Clone, Error)]
pub enum WriteError {
    /// The user was deleted. Nothing was written.
    #[error("the user was deleted")]
    Erased,
    /// The ledger holds as many writes as it can until KV accepts them. Nothing was written.
    #[error("the ledger's log is full")]
    LogFull,
    /// The ledger or KV failed. Nothing was written.
    #[error("{0}")]
    NotWritten(String),
    /// The ledger failed. The write may take effect, now or later.
    #[error("{0}")]
    MaybeWritten(String),
}

impl From<LedgerError> for WriteError {
    fn from(LedgerError { may_have_run, reason }: LedgerError) -> Self {
        if may_have_run { Self::MaybeWritten(reason) } else { Self::NotWritten(reason) }
    }
}

/// The outcome of a write that the ledger has decided.
pub(crate) enum Written {
    Saved(Expense),
    Removed,
    Absent,
    Unreadable,
    NotMet,
    KeyReused,
}

impl Ledgers {
    pub(crate) fn new(objects: Arc<dyn ObjectNamespace>, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(TimedObjects::new(objects, clock, MAX_MILLIS)))
    }

    pub(crate) async fn add(
        &self,
        owner: &Owner,
        expense: &Expense,
        once: Option<&IdempotentRequest>,
    ) -> Result<Written, WriteError> {
        let key = once.map(|once| KeyMessage {
            hash: once.key_hash(),
            body_hash: once.body_hash().to_owned(),
        });
        let (id, record) = (expense.id.to_string(), ExpenseRecord::from(expense));
        self.write(owner, Command::Add { id, record, key }).await
    }

    /// Replaces an expense by one with the same id. The ledger sets its times.
    pub(crate) async fn replace(
        &self,
        owner: &Owner,
        expense: &Expense,
        condition: Condition,
    ) -> Result<Written, WriteError> {
        let (id, record) = (expense.id.to_string(), ExpenseRecord::from(expense));
        self.write(owner, Command::Replace { id, record, condition: condition.into() }).await
    }

    pub(crate) async fn change(
        &self,
        owner: &Owner,
        id: ExpenseId,
        changes: ExpenseChanges,
        condition: Condition,
    ) -> Result<Written, WriteError> {
        let (changes, condition) = (changes.into(), condition.into());
        self.write(owner, Command::Change { id: id.to_string(), changes, condition }).await
    }

    pub(crate) async fn remove(
        &self,
        owner: &Owner,
        id: ExpenseId,
        condition: Condition,
    ) -> Result<Written, WriteError> {
        let command = Command::Remove { id: id.to_string(), condition: condition.into() };
        self.write(owner, command).await
    }

    /// Begins the erasure of the owner's data: from now on reads are empty and writes are refused.
    pub(crate) async fn erase(&self, owner: &Owner) -> Result<(), LedgerError> {
        let response = self.send(owner, Command::Erase).await?;
        match outcome(&response)? {
            Outcome::Erased => Ok(()),
            _ => Err(unexpected()),
        }
    }

    /// The log's entry of an expense.
    pub(crate) async fn get(&self, owner: &Owner, id: ExpenseId) -> Result<Recent, LedgerError> {
        let response = self.send(owner, Command::Get { id: id.to_string() }).await?;
        match outcome(&response)? {
            Outcome::Entry { entry: None } => Ok(Recent::Unknown),
            Outcome::Entry { entry: Some(entry) } => {
                let (_, expense) = read(entry)?;
                Ok(Recent::Written(expense.map(Box::new)))
            }
            Outcome::Erased => Ok(Recent::Written(None)),
            _ => Err(unexpected()),
        }
    }

    /// The log's entries with ids larger than `after`.
    pub(crate) async fn list(
        &self,
        owner: &Owner,
        after: Option<&str>,
    ) -> Result<Overlay, LedgerError> {
        let after = after.map(str::to_owned);
        let response = self.send(owner, Command::List { after }).await?;
        match outcome(&response)? {
            Outcome::Entries { entries } => {
                let entries = entries.into_iter().map(read).collect::<Result<_, _>>()?;
                Ok(Overlay::Recent(entries))
            }
            Outcome::Erased => Ok(Overlay::Erased),
            _ => Err(unexpected()),
        }
    }

    async fn write(&self, owner: &Owner, command: Command<'_>) -> Result<Written, WriteError> {
        let response = self.send(owner, command).await?;
        Ok(match outcome(&response).map_err(LedgerError::from)? {
            Outcome::Saved { id, record } => {
                let entry = EntryMessage { id, record: Some(record) };
                let (_, expense) = read(entry).map_err(LedgerError::from)?;
                expense.map_or(Written::Absent, Written::Saved)
            }
            Outcome::Removed => Written::Removed,
            Outcome::Absent => Written::Absent,
            Outcome::Unreadable => Written::Unreadable,
            Outcome::NotMet => Written::NotMet,
            Outcome::KeyReused => Written::KeyReused,
            Outcome::Full => return Err(WriteError::LogFull),
            Outcome::NotRead { reason } => return Err(WriteError::NotWritten(reason)),
            Outcome::Erased => return Err(WriteError::Erased),
            Outcome::Entry { .. } | Outcome::Entries { .. } => return Err(unexpected().into()),
        })
    }

    async fn send(&self, owner: &Owner, command: Command<'_>) -> Result<String, LedgerError> {
        let request = base16ct::lower::encode_string(&random_bytes::<16>());
        let owner = owner.as_str();
        let message =
            json(&Message { v: VERSION, owner: owner.into(), request: request.into(), command });
        let first = match self.0.send(owner, &message).await {
            Ok(response) => return Ok(response),
            Err(error) => error,
        };
        let mut may_have_run = first.may_have_run();
        let mut last = first;
        if last.kind == ObjectErrorKind::Disconnected {
            match self.0.send(owner, &message).await {
                Ok(response) => return Ok(response),
                Err(error) => last = error,
            }
            may_have_run |= last.may_have_run();
        }
        Err(LedgerError { may_have_run, reason: format!("the ledger: {last}") })
    }
}

fn outcome(response: &str) -> Result<Outcome<'_>, UnknownVersion> {
    parse("response", response).map(|response: Response<'_>| response.outcome)
}

fn read(entry: EntryMessage<'_>) -> Result<(ExpenseId, Option<Expense>), UnknownVersion> {
    let unknown = UnknownVersion("record of a response");
    let id = ExpenseId::parse(&entry.id).map_err(|_| unknown)?;
    let expense = match entry.record {
        Some(record) => Some(record.into_expense(id).ok_or(unknown)?),
        None => None,
    };
    Ok((id, expense))
}

/// The response belongs to another command.
fn unexpected() -> LedgerError {
    UnknownVersion("response").into()
}
