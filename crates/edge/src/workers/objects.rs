//! A binding of Durable Objects behind [`ObjectNamespace`].
//! <https://developers.cloudflare.com/durable-objects/api/namespace/>
//!
//! A message is the body of a `POST` to the object, its response that of a response with status 200. Each message
//! has a stub of its own: a stub fails for ever after its object was reset.

use async_trait::async_trait;
use wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen};
use worker::{
    Env,
    js_sys::{self, Promise, Reflect, Uint8Array},
    send::{SendFuture, SendWrapper},
    wasm_bindgen_futures::JsFuture,
};

use crate::{ObjectError, ObjectErrorKind, ObjectNamespace};

#[wasm_bindgen(module = "/src/workers/host.js")]
extern "C" {
    #[wasm_bindgen(js_name = sendToObject)]
    fn send_to_object(namespace: &JsValue, name: &str, message: &str) -> Promise;
}

/// A binding of Durable Objects.
pub struct WorkersObjects(SendWrapper<JsValue>);

impl WorkersObjects {
    /// The objects that are bound to `binding`, if some are.
    pub fn bound(env: &Env, binding: &str) -> Option<Self> {
        let namespace = Reflect::get(env, &JsValue::from_str(binding)).ok()?;
        namespace.is_object().then(|| Self(SendWrapper::new(namespace)))
    }
}

#[async_trait]
impl ObjectNamespace for WorkersObjects {
    async fn send(&self, name: &str, message: &str) -> Result<String, ObjectError> {
        SendFuture::new(async {
            let failed = |reason: String| ObjectError::new(ObjectErrorKind::Failed, reason);
            let response = JsFuture::from(send_to_object(&self.0, name, message));
            let response = response.await.map_err(thrown)?;
            match response.dyn_ref::<Uint8Array>() {
                Some(bytes) => String::from_utf8(bytes.to_vec())
                    .map_err(|_| failed("the response is not UTF-8".into())),
                None => {
                    let status = response.as_f64().unwrap_or_default();
                    Err(failed(format!("the object responded with status {status}")))
                }
            }
        })
        .await
    }
}

/// Types what the runtime throws.
/// <https://developers.cloudflare.com/durable-objects/best-practices/error-handling/>
///
/// The runtime marks its errors: `overloaded`, `retryable` for a failed connection and a new version of the code,
/// `durableObjectReset` for an instance that ended, `remote` for an error that comes from the object. An object that
/// exceeds its memory or its CPU time is overloaded and reset: it may have taken the message.
fn thrown(error: JsValue) -> ObjectError {
    let is = |mark: &str| {
        Reflect::get(&error, &JsValue::from_str(mark)).is_ok_and(|value| value.is_truthy())
    };
    let message = error.dyn_ref::<js_sys::Error>().map(|error| String::from(error.message()));
    let message = message.unwrap_or_default();
    let was_reset = is("durableObjectReset") || message.contains("reset");
    let kind = if is("overloaded") && !was_reset && !is("remote") {
        ObjectErrorKind::Overloaded
    } else if was_reset || is("retryable") || !is("remote") || has_hung(&message) {
        ObjectErrorKind::Disconnected
    } else {
        ObjectErrorKind::Failed
    };
    ObjectError::new(kind, message)
}

/// Whether the runtime ended an event that nothing could complete, as after a panic in the same isolate.
fn has_hung(message: &str) -> bool {
    message.contains("never generate a response")
}
