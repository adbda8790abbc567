//! The pages of expenses.
//!
//! | request | response |
//! | --- | --- |
//! | `GET /` | the overview; without a session, the welcome page |
//! | `GET /expenses?from&to&category&limit&cursor` | the overview, or the faults of the filter |
//! | `GET /expenses/{id}` | the expense with the form that edits it |
//! | `GET /expenses/{id}/delete` | the question before deleting |
//! | `GET /docs` | the API documentation |
//!
//! Cost: a page with a list is one `list` of KV (a thousand expenses) and one request to the ledger, at the same time;
//! they serve rows, totals and charts.

use std::{cmp::Reverse, collections::BTreeMap, sync::Arc};

use axum::{
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use url::form_urlencoded;

use super::{
    cookies,
    error::{not_got, not_reached},
    expense_form::{FormInput, new_idempotency_key},
    views::{
        Account, docs, expense as expense_view, home,
        list::{FilterInput, List},
        overview::{self, FirstPage, Notice, Overview},
        respond,
    },
    visitor::Visitor,
};
use crate::{
    access::{Access, no_such_expense},
    conditions::with_consistency,
    expenses::{
        ledger::overlay::Reading,
        model::{Category, Expense, ExpenseId},
        row::{Figures, RowRef, Rows},
        sorted::sorted_by_key,
        summary::{SummaryBuilder, compare_months},
        user_expenses::{ListError, UserExpenses},
    },
    fastapi::{
        Fault,
        expense::{ListQuery, parse_list_query},
    },
    openapi::{FindsOne, NeedsScope, Protected},
    paging::{next_link, next_query},
    url_encoded::Parameters,
};
use axum_authkit::{AppError, CurrentUser, Rejection};
use edge_host::Clock;

/// Rows of a page unless `limit` says otherwise: a few screens, and a first page below 30 KB.
const ROWS: usize = 25;

/// `GET /` for browsers.
pub(crate) async fn show_home(
    visitor: Result<Visitor, Rejection>,
    clock: State<Arc<dyn Clock>>,
) -> Response {
    match visitor {
        Ok(visitor) => list_expenses(visitor, clock, RawQuery(None)).await,
        Err(Rejection::SignedOut { .. }) => respond(StatusCode::OK, home::page()),
        // Neither an outage nor a missing permission is a sign-out.
        Err(error) => error.into_response(),
    }
}

/// `GET /expenses` for browsers.
pub(crate) async fn list_expenses(
    Visitor { account, expenses, locale, time_zone, cookies, notice, currency: last, .. }: Visitor,
    State(clock): State<Arc<dyn Clock>>,
    RawQuery(query): RawQuery,
) -> Response {
    let query = PageQuery::parse(&query.unwrap_or_default());
    let ListQuery { limit, cursor, filter } = match parse_list_query(&query.filtering) {
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
            let page = overview::filter_refused(&account, &query.filter_input(), &messages);
            return respond(StatusCode::UNPROCESSABLE_ENTITY, page);
        }
    };
    let limit = if query.has("limit") { limit } else { ROWS };
    let listed = expenses.list_with_batch(limit, cursor.as_deref(), &filter).await;
    let Reading { value: view, consistency } = match listed {
        Ok(view) => view,
        Err(ListError::Kv(error)) => return not_reached(error).into_response(),
        Err(ListError::ForeignCursor) => {
            return AppError::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "This page of the list cannot be shown: its address is incomplete or another user's",
            )
            .with_action("Newest expenses", "/expenses")
            .into_response();
        }
    };

    let today = time_zone.date(clock.now());
    let listed: Vec<Figures<'_>> = view.listed.iter().filter_map(RowRef::figures).collect();
    let mut sums = SummaryBuilder::default();
    listed.iter().filter(|figures| filter.matches(figures)).for_each(|figures| sums.add(figures));
    let summary = sums.into();
    let months = compare_months(listed.iter(), today);
    let categories = by_use(listed.iter().map(|figures| &*figures.category));
    let currencies = by_use(listed.iter().map(|figures| &*figures.currency));
    let newest = listed.first().map_or(locale.currency(), |newest| &newest.currency);
    let currency = last.as_deref().unwrap_or(newest);
    let rows = view.page.iter().filter_map(|index| view.listed.get(*index)?.expense());
    let rows: Vec<Expense> = rows.collect();
    let told = match notice {
        Some(notice) => told(&expenses, notice, &view.listed).await,
        None => None,
    };
    let mut input = FormInput {
        currency: currency.to_owned(),
        date: today.to_string(),
        idempotency_key: new_idempotency_key(),
        ..FormInput::default()
    };
    // Receipts come in batches of one day or one kind.
    if let Some(Notice::Added(Some(Expense { content, .. }))) = &told {
        input.date = content.date.to_string();
        if *content.category != *Category::DEFAULT {
            input.category = content.category.to_string();
        }
    }
    let form = expense_view::Form {
        id: None,
        input: &input,
        errors: &[],
        categories: &categories,
        currencies: &currencies,
        locale,
        is_next: matches!(told, Some(Notice::Added(_))),
    };
    let next = view.cursor.as_deref().map(|cursor| next_query(&query.filtering, cursor));
    let page = overview::page(&Overview {
        account: &account,
        today,
        notice: told.as_ref(),
        consistency,
        list: List {
            locale,
            filter: &filter,
            categories: &categories,
            rows: &rows,
            next: next.as_deref(),
            is_first: cursor.is_none(),
            may_write: account.may_write(),
        },
        first_page: cursor.is_none().then_some(FirstPage {
            form,
            months: &months,
            summary: &summary,
            is_empty: view.listed.is_empty(),
            counted_only: (!view.is_whole).then_some(view.listed.len()),
        }),
    });
    let mut response = respond(StatusCode::OK, page);
    if told.is_some() {
        response.headers_mut().append(header::SET_COOKIE, cookies.clear_notice());
    }
    if let Some(cursor) = &view.cursor {
        match next_link(&query.filtering, cursor) {
            Ok(link) => response.headers_mut().insert(header::LINK, link),
            Err(error) => return error.into_response(),
        };
    }
    with_consistency(response, consistency)
}

