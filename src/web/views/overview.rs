//! `/` and `/expenses` for a signed-in visitor: this month, the form that adds an expense, charts, the list.

use chrono::{Datelike, Months, NaiveDate};
use maud::{Markup, html};

use super::{
    Account, Layout,
    charts::{self, Caption, Row, month_name, month_of},
    consistency_note, expense,
    list::{CURRENCIES, List, count, field_id, filter_form, list, plural},
    permitted_note,
};
use crate::expenses::{
    amount::Total,
    filter::Filter,
    ledger::overlay::Consistency,
    model::{Expense, ExpenseId},
    order::Sort,
    sorted::sorted_by_key,
    summary::{CurrencySummary, MonthComparison},
};
use crate::typed::Locale;
use crate::web::{
    cookies::ImportCounts,
    list_query::{FilterInput, list_query},
};

/// Most categories with a bar of their own; the others share one.
const BARS: usize = 8;
/// Columns of the chart by month.
const MONTHS: u32 = 12;

/// The content of the page.
#[derive(Debug, Clone, Copy)]
pub struct Overview<'a> {
    /// The signed-in user.
    pub account: &'a Account,
    /// The result of the form that led here.
    pub notice: Option<&'a Notice>,
    /// How current the list and the sums are.
    pub consistency: Consistency,
    /// The list.
    pub list: List<'a>,
    /// The sections above the list, which only the first page has.
    pub first_page: Option<FirstPage<'a>>,
}

/// The sections above the list.
#[derive(Debug, Clone, Copy)]
pub struct FirstPage<'a> {
    /// The form that adds.
    pub form: expense::Form<'a>,
    /// This month and the last, of all expenses.
    pub months: &'a [MonthComparison],
    /// Whether the visitor has no expenses.
    pub is_empty: bool,
}

/// The result of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// An expense was added; `None` if it cannot be read.
    Added(Option<Expense>),
    /// An expense was changed; `None` if it cannot be read.
    Changed(Option<Expense>),
    /// An expense was deleted.
    Deleted {
        /// Its id.
        id: ExpenseId,
        /// The expense, if it is known.
        expense: Option<Expense>,
        /// Whether the message has a button that restores it.
        can_restore: bool,
    },
    /// A deleted expense was restored; `None` if it cannot be read.
    Restored(Option<Expense>),
    /// A file was imported.
    Imported(ImportCounts),
}

/// The page.
#[must_use]
pub fn page(overview: &Overview) -> Markup {
    let Overview { account, first_page, .. } = *overview;
    let is_filtered = !overview.list.filter.is_empty();
    let title = if first_page.is_some() { "Your expenses" } else { "Older expenses" };
    // A form that leads back to a list of the visitor's choice leads to the list itself, below the page's head.
    let query = list_query(overview.list.filter, overview.list.sort);
    let is_chosen = !query.is_empty();
    let notice = html! {
        @if let Some(notice) = overview.notice { (notice_line(notice, overview.list.locale, &query)) }
    };
    let is_empty = first_page.is_some_and(|page| page.is_empty) && !is_filtered;
    let has_charts = first_page.is_some() && !overview.list.summary.currencies.is_empty();
    let content = html! {
        h1 { (title) }
        (consistency_note(overview.consistency))
        (permitted_note(account))
        @if !is_chosen || is_empty { (notice) }
        @if let Some(first_page) = first_page {
            @if !is_empty {
                div.columns.begin {
                    (this_month(overview, &first_page))
                    @if account.may_write() { (add(&first_page)) }
                }
            } @else if account.may_write() {
                (welcome(&first_page))
            } @else {
                p { "There are no expenses yet." }
            }
        }
        @if !is_empty {
            div.lists.whole[has_charts] {
                (list(&overview.list, is_chosen.then_some(&notice)))
                @if has_charts { div.charts { (charts_of(overview)) } }
            }
        }
    };
    Layout { title, account: Some(account) }.page(&content)
}

