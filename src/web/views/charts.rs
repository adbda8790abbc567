//! SVG charts of spending by category and by month, each with its data as a table.
//!
//! Widths are percentages and heights are in `em`, so that text keeps its size on every screen and follows
//! the reader's font size. The Content Security Policy forbids `style` attributes.

use std::fmt;

use chrono::{Datelike, NaiveDate};
use maud::{Markup, html};

use crate::expenses::amount::Total;

/// The chart shortens a longer label with `…`; the table has the whole label.
const LABEL_MAX_CHARS: usize = 24;

/// Four steps for each power of ten up to 10^34, which is more than any sum of amounts.
const MAX_STEPS: usize = 4 * 34;

/// One row of a chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The category or the month.
    pub label: String,
    /// The length of the bar.
    pub total: Total,
    /// The total in the visitor's format.
    pub amount: String,
}

/// The texts of a chart.
#[derive(Debug, Clone, Copy)]
pub struct Caption<'a> {
    /// A prefix of element IDs, unique on the page: letters, digits and `-`.
    pub id: &'a str,
    /// The title.
    pub title: &'a str,
    /// The description for screen readers.
    pub description: &'a str,
    /// The head of the column with the labels.
    pub rows_are: &'a str,
}

/// Horizontal bars. The longest bar is as wide as the chart.
#[must_use]
pub fn bars(caption: &Caption, rows: &[Row]) -> Markup {
    /// The height of a label with its bar.
    const ROW_HEIGHT: Em = Em(275);
    let longest = rows.iter().map(|row| row.total).max().unwrap_or_default();
    let picture = html! {
        @for (index, row) in rows.iter().enumerate() {
            @let top = ROW_HEIGHT.times(index);
            g {
                title { (row.label) ": " (row.amount) }
                // A nested SVG clips a label that would overlap the amount.
                svg y=(top) width="66%" height="1.5em" { text y="1.05em" { (shortened(&row.label)) } }
                text.value x="100%" y=(top.plus(105)) { (row.amount) }
                rect.track y=(top.plus(150)) width="100%" height=".7em" rx="3" {}
                rect.bar y=(top.plus(150)) width=(share(row.total, longest)) height=".7em" rx="3" {}
            }
        }
    };
    figure(caption, rows, "bars", ROW_HEIGHT.times(rows.len()), &picture)
}

/// Vertical columns, one for each month (`2026-11`). `top_label` is the amount at the top line, which
/// [`round_up`] computes, in the visitor's format.
#[must_use]
pub fn columns(caption: &Caption, months: &[&str], rows: &[Row], top_label: &str) -> Markup {
    /// The positions of the top and the bottom line.
    const TOP: i32 = 150;
    const BOTTOM: i32 = 1850;
    let top = round_up(rows.iter().map(|row| row.total).max().unwrap_or_default());
    let count = rows.len().max(1);
    let at = |hundredths_of_a_column: usize| Percent(hundredths_of_a_column * 100 / count);
    let picture = html! {
        text.note y="1em" { (top_label) }
        @for y in [TOP, i32::midpoint(TOP, BOTTOM), BOTTOM] {
            line.grid x1="0" x2="100%" y1=(Em(y)) y2=(Em(y)) {}
        }
        @for (index, row) in rows.iter().enumerate() {
            @let height = scaled(row.total, top, BOTTOM - TOP);
            g {
                title { (row.label) ": " (row.amount) }
                rect.bar x=(at(index * 100 + 15)) y=(Em(BOTTOM - height)) width=(at(70))
                    height=(Em(height)) rx="2" {}
            }
        }
        // A nested SVG, because ticks have a smaller font and therefore another `em`.
        svg y=(Em(BOTTOM)) width="100%" height="3em" {
            @for (index, month) in months.iter().enumerate() {
                @let (year, month) = month.split_once('-').unwrap_or((month, ""));
                @let name = MONTHS.iter().find(|(number, _)| *number == month);
                @let name = name.map_or("", |(_, name)| &name[..name.len().min(3)]);
                // Narrow screens hide every second name; the newest stays.
                @let is_between = (months.len() - index).is_multiple_of(2);
                text.tick.between[is_between] x=(at(index * 100 + 50)) y="1.4em" { (name) }
                @if month == "01" {
                    text.tick x=(at(index * 100 + 50)) y="2.8em" { (year) }
                } @else if index == 0 && !months.get(1).is_some_and(|next| next.ends_with("-01")) {
                    text.tick.first x="0" y="2.8em" { (year) }
                }
            }
        }
    };
    figure(caption, rows, "columns", Em(2150), &picture)
}

/// The names of the months.
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

/// `2026-11`.
#[must_use]
pub fn month_of(date: NaiveDate) -> String {
    format!("{:04}-{:02}", date.year(), date.month())
}

/// `November 2026` for `2026-11`.
#[must_use]
pub fn month_name(month: &str) -> String {
    let (year, number) = month.split_once('-').unwrap_or((month, ""));
    let name = MONTHS.iter().find(|(known, _)| *known == number);
    name.map_or_else(|| month.to_owned(), |(_, name)| format!("{name} {year}"))
}

