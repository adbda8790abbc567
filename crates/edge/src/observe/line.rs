//! An event as one JSON object on one line, and as a data point for counting.

use std::fmt::{self, Write as _};

use super::event::{Cause, Event, Value};

/// Room for most lines, so that the text grows once.
const USUAL_BYTES: usize = 320;

/// The JSON object of an event: `event`, `request` and `version` where they are known, and the event's fields.
pub fn json_line(event: &dyn Event, request_id: Option<&str>, version: Option<&str>) -> String {
    let mut line = String::with_capacity(USUAL_BYTES);
    line.push('{');
    let mut member = |name: &str, value: Value<'_>| {
        if matches!(value, Value::NoText | Value::NoNumber) {
            return;
        }
        if line.len() > 1 {
            line.push(',');
        }
        line.push('"');
        line.push_str(name);
        line.push_str("\":");
        write_value(&mut line, value);
    };
    member("event", Value::Text(event.name()));
    member("request", request_id.map_or(Value::NoText, Value::Text));
    member("version", version.map_or(Value::NoText, Value::Text));
    event.visit(&mut member);
    line.push('}');
    line
}

/// The JSON object of an event's data point for Workers Analytics Engine. The index is the event's name, on which the
/// engine samples. The blobs are name, version and the fields of text, except for causes; the doubles are the numbers,
/// and 1 or 0 for true or false. Both are in the order of the fields, and a field that is left out keeps its place.
pub fn data_point(event: &dyn Event, version: Option<&str>) -> String {
    let name = event.name();
    let mut point = String::with_capacity(USUAL_BYTES);
    let mut doubles = String::new();
    point.push_str("{\"indexes\":[\"");
    point.push_str(name);
    point.push_str("\"],\"blobs\":[\"");
    point.push_str(name);
    point.push_str("\",");
    write_value(&mut point, version.map_or(Value::NoText, Value::Text));
    event.visit(&mut |_, value| match value {
        Value::Cause(_) => {}
        Value::Text(_) | Value::NoText => {
            point.push(',');
            write_value(&mut point, value);
        }
        Value::Number(_) | Value::Bool(_) | Value::NoNumber => {
            if !doubles.is_empty() {
                doubles.push(',');
            }
            let value = match value {
                Value::Bool(value) => Value::Number(u64::from(value)),
                value => value,
            };
            write_value(&mut doubles, value);
        }
    });
    point.push_str("],\"doubles\":[");
    point.push_str(&doubles);
    point.push_str("]}");
    point
}

/// Writing to text never fails.
fn write_value(line: &mut String, value: Value<'_>) {
    match value {
        Value::Text(text) => {
            line.push('"');
            escape(line, text);
            line.push('"');
        }
        Value::Cause(Cause(cause)) => {
            line.push('"');
            let _ = write!(Escaping(line), "{cause}");
            line.push('"');
        }
        Value::Number(number) => {
            let _ = write!(line, "{number}");
        }
        Value::Bool(value) => line.push_str(if value { "true" } else { "false" }),
        Value::NoText => line.push_str("\"\""),
        Value::NoNumber => line.push('0'),
    }
}

/// Writes text into a JSON string.
struct Escaping<'a>(&'a mut String);

impl fmt::Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        escape(self.0, text);
        Ok(())
    }
}

/// Escapes the characters that RFC 8259, section 7, forbids in a string.
fn escape(line: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '"' => line.push_str("\\\""),
            '\\' => line.push_str("\\\\"),
            '\n' => line.push_str("\\n"),
            character if u32::from(character) < 0x20 => {
                let _ = write!(line, "\\u{:04x}", u32::from(character));
            }
            character => line.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HostEvent, UserHash};
    use serde_json::json;

    events! {
        /// Events of these tests.
        enum TestEvent<'a> {
            /// Every type of field.
            Info Every = "every" {
                /// Text.
                text: &'a str,
                /// A cause.
                cause: Cause<'a>,
                /// A number.
                number: u32,
                /// A boolean.
                is_true: bool,
                /// A user.
                user: UserHash,
                /// Left out.
                absent: Option<u32>,
            }
        }
    }

    const EVERY_CHARACTER: &str = "\u{0}\u{1f}\n\r\t\"\\/é€\u{2028}🍜";

    fn every<'a>(text: &'a str, cause: &'a dyn fmt::Display) -> TestEvent<'a> {
        TestEvent::Every {
            text,
            cause: Cause(cause),
            number: u32::MAX,
            is_true: true,
            user: UserHash::new(&[0xa5; 32]),
            absent: None,
        }
    }

    #[test]
    fn line_is_one_json_object() {
        let line = json_line(&every(EVERY_CHARACTER, &EVERY_CHARACTER), Some("ray"), Some("v1"));
        assert!(!line.contains(['\n', '\r']), "{line}");
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        let expected = json!({
            "event": "every", "request": "ray", "version": "v1", "text": EVERY_CHARACTER,
            "cause": EVERY_CHARACTER, "number": u32::MAX, "is_true": true,
            "user": "a5a5a5a5a5a5a5a5",
        });
        assert_eq!(read, expected);
    }

    #[test]
    fn line_lacks_what_is_unknown() {
        let event = HostEvent::Misconfigured { cause: Cause(&"KV is missing") };
        let line = json_line(&event, None, None);
        assert_eq!(line, r#"{"event":"misconfigured","cause":"KV is missing"}"#);
    }

    #[test]
    fn data_point_keeps_the_place_of_each_field() {
        let point = data_point(&every("a \"quote\"", &"a cause"), Some("v1"));
        let read: serde_json::Value = serde_json::from_str(&point).unwrap();
        let expected = json!({
            "indexes": ["every"],
            "blobs": ["every", "v1", "a \"quote\"", "a5a5a5a5a5a5a5a5"],
            "doubles": [u32::MAX, 1, 0],
        });
        assert_eq!(read, expected);
        let event = HostEvent::Misconfigured { cause: Cause(&"") };
        let expected = r#"{"indexes":["misconfigured"],"blobs":["misconfigured",""],"doubles":[]}"#;
        assert_eq!(data_point(&event, None), expected);
    }

    #[test]
    fn table_describes_each_field() {
        let [every] = TestEvent::TABLE else { panic!("{:?}", TestEvent::TABLE) };
        let fields: Vec<_> = every.fields.iter().map(|field| (field.name, field.kind)).collect();
        assert_eq!(fields[4..], [("user", "user"), ("absent", "number")]);
        assert_eq!(every.about, [" Every type of field."]);
    }
}
