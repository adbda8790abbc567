//! The response of `list`.

use std::borrow::Cow;

use serde::Deserialize;

use super::{KvError, KvErrorKind, KvOperation};

/// A response of `list` as KV's own JSON. [`Self::page`] parses it once, into the caller's type of metadata.
#[derive(Debug, Clone)]
pub struct KvListing(Vec<u8>);

/// One page of keys, with metadata of type `M`.
#[derive(Debug, Clone, Deserialize)]
#[serde(bound = "M: Deserialize<'de>")]
pub struct KvPage<'a, M> {
    /// The keys in order, each with its metadata.
    #[serde(borrow)]
    pub keys: Vec<KvKey<'a, M>>,
    list_complete: bool,
    cursor: Option<String>,
}

/// A key and its metadata.
#[derive(Debug, Clone, Deserialize)]
#[serde(bound = "M: Deserialize<'de>")]
pub struct KvKey<'a, M> {
    /// The whole key, prefix included.
    #[serde(borrow)]
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

    /// The page.
    ///
    /// # Errors
    ///
    /// [`KvErrorKind::MalformedResponse`] when the response is not as documented, or some metadata is not an `M`.
    pub fn page<'a, M: Deserialize<'a>>(&'a self) -> Result<KvPage<'a, M>, KvError> {
        serde_json::from_slice(&self.0).map_err(|_| {
            let reason = "a response that is not as documented";
            KvError::new(KvOperation::List, KvErrorKind::MalformedResponse, reason)
        })
    }
}

impl<M> KvPage<'_, M> {
    /// The cursor of the next page; `None` on the last page.
    #[must_use]
    pub fn next_cursor(&self) -> Option<&str> {
        self.cursor.as_deref().filter(|_| !self.list_complete)
    }
}
