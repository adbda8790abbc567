//! The list of expenses: its filter, its rows, the link to the next page.

use chrono::{Datelike, Months, NaiveDate};
use maud::{Markup, html};

use super::{
    charts::{month_name, month_of},
    expense,
};
use crate::{
    expenses::{
        filter::{Filter, is_same_name},
        model::Expense,
        order::Sort,
        sorted::sorted_by_key,
        summary::Summary,
    },
    typed::Locale,
    web::list_query::{FilterInput, csv_query, list_query, return_query, sort_name, unambiguous},
};

/// Most categories that the filter offers, those used most, and most currencies.
const FILTER_OPTIONS: usize = 100;
/// Most currencies that a page shows; of the others it shows the number.
pub(super) const CURRENCIES: usize = 8;

/// A page of the list.
#[derive(Debug, Clone, Copy)]
pub struct List<'a> {
    /// How the visitor writes amounts and dates.
    pub locale: Locale,
    /// The date in the visitor's time zone.
    pub today: NaiveDate,
    /// The filter that the list was made with.
    pub filter: &'a Filter,
    /// The order.
    pub sort: Sort,
    /// The sums of the expenses that match the filter, those on other pages included; none on a later page in the
    /// order of additions.
    pub summary: &'a Summary,
    /// The categories that the filter offers, those used most first.
    pub categories: &'a [&'a str],
    /// The currencies that the filter offers.
    pub currencies: &'a [&'a str],
    /// The rows.
    pub rows: &'a [Expense],
    /// By date: the date of the expense before the first row, on the page before.
    pub before: Option<NaiveDate>,
    /// By date: the date of the expense after the last row, on the next page.
    pub after: Option<NaiveDate>,
    /// The query of the next page.
    pub next: Option<&'a str>,
    /// Whether this is the first page.
    pub is_first: bool,
    /// Whether the visitor may change and delete the expenses.
    pub may_write: bool,
}

