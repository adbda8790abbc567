//! The forms of pages: adding, changing and deleting an expense. Each answer is a page, or leads to one.
//!
//! | request | answer |
//! | --- | --- |
//! | `POST /expenses` | 303 to the list; 422 the form with its input, also for a key used with another expense; 409 a key in process |
//! | `POST /expenses/{id}` | 303, or 422 as above |
//! | `GET`, `POST /expenses/{id}/delete` | the question; 303 |
//!
//! Forms are `application/x-www-form-urlencoded`, and only this site's own pages may send them, with a
//! session: what a cookie allows is done for nobody else's page (CSRF), and programs send JSON.

use axum::{
    extract::{FromRequest, FromRequestParts, Request, State},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use maud::Markup;

use super::{
    error::{not_got, not_reached, not_removed, unreadable},
    expense_form::{FieldError, Typed},
    show::Visitor,
    views::{Account, Locale, expense as view, respond},
};
use crate::{
    access::no_such_expense,
    app::AppState,
    authkit::{Rejection, has_bearer, origin::RequestOrigin},
    body::{is_form, read_body},
    browser::redirect,
    error::AppError,
    error_layer::request_id,
    expenses::{
        idempotency::{AddError, IdempotencyKey, IdempotentRequest},
        model::{ExpenseId, NewExpense},
        store::GetError,
        user_expenses::{ChangeError, RemoveError},
    },
    openapi::{
        Changes, FindsOne, NeedsScope, Protected, ReadsForm,
        routing::{OpenApiRouter, routes},
        schema::{DeleteForm, ExpenseForm},
    },
    runtime::{KvError, random_bytes},
};

/// What only pages use; they share `POST /expenses` with programs (see [`super::show`]).
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(change_expense))
        .routes(routes!(confirm_delete, delete_expense_by_form))
}

/// Whether one of this site's own pages has sent this form, with no credentials but a cookie.
pub(super) fn is_own_form(headers: &HeaderMap, origin: &RequestOrigin) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(is_form)
        && !has_bearer(headers)
        && origin.is_same_origin_form(headers)
}

/// A form of one of this site's own pages.
pub(super) struct OwnForm {
    /// Who has sent it. A session can end while somebody types: what was typed must not go with it.
    visitor: Result<Visitor, Rejection>,
    body: Bytes,
    locale: Locale,
    request_id: Option<String>,
}

impl FromRequest<AppState> for OwnForm {
    type Rejection = Response;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let visitor = Visitor::from_request_parts(&mut parts, state).await;
        let origin = RequestOrigin::from_request_parts(&mut parts, state)
            .await
            .map_err(IntoResponse::into_response)?;
        if !parts.headers.get(header::CONTENT_TYPE).is_some_and(is_form) {
            return Err(not_a_form(parts.uri.path()).into_response());
        }
        if !is_own_form(&parts.headers, &origin) {
            visitor.map_err(IntoResponse::into_response)?;
            return Err(not_an_own_form().into_response());
        }
        let body = read_body(body).await.map_err(IntoResponse::into_response)?;
        let locale = Locale::from_headers(&parts.headers);
        Ok(Self { visitor, body, locale, request_id: request_id(&parts.headers) })
    }
}

/// To programs there is no `POST` here.
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

/// `POST /expenses` of a page.
pub(super) async fn add_expense(
    State(state): State<AppState>,
    form: OwnForm,
) -> Result<Response, AppError> {
    let typed = Typed::from_form(&form.body, Typed::default());
    let (visitor, returned) = match form.open(None, typed) {
        Ok(opened) => opened,
        Err(answer) => return Ok(*answer),
    };
    let now = state.clock.now();
    let today = visitor.time_zone.date(now);
    let content = match returned.typed.to_new(today, returned.locale) {
        Ok(content) => content,
        Err(errors) => return Ok(returned.invalid(&errors, &visitor.account)),
    };
    let key = IdempotencyKey::parse(&returned.typed.idempotency_key);
    let key = key.or_else(|_| IdempotencyKey::parse(&new_idempotency_key()));
    let once = key.ok().map(|key| IdempotentRequest::new(key, &Typed::canonical(&content)));
    match visitor.expenses.add(NewExpense::from(content), once).await {
        Ok(expense) => Ok(see_expenses(&format!("added={}", expense.id))),
        Err(AddError::KeyReused | AddError::UnreadableKey) => {
            Ok(returned.sent_before(&visitor.account))
        }
        Err(AddError::InProcess) => {
            let detail = "It was sent twice, and the first is still being saved";
            let error = AppError::new(StatusCode::CONFLICT, detail);
            Ok(returned.unavailable(error, Some(&visitor.account)))
        }
        Err(AddError::Read(error) | AddError::Write(error)) => {
            Ok(returned.not_reached(error, &visitor.account))
        }
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
        (status = 422, description = "The form again, with what is wrong beside each field",
            content((String = "text/html"))),
        Protected, Changes, ReadsForm, FindsOne,
    ),
)]
async fn change_expense(
    id: ExpenseId,
    State(state): State<AppState>,
    form: OwnForm,
) -> Result<Response, AppError> {
    let body = form.body.clone();
    let (visitor, mut returned) =
        match form.open(Some(id), Typed::from_form(&body, Typed::default())) {
            Ok(opened) => opened,
            Err(answer) => return Ok(*answer),
        };
    let Visitor { account, expenses, time_zone, .. } = &visitor;
    match expenses.get(id).await {
        Ok(Some(expense)) => {
            let current = Typed::from_expense(&expense, returned.locale);
            returned.typed = Typed::from_form(&body, current);
        }
        Ok(None) => return Err(no_such_expense()),
        // The form has all the fields that the record lacks.
        Err(GetError::Unreadable(_)) => {}
        Err(GetError::Kv(error)) => return Ok(returned.not_reached(error, account)),
    }
    let now = state.clock.now();
    let content = match returned.typed.to_changed(time_zone.date(now), returned.locale) {
        Ok(content) => content,
        Err(errors) => return Ok(returned.invalid(&errors, account)),
    };
    match expenses.replace(id, NewExpense::from(content)).await {
        Ok(_) => Ok(see_expenses(&format!("changed={id}"))),
        Err(ChangeError::Absent) => Err(no_such_expense()),
        Err(ChangeError::Unreadable(_)) => Err(unreadable()),
        Err(ChangeError::Read(error) | ChangeError::Write(error)) => {
            Ok(returned.not_reached(error, account))
        }
    }
}

