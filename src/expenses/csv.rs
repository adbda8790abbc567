//! Expenses as CSV (RFC 4180): a header line, CR LF line ends, texts in quotes.
//!
//! A spreadsheet runs a cell that begins with `=`, `+`, `-` or `@` as a formula, even after a leading
//! tab or line break. An apostrophe before such a cell marks it as text. Quotes do not help: a
//! spreadsheet that separates columns at `;` or tabs recognizes quotes only at the beginning of *its*
//! cells. Therefore an apostrophe also follows each character that could end such a cell before a
//! formula.

use super::row::Rows;

/// The byte order mark. Spreadsheets on Windows need it to read UTF-8; programs read it as part of the
/// first column's name.
pub const BYTE_ORDER_MARK: &str = "\u{feff}";
/// The header line.
pub const HEADER: &str = "id,date,description,category,amount,currency,created_at,updated_at\r\n";

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

/// Adds a cell with a text from the user.
fn push_text(csv: &mut String, value: &str) {
    csv.push('"');
    if value.starts_with(['\t', '\r', '\n']) {
        csv.push('\'');
    }
    let mut is_beginning = true;
    for (index, character) in value.char_indices() {
        if is_beginning && is_formula(&value[index..]) {
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

/// Whether a spreadsheet runs the cell as a formula, possibly after it removes spaces and quotes.
fn is_formula(cell: &str) -> bool {
    let is_skipped = |character: char| {
        character == '"' || (character.is_whitespace() && !OTHER_SEPARATORS.contains(&character))
    };
    cell.trim_start_matches(is_skipped).starts_with(FORMULA_SIGNS)
}

#[cfg(test)]
mod tests {
    use super::push_text;

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
}
