//! `/expenses`: handlers that take [`UserExpenses`] and so are protected.

use std::{borrow::Cow, future::ready};

use axum::{
    body::Body,
    extract::{FromRequestParts, RawPathParams, RawQuery, State},
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts};
use serde_json::Value;
use url::form_urlencoded;

use crate::expenses::{
    csv,
    idempotency::{CreateError, canonical, key_reused, parse_key},
    model::{Expense, ExpenseContent, ExpenseId, ExpenseResponse},
    schema::{
        CSV_EXAMPLE, ExpensePatch, ExpenseRequest, FilterParameters, IdempotencyKey,
        ListParameters, SummaryParameters,
    },
    store::{ListError, UserExpenses},
    summary::Summary,
};
use crate::{
    app::AppState,
    browser::{accepts, wants_html},
    error::AppError,
    error_layer::request_id,
    fastapi::expense::{self, ListQuery, SummaryQuery},
    json::Json,
    openapi::{
        Changes, ErrorResponse, FindsOne, NeedsScope, Protected, ReadsBody, ReadsQuery,
        routing::{OpenApiRouter, routes},
    },
    runtime::KvError,
    validation::{Problems, read_json},
    web,
};

/// What is waited before KV is asked again.
const KV_RETRY_AFTER_SECS: u32 = 2;
/// What is waited for another request with the same idempotency key.
const IN_PROCESS_RETRY_AFTER_SECS: u32 = 1;

/// What is said when KV has failed. A write may have taken place all the same.
pub(crate) const NOT_REACHED: &str = "Expenses cannot be reached right now: try again in a moment";
const NEW_MAYBE_SAVED: &str = "Expenses cannot be reached right now, and the expense may or may not \
    have been saved: look before you send it again. With an Idempotency-Key it is safe to";
const NEW_MAYBE_SAVED_WITH_KEY: &str = "Expenses cannot be reached right now, and the expense may or may \
    not have been saved: look, or send it again with the same Idempotency-Key";

const IN_PROCESS: &str =
    "A request with this Idempotency-Key is still being answered: send it again in a moment";
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Where a problem with it is.
const IDEMPOTENCY_KEY_LOC: [&str; 2] = ["header", "idempotency-key"];

/// The routes of expenses.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list_expenses, create_expense))
        .routes(routes!(download_expenses))
        .routes(routes!(summarize_expenses))
        .routes(routes!(show_expense, replace_expense, patch_expense, delete_expense))
        .merge(web::routes())
}

/// Add an expense
///
/// With an `Idempotency-Key` it is safe to send again for 24 hours; the same key with another body is 422.
/// Only this site's own pages may send
/// a form, with a session; they get pages.
#[utoipa::path(
    post,
    path = "/expenses",
    tag = "expenses",
    security(("session" = []), ("bearer" = [])),
    params(IdempotencyKey),
    request_body = ExpenseRequest,
    responses(
        (status = 201, description = "The new expense", body = ExpenseResponse<'_>,
            headers(("Location" = String, description = "Where it is"))),
        (status = 303, description = "After a form: to the list",
            headers(("Location" = String))),
        (status = 409, description = "The first request with this `Idempotency-Key` is still being answered",
            body = ErrorResponse, headers(("Retry-After" = String, description = "Seconds to wait")),
            example = json!({"detail": IN_PROCESS})),
        Protected, Changes, ReadsBody,
    ),
)]
async fn create_expense(
    expenses: UserExpenses,
    State(state): State<AppState>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, AppError> {
    let now = state.clock.now();
    let body = read_json(&headers, body).await?;
    let once = idempotency_key(&headers).map(|key| key.map(|key| (key, canonical(&body))));
    let content = expense::parse_expense(body, now.date_naive());
    let (once, content) = Problems::both(once, content)?;
    let mut expense = Expense::new(content, now);
    match once {
        Some((key, canonical_body)) => {
            let made = expenses.create_once(expense, &key, canonical_body.as_bytes()).await;
            expense = made.map_err(|error| not_created(error, &key))?;
        }
        None => {
            expenses.put(&expense).await.map_err(|error| unavailable(NEW_MAYBE_SAVED, error))?
        }
    }
    let location = format!("/expenses/{}", expense.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(expense)).into_response())
}

