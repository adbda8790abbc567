//! The handlers. They take [`UserExpenses`], which protects them.

use std::future::ready;

use axum::{
    body::Body,
    extract::{RawQuery, Request},
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderName, StatusCode, header, request::Parts};
use serde_json::Value;

use super::error::{not_added, not_changed, not_got, not_restored};
use crate::{
    body::{read_json, read_merge_patch},
    conditions::{respond_if_changed, respond_to_reading, with_consistency, with_etag},
    events::AppEvent,
    expense_errors::{no_such_expense, not_reached, not_removed},
    expenses::{
        UserExpenses, csv,
        export::{Export, ExportError},
        idempotency::{IdempotencyKey, IdempotentRequest},
        ledger::overlay::Reading,
        model::ExpenseId,
        row::Rows,
        summary::{CATEGORIES_MAX, Summary},
        user_expenses::{ListError, SumError},
        version::Condition,
    },
    fastapi::{
        Fault, Problem, Problems, Source,
        expense::{
            ListQuery, foreign_cursor, parse_expense, parse_idempotency_key, parse_list_query,
            parse_patch, parse_summary_query, too_many_categories,
        },
    },
    json::JsonText,
    openapi::{
        Changes, FindsOne, HasCondition, MayHaveForm, NeedsScope, Protected, ReadsBody, ReadsQuery,
        schema::{
            CSV_EXAMPLE, ExpensePatch, ExpenseRequest, ExpenseResponse, FilterParameters,
            IdempotencyKeyHeader, ListParameters, ReadConditions, SummaryParameters,
            SummaryResponse, WriteConditions,
        },
    },
    paging::next_link,
};
use axum_authkit::{
    AppError,
    browser::{CSV, JSON, prefers, wants_html},
};
use edge_host::{Cause, Emit as _, Scope, in_current};

const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Where a problem of the key is.
const IDEMPOTENCY_KEY_FIELD: (Source, &str) = (Source::Header, "idempotency-key");

/// Add an expense
///
/// With an `Idempotency-Key` the request is safe to send again for 24 hours; the same key with another body
/// is 422. Only this site's own pages may send a form, with a session; the responses are pages.
#[utoipa::path(
    post,
    path = "/expenses",
    tag = "expenses",
    security(("session" = []), ("bearer" = []), ("api_key" = [])),
    params(IdempotencyKeyHeader),
    request_body = ExpenseRequest,
    responses(
        (status = 201, description = "The new expense", body = ExpenseResponse,
            headers(
                ("Location" = String, description = "The path of the expense"),
                ("ETag" = String, description = "The expense's version"),
            )),
        (status = 303, description = "After a form: to the list",
            headers(("Location" = String))),
        Protected, Changes, ReadsBody,
    ),
)]
pub(crate) async fn create_expense(
    expenses: UserExpenses,
    request: Request,
) -> Result<Response, AppError> {
    let (Parts { headers, .. }, body) = request.into_parts();
    let body = read_json(&headers, body).await?;
    let key = idempotency_key(&headers);
    let once = key.map(|key| key.map(|key| IdempotentRequest::of_json(key, &body)));
    let (once, new) = Problems::both(once, parse_expense(body))?;
    let has_key = once.is_some();
    let added = expenses.add(new, once).await;
    let row = added.map_err(|error| not_added(error, has_key, || key_reused(&headers)))?;
    let location = format!("/expenses/{}", row.id());
    Ok(([(header::LOCATION, location)], with_etag(StatusCode::CREATED, row)).into_response())
}

