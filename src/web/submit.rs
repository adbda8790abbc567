//! The forms of pages: adding, changing, deleting and restoring an expense. A response is a page, or a redirect to
//! one, which shows the result once: [`super::cookies`].
//!
//! | request | response |
//! | --- | --- |
//! | `POST /expenses` | 303 to the list; 422 the form with its input, also for a key used for another expense |
//! | `POST /expenses/{id}` | 303, or 422 as above; 409 the form with its input and the current values, if the expense was changed after the page was shown |
//! | `POST /expenses/{id}/delete` | 303 |
//! | `POST /expenses/{id}/restore` | 303; 404 if it was deleted too long ago |
//!
//! Forms are `application/x-www-form-urlencoded`. Only this site's own pages may send them, with a
//! session: the session cookie counts for no other site's page (CSRF), and programs send JSON.

use std::sync::Arc;

use axum::{
    extract::{FromRef, FromRequest, FromRequestParts, Request, State},
    response::Response,
};
use http::{HeaderValue, StatusCode, header};
use maud::Markup;

use super::{
    cookies::Flash,
    error::{not_restored, unreadable},
    expense_form::{FormInput, new_idempotency_key},
    list_query::rebuilt,
    views::{Account, expense as view, respond},
    visitor::Visitor,
};
use crate::{
    body::{is_form, read_body},
    expense_errors::{CHANGE_MAYBE_SAVED, no_such_expense, not_reached, not_removed, not_written},
    expenses::{
        Expenses,
        idempotency::{IdempotencyKey, IdempotentRequest},
        ledger::{
            client::WriteError,
            overlay::{Consistency, Reading},
        },
        model::{Currency, Expense, ExpenseId, NewExpense},
        store::GetError,
        user_expenses::{AddError, ChangeError, RemoveError},
        version::{Condition, Version},
    },
    negotiation::is_own_form,
    openapi::{
        Changes, FindsOne, Protected, ReadsForm,
        schema::{DeleteForm, ExpenseForm},
    },
    rate_limits::CallerLimits,
    typed::{
        Locale,
        expense::{Field, FieldError, TypedExpense},
    },
};
use axum_authkit::error_layer::request_id;
use axum_authkit::{AppError, Rejection, origin::RequestOrigin};
use edge_host::Clock;

/// Where a form that succeeded leads.
const LIST: &str = "/expenses";

/// A form that one of this site's own pages sent.
pub(crate) struct OwnForm {
    /// A session can end while somebody types: the rejection is a page that keeps the input.
    visitor: Result<Visitor, Rejection>,
    body: Vec<u8>,
    locale: Locale,
    request_id: Option<String>,
}

impl<S> FromRequest<S> for OwnForm
where
    Expenses: FromRef<S>,
    Arc<CallerLimits>: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = AppError;

    async fn from_request(request: Request, state: &S) -> Result<Self, AppError> {
        let (mut parts, body) = request.into_parts();
        let visitor = Visitor::from_request_parts(&mut parts, state).await;
        let origin = RequestOrigin::from_request_parts(&mut parts, state).await?;
        if !parts.headers.get(header::CONTENT_TYPE).is_some_and(is_form) {
            return Err(not_a_form(parts.uri.path()));
        }
        if !is_own_form(&parts.headers, &origin) {
            visitor?;
            return Err(not_an_own_form());
        }
        let body = read_body(body).await?;
        let locale = Locale::from_headers(&parts.headers);
        Ok(Self { visitor, body, locale, request_id: request_id(&parts.headers) })
    }
}

