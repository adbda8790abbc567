//! JSON bodies: parsed with a limit on their members, and refused in the words of Python's `json`.

use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::{
    json_error::{JsonSyntaxError, locate_error},
    problem::{Fault, Loc, Problem, Problems},
};
use crate::json;

/// Most members of a body in all; an expense has five. serde_json keeps an object's members in a map
/// whose hashes can be predicted on wasm32-unknown-unknown: 5,400 colliding members take 300 ms, 1,000
/// take 4 ms.
pub(super) const MAX_MEMBERS: usize = 1000;

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
    // Editors on Windows write a byte order mark.
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
    let parsed = if count_members(body) > MAX_MEMBERS {
        // Finding a syntax error needs no map.
        serde_json::from_slice(body).map(|IgnoredAny| None)
    } else {
        json::parse(body).map(Some)
    };
    let parsed = parsed.map_err(|error| {
        // Python reads what it does not refuse, such as half of a surrogate pair: then serde_json's
        // reason counts.
        let error = locate_error(body).unwrap_or_else(|| {
            let reason = error.to_string();
            let reason = reason.split(" at line ").next().unwrap_or_default().to_owned();
            JsonSyntaxError {
                offset: offset(body, error.line(), error.column()),
                reason: reason.into(),
            }
        });
        // Python counts characters: it has decoded the body before it parses.
        let position = String::from_utf8_lossy(&body[..error.offset]).chars().count();
        Problems::from(Problem::new(Loc::Position(position), Fault::Json(error), json!({})))
    })?;
    parsed.ok_or_else(|| {
        let fault = Fault::TooManyMembers { max: MAX_MEMBERS };
        Problem::new(Loc::Body, fault, Value::Null).into()
    })
}

/// The number of members of all objects: the number of colons outside of strings.
fn count_members(text: &[u8]) -> usize {
    let (mut members, mut is_string, mut is_escaped) = (0, false, false);
    for byte in text {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_string,
            b'"' => is_string = !is_string,
            b':' if !is_string => members += 1,
            _ => {}
        }
    }
    members
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
