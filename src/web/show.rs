//! The pages of expenses.
//!
//! | request | response |
//! | --- | --- |
//! | `GET /` | the overview; without a session, the welcome page |
//! | `GET /expenses?sort&from&to&category&q&min_amount&max_amount&currency&limit&cursor` | the overview, or the faults of the filter |
//! | `GET /expenses/{id}?return_to` | the expense with the form that edits it, and leads back to the list with this query |
//! | `GET /expenses/{id}/delete?return_to` | the question before deleting |
//! | `GET /docs` | the API documentation |
//!
//! Cost: a page with a list is one `list` of KV for each thousand of the visitor's expenses and one request to the
//! ledger, which the first `list` does not wait for; they serve rows, totals and charts. A later page in the order of
//! additions is one `list`.

use std::sync::Arc;

use axum::{
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
};
use chrono::NaiveDate;
use http::{StatusCode, header};
use maud::Markup;

use super::{
    cookies::Flash,
    error::{not_got, not_listed},
    expense_form::{FormInput, new_idempotency_key},
    list_query::{FilterInput, PageQuery, rebuilt},
    views::{
        Account, docs, expense as expense_view, home,
        list::List,
        overview::{self, FirstPage, Notice, Overview},
        respond,
    },
    visitor::Visitor,
};
use crate::{
    access::Access,
    conditions::with_consistency,
    expense_errors::no_such_expense,
    expenses::{
        ledger::overlay::{Consistency, Reading},
        model::{Category, Currency, Expense, ExpenseId},
        order::Sort,
        row::{Figures, RowRef},
        store::GetError,
        summary::SummaryBuilder,
        user_expenses::{PageInOrder, UserExpenses},
    },
    fastapi::{
        Fault, Problems,
        expense::{ListQuery, parse_list_query},
    },
    openapi::{FindsOne, NeedsScope, Protected},
    paging::{next_link, next_query},
    typed::{Locale, expense::TypedExpense},
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
) -> Result<Response, AppError> {
    match visitor {
        Ok(visitor) => list_expenses(visitor, clock, RawQuery(None)).await,
        Err(Rejection::Unauthenticated { .. }) => Ok(respond(StatusCode::OK, home::page())),
        // Neither an outage nor a missing permission is a sign-out.
        Err(error) => Err(error.into()),
    }
}

/// `GET /expenses` for browsers.
pub(crate) async fn list_expenses(
    visitor: Visitor,
    State(clock): State<Arc<dyn Clock>>,
    RawQuery(query): RawQuery,
) -> Result<Response, AppError> {
    let mut query = PageQuery::parse(&query.unwrap_or_default(), visitor.locale);
    let list = match read_query(&mut query, visitor.locale) {
        Ok(list) => list,
        Err(QueryRefusal::Parameters(problems)) => return Err(problems.into()),
        Err(QueryRefusal::Filter(errors)) => {
            let (input, sort) = (query.filter_input(), query.sort());
            let page = overview::filter_refused(&visitor.account, &input, sort, &errors);
            return Ok(respond(StatusCode::UNPROCESSABLE_ENTITY, page));
        }
    };
    let (Reading { value: listed, consistency }, mut sums) = read_page(&visitor, &list).await?;
    let today = visitor.time_zone.date(clock.now());
    let notice = match visitor.flash {
        Some(flash) => notice_of(&visitor.expenses, flash, sums.named.take()).await,
        None => None,
    };
    let cursor = listed.page.cursor.as_deref();
    let next = cursor.map(|cursor| next_query(&query.filtering, cursor));
    let shown = Shown { listed: &listed, consistency, next: next.as_deref(), today };
    let page = overview_of(&visitor, &list, &shown, sums, notice.as_ref());
    let mut response = respond(StatusCode::OK, page);
    if notice.is_some() {
        visitor.cookies.clear_flash(&mut response);
    }
    if let Some(cursor) = cursor {
        response.headers_mut().insert(header::LINK, next_link(&query.filtering, cursor)?);
    }
    Ok(with_consistency(response, consistency))
}

/// Reads a page of the list. The first page, and each one by date, comes with the sums of all expenses.
async fn read_page(
    Visitor { expenses, flash, .. }: &Visitor,
    list: &ListQuery,
) -> Result<(Reading<PageInOrder>, PageSums), AppError> {
    let ListQuery { limit, cursor, sort, filter } = list;
    let mut sums = PageSums { named_id: named_id(*flash), ..PageSums::default() };
    let is_filtered = !filter.is_empty();
    let mut each = |row: RowRef<'_>, figures: &Figures<'_>, is_selected: bool| {
        sums.add(row, figures, is_selected && is_filtered);
    };
    let listed = if cursor.is_none() || *sort == Sort::Date {
        expenses.list_all(*limit, cursor.as_deref(), filter, *sort, &mut each).await
    } else {
        let page = expenses.list(*limit, cursor.as_deref(), filter, *sort).await;
        page.map(|page| page.map(|page| PageInOrder { page, before: None, after: None }))
    };
    Ok((listed.map_err(not_listed)?, sums))
}