/// The page for a filter that is invalid: the messages, and the filter as it was typed.
#[must_use]
pub fn filter_refused(
    account: &Account,
    input: &FilterInput,
    sort: Sort,
    problems: &[(&str, String)],
) -> Markup {
    let content = html! {
        h1 { "Your expenses" }
        div.alert role="alert" tabindex="-1" autofocus aria-labelledby="problem" {
            h2 #problem { "The list cannot be filtered like that" }
            ul { @for (field, message) in problems { li { a href={ "#" (field_id(field)) } { (message) } } } }
        }
        section.card { (filter_form(input, sort, &[], &[], problems)) }
        p { a href="/expenses" { "Show all expenses" } }
    };
    Layout { title: "Error: Your expenses", account: Some(account) }.page(&content)
}

/// The message; its button leads back to the list with the query `list`.
fn notice_line(notice: &Notice, locale: Locale, list: &str) -> Markup {
    let of = |expense: &Option<Expense>| {
        html! {
            @if let Some(Expense { content, .. }) = expense {
                " “" bdi { (&*content.description) } "”, "
                (locale.money(content.amount, &content.currency))
            }
        }
    };
    html! {
        div.notice role="status" {
            p #notice {
                @match notice {
                    Notice::Added(expense) => { "Added" (of(expense)) "." },
                    Notice::Changed(expense) => { "Changed" (of(expense)) "." },
                    Notice::Deleted { expense, .. } => { "Deleted" (of(expense)) "." },
                    Notice::Restored(expense) => { "Restored" (of(expense)) "." },
                    Notice::Imported(ImportCounts { added, unchanged, skipped }) => {
                        "Imported " (count((*added).into()))
                        @if *unchanged > 0 { ", and " (unchanged) " stood here already" }
                        "."
                        @if *skipped > 0 { " " (plural((*skipped).into(), "row was", "rows were")) " left out." }
                    },
                }
            }
            @if let Notice::Deleted { id, can_restore: true, .. } = notice {
                form method="post" action={ "/expenses/" (id) "/restore" } {
                    (expense::return_field(list))
                    button.quiet aria-describedby="notice" { "Undo" }
                }
            }
        }
    }
}

fn welcome(first_page: &FirstPage) -> Markup {
    html! {
        div.columns.begin {
            section.card aria-labelledby="begin" {
                h2 #begin { "Nothing here yet" }
                p { "Add the last thing you paid for: what it was, and how much." }
                p { "Or " a href="/expenses/import" { "import a CSV file" } " from a bank or a spreadsheet." }
                p.muted {
                    "Totals, charts and the list come by themselves. What you add is yours alone, and "
                    "you can change it, delete it or download it at any time."
                }
            }
            (add(first_page))
        }
    }
}

fn add(first_page: &FirstPage) -> Markup {
    html! {
        section.card.add aria-labelledby="add" {
            h2 #add { "Add an expense" }
            (first_page.form.markup())
        }
    }
}

fn this_month(overview: &Overview, first_page: &FirstPage) -> Markup {
    let name = |date: NaiveDate| month_name(&month_of(date));
    let today = overview.list.today;
    let last = today.checked_sub_months(Months::new(1)).unwrap_or(today);
    let (this_name, last_name) = (name(today), name(last));
    html! {
        section.card.month aria-labelledby="month" {
            h2 #month { "This month" span.muted { ", " (this_name) } }
            @for comparison in first_page.months.iter().take(CURRENCIES) {
                (month_total(comparison, overview.list.locale, &last_name))
            }
            (other_currencies(first_page.months.len()))
            @if first_page.months.is_empty() {
                p { "Nothing was spent in " (this_name) " or in " (last_name) "." }
            }
        }
    }
}

fn month_total(comparison: &MonthComparison, locale: Locale, last_name: &str) -> Markup {
    let MonthComparison { currency, this, last } = comparison;
    let money = |total: Total| locale.money(total, currency);
    html! {
        p.total { (money(*this)) }
        p.muted {
            @if *last == Total::default() {
                "Nothing in " (last_name)
            } @else if this == last {
                "As much as in " (last_name)
            } @else {
                (money(this.abs_diff(*last)))
                @if this > last { " more than in " } @else { " less than in " }
                (last_name) " (" (money(*last)) ")"
            }
        }
    }
}

