//! Expenses as CSV (RFC 4180): a header line, CR LF line ends, texts in quotes.
//!
//! A spreadsheet runs a cell that begins with `=`, `+`, `-` or `@` as a formula, even after a leading
//! tab or line break. An apostrophe before such a cell marks it as text. Quotes do not help: a
//! spreadsheet that separates columns at `;` or tabs recognizes quotes only at the beginning of *its*
//! cells. Therefore an apostrophe also follows each character that could end such a cell before a
//! formula. [`unmarked`] removes the apostrophes again: a text that begins like a marked one gets one more.

use super::{
    model::{Expense, ExpenseId, Timestamp},
    record::ExpenseRecord,
    row::Rows,
};

/// The byte order mark. Spreadsheets on Windows need it to read UTF-8; programs read it as part of the
/// first column's name.
pub const BYTE_ORDER_MARK: &str = "\u{feff}";
/// The header line.
pub const HEADER: &str = "id,date,description,category,amount,currency,created_at,updated_at\r\n";
/// The number of cells in a line.
pub const COLUMNS: usize = 8;

/// The end of a file that cannot be completed: an unclosed quote, which is an error for programs, with a
/// sentence for people. Aborting the response is not sufficient: workerd ends it like a complete response.
/// <https://github.com/cloudflare/workerd/issues/6818>
pub const BREAK_OFF: &str =
    "\"INCOMPLETE: the expenses below this line could not be read. Download the file again.";

/// The length of a line with short texts, for a buffer.
const LINE_BYTES: usize = 160;

/// The characters that end a cell for a reader with another separator, or without line breaks in quotes.
const OTHER_SEPARATORS: [char; 4] = [';', '\t', '\r', '\n'];
/// The characters that begin a formula. Spreadsheets read the full-width forms as the ASCII ones.
const FORMULA_SIGNS: [char; 8] =
    ['=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];

/// One line per row, in order.
#[must_use]
pub fn lines(rows: &Rows) -> String {
    let mut csv = String::with_capacity(rows.len() * LINE_BYTES);
    for row in rows.iter() {
        let Some((members, [description, category])) = row.texts() else { continue };
        csv.extend([members.id, ",", members.date, ","]);
        push_text(&mut csv, &description);
        csv.push(',');
        push_text(&mut csv, &category);
        csv.extend([",", members.amount, ","]);
        push_text(&mut csv, members.currency);
        csv.extend([",", members.created_at, ",", members.updated_at, "\r\n"]);
    }
    csv
}

/// The expense of a line of [`lines`], without its quotes; `None` for other cells.
#[must_use]
pub fn parse_line(cells: [&str; COLUMNS]) -> Option<Expense> {
    let [id, date, description, category, amount, currency, created_at, updated_at] = cells;
    let secs = |time| Timestamp::parse(time).map(Timestamp::unix_secs);
    let record = ExpenseRecord {
        description: unmarked(description).into(),
        amount: amount.into(),
        currency: currency.into(),
        category: unmarked(category).into(),
        date: date.into(),
        created_at: secs(created_at)?,
        updated_at: secs(updated_at)?,
        row: None,
    };
    record.into_expense(ExpenseId::parse(id).ok()?)
}

/// Adds a cell with a text from the user.
fn push_text(csv: &mut String, value: &str) {
    csv.push('"');
    let mut is_beginning = true;
    for (index, character) in value.char_indices() {
        if is_beginning && needs_mark(&value[index..], index == 0) {
            csv.push('\'');
        }
        is_beginning = OTHER_SEPARATORS.contains(&character);
        if character == '"' {
            csv.push('"');
        }
        csv.push(character);
    }
    csv.push('"');
}

/// The text of a cell that [`lines`] has written.
#[must_use]
pub fn unmarked(cell: &str) -> String {
    let mut text = String::with_capacity(cell.len());
    let mut is_beginning = true;
    for (index, character) in cell.char_indices() {
        let is_mark = is_beginning
            && character == '\''
            && needs_mark(cell.get(index + 1..).unwrap_or_default(), index == 0);
        if !is_mark {
            text.push(character);
        }
        is_beginning = OTHER_SEPARATORS.contains(&character);
    }
    text
}

/// Whether an apostrophe precedes `rest`, which some reader takes for a cell. Leading apostrophes are skipped: `'=1`
/// needs one because `=1` does.
fn needs_mark(rest: &str, is_whole: bool) -> bool {
    is_whole && rest.trim_start_matches('\'').starts_with(['\t', '\r', '\n']) || is_formula(rest)
}

/// Whether a spreadsheet runs the cell as a formula, possibly after it removes spaces, quotes and apostrophes.
fn is_formula(cell: &str) -> bool {
    let is_skipped = |character: char| {
        matches!(character, '"' | '\'')
            || (character.is_whitespace() && !OTHER_SEPARATORS.contains(&character))
    };
    cell.trim_start_matches(is_skipped).starts_with(FORMULA_SIGNS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{push_text, unmarked};

    fn text(value: &str) -> String {
        let mut cell = String::new();
        push_text(&mut cell, value);
        cell
    }

    #[test]
    fn text_is_always_quoted() {
        assert_eq!(text("plain"), "\"plain\"");
        assert_eq!(text(""), "\"\"");
        assert_eq!(text("a,b;c"), "\"a,b;c\"");
        assert_eq!(text("say \"hi\""), "\"say \"\"hi\"\"\"");
        assert_eq!(text("two\nlines"), "\"two\nlines\"");
    }

    #[test]
    fn text_is_never_a_formula() {
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\"=1", "\u{ff1d}1"]
        {
            assert!(text(formula).starts_with("\"'"), "{formula:?}");
        }
        assert_eq!(text("=HYPERLINK(\"x\",\"y\")"), "\"'=HYPERLINK(\"\"x\"\",\"\"y\"\")\"");
    }

    #[test]
    fn text_after_another_separator_is_never_a_formula() {
        assert_eq!(text("x;=cmd|'/C calc'!A0;y"), "\"x;'=cmd|'/C calc'!A0;y\"");
        assert_eq!(text("x\t\"@a"), "\"x\t'\"\"@a\"");
        assert_eq!(text("a; b\nc - d, -1"), "\"a; b\nc - d, -1\"", "nothing begins with a sign");
    }

    #[test]
    fn apostrophe_before_a_formula_is_removed_again() {
        for value in
            ["=1+1", "'=1+1", "''=1", "'plain'", "\t=1", "'\t", "x;=1", "x;'=1", "'", " '-1"]
        {
            let cell = text(value).replace("\"\"", "\"");
            assert_eq!(unmarked(&cell[1..cell.len() - 1]), value, "{cell}");
        }
    }

    proptest! {
        #[test]
        fn every_text_reads_back_unchanged(value in "[=a '\";\t\r\n@é\u{ff1d}-]{0,12}") {
            let cell = text(&value);
            let cell = cell[1..cell.len() - 1].replace("\"\"", "\"");
            prop_assert_eq!(unmarked(&cell), value);
        }
    }
}
