//! Writes the JSON of responses. axum's `Json` enables serde_json's `raw_value`, which this crate must
//! not use: see `Cargo.toml`.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header};
use serde::Serialize;
use serde_json::Value;

/// An object with these members. `json!` compiles the insertion of each one.
#[must_use]
pub(crate) fn object(members: Vec<(&'static str, Value)>) -> Value {
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The JSON body of a response: a struct, which always has JSON.
#[derive(Debug, Clone, Copy)]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        JsonText(edge_host::json::write(&self.0)).into_response()
    }
}

/// The body of a response that is JSON already.
#[derive(Debug, Clone)]
pub struct JsonText<T>(pub T);

impl<T: Into<Body>> IntoResponse for JsonText<T> {
    fn into_response(self) -> Response {
        let mut response = Response::new(self.0.into());
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response
    }
}

/// A JSON object that is written member by member, so that JSON in it is copied.
#[derive(Debug, Clone)]
pub struct ObjectText(Vec<u8>);

impl ObjectText {
    /// An object without members, with room for so many bytes.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        let mut json = Vec::with_capacity(bytes);
        json.push(b'{');
        Self(json)
    }

    /// The length so far, in bytes.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        self.0.len()
    }

    /// Adds a member whose value is JSON already.
    #[must_use]
    pub fn json(mut self, name: &'static str, value: impl AsRef<[u8]>) -> Self {
        self.name(name);
        self.0.extend_from_slice(value.as_ref());
        self
    }

    /// Adds a member.
    #[must_use]
    pub fn member(mut self, name: &'static str, value: &(impl Serialize + ?Sized)) -> Self {
        self.name(name);
        edge_host::json::write_to(&mut self.0, value);
        self
    }

    /// Adds a member that is a long text without control characters, such as JSON: in a third of the time that
    /// [`Self::member`] takes.
    #[must_use]
    pub fn text(mut self, name: &'static str, text: &str) -> Self {
        if text.bytes().any(|byte| byte < b' ') {
            return self.member(name, text);
        }
        self.name(name);
        self.0.push(b'"');
        for byte in text.bytes() {
            if matches!(byte, b'"' | b'\\') {
                self.0.push(b'\\');
            }
            self.0.push(byte);
        }
        self.0.push(b'"');
        self
    }

    /// Adds a member that is an array of objects: `members` adds those of each one.
    #[must_use]
    pub fn array<T>(
        mut self,
        name: &'static str,
        items: &[T],
        members: impl Fn(Self, &T) -> Self,
    ) -> Self {
        self.name(name);
        self.0.push(b'[');
        for (index, item) in items.iter().enumerate() {
            self.0.extend_from_slice(if index > 0 { b",{" } else { b"{" });
            self = members(self, item);
            self.0.push(b'}');
        }
        self.0.push(b']');
        self
    }

    /// The names are identifiers, which need no escapes.
    fn name(&mut self, name: &'static str) {
        if self.0.last() != Some(&b'{') {
            self.0.push(b',');
        }
        self.0.push(b'"');
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    /// The object.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.0.push(b'}');
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn array_of_objects_reads_back_unchanged() {
        let object = |items: &[i32]| {
            let member = |object: ObjectText, item: &i32| object.member("a", item).text("b", "x");
            ObjectText::with_capacity(0).array("items", items, member).json("last", "1").finish()
        };
        assert_eq!(object(&[]), br#"{"items":[],"last":1}"#);
        assert_eq!(object(&[1, 2]), br#"{"items":[{"a":1,"b":"x"},{"a":2,"b":"x"}],"last":1}"#);
    }

    #[test]
    fn text_of_an_object_reads_back_unchanged() {
        for text in ["", r#"{"a":"\"b\\"}"#, "é🧾'\u{7f}", "a\nb\u{1}", "\\", "\""] {
            let json = ObjectText::with_capacity(0).text("text", text).finish();
            let value: Value = serde_json::from_slice(&json).unwrap();
            assert_eq!(value["text"], text);
        }
    }

    #[test]
    fn object_text_has_its_members_in_order() {
        assert_eq!(ObjectText::with_capacity(0).finish(), b"{}");
        let object = ObjectText::with_capacity(9).member("a", "\"é\n").json("b", "[1.10]");
        assert_eq!(object.finish(), "{\"a\":\"\\\"é\\n\",\"b\":[1.10]}".as_bytes());
    }
}
