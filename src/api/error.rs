//! The domain's errors as HTTP responses.

use std::fmt::Display;

use http::StatusCode;

use crate::{
    access::{log_full, no_such_expense, user_deleted},
    conditions::condition_not_met,
    expenses::{
        ledger::client::WriteError,
        store::GetError,
        user_expenses::{AddError, ChangeError, RemoveError, RestoreError},
    },
    fastapi::expense::unfit_amount,
};
use axum_authkit::AppError;

/// `Retry-After` of a response to a failure of KV or of the ledger.
const RETRY_AFTER_SECS: u32 = 2;

const NOT_REACHED: &str = "Expenses cannot be reached right now: try again in a moment";
const NOT_SAVED: &str =
    "Expenses cannot be reached right now, and nothing was saved: send it again in a moment";
const CHANGE_MAYBE_SAVED: &str = "Expenses cannot be reached right now, and the change may or may not \
    have been saved: look, or send it again in a moment";
const NEW_MAYBE_SAVED: &str = "Expenses cannot be reached right now, and the expense may or may not \
    have been saved: look before you send it again. With an Idempotency-Key it is safe to";
const NEW_MAYBE_SAVED_WITH_KEY: &str = "Expenses cannot be reached right now, and the expense may or may \
    not have been saved: look, or send it again with the same Idempotency-Key";
const UNREADABLE: &str =
    "The stored record of this expense cannot be read: replace the expense with PUT, or delete it";
/// 503: KV failed to read.
pub(super) fn not_read(error: impl Display) -> AppError {
    AppError::unavailable(NOT_REACHED, RETRY_AFTER_SECS, error)
}

/// 500 that says how to mend the record. The domain has logged it.
fn unreadable() -> AppError {
    AppError::new(StatusCode::INTERNAL_SERVER_ERROR, UNREADABLE)
}

/// The response to a read that failed.
pub(super) fn not_got(error: GetError) -> AppError {
    match error {
        GetError::Unreadable(_) => unreadable(),
        GetError::Kv(error) => not_read(error),
    }
}

/// The response to a write that failed; `maybe_saved` is its detail if it may have taken effect.
fn not_written(error: WriteError, maybe_saved: &str) -> AppError {
    match error {
        WriteError::Erased => user_deleted(),
        WriteError::LogFull => log_full(),
        WriteError::NotWritten(cause) => AppError::unavailable(NOT_SAVED, RETRY_AFTER_SECS, cause),
        WriteError::MaybeWritten(cause) => {
            AppError::unavailable(maybe_saved, RETRY_AFTER_SECS, cause)
        }
    }
}

/// The response to a change that failed.
pub(super) fn not_changed(error: ChangeError) -> AppError {
    match error {
        ChangeError::Absent => no_such_expense(),
        ChangeError::Unreadable(_) => unreadable(),
        ChangeError::ConditionNotMet => condition_not_met(),
        ChangeError::Unfit(unfit) => unfit_amount(unfit).into(),
        ChangeError::Write(error) => not_written(error, CHANGE_MAYBE_SAVED),
    }
}

/// The response to a removal that failed.
pub(super) fn not_removed(error: RemoveError) -> AppError {
    match error {
        RemoveError::Absent => no_such_expense(),
        RemoveError::ConditionNotMet => condition_not_met(),
        RemoveError::Write(error) => not_written(error, CHANGE_MAYBE_SAVED),
    }
}

/// The response to a restoration that failed.
pub(super) fn not_restored(error: RestoreError) -> AppError {
    match error {
        RestoreError::Absent => no_such_expense(),
        RestoreError::Unreadable(_) => unreadable(),
        RestoreError::Write(error) => not_written(error, CHANGE_MAYBE_SAVED),
    }
}

/// The response to an addition that failed; `key_reused` is the response for a key with another body.
pub(super) fn not_added(
    error: AddError,
    has_key: bool,
    key_reused: impl FnOnce() -> AppError,
) -> AppError {
    match error {
        AddError::KeyReused => key_reused(),
        AddError::Write(error) if has_key => not_written(error, NEW_MAYBE_SAVED_WITH_KEY),
        AddError::Write(error) => not_written(error, NEW_MAYBE_SAVED),
    }
}
