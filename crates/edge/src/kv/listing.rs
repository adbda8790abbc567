//! The response of `list`.

use std::{borrow::Cow, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::{KvError, KvErrorKind, KvOperation};
use crate::json;

/// A response of `list` as KV's own JSON. [`Self::page`] and [`Self::page_with`] parse it once, into the caller's
/// type of metadata.
#[derive(Debug, Clone)]
pub struct KvListing(Vec<u8>);

/// One page of keys, with metadata of type `M`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct KvPage<'a, M> {
    /// The keys in order, each with its metadata.
    pub keys: Vec<KvKey<'a, M>>,
    list_complete: bool,
    cursor: Option<Cow<'a, str>>,
}

/// A key and its metadata.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct KvKey<'a, M> {
    /// The whole key, prefix included.
    pub name: Cow<'a, str>,
    /// The metadata that the key was written with.
    pub metadata: Option<M>,
}

impl KvListing {
    /// KV's response: `{"keys": [{"name", "metadata"}], "list_complete", "cursor"}`.
    #[must_use]
    pub fn from_json(json: Vec<u8>) -> Self {
        Self(json)
    }

    /// The length of the response in bytes: callers reserve a buffer of this size.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        self.0.len()
    }

    /// The page, with metadata of any type.
    ///
    /// # Errors
    ///
    /// [`KvErrorKind::MalformedResponse`] when the response is not as documented, or some metadata is not an `M`.
    pub fn page<'a, M: Deserialize<'a>>(&'a self) -> Result<KvPage<'a, M>, KvError> {
        // Not `from_str`: serde_json compiles a reader of its own for it, and everything else reads bytes.
        let mut deserializer = serde_json::Deserializer::from_slice(&self.0);
        let page =
            Page(PhantomData::<M>).deserialize(&mut deserializer).map_err(|_| malformed())?;
        deserializer.end().map_err(|_| malformed())?;
        Ok(page)
    }

    /// The page, whose metadata `seed` reads by [`json::read_with`], which is less code than [`page`](Self::page). The seed
    /// is copied for each key; it may keep what it reads in a buffer of the caller, so that metadata needs no allocation
    /// of its own.
    ///
    /// # Errors
    ///
    /// [`KvErrorKind::MalformedResponse`] when the response is not as documented, or `seed` refuses some metadata.
    pub fn page_with<'a, S>(&'a self, seed: S) -> Result<KvPage<'a, S::Value>, KvError>
    where
        S: DeserializeSeed<'a> + Copy,
    {
        let text = std::str::from_utf8(&self.0).map_err(|_| malformed())?;
        json::read_with(Page(seed), text).map_err(|_| malformed())
    }
}

fn malformed() -> KvError {
    let reason = "a response that is not as documented";
    KvError::new(KvOperation::List, KvErrorKind::MalformedResponse, reason)
}

impl<'a, M> KvPage<'a, M> {
    /// The page with other metadata.
    pub fn map<N>(self, mut change: impl FnMut(M) -> N) -> KvPage<'a, N> {
        let Self { keys, list_complete, cursor } = self;
        let change = |KvKey { name, metadata }| KvKey { name, metadata: metadata.map(&mut change) };
        KvPage { keys: keys.into_iter().map(change).collect(), list_complete, cursor }
    }

    /// The cursor of the next page; `None` on the last page.
    #[must_use]
    pub fn next_cursor(&self) -> Option<&str> {
        self.cursor.as_deref().filter(|_| !self.list_complete)
    }
}

#[derive(Clone, Copy)]
struct Page<S>(S);

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum PageMember {
    Keys,
    ListComplete,
    Cursor,
    #[serde(other)]
    Other,
}

impl<'de, S: DeserializeSeed<'de> + Copy> DeserializeSeed<'de> for Page<S> {
    type Value = KvPage<'de, S::Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, S: DeserializeSeed<'de> + Copy> Visitor<'de> for Page<S> {
    type Value = KvPage<'de, S::Value>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a page of keys")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let missing = <A::Error as serde::de::Error>::missing_field;
        let (mut keys, mut list_complete, mut cursor) = (None, None, None);
        while let Some(member) = members.next_key()? {
            match member {
                PageMember::Keys => keys = Some(members.next_value_seed(Keys(self.0))?),
                PageMember::ListComplete => list_complete = Some(members.next_value()?),
                PageMember::Cursor => cursor = members.next_value::<Option<Text<'de>>>()?,
                PageMember::Other => _ = members.next_value::<IgnoredAny>()?,
            }
        }
        Ok(KvPage {
            keys: keys.ok_or_else(|| missing("keys"))?,
            list_complete: list_complete.ok_or_else(|| missing("list_complete"))?,
            cursor: cursor.map(|Text(cursor)| cursor),
        })
    }
}

/// A string, borrowed from the response unless it has escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Clone, Copy)]
struct Keys<S>(S);

impl<'de, S: DeserializeSeed<'de> + Copy> DeserializeSeed<'de> for Keys<S> {
    type Value = Vec<KvKey<'de, S::Value>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, S: DeserializeSeed<'de> + Copy> Visitor<'de> for Keys<S> {
    type Value = Vec<KvKey<'de, S::Value>>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of keys")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut keys = Vec::new();
        while let Some(key) = elements.next_element_seed(Key(self.0))? {
            keys.push(key);
        }
        Ok(keys)
    }
}