/// Ask before deleting
///
/// A page with the form that does it.
#[utoipa::path(
    get,
    path = "/expenses/{id}/delete",
    tag = "pages",
    security(("session" = [])),
    params(("id" = ExpenseId, Path, description = "The expense's id")),
    responses(
        (status = 200, description = "The question", content((String = "text/html"))),
        Protected, NeedsScope, FindsOne,
    ),
)]
async fn confirm_delete(visitor: Visitor, id: ExpenseId) -> Result<Response, AppError> {
    let expense = visitor.expenses.get(id).await.map_err(not_got)?.ok_or_else(no_such_expense)?;
    let page = view::confirm_delete(&expense, visitor.locale, &visitor.account);
    Ok(respond(StatusCode::OK, page))
}

/// Delete an expense by the page's own form
///
/// Programs use `DELETE`.
#[utoipa::path(
    post,
    path = "/expenses/{id}/delete",
    tag = "pages",
    security(("session" = [])),
    params(("id" = ExpenseId, Path, description = "The expense's id")),
    request_body(content = DeleteForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 303, description = "To the list", headers(("Location" = String))),
        Protected, Changes, ReadsForm, FindsOne,
    ),
)]
async fn delete_expense_by_form(id: ExpenseId, form: OwnForm) -> Result<Response, Response> {
    let visitor = form.visitor.map_err(IntoResponse::into_response)?;
    match visitor.expenses.remove(id).await {
        Ok(()) => Ok(see_expenses("deleted=1")),
        // The second click of a double click ends here.
        Err(RemoveError::Absent) => Err(AppError::new(
            StatusCode::NOT_FOUND,
            "Expense not found: it may be deleted already",
        )
        .into_response()),
        Err(error) => Err(not_removed(error).into_response()),
    }
}

/// Back to the list, by an address that may be loaded again.
fn see_expenses(done: &str) -> Response {
    redirect(StatusCode::SEE_OTHER, &format!("/expenses?{done}"))
}

/// For a form that has not been sent yet.
pub(super) fn new_idempotency_key() -> String {
    URL_SAFE_NO_PAD.encode(random_bytes::<16>())
}

/// A form that goes back to who has sent it: nothing that was typed is lost.
struct ReturnedForm {
    id: Option<ExpenseId>,
    typed: Typed,
    locale: Locale,
    request_id: Option<String>,
}

impl OwnForm {
    /// Who has sent it, and what goes back if it cannot be taken; or, where nobody is known to have
    /// sent it, the answer.
    fn open(
        self,
        id: Option<ExpenseId>,
        typed: Typed,
    ) -> Result<(Visitor, ReturnedForm), Box<Response>> {
        let Self { visitor, locale, request_id, .. } = self;
        let returned = ReturnedForm { id, typed, locale, request_id };
        match visitor {
            Ok(visitor) => Ok((visitor, returned)),
            Err(rejection) => Err(returned.rejected(rejection).into()),
        }
    }
}

impl ReturnedForm {
    fn page(
        &self,
        errors: &[FieldError],
        why: view::Returned,
        account: Option<&Account>,
    ) -> Markup {
        let Self { id, typed, locale, .. } = self;
        let categories = &[];
        let form = view::Form { id: *id, typed, errors, categories, locale: *locale };
        view::returned(&form, why, account)
    }

    fn invalid(&self, errors: &[FieldError], account: &Account) -> Response {
        let page = self.page(errors, view::Returned::Invalid, Some(account));
        respond(StatusCode::UNPROCESSABLE_ENTITY, page)
    }

    /// With a new key: this time it is meant.
    fn sent_before(mut self, account: &Account) -> Response {
        self.typed.idempotency_key = new_idempotency_key();
        let page = self.page(&[], view::Returned::SentBefore, Some(account));
        respond(StatusCode::UNPROCESSABLE_ENTITY, page)
    }

    fn not_reached(&self, error: KvError, account: &Account) -> Response {
        self.unavailable(not_reached(error), Some(account))
    }

    fn unavailable(&self, error: AppError, account: Option<&Account>) -> Response {
        let detail = error.detail.as_str().unwrap_or_default();
        let request_id = self.request_id.as_deref();
        let why = view::Returned::Unavailable { detail, request_id };
        let page = self.page(&[], why, account);
        error.with_page(page).into_response()
    }

    /// The answer to a request that nobody is known to have sent.
    fn rejected(&self, rejection: Rejection) -> Response {
        match rejection {
            Rejection::SignedOut { .. } => AppError::from(rejection)
                .with_page(self.page(&[], view::Returned::SignedOut, None))
                .into_response(),
            Rejection::Unavailable { .. } => self.unavailable(rejection.into(), None),
            _ => rejection.into_response(),
        }
    }
}
