//! The domain's errors as HTTP responses: those that the API, the pages and the import share.

use std::fmt::Display;

use http::StatusCode;

use crate::{
    conditions::condition_not_met,
    expenses::{ledger::client::WriteError, user_expenses::RemoveError},
};
use axum_authkit::AppError;

/// `Retry-After` of a response to a failure of KV or of the ledger.
const RETRY_AFTER_SECS: u32 = 2;
/// `Retry-After` while the ledger's log is full: an entry leaves it ten to eleven minutes after KV has it.
const LOG_FULL_RETRY_AFTER_SECS: u32 = 600;

const NOT_REACHED: &str = "Expenses cannot be reached right now: try again in a moment";
const USER_DELETED: &str =
    "This account was deleted, and its expenses with it: nothing can be added or changed";
const LOG_FULL: &str = "Nothing was saved, because the log of recent changes is full: it holds 20,000 changed \
    expenses, 15,000 for an import, or 10 MB of them, until they are stored for ten minutes. Try again later";
const NOT_SAVED: &str =
    "Expenses cannot be reached right now, and nothing was saved: send it again in a moment";
/// The detail for a change that may have taken effect.
pub(crate) const CHANGE_MAYBE_SAVED: &str = "Expenses cannot be reached right now, and the change may or may not \
    have been saved: look, or send it again in a moment";

/// 404, for another user's expense too: whether it exists is not told.
pub(crate) fn no_such_expense() -> AppError {
    AppError::new(StatusCode::NOT_FOUND, "Expense not found")
}

/// 503: expenses cannot be read.
pub(crate) fn not_reached(error: impl Display) -> AppError {
    unavailable(NOT_REACHED, error)
}

/// The response to a write that failed; `maybe_saved` is its detail if it may have taken effect.
pub(crate) fn not_written(error: WriteError, maybe_saved: &str) -> AppError {
    match error {
        WriteError::Erased => AppError::new(StatusCode::FORBIDDEN, USER_DELETED),
        WriteError::LogFull => {
            let cause =
                "the ledger's log is full: KV does not accept its writes, or they are too many";
            AppError::unavailable(LOG_FULL, LOG_FULL_RETRY_AFTER_SECS, cause)
        }
        WriteError::NotWritten(cause) => unavailable(NOT_SAVED, cause),
        WriteError::MaybeWritten(cause) => unavailable(maybe_saved, cause),
    }
}

/// The response to a removal that failed.
pub(crate) fn not_removed(error: RemoveError) -> AppError {
    match error {
        RemoveError::Absent => no_such_expense(),
        RemoveError::ConditionNotMet => condition_not_met(),
        RemoveError::Write(error) => not_written(error, CHANGE_MAYBE_SAVED),
    }
}

fn unavailable(detail: &str, cause: impl Display) -> AppError {
    AppError::unavailable(detail, RETRY_AFTER_SECS, cause)
}
