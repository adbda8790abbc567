//! What was spent on what, and when: pictures drawn here as SVG, each with the same figures as a table
//! for whoever cannot see it, or wants them exactly.
//!
//! Widths are in per cent and heights in `em`, so that letters keep their size on every screen and grow
//! with the reader's. Nothing is drawn with a `style` attribute: the policy allows none.

use std::fmt;

use maud::{Markup, html};

use crate::expenses::model::Total;

/// A label longer than this ends in `…` in the picture; the table has all of it.
const LABEL_MAX_CHARS: usize = 24;

/// One row of a chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What it is of.
    pub label: String,
    /// Its length.
    pub total: Total,
    /// The same, as the visitor writes it.
    pub amount: String,
}

/// A chart in words.
#[derive(Debug, Clone, Copy)]
pub struct Caption<'a> {
    /// For ids: letters, digits and `-`, unlike those of any other chart of the page.
    pub id: &'a str,
    /// What it shows.
    pub title: &'a str,
    /// What is to be seen in it.
    pub description: &'a str,
    /// What the rows are of, as the head of a column.
    pub rows_are: &'a str,
}

/// One bar under the other, the longest as wide as the chart.
#[must_use]
pub fn bars(caption: &Caption, rows: &[Row]) -> Markup {
    /// Of a label with its bar.
    const ROW_HEIGHT: Em = Em(275);
    let longest = rows.iter().map(|row| row.total).max().unwrap_or_default();
    let picture = html! {
        @for (index, row) in rows.iter().enumerate() {
            @let top = ROW_HEIGHT.times(index);
            g {
                title { (row.label) ": " (row.amount) }
                // What does not fit is cut off here, and never runs into the amount.
                svg y=(top) width="66%" height="1.5em" { text y="1.05em" { (shortened(&row.label)) } }
                text.value x="100%" y=(top.plus(105)) { (row.amount) }
                rect.track y=(top.plus(150)) width="100%" height=".7em" rx="3" {}
                rect.bar y=(top.plus(150)) width=(share(row.total, longest)) height=".7em" rx="3" {}
            }
        }
    };
    figure(caption, rows, "bars", ROW_HEIGHT.times(rows.len()), &picture)
}

/// One column for each month (`2026-11`), beside each other. `top_label` is how the visitor writes
/// the amount of the line at the top, which is [`round_up`]'s.
#[must_use]
pub fn columns(caption: &Caption, months: &[&str], rows: &[Row], top_label: &str) -> Markup {
    /// Where the line at the top and the one at the bottom are.
    const TOP: i32 = 150;
    const BOTTOM: i32 = 1150;
    let top = round_up(rows.iter().map(|row| row.total).max().unwrap_or_default());
    let count = rows.len().max(1);
    let at = |hundredths_of_a_column: usize| Percent(hundredths_of_a_column * 100 / count);
    let picture = html! {
        text.note y="1em" { (top_label) }
        @for y in [TOP, i32::midpoint(TOP, BOTTOM), BOTTOM] {
            line.grid x1="0" x2="100%" y1=(Em(y)) y2=(Em(y)) {}
        }
        @for (index, (row, month)) in rows.iter().zip(months).enumerate() {
            @let height = scaled(row.total, top, BOTTOM - TOP);
            @let (year, month) = month.split_once('-').unwrap_or((month, ""));
            @let name = MONTHS.iter().find(|(number, _)| *number == month).map_or("", |(_, name)| *name);
            g {
                title { (row.label) ": " (row.amount) }
                rect.bar x=(at(index * 100 + 15)) y=(Em(BOTTOM - height)) width=(at(70))
                    height=(Em(height)) rx="2" {}
                text.tick x=(at(index * 100 + 50)) y="12.75em" { (&name[..name.len().min(3)]) }
                @if index == 0 || month == "01" {
                    text.tick x=(at(index * 100 + 50)) y="14em" { (year) }
                }
            }
        }
    };
    figure(caption, rows, "columns", Em(1450), &picture)
}

/// The months by their numbers.
const MONTHS: [(&str, &str); 12] = [
    ("01", "January"),
    ("02", "February"),
    ("03", "March"),
    ("04", "April"),
    ("05", "May"),
    ("06", "June"),
    ("07", "July"),
    ("08", "August"),
    ("09", "September"),
    ("10", "October"),
    ("11", "November"),
    ("12", "December"),
];