/// 405: programs have no `POST` on this path.
fn not_a_form(path: &str) -> AppError {
    let allowed = if path.ends_with("/delete") { "GET,HEAD" } else { "GET,HEAD,PUT,PATCH,DELETE" };
    AppError::new(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
        .with_header(header::ALLOW, HeaderValue::from_static(allowed))
}

fn not_an_own_form() -> AppError {
    AppError::new(
        StatusCode::FORBIDDEN,
        "Forms are for this site's own pages: send JSON to /expenses instead",
    )
}

/// `POST /expenses` for forms.
pub(crate) async fn add_expense(
    State(clock): State<Arc<dyn Clock>>,
    form: OwnForm,
) -> Result<Response, AppError> {
    let (visitor, mut returned) = form.open(None)?;
    let now = clock.now();
    let today = visitor.time_zone.date(now);
    let (date, currency) = (today.to_string(), Currency::DEFAULT.to_string());
    let expense = TypedExpense { date, currency, ..TypedExpense::default() };
    returned.fill(FormInput { expense, ..FormInput::default() });
    let content = match returned.input.expense.to_content(today, returned.locale) {
        Ok(content) => content,
        Err(errors) => return Ok(returned.invalid(&errors, &visitor.account)),
    };
    let currency = content.currency;
    let key = IdempotencyKey::parse(&returned.input.idempotency_key);
    let key = key.or_else(|_| IdempotencyKey::parse(&new_idempotency_key()));
    let once = key.ok().map(|key| IdempotentRequest::new(key, &TypedExpense::canonical(&content)));
    match visitor.expenses.add(NewExpense::from(content), once).await {
        Ok(row) => {
            let response = visitor.cookies.redirect(LIST, Flash::Added(row.id()));
            Ok(visitor.cookies.remember(currency, response))
        }
        Err(AddError::KeyReused) => Ok(returned.sent_before(&visitor.account)),
        Err(AddError::Write(error)) => Err(returned.not_written(error, &visitor.account)),
    }
}

/// Change an expense by the page's own form
///
/// Answers with pages. Programs use `PUT` and `PATCH`.
#[utoipa::path(
    post,
    path = "/expenses/{id}",
    tag = "pages",
    security(("session" = [])),
    params(("id" = ExpenseId, Path, description = "The expense's id")),
    request_body(content = ExpenseForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 303, description = "To the list", headers(("Location" = String))),
        (status = 409, description = "The form again, with the values that another request has saved meanwhile",
            content((String = "text/html"))),
        (status = 422, description = "The form again, with what is wrong beside each field",
            content((String = "text/html"))),
        Protected, Changes, ReadsForm, FindsOne,
    ),
)]
pub(crate) async fn change_expense(
    id: ExpenseId,
    State(clock): State<Arc<dyn Clock>>,
    form: OwnForm,
) -> Result<Response, AppError> {
    let (visitor, mut returned) = form.open(Some(id))?;
    let Visitor { account, expenses, time_zone, .. } = &visitor;
    match expenses.get_expense(id).await {
        Ok(Reading { value: Some(expense), .. }) => {
            let stored = FormInput::from_expense(&expense, returned.locale);
            returned.fill(stored);
        }
        // KV may not show a new expense yet.
        Ok(Reading { value: None, consistency: Consistency::Eventual }) => {
            return Err(returned.unavailable(not_reached(NOT_IN_KV), Some(account)));
        }
        Ok(Reading { value: None, .. }) => return Err(no_such_expense()),
        // The form has all the fields that the record lacks, and the record no version.
        Err(GetError::Unreadable(_)) => returned.input.version.clear(),
        Err(GetError::Kv(error)) => {
            return Err(returned.unavailable(not_reached(error), Some(account)));
        }
    }
    let now = clock.now();
    let content = match returned.input.expense.to_content(time_zone.date(now), returned.locale) {
        Ok(content) => content,
        Err(errors) => return Ok(returned.invalid(&errors, account)),
    };
    let version = Some(returned.input.version.clone()).filter(|version| !version.is_empty());
    let condition = version.map(Condition::is).unwrap_or_default();
    let sent = content.clone();
    let changed = |returned: &ReturnedForm| {
        let list = list_address(&returned.input.return_to);
        visitor.cookies.redirect(&list, Flash::Changed(id))
    };
    match expenses.replace(id, NewExpense::from(content), condition).await {
        Ok(_) => Ok(changed(&returned)),
        Err(ChangeError::Absent) => Err(no_such_expense()),
        Err(ChangeError::Unreadable(_)) => Err(unreadable(id)),
        Err(ChangeError::Write(error)) => Err(returned.not_written(error, account)),
        Err(ChangeError::Unfit(unfit)) => {
            let errors = [FieldError { field: Field::Amount, message: format!("{unfit}.") }];
            Ok(returned.invalid(&errors, account))
        }
        Err(ChangeError::ConditionNotMet) => match expenses.get_expense(id).await {
            // The form was sent twice.
            Ok(Reading { value: Some(current), .. }) if current.content == sent => {
                Ok(changed(&returned))
            }
            Ok(Reading { value: Some(current), .. }) => Ok(returned.changed(&current, account)),
            Ok(Reading { value: None, .. }) => Err(no_such_expense()),
            Err(GetError::Unreadable(_)) => Err(unreadable(id)),
            Err(GetError::Kv(error)) => {
                Err(returned.unavailable(not_reached(error), Some(account)))
            }
        },
    }
}

/// Delete an expense by the page's own form
///
/// Programs use `DELETE`.
#[utoipa::path(
    post,
    path = "/expenses/{id}/delete",
    operation_id = "delete_expense_by_form",
    tag = "pages",
    security(("session" = [])),
    params(("id" = ExpenseId, Path, description = "The expense's id")),
    request_body(content = DeleteForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 303, description = "To the list", headers(("Location" = String))),
        Protected, Changes, ReadsForm, FindsOne,
    ),
)]
pub(crate) async fn delete_expense(id: ExpenseId, form: OwnForm) -> Result<Response, AppError> {
    let visitor = form.visitor?;
    let removed = match visitor.expenses.remove(id, Condition::default()).await {
        // As the first request of a double click.
        Err(RemoveError::Absent) if matches!(visitor.expenses.removed(id).await, Ok(Some(_))) => {
            Ok(())
        }
        removed => removed,
    };
    match removed {
        Ok(()) => Ok(visitor.cookies.redirect(&list_behind(&form.body), Flash::Deleted(id))),
        Err(RemoveError::Absent) => {
            let detail = "Expense not found: it may be deleted already";
            Err(AppError::new(StatusCode::NOT_FOUND, detail))
        }
        Err(error) => Err(not_removed(error)),
    }
}

