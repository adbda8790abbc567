//! A binding of the Rate Limiting API behind [`RateLimit`].
//! <https://developers.cloudflare.com/workers/runtime-apis/bindings/rate-limit/>

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen};
use worker::{
    Env,
    js_sys::{self, Promise, Reflect},
    send::{SendFuture, SendWrapper},
    wasm_bindgen_futures::JsFuture,
};

use crate::RateLimit;

#[wasm_bindgen(module = "/src/workers/host.js")]
extern "C" {
    #[wasm_bindgen(js_name = rateLimitAllows)]
    fn rate_limit_allows(limit: &JsValue, key: &str) -> Promise;
}

/// A rate limit's binding.
pub struct WorkersRateLimit {
    limit: SendWrapper<JsValue>,
    binding: String,
    has_failed: AtomicBool,
}

impl WorkersRateLimit {
    /// The rate limit that is bound to `binding`, if one is.
    pub fn bound(env: &Env, binding: &str) -> Option<Self> {
        let limit = Reflect::get(env, &JsValue::from_str(binding)).ok()?;
        limit.is_object().then(|| Self {
            limit: SendWrapper::new(limit),
            binding: binding.to_owned(),
            has_failed: AtomicBool::new(false),
        })
    }
}

#[async_trait]
impl RateLimit for WorkersRateLimit {
    async fn allows(&self, key: &str) -> bool {
        let response = JsFuture::from(rate_limit_allows(&self.limit, key));
        match SendFuture::new(response).await {
            Ok(allows) => allows != JsValue::FALSE,
            Err(error) => {
                // Once for each isolate and binding: a limit that fails would fill the log.
                if !self.has_failed.swap(true, Ordering::Relaxed) {
                    let message = error.dyn_ref::<js_sys::Error>().map(js_sys::Error::message);
                    let message = message.map(String::from).unwrap_or_default();
                    log::error!(
                        "The rate limit {} failed and allows all calls: {message}",
                        self.binding
                    );
                }
                true
            }
        }
    }
}
