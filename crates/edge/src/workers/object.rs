//! A class of Durable Objects, for the runtime.
//! <https://developers.cloudflare.com/durable-objects/api/base/>

use std::{rc::Rc, sync::Arc};

use chrono::{DateTime, Utc};
use wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen};
use worker::{
    js_sys::{self, Promise, Reflect, Uint8Array},
    send::SendWrapper,
    wasm_bindgen_futures::{JsFuture, future_to_promise},
    worker_sys::web_sys::{Request, Response},
};

use crate::{Object, ObjectContext, ObjectFault, ObjectStorage};

/// The runtime runs a failed alarm six times more, in growing steps of some minutes in all, and then no more. The
/// last of these runs sets the alarm again instead of failing.
/// <https://developers.cloudflare.com/durable-objects/api/alarms/>
const ALARM_RETRIES_MAX: f64 = 6.0;
/// The delay of that alarm.
const LATE_RETRY_MILLIS: f64 = 300_000.0;

#[wasm_bindgen]
extern "C" {
    /// The runtime's `ctx` of one object.
    #[wasm_bindgen(typescript_type = "DurableObjectState")]
    pub type ObjectState;

    #[wasm_bindgen(method, getter)]
    fn storage(this: &ObjectState) -> Storage;

    #[wasm_bindgen(method, js_name = waitUntil)]
    fn wait_until(this: &ObjectState, promise: &Promise);

    #[wasm_bindgen(typescript_type = "DurableObjectStorage")]
    type Storage;

    #[wasm_bindgen(method, getter)]
    fn kv(this: &Storage) -> Rows;

    #[wasm_bindgen(typescript_type = "SyncKvStorage")]
    type Rows;

    #[wasm_bindgen(method, catch)]
    fn get(this: &Rows, key: &str) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn put(this: &Rows, key: &str, value: &str) -> Result<(), JsValue>;

    #[wasm_bindgen(method, catch)]
    fn delete(this: &Rows, key: &str) -> Result<bool, JsValue>;
}

#[wasm_bindgen(module = "/src/workers/host.js")]
extern "C" {
    #[wasm_bindgen(catch, js_name = objectRows)]
    fn object_rows(rows: &Rows, prefix: &str) -> Result<Vec<u8>, JsValue>;

    #[wasm_bindgen(catch, js_name = setObjectAlarm)]
    fn set_object_alarm(storage: &Storage, at: Option<f64>) -> Result<(), JsValue>;

    #[wasm_bindgen(catch, js_name = deleteObjectRows)]
    fn delete_object_rows(storage: &Storage) -> Result<(), JsValue>;

    #[wasm_bindgen(catch, js_name = objectMessage)]
    fn object_message(request: &Request) -> Result<Promise, JsValue>;

    #[wasm_bindgen(catch, js_name = untilPanic)]
    fn caught_until_panic(event: Promise) -> Result<Promise, JsValue>;
}

/// The event, which fails when a panic resets the isolate. Imports without `catch` and with JavaScript values alone
/// get an entry each in the bundle's imports, under the same name, of which esbuild warns.
fn until_panic(event: Promise) -> Promise {
    caught_until_panic(event).unwrap_or_else(|error| Promise::reject(&error))
}

/// One object of a class, as [`serve!`](crate::serve) exports it.
pub struct WorkersObject(Rc<Instance>);

struct Instance {
    object: Box<dyn Object>,
    storage: Arc<WorkersObjectStorage>,
}