/// List expenses, the newest first
///
/// The `Link` header has the address of the next page (RFC 8288). With `sort=date` each request reads all of the
/// user's expenses.
#[utoipa::path(
    get,
    path = "/expenses",
    tag = "expenses",
    security(("session" = []), ("bearer" = []), ("api_key" = [])),
    params(ListParameters),
    responses(
        (status = 200, description = "A page",
            content(
                (Vec<ExpenseResponse> = "application/json"),
                (String = "text/csv", example = json!(CSV_EXAMPLE)),
                (String = "text/html"),
            ),
            headers(
                ("Link" = String, description = "The next page, `rel=\"next\"`, if there is one"),
                ("Expenses-Consistency" = Option<String>, description = "`eventual`: the newest changes may be missing, because the ledger cannot be reached. Absent otherwise"),
            )),
        Protected, NeedsScope, ReadsQuery,
    ),
)]
pub(crate) async fn list_expenses(
    expenses: UserExpenses,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, AppError> {
    let query = query.unwrap_or_default();
    let ListQuery { limit, cursor, sort, filter } = parse_list_query(&query)?;
    let page = expenses.list(limit, cursor.as_deref(), &filter, sort).await;
    let page = page.map_err(|error| match error {
        ListError::Kv(error) => not_reached(error),
        ListError::ForeignCursor => foreign_cursor(&cursor.unwrap_or_default()).into(),
    })?;
    let Reading { value: page, consistency } = page;
    let mut response = if prefers(&headers, CSV, JSON) {
        csv_download(csv_beginning(&headers, &page.rows).into())
    } else {
        JsonText(page.rows.to_json()).into_response()
    };
    if let Some(cursor) = page.cursor {
        response.headers_mut().insert(header::LINK, next_link(&query, &cursor)?);
    }
    Ok(with_consistency(response, consistency))
}

/// Download expenses as CSV
///
/// Every matching expense in one CSV file (RFC 4180, texts in quotes, no formulas). For a browser's download
/// (`Sec-Fetch-Mode: navigate`, or `Accept` prefers `text/html`) the file begins with a byte order mark,
/// which Excel needs; for programs it does not. With `sort=date` each 10,000 lines read all of the user's expenses. A file that cannot be completed ends with a line that says
/// so and that an RFC 4180 reader refuses, and its connection breaks.
#[utoipa::path(
    get,
    path = "/expenses.csv",
    tag = "expenses",
    security(("session" = []), ("bearer" = []), ("api_key" = [])),
    params(FilterParameters),
    responses(
        (status = 200, description = "The file",
            content((String = "text/csv", example = json!(CSV_EXAMPLE))),
            headers(("Expenses-Consistency" = Option<String>, description = "`eventual`: the newest changes may be missing, because the ledger cannot be reached. Absent otherwise"))),
        Protected, NeedsScope, ReadsQuery,
    ),
)]
pub(crate) async fn download_expenses(
    expenses: UserExpenses,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, AppError> {
    let ListQuery { filter, sort, .. } = parse_list_query(&query.unwrap_or_default())?;
    let mut export = Export::new(expenses, filter, sort);
    // A failure here has its own response; a later one can only break the file off.
    let first = export.next().await.map_err(not_reached)?.unwrap_or_default();
    let beginning = csv_beginning(&headers, &first);
    let consistency = export.consistency();
    if export.is_done() {
        return Ok(with_consistency(csv_download(beginning.into()), consistency));
    }
    let rest = stream::try_unfold(export, |mut export| async {
        let listed = export.next().await?;
        Ok::<_, ExportError>(listed.map(|listed| (csv::lines(&listed), export)))
    });
    let rest = rest.flat_map(|part| {
        let broken_off = part.as_ref().err().map(|error| {
            AppEvent::ExportBrokenOff { cause: Cause(error) }.emit();
            Ok(csv::BREAK_OFF.to_owned())
        });
        stream::iter(broken_off.into_iter().chain([part]))
    });
    // The body is made after the request's scope has ended.
    let mut scope = in_current(Scope::continued).unwrap_or_default();
    let mut rest = rest.boxed();
    let rest = stream::poll_fn(move |context| scope.run(|| rest.poll_next_unpin(context)));
    let parts = stream::once(ready(Ok(beginning))).chain(rest);
    Ok(with_consistency(csv_download(Body::from_stream(parts)), consistency))
}

/// The beginning of a file, with its first expenses.
#[inline(never)]
fn csv_beginning(headers: &HeaderMap, rows: &Rows) -> String {
    let mark = if is_for_browser(headers) { csv::BYTE_ORDER_MARK } else { "" };
    [mark, csv::HEADER, &csv::lines(rows)].concat()
}

/// Whether a browser shows or saves the response, rather than passing it to a script.
fn is_for_browser(headers: &HeaderMap) -> bool {
    headers.get(SEC_FETCH_MODE).is_some_and(|mode| mode == "navigate") || wants_html(headers)
}

fn csv_download(body: Body) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8; header=present"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"expenses.csv\""),
    ];
    (headers, body).into_response()
}