/// `2026-11` in words.
#[must_use]
pub fn month_name(month: &str) -> String {
    let (year, number) = month.split_once('-').unwrap_or((month, ""));
    let name = MONTHS.iter().find(|(known, _)| *known == number);
    name.map_or_else(|| month.to_owned(), |(_, name)| format!("{name} {year}"))
}

fn figure(caption: &Caption, rows: &[Row], kind: &str, height: Em, picture: &Markup) -> Markup {
    let Caption { id, title, description, rows_are } = *caption;
    let total: u128 = rows.iter().map(|row| row.total.hundredths()).sum();
    html! {
        figure {
            svg class={ "chart " (kind) } width="100%" height=(height) role="img"
                aria-labelledby={ (id) "-title" } aria-describedby={ (id) "-desc" } {
                title id={ (id) "-title" } { (title) }
                desc id={ (id) "-desc" } { (description) }
                (picture)
            }
            details {
                summary { "In figures" span.vh { ": " (title) } }
                table {
                    caption.vh { (title) }
                    thead {
                        tr {
                            th scope="col" { (rows_are) }
                            th.num scope="col" { "Amount" }
                            th.num scope="col" { "Share" }
                        }
                    }
                    tbody {
                        @for row in rows {
                            tr {
                                th scope="row" { bdi { (row.label) } }
                                td.num { (row.amount) }
                                td.num { (per_cent(row.total, total)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The smallest of 1, 2, 2.5 and 5 times a power of ten that is not less.
#[must_use]
pub fn round_up(total: Total) -> Total {
    let total = total.hundredths();
    // From one whole unit on, so that 2.5 is a number of hundredths.
    let mut unit: u128 = 100;
    loop {
        for tenths in [10, 20, 25, 50] {
            let candidate = unit.saturating_mul(tenths) / 10;
            if candidate >= total {
                return Total::from(candidate);
            }
        }
        unit = unit.saturating_mul(10);
    }
}

fn shortened(label: &str) -> String {
    if label.chars().count() <= LABEL_MAX_CHARS {
        return label.to_owned();
    }
    let start: String = label.chars().take(LABEL_MAX_CHARS - 1).collect();
    format!("{}…", start.trim_end())
}

fn per_cent(part: Total, whole: u128) -> String {
    let part = part.hundredths();
    match part.saturating_mul(1000).checked_div(whole) {
        None => "–".to_owned(),
        Some(0) if part > 0 => "< 1 %".to_owned(),
        // Half a per cent is rounded up.
        Some(thousandths) if thousandths < 10 && part > 0 => "< 1 %".to_owned(),
        Some(thousandths) => format!("{} %", (thousandths + 5) / 10),
    }
}

/// What `part` is of `whole`, on a scale from 0 to `scale`. What is not nothing is seen.
fn scaled(part: Total, whole: Total, scale: i32) -> i32 {
    let (part, whole) = (part.hundredths(), whole.hundredths());
    let length = part.saturating_mul(u128::from(scale.unsigned_abs())).checked_div(whole);
    let length = length.and_then(|length| i32::try_from(length).ok()).unwrap_or_default();
    if part > 0 { length.clamp(10, scale) } else { 0 }
}

fn share(part: Total, whole: Total) -> Percent {
    Percent(usize::try_from(scaled(part, whole, 10_000)).unwrap_or_default().max(50))
}

/// Hundredths of an `em`.
#[derive(Debug, Clone, Copy)]
struct Em(i32);

impl Em {
    fn times(self, count: usize) -> Self {
        Self(i32::try_from(count).unwrap_or_default().saturating_mul(self.0))
    }

    fn plus(self, hundredths: i32) -> Self {
        Self(self.0.saturating_add(hundredths))
    }
}

impl fmt::Display for Em {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{:02}em", self.0 / 100, self.0 % 100)
    }
}

/// Hundredths of a per cent.
#[derive(Debug, Clone, Copy)]
struct Percent(usize);

impl fmt::Display for Percent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{:02}%", self.0 / 100, self.0 % 100)
    }
}
