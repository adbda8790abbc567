//! A binding of the Rate Limiting API behind [`RateLimit`].
//! <https://developers.cloudflare.com/workers/runtime-apis/bindings/rate-limit/>

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use wasm_bindgen::{JsValue, prelude::wasm_bindgen};
use worker::send::SendWrapper;

use super::operation::{Operation, Outcome};
use crate::{Cause, Emit as _, HostEvent, RateLimit};

#[wasm_bindgen(module = "/src/workers/rate_limit.js")]
extern "C" {
    #[wasm_bindgen(js_name = countCall)]
    fn count_call(waiter: u32, limit: &JsValue, key: &str);
}

/// What JavaScript says where the limit allows the call; otherwise it says nothing. The same text is in `rate_limit.js`.
const ALLOWED: &[u8] = b"allowed";

/// A rate limit's binding.
pub struct WorkersRateLimit {
    limit: SendWrapper<JsValue>,
    binding: String,
    has_failed: AtomicBool,
}

impl WorkersRateLimit {
    /// The rate limit in the binding with this name.
    pub fn new(limit: JsValue, binding: &str) -> Self {
        Self {
            limit: SendWrapper::new(limit),
            binding: binding.to_owned(),
            has_failed: AtomicBool::new(false),
        }
    }
}

#[async_trait]
impl RateLimit for WorkersRateLimit {
    async fn allows(&self, key: &str) -> bool {
        let reason = match Operation::start(|waiter| count_call(waiter, &self.limit, key)).await {
            Outcome::Bytes(text) => return text == ALLOWED,
            Outcome::Nothing => "no result".to_owned(),
            Outcome::Failed(reason) => reason,
            Outcome::TimedOut => "no response in time".to_owned(),
        };
        // Once for each isolate and binding: a limit that fails would fill the log.
        if !self.has_failed.swap(true, Ordering::Relaxed) {
            let (binding, cause) = (&*self.binding, Cause(&reason));
            HostEvent::RateLimitFailed { binding, cause }.emit();
        }
        true
    }
}
