//! The domain's errors as HTTP responses.

use http::{StatusCode, header};

use crate::{
    access::no_such_expense,
    expenses::{
        idempotency::AddError,
        store::GetError,
        user_expenses::{ChangeError, RemoveError},
    },
};
use axum_authkit::AppError;
use edge_host::KvError;

/// `Retry-After` of a response to a failure of KV.
const KV_RETRY_AFTER_SECS: u32 = 2;
/// `Retry-After` of a response while another request with the same idempotency key is in process.
const IN_PROCESS_RETRY_AFTER_SECS: u32 = 1;

const NOT_REACHED: &str = "Expenses cannot be reached right now: try again in a moment";
const CHANGE_MAYBE_SAVED: &str = "Expenses cannot be reached right now, and the change may or may not \
    have been saved: look, or send it again in a moment";
const NEW_MAYBE_SAVED: &str = "Expenses cannot be reached right now, and the expense may or may not \
    have been saved: look before you send it again. With an Idempotency-Key it is safe to";
const NEW_MAYBE_SAVED_WITH_KEY: &str = "Expenses cannot be reached right now, and the expense may or may \
    not have been saved: look, or send it again with the same Idempotency-Key";
/// The request with the key that came first has no response yet.
pub(super) const IN_PROCESS: &str =
    "A request with this Idempotency-Key is still being answered: send it again in a moment";
const UNREADABLE: &str =
    "The stored record of this expense cannot be read: replace the expense with PUT, or delete it";
const UNREADABLE_KEY: &str = "The stored record of this Idempotency-Key cannot be read: look whether the \
    expense was added, and use a new key for the next one";

/// 503: KV failed to read.
pub(super) fn not_read(error: KvError) -> AppError {
    AppError::unavailable(NOT_REACHED, KV_RETRY_AFTER_SECS, error)
}

fn not_confirmed(detail: &str, error: KvError) -> AppError {
    AppError::unavailable(detail, KV_RETRY_AFTER_SECS, error)
}

/// 500 that says how to mend the record. The domain has logged it.
fn unreadable(detail: &str) -> AppError {
    AppError::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
}

/// The response to a read that failed.
pub(super) fn not_got(error: GetError) -> AppError {
    match error {
        GetError::Unreadable(_) => unreadable(UNREADABLE),
        GetError::Kv(error) => not_read(error),
    }
}

/// The response to a change that failed.
pub(super) fn not_changed(error: ChangeError) -> AppError {
    match error {
        ChangeError::Absent => no_such_expense(),
        ChangeError::Unreadable(_) => unreadable(UNREADABLE),
        ChangeError::Read(error) => not_read(error),
        ChangeError::Write(error) => not_confirmed(CHANGE_MAYBE_SAVED, error),
    }
}

/// The response to a removal that failed.
pub(super) fn not_removed(error: RemoveError) -> AppError {
    match error {
        RemoveError::Absent => no_such_expense(),
        RemoveError::Read(error) => not_read(error),
        RemoveError::Write(error) => not_confirmed(CHANGE_MAYBE_SAVED, error),
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
        AddError::InProcess => AppError::new(StatusCode::CONFLICT, IN_PROCESS)
            .with_header(header::RETRY_AFTER, IN_PROCESS_RETRY_AFTER_SECS.into()),
        AddError::UnreadableKey => unreadable(UNREADABLE_KEY),
        AddError::Read(error) => not_read(error),
        AddError::Write(error) if has_key => not_confirmed(NEW_MAYBE_SAVED_WITH_KEY, error),
        AddError::Write(error) => not_confirmed(NEW_MAYBE_SAVED, error),
    }
}
