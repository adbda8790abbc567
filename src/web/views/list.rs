//! The list of expenses: its filter, its rows, the link to the next page.

use chrono::NaiveDate;
use maud::{Markup, html};
use url::form_urlencoded;

use super::expense;
use crate::{
    expenses::{filter::Filter, model::Expense, sorted::sorted_by_key, summary::Summary},
    web::Locale,
};

/// Most categories that the filter offers, those used most.
const FILTER_CATEGORIES: usize = 100;
/// Most currencies that a page shows; of the others it shows the number.
pub(super) const CURRENCIES: usize = 8;

/// A page of the list.
#[derive(Debug, Clone, Copy)]
pub struct List<'a> {
    /// How the visitor writes amounts and dates.
    pub locale: Locale,
    /// The filter that the list was made with.
    pub filter: &'a Filter,
    /// The categories that the filter offers, those used most first.
    pub categories: &'a [&'a str],
    /// The rows.
    pub rows: &'a [Expense],
    /// The query of the next page.
    pub next: Option<&'a str>,
    /// Whether this is the first page.
    pub is_first: bool,
    /// Whether the visitor may change and delete the expenses.
    pub may_write: bool,
}

/// The section with the list. `summary` sums up the expenses that match, on the first page.
pub(super) fn list(list: &List, summary: Option<&Summary>) -> Markup {
    let List { locale, filter, categories, rows, next, is_first, may_write } = *list;
    let is_filtered = !filter.is_empty();
    let input = FilterInput::from(filter);
    let query = filter_query(filter);
    html! {
        section.card.list aria-labelledby="list" {
            div.head {
                h2 #list { @if is_filtered { "Filtered expenses" } @else { "All expenses" } }
                a.download href={ "/expenses.csv" (query) } { "Download CSV" }
            }
            (filter_form(&input, categories, &[]))
            @if let Some(summary) = summary {
                @if is_filtered { (sums(summary, locale)) }
            }
            @if rows.is_empty() {
                @if next.is_some() {
                    p { "No expenses match so far. There are older ones." }
                } @else {
                    p { "No expenses match." }
                }
                p { a href="/expenses" { "Show all expenses" } }
            } @else {
                (table(rows, locale, may_write))
            }
            @if next.is_some() || !is_first {
                nav.pages aria-label="Pages of the list" {
                    @if !is_first { a href={ "/expenses" (query) } { "Newest" } }
                    @if let Some(next) = next {
                        a rel="next" href={ "/expenses?" (next) "#list" } { "Older" }
                    }
                }
            }
        }
    }
}

fn sums(summary: &Summary, locale: Locale) -> Markup {
    let expenses: u64 = summary.currencies.iter().map(|sums| sums.count).sum();
    html! {
        @if expenses > 0 {
            p {
                (count(expenses)) ": "
                @for (index, sums) in summary.currencies.iter().take(CURRENCIES).enumerate() {
                    @if index > 0 { ", " }
                    strong { (locale.money(sums.total, &sums.currency)) }
                }
                @if summary.currencies.len() > CURRENCIES { ", …" }
            }
        }
    }
}

fn table(rows: &[Expense], locale: Locale, may_write: bool) -> Markup {
    // Explicit roles: on narrow screens the cells are blocks, and some browsers then drop the table's
    // roles.
    html! {
        table role="table" {
            caption.vh { "Expenses, the newest first" }
            thead role="rowgroup" {
                tr role="row" {
                    th role="columnheader" scope="col" { "Date" }
                    th role="columnheader" scope="col" { "Description" }
                    th role="columnheader" scope="col" { "Category" }
                    th.num role="columnheader" scope="col" { "Amount" }
                    @if may_write { th role="columnheader" scope="col" { span.vh { "Actions" } } }
                }
            }
            tbody role="rowgroup" {
                @for (index, expense) in rows.iter().enumerate() {
                    (table_row(index, expense, locale, may_write))
                }
            }
        }
    }
}

fn table_row(index: usize, expense: &Expense, locale: Locale, may_write: bool) -> Markup {
    let content = &expense.content;
    let path = format!("/expenses/{}", expense.id);
    html! {
        tr role="row" {
            td.day role="cell" { (expense::date(locale, content.date)) }
            th.what role="rowheader" scope="row" id={ "d" (index) } { bdi { (&*content.description) } }
            td.category role="cell" { bdi { (&*content.category) } }
            td.num role="cell" { (locale.money(content.amount, &content.currency)) }
            @if may_write {
                td.do role="cell" {
                    a href=(path) id={ "e" (index) } aria-labelledby={ "e" (index) " d" (index) } { "Edit" }
                    " "
                    a.danger href={ (path) "/delete" } id={ "x" (index) }
                        aria-labelledby={ "x" (index) " d" (index) } { "Delete" }
                }
            }
        }
    }
}

/// The values of the filter's fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FilterInput {
    /// The first day.
    pub from: String,
    /// The last day.
    pub to: String,
    /// The category.
    pub category: String,
}

impl From<&Filter> for FilterInput {
    fn from(filter: &Filter) -> Self {
        let day = |day: Option<NaiveDate>| day.map(|day| day.to_string()).unwrap_or_default();
        Self {
            from: day(filter.from()),
            to: day(filter.to()),
            category: filter.category().unwrap_or_default().to_owned(),
        }
    }
}

/// The ID of a filter's field. The form that adds has a field `category` too.
pub(super) fn field_id(name: &str) -> &str {
    if name == "category" { "filter-category" } else { name }
}

pub(super) fn filter_form(
    input: &FilterInput,
    categories: &[&str],
    problems: &[(&str, String)],
) -> Markup {
    let mut categories: Vec<&str> = categories.iter().copied().take(FILTER_CATEGORIES).collect();
    if !input.category.is_empty() {
        categories.push(&input.category);
    }
    categories = sorted_by_key(categories, |name| *name);
    categories.dedup();
    html! {
        form.filter method="get" action="/expenses" novalidate aria-label="Filter the list" {
            @for (name, label, value) in [("from", "From", &input.from), ("to", "To", &input.to)] {
                @let problem = problems.iter().find(|(field, _)| *field == name);
                div.field {
                    label for=(name) { (label) }
                    @if let Some((_, message)) = problem {
                        p.error id={ (name) "-error" } { (message) }
                    }
                    input type="date" id=(name) name=(name) value=(value)
                        aria-invalid=[problem.map(|_| "true")]
                        aria-describedby=[problem.map(|_| format!("{name}-error"))];
                }
            }
            div.field {
                label for="filter-category" { "Category" }
                select #filter-category name="category" {
                    option value="" { "All" }
                    @for category in categories {
                        option value=(category) selected[category == input.category] { (category) }
                    }
                }
            }
            button.quiet { "Filter" }
            @if *input != FilterInput::default() { a href="/expenses" { "Clear" } }
        }
    }
}

/// `?from=…&category=…`, or an empty text without a filter.
fn filter_query(filter: &Filter) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    let FilterInput { from, to, category } = FilterInput::from(filter);
    for (name, value) in [("from", from), ("to", to), ("category", category)] {
        if !value.is_empty() {
            query.append_pair(name, &value);
        }
    }
    let query = query.finish();
    if query.is_empty() { query } else { format!("?{query}") }
}

/// `1 expense`, `2 expenses`.
pub(super) fn count(expenses: u64) -> String {
    plural(expenses, "expense", "expenses")
}

/// A number with its noun.
pub(super) fn plural(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
