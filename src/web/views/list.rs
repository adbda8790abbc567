//! The list of the overview: its filter, its rows, the way to the next page.

use chrono::NaiveDate;
use maud::{Markup, html};
use url::form_urlencoded;

use super::{
    Locale, expense,
    overview::{CURRENCIES, Overview, count},
};
use crate::expenses::{filter::Filter, model::Expense, summary::Summary};

/// Categories to filter by: those used most.
const FILTER_CATEGORIES: usize = 100;

pub(super) fn list(overview: &Overview) -> Markup {
    let Overview { filter, rows, next, first_page, .. } = *overview;
    let is_filtered = !filter.is_empty();
    let typed = FilterTyped::from(filter);
    let query = filter_query(filter);
    html! {
        section.card.list aria-labelledby="list" {
            div.head {
                h2 #list { @if is_filtered { "Filtered expenses" } @else { "All expenses" } }
                a.download href={ "/expenses.csv" (query) } { "Download CSV" }
            }
            (filter_form(&typed, overview.categories, &[]))
            @if let Some(first_page) = first_page {
                @if is_filtered { (sums(first_page.summary, overview.locale)) }
            }
            @if rows.is_empty() {
                @if next.is_some() {
                    p { "No expenses match so far. There are older ones." }
                } @else {
                    p { "No expenses match." }
                }
                p { a href="/expenses" { "Show all expenses" } }
            } @else {
                (table(overview))
            }
            @if next.is_some() || first_page.is_none() {
                nav.pages aria-label="Pages of the list" {
                    @if first_page.is_none() { a href={ "/expenses" (query) } { "Newest" } }
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

fn table(overview: &Overview) -> Markup {
    // Roles, because a narrow screen lays the cells out as blocks, and some browsers then take them
    // for no table.
    html! {
        table role="table" {
            caption.vh { "Expenses, the newest first" }
            thead role="rowgroup" {
                tr role="row" {
                    th role="columnheader" scope="col" { "Date" }
                    th role="columnheader" scope="col" { "Description" }
                    th role="columnheader" scope="col" { "Category" }
                    th.num role="columnheader" scope="col" { "Amount" }
                    th role="columnheader" scope="col" { span.vh { "Actions" } }
                }
            }
            tbody role="rowgroup" {
                @for (index, expense) in overview.rows.iter().enumerate() {
                    (table_row(index, expense, overview.locale))
                }
            }
        }
    }
}

fn table_row(index: usize, expense: &Expense, locale: Locale) -> Markup {
    let content = &expense.content;
    let path = format!("/expenses/{}", expense.id);
    html! {
        tr role="row" {
            td.day role="cell" { (expense::date(locale, content.date)) }
            th.what role="rowheader" scope="row" id={ "d" (index) } { bdi { (&*content.description) } }
            td.category role="cell" { bdi { (&*content.category) } }
            td.num role="cell" { (locale.money(content.amount, &content.currency)) }
            td.do role="cell" {
                a href=(path) id={ "e" (index) } aria-labelledby={ "e" (index) " d" (index) } { "Edit" }
                " "
                a.danger href={ (path) "/delete" } id={ "x" (index) }
                    aria-labelledby={ "x" (index) " d" (index) } { "Delete" }
            }
        }
    }
}

/// What stands in the fields of the filter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FilterTyped {
    /// The first day.
    pub from: String,
    /// The last day.
    pub to: String,
    /// The category.
    pub category: String,
}

impl From<&Filter> for FilterTyped {
    fn from(filter: &Filter) -> Self {
        let day = |day: Option<NaiveDate>| day.map(|day| day.to_string()).unwrap_or_default();
        Self {
            from: day(filter.from()),
            to: day(filter.to()),
            category: filter.category().unwrap_or_default().to_owned(),
        }
    }
}

/// The form that adds has a category of its own.
pub(super) fn field_id(name: &str) -> &str {
    if name == "category" { "filter-category" } else { name }
}

pub(super) fn filter_form(
    typed: &FilterTyped,
    categories: &[&str],
    problems: &[(&str, String)],
) -> Markup {
    let mut categories: Vec<&str> = categories.iter().copied().take(FILTER_CATEGORIES).collect();
    if !typed.category.is_empty() {
        categories.push(&typed.category);
    }
    categories.sort_unstable();
    categories.dedup();
    html! {
        form.filter method="get" action="/expenses" novalidate aria-label="Filter the list" {
            @for (name, label, value) in [("from", "From", &typed.from), ("to", "To", &typed.to)] {
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
                        option value=(category) selected[category == typed.category] { (category) }
                    }
                }
            }
            button.quiet { "Filter" }
            @if *typed != FilterTyped::default() { a href="/expenses" { "Clear" } }
        }
    }
}

/// `?from=…&category=…`, or nothing.
fn filter_query(filter: &Filter) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    let FilterTyped { from, to, category } = FilterTyped::from(filter);
    for (name, value) in [("from", from), ("to", to), ("category", category)] {
        if !value.is_empty() {
            query.append_pair(name, &value);
        }
    }
    let query = query.finish();
    if query.is_empty() { query } else { format!("?{query}") }
}
