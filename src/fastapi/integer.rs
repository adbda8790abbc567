//! Integers in Pydantic's grammar for strings: single underscores between digits and a fraction of zeros
//! are valid.

use serde_json::Value;

use super::{fields::parse_string, problem::Fault};

/// Reads an integer from 1 to `max`.
///
/// # Errors
///
/// [`Fault::NotAString`], [`Fault::NotAnInteger`], [`Fault::TooSmall`], [`Fault::TooLarge`].
pub(super) fn parse_positive(value: &Value, max: usize) -> Result<usize, Fault> {
    let text = match value {
        Value::Number(number) => number.as_str(),
        value => parse_string(value)?,
    };
    let trimmed = text.trim();
    let (whole, fraction) = trimmed.split_once('.').unwrap_or((trimmed, "0"));
    let digits = whole.strip_prefix(['+', '-']).unwrap_or(whole);
    let is_integer = !fraction.is_empty()
        && fraction.bytes().all(|byte| byte == b'0')
        && digits
            .split('_')
            .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    if !is_integer {
        return Err(Fault::NotAnInteger);
    }
    let is_negative = trimmed.starts_with('-');
    let number =
        if is_negative { 0 } else { digits.replace('_', "").parse().unwrap_or(usize::MAX) };
    match number {
        0 => Err(Fault::TooSmall { min: 1 }),
        number if number > max => Err(Fault::TooLarge { max }),
        number => Ok(number),
    }
}
