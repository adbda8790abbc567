//! JSON bodies, with the error messages of Python's `json`.

use serde_json::{Value, json};

use super::{
    json_error::{JsonSyntaxError, locate_error},
    problem::{Fault, Loc, Problem, Problems},
};
use crate::json::{MAX_MEMBERS, ParseError, parse_body, without_byte_order_mark};

/// Parses a JSON body.
///
/// # Errors
///
/// [`Fault::Missing`] for an empty body, [`Fault::Json`] for text that is not JSON,
/// [`Fault::TooManyMembers`] for more than a thousand members.
pub fn parse_json(body: &[u8]) -> Result<Value, Problems> {
    if body.is_empty() {
        return Err(Problem::new(Loc::Body, Fault::Missing, Value::Null).into());
    }
    let body = without_byte_order_mark(body);
    parse_body(body).map_err(|error| match error {
        ParseError::Syntax(error) => syntax_problem(body, &error).into(),
        ParseError::TooManyMembers => {
            let fault = Fault::TooManyMembers { max: MAX_MEMBERS };
            Problem::new(Loc::Body, fault, Value::Null).into()
        }
    })
}

/// The problem of a body that serde_json refuses. If Python accepts the body, the problem has serde_json's
/// position and reason.
fn syntax_problem(body: &[u8], error: &serde_json::Error) -> Problem {
    let error = locate_error(body).unwrap_or_else(|| {
        let reason = error.to_string();
        let reason = reason.split(" at line ").next().unwrap_or_default().to_owned();
        JsonSyntaxError {
            offset: offset(body, error.line(), error.column()),
            reason: reason.into(),
        }
    });
    // Python decodes the body before it parses it, so positions count characters.
    let position = String::from_utf8_lossy(&body[..error.offset]).chars().count();
    Problem::new(Loc::Position(position), Fault::Json(error), json!({}))
}

/// The offset of a line and a column (both from 1, the column in bytes) in the text, from 0.
fn offset(body: &[u8], line: usize, column: usize) -> usize {
    let lines_before: usize = body
        .split_inclusive(|byte| *byte == b'\n')
        .take(line.saturating_sub(1))
        .map(<[u8]>::len)
        .sum();
    (lines_before + column).saturating_sub(1).min(body.len())
}
