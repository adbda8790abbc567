//! Workers KV behind [`KvNamespace`].
//! <https://developers.cloudflare.com/kv/api/>
//!
//! The binding is called directly, with options and lists as JSON text: a page of 1,000 keys crosses from
//! JavaScript in one string, where `worker::KvStore` reads every member of every key by itself.

use async_trait::async_trait;
use serde::Serialize;
use wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen};
use worker::{
    Env,
    js_sys::{self, JSON, Promise, Reflect},
    send::{SendFuture, SendWrapper},
    wasm_bindgen_futures::JsFuture,
};

use crate::{
    KvError, KvListing, KvNamespace, KvOperation, KvPut,
    kv::{
        kind_of_message,
        rules::{check_list_limit, check_ttl, refused},
    },
};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(typescript_type = "KVNamespace")]
    type Namespace;

    #[wasm_bindgen(method, catch)]
    fn get(this: &Namespace, key: &str) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch, js_name = "get")]
    fn get_many(this: &Namespace, keys: &JsValue) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn put(this: &Namespace, key: &str, value: &str, options: &JsValue)
    -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn delete(this: &Namespace, key: &str) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn list(this: &Namespace, options: &JsValue) -> Result<Promise, JsValue>;
}

#[wasm_bindgen(module = "/src/workers/host.js")]
extern "C" {
    #[wasm_bindgen(catch, js_name = jsonBytes)]
    fn json_bytes(value: &JsValue) -> Result<Vec<u8>, JsValue>;
}

/// A KV binding.
pub struct WorkersKv(SendWrapper<Namespace>);

#[derive(Serialize)]
struct ListOptions<'a> {
    prefix: &'a str,
    limit: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<&'a str>,
}

impl WorkersKv {
    /// The namespace that is bound to `binding`, if one is.
    pub fn bound(env: &Env, binding: &str) -> Option<Self> {
        let namespace = Reflect::get(env, &JsValue::from_str(binding)).ok()?;
        namespace.is_object().then(|| Self(SendWrapper::new(namespace.unchecked_into())))
    }
}

/// Types a failure by the runtime's message.
fn failed(operation: KvOperation) -> impl Fn(JsValue) -> KvError {
    move |error| {
        let message = error.dyn_ref::<js_sys::Error>().map(|error| String::from(error.message()));
        let message = message.unwrap_or_default();
        KvError::new(operation, kind_of_message(&message), message)
    }
}

/// The result of a call of KV's API.
async fn outcome(
    operation: KvOperation,
    call: Result<Promise, JsValue>,
) -> Result<JsValue, KvError> {
    JsFuture::from(call.map_err(failed(operation))?).await.map_err(failed(operation))
}

fn to_js(operation: KvOperation, argument: &impl Serialize) -> Result<JsValue, KvError> {
    // Neither fails: `serde_json` writes JSON. The engine's message would contain the argument.
    let text = serde_json::to_string(argument).ok();
    let value = text.and_then(|text| JSON::parse(&text).ok());
    value.ok_or_else(|| refused(operation, "an argument that is not JSON"))
}

/// Options of a `put` as the runtime expects them.
fn put_options(options: KvPut<'_>) -> Result<JsValue, KvError> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Members {
        #[serde(skip_serializing_if = "Option::is_none")]
        expiration_ttl: Option<u64>,
    }

    options.expiration_ttl_secs.map_or(Ok(()), check_ttl)?;
    let members =
        to_js(KvOperation::Put, &Members { expiration_ttl: options.expiration_ttl_secs })?;
    if let Some(metadata) = options.metadata {
        // Parsed by itself: text that is not one JSON value cannot add options.
        let metadata = JSON::parse(metadata)
            .map_err(|_| refused(KvOperation::Put, "the metadata is not JSON"))?;
        Reflect::set(&members, &"metadata".into(), &metadata).map_err(failed(KvOperation::Put))?;
    }
    Ok(members)
}

#[async_trait]
impl KvNamespace for WorkersKv {
    async fn get(&self, key: &str) -> Result<Option<String>, KvError> {
        let value = SendFuture::new(outcome(KvOperation::Get, self.0.get(key))).await?;
        Ok(value.as_string())
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<String>>, KvError> {
        SendFuture::new(async {
            let operation = KvOperation::Get;
            // A `Map` from the keys to the values.
            let map = outcome(operation, self.0.get_many(&to_js(operation, &keys)?)).await?;
            let map: js_sys::Map = map.unchecked_into();
            let mut values = Vec::with_capacity(keys.len());
            for key in keys {
                let name = JsValue::from_str(key);
                // The map has an entry for every key, unless the runtime lost it: it makes the map of a
                // JavaScript object and leaves out names that are array indices.
                let value = if map.has(&name) {
                    map.get(&name)
                } else {
                    outcome(operation, self.0.get(key)).await?
                };
                values.push(value.as_string());
            }
            Ok(values)
        })
        .await
    }

    async fn put(&self, key: &str, value: &str, options: KvPut<'_>) -> Result<(), KvError> {
        SendFuture::new(async {
            let options = put_options(options)?;
            outcome(KvOperation::Put, self.0.put(key, value, &options)).await.map(drop)
        })
        .await
    }

    async fn delete(&self, key: &str) -> Result<(), KvError> {
        SendFuture::new(outcome(KvOperation::Delete, self.0.delete(key))).await.map(drop)
    }

    async fn list(
        &self,
        prefix: &str,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<KvListing, KvError> {
        SendFuture::new(async {
            let operation = KvOperation::List;
            check_list_limit(limit)?;
            let options = to_js(operation, &ListOptions { prefix, limit, cursor })?;
            let response = outcome(operation, self.0.list(&options)).await?;
            Ok(KvListing::from_json(json_bytes(&response).map_err(failed(operation))?))
        })
        .await
    }
}
