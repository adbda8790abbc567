//! Reads the JSON of requests.
//!
//! With `arbitrary_precision`, serde_json passes each number that is not a 64-bit integer to the visitor
//! as an object with one member, `$serde_json::private::Number`. Its [`Value`] therefore reads every
//! object that begins with this member as a number, even if a client sends it. [`parse`] distinguishes
//! the two.

use std::fmt;

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};

/// serde_json's name for a number's digits (`serde_json::number::TOKEN`, which is private).
const NUMBER_KEY: &str = "$serde_json::private::Number";

/// The most members of all objects in a body; an expense has five. serde_json stores an object's members
/// in a map whose hashes are predictable on wasm32-unknown-unknown: 5,400 colliding members take 300 ms,
/// 1,000 take 4 ms.
pub const MAX_MEMBERS: usize = 1000;

/// Why a body cannot be parsed.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// The body is not JSON.
    #[error(transparent)]
    Syntax(#[from] serde_json::Error),
    /// The objects in the body have more than [`MAX_MEMBERS`] members in total.
    #[error("the body can have at most {MAX_MEMBERS} members, those of nested objects included")]
    TooManyMembers,
}

/// Parses the JSON of a request.
///
/// # Errors
///
/// [`ParseError`]; a syntax error takes precedence over the number of members.
pub fn parse_body(body: &[u8]) -> Result<Value, ParseError> {
    if count_members(body) > MAX_MEMBERS {
        // The syntax check stores no members in a map.
        let IgnoredAny = serde_json::from_slice(body)?;
        return Err(ParseError::TooManyMembers);
    }
    Ok(parse(body)?)
}

/// Removes the byte order mark that editors on Windows write.
#[must_use]
pub fn without_byte_order_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body)
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

/// Parses JSON. Objects of a client that look like serde_json's numbers stay objects.
///
/// # Errors
///
/// The errors of [`serde_json::from_slice`].
pub fn parse(text: &[u8]) -> serde_json::Result<Value> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = AnyValue.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// Deserializes any value like serde_json's [`Value`], except for objects that look like a number.
#[derive(Clone, Copy)]
struct AnyValue;

/// The value after [`NUMBER_KEY`]: the digits of a number, which only serde_json passes as an owned
/// string, or a value from the client's text.
struct DigitsOrValue;

enum NumberMember {
    Digits(Number),
    Value(Value),
}

impl<'de> DeserializeSeed<'de> for AnyValue {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = access.next_element_seed(self)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = access.next_key::<String>()? {
            let value = if members.is_empty() && name == NUMBER_KEY {
                match access.next_value_seed(DigitsOrValue)? {
                    NumberMember::Digits(number) => return Ok(Value::Number(number)),
                    NumberMember::Value(value) => value,
                }
            } else {
                access.next_value_seed(self)?
            };
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}

impl<'de> DeserializeSeed<'de> for DigitsOrValue {
    type Value = NumberMember;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<NumberMember, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for DigitsOrValue {
    type Value = NumberMember;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        AnyValue.expecting(formatter)
    }

    fn visit_string<E: Error>(self, digits: String) -> Result<NumberMember, E> {
        digits.parse().map(NumberMember::Digits).map_err(E::custom)
    }

    fn visit_unit<E: Error>(self) -> Result<NumberMember, E> {
        AnyValue.visit_unit().map(NumberMember::Value)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<NumberMember, E> {
        AnyValue.visit_bool(value).map(NumberMember::Value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<NumberMember, E> {
        AnyValue.visit_u64(value).map(NumberMember::Value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<NumberMember, E> {
        AnyValue.visit_i64(value).map(NumberMember::Value)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<NumberMember, E> {
        AnyValue.visit_str(value).map(NumberMember::Value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, access: A) -> Result<NumberMember, A::Error> {
        AnyValue.visit_seq(access).map(NumberMember::Value)
    }

    fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<NumberMember, A::Error> {
        AnyValue.visit_map(access).map(NumberMember::Value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_agrees_with_serde_json() {
        for text in [
            "null",
            "true",
            "\"text \\u00e9\"",
            "[]",
            "[1, [2.50, {\"a\": -0}], 1e400, 123456789012345678901234567890.10]",
            "{\"b\": 1, \"a\": {\"c\": [null, false]}, \"b\": 2}",
            "",
            "{",
            "[1,]",
            "{\"a\" 1}",
            "1 2",
            "01",
            "\"\\ud800\"",
            "nul",
        ] {
            let theirs = serde_json::from_slice::<Value>(text.as_bytes());
            let ours = parse(text.as_bytes());
            let shown = |result: serde_json::Result<Value>| {
                result.map(|value| value.to_string()).map_err(|error| error.to_string())
            };
            assert_eq!(shown(ours), shown(theirs), "{text}");
        }
    }

    #[test]
    fn parse_refuses_deep_nesting() {
        let nested = |depth| "[".repeat(depth) + &"]".repeat(depth);
        assert!(parse(nested(127).as_bytes()).is_ok());
        assert!(parse(nested(128).as_bytes()).is_err());
        let disguised = format!("{{\"{NUMBER_KEY}\":").repeat(128) + "1" + &"}".repeat(128);
        assert!(parse(disguised.as_bytes()).is_err());
    }

    #[test]
    fn parse_keeps_objects_that_look_like_numbers() {
        for value in
            ["\"42.5\"", "\"\\u0034\"", "\"x\"", "42.5", "null", "true", "[1]", "{\"a\":1}"]
        {
            for name in [NUMBER_KEY, r"\u0024serde_json::private::Number"] {
                let text = format!("[{{\"{name}\":{value},\"b\":1}},{{\"{name}\":{value}}}]");
                let parsed = parse(text.as_bytes()).unwrap();
                for object in parsed.as_array().unwrap() {
                    assert_eq!(object.as_object().unwrap().keys().next().unwrap(), NUMBER_KEY);
                }
            }
        }
        // Such an object can be nested in itself, and serializes to the same text.
        let text = format!("{{\"{NUMBER_KEY}\":{{\"{NUMBER_KEY}\":\"1\"}}}}");
        assert_eq!(parse(text.as_bytes()).unwrap().to_string(), text);
    }
}
