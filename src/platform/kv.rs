//! Workers KV behind [`KvNamespace`].

use async_trait::async_trait;
use worker::{KvStore, send::SendFuture};

use crate::runtime::{KvError, KvKey, KvNamespace, KvPage, KvPut};

/// A KV binding.
pub struct WorkersKv(KvStore);

impl WorkersKv {
    /// The namespace behind a binding.
    pub fn new(store: KvStore) -> Self {
        Self(store)
    }
}

fn failed(operation: &'static str) -> impl Fn(worker::KvError) -> KvError {
    // KV's messages are of the form "KV PUT failed: 429 Too Many Requests".
    move |error| KvError { operation, reason: error.to_string() }
}

#[async_trait]
impl KvNamespace for WorkersKv {
    async fn get(&self, key: &str) -> Result<Option<String>, KvError> {
        SendFuture::new(self.0.get(key).text()).await.map_err(failed("get"))
    }

    async fn put(&self, key: &str, value: &str, options: KvPut) -> Result<(), KvError> {
        let mut put = self.0.put(key, value).map_err(failed("put"))?;
        if let Some(metadata) = options.metadata {
            put = put.metadata(metadata).map_err(failed("put"))?;
        }
        if let Some(secs) = options.expiration_ttl_secs {
            put = put.expiration_ttl(secs);
        }
        SendFuture::new(put.execute()).await.map_err(failed("put"))
    }

    async fn delete(&self, key: &str) -> Result<(), KvError> {
        SendFuture::new(self.0.delete(key)).await.map_err(failed("delete"))
    }

    async fn list(
        &self,
        prefix: &str,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<KvPage, KvError> {
        let mut list = self.0.list().prefix(prefix.to_owned()).limit(limit as u64);
        if let Some(cursor) = cursor {
            list = list.cursor(cursor.to_owned());
        }
        let page = SendFuture::new(list.execute()).await.map_err(failed("list"))?;
        let keys =
            page.keys.into_iter().map(|key| KvKey { name: key.name, metadata: key.metadata });
        Ok(KvPage { keys: keys.collect(), cursor: page.cursor.filter(|_| !page.list_complete) })
    }
}
