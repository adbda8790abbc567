//! Writes JSON.

use std::fmt;

use serde::{
    Serialize, Serializer,
    ser::{
        Error, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
        SerializeTupleStruct, SerializeTupleVariant,
    },
};

use crate::scan::{ONES, bytes_below, bytes_equal, position_in};

/// Writes JSON: the empty text for a map whose keys are not strings, and for bytes.
#[must_use]
pub fn write(value: &(impl Serialize + ?Sized)) -> String {
    let mut json = Vec::with_capacity(128);
    write_to(&mut json, value);
    // Serializers get texts, and what is between them is ASCII.
    String::from_utf8(json).unwrap_or_default()
}

/// Adds what [`write()`] writes to `json`.
pub fn write_to(json: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    let start = json.len();
    if value.serialize(&mut Writer(&mut *json)).is_err() {
        json.truncate(start);
    }
}

/// JSON cannot have the value.
#[derive(Debug)]
struct Unwritable;

impl fmt::Display for Unwritable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("not a value of JSON")
    }
}

impl std::error::Error for Unwritable {}

impl Error for Unwritable {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

/// How serde_json's numbers call themselves where they keep the digits of their text (`arbitrary_precision`): a struct
/// with one member, the text.
const NUMBER: &str = "$serde_json::private::Number";

struct Writer<'a>(&'a mut Vec<u8>);

impl Writer<'_> {
    fn push(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    fn string(&mut self, text: &str) {
        let mut rest = text.as_bytes();
        self.0.reserve(rest.len() + 2);
        self.0.push(b'"');
        while let Some(at) = first_to_escape(rest) {
            let (plain, others) = rest.split_at(at);
            self.0.extend_from_slice(plain);
            let Some((byte, others)) = others.split_first() else { break };
            self.escape(*byte);
            rest = others;
        }
        self.0.extend_from_slice(rest);
        self.0.push(b'"');
    }

    /// RFC 8259, section 7.
    fn escape(&mut self, byte: u8) {
        const HEX_DIGITS: [u8; 16] = *b"0123456789abcdef";
        let short = match byte {
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x08 => b'b',
            0x0c => b'f',
            b'"' | b'\\' => byte,
            _ => {
                let [high, low] =
                    [byte >> 4, byte & 15].map(|digit| HEX_DIGITS[usize::from(digit)]);
                self.0.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
                return;
            }
        };
        self.0.extend_from_slice(&[b'\\', short]);
    }

    /// JSON has no infinity, and nothing that is not a number.
    fn fraction(&mut self, is_finite: bool, value: impl fmt::Debug) -> Result<(), Unwritable> {
        self.push(&if is_finite { format!("{value:?}") } else { "null".to_owned() });
        Ok(())
    }

    /// The name of a member, or of a variant with content.
    fn name(&mut self, name: &'static str) {
        // Names in code need no escapes.
        debug_assert!(first_to_escape(name.as_bytes()).is_none(), "{name}");
        self.0.push(b'"');
        self.push(name);
        self.0.extend(*b"\":");
    }
}

/// Where the first byte is that a string of JSON cannot have as it is, with a look at eight bytes at a time.
#[must_use]
pub fn first_to_escape(text: &[u8]) -> Option<usize> {
    // With its second bit flipped, the quote is 32, the first after the control characters, which stay below.
    let find = |bytes| bytes_below(bytes ^ (ONES * 2), 33) | bytes_equal(bytes, b'\\');
    position_in(text, find, |byte| byte < b' ' || matches!(byte, b'"' | b'\\'))
}

/// Few types are formatted: each is code of its own.
macro_rules! writes_integers {
    ($($method:ident: $type:ty as $wider:ty),*) => {
        $(fn $method(self, value: $type) -> Result<(), Unwritable> {
            self.push(itoa::Buffer::new().format(<$wider>::from(value)));
            Ok(())
        })*
    };
}

impl<'a, 'b> Serializer for &'a mut Writer<'b> {
    type Ok = ();
    type Error = Unwritable;
    type SerializeSeq = Items<'a, 'b>;
    type SerializeTuple = Items<'a, 'b>;
    type SerializeTupleStruct = Items<'a, 'b>;
    type SerializeTupleVariant = Items<'a, 'b>;
    type SerializeMap = Items<'a, 'b>;
    type SerializeStruct = Items<'a, 'b>;
    type SerializeStructVariant = Items<'a, 'b>;

    fn serialize_bool(self, value: bool) -> Result<(), Unwritable> {
        self.push(if value { "true" } else { "false" });
        Ok(())
    }

    writes_integers!(
        serialize_i8: i8 as i64,
        serialize_i16: i16 as i64,
        serialize_i32: i32 as i64,
        serialize_i64: i64 as i64,
        serialize_i128: i128 as i128,
        serialize_u8: u8 as i64,
        serialize_u16: u16 as i64,
        serialize_u32: u32 as i64,
        serialize_u64: u64 as u64,
        serialize_u128: u128 as u128
    );

