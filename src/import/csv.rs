//! Reads CSV (RFC 4180), with commas, semicolons or tabs between the cells, as spreadsheets of different languages
//! write it. What RFC 4180 does not allow is an error and never a guess: a file that breaks off within quotes is
//! incomplete.

use std::borrow::Cow;

use thiserror::Error;

/// The characters that can separate cells.
const SEPARATORS: [char; 3] = [',', ';', '\t'];

/// The most columns of a file. A longer row has one more, and its further cells are dropped.
pub(super) const COLUMNS_MAX: usize = 100;

/// The syntax error of a CSV file. Lines are counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum Malformed {
    #[error(
        "A cell that begins with a quotation mark does not end with one: the file may be incomplete"
    )]
    Unclosed { line: usize },
    #[error("Text follows the quotation mark at the end of a cell.")]
    TextAfterQuotes { line: usize },
}

impl Malformed {
    /// The line on which the row begins.
    pub(super) fn line(self) -> usize {
        let (Self::Unclosed { line } | Self::TextAfterQuotes { line }) = self;
        line
    }
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    /// The line on which the row begins. Quoted cells have line breaks too.
    pub(super) line: usize,
    pub(crate) cells: Vec<Cow<'a, str>>,
}

/// The rows of a file, one after the other. Empty lines are left out.
pub(super) struct Records<'a> {
    rest: &'a str,
    line: usize,
    separator: char,
}

impl<'a> Records<'a> {
    /// The separator is the one that the first line has most of.
    pub(super) fn of(file: &'a str) -> Self {
        let file = file.strip_prefix('\u{feff}').unwrap_or(file);
        let (mut counts, mut is_quoted) = ([0; SEPARATORS.len()], false);
        for character in file.chars() {
            match character {
                '"' => is_quoted = !is_quoted,
                '\r' | '\n' if !is_quoted => break,
                _ if is_quoted => {}
                _ => {
                    for (count, separator) in counts.iter_mut().zip(SEPARATORS) {
                        *count += usize::from(character == separator);
                    }
                }
            }
        }
        let mut separator = SEPARATORS[0];
        let mut most = counts[0];
        for (candidate, count) in SEPARATORS.into_iter().zip(counts) {
            if count > most {
                (separator, most) = (candidate, count);
            }
        }
        Self { rest: file, line: 1, separator }
    }

