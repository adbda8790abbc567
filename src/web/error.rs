//! The domain's errors as responses to a browser.

use http::StatusCode;

use crate::{
    expense_errors::{CHANGE_MAYBE_SAVED, not_reached, not_written},
    expenses::{
        model::ExpenseId,
        store::GetError,
        user_expenses::{ListError, RestoreError},
    },
};
use axum_authkit::AppError;

/// The response to a read that failed.
pub(super) fn not_got(error: GetError, id: ExpenseId) -> AppError {
    match error {
        GetError::Unreadable(_) => unreadable(id),
        GetError::Kv(error) => not_reached(error),
    }
}

/// The response to a page of a list that was not read.
pub(super) fn not_listed(error: ListError) -> AppError {
    match error {
        ListError::Kv(error) => not_reached(error),
        ListError::ForeignCursor => AppError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "This page of the list cannot be shown: its address is incomplete or another user's",
        )
        .with_action("Newest expenses", "/expenses"),
    }
}

/// 500: the stored record is damaged. The page leads to the one that deletes it.
pub(super) fn unreadable(id: ExpenseId) -> AppError {
    let detail =
        "The stored record of this expense cannot be read: delete the expense, and add it again";
    AppError::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
        .with_action("Delete the expense", format!("/expenses/{id}/delete"))
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
        RestoreError::Write(error) => not_written(error, CHANGE_MAYBE_SAVED),
    }
}