    fn serialize_f32(self, value: f32) -> Result<(), Unwritable> {
        self.fraction(value.is_finite(), value)
    }

    fn serialize_f64(self, value: f64) -> Result<(), Unwritable> {
        self.fraction(value.is_finite(), value)
    }

    fn serialize_char(self, value: char) -> Result<(), Unwritable> {
        self.string(value.encode_utf8(&mut [0; 4]));
        Ok(())
    }

    fn serialize_str(self, text: &str) -> Result<(), Unwritable> {
        self.string(text);
        Ok(())
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<(), Unwritable> {
        Err(Unwritable)
    }

    fn serialize_none(self) -> Result<(), Unwritable> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Unwritable> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Unwritable> {
        self.push("null");
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Unwritable> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), Unwritable> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Unwritable> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Unwritable> {
        self.push("{");
        self.name(variant);
        value.serialize(&mut *self)?;
        self.push("}");
        Ok(())
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Items<'a, 'b>, Unwritable> {
        Ok(self.items("[", "]"))
    }

    fn serialize_tuple(self, _: usize) -> Result<Items<'a, 'b>, Unwritable> {
        Ok(self.items("[", "]"))
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Items<'a, 'b>, Unwritable> {
        Ok(self.items("[", "]"))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Items<'a, 'b>, Unwritable> {
        self.push("{");
        self.name(variant);
        Ok(self.items("[", "]}"))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Items<'a, 'b>, Unwritable> {
        Ok(self.items("{", "}"))
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Items<'a, 'b>, Unwritable> {
        Ok(if name == NUMBER { self.items("", "") } else { self.items("{", "}") })
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Items<'a, 'b>, Unwritable> {
        self.push("{");
        self.name(variant);
        Ok(self.items("{", "}}"))
    }
}

/// The elements of an array, or the members of an object.
struct Items<'a, 'b> {
    writer: &'a mut Writer<'b>,
    is_first: bool,
    end: &'static str,
}

impl<'a, 'b> Writer<'b> {
    fn items(&'a mut self, begin: &str, end: &'static str) -> Items<'a, 'b> {
        self.push(begin);
        Items { writer: self, is_first: true, end }
    }
}

impl Items<'_, '_> {
    fn separate(&mut self) {
        if !std::mem::replace(&mut self.is_first, false) {
            self.writer.push(",");
        }
    }

    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unwritable> {
        self.separate();
        value.serialize(&mut *self.writer)
    }

    fn member<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Unwritable> {
        // Of what has members, only a number has no end.
        if self.end.is_empty() {
            return self.number(value);
        }
        self.separate();
        self.writer.name(name);
        value.serialize(&mut *self.writer)
    }

    /// Writes the text of a number without its quotes.
    fn number<T: Serialize + ?Sized>(&mut self, text: &T) -> Result<(), Unwritable> {
        let start = self.writer.0.len();
        text.serialize(&mut *self.writer)?;
        self.writer.0.remove(start);
        self.writer.0.pop();
        Ok(())
    }

    fn finish(self) -> Result<(), Unwritable> {
        self.writer.push(self.end);
        Ok(())
    }
}

macro_rules! writes_elements {
    ($($of:ident by $method:ident),*) => {
        $(impl $of for Items<'_, '_> {
            type Ok = ();
            type Error = Unwritable;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unwritable> {
                self.element(value)
            }

            fn end(self) -> Result<(), Unwritable> {
                self.finish()
            }
        })*
    };
}

writes_elements!(
    SerializeSeq by serialize_element,
    SerializeTuple by serialize_element,
    SerializeTupleStruct by serialize_field,
    SerializeTupleVariant by serialize_field
);

macro_rules! writes_members {
    ($($of:ident),*) => {
        $(impl $of for Items<'_, '_> {
            type Ok = ();
            type Error = Unwritable;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), Unwritable> {
                self.member(name, value)
            }

            fn end(self) -> Result<(), Unwritable> {
                self.finish()
            }
        })*
    };
}

writes_members!(SerializeStruct, SerializeStructVariant);

impl SerializeMap for Items<'_, '_> {
    type Ok = ();
    type Error = Unwritable;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Unwritable> {
        self.separate();
        let start = self.writer.0.len();
        key.serialize(&mut *self.writer)?;
        if self.writer.0.get(start) != Some(&b'"') {
            return Err(Unwritable);
        }
        self.writer.push(":");
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unwritable> {
        value.serialize(&mut *self.writer)
    }

    fn end(self) -> Result<(), Unwritable> {
        self.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_to_escape_is_found_at_each_place() {
        // The others are next to those that are escaped, and past ASCII.
        for others in *b" !#[]\x7f\x80\xff" {
            for byte in 0..=u8::MAX {
                for place in 0..20 {
                    let mut text = [others; 20];
                    text[place] = byte;
                    let is_escaped = byte < b' ' || matches!(byte, b'"' | b'\\');
                    let found = first_to_escape(&text);
                    assert_eq!(found, is_escaped.then_some(place), "{byte} at {place}, {others}");
                }
            }
        }
    }
}
