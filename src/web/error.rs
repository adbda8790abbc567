//! The domain's errors as responses to a browser.

use http::StatusCode;

use crate::{
    access::no_such_expense,
    expenses::{store::GetError, user_expenses::RemoveError},
};
use axum_authkit::AppError;
use edge_host::KvError;

/// `Retry-After` of a response to a failure of KV.
const KV_RETRY_AFTER_SECS: u32 = 2;

/// 503: KV failed.
pub(super) fn not_reached(error: KvError) -> AppError {
    let detail = "Expenses cannot be reached right now: try again in a moment";
    AppError::unavailable(detail, KV_RETRY_AFTER_SECS, error)
}

/// 503: KV failed to write, and the write may have taken effect.
fn not_confirmed(error: KvError) -> AppError {
    let detail = "Expenses cannot be reached right now, and the change may or may not have been saved: \
        look, or send it again in a moment";
    AppError::unavailable(detail, KV_RETRY_AFTER_SECS, error)
}

/// The response to a read that failed.
pub(super) fn not_got(error: GetError) -> AppError {
    match error {
        GetError::Unreadable(_) => unreadable(),
        GetError::Kv(error) => not_reached(error),
    }
}

/// 500: the stored record is damaged.
pub(super) fn unreadable() -> AppError {
    let detail =
        "The stored record of this expense cannot be read: delete the expense, and add it again";
    AppError::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
}

/// The response to a removal that failed.
pub(super) fn not_removed(error: RemoveError) -> AppError {
    match error {
        RemoveError::Absent => no_such_expense(),
        RemoveError::Read(error) => not_reached(error),
        RemoveError::Write(error) => not_confirmed(error),
    }
}
