//! The page that imports a CSV file: the form for the file, and the first rows of a file of another program.

use maud::{Markup, html};

use super::{
    Account, Layout,
    list::{count, plural},
};
use crate::{
    import::{
        columns::{FIELDS, Settings},
        rows::{FileRead, RowFault},
    },
    typed::expense::Field,
};

/// Most faults that the page lists.
const FAULTS: usize = 20;

/// The most characters of a cell that the page shows.
const CELL_CHARS: usize = 60;

/// A file that is not imported yet.
#[derive(Debug)]
pub(crate) struct Preview<'a> {
    /// The file as it was read.
    pub(crate) read: &'a FileRead<'a>,
    /// How it was read.
    pub(crate) settings: &'a Settings,
    /// The file in base64, which the form sends again.
    pub(crate) text: &'a str,
}

/// The page. `problem` says why a file cannot be read at all.
#[must_use]
pub(crate) fn page(
    account: &Account,
    problem: Option<&str>,
    preview: Option<&Preview<'_>>,
) -> Markup {
    let is_error = problem.is_some() || preview.is_some_and(|preview| preview.read.invalid > 0);
    let content = html! {
        h1 { "Import expenses" }
        @if let Some(problem) = problem {
            div.alert role="alert" tabindex="-1" autofocus aria-labelledby="problem" {
                h2 #problem { "Nothing was imported" }
                p { (problem) }
            }
        }
        @match preview {
            Some(preview) => {
                (outcome(preview.read))
                (settings_form(preview))
                (first_rows(preview.read))
            },
            None => (file_form()),
        }
        p { a href="/expenses" { "Back to your expenses" } }
    };
    let title = if is_error { "Error: Import expenses" } else { "Import expenses" };
    Layout { title, account: Some(account) }.page(&content)
}

fn file_form() -> Markup {
    html! {
        section.card.narrow aria-labelledby="choose" {
            h2 #choose { "Choose a file" }
            form.entry method="post" action="/expenses/import" enctype="multipart/form-data" {
                div.field.description {
                    label for="file" { "CSV file" }
                    p.hint #file-hint {
                        "From a spreadsheet, a bank or “Download CSV”: at most 10,000 rows and 5 MB."
                    }
                    input #file name="file" type="file" accept=".csv,text/csv" required aria-describedby="file-hint";
                }
                button { "Continue" }
            }
        }
        p.muted {
            "A file that you have downloaded here is imported right away. Of any other file you see first how it is "
            "read. Importing a file twice adds nothing, and changes no expense that is here already."
        }
    }
}

/// The message about the file: its faults, or the number of expenses to import.
fn outcome(read: &FileRead<'_>) -> Markup {
    let missing: Vec<Field> = read.columns.missing().collect();
    let rows = |rows: usize| plural(number(rows), "row", "rows");
    html! {
        @if !missing.is_empty() {
            div.alert role="alert" tabindex="-1" autofocus aria-labelledby="problem" {
                h2 #problem { "Say which column is what" }
                ul {
                    @for field in missing {
                        li { a href={ "#" (field.name()) } { "No column is recognised as the " (field.name()) "." } }
                    }
                }
            }
        } @else if read.invalid > 0 {
            div.alert role="alert" tabindex="-1" autofocus aria-labelledby="problem" {
                h2 #problem { (rows(read.invalid)) " of " (read.valid + read.invalid) " cannot be read" }
                ul { @for fault in read.faults.iter().take(FAULTS) { li { (fault_line(fault)) } } }
                @if read.faults.len() > FAULTS { p { "The faults of further lines are not listed." } }
                p { "Nothing was imported. Change how the file is read below, or correct the file." }
            }
        } @else {
            p.notice role="status" {
                (count(number(read.valid))) " can be imported. Nothing is saved yet: check the columns first."
            }
        }
    }
}

fn fault_line(fault: &RowFault) -> Markup {
    html! {
        "Line " (fault.line)
        @if let Some(field) = fault.field { ", " (field) }
        @if !fault.input.is_empty() { " “" bdi { (fault.input) } "”" }
        ": " (fault.message)
    }
}

fn settings_form(preview: &Preview<'_>) -> Markup {
    let Preview { read, settings, text } = preview;
    let asks_dates = read.has_unclear_date || settings.is_day_first.is_some();
    html! {
        section.card.narrow aria-labelledby="columns" {
            h2 #columns { "How the file is read" }
            form.entry method="post" action="/expenses/import" enctype="multipart/form-data" {
                input type="hidden" name="text" value=(text);
                @for (field, column) in FIELDS.into_iter().zip(read.columns.of) {
                    (column_field(read, field, column))
                }
                div.field {
                    label for="default_currency" { "Default currency" }
                    input #default_currency name="default_currency" maxlength="3" autocapitalize="characters"
                        autocomplete="off" value=(settings.currency.as_deref().unwrap_or_default());
                }
                @if asks_dates {
                    div.field.description {
                        label for="dates" { "Dates such as 03/04/2026" }
                        select #dates name="dates" {
                            option value="" { "Choose" }
                            option value="day-first" selected[settings.is_day_first == Some(true)] { "3 April: the day comes first" }
                            option value="month-first" selected[settings.is_day_first == Some(false)] { "March 4: the month comes first" }
                        }
                    }
                }
                label.check.description {
                    input type="checkbox" name="amounts" value="negative" checked[settings.is_negative];
                    "Expenses are negative numbers, as in a bank’s statement"
                }
                div.actions.description {
                    // The first button is the one of the enter key.
                    button.quiet { "Read again" }
                    @if read.valid > 0 && read.invalid == 0 {
                        button name="confirm" value="yes" { "Import " (count(number(read.valid))) }
                    }
                    @if read.valid > 0 && read.invalid > 0 {
                        button.quiet name="invalid" value="skip" {
                            "Import " (count(number(read.valid))) ", skip " (plural(number(read.invalid), "row", "rows"))
                        }
                    }
                }
            }
        }
    }
}

fn column_field(read: &FileRead<'_>, field: Field, column: Option<usize>) -> Markup {
    let (name, label) = match field {
        Field::Date => ("date", "Date"),
        Field::Description => ("description", "Description"),
        Field::Category => ("category", "Category"),
        Field::Amount => ("amount", "Amount"),
        Field::Currency => ("currency", "Currency"),
    };
    html! {
        div.field {
            label for=(name) { (label) }
            select id=(name) name=(name) {
                option value="" { "No column" }
                @for (index, title) in read.header.iter().enumerate() {
                    option value=(title.trim()) selected[column == Some(index)] { (title) }
                }
            }
        }
    }
}

fn first_rows(read: &FileRead<'_>) -> Markup {
    html! {
        section.card {
            h2 #first { "The first rows of the file" }
            div.scroll role="region" tabindex="0" aria-labelledby="first" {
                table {
                    thead { tr { @for title in &read.header { th scope="col" { bdi { (title) } } } } }
                    tbody {
                        @for row in &read.first {
                            tr { @for cell in &row.cells { td { bdi { (beginning(cell)) } } } }
                        }
                    }
                }
            }
        }
    }
}

/// The beginning of a cell, as much as a column of the page has room for.
fn beginning(cell: &str) -> String {
    cell.chars().take(CELL_CHARS).collect()
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