/// A page of the list as it is shown.
struct Shown<'a> {
    listed: &'a PageInOrder,
    consistency: Consistency,
    /// The query of the next page.
    next: Option<&'a str>,
    /// The date in the visitor's time zone.
    today: NaiveDate,
}

fn overview_of(
    Visitor { account, locale, currency: last_currency, .. }: &Visitor,
    ListQuery { cursor, sort, filter, .. }: &ListQuery,
    Shown { listed, consistency, next, today }: &Shown<'_>,
    PageSums { all, selected, currency, .. }: PageSums,
    notice: Option<&Notice>,
) -> Markup {
    let months = all.compare_months(*today);
    let categories: Vec<String> = all.categories().into_iter().map(str::to_owned).collect();
    let categories: Vec<&str> = categories.iter().map(String::as_str).collect();
    let currencies = all.currencies();
    let currencies: Vec<&str> = currencies.iter().map(|currency| &**currency).collect();
    let is_empty = all.is_empty();
    let respelled = all.respelled();
    let summary = if filter.is_empty() { all } else { selected }.into_summary(&respelled);
    let currency = last_currency.as_deref().or(currency.as_deref()).unwrap_or(locale.currency());
    let rows: Vec<Expense> = listed.page.rows.iter().filter_map(RowRef::expense).collect();
    let input = next_input(notice, currency, *today);
    let form = expense_view::Form {
        id: None,
        input: &input,
        errors: &[],
        categories: &categories,
        currencies: &currencies,
        locale: *locale,
        is_next: matches!(notice, Some(Notice::Added(_))),
    };
    overview::page(&Overview {
        account,
        notice,
        consistency: *consistency,
        list: List {
            locale: *locale,
            today: *today,
            filter,
            sort: *sort,
            summary: &summary,
            categories: &categories,
            currencies: &currencies,
            rows: &rows,
            before: listed.before,
            after: listed.after,
            next: *next,
            is_first: cursor.is_none(),
            may_write: account.may_write(),
        },
        first_page: cursor.is_none().then_some(FirstPage { form, months: &months, is_empty }),
    })
}

