//! What a browser gets where programs get JSON: pages. [`prefer_pages`] tells the two apart, `Visitor`
//! is who looks, [`crate::web::views`] is how pages look, and [`super::submit`] takes their forms.
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /` | the overview, or what this is |
//! | `GET /expenses?from&to&category&limit&cursor` | the overview, or what is wrong with the filter |
//! | `GET /expenses/{id}` | the expense with the form that changes it |
//!
//! Cost: a page with a list is 1 `list` of a thousand, which serves rows, totals and charts alike.

use std::{cmp::Reverse, collections::BTreeMap};

use axum::{
    Router,
    extract::{FromRequestParts, RawQuery, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{Method, StatusCode, header, request::Parts};
use url::form_urlencoded;

use super::{
    error::{not_got, not_reached},
    expense_form::Typed,
    submit::{add_expense, is_own_form, new_idempotency_key},
    views::{
        Account, Locale, expense as view, home,
        list::FilterTyped,
        overview,
        overview::{FirstPage, Notice, Overview},
        respond,
    },
};
use crate::{
    access::{expenses_of, no_such_expense},
    api::expenses::{next_link, next_query},
    app::AppState,
    authkit::{CurrentUser, Rejection, origin::RequestOrigin},
    browser::{CSV, HTML, prefers, wants_html},
    error::AppError,
    expenses::{
        UserExpenses,
        model::{Expense, ExpenseId},
        summary::{SummaryBuilder, compare_months},
        user_expenses::ListError,
    },
    fastapi::{
        Fault,
        expense::{self, ListQuery},
    },
    runtime::VisitorTimeZone,
};

/// Rows of a page, unless `limit` says otherwise: what fits on a few screens, and a first page under
/// 30 KB.
const ROWS: usize = 25;

/// The pages that share their paths with the API, by themselves: what has no page is 404 here.
#[allow(clippy::disallowed_methods, reason = "described where the API's handlers are")]
pub fn pages(state: AppState) -> Router {
    Router::new()
        .route("/", get(show_home))
        .route("/expenses", get(show_expenses).post(add_expense))
        .route("/expenses/{id}", get(show_expense))
        .with_state(state)
}

/// The layer that answers with `pages` whatever a browser shows, or has sent from one of them.
pub async fn prefer_pages(
    State(mut pages): State<Router>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path();
    let is_for_page = match parts.method {
        Method::GET | Method::HEAD => {
            has_page(path) && wants_html(&parts.headers) && !prefers(&parts.headers, CSV, HTML)
        }
        Method::POST if path == "/expenses" => RequestOrigin::from_request_parts(&mut parts, &())
            .await
            .is_ok_and(|origin| is_own_form(&parts.headers, &origin)),
        _ => false,
    };
    let request = Request::from_parts(parts, body);
    if !is_for_page {
        return next.run(request).await;
    }
    let answer = tower_service::Service::call(&mut pages, request).await;
    answer.unwrap_or_else(|never| match never {})
}

/// Whether [`pages`] has this path; what is data for a browser too has none.
fn has_page(path: &str) -> bool {
    let id = path.strip_prefix("/expenses/").filter(|rest| !rest.contains('/'));
    matches!(path, "/" | "/expenses") || id.is_some_and(|id| !matches!(id, "" | "summary"))
}

/// Whoever looks at a page, signed in, and what is theirs.
pub(super) struct Visitor {
    /// As pages show it.
    pub account: Account,
    /// As UserExpenses gives them: none but the visitor's own.
    pub expenses: UserExpenses,
    /// How the visitor writes.
    pub locale: Locale,
    /// Whose calendar "today" and "this month" are of.
    pub time_zone: VisitorTimeZone,
}

impl FromRequestParts<AppState> for Visitor {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Rejection> {
        let caller = CurrentUser::from_request_parts(parts, state).await?;
        let account = Account::from(&caller);
        let expenses = expenses_of(&caller, &parts.method, &state.expenses)?;
        let locale = Locale::from_headers(&parts.headers);
        let time_zone = parts.extensions.get().cloned().unwrap_or_default();
        Ok(Self { account, expenses, locale, time_zone })
    }
}

async fn show_home(state: State<AppState>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    match Visitor::from_request_parts(&mut parts, &state.0).await {
        Ok(visitor) => show_expenses(visitor, state, RawQuery(None)).await,
        Err(Rejection::SignedOut { .. } | Rejection::Forbidden { .. }) => {
            respond(StatusCode::OK, home::page())
        }
        // An outage is not a sign-out.
        Err(error) => error.into_response(),
    }
}

async fn show_expenses(
    Visitor { account, expenses, locale, time_zone }: Visitor,
    State(state): State<AppState>,
    RawQuery(query): RawQuery,
) -> Response {
    let query = PageQuery::parse(&query.unwrap_or_default());
    let ListQuery { limit, cursor, filter } = match expense::parse_list_query(&query.filtering) {
        Ok(query) => query,
        Err(problems) if problems.iter().any(|problem| problem.field() == Some("limit")) => {
            return AppError::from(problems).into_response();
        }
        Err(problems) => {
            let messages: Vec<(&str, String)> = problems
                .iter()
                .filter_map(|problem| {
                    let field = ["from", "to", "category"]
                        .into_iter()
                        .find(|field| problem.field() == Some(field))?;
                    Some((field, filter_message(field, &problem.fault).to_owned()))
                })
                .collect();
            let page = overview::filter_refused(&account, &query.typed(), &messages);
            return respond(StatusCode::UNPROCESSABLE_ENTITY, page);
        }
    };
    let limit = if query.has("limit") { limit } else { ROWS };
    let view = match expenses.list_with_batch(limit, cursor.as_deref(), &filter).await {
        Ok(view) => view,
        Err(ListError::Kv(error)) => return not_reached(error).into_response(),
        Err(ListError::ForeignCursor) => {
            return AppError::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "This part of the list is not to be had: its address is incomplete or another user's",
            )
            .with_way_on("Newest expenses", "/expenses")
            .into_response();
        }
    };

    let today = time_zone.date(state.clock.now());
    let listed = || view.listed.iter().map(|expense| &expense.content);
    let mut sums = SummaryBuilder::default();
    listed().filter(|content| filter.matches(content)).for_each(|content| sums.add(content));
    let summary = sums.into();
    let months = compare_months(listed(), today);
    let categories = by_use(listed().map(|content| &*content.category));
    let currency = view.listed.first().map_or(locale.currency(), |newest| &newest.content.currency);
    let typed = Typed {
        currency: currency.to_owned(),
        date: today.to_string(),
        idempotency_key: new_idempotency_key(),
        ..Typed::default()
    };
    let form = view::Form { id: None, typed: &typed, errors: &[], categories: &categories, locale };
    let next = view.page.cursor.as_deref().map(|cursor| next_query(&query.filtering, cursor));
    let page = overview::page(&Overview {
        account: &account,
        locale,
        today,
        notice: query.notice(&view.listed),
        filter: &filter,
        categories: &categories,
        rows: &view.page.expenses,
        next: next.as_deref(),
        first_page: cursor.is_none().then_some(FirstPage {
            form,
            months: &months,
            summary: &summary,
            is_empty: view.listed.is_empty(),
            counted_only: (!view.is_whole).then_some(view.listed.len()),
        }),
    });
    let mut response = respond(StatusCode::OK, page);
    if let Some(cursor) = &view.page.cursor {
        match next_link(&query.filtering, cursor) {
            Ok(link) => response.headers_mut().insert(header::LINK, link),
            Err(error) => return error.into_response(),
        };
    }
    response
}

async fn show_expense(visitor: Visitor, id: ExpenseId) -> Result<Response, AppError> {
    let expense = visitor.expenses.get(id).await.map_err(not_got)?.ok_or_else(no_such_expense)?;
    let locale = visitor.locale;
    let typed = Typed::from_expense(&expense, locale);
    let categories = [&*expense.content.category];
    let form =
        view::Form { id: Some(id), typed: &typed, errors: &[], categories: &categories, locale };
    Ok(respond(StatusCode::OK, view::page(&expense, &form, &visitor.time_zone, &visitor.account)))
}

fn filter_message(parameter: &str, fault: &Fault) -> &'static str {
    match (parameter, fault) {
        ("to", Fault::RangeReversed) => {
            "The last day comes before the first: give a later one, or an earlier first day."
        }
        ("from", _) => "Give the first day as year-month-day, such as 2026-01-31.",
        ("to", _) => "Give the last day as year-month-day, such as 2026-01-31.",
        _ => "No category is that long.",
    }
}

/// Each once, what comes most often first.
fn by_use<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
    counts.sort_unstable_by_key(|(name, count)| (Reverse(*count), *name));
    counts.into_iter().map(|(name, _)| name).collect()
}

/// The query of a page: what the API reads too, and what only pages have.
struct PageQuery {
    /// What the API reads. An empty field of a form means nothing.
    filtering: String,
    pairs: Vec<(String, String)>,
}

impl PageQuery {
    fn parse(query: &str) -> Self {
        let pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes())
            .filter(|(_, value)| !value.trim().is_empty())
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        let known = ["from", "to", "category", "limit", "cursor"];
        let filtering = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(pairs.iter().filter(|(name, _)| known.contains(&name.as_str())))
            .finish();
        Self { filtering, pairs }
    }

    fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The last of a name counts, as in the API.
    fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.pairs.iter().rev().find(|(key, _)| key == name)?;
        Some(value)
    }

    fn typed(&self) -> FilterTyped {
        let value = |name| self.get(name).unwrap_or_default().to_owned();
        FilterTyped { from: value("from"), to: value("to"), category: value("category") }
    }

    /// What the request before this one has done, if it was one of the forms.
    fn notice<'a>(&self, listed: &'a [Expense]) -> Option<Notice<'a>> {
        let find = |id: &str| listed.iter().find(|expense| expense.id.to_string() == id);
        if let Some(id) = self.get("added") {
            Some(Notice::Added(find(id)))
        } else if let Some(id) = self.get("changed") {
            Some(Notice::Changed(find(id)))
        } else if self.has("deleted") {
            Some(Notice::Deleted)
        } else if self.has("switched") {
            Some(Notice::Switched)
        } else {
            None
        }
    }
}
