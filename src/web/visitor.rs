//! The [`Visitor`] extractor: the signed-in person who opens a page or sends a form, and their expenses.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use http::request::Parts;

use super::{
    cookies::{Flash, PageCookies},
    views::Account,
};
use crate::{
    access::{Access, Permitted, expenses_of},
    expenses::{Expenses, UserExpenses, model::Currency},
    rate_limits::{CallerLimits, LimitedCaller},
    typed::Locale,
};
use axum_authkit::{CurrentUser, Rejection, user::User};
use edge_host::VisitorTimeZone;

/// A signed-in person, for handlers of pages and forms.
pub struct Visitor {
    caller: CurrentUser,
    /// The account line and section of the page.
    pub account: Account,
    /// The visitor's own expenses.
    pub expenses: UserExpenses,
    /// How the visitor writes amounts and dates.
    pub locale: Locale,
    /// The time zone that "today" and "this month" refer to.
    pub time_zone: VisitorTimeZone,
    /// The cookies of pages.
    pub cookies: PageCookies,
    /// The result of a form that no page has shown yet.
    pub flash: Option<Flash>,
    /// The currency that the browser has used last.
    pub currency: Option<Currency>,
}

impl<S> FromRequestParts<S> for Visitor
where
    Expenses: FromRef<S>,
    Arc<CallerLimits>: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Rejection> {
        let LimitedCaller(caller) = LimitedCaller::from_request_parts(parts, state).await?;
        Self::of_caller(caller, parts, &Expenses::from_ref(state))
    }
}

impl Visitor {
    /// The caller as the visitor of a page.
    fn of_caller(
        caller: CurrentUser,
        parts: &Parts,
        expenses: &Expenses,
    ) -> Result<Self, Rejection> {
        let account = Account::from(&caller);
        let expenses = expenses_of(&caller, &parts.method, expenses)?;
        let locale = Locale::from_headers(&parts.headers);
        let time_zone = parts.extensions.get().cloned().unwrap_or_default();
        let cookies = PageCookies::of_parts(parts);
        let (flash, currency) = cookies.read(&parts.headers);
        Ok(Self { caller, account, expenses, locale, time_zone, cookies, flash, currency })
    }

    /// Rejects a visitor whose token does not allow the access, where the method of the request does not tell it.
    ///
    /// # Errors
    ///
    /// 403 `insufficient_scope`.
    pub fn require(&self, access: Access) -> Result<(), Rejection> {
        self.caller.require_scope(access.scope())
    }
}

impl From<&CurrentUser> for Account {
    fn from(caller: &CurrentUser) -> Self {
        let user = caller.user();
        Self {
            name: user.map_or_else(|| caller.id(), |user| &user.email).to_owned(),
            full_name: user.and_then(full_name),
            organization_id: caller.organization_id().map(str::to_owned),
            role: caller.claims().and_then(|verified| verified.claims().role.clone()),
            permitted: Permitted::of(caller),
            impersonator: caller.impersonator(),
        }
    }
}

fn full_name(user: &User) -> Option<String> {
    let names: Vec<&str> =
        [&user.first_name, &user.last_name].into_iter().flatten().map(String::as_str).collect();
    (!names.is_empty()).then(|| names.join(" "))
}