fn figure(caption: &Caption, rows: &[Row], kind: &str, height: Em, picture: &Markup) -> Markup {
    let Caption { id, title, description, rows_are } = *caption;
    let total = rows.iter().map(|row| row.total).sum::<Total>().units();
    html! {
        figure {
            svg class={ "chart " (kind) } width="100%" height=(height) role="img"
                aria-labelledby={ (id) "-title" } aria-describedby={ (id) "-desc" } {
                title id={ (id) "-title" } { (title) }
                desc id={ (id) "-desc" } { (description) }
                (picture)
            }
            details {
                summary { "Show as table" span.vh { ": " (title) } }
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

/// The smallest 1, 2, 2.5 or 5 times a power of ten that is at least `total`.
#[must_use]
pub fn round_up(total: Total) -> Total {
    // The steps begin at one unit of the currency, in ten-thousandths.
    let units = std::iter::successors(Some(10_000_u128), |unit| unit.checked_mul(10));
    let candidates = units.flat_map(|unit| [10, 20, 25, 50].map(|tenths| unit / 10 * tenths));
    candidates.take(MAX_STEPS).find(|top| *top >= total.units()).map_or(total, Total::from)
}

fn shortened(label: &str) -> String {
    if label.chars().count() <= LABEL_MAX_CHARS {
        return label.to_owned();
    }
    let start: String = label.chars().take(LABEL_MAX_CHARS - 1).collect();
    format!("{}…", start.trim_end())
}

fn per_cent(part: Total, whole: u128) -> String {
    let part = part.units();
    match part.saturating_mul(1000).checked_div(whole) {
        None => "–".to_owned(),
        Some(0) if part > 0 => "< 1 %".to_owned(),
        // Rounded half up.
        Some(thousandths) if thousandths < 10 && part > 0 => "< 1 %".to_owned(),
        Some(thousandths) => format!("{} %", (thousandths + 5) / 10),
    }
}

/// The share of `part` in `whole`, from 0 to `scale`. A share above zero is at least 10, which is visible.
fn scaled(part: Total, whole: Total, scale: i32) -> i32 {
    let (part, whole) = (part.units(), whole.units());
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

#[cfg(test)]
mod tests {
    use super::*;

    const CAPTION: Caption =
        Caption { id: "a", title: "T <t>", description: "D", rows_are: "Category" };

    fn row(label: &str, hundredths: u128) -> Row {
        let total = hundredths.saturating_mul(100).into();
        Row { label: label.into(), total, amount: format!("{hundredths} c") }
    }

    #[test]
    fn bars_are_as_long_as_their_share_of_the_longest() {
        let rows = [row("a", 20_000), row("b", 5_000), row("c", 1), row("d", 0)];
        let picture = bars(&CAPTION, &rows).into_string();
        for width in ["100.00%", "25.00%", "0.50%"] {
            assert!(picture.contains(&format!("width=\"{width}\"")), "{width}: {picture}");
        }
        assert!(
            picture.contains("80 %") && picture.contains("20 %") && picture.contains("&lt; 1 %")
        );
        assert!(picture.contains("T &lt;t&gt;") && !picture.contains("<t>"));
    }

    #[test]
    fn chart_without_rows_or_with_zeros_does_not_divide() {
        let _ = bars(&CAPTION, &[]);
        let _ = columns(&CAPTION, &[], &[], "0");
        let picture = columns(&CAPTION, &["2026-11"], &[row("November 2026", 0)], "1");
        assert!(picture.into_string().contains("height=\"0.00em\""));
    }

    #[test]
    fn chart_draws_the_largest_amounts() {
        let rows = [row("a", u128::MAX), row("b", u128::MAX / 2)];
        let _ = bars(&CAPTION, &rows[..1]);
        assert!(round_up(rows[0].total) > Total::default());
    }

    #[test]
    fn scale_ends_at_a_round_number() {
        for (total, top) in [
            (0, 100),
            (100, 100),
            (101, 200),
            (201, 250),
            (251, 500),
            (501, 1000),
            (81_723, 100_000),
            (100_001, 200_000),
        ] {
            let [total, top] = [total, top].map(|hundredths| Total::from(hundredths * 100));
            assert_eq!(round_up(total), top, "{total}");
        }
    }

    #[test]
    fn year_labels_the_first_column_and_each_january() {
        let months = ["2025-11", "2025-12", "2026-01", "2026-02"];
        let rows = months.map(|month| row(&month_name(month), 100));
        let years = |picture: &str| {
            ["2025", "2026"].map(|year| picture.matches(&format!(">{year}</text>")).count())
        };
        let picture = columns(&CAPTION, &months[1..], &rows[1..], "1").into_string();
        assert_eq!(years(&picture), [0, 1]);
        let picture = columns(&CAPTION, &months, &rows, "1").into_string();
        assert_eq!(years(&picture), [1, 1]);
        assert!(picture.contains("<title>January 2026: 100 c</title>"), "{picture}");
    }

    #[test]
    fn long_label_is_cut_between_characters() {
        assert_eq!(shortened(&"ж".repeat(24)), "ж".repeat(24));
        assert_eq!(shortened(&"ж".repeat(25)), format!("{}…", "ж".repeat(23)));
    }
}