/// Add up expenses
///
/// Exact, for each currency by category and by month. Amounts of different currencies are never added. Expenses with
/// more than 10,000 categories are added up for a shorter period only: 422.
#[utoipa::path(
    get,
    path = "/expenses/summary",
    tag = "expenses",
    security(("session" = []), ("bearer" = []), ("api_key" = [])),
    params(SummaryParameters),
    responses(
        (status = 200, description = "The sums", body = SummaryResponse,
            headers(("Expenses-Consistency" = Option<String>, description = "`eventual`: the newest changes may be missing, because the ledger cannot be reached. Absent otherwise"))),
        Protected, NeedsScope, ReadsQuery,
    ),
)]
pub(crate) async fn summarize_expenses(
    expenses: UserExpenses,
    RawQuery(query): RawQuery,
) -> Result<Response, AppError> {
    let filter = parse_summary_query(&query.unwrap_or_default())?;
    let sums = expenses.sum(&filter).await.map_err(|error| match error {
        SumError::TooManyCategories => too_many_categories(CATEGORIES_MAX).into(),
        SumError::Kv(error) => not_reached(error),
    })?;
    respond_to_reading(sums, |sums| Ok(JsonText(Summary::from(sums).to_json()).into_response()))
}

/// Show an expense
///
/// The `ETag` is the version of the expense as JSON. With `If-None-Match` the response is 304 while the expense has
/// one of these versions.
#[utoipa::path(
    get,
    path = "/expenses/{id}",
    tag = "expenses",
    security(("session" = []), ("bearer" = []), ("api_key" = [])),
    params(("id" = ExpenseId, Path, description = "The expense's id"), ReadConditions),
    responses(
        (status = 200, description = "The expense", body = ExpenseResponse,
            headers(
                ("ETag" = String, description = "The expense's version"),
                ("Expenses-Consistency" = Option<String>, description = "`eventual`: the newest changes may be missing, because the ledger cannot be reached. Absent otherwise"),
            )),
        (status = 304, description = "The expense has a version of `If-None-Match`",
            headers(("ETag" = String, description = "The expense's version"))),
        Protected, NeedsScope, FindsOne, HasCondition,
    ),
)]
pub(crate) async fn show_expense(
    expenses: UserExpenses,
    id: ExpenseId,
    condition: Condition,
) -> Result<Response, AppError> {
    respond_to_reading(expenses.get(id).await.map_err(not_got)?, |row| {
        respond_if_changed(&condition, row.ok_or_else(no_such_expense)?)
    })
}

/// Replace an expense
///
/// Absent fields get their defaults, as in a new expense.
#[utoipa::path(
    put,
    path = "/expenses/{id}",
    tag = "expenses",
    security(("session" = []), ("bearer" = []), ("api_key" = [])),
    params(("id" = ExpenseId, Path, description = "The expense's id"), WriteConditions),
    request_body = ExpenseRequest,
    responses(
        (status = 200, description = "The changed expense", body = ExpenseResponse,
            headers(("ETag" = String, description = "The expense's new version"))),
        Protected, Changes, ReadsBody, FindsOne, HasCondition,
    ),
)]
pub(crate) async fn replace_expense(
    expenses: UserExpenses,
    id: ExpenseId,
    condition: Condition,
    request: Request,
) -> Result<Response, AppError> {
    let (Parts { headers, .. }, body) = request.into_parts();
    let new = parse_expense(read_json(&headers, body).await?)?;
    let changed = expenses.replace(id, new, condition).await;
    Ok(with_etag(StatusCode::OK, changed.map_err(not_changed)?))
}

