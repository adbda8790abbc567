//! The isolate's side of a ledger.
//!
//! A message that may have been lost on the way is sent a second time. It carries the same request id, and a ledger
//! that has performed the first one responds to the second without another write. The first
//! one may also still wait for KV, and take effect after the response to the second.

use std::sync::Arc;

use edge_host::{Clock, ObjectErrorKind, ObjectNamespace, TimedObjects, json, random_bytes};
use thiserror::Error;

use super::{
    entries::message_bytes,
    log::MAX_BYTES,
    messages::{
        AddMessage, ChangeMessage, Command, ImportMessage, KeyMessage, Message, Outcome,
        RemoveMessage, ReplaceMessage, Response, RowMessage, SavedRowMessage, UnfitAmountMessage,
        UnknownVersion, VERSION, json_of_length, parse, rows_length,
    },
    overlay::{Overlay, Recent},
    texts,
};
use crate::expenses::{
    amount::Amount,
    idempotency::IdempotentRequest,
    keys::Owner,
    model::{Currency, Expense, ExpenseChanges, ExpenseId, UnfitAmount},
    record::{ExpenseRecord, Text},
    row::Row,
    version::Condition,
};

/// The longest wait for one message, during which a write may read KV. A message whose object ended is sent once more,
/// so that a caller waits twice as long at most.
const MAX_MILLIS: u32 = 10_000;
const _: () = assert!(edge_host::KV_READ_MAX_MILLIS < MAX_MILLIS);

/// The ledgers in events and in the scope of a request.
const SERVICE: &str = "ledger";

/// The ledgers of all owners.
pub(crate) struct Ledgers(Arc<dyn ObjectNamespace>);

/// The response to a message.
struct Sent {
    response: String,
    /// Whether the same message was sent before, and may take effect after this response.
    may_follow: bool,
}

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
    Saved(Row),
    Removed,
    Absent,
    Unreadable,
    NotMet,
    KeyReused,
    Unfit(UnfitAmount),
    /// So many expenses of an import.
    Imported(usize),
}

