//! Extractors that the interfaces to expenses share: the caller's expenses, for what the caller's token
//! allows, and the id in a path.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts, RawPathParams};
use http::{Method, request::Parts};

use crate::{
    expense_errors::no_such_expense,
    expenses::{Expenses, UserExpenses, model::ExpenseId},
    rate_limits::CallerLimits,
};
use axum_authkit::{AppError, CurrentUser, Rejection, UnscopedUser};

/// The access that a request needs. A token that is limited to scopes needs the scope for it.
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

/// The access that a page offers to its visitor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Permitted {
    /// To read, add, change and delete expenses.
    #[default]
    All,
    /// To read expenses.
    Reading,
    /// No page with expenses.
    Nothing,
}

impl Permitted {
    /// The access that the caller's token allows.
    #[must_use]
    pub fn of(caller: &CurrentUser) -> Self {
        let allows = |access: Access| caller.allows(access.scope());
        match (allows(Access::Read), allows(Access::Write)) {
            (true, true) => Self::All,
            (true, false) => Self::Reading,
            (false, _) => Self::Nothing,
        }
    }
}

/// The expenses of the caller. A handler that takes them is protected: the caller's token must allow the
/// request's method.
impl<S> FromRequestParts<S> for UserExpenses
where
    Expenses: FromRef<S>,
    Arc<CallerLimits>: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Rejection> {
        let caller = UnscopedUser::from_request_parts(parts, state).await?;
        let caller = caller.require_scope(Access::for_method(&parts.method).scope())?;
        Arc::<CallerLimits>::from_ref(state).caller.check(caller.id()).await?;
        Ok(Expenses::from_ref(state).of_user(caller.id()))
    }
}

/// The expenses of a caller who is known already, if the caller's token allows the request's method.
///
/// # Errors
///
/// 403 `insufficient_scope`.
pub fn expenses_of(
    caller: &CurrentUser,
    method: &Method,
    expenses: &Expenses,
) -> Result<UserExpenses, Rejection> {
    caller.require_scope(Access::for_method(method).scope())?;
    Ok(expenses.of_user(caller.id()))
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