fn charts_of(overview: &Overview) -> Markup {
    let currencies: Vec<&CurrencySummary> = overview.list.summary.currencies.iter().collect();
    // Equal counts stay in alphabetical order.
    let currencies = sorted_by_key(currencies, |summary| std::cmp::Reverse(summary.count));
    html! {
        @for (index, summary) in currencies.iter().take(CURRENCIES).enumerate() {
            @if index == 0 {
                div.columns { (charts_in(summary, overview)) }
            } @else {
                details.more {
                    summary {
                        "Charts in " (summary.currency) ": "
                        (overview.list.locale.money(summary.total, &summary.currency))
                        ", " (count(summary.count))
                    }
                    div.columns { (charts_in(summary, overview)) }
                }
            }
        }
        (other_currencies(currencies.len()))
    }
}

/// The note about currencies that the page leaves out.
fn other_currencies(currencies: usize) -> Markup {
    html! {
        @if currencies > CURRENCIES {
            p.muted {
                "Not shown: "
                (plural((currencies - CURRENCIES) as u64, "other currency", "other currencies"))
                ". The CSV has all of them."
            }
        }
    }
}

fn charts_in(summary: &CurrencySummary, overview: &Overview) -> Markup {
    let CurrencySummary { currency, by_category, by_month, total, .. } = summary;
    let locale = overview.list.locale;
    let row =
        |label: String, total: Total| Row { label, total, amount: locale.money(total, currency) };

    let mut categories: Vec<Row> =
        by_category.iter().take(BARS).map(|sum| row(sum.category.clone(), sum.total)).collect();
    if by_category.len() > BARS {
        let rest = by_category[BARS..].iter().map(|sum| sum.total).sum();
        let label = format!("{} other categories", by_category.len() - BARS);
        categories.push(row(label, rest));
    }
    let largest = by_category.first().map_or("", |sum| &sum.category);
    let category_words = format!(
        "{} in all, in {}. The largest is {largest} with {}.",
        locale.money(*total, currency),
        plural(by_category.len() as u64, "category", "categories"),
        by_category.first().map_or_else(String::new, |sum| locale.money(sum.total, currency)),
    );

    let months = months_until(overview.list.filter, overview.list.today);
    let months: Vec<&str> = months.iter().map(String::as_str).collect();
    let columns: Vec<Row> = months
        .iter()
        .map(|month| {
            let sum = by_month.iter().find(|sum| sum.month == *month);
            row(month_name(month), sum.map_or_else(Total::default, |sum| sum.total))
        })
        .collect();
    // The columns are a part of the total.
    let not_drawn = total.abs_diff(columns.iter().map(|row| row.total).sum());
    let highest = columns.iter().max_by_key(|row| row.total);
    let month_words = highest.map_or_else(String::new, |row| {
        format!("The highest of {} months is {} with {}.", columns.len(), row.label, row.amount)
    });
    let top = charts::round_up(highest.map(|row| row.total).unwrap_or_default());

    let heading = |text: &str| html! { (text) span.muted { ", " (currency) } };
    html! {
        section.card aria-labelledby={ "c-" (currency) } {
            h2 id={ "c-" (currency) } { (heading("By category")) }
            (charts::bars(
                &Caption {
                    id: &format!("bars-{currency}"),
                    title: &format!("Spending by category in {currency}"),
                    description: &category_words,
                    rows_are: "Category",
                },
                &categories,
            ))
        }
        section.card aria-labelledby={ "m-" (currency) } {
            h2 id={ "m-" (currency) } { (heading("By month")) }
            (charts::columns(
                &Caption {
                    id: &format!("columns-{currency}"),
                    title: &format!("Spending by month in {currency}"),
                    description: &month_words,
                    rows_are: "Month",
                },
                &months,
                &columns,
                &locale.money(top, currency),
            ))
            @if not_drawn != Total::default() {
                p.muted { "Not drawn: " (locale.money(not_drawn, currency)) " of other months." }
            }
        }
    }
}

/// Twelve months up to the last one of the filter, or this one; fewer if the filter begins later.
fn months_until(filter: &Filter, today: NaiveDate) -> Vec<String> {
    let last = filter.to.unwrap_or(today);
    let mut months: Vec<String> = (0..MONTHS)
        .filter_map(|back| last.with_day(1)?.checked_sub_months(Months::new(back)))
        .take_while(|first| {
            filter
                .from
                .is_none_or(|from| (from.year(), from.month()) <= (first.year(), first.month()))
        })
        .map(month_of)
        .collect();
    months.reverse();
    months
}
