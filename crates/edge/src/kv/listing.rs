//! The response of `list`.

use std::borrow::Cow;

use serde::Deserialize;

use super::KvError;

/// What `list` answers, as KV's own JSON: it is read once, by who knows what the metadata is.
#[derive(Debug, Clone)]
pub struct KvListing(Vec<u8>);

/// One page of keys, whose metadata is `M`.
#[derive(Debug, Clone, Deserialize)]
#[serde(bound = "M: Deserialize<'de>")]
pub struct KvPage<'a, M> {
    /// The keys in order, each with its metadata.
    #[serde(borrow)]
    pub keys: Vec<KvKey<'a, M>>,
    list_complete: bool,
    cursor: Option<String>,
}

/// A key and what `list` tells of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(bound = "M: Deserialize<'de>")]
pub struct KvKey<'a, M> {
    /// The whole key, prefix included.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// The metadata it was written with.
    pub metadata: Option<M>,
}

impl KvListing {
    /// An answer of KV's: `{"keys": [{"name", "metadata"}], "list_complete", "cursor"}`.
    #[must_use]
    pub fn from_json(json: Vec<u8>) -> Self {
        Self(json)
    }

    /// The page.
    ///
    /// # Errors
    ///
    /// [`KvError`] when the answer is not as documented, or some metadata is no `M`.
    pub fn page<'a, M: Deserialize<'a>>(&'a self) -> Result<KvPage<'a, M>, KvError> {
        serde_json::from_slice(&self.0).map_err(|_| KvError {
            operation: "list",
            reason: "an answer that is not as documented".to_owned(),
        })
    }
}

impl<M> KvPage<'_, M> {
    /// Where the next page begins; `None` on the last.
    #[must_use]
    pub fn next_cursor(&self) -> Option<&str> {
        self.cursor.as_deref().filter(|_| !self.list_complete)
    }
}