impl Ledgers {
    pub(crate) fn new(objects: Arc<dyn ObjectNamespace>, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(TimedObjects::new(objects, clock, MAX_MILLIS, SERVICE)))
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
        self.write(owner, Command::Add(AddMessage { id, record, key })).await
    }

    /// Replaces an expense by one with the same id. The ledger sets its times.
    pub(crate) async fn replace(
        &self,
        owner: &Owner,
        expense: &Expense,
        condition: Condition,
    ) -> Result<Written, WriteError> {
        let (id, record) = (expense.id.to_string(), ExpenseRecord::from(expense));
        let message = ReplaceMessage { id, record, condition: condition.into() };
        self.write(owner, Command::Replace(message)).await
    }

    pub(crate) async fn change(
        &self,
        owner: &Owner,
        id: ExpenseId,
        changes: ExpenseChanges,
        condition: Condition,
    ) -> Result<Written, WriteError> {
        let (id, changes, condition) = (id.to_string(), changes.into(), condition.into());
        self.write(owner, Command::Change(ChangeMessage { id, changes, condition })).await
    }

    pub(crate) async fn remove(
        &self,
        owner: &Owner,
        id: ExpenseId,
        condition: Condition,
    ) -> Result<Written, WriteError> {
        let message = RemoveMessage { id: id.to_string(), condition: condition.into() };
        self.write(owner, Command::Remove(message)).await
    }

    /// Restores a removed expense.
    pub(crate) async fn restore(
        &self,
        owner: &Owner,
        id: ExpenseId,
    ) -> Result<Written, WriteError> {
        self.write(owner, Command::Restore { id: id.to_string() }).await
    }

    /// Whether an empty log has room for these expenses.
    pub(crate) fn can_hold(expenses: &[Expense]) -> bool {
        expenses.iter().map(message_bytes).sum::<usize>() <= MAX_BYTES
    }

    /// Adds expenses, all or none; how many of them the log does not have already.
    pub(crate) async fn import(
        &self,
        owner: &Owner,
        expenses: Vec<Expense>,
    ) -> Result<usize, WriteError> {
        let row = |expense: Expense| RowMessage {
            id: expense.id.to_string().into(),
            // The expense is freed here.
            row: Some(Text(Row::from(&expense).stored().into())),
            removed: None,
        };
        let rows = expenses.into_iter().map(row).collect();
        match self.write(owner, Command::Import(ImportMessage { rows })).await? {
            Written::Imported(added) => Ok(added),
            _ => Err(unexpected().into()),
        }
    }

    /// The expense that a removal has removed; `None` if it cannot be restored.
    pub(crate) async fn removed(
        &self,
        owner: &Owner,
        id: ExpenseId,
    ) -> Result<Option<Row>, LedgerError> {
        let Sent { response, .. } = self.deliver(owner, &texts::get(owner, id)).await?;
        match outcome(&response)? {
            Outcome::Row { entry: Some(RowMessage { removed: Some(Text(row)), .. }) } => {
                Ok(Row::from_ledger(id, &row))
            }
            _ => Ok(None),
        }
    }

    /// Begins the erasure of the owner's data: from now on reads are empty and writes are refused.
    pub(crate) async fn erase(&self, owner: &Owner) -> Result<(), LedgerError> {
        let Sent { response, .. } = self.send(owner, Command::Erase).await?;
        match outcome(&response)? {
            Outcome::Erased => Ok(()),
            _ => Err(unexpected()),
        }
    }

    /// The log's entry of an expense.
    pub(crate) async fn get(&self, owner: &Owner, id: ExpenseId) -> Result<Recent, LedgerError> {
        let Sent { response, .. } = self.deliver(owner, &texts::get(owner, id)).await?;
        if response == texts::NO_ENTRY {
            return Ok(Recent::Unknown);
        }
        match outcome(&response)? {
            Outcome::Row { entry: None } => Ok(Recent::Unknown),
            Outcome::Row { entry: Some(entry) } => Ok(Recent::Written(read_row(&entry)?.1)),
            Outcome::Erased => Ok(Recent::Written(None)),
            _ => Err(unexpected()),
        }
    }

    /// The log's entries with ids larger than `after`, up to `until`: with a limit, only those that a page of so many
    /// expenses needs.
    pub(crate) async fn list(
        &self,
        owner: &Owner,
        after: Option<&str>,
        until: Option<&str>,
        limit: Option<usize>,
    ) -> Result<Overlay, LedgerError> {
        let [after, until] = [after, until].map(|id| id.map(|id| Text(id.into())));
        let command = Command::List { after, until, limit };
        let Sent { response, .. } = self.send(owner, command).await?;
        // The entries are in the order of the ids.
        match outcome(&response)? {
            Outcome::Rows { entries } => {
                Ok(Overlay::Recent(entries.iter().map(read_row).collect::<Result<_, _>>()?))
            }
            Outcome::Erased => Ok(Overlay::Erased),
            _ => Err(unexpected()),
        }
    }

    async fn write(&self, owner: &Owner, command: Command<'_>) -> Result<Written, WriteError> {
        let Sent { response, may_follow } = self.send(owner, command).await?;
        let saved = texts::read_saved(&response);
        if let Some(row) = saved.and_then(|(id, row)| Row::from_ledger(id, row)) {
            return Ok(Written::Saved(row));
        }
        Ok(match outcome(&response).map_err(LedgerError::from)? {
            Outcome::SavedRow(SavedRowMessage { id, row }) => {
                let entry = RowMessage { id, row: Some(Text(row)), removed: None };
                let (_, row) = read_row(&entry).map_err(LedgerError::from)?;
                row.map_or(Written::Absent, Written::Saved)
            }
            Outcome::Removed => Written::Removed,
            Outcome::Absent => Written::Absent,
            Outcome::Unreadable => Written::Unreadable,
            Outcome::NotMet => Written::NotMet,
            Outcome::KeyReused => Written::KeyReused,
            Outcome::UnfitAmount(UnfitAmountMessage { amount, currency }) => {
                let currency = Currency::parse(&currency).ok();
                let unfit = Amount::parse(&amount).zip(currency).and_then(|(amount, currency)| {
                    let reason = amount.in_currency(currency).err()?;
                    Some(UnfitAmount { amount, currency, reason })
                });
                Written::Unfit(unfit.ok_or(UnknownVersion("response")).map_err(LedgerError::from)?)
            }
            Outcome::Imported { added } => Written::Imported(added),
            // The first message may still wait for KV, and find room.
            Outcome::Full if may_follow => {
                return Err(WriteError::MaybeWritten("the log was full".to_owned()));
            }
            Outcome::Full => return Err(WriteError::LogFull),
            // The first message may still wait for KV, and find the expense.
            Outcome::NotRead { reason } if may_follow => {
                return Err(WriteError::MaybeWritten(reason));
            }
            Outcome::NotRead { reason } => return Err(WriteError::NotWritten(reason)),
            Outcome::Erased => return Err(WriteError::Erased),
            Outcome::Row { .. } | Outcome::Rows { .. } => return Err(unexpected().into()),
        })
    }

    async fn send(&self, owner: &Owner, command: Command<'_>) -> Result<Sent, LedgerError> {
        let message = text_of(owner, command);
        self.deliver(owner, &message).await
    }

    /// Sends the text of a message.
    async fn deliver(&self, owner: &Owner, message: &str) -> Result<Sent, LedgerError> {
        let owner = owner.as_str();
        let first = match self.0.send(owner, message).await {
            Ok(response) => return Ok(Sent { response, may_follow: false }),
            Err(error) => error,
        };
        let mut may_have_run = first.may_have_run();
        let mut last = first;
        if last.kind == ObjectErrorKind::Disconnected {
            match self.0.send(owner, message).await {
                Ok(response) => return Ok(Sent { response, may_follow: may_have_run }),
                Err(error) => last = error,
            }
            may_have_run |= last.may_have_run();
        }
        Err(LedgerError { may_have_run, reason: format!("the ledger: {last}") })
    }
}