/// Change an expense
///
/// A JSON merge patch (RFC 7396): absent fields stay; `null` resets a field to its default. `application/json`
/// is accepted too.
#[utoipa::path(
    patch,
    path = "/expenses/{id}",
    tag = "expenses",
    security(("session" = []), ("bearer" = []), ("api_key" = [])),
    params(("id" = ExpenseId, Path, description = "The expense's id"), WriteConditions),
    request_body(content = ExpensePatch, content_type = "application/merge-patch+json"),
    responses(
        (status = 200, description = "The changed expense", body = ExpenseResponse,
            headers(("ETag" = String, description = "The expense's new version"))),
        Protected, Changes, ReadsBody, FindsOne, HasCondition,
    ),
)]
pub(crate) async fn patch_expense(
    expenses: UserExpenses,
    id: ExpenseId,
    condition: Condition,
    request: Request,
) -> Result<Response, AppError> {
    let (Parts { headers, .. }, body) = request.into_parts();
    let changes = parse_patch(read_merge_patch(&headers, body).await?)?;
    let changed = expenses.change(id, changes, condition).await;
    Ok(with_etag(StatusCode::OK, changed.map_err(not_changed)?))
}

/// Delete an expense
#[utoipa::path(
    delete,
    path = "/expenses/{id}",
    tag = "expenses",
    security(("session" = []), ("bearer" = []), ("api_key" = [])),
    params(("id" = ExpenseId, Path, description = "The expense's id"), WriteConditions),
    responses(
        (status = 204, description = "The expense is deleted"),
        Protected, Changes, FindsOne, HasCondition,
    ),
)]
pub(crate) async fn delete_expense(
    expenses: UserExpenses,
    id: ExpenseId,
    condition: Condition,
) -> Result<StatusCode, AppError> {
    expenses.remove(id, condition).await.map_err(not_removed)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Restore a deleted expense
///
/// The expense is as before, with a new `updated_at`. For at least ten minutes after the deletion; later 404. An expense
/// that is there stays as it is, so that the request is safe to send again. Only this site's own pages may send a form,
/// with a session.
#[utoipa::path(
    post,
    path = "/expenses/{id}/restore",
    tag = "expenses",
    security(("session" = []), ("bearer" = []), ("api_key" = [])),
    params(("id" = ExpenseId, Path, description = "The expense's id")),
    responses(
        (status = 200, description = "The expense", body = ExpenseResponse,
            headers(("ETag" = String, description = "The expense's new version"))),
        (status = 303, description = "After a form: to the list",
            headers(("Location" = String))),
        Protected, Changes, MayHaveForm, FindsOne,
    ),
)]
pub(crate) async fn restore_expense(
    expenses: UserExpenses,
    id: ExpenseId,
) -> Result<Response, AppError> {
    Ok(with_etag(StatusCode::OK, expenses.restore(id).await.map_err(not_restored)?))
}

/// The `Idempotency-Key` header.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Problems> {
    sent_key(headers).map(|key| parse_idempotency_key(&key, IDEMPOTENCY_KEY_FIELD)).transpose()
}

fn sent_key(headers: &HeaderMap) -> Option<Value> {
    let value = headers.get(IDEMPOTENCY_KEY)?;
    // A header is ISO 8859-1, in which a byte is a character.
    Some(Value::String(value.as_bytes().iter().copied().map(char::from).collect()))
}

fn key_reused(headers: &HeaderMap) -> AppError {
    let (source, name) = IDEMPOTENCY_KEY_FIELD;
    let key = sent_key(headers).unwrap_or_default();
    Problems::from(Problem::of_field(source, name, Fault::KeyReused, key)).into()
}
