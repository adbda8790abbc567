//! Workers KV behind [`KvNamespace`].
//! <https://developers.cloudflare.com/kv/api/>
//!
//! The binding is called directly: a page of 1,000 keys crosses from JavaScript in one piece, where `worker::KvStore`
//! reads every member of every key by itself. Each operation has the time limit of [`TimedKv`](crate::TimedKv), by a
//! timer of JavaScript's.

use async_trait::async_trait;
use wasm_bindgen::{JsValue, prelude::wasm_bindgen};
use worker::send::SendWrapper;

use super::operation::{Operation, Outcome};
use crate::{
    KV_READ_MAX_MILLIS, KV_WRITE_MAX_MILLIS, KvError, KvErrorKind, KvListing, KvNamespace,
    KvOperation, KvPut, json,
    kv::{
        kind_of_message,
        rules::{check_list_limit, check_ttl, refused},
    },
};

#[wasm_bindgen(module = "/src/workers/kv.js")]
extern "C" {
    #[wasm_bindgen(js_name = kvGet)]
    fn kv_get(waiter: u32, namespace: &JsValue, key: &str, max_millis: u32);

    #[wasm_bindgen(js_name = kvGetMany)]
    fn kv_get_many(waiter: u32, namespace: &JsValue, keys: &str, max_millis: u32);

    #[wasm_bindgen(js_name = kvPut)]
    fn kv_put(
        waiter: u32,
        namespace: &JsValue,
        key: &str,
        value: &str,
        metadata: Option<&str>,
        ttl_secs: Option<f64>,
        max_millis: u32,
    );

    #[wasm_bindgen(js_name = kvDelete)]
    fn kv_delete(waiter: u32, namespace: &JsValue, key: &str, max_millis: u32);

    #[wasm_bindgen(js_name = kvList)]
    fn kv_list(
        waiter: u32,
        namespace: &JsValue,
        prefix: &str,
        limit: u32,
        cursor: Option<&str>,
        max_millis: u32,
    );
}

/// `kv.js` refuses metadata that is not JSON by this message.
const NOT_JSON: &str = "the metadata is not JSON";

/// A KV binding.
pub struct WorkersKv(SendWrapper<JsValue>);

impl WorkersKv {
    /// The namespace in this binding.
    pub fn new(namespace: JsValue) -> Self {
        Self(SendWrapper::new(namespace))
    }
}

/// The longest time for an operation.
fn max_millis(operation: KvOperation) -> u32 {
    if operation.is_write() { KV_WRITE_MAX_MILLIS } else { KV_READ_MAX_MILLIS }
}

/// The result of an operation that `start` starts with its waiter and its time limit.
async fn outcome(
    operation: KvOperation,
    start: impl FnOnce(u32, u32),
) -> Result<Option<Vec<u8>>, KvError> {
    match Operation::start(|waiter| start(waiter, max_millis(operation))).await {
        Outcome::Bytes(bytes) => Ok(Some(bytes)),
        Outcome::Nothing => Ok(None),
        Outcome::Failed(reason) if reason == NOT_JSON => Err(refused(operation, NOT_JSON)),
        // The runtime's message tells the kind.
        Outcome::Failed(reason) => Err(KvError::new(operation, kind_of_message(&reason), reason)),
        Outcome::TimedOut => Err(KvError::timed_out(operation, max_millis(operation))),
    }
}

fn malformed(operation: KvOperation) -> KvError {
    KvError::new(operation, KvErrorKind::MalformedResponse, "the response is not as documented")
}

#[async_trait]
impl KvNamespace for WorkersKv {
    fn limits_time(&self) -> bool {
        true
    }

    async fn get(&self, key: &str) -> Result<Option<String>, KvError> {
        let operation = KvOperation::Get;
        let value = outcome(operation, |waiter, max| kv_get(waiter, &self.0, key, max)).await?;
        value.map(String::from_utf8).transpose().map_err(|_| malformed(operation))
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<String>>, KvError> {
        let operation = KvOperation::Get;
        let names = json::write(keys);
        let start = |waiter, max| kv_get_many(waiter, &self.0, &names, max);
        let values = outcome(operation, start).await?.unwrap_or_default();
        let values: Vec<Option<String>> =
            json::read_bytes(&values).map_err(|_| malformed(operation))?;
        if values.len() == keys.len() { Ok(values) } else { Err(malformed(operation)) }
    }

    async fn put(&self, key: &str, value: &str, options: KvPut<'_>) -> Result<(), KvError> {
        options.expiration_ttl_secs.map_or(Ok(()), check_ttl)?;
        #[expect(clippy::cast_precision_loss, reason = "a checked time to live is exact")]
        let ttl_secs = options.expiration_ttl_secs.map(|secs| secs as f64);
        let start = |waiter, max| {
            kv_put(waiter, &self.0, key, value, options.metadata, ttl_secs, max);
        };
        outcome(KvOperation::Put, start).await.map(drop)
    }

    async fn delete(&self, key: &str) -> Result<(), KvError> {
        let start = |waiter, max| kv_delete(waiter, &self.0, key, max);
        outcome(KvOperation::Delete, start).await.map(drop)
    }

    async fn list(
        &self,
        prefix: &str,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<KvListing, KvError> {
        let operation = KvOperation::List;
        check_list_limit(limit)?;
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let start = |waiter, max| kv_list(waiter, &self.0, prefix, limit, cursor, max);
        let listing = outcome(operation, start).await?;
        listing.map(KvListing::from_json).ok_or_else(|| malformed(operation))
    }
}