/// The text of a message.
fn text_of(owner: &Owner, command: Command<'_>) -> String {
    let request = match &command {
        Command::Add(AddMessage { id, record, key: None }) => return texts::add(owner, id, record),
        Command::List { .. } => String::new(),
        _ => base16ct::lower::encode_string(&random_bytes::<16>()),
    };
    let message = Message {
        v: VERSION,
        owner: owner.as_str().into(),
        request: request.into(),
        reads_rows: true,
        command,
    };
    match &message.command {
        Command::Import(ImportMessage { rows }) => json_of_length(rows_length(rows), &message),
        _ => json::write(&message),
    }
}

fn outcome(response: &str) -> Result<Outcome<'_>, UnknownVersion> {
    parse("response", response).map(|response: Response<'_>| response.outcome)
}

fn read_row(entry: &RowMessage<'_>) -> Result<(ExpenseId, Option<Row>), UnknownVersion> {
    let unknown = UnknownVersion("row of a response");
    let id = ExpenseId::parse(&entry.id).map_err(|_| unknown)?;
    let row = match &entry.row {
        Some(Text(row)) => Some(Row::from_ledger(id, row).ok_or(unknown)?),
        None => None,
    };
    Ok((id, row))
}

/// The ledger has responded to another command.
pub(crate) fn unexpected() -> LedgerError {
    let reason = "the ledger: a response to another command".to_owned();
    LedgerError { may_have_run: true, reason }
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, sync::Mutex};

    use async_trait::async_trait;
    use edge_host::{ObjectError, memory::ManualClock};
    use futures_util::FutureExt;

    use super::*;

    const ID: &str = "7ZZZZZZZZZ0123456789ABCDEF";
    const RECORD: &str = r#"{"description":"Lunch","amount":"42.50","currency":"USD","category":"meals","date":"2026-11-23","created_at":1795435200,"updated_at":1795435200}"#;

    #[test]
    fn message_of_rows_has_the_length_that_is_reserved() {
        for description in ["Lunch", "\\\"'\u{1}", "日本語"] {
            let description = description.repeat(40);
            let record = RECORD.replace(
                "Lunch",
                &serde_json::to_string(&description).unwrap()[1..]
                    [..serde_json::to_string(&description).unwrap().len() - 2],
            );
            let id = ExpenseId::parse(ID).unwrap();
            let record: ExpenseRecord<'_> = serde_json::from_str(&record).unwrap();
            let expense = record.into_expense(id).unwrap();
            let stored = Row::from(&expense).stored();
            let rows: Vec<_> = (0..100)
                .map(|_| RowMessage {
                    id: ID.into(),
                    row: Some(Text(stored.as_str().into())),
                    removed: None,
                })
                .collect();
            let reserved = rows_length(&rows);
            let message = json::write(&rows);
            assert!(
                message.len() <= reserved && reserved < message.len() * 6 / 5,
                "{reserved} for {}",
                message.len()
            );
            let counted = 100 * message_bytes(&expense);
            assert!(
                counted.abs_diff(message.len()) < message.len() / 3,
                "{counted} for {}",
                message.len()
            );
        }
    }

    /// Objects whose messages fail, each with the next kind; then they cannot read KV.
    struct FailingObjects(Mutex<VecDeque<ObjectErrorKind>>);

    #[async_trait]
    impl ObjectNamespace for FailingObjects {
        async fn send(&self, _: &str, _: &str) -> Result<String, ObjectError> {
            match self.0.lock().unwrap().pop_front() {
                Some(kind) => Err(ObjectError::new(kind, "made to fail")),
                None => Ok(r#"{"v":1,"outcome":{"not_read":{"reason":"KV is down"}}}"#.to_owned()),
            }
        }
    }

    #[test]
    fn failed_write_says_whether_it_may_take_effect() {
        use ObjectErrorKind::{Disconnected, Failed, Overloaded, TimedOut};

        for (kinds, may_take_effect) in [
            (&[Overloaded][..], false),
            (&[TimedOut], true),
            (&[Failed], true),
            // The object may have had the first message.
            (&[Disconnected, Overloaded], true),
            (&[Disconnected, Disconnected], true),
            (&[Disconnected, TimedOut], true),
            (&[], false),
            // The first message may still wait for KV.
            (&[Disconnected], true),
        ] {
            let objects = Arc::new(FailingObjects(Mutex::new(kinds.iter().copied().collect())));
            let clock = Arc::new(ManualClock::default());
            let ledgers = Ledgers::new(Arc::clone(&objects) as _, clock);
            let (owner, id) = (Owner::new("user_1"), ExpenseId::parse(ID).unwrap());
            let removal = ledgers.remove(&owner, id, Condition::default());
            match removal.now_or_never().unwrap() {
                Err(WriteError::MaybeWritten(_)) => assert!(may_take_effect, "{kinds:?}"),
                Err(WriteError::NotWritten(_)) => assert!(!may_take_effect, "{kinds:?}"),
                Err(error) => panic!("{kinds:?}: {error}"),
                Ok(_) => panic!("{kinds:?}: no error"),
            }
            assert!(objects.0.lock().unwrap().is_empty(), "{kinds:?}");
        }
    }
}