/// List expenses, the newest first
///
/// A further page is where the `Link` header leads (RFC 8288).
#[utoipa::path(
    get,
    path = "/expenses",
    tag = "expenses",
    security(("session" = []), ("bearer" = [])),
    params(ListParameters),
    responses(
        (status = 200, description = "A page",
            content(
                (Vec<ExpenseResponse<'_>> = "application/json"),
                (String = "text/csv", example = json!(CSV_EXAMPLE)),
                (String = "text/html"),
            ),
            headers(("Link" = String, description = "The next page, `rel=\"next\"`, if there is one"))),
        Protected, NeedsScope, ReadsQuery,
    ),
)]
async fn list_expenses(
    expenses: UserExpenses,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, AppError> {
    let query = query.unwrap_or_default();
    let ListQuery { limit, cursor, filter } = expense::parse_list_query(&query)?;
    let page = match expenses.list(limit, cursor.as_deref(), &filter).await {
        Ok(page) => page,
        Err(ListError::Kv(error)) => return Err(error.into()),
        Err(ListError::Cursor) => {
            return Err(expense::not_a_cursor(&cursor.unwrap_or_default()).into());
        }
    };
    let mut response = if accepts(&headers, "text/csv") {
        csv_download(csv_beginning(&headers, &page.expenses).into())
    } else {
        Json(page.expenses).into_response()
    };
    if let Some(cursor) = page.cursor {
        response.headers_mut().insert(header::LINK, next_link(&query, &cursor)?);
    }
    Ok(response)
}

/// Download expenses as CSV
///
/// Every expense that the filter means, in one file (RFC 4180, texts in quotes, no formulas), which a link
/// in a browser can ask for. A request that a browser makes for a page or a download (`Sec-Fetch-Mode:
/// navigate`, or `Accept` names `text/html`) gets a byte order mark first, which Excel needs; programs get
/// none. A file that cannot be completed says so in a last line that no RFC 4180 reader takes, and its
/// connection breaks.
#[utoipa::path(
    get,
    path = "/expenses.csv",
    tag = "expenses",
    security(("session" = []), ("bearer" = [])),
    params(FilterParameters),
    responses(
        (status = 200, description = "The file",
            content((String = "text/csv", example = json!(CSV_EXAMPLE)))),
        Protected, NeedsScope, ReadsQuery,
    ),
)]
async fn download_expenses(
    expenses: UserExpenses,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, AppError> {
    let filter = expense::parse_list_query(&query.unwrap_or_default())?.filter;
    let mut export = expenses.export(filter);
    // A failure here has an answer of its own; a later one can only break the file off.
    let first = export.next().await?.unwrap_or_default();
    let beginning = csv_beginning(&headers, &first);
    if export.is_done() {
        return Ok(csv_download(beginning.into()));
    }
    let request_id = request_id(&headers).unwrap_or_default();
    let rest = stream::try_unfold(export, |mut export| async {
        let listed = export.next().await?;
        Ok::<_, KvError>(listed.map(|listed| (csv::lines(&listed), export)))
    });
    let rest = rest.flat_map(move |part| {
        let broken_off = part.as_ref().err().map(|error| {
            log::error!("{request_id} GET /expenses.csv: {error}: the file breaks off");
            Ok(csv::BREAK_OFF.to_owned())
        });
        stream::iter(broken_off.into_iter().chain([part]))
    });
    let parts = stream::once(ready(Ok(beginning))).chain(rest);
    Ok(csv_download(Body::from_stream(parts)))
}

/// The beginning of a file, with the first of its expenses.
fn csv_beginning(headers: &HeaderMap, expenses: &[Expense]) -> String {
    let mark = if is_for_browser(headers) { csv::BYTE_ORDER_MARK } else { "" };
    [mark, csv::HEADER, &csv::lines(expenses)].concat()
}

/// Whether a browser shows or saves the response, rather than hands it to a script.
fn is_for_browser(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-mode").is_some_and(|mode| mode == "navigate") || wants_html(headers)
}

fn csv_download(body: Body) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8; header=present"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"expenses.csv\""),
    ];
    (headers, body).into_response()
}