impl WorkersObject {
    /// Makes the object by the class's factory.
    pub fn new<O: Object + 'static>(
        state: ObjectState,
        factory: impl FnOnce(ObjectContext) -> O,
    ) -> Self {
        let storage = Arc::new(WorkersObjectStorage::new(state.storage()));
        let state = SendWrapper::new(state);
        // `waitUntil()` keeps the object for as long as the work takes, up to 15 minutes.
        // https://developers.cloudflare.com/durable-objects/api/state/#waituntil
        let spawn = move |work: futures_util::future::BoxFuture<'static, ()>| {
            state.wait_until(&until_panic(future_to_promise(async move {
                work.await;
                Ok(JsValue::UNDEFINED)
            })));
        };
        let context = ObjectContext::new(Arc::clone(&storage) as _, spawn);
        Self(Rc::new(Instance { object: Box::new(factory(context)), storage }))
    }

    /// Responds to a message: status 200 and the response, or 500 and nothing. The log has the reason.
    pub fn fetch(&self, request: Request) -> Promise {
        let instance = Rc::clone(&self.0);
        until_panic(future_to_promise(async move { instance.fetch(request).await }))
    }

    /// Runs the alarm. The promise fails if the alarm does: then the runtime runs it again.
    pub fn alarm(&self, info: JsValue) -> Promise {
        let instance = Rc::clone(&self.0);
        until_panic(future_to_promise(async move {
            instance.alarm(info).await.map(|()| JsValue::UNDEFINED)
        }))
    }
}

impl Instance {
    async fn fetch(&self, request: Request) -> Result<JsValue, JsValue> {
        let message = JsFuture::from(object_message(&request)?).await?;
        let message = String::from_utf8(Uint8Array::from(message).to_vec())
            .map_err(|_| JsValue::from(js_sys::Error::new("the message is not UTF-8")))?;
        let response = match self.object.receive(&message).await {
            Ok(text) => Response::new_with_opt_str(Some(&text))?,
            Err(fault) => {
                log::error!("A Durable Object failed on a message: {fault}");
                let init = worker::worker_sys::web_sys::ResponseInit::new();
                init.set_status(500);
                Response::new_with_opt_str_and_init(None, &init)?
            }
        };
        Ok(response.into())
    }

    async fn alarm(&self, info: JsValue) -> Result<(), JsValue> {
        let Err(fault) = self.object.alarm().await else { return Ok(()) };
        log::error!("The alarm of a Durable Object failed: {fault}");
        let retries = Reflect::get(&info, &"retryCount".into()).ok();
        if retries.and_then(|retries| retries.as_f64()) >= Some(ALARM_RETRIES_MAX) {
            return set_object_alarm(
                &self.storage.storage,
                Some(js_sys::Date::now() + LATE_RETRY_MILLIS),
            );
        }
        Err(js_sys::Error::new("the alarm failed").into())
    }
}

/// The synchronous key-value API of a class with SQLite storage.
/// <https://developers.cloudflare.com/durable-objects/api/sqlite-storage-api/#synchronous-kv-api>
struct WorkersObjectStorage {
    storage: SendWrapper<Storage>,
    rows: SendWrapper<Rows>,
}

impl WorkersObjectStorage {
    fn new(storage: Storage) -> Self {
        let rows = SendWrapper::new(storage.kv());
        Self { storage: SendWrapper::new(storage), rows }
    }
}

fn failed(error: JsValue) -> ObjectFault {
    let message = error.dyn_ref::<js_sys::Error>().map(|error| String::from(error.message()));
    ObjectFault::new(format!("the storage failed: {}", message.unwrap_or_default()))
}

impl ObjectStorage for WorkersObjectStorage {
    fn get(&self, key: &str) -> Result<Option<String>, ObjectFault> {
        Ok(self.rows.get(key).map_err(failed)?.as_string())
    }

    fn list(&self, prefix: &str) -> Result<Vec<(String, String)>, ObjectFault> {
        let rows = object_rows(&self.rows, prefix).map_err(failed)?;
        serde_json::from_slice(&rows).map_err(|_| ObjectFault::new("a stored value is no text"))
    }

    fn put(&self, key: &str, value: &str) -> Result<(), ObjectFault> {
        self.rows.put(key, value).map_err(failed)
    }

    fn delete(&self, key: &str) -> Result<(), ObjectFault> {
        self.rows.delete(key).map(drop).map_err(failed)
    }

    fn delete_all(&self) -> Result<(), ObjectFault> {
        delete_object_rows(&self.storage).map_err(failed)
    }

    fn set_alarm(&self, at: Option<DateTime<Utc>>) -> Result<(), ObjectFault> {
        #[expect(clippy::cast_precision_loss, reason = "exact for 285,000 years")]
        let millis = at.map(|at| at.timestamp_millis() as f64);
        set_object_alarm(&self.storage, millis).map_err(failed)
    }
}
