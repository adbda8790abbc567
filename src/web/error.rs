//! The domain's errors as responses to a browser.

use std::fmt::Display;

use http::StatusCode;

use crate::{
    access::{log_full, no_such_expense, user_deleted},
    conditions::condition_not_met,
    expenses::{
        ledger::client::WriteError,
        model::ExpenseId,
        store::GetError,
        user_expenses::{RemoveError, RestoreError},
    },
};
use axum_authkit::AppError;

/// `Retry-After` of a response to a failure of KV or of the ledger.
const RETRY_AFTER_SECS: u32 = 2;

/// 503: KV failed to read.
pub(super) fn not_reached(error: impl Display) -> AppError {
    let detail = "Expenses cannot be reached right now: try again in a moment";
    AppError::unavailable(detail, RETRY_AFTER_SECS, error)
}

/// The response to a write that failed.
pub(super) fn not_written(error: WriteError) -> AppError {
    match error {
        WriteError::Erased => user_deleted(),
        WriteError::LogFull => log_full(),
        WriteError::NotWritten(cause) => {
            let detail = "Expenses cannot be reached right now, and nothing was saved: send it again in a \
                moment";
            AppError::unavailable(detail, RETRY_AFTER_SECS, cause)
        }
        WriteError::MaybeWritten(cause) => {
            let detail = "Expenses cannot be reached right now, and the change may or may not have been \
                saved: look, or send it again in a moment";
            AppError::unavailable(detail, RETRY_AFTER_SECS, cause)
        }
    }
}

/// The response to a read that failed.
pub(super) fn not_got(error: GetError, id: ExpenseId) -> AppError {
    match error {
        GetError::Unreadable(_) => unreadable(id),
        GetError::Kv(error) => not_reached(error),
    }
}

/// 500: the stored record is damaged. The page leads to the one that deletes it.
pub(super) fn unreadable(id: ExpenseId) -> AppError {
    let detail =
        "The stored record of this expense cannot be read: delete the expense, and add it again";
    AppError::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
        .with_action("Delete the expense", format!("/expenses/{id}/delete"))
}

/// The response to a removal that failed.
pub(super) fn not_removed(error: RemoveError) -> AppError {
    match error {
        RemoveError::Absent => no_such_expense(),
        RemoveError::ConditionNotMet => condition_not_met(),
        RemoveError::Write(error) => not_written(error),
    }
}

/// The response to a restoration that failed.
pub(super) fn not_restored(error: RestoreError, id: ExpenseId) -> AppError {
    match error {
        RestoreError::Absent => {
            let detail =
                "The expense cannot be restored: it does not exist, or was deleted too long ago";
            AppError::new(StatusCode::NOT_FOUND, detail)
        }
        RestoreError::Unreadable(_) => unreadable(id),
        RestoreError::Write(error) => not_written(error),
    }
}