    /// The next row; `None` after the last.
    pub(super) fn next(&mut self) -> Result<Option<Record<'a>>, Malformed> {
        while !self.rest.is_empty() {
            let (line, mut cells) = (self.line, Vec::new());
            loop {
                let (cell, is_last) = self.cell(line)?;
                if cells.len() <= COLUMNS_MAX {
                    cells.push(cell);
                }
                if is_last {
                    break;
                }
            }
            if cells.len() > 1 || cells.iter().any(|cell| !cell.is_empty()) {
                return Ok(Some(Record { line, cells }));
            }
        }
        Ok(None)
    }

    /// The next cell, and whether it is the last one of its row.
    fn cell(&mut self, line: usize) -> Result<(Cow<'a, str>, bool), Malformed> {
        let cell = match self.rest.strip_prefix('"') {
            Some(quoted) => self.quoted(quoted, line)?,
            None => {
                let end = self.rest.find([self.separator, '\r', '\n']).unwrap_or(self.rest.len());
                let (cell, rest) = self.rest.split_at(end);
                self.rest = rest;
                Cow::Borrowed(cell)
            }
        };
        if let Some(rest) = self.rest.strip_prefix(self.separator) {
            self.rest = rest;
            return Ok((cell, false));
        }
        let rest = self.rest.strip_prefix('\r').unwrap_or(self.rest);
        self.rest = rest.strip_prefix('\n').unwrap_or(rest);
        self.line += 1;
        Ok((cell, true))
    }

    fn quoted(&mut self, text: &'a str, line: usize) -> Result<Cow<'a, str>, Malformed> {
        let (mut from, mut has_quotes) = (0, false);
        let end = loop {
            let rest = text.get(from..).unwrap_or_default();
            let quote = from + rest.find('"').ok_or(Malformed::Unclosed { line })?;
            self.rest = text.get(quote + 1..).unwrap_or_default();
            if !self.rest.starts_with('"') {
                break quote;
            }
            has_quotes = true;
            from = quote + 2;
        };
        if !self.rest.is_empty() && !self.rest.starts_with([self.separator, '\r', '\n']) {
            return Err(Malformed::TextAfterQuotes { line });
        }
        let cell = text.get(..end).unwrap_or_default();
        self.line += cell.bytes().filter(|byte| *byte == b'\n').count();
        Ok(if has_quotes { cell.replace("\"\"", "\"").into() } else { cell.into() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(file: &str) -> Result<Vec<(usize, Vec<String>)>, Malformed> {
        let mut records = Records::of(file);
        let mut read = Vec::new();
        while let Some(Record { line, cells }) = records.next()? {
            read.push((line, cells.into_iter().map(Cow::into_owned).collect()));
        }
        Ok(read)
    }

    fn rows(file: &str) -> Vec<Vec<String>> {
        read(file).unwrap().into_iter().map(|(_, cells)| cells).collect()
    }

    #[test]
    fn first_line_decides_the_separator() {
        for file in ["a,b\n1,2", "a;b\r\n1;2\r\n", "a\tb\r1\t2", "\u{feff}a,b\n\n1,2\n"] {
            assert_eq!(rows(file), [["a", "b"], ["1", "2"]], "{file:?}");
        }
        assert_eq!(rows("\"a,b,c\";d\n1,5;2"), [["a,b,c", "d"], ["1,5", "2"]]);
        assert_eq!(rows("a\n1"), [["a"], ["1"]]);
        assert_eq!(rows("a,b,\n,,"), [["a", "b", ""], ["", "", ""]]);
        assert!(rows("").is_empty() && rows("\n\r\n").is_empty());
    }

    #[test]
    fn quoted_cells_have_separators_quotes_and_line_breaks() {
        let file = "a,b\r\n\"x, \"\"y\"\"\",\"two\r\nlines\"\r\n\r\nlast,\"\"\n5\" tv,x";
        let expected = [
            (1, vec!["a", "b"]),
            (2, vec!["x, \"y\"", "two\r\nlines"]),
            (5, vec!["last", ""]),
            (6, vec!["5\" tv", "x"]),
        ];
        let read = read(file).unwrap();
        for ((line, cells), expected) in read.iter().zip(&expected) {
            assert_eq!((*line, cells.iter().map(String::as_str).collect()), *expected);
        }
        assert_eq!(read.len(), expected.len());
    }

    #[test]
    fn incomplete_or_malformed_quotes_are_errors() {
        assert_eq!(read("a\n\"b"), Err(Malformed::Unclosed { line: 2 }));
        assert_eq!(read("a\n1\n\"b\"\"\n"), Err(Malformed::Unclosed { line: 3 }));
        assert_eq!(read("a,b\n\"b\"x,1"), Err(Malformed::TextAfterQuotes { line: 2 }));
        assert_eq!(read("a\n\"b\" \"c\""), Err(Malformed::TextAfterQuotes { line: 2 }));
    }

    proptest! {
        #[test]
        fn written_rows_read_back_unchanged(
            written in prop::collection::vec(prop::collection::vec("[a,;\"\t\r\n é]{0,6}", 2..4), 1..5)
        ) {
            let quoted = |cell: &String| format!("\"{}\"", cell.replace('"', "\"\""));
            let line = |row: &Vec<String>| row.iter().map(quoted).collect::<Vec<_>>().join(",");
            let file = written.iter().map(line).collect::<Vec<_>>().join("\r\n");
            prop_assert_eq!(rows(&file), written);
        }

        #[test]
        fn any_text_is_read_to_its_end(file in "[a,\";\r\n]{0,40}") {
            let _ = read(&file);
        }
    }
}
