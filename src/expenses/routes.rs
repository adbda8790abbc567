//! `/expenses`: handlers that take [`UserExpenses`] and so are protected.

use axum::{
    Json, Router,
    body::Body,
    extract::{FromRequestParts, RawPathParams, RawQuery, State},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts};
use url::form_urlencoded;

use super::{
    model::{Expense, ExpenseId},
    store::UserExpenses,
    validation,
};
use crate::{
    app::AppState,
    error::AppError,
    runtime::{KV_LIST_MAX_KEYS, KvError},
    validation::{Problems, read_json},
};

const DEFAULT_LIMIT: usize = 100;
/// What is waited before KV is asked again.
const KV_RETRY_AFTER_SECS: u32 = 2;

/// The routes of expenses.
pub fn routes() -> Router<AppState> {
    Router::new()
        .route("/expenses", get(list_expenses).post(create_expense))
        .route("/expenses/{id}", get(show_expense).delete(delete_expense))
}

async fn create_expense(
    expenses: UserExpenses,
    State(state): State<AppState>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, AppError> {
    let now = state.clock.now();
    let body = read_json(&headers, body).await?;
    let expense = Expense {
        id: ExpenseId::new(now),
        content: validation::parse_expense(body, now.date_naive())?,
        created_at: now.into(),
        updated_at: now.into(),
    };
    expenses.put(&expense).await?;
    let location = format!("/expenses/{}", expense.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(expense)).into_response())
}

async fn list_expenses(
    expenses: UserExpenses,
    RawQuery(query): RawQuery,
) -> Result<Response, AppError> {
    let ListQuery { limit, cursor } = ListQuery::parse(&query.unwrap_or_default())?;
    let page = expenses.list(limit, cursor.as_deref()).await?;
    let mut response = Json(page.expenses).into_response();
    if let Some(cursor) = page.cursor {
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("limit", &limit.to_string())
            .append_pair("cursor", &cursor)
            .finish();
        // RFC 8288.
        let link = HeaderValue::try_from(format!("</expenses?{query}>; rel=\"next\""))
            .map_err(AppError::internal)?;
        response.headers_mut().insert(header::LINK, link);
    }
    Ok(response)
}

async fn show_expense(expenses: UserExpenses, id: ExpenseId) -> Result<Json<Expense>, AppError> {
    expenses.get(id).await?.map(Json).ok_or_else(no_such_expense)
}

async fn delete_expense(expenses: UserExpenses, id: ExpenseId) -> Result<StatusCode, AppError> {
    if expenses.delete(id).await? { Ok(StatusCode::NO_CONTENT) } else { Err(no_such_expense()) }
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
fn no_such_expense() -> AppError {
    AppError::new(StatusCode::NOT_FOUND, "Expense not found")
}

impl From<KvError> for AppError {
    fn from(error: KvError) -> Self {
        Self::unavailable(
            "Expenses cannot be reached right now: try again in a moment",
            KV_RETRY_AFTER_SECS,
            error,
        )
    }
}

struct ListQuery {
    limit: usize,
    cursor: Option<String>,
}

impl ListQuery {
    /// The last value of a name counts, as in FastAPI; unknown names do no harm.
    fn parse(query: &str) -> Result<Self, Problems> {
        let mut parsed = Self { limit: DEFAULT_LIMIT, cursor: None };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "limit" => parsed.limit = validation::parse_limit(&value, KV_LIST_MAX_KEYS)?,
                "cursor" => {
                    parsed.cursor = Some(value.into_owned()).filter(|cursor| !cursor.is_empty())
                }
                _ => {}
            }
        }
        Ok(parsed)
    }
}