/// The section with the list, and a notice in it.
pub(super) fn list(list: &List, notice: Option<&Markup>) -> Markup {
    let List { locale, filter, sort, categories, currencies, rows, next, is_first, .. } = *list;
    let is_filtered = !filter.is_empty();
    let input = FilterInput::of(filter, |amount| locale.typed(unambiguous(amount.to_string())));
    let query = list_query(filter, sort);
    html! {
        section.card.list aria-labelledby="list" {
            div.head {
                h2 #list tabindex="-1" { @if is_filtered { "Filtered expenses" } @else { "All expenses" } }
                a.order href={ "/expenses" (list_query(filter, other_sort(sort))) "#list" } {
                    @if sort == Sort::Date { "Newest added" } @else { "By date" }
                }
                @if list.may_write { a.download href="/expenses/import" { "Import CSV" } }
                a.download href={ "/expenses.csv" (csv_query(filter, sort)) } { "Download CSV" }
            }
            @if let Some(notice) = notice { (notice) }
            @if is_filtered && is_first { (sums(list.summary, locale)) }
            (periods(list))
            (filter_form(&input, sort, categories, currencies, &[]))
            @if rows.is_empty() {
                @if next.is_some() {
                    p { "No expenses match so far. There are older ones." }
                } @else {
                    p { "No expenses match." }
                }
                p { a href="/expenses" { "Show all expenses" } }
            } @else {
                (table(list, &query))
            }
            @if next.is_some() || !is_first {
                nav.pages aria-label="Pages of the list" {
                    @if !is_first { a href={ "/expenses" (query) "#list" } { "Newest" } }
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

fn table(list: &List, query: &str) -> Markup {
    let List { locale, sort, rows, may_write, .. } = *list;
    let back = may_write.then(|| return_query(query));
    let months: Vec<&[Expense]> = match sort {
        Sort::Date => rows.chunk_by(|one, next| month(one) == month(next)).collect(),
        Sort::Created => vec![rows],
    };
    let mut index = 0..;
    // Explicit roles: on narrow screens the cells are blocks, and some browsers then drop the table's
    // roles.
    html! {
        table role="table" {
            caption.vh {
                "Expenses, "
                @if sort == Sort::Date { "the newest first" } @else { "the newest added first" }
            }
            thead role="rowgroup" {
                tr role="row" {
                    th role="columnheader" scope="col" { "Date" }
                    th role="columnheader" scope="col" { "Description" }
                    th role="columnheader" scope="col" { "Category" }
                    th.num role="columnheader" scope="col" { "Amount" }
                    @if may_write { th role="columnheader" scope="col" { span.vh { "Actions" } } }
                }
            }
            @for rows in months {
                tbody role="rowgroup" {
                    @if sort == Sort::Date { (month_row(list, rows)) }
                    @for (expense, index) in rows.iter().zip(&mut index) {
                        (table_row(index, expense, locale, back.as_deref()))
                    }
                }
            }
        }
    }
}

fn month(expense: &Expense) -> (i32, u32) {
    let date = expense.content.date;
    (date.year(), date.month())
}

/// The name of a month, its total, and whether the page has only a part of it.
fn month_row(list: &List, rows: &[Expense]) -> Markup {
    let month = rows.first().map(|row| month_of(row.content.date)).unwrap_or_default();
    let is_month = |date: Option<NaiveDate>| date.is_some_and(|date| month_of(date) == month);
    let is_at = |row: Option<&Expense>, end: Option<&Expense>| {
        row.map(|row| row.id) == end.map(|end| end.id)
    };
    let begins_before = is_month(list.before) && is_at(rows.first(), list.rows.first());
    let continues = is_month(list.after) && is_at(rows.last(), list.rows.last());
    let totals = list.summary.currencies.iter().filter_map(|sums| {
        let total = sums.by_month.iter().find(|sum| sum.month == month)?.total;
        Some(list.locale.money(total, &sums.currency))
    });
    let totals: Vec<String> = totals.take(CURRENCIES + 1).collect();
    html! {
        tr.group role="row" {
            th role="rowheader" scope="rowgroup" colspan="3" {
                (month_name(&month))
                @if begins_before { span.muted { " (continued)" } }
                @if continues { span.muted { " (continues on the next page)" } }
            }
            td.num role="cell" {
                @for (index, total) in totals.iter().take(CURRENCIES).enumerate() {
                    @if index > 0 { ", " }
                    (total)
                }
                @if totals.len() > CURRENCIES { ", …" }
            }
            @if list.may_write { td role="cell" {} }
        }
    }
}

/// A row. Its links have the query `back`, which leads back to this list; without it there are no links.
fn table_row(index: usize, expense: &Expense, locale: Locale, back: Option<&str>) -> Markup {
    let content = &expense.content;
    let path = format!("/expenses/{}", expense.id);
    html! {
        tr role="row" {
            td.day role="cell" { (expense::date(locale, content.date)) }
            th.what role="rowheader" scope="row" id={ "d" (index) } { bdi { (&*content.description) } }
            td.category role="cell" { bdi { (&*content.category) } }
            td.num role="cell" { (locale.money(content.amount, &content.currency)) }
            @if let Some(back) = back {
                td.do role="cell" {
                    a href={ (path) (back) } id={ "e" (index) }
                        aria-labelledby={ "e" (index) " d" (index) } { "Edit" }
                    " "
                    a.danger href={ (path) "/delete" (back) } id={ "x" (index) }
                        aria-labelledby={ "x" (index) " d" (index) } { "Delete" }
                }
            }
        }
    }
}

/// The ID of a filter's field. The form that adds has two fields with the same names.
pub(super) fn field_id(name: &str) -> String {
    let prefix = if matches!(name, "category" | "currency") { "filter-" } else { "" };
    format!("{prefix}{name}")
}

pub(super) fn filter_form(
    input: &FilterInput,
    sort: Sort,
    categories: &[&str],
    currencies: &[&str],
    problems: &[(&str, String)],
) -> Markup {
    let field = |name: &str, label: &str, control: &dyn Fn(&Described<'_>) -> Markup| {
        let problem = problems.iter().find(|(field, _)| *field == name);
        let (id, error) = (field_id(name), problem.map(|_| format!("{name}-error")));
        html! {
            div class={ "field " (name) } {
                label for=(id) { (label) }
                @if let Some((_, message)) = problem {
                    p.error id=[error.as_ref()] { (message) }
                }
                (control(&Described { id: &id, error: error.as_deref() }))
            }
        }
    };
    let text = |name: &str, label: &str, kind: &str| {
        field(name, label, &|Described { id, error }| {
            html! {
                input type=(kind) id=(id) name=(name) value=(input.get(name))
                    aria-invalid=[error.map(|_| "true")]
                    aria-describedby=[*error]
                    inputmode=[name.ends_with("_amount").then_some("decimal")]
                    dir=[(name == "q").then_some("auto")]
                    autocomplete=[(kind != "date").then_some("off")];
            }
        })
    };
    let choice = |name: &str, label: &str, options: Vec<&str>| {
        let value = input.get(name);
        let mut options: Vec<&str> = options.into_iter().take(FILTER_OPTIONS).collect();
        if !value.is_empty() && !options.iter().any(|option| is_same_name(option, value)) {
            options.push(value);
        }
        options = sorted_by_key(options, |name| *name);
        field(name, label, &|Described { id, error }| {
            html! {
                select id=(id) name=(name) aria-invalid=[error.map(|_| "true")]
                    aria-describedby=[*error] {
                    option value="" { "All" }
                    @for option in &options {
                        option value=(option) selected[is_same_name(option, value)] { (option) }
                    }
                }
            }
        })
    };
    let rare = ["min_amount", "max_amount", "currency"];
    let has_rare = rare.iter().any(|name| !input.get(name).is_empty());
    html! {
        form.filter method="get" action="/expenses#list" novalidate aria-label="Filter the list" {
            @if sort != Sort::Date { input type="hidden" name="sort" value=(sort_name(sort)); }
            (text("q", "Search", "search"))
            (choice("category", "Category", categories.to_vec()))
            (text("from", "From", "date"))
            (text("to", "To", "date"))
            details open[has_rare] {
                summary { "Amount and currency" }
                div.fields {
                    (text("min_amount", "From amount", "text"))
                    (text("max_amount", "To amount", "text"))
                    (choice("currency", "Currency", currencies.to_vec()))
                }
            }
            div.actions {
                button.quiet { "Filter" }
                @if !input.is_empty() {
                    a href={ "/expenses" (list_query(&Filter::default(), sort)) "#list" } { "Clear" }
                }
            }
        }
    }
}

/// The attributes of a field's control.
struct Described<'a> {
    id: &'a str,
    /// The ID of its error.
    error: Option<&'a str>,
}

/// Links to the list of this month, the last one and this year, with the rest of the filter.
fn periods(list: &List) -> Markup {
    let List { filter, sort, today, .. } = *list;
    let first = today.with_day(1).unwrap_or(today);
    let months = |count: i32| {
        let months = Months::new(count.unsigned_abs());
        let moved = if count < 0 {
            first.checked_sub_months(months)
        } else {
            first.checked_add_months(months)
        };
        moved.unwrap_or(first)
    };
    let before = |day: NaiveDate| day.pred_opt().unwrap_or(day);
    let year = |month, day| NaiveDate::from_ymd_opt(today.year(), month, day).unwrap_or(today);
    let periods = [
        ("This month", first, before(months(1))),
        ("Last month", months(-1), before(first)),
        ("This year", year(1, 1), year(12, 31)),
    ];
    html! {
        nav.periods aria-label="Periods" {
            @for (name, from, to) in periods {
                @let period = Filter { from: Some(from), to: Some(to), ..filter.clone() };
                a href={ "/expenses" (list_query(&period, sort)) "#list" }
                    aria-current=[(period == *filter).then_some("true")] { (name) }
            }
        }
    }
}

/// The other order.
fn other_sort(sort: Sort) -> Sort {
    match sort {
        Sort::Date => Sort::Created,
        Sort::Created => Sort::Date,
    }
}

/// `1 expense`, `2 expenses`.
pub(super) fn count(expenses: u64) -> String {
    plural(expenses, "expense", "expenses")
}

/// A number with its noun.
pub(super) fn plural(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
