//! Locates a body's first syntax error as Python's `json` does: FastAPI's response has Python's position
//! and message. Only bodies that `serde_json` has refused are scanned.

use std::borrow::Cow;

/// A syntax error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonSyntaxError {
    /// The offset in the body, in bytes from 0.
    pub(super) offset: usize,
    /// Python's message.
    pub(super) reason: Cow<'static, str>,
}

/// The first syntax error of `text`. Python accepts two kinds of text that `serde_json` refuses: an
/// unpaired surrogate, and deep nesting.
pub(super) fn locate_error(text: &[u8]) -> Option<JsonSyntaxError> {
    Scanner { text, at: 0 }.document().err()
}

fn error(offset: usize, reason: &'static str) -> JsonSyntaxError {
    JsonSyntaxError { offset, reason: reason.into() }
}

const UNTERMINATED: &str = "Unterminated string starting at";

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    /// Scans without recursion, because a body can be 64 KiB of `[`.
    fn document(&mut self) -> Result<(), JsonSyntaxError> {
        // The closing brackets of the arrays and objects that are open.
        let mut ends = Vec::new();
        'value: loop {
            self.skip_space();
            match self.peek() {
                Some(b'"') => self.string()?,
                Some(start @ (b'{' | b'[')) => {
                    let end = if start == b'{' { b'}' } else { b']' };
                    self.at += 1;
                    self.skip_space();
                    if !self.take(end) {
                        ends.push(end);
                        self.name_before(end)?;
                        continue 'value;
                    }
                }
                _ => self.literal()?,
            }
            while let Some(end) = ends.last().copied() {
                self.skip_space();
                if self.take(end) {
                    ends.pop();
                } else if self.take(b',') {
                    self.name_before(end)?;
                    continue 'value;
                } else {
                    return Err(error(self.at, "Expecting ',' delimiter"));
                }
            }
            self.skip_space();
            let is_end = self.at == self.text.len();
            return if is_end { Ok(()) } else { Err(error(self.at, "Extra data")) };
        }
    }

    /// Reads the name of an object's member and the colon.
    fn name_before(&mut self, end: u8) -> Result<(), JsonSyntaxError> {
        if end != b'}' {
            return Ok(());
        }
        self.skip_space();
        if self.peek() != Some(b'"') {
            return Err(error(self.at, "Expecting property name enclosed in double quotes"));
        }
        self.string()?;
        self.skip_space();
        if self.take(b':') { Ok(()) } else { Err(error(self.at, "Expecting ':' delimiter")) }
    }

    fn string(&mut self) -> Result<(), JsonSyntaxError> {
        let start = self.at;
        loop {
            self.at += 1;
            match self.peek() {
                None => return Err(error(start, UNTERMINATED)),
                Some(0..=0x1f) => return Err(error(self.at, "Invalid control character at")),
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape(start)?,
                Some(_) => {}
            }
        }
    }

    fn escape(&mut self, string_start: usize) -> Result<(), JsonSyntaxError> {
        self.at += 1;
        match self.peek() {
            None => Err(error(string_start, UNTERMINATED)),
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(()),
            Some(b'u') => {
                // Python checks that a byte follows the four digits before it reads them.
                let digits = self.text.get(self.at + 1..self.at + 6);
                if !digits.is_some_and(|digits| digits[..4].iter().all(u8::is_ascii_hexdigit)) {
                    return Err(error(self.at, "Invalid \\uXXXX escape"));
                }
                self.at += 4;
                Ok(())
            }
            Some(_) => Err(error(self.at - 1, "Invalid \\escape")),
        }
    }

    /// Reads a word or a number. A number ends at its last valid digit; the rest is extra data.
    fn literal(&mut self) -> Result<(), JsonSyntaxError> {
        let start = self.at;
        let words: [&[u8]; 3] = [b"true", b"false", b"null"];
        if let Some(word) = words.into_iter().find(|word| self.text[start..].starts_with(word)) {
            self.at += word.len();
            return Ok(());
        }
        self.take(b'-');
        if !self.take(b'0') && !self.take_digits() {
            return Err(error(start, "Expecting value"));
        }
        for marks in [&b"."[..], b"eE"] {
            let before = self.at;
            if marks.iter().any(|mark| self.take(*mark)) {
                if marks.len() > 1 && !self.take(b'+') {
                    self.take(b'-');
                }
                if !self.take_digits() {
                    self.at = before;
                }
            }
        }
        Ok(())
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn take_digits(&mut self) -> bool {
        let before = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        self.at > before
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locate_error_returns_pythons_position_and_message() {
        for (text, at, reason) in [
            ("", 0, "Expecting value"),
            ("{", 1, "Expecting property name enclosed in double quotes"),
            ("{\"a\":1,}", 7, "Expecting property name enclosed in double quotes"),
            ("{\"a\" 1}", 5, "Expecting ':' delimiter"),
            ("{\"a\":1 \"b\":2}", 7, "Expecting ',' delimiter"),
            ("{\"a\":1]", 6, "Expecting ',' delimiter"),
            ("[1,]", 3, "Expecting value"),
            ("[-]", 1, "Expecting value"),
            ("[NaN]", 1, "Expecting value"),
            ("01", 1, "Extra data"),
            ("1.x", 1, "Extra data"),
            ("1e+", 1, "Extra data"),
            ("truex", 4, "Extra data"),
            ("[] []", 3, "Extra data"),
            ("[\"a", 1, "Unterminated string starting at"),
            ("[\"a\\", 1, "Unterminated string starting at"),
            ("\"a\nb\"", 2, "Invalid control character at"),
            ("\"a\\x\"", 2, "Invalid \\escape"),
            ("\"\\u12g4\"", 2, "Invalid \\uXXXX escape"),
            ("\"\\u1234", 2, "Invalid \\uXXXX escape"),
        ] {
            assert_eq!(locate_error(text.as_bytes()), Some(error(at, reason)), "{text}");
        }
    }

    #[test]
    fn locate_error_accepts_json() {
        for text in [
            " {\"a\": [1, -0.5e-3, true, false, null, {}, []], \"\\u00e9\\n\": \"é\"} ",
            "0",
            "\"\\ud800\"",
        ] {
            assert_eq!(locate_error(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn locate_error_scans_a_million_brackets_without_recursion() {
        let nested = "[".repeat(1_000_000);
        assert_eq!(locate_error(nested.as_bytes()), Some(error(1_000_000, "Expecting value")));
        assert_eq!(locate_error((nested + &"]".repeat(1_000_000)).as_bytes()), None);
    }
}
