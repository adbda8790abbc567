//! The domain's errors as responses of the API.

use http::StatusCode;

use crate::{
    conditions::condition_not_met,
    expense_errors::{CHANGE_MAYBE_SAVED, no_such_expense, not_reached, not_written},
    expenses::{
        store::GetError,
        user_expenses::{AddError, ChangeError, RestoreError},
    },
    fastapi::expense::unfit_amount,
};
use axum_authkit::AppError;

const NEW_MAYBE_SAVED: &str = "Expenses cannot be reached right now, and the expense may or may not \
    have been saved: look before you send it again. With an Idempotency-Key it is safe to";
const NEW_MAYBE_SAVED_WITH_KEY: &str = "Expenses cannot be reached right now, and the expense may or may \
    not have been saved: look, or send it again with the same Idempotency-Key";
const UNREADABLE: &str =
    "The stored record of this expense cannot be read: replace the expense with PUT, or delete it";

/// 500 that says how to mend the record. The domain has logged it.
fn unreadable() -> AppError {
    AppError::new(StatusCode::INTERNAL_SERVER_ERROR, UNREADABLE)
}

/// The response to a read that failed.
pub(super) fn not_got(error: GetError) -> AppError {
    match error {
        GetError::Unreadable(_) => unreadable(),
        GetError::Kv(error) => not_reached(error),
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