/// The parameters that a list reads beside the cursor.
const LIST_PARAMETERS: [&str; 4] = ["limit", "category", "from", "to"];
/// A query of the page's own filters, with room for a link's tracking parameters.
const QUERY_REPEATED_MAX_BYTES: usize = 1024;

/// `Link` to the next page (RFC 8288).
pub(crate) fn next_link(query: &str, cursor: &str) -> Result<HeaderValue, AppError> {
    let query = next_query(query, cursor);
    HeaderValue::try_from(format!("</expenses?{query}>; rel=\"next\"")).map_err(AppError::internal)
}

/// The query of the next page: each parameter once, in the order given, with another cursor. Of a long
/// query only what the list reads is repeated, so that a request cannot make the header grow.
pub(crate) fn next_query(query: &str, cursor: &str) -> String {
    let is_short = query.len() <= QUERY_REPEATED_MAX_BYTES;
    let mut repeated: Vec<(Cow<'_, str>, Cow<'_, str>)> = Vec::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if name == "cursor" || !(is_short || LIST_PARAMETERS.contains(&&*name)) {
            continue;
        }
        // The last of a name counts.
        match repeated.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => repeated.push((name, value)),
        }
    }
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(repeated)
        .append_pair("cursor", cursor)
        .finish()
}

/// Add up expenses
///
/// Exact, for each currency by category and by month. Amounts of different currencies are never added.
#[utoipa::path(
    get,
    path = "/expenses/summary",
    tag = "expenses",
    security(("session" = []), ("bearer" = [])),
    params(SummaryParameters),
    responses((status = 200, description = "The sums", body = Summary), Protected, NeedsScope, ReadsQuery),
)]
async fn summarize_expenses(
    expenses: UserExpenses,
    RawQuery(query): RawQuery,
) -> Result<Json<Summary>, AppError> {
    let SummaryQuery { currency, filter } =
        expense::parse_summary_query(&query.unwrap_or_default())?;
    let sums = expenses.sum(currency.as_deref(), &filter).await?;
    Ok(Json(sums.into()))
}

/// Show an expense
#[utoipa::path(
    get,
    path = "/expenses/{id}",
    tag = "expenses",
    security(("session" = []), ("bearer" = [])),
    params(("id" = ExpenseId, Path, description = "The expense's id")),
    responses((status = 200, description = "The expense", body = ExpenseResponse<'_>), Protected, NeedsScope, FindsOne),
)]
async fn show_expense(expenses: UserExpenses, id: ExpenseId) -> Result<Json<Expense>, AppError> {
    expenses.get(id).await?.map(Json).ok_or_else(no_such_expense)
}