/// `GET /expenses/{id}` for browsers.
pub(crate) async fn show_expense(visitor: Visitor, id: ExpenseId) -> Result<Response, AppError> {
    let Reading { value, consistency } = visitor.expenses.get_expense(id).await.map_err(not_got)?;
    let expense = value.ok_or_else(no_such_expense)?;
    let locale = visitor.locale;
    let form = expense_view::Form {
        id: Some(id),
        input: &FormInput::from_expense(&expense, locale),
        errors: &[],
        categories: &[&expense.content.category],
        currencies: &[],
        locale,
        is_next: false,
    };
    let page =
        expense_view::page(&expense, &form, consistency, &visitor.time_zone, &visitor.account);
    Ok(with_consistency(respond(StatusCode::OK, page), consistency))
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
pub(crate) async fn confirm_delete(visitor: Visitor, id: ExpenseId) -> Result<Response, AppError> {
    visitor.require(Access::Write)?;
    let Reading { value, consistency } = visitor.expenses.get_expense(id).await.map_err(not_got)?;
    let expense = value.ok_or_else(no_such_expense)?;
    let page =
        expense_view::confirm_delete(&expense, consistency, visitor.locale, &visitor.account);
    Ok(with_consistency(respond(StatusCode::OK, page), consistency))
}

/// Interactive documentation
///
/// Swagger UI. "Try it out" sends requests with the browser's session; the page shows its user.
#[utoipa::path(
    get,
    path = "/docs",
    tag = "service",
    security(()),
    responses((status = 200, description = "A page", body = String, content_type = "text/html")),
)]
pub(crate) async fn show_docs(caller: Result<CurrentUser, Rejection>) -> Response {
    let account = caller.map(|caller| Account::from(&caller));
    let reader = match &account {
        Ok(account) => docs::Reader::SignedIn(account),
        Err(Rejection::Unavailable(_) | Rejection::TooManyRequests { .. }) => docs::Reader::Unknown,
        Err(_) => docs::Reader::SignedOut,
    };
    let policy = [(header::CONTENT_SECURITY_POLICY, docs::CONTENT_SECURITY_POLICY)];
    (policy, respond(StatusCode::OK, docs::page(reader))).into_response()
}

fn filter_message(parameter: &str, fault: &Fault) -> &'static str {
    match (parameter, fault) {
        ("to", Fault::RangeReversed) => {
            "The last day comes before the first: give a later last day, or an earlier first day."
        }
        ("from", _) => "Give the first day as year-month-day, such as 2026-01-31.",
        ("to", _) => "Give the last day as year-month-day, such as 2026-01-31.",
        _ => "The category is too long.",
    }
}

/// Each name once, the most frequent first.
fn by_use<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    // Names of one count stay in alphabetical order.
    let counts = sorted_by_key(counts.into_iter().collect(), |(_, count)| Reverse(*count));
    counts.into_iter().map(|(name, _)| name).collect()
}

/// The query of a page. Its form's empty fields count as absent.
struct PageQuery {
    parameters: Parameters,
    /// The query of the API's list.
    filtering: String,
}

impl PageQuery {
    fn parse(query: &str) -> Self {
        let parameters = Parameters::parse(query.as_bytes());
        let known = ["from", "to", "category", "limit", "cursor"];
        let filtering = parameters
            .iter()
            .filter(|(name, value)| known.contains(name) && !value.trim().is_empty());
        let filtering =
            form_urlencoded::Serializer::new(String::new()).extend_pairs(filtering).finish();
        Self { parameters, filtering }
    }

    fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).filter(|value| !value.trim().is_empty())
    }

    fn filter_input(&self) -> FilterInput {
        let value = |name| self.get(name).unwrap_or_default().to_owned();
        FilterInput { from: value("from"), to: value("to"), category: value("category") }
    }
}

/// The message about the result of a form. An expense that is not listed takes a read of its own.
async fn told(expenses: &UserExpenses, notice: cookies::Notice, listed: &Rows) -> Option<Notice> {
    let id = match notice {
        // The account's page shows it.
        cookies::Notice::Switched => return None,
        cookies::Notice::Deleted(id) => {
            let removed = expenses.removed(id).await;
            // Whether it can be restored is unknown while the ledger cannot be reached.
            let can_restore = removed.as_ref().map_or(true, Option::is_some);
            let expense = removed.ok().flatten().and_then(|row| row.as_ref().expense());
            return Some(Notice::Deleted { id, expense, can_restore });
        }
        cookies::Notice::Added(id)
        | cookies::Notice::Changed(id)
        | cookies::Notice::Restored(id) => id,
    };
    let expense = match listed.iter().find(|row| row.id == id) {
        Some(row) => row.expense(),
        None => expenses.get_expense(id).await.ok().and_then(|reading| reading.value),
    };
    Some(match notice {
        cookies::Notice::Added(_) => Notice::Added(expense),
        cookies::Notice::Restored(_) => Notice::Restored(expense),
        _ => Notice::Changed(expense),
    })
}