#[derive(Clone, Copy)]
struct Key<S>(S);

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum KeyMember {
    Name,
    Metadata,
    #[serde(other)]
    Other,
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Key<S> {
    type Value = KvKey<'de, S::Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, S: DeserializeSeed<'de>> Visitor<'de> for Key<S> {
    type Value = KvKey<'de, S::Value>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let error = <A::Error as serde::de::Error>::missing_field;
        let twice = <A::Error as serde::de::Error>::duplicate_field;
        let (mut name, mut metadata, mut seed) = (None, None, Some(self.0));
        while let Some(member) = members.next_key()? {
            match member {
                KeyMember::Name => name = Some(members.next_value::<Text<'de>>()?),
                KeyMember::Metadata => {
                    let seed = seed.take().ok_or_else(|| twice("metadata"))?;
                    metadata = members.next_value_seed(Present(seed))?;
                }
                KeyMember::Other => _ = members.next_value::<IgnoredAny>()?,
            }
        }
        let Text(name) = name.ok_or_else(|| error("name"))?;
        Ok(KvKey { name, metadata })
    }
}

/// Metadata that is not `null`.
struct Present<S>(S);

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Present<S> {
    type Value = Option<S::Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de, S: DeserializeSeed<'de>> Visitor<'de> for Present<S> {
    type Value = Option<S::Value>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("metadata")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        self.0.deserialize(deserializer).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn listing(json: &str) -> KvListing {
        KvListing::from_json(json.as_bytes().to_vec())
    }

    type Pages<'a, M> = [Result<KvPage<'a, M>, KvError>; 2];

    /// The page as both readers read it.
    fn pages<'a, M: Deserialize<'a>>(listing: &'a KvListing) -> Pages<'a, M> {
        [listing.page(), listing.page_with(PhantomData)]
    }

    #[test]
    fn page_has_names_metadata_and_cursor() {
        let listing = listing(
            r#"{"cursor":"c","keys":[{"name":"a","expiration":7.5,"metadata":1},{"metadata":null,"name":"\u0062"},{"name":"c"}],"list_complete":false,"cacheStatus":null}"#,
        );
        for page in pages::<u32>(&listing) {
            let page = page.unwrap();
            let keys: Vec<(&str, Option<u32>)> =
                page.keys.iter().map(|key| (&*key.name, key.metadata)).collect();
            assert_eq!(keys, [("a", Some(1)), ("b", None), ("c", None)]);
            assert_eq!(page.next_cursor(), Some("c"));
        }
        for page in pages::<&str>(&listing) {
            assert!(page.is_err(), "metadata of another type");
        }
    }

    #[test]
    fn mapped_page_has_the_same_keys() {
        let listing = listing(
            r#"{"keys":[{"name":"a","metadata":1},{"name":"b"}],"list_complete":false,"cursor":"c"}"#,
        );
        let page = listing.page::<u32>().unwrap().map(|number| number.to_string());
        let keys: Vec<_> =
            page.keys.iter().map(|key| (&*key.name, key.metadata.as_deref())).collect();
        assert_eq!(keys, [("a", Some("1")), ("b", None)]);
        assert_eq!(page.next_cursor(), Some("c"));
    }

    #[test]
    fn cursor_of_the_last_page_is_ignored() {
        for json in [
            r#"{"keys":[],"list_complete":true,"cursor":"c"}"#,
            r#"{"keys":[],"list_complete":true,"cursor":null}"#,
            r#"{"keys":[],"list_complete":true}"#,
        ] {
            for page in pages::<u32>(&listing(json)) {
                assert_eq!(page.unwrap().next_cursor(), None, "{json}");
            }
        }
    }

    #[test]
    fn undocumented_response_is_malformed() {
        for json in [
            "",
            "{}",
            "[]",
            r#"{"keys":[]}"#,
            r#"{"list_complete":true}"#,
            r#"{"keys":[{}],"list_complete":true}"#,
            r#"{"keys":[{"name":1}],"list_complete":true}"#,
            r#"{"keys":[{"name":"a","metadata":1,"metadata":1}],"list_complete":true}"#,
            r#"{"keys":[],"list_complete":true}x"#,
        ] {
            for page in pages::<u32>(&listing(json)) {
                assert_eq!(page.unwrap_err().kind, KvErrorKind::MalformedResponse, "{json}");
            }
        }
        for page in pages::<u32>(&KvListing::from_json(b"\"\xff\"".to_vec())) {
            assert_eq!(page.unwrap_err().kind, KvErrorKind::MalformedResponse);
        }
    }

    #[test]
    fn seed_keeps_metadata_in_a_buffer() {
        #[derive(Clone, Copy)]
        struct Append<'b>(&'b RefCell<String>);

        impl<'de> DeserializeSeed<'de> for Append<'_> {
            type Value = usize;

            fn deserialize<D: Deserializer<'de>>(self, text: D) -> Result<usize, D::Error> {
                text.deserialize_str(self)
            }
        }

        impl Visitor<'_> for Append<'_> {
            type Value = usize;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a text")
            }

            fn visit_str<E>(self, text: &str) -> Result<usize, E> {
                self.0.borrow_mut().push_str(text);
                Ok(self.0.borrow().len())
            }
        }

        let buffer = RefCell::new(String::new());
        let listing = listing(
            r#"{"keys":[{"name":"a","metadata":"x\n"},{"name":"b","metadata":"y"}],"list_complete":true}"#,
        );
        let page = listing.page_with(Append(&buffer)).unwrap();
        let ends: Vec<usize> = page.keys.iter().filter_map(|key| key.metadata).collect();
        assert_eq!((ends.as_slice(), buffer.borrow().as_str()), (&[2, 3][..], "x\ny"));
    }
}
