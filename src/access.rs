//! Extractors that the interfaces to expenses share: the caller's expenses, for what the caller's token
//! allows, and the id in a path.

use std::sync::Arc;

use axum::{
    extract::{FromRef, FromRequestParts, RawPathParams},
    response::{IntoResponse, Response},
};
use http::{Method, StatusCode, request::Parts};

use crate::{
    authkit::{AuthKit, Challenge, CurrentUser, UnscopedUser},
    error::AppError,
    expenses::{Expenses, UserExpenses, model::ExpenseId},
};

/// What a request does with expenses. A token that is limited to scopes needs the scope for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reads expenses.
    Read,
    /// Adds, changes or deletes expenses.
    Write,
}

impl Access {
    /// Every scope.
    pub const SCOPES: [&'static str; 2] = [Self::Read.scope(), Self::Write.scope()];
    /// The beginning of every scope of this application, those of later versions included.
    pub const SCOPE_PREFIX: &'static str = "expenses:";

    /// The access of a request by its method.
    #[must_use]
    pub fn for_method(method: &Method) -> Self {
        if method.is_safe() { Self::Read } else { Self::Write }
    }

    /// The scope that allows the access.
    #[must_use]
    pub const fn scope(self) -> &'static str {
        match self {
            Self::Read => "expenses:read",
            Self::Write => "expenses:write",
        }
    }
}

/// The expenses of the caller. A handler that takes them is protected: the caller's token must allow the
/// request's method.
impl<S> FromRequestParts<S> for UserExpenses
where
    Arc<AuthKit>: FromRef<S>,
    Expenses: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let caller = UnscopedUser::from_request_parts(parts, state).await?;
        let challenge = Challenge::from_request_parts(parts, state).await;
        let caller = challenge
            .and_then(|challenge| {
                caller.require_scope(Access::for_method(&parts.method).scope(), &challenge)
            })
            .map_err(IntoResponse::into_response)?;
        let expenses = Expenses::from_ref(state);
        Ok(expenses.of_user(caller.id(), parts.extensions.get().cloned()))
    }
}

/// The expenses of a caller who is known already, if the caller's token allows the request's method.
///
/// # Errors
///
/// 403 `insufficient_scope`.
pub async fn expenses_of<S>(
    caller: &CurrentUser,
    parts: &mut Parts,
    state: &S,
) -> Result<UserExpenses, AppError>
where
    Arc<AuthKit>: FromRef<S>,
    Expenses: FromRef<S>,
    S: Send + Sync,
{
    let challenge = Challenge::from_request_parts(parts, state).await?;
    caller.require_scope(Access::for_method(&parts.method).scope(), &challenge)?;
    let expenses = Expenses::from_ref(state);
    Ok(expenses.of_user(caller.id(), parts.extensions.get().cloned()))
}

/// The `{id}` of a path. A text that is not an id names no expense.
impl<S: Send + Sync> FromRequestParts<S> for ExpenseId {
    type Rejection = AppError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, AppError> {
        let params = RawPathParams::from_request_parts(parts, state).await.ok();
        let id = params.iter().flatten().find(|(name, _)| *name == "id");
        id.and_then(|(_, id)| Self::parse(id).ok()).ok_or_else(no_such_expense)
    }
}

/// 404, for another user's expense too: whether it exists is not told.
pub(crate) fn no_such_expense() -> AppError {
    AppError::new(StatusCode::NOT_FOUND, "Expense not found")
}
