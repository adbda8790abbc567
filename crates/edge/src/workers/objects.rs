//! A binding of Durable Objects behind [`ObjectNamespace`].
//! <https://developers.cloudflare.com/durable-objects/api/namespace/>
//!
//! A message is the body of a `POST` to the object, its response that of a response with status 200.

use async_trait::async_trait;
use wasm_bindgen::{JsValue, prelude::wasm_bindgen};
use worker::send::SendWrapper;

use super::operation::{Operation, Outcome};
use crate::{
    Cause, Clock, Emit as _, HostEvent, JURISDICTION_VARIABLE, ObjectError, ObjectErrorKind,
    ObjectNamespace,
};

#[wasm_bindgen(module = "/src/workers/objects.js")]
extern "C" {
    #[wasm_bindgen(js_name = sendToObject)]
    fn send_to_object(waiter: u32, namespace: &JsValue, name: &str, message: &str, max_millis: u32);

    /// `catch`: the runtime throws for a jurisdiction that it does not know, and workerd alone for each.
    #[wasm_bindgen(catch, js_name = objectsIn)]
    fn objects_in(namespace: &JsValue, jurisdiction: &str) -> Result<JsValue, JsValue>;
}

/// A binding of Durable Objects.
pub struct WorkersObjects(SendWrapper<JsValue>);

impl WorkersObjects {
    /// The objects in this binding.
    pub fn new(namespace: JsValue) -> Self {
        Self(SendWrapper::new(namespace))
    }

    /// The objects in this binding that run and store their rows in a jurisdiction; `None` where the runtime refuses
    /// it. <https://developers.cloudflare.com/durable-objects/reference/data-location/>
    pub fn in_jurisdiction(namespace: &JsValue, jurisdiction: &str) -> Option<Self> {
        match objects_in(namespace, jurisdiction) {
            Ok(namespace) => Some(Self::new(namespace)),
            Err(_) => {
                let reason = format!(
                    "the runtime has no jurisdiction \"{jurisdiction}\": change {JURISDICTION_VARIABLE}"
                );
                HostEvent::Misconfigured { cause: Cause(&reason) }.emit();
                None
            }
        }
    }

    /// `max_millis` 0 is no limit.
    async fn send_for(
        &self,
        name: &str,
        message: &str,
        max_millis: u32,
    ) -> Result<String, ObjectError> {
        let sent = |waiter| send_to_object(waiter, &self.0, name, message, max_millis);
        let failed = |kind, reason: &str| Err(ObjectError::new(kind, reason));
        match Operation::start(sent).await {
            Outcome::Bytes(response) => String::from_utf8(response)
                .or_else(|_| failed(ObjectErrorKind::Failed, "the response is not UTF-8")),
            Outcome::Nothing => Ok(String::new()),
            Outcome::Failed(reason) => Err(ObjectError::thrown(&reason)),
            Outcome::TimedOut => Err(ObjectError::timed_out(max_millis)),
        }
    }
}

#[async_trait]
impl ObjectNamespace for WorkersObjects {
    async fn send(&self, name: &str, message: &str) -> Result<String, ObjectError> {
        self.send_for(name, message, 0).await
    }

    async fn send_within(
        &self,
        name: &str,
        message: &str,
        max_millis: u32,
        _: &dyn Clock,
    ) -> Result<String, ObjectError> {
        self.send_for(name, message, max_millis).await
    }
}