/// `POST /expenses/{id}/restore` for forms.
pub(crate) async fn restore_expense(id: ExpenseId, form: OwnForm) -> Result<Response, AppError> {
    let visitor = form.visitor?;
    match visitor.expenses.restore(id).await {
        Ok(_) => Ok(visitor.cookies.redirect(&list_behind(&form.body), Flash::Restored(id))),
        Err(error) => Err(not_restored(error, id)),
    }
}

/// The cause where neither KV nor the ledger says whether the expense is there.
const NOT_IN_KV: &str = "the ledger was not reached, and KV does not show the expense";

/// The address of the list that a form was opened from.
fn list_address(list: &str) -> String {
    let place = if list.is_empty() { "" } else { "#list" };
    format!("{LIST}{list}{place}")
}

/// The address of the list that a form without other fields leads back to.
fn list_behind(body: &[u8]) -> String {
    list_address(&read_form(body, FormInput::default()).return_to)
}

/// The fields of a form. The query of the list that it leads back to is made anew.
fn read_form(body: &[u8], otherwise: FormInput) -> FormInput {
    let input = FormInput::from_form(body, otherwise);
    FormInput { return_to: rebuilt(&input.return_to), ..input }
}

/// A form that is shown again with its input, because the request did not succeed.
struct ReturnedForm {
    id: Option<ExpenseId>,
    body: Vec<u8>,
    input: FormInput,
    locale: Locale,
    request_id: Option<String>,
}

impl OwnForm {
    /// The visitor, and the form to show again if the request fails. Without a visitor, the error's page is the form.
    fn open(self, id: Option<ExpenseId>) -> Result<(Visitor, ReturnedForm), AppError> {
        let Self { visitor, body, locale, request_id } = self;
        let input = read_form(&body, FormInput::default());
        let returned = ReturnedForm { id, body, input, locale, request_id };
        match visitor {
            Ok(visitor) => Ok((visitor, returned)),
            Err(rejection) => Err(returned.rejected(rejection)),
        }
    }
}

impl ReturnedForm {
    /// Takes the fields that the form lacks from `otherwise`.
    fn fill(&mut self, otherwise: FormInput) {
        self.input = read_form(&self.body, otherwise);
    }

    fn page(
        &self,
        errors: &[FieldError],
        why: view::Returned,
        account: Option<&Account>,
    ) -> Markup {
        let Self { id, input, locale, .. } = self;
        let categories = &[];
        let form = view::Form {
            id: *id,
            input,
            errors,
            categories,
            currencies: &[],
            locale: *locale,
            is_next: false,
        };
        view::returned(&form, why, account)
    }

    fn invalid(&self, errors: &[FieldError], account: &Account) -> Response {
        let page = self.page(errors, view::Returned::Invalid, Some(account));
        respond(StatusCode::UNPROCESSABLE_ENTITY, page)
    }

    /// With a new key: sending this form adds a second expense on purpose.
    fn sent_before(mut self, account: &Account) -> Response {
        self.input.idempotency_key = new_idempotency_key();
        let page = self.page(&[], view::Returned::SentBefore, Some(account));
        respond(StatusCode::UNPROCESSABLE_ENTITY, page)
    }

    /// With the version that the page shows: sending this form replaces those values on purpose.
    fn changed(mut self, current: &Expense, account: &Account) -> Response {
        self.input.version = Version::of(current).as_str().to_owned();
        let page = self.page(&[], view::Returned::Changed(current), Some(account));
        respond(StatusCode::CONFLICT, page)
    }

    fn not_written(&self, error: WriteError, account: &Account) -> AppError {
        match error {
            WriteError::Erased => not_written(error, CHANGE_MAYBE_SAVED),
            error => self.unavailable(not_written(error, CHANGE_MAYBE_SAVED), Some(account)),
        }
    }

    fn unavailable(&self, error: AppError, account: Option<&Account>) -> AppError {
        let detail = error.detail.as_str().unwrap_or_default();
        let request_id = self.request_id.as_deref();
        let why = view::Returned::Unavailable { detail, request_id };
        let page = self.page(&[], why, account);
        error.with_page(page)
    }

    fn rejected(&self, rejection: Rejection) -> AppError {
        match rejection {
            // Only a navigation is redirected to the sign-in, and no form is one.
            Rejection::Unauthenticated { .. } => {
                AppError::from(rejection).with_page(self.page(&[], view::Returned::SignedOut, None))
            }
            Rejection::Unavailable(_) | Rejection::TooManyRequests { .. } => {
                self.unavailable(rejection.into(), None)
            }
            other => other.into(),
        }
    }
}