/// `GET /expenses/{id}` for browsers.
pub(crate) async fn show_expense(
    visitor: Visitor,
    id: ExpenseId,
    RawQuery(query): RawQuery,
) -> Result<Response, AppError> {
    let got = visitor.expenses.get_expense(id).await;
    let Reading { value, consistency } = got.map_err(|error| not_got(error, id))?;
    let expense = value.ok_or_else(no_such_expense)?;
    let locale = visitor.locale;
    let input = FormInput {
        return_to: opened_from(query.as_deref()),
        ..FormInput::from_expense(&expense, locale)
    };
    let form = expense_view::Form {
        id: Some(id),
        input: &input,
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
pub(crate) async fn confirm_delete(
    visitor: Visitor,
    id: ExpenseId,
    RawQuery(query): RawQuery,
) -> Result<Response, AppError> {
    visitor.require(Access::Write)?;
    let (expense, consistency) = match visitor.expenses.get_expense(id).await {
        Ok(Reading { value, consistency }) => {
            (Some(value.ok_or_else(no_such_expense)?), consistency)
        }
        Err(GetError::Unreadable(_)) => (None, Consistency::Strong),
        Err(error) => return Err(not_got(error, id)),
    };
    let Visitor { account, locale, .. } = &visitor;
    let return_to = opened_from(query.as_deref());
    let expense = expense.as_ref();
    let page = expense_view::confirm_delete(id, expense, consistency, *locale, account, &return_to);
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

/// Why the query of a list is refused.
enum QueryRefusal {
    /// The fields of the filter that are wrong, with their errors.
    Filter(Vec<(&'static str, String)>),
    /// The problems of parameters that no form here sends.
    Parameters(Problems),
}

/// The list that a query asks for.
fn read_query(query: &mut PageQuery, locale: Locale) -> Result<ListQuery, QueryRefusal> {
    let mut refused = std::mem::take(&mut query.refused);
    match parse_list_query(&query.filtering) {
        Ok(parsed) if refused.is_empty() => {
            let limit = if query.has("limit") { parsed.limit } else { ROWS };
            return Ok(ListQuery { limit, ..parsed });
        }
        Ok(_) => {}
        Err(problems)
            if problems.iter().any(|problem| matches!(problem.field(), Some("limit" | "sort"))) =>
        {
            return Err(QueryRefusal::Parameters(problems));
        }
        Err(problems) => refused.extend(problems.iter().filter_map(|problem| {
            let mut fields = FilterInput::NAMES.into_iter();
            let field = fields.find(|field| problem.field() == Some(field))?;
            Some((field, filter_message(field, &problem.fault, locale)))
        })),
    }
    Err(QueryRefusal::Filter(refused))
}

/// The sums of a list's page, and the expense that its message names.
#[derive(Default)]
struct PageSums {
    /// Of all expenses.
    all: SummaryBuilder,
    /// Of those that a filter selects.
    selected: SummaryBuilder,
    /// The currency of the newest expense.
    currency: Option<Currency>,
    named_id: Option<ExpenseId>,
    named: Option<Expense>,
}

impl PageSums {
    fn add(&mut self, row: RowRef<'_>, figures: &Figures<'_>, is_selected: bool) {
        self.currency.get_or_insert(figures.currency);
        self.all.add(figures);
        if is_selected {
            self.selected.add(figures);
        }
        if self.named_id == Some(row.id) {
            self.named = row.expense();
        }
    }
}

/// The input of the form that adds another expense.
fn next_input(notice: Option<&Notice>, currency: &str, today: NaiveDate) -> FormInput {
    let mut expense = TypedExpense {
        currency: currency.to_owned(),
        date: today.to_string(),
        ..TypedExpense::default()
    };
    // Receipts come in batches of one day or one kind.
    if let Some(Notice::Added(Some(Expense { content, .. }))) = notice {
        expense.date = content.date.to_string();
        if *content.category != *Category::DEFAULT {
            expense.category = content.category.to_string();
        }
    }
    FormInput { expense, idempotency_key: new_idempotency_key(), ..FormInput::default() }
}

fn filter_message(parameter: &str, fault: &Fault, locale: Locale) -> String {
    match (parameter, fault) {
        ("to", Fault::RangeReversed) => {
            "The last day comes before the first: give a later last day, or an earlier first day."
        }
        ("from", _) => "Give the first day as year-month-day, such as 2026-01-31.",
        ("to", _) => "Give the last day as year-month-day, such as 2026-01-31.",
        ("max_amount", Fault::AmountsReversed) => {
            "The largest amount is less than the smallest: give a larger one, or a smaller smallest amount."
        }
        ("min_amount" | "max_amount", _) => {
            return format!("Give an amount above zero, such as {}.", locale.typed("42.50"));
        }
        ("currency", _) => "Write the currency with three letters, such as EUR or USD.",
        ("q", _) => "Search for fewer words: together at most 200 characters.",
        _ => "The category is too long.",
    }
    .to_owned()
}

/// The id of the expense that the message names, if the list of the user may have it.
fn named_id(flash: Option<Flash>) -> Option<ExpenseId> {
    match flash? {
        Flash::Added(id) | Flash::Changed(id) | Flash::Restored(id) => Some(id),
        Flash::Deleted(_) | Flash::Switched | Flash::Revoked | Flash::Imported(_) => None,
    }
}

/// The message about the result of a form. An expense that is not listed takes a read of its own.
async fn notice_of(
    expenses: &UserExpenses,
    flash: Flash,
    listed: Option<Expense>,
) -> Option<Notice> {
    let id = match flash {
        // The pages of the account and of its API keys show them.
        Flash::Switched | Flash::Revoked => return None,
        Flash::Imported(counts) => return Some(Notice::Imported(counts)),
        Flash::Deleted(id) => {
            let removed = expenses.removed(id).await;
            // Whether it can be restored is unknown while the ledger cannot be reached.
            let can_restore = removed.as_ref().map_or(true, Option::is_some);
            let expense = removed.ok().flatten().and_then(|row| row.as_ref().expense());
            return Some(Notice::Deleted { id, expense, can_restore });
        }
        Flash::Added(id) | Flash::Changed(id) | Flash::Restored(id) => id,
    };
    let expense = match listed {
        Some(expense) => Some(expense),
        None => expenses.get_expense(id).await.ok().and_then(|reading| reading.value),
    };
    Some(match flash {
        Flash::Added(_) => Notice::Added(expense),
        Flash::Restored(_) => Notice::Restored(expense),
        _ => Notice::Changed(expense),
    })
}

/// The query of the list from which a page was opened: its parameter `return_to`.
fn opened_from(query: Option<&str>) -> String {
    let parameters = Parameters::parse(query.unwrap_or_default().as_bytes());
    parameters.get("return_to").map(rebuilt).unwrap_or_default()
}
