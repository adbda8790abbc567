//! Reads JSON.

use std::{borrow::Cow, fmt, marker::PhantomData, ops::Range, str::FromStr};

use serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeSeed, EnumAccess, Error, Expected, IgnoredAny, MapAccess, SeqAccess, Unexpected,
        VariantAccess, Visitor,
    },
};

use super::write::first_to_escape;

/// The text is not JSON, or not of the type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the JSON is malformed")]
pub struct Malformed;

/// Reads JSON.
///
/// # Errors
///
/// [`Malformed`] for a text that is not JSON or not of the type, or that has a member of a struct twice.
pub fn read<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, Malformed> {
    read_with(PhantomData, text)
}

/// Reads JSON by a seed.
///
/// # Errors
///
/// As [`read`].
pub fn read_with<'de, S: DeserializeSeed<'de>>(
    seed: S,
    text: &'de str,
) -> Result<S::Value, Malformed> {
    let mut reader = Reader { text, at: 0, is_in_any: false };
    let value = seed.deserialize(&mut reader)?;
    match reader.peek() {
        None => Ok(value),
        Some(_) => Err(Malformed),
    }
}

/// Reads JSON in UTF-8.
///
/// # Errors
///
/// As [`read`].
pub fn read_bytes<'de, T: Deserialize<'de>>(text: &'de [u8]) -> Result<T, Malformed> {
    read(std::str::from_utf8(text).map_err(|_| Malformed)?)
}

/// Where the quote is that ends a string, whose first quote is before this text, and whether the string has escapes;
/// `None` where a control character comes first. Escapes are not checked further.
#[must_use]
#[inline]
pub fn string_end(text: &[u8]) -> Option<(usize, bool)> {
    let (mut end, mut has_escapes) = (0, false);
    loop {
        let rest = text.get(end..)?;
        let plain = first_to_escape(rest)?;
        match rest.get(plain..)? {
            [b'"', ..] => return Some((end + plain, has_escapes)),
            [b'\\', escaped, ..] if *escaped >= b' ' => {
                has_escapes = true;
                end += plain + 2;
            }
            _ => return None,
        }
    }
}

impl Error for Malformed {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }

    fn invalid_type(_: Unexpected<'_>, _: &dyn Expected) -> Self {
        Self
    }

    fn invalid_value(_: Unexpected<'_>, _: &dyn Expected) -> Self {
        Self
    }

    fn invalid_length(_: usize, _: &dyn Expected) -> Self {
        Self
    }

    fn unknown_variant(_: &str, _: &'static [&'static str]) -> Self {
        Self
    }

    fn unknown_field(_: &str, _: &'static [&'static str]) -> Self {
        Self
    }

    fn missing_field(_: &'static str) -> Self {
        Self
    }

    fn duplicate_field(_: &'static str) -> Self {
        Self
    }
}

/// A position in a text. Its inherent methods are not generic over the type to read, so they are compiled once.
struct Reader<'de> {
    text: &'de str,
    at: usize,
    /// Whether it reads an object of any type: another one in it could nest without an end.
    is_in_any: bool,
}