/// Replace an expense
///
/// What is left out gets its default, as in a new one.
#[utoipa::path(
    put,
    path = "/expenses/{id}",
    tag = "expenses",
    security(("session" = []), ("bearer" = [])),
    params(("id" = ExpenseId, Path, description = "The expense's id")),
    request_body = ExpenseRequest,
    responses(
        (status = 200, description = "The expense as it is now", body = ExpenseResponse<'_>),
        Protected, Changes, ReadsBody, FindsOne,
    ),
)]
async fn replace_expense(
    expenses: UserExpenses,
    id: ExpenseId,
    State(state): State<AppState>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Expense>, AppError> {
    let body = read_json(&headers, body).await?;
    let today = state.clock.now().date_naive();
    let content = expense::parse_expense(body, today)?;
    change(&expenses, id, &state, |_| Ok(content)).await
}

/// Change an expense
///
/// A JSON merge patch (RFC 7396): absent fields stay; `null` restores a field's default. It may be sent as
/// `application/json` too.
#[utoipa::path(
    patch,
    path = "/expenses/{id}",
    tag = "expenses",
    security(("session" = []), ("bearer" = [])),
    params(("id" = ExpenseId, Path, description = "The expense's id")),
    request_body(content = ExpensePatch, content_type = "application/merge-patch+json"),
    responses(
        (status = 200, description = "The expense as it is now", body = ExpenseResponse<'_>),
        Protected, Changes, ReadsBody, FindsOne,
    ),
)]
async fn patch_expense(
    expenses: UserExpenses,
    id: ExpenseId,
    State(state): State<AppState>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Expense>, AppError> {
    let body = read_json(&headers, body).await?;
    let today = state.clock.now().date_naive();
    change(&expenses, id, &state, |content| Ok(expense::parse_patch(body, today)?.apply(content)))
        .await
}

/// Writes what `new_content` makes of an expense that is there.
async fn change(
    expenses: &UserExpenses,
    id: ExpenseId,
    state: &AppState,
    new_content: impl FnOnce(&ExpenseContent) -> Result<ExpenseContent, Problems>,
) -> Result<Json<Expense>, AppError> {
    let expense = expenses.get(id).await?.ok_or_else(no_such_expense)?;
    let content = new_content(&expense.content)?;
    let changed = Expense { content, updated_at: state.clock.now().into(), ..expense };
    expenses.put(&changed).await?;
    Ok(Json(changed))
}

/// Delete an expense
#[utoipa::path(
    delete,
    path = "/expenses/{id}",
    tag = "expenses",
    security(("session" = []), ("bearer" = [])),
    params(("id" = ExpenseId, Path, description = "The expense's id")),
    responses((status = 204, description = "It is gone"), Protected, Changes, FindsOne),
)]
async fn delete_expense(expenses: UserExpenses, id: ExpenseId) -> Result<StatusCode, AppError> {
    if expenses.delete(id).await? { Ok(StatusCode::NO_CONTENT) } else { Err(no_such_expense()) }
}

/// The `Idempotency-Key` header.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problems> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    // A header is ISO 8859-1, in which a byte is a character.
    let key = value.as_bytes().iter().copied().map(char::from).collect();
    Ok(Some(parse_key(Value::String(key), &IDEMPOTENCY_KEY_LOC)?))
}

/// The `{id}` of a path. One that is no id names no expense.
impl<S: Send + Sync> FromRequestParts<S> for ExpenseId {
    type Rejection = AppError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, AppError> {
        let params = RawPathParams::from_request_parts(parts, state).await.ok();
        let id = params.iter().flatten().find(|(name, _)| *name == "id");
        id.and_then(|(_, id)| Self::parse(id).ok()).ok_or_else(no_such_expense)
    }
}

/// Also for another user's, whose existence is nobody's business.
pub(crate) fn no_such_expense() -> AppError {
    AppError::new(StatusCode::NOT_FOUND, "Expense not found")
}

/// The answer when KV has failed: `maybe_saved` when it was a write.
fn unavailable(maybe_saved: &str, error: KvError) -> AppError {
    let detail = if error.is_of_write() { maybe_saved } else { NOT_REACHED };
    AppError::unavailable(detail, KV_RETRY_AFTER_SECS, error)
}

/// The answer when a request with an idempotency key has made nothing.
fn not_created(error: CreateError, key: &str) -> AppError {
    match error {
        CreateError::Kv(error) => unavailable(NEW_MAYBE_SAVED_WITH_KEY, error),
        CreateError::KeyReused => Problems::from(key_reused(key, &IDEMPOTENCY_KEY_LOC)).into(),
        CreateError::InProcess => AppError::new(StatusCode::CONFLICT, IN_PROCESS)
            .with_header(header::RETRY_AFTER, IN_PROCESS_RETRY_AFTER_SECS.into()),
    }
}
