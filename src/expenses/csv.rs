//! Expenses as CSV (RFC 4180): a header line, lines that end in CR LF, quotes where they are needed.
//!
//! A spreadsheet takes a cell that begins with `=`, `+`, `-`, `@`, a tab or a line break for a formula
//! and runs it. Such a cell gets an apostrophe before it, which spreadsheets take for "this is text".

use super::model::Expense;

const HEADER: &str = "id,date,description,category,amount,currency,created_at,updated_at\r\n";

/// A table of the expenses, in their order.
#[must_use]
pub fn table(expenses: &[Expense]) -> String {
    let mut csv = HEADER.to_owned();
    for expense in expenses {
        let content = &expense.content;
        let cells = [
            expense.id.to_string(),
            content.date.to_string(),
            text(&content.description),
            text(&content.category),
            content.amount.to_string(),
            content.currency.clone(),
            expense.created_at.to_string(),
            expense.updated_at.to_string(),
        ];
        csv.push_str(&cells.join(","));
        csv.push_str("\r\n");
    }
    csv
}

/// A cell of whatever a user has typed.
fn text(value: &str) -> String {
    let guard = if value.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) { "'" } else { "" };
    if value.contains(['"', ',', '\r', '\n']) {
        format!("\"{guard}{}\"", value.replace('"', "\"\""))
    } else {
        format!("{guard}{value}")
    }
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn a_cell_is_quoted_where_it_must_be() {
        assert_eq!(text("plain"), "plain");
        assert_eq!(text("a,b"), "\"a,b\"");
        assert_eq!(text("say \"hi\""), "\"say \"\"hi\"\"\"");
        assert_eq!(text("two\nlines"), "\"two\nlines\"");
    }

    #[test]
    fn a_cell_is_never_a_formula() {
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"] {
            let cell = text(formula);
            assert!(cell.trim_start_matches('"').starts_with('\''), "{cell:?}");
        }
        assert_eq!(text("=HYPERLINK(\"x\",\"y\")"), "\"'=HYPERLINK(\"\"x\"\",\"\"y\"\")\"");
    }
}