impl<'de> Reader<'de> {
    /// The next byte after white space, which stays unread.
    fn peek(&mut self) -> Option<u8> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let is_space = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        let space = rest.iter().take_while(is_space).count();
        self.at += space;
        rest.get(space).copied()
    }

    fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.peek() != Some(byte) {
            return Err(Malformed);
        }
        self.at += 1;
        Ok(())
    }

    fn slice(&self, range: Range<usize>) -> Result<&'de str, Malformed> {
        self.text.get(range).ok_or(Malformed)
    }

    fn string(&mut self) -> Result<Cow<'de, str>, Malformed> {
        self.expect(b'"')?;
        let start = self.at;
        let rest = self.text.as_bytes().get(start..).ok_or(Malformed)?;
        let (length, has_escapes) = string_end(rest).ok_or(Malformed)?;
        let end = start + length;
        self.at = end + 1;
        if has_escapes {
            let quoted = self.slice(start - 1..self.at)?;
            serde_json::from_slice(quoted.as_bytes()).map(Cow::Owned).map_err(|_| Malformed)
        } else {
            self.slice(start..end).map(Cow::Borrowed)
        }
    }

    /// Reads a number, `true`, `false` or `null`.
    fn word(&mut self) -> Result<&'de str, Malformed> {
        self.peek();
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let length = rest
            .iter()
            .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
            .count();
        let start = self.at;
        self.at += length;
        self.slice(start..self.at)
    }

    fn integer<T: FromStr>(&mut self) -> Result<T, Malformed> {
        let word = self.word()?;
        let digits = word.strip_prefix('-').unwrap_or(word);
        // JSON has no `+` and no leading zeros. serde_json takes `-0` for a fraction.
        if digits.starts_with('+') || (digits.starts_with('0') && word != "0") {
            return Err(Malformed);
        }
        word.parse().map_err(|_| Malformed)
    }

    fn boolean(&mut self) -> Result<bool, Malformed> {
        match self.word()? {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(Malformed),
        }
    }

    fn null(&mut self) -> Result<(), Malformed> {
        if self.word()? == "null" { Ok(()) } else { Err(Malformed) }
    }

    /// Reads a value of any type and depth.
    fn skip(&mut self) -> Result<(), Malformed> {
        self.peek();
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<IgnoredAny>();
        let Some(Ok(IgnoredAny)) = values.next() else { return Err(Malformed) };
        self.at += values.byte_offset();
        Ok(())
    }
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Malformed;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        match self.peek() {
            Some(b'"') => self.deserialize_str(visitor),
            Some(b'{') if !self.is_in_any => {
                self.is_in_any = true;
                let object = self.deserialize_map(visitor)?;
                self.is_in_any = false;
                Ok(object)
            }
            _ => Err(Malformed),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        visitor.visit_bool(self.boolean()?)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        visitor.visit_i64(self.integer()?)
    }

    fn deserialize_i8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        self.deserialize_i64(visitor)
    }

    fn deserialize_i16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        self.deserialize_i64(visitor)
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        self.deserialize_i64(visitor)
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        self.deserialize_i64(visitor)
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        self.deserialize_i64(visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        self.deserialize_i64(visitor)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        visitor.visit_u64(self.integer()?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        match self.string()? {
            Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
            Cow::Owned(text) => visitor.visit_string(text),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        visitor.visit_str(&self.string()?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        if self.peek() == Some(b'n') {
            self.null()?;
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        self.null()?;
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Malformed> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        self.expect(b'[')?;
        let mut list = List { reader: self, end: b']', is_first: true, is_over: false };
        let value = visitor.visit_seq(&mut list)?;
        list.finish()?;
        Ok(value)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        self.expect(b'{')?;
        let mut list = List { reader: self, end: b'}', is_first: true, is_over: false };
        let value = visitor.visit_map(&mut list)?;
        list.finish()?;
        Ok(value)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Malformed> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Malformed> {
        if self.peek() == Some(b'{') {
            self.at += 1;
            let value = visitor.visit_enum(Variant { reader: self, has_content: true })?;
            self.expect(b'}')?;
            Ok(value)
        } else {
            visitor.visit_enum(Variant { reader: self, has_content: false })
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        self.skip()?;
        visitor.visit_unit()
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Malformed> {
        self.deserialize_seq(visitor)
    }

    serde::forward_to_deserialize_any! {
        i128 u128 f32 f64 char bytes byte_buf unit_struct tuple_struct
    }
}

/// The members of an object, or the elements of an array.
struct List<'a, 'de> {
    reader: &'a mut Reader<'de>,
    end: u8,
    is_first: bool,
    is_over: bool,
}

impl List<'_, '_> {
    /// Reads the end, unless [`advance`](Self::advance) has read it.
    fn finish(&mut self) -> Result<(), Malformed> {
        if self.is_over { Ok(()) } else { self.reader.expect(self.end) }
    }

    /// Whether another element follows. After the last element, it reads the end.
    fn advance(&mut self) -> Result<bool, Malformed> {
        if self.is_over {
            return Ok(false);
        }
        let next = self.reader.peek();
        let is_first = std::mem::replace(&mut self.is_first, false);
        self.is_over = next == Some(self.end);
        if self.is_over || !is_first && next == Some(b',') {
            self.reader.at += 1;
        } else if !is_first {
            return Err(Malformed);
        }
        Ok(!self.is_over)
    }
}

impl<'de> MapAccess<'de> for &mut List<'_, 'de> {
    type Error = Malformed;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Malformed> {
        if !self.advance()? {
            return Ok(None);
        }
        // The seed of another type than a string would read a key without quotes.
        if self.reader.peek() != Some(b'"') {
            return Err(Malformed);
        }
        seed.deserialize(&mut *self.reader).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Malformed> {
        self.reader.expect(b':')?;
        seed.deserialize(&mut *self.reader)
    }
}

impl<'de> SeqAccess<'de> for &mut List<'_, 'de> {
    type Error = Malformed;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Malformed> {
        if self.advance()? { seed.deserialize(&mut *self.reader).map(Some) } else { Ok(None) }
    }
}

/// A variant: its name, or an object with its name and its content.
struct Variant<'a, 'de> {
    reader: &'a mut Reader<'de>,
    has_content: bool,
}

impl<'de> EnumAccess<'de> for Variant<'_, 'de> {
    type Error = Malformed;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Malformed> {
        let value = seed.deserialize(&mut *self.reader)?;
        if self.has_content {
            self.reader.expect(b':')?;
        }
        Ok((value, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, 'de> {
    type Error = Malformed;

    fn unit_variant(self) -> Result<(), Malformed> {
        if self.has_content { self.reader.null() } else { Ok(()) }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Malformed> {
        if self.has_content { seed.deserialize(self.reader) } else { Err(Malformed) }
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Malformed> {
        Err(Malformed)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Malformed> {
        if self.has_content { self.reader.deserialize_map(visitor) } else { Err(Malformed) }
    }
}
