//! Workers KV behind [`KvNamespace`].
//! <https://developers.cloudflare.com/kv/api/>
//!
//! Spoken to directly, with options and lists as JSON text: a page of 1,000 keys crosses from
//! JavaScript in one string, where `worker::KvStore` takes every member of every key by itself.

use async_trait::async_trait;
use serde::Serialize;
use wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen};
use worker::{
    Env,
    js_sys::{self, JSON, Promise, Reflect},
    send::{SendFuture, SendWrapper},
    wasm_bindgen_futures::JsFuture,
};

use crate::{KvError, KvListing, KvNamespace, KvPut};

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

/// KV's messages are of the form "KV PUT failed: 429 Too Many Requests".
fn failed(operation: &'static str) -> impl Fn(JsValue) -> KvError {
    move |error| {
        let message = error.dyn_ref::<js_sys::Error>().map(|error| error.message().into());
        KvError { operation, reason: message.unwrap_or_default() }
    }
}

/// What a call of KV's API comes to.
async fn outcome(
    operation: &'static str,
    call: Result<Promise, JsValue>,
) -> Result<JsValue, KvError> {
    JsFuture::from(call.map_err(failed(operation))?).await.map_err(failed(operation))
}

fn to_js(operation: &'static str, options: &impl Serialize) -> Result<JsValue, KvError> {
    let text = serde_json::to_string(options)
        .map_err(|error| KvError { operation, reason: error.to_string() })?;
    JSON::parse(&text).map_err(failed(operation))
}

#[async_trait]
impl KvNamespace for WorkersKv {
    async fn get(&self, key: &str) -> Result<Option<String>, KvError> {
        let value = SendFuture::new(outcome("get", self.0.get(key))).await?;
        Ok(value.as_string())
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<String>>, KvError> {
        SendFuture::new(async {
            // A `Map` from the keys to the values.
            let values = outcome("get", self.0.get_many(&to_js("get", &keys)?)).await?;
            let values: js_sys::Map = values.unchecked_into();
            Ok(keys.iter().map(|key| values.get(&JsValue::from_str(key)).as_string()).collect())
        })
        .await
    }

    async fn put(&self, key: &str, value: &str, options: KvPut<'_>) -> Result<(), KvError> {
        SendFuture::new(async {
            // The metadata is JSON already.
            let metadata = options.metadata.map(|metadata| format!("\"metadata\":{metadata}"));
            let ttl = options.expiration_ttl_secs.map(|secs| format!("\"expirationTtl\":{secs}"));
            let members: Vec<String> = metadata.into_iter().chain(ttl).collect();
            let options =
                JSON::parse(&format!("{{{}}}", members.join(","))).map_err(failed("put"))?;
            outcome("put", self.0.put(key, value, &options)).await.map(drop)
        })
        .await
    }

    async fn delete(&self, key: &str) -> Result<(), KvError> {
        SendFuture::new(outcome("delete", self.0.delete(key))).await.map(drop)
    }

    async fn list(
        &self,
        prefix: &str,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<KvListing, KvError> {
        SendFuture::new(async {
            let options = to_js("list", &ListOptions { prefix, limit, cursor })?;
            let answer = outcome("list", self.0.list(&options)).await?;
            Ok(KvListing::from_json(json_bytes(&answer).map_err(failed("list"))?))
        })
        .await
    }
}
