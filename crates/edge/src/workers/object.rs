//! A class of Durable Objects, for the runtime.
//! <https://developers.cloudflare.com/durable-objects/api/base/>

use std::{cell::RefCell, rc::Rc, sync::Arc};

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen};
use worker::{
    js_sys::{self, Promise},
    send::SendWrapper,
    worker_sys::web_sys::Request,
};

use super::{
    call::run_in_background_of,
    executor::{enter, next_id, spawn},
    operation::take_inbox,
};
use crate::{
    Cause, Emit as _, HostEvent, Object, ObjectContext, ObjectFault, ObjectStorage, json,
    table::Table,
};

/// The runtime runs a failed alarm six times more, in growing steps of some minutes in all, and then no more. The
/// last of these runs sets the alarm again instead of failing.
/// <https://developers.cloudflare.com/durable-objects/api/alarms/>
const ALARM_RETRIES_MAX: u32 = 6;
/// The delay of that alarm.
const LATE_RETRY_MILLIS: f64 = 300_000.0;

#[wasm_bindgen]
extern "C" {
    /// The runtime's `ctx` of one object.
    #[wasm_bindgen(typescript_type = "DurableObjectState")]
    pub type ObjectState;

    #[wasm_bindgen(method, getter)]
    fn storage(this: &ObjectState) -> Storage;

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

#[wasm_bindgen(module = "/src/workers/objects.js")]
extern "C" {
    #[wasm_bindgen(catch, js_name = objectRows)]
    fn object_rows(rows: &Rows, prefix: &str, after: &str, limit: i32) -> Result<String, JsValue>;

    #[wasm_bindgen(catch, js_name = putObjectRows)]
    fn put_object_rows(storage: &Storage, rows: &str) -> Result<(), JsValue>;

    #[wasm_bindgen(catch, js_name = setObjectAlarm)]
    fn set_object_alarm(storage: &Storage, at: Option<f64>) -> Result<(), JsValue>;

    #[wasm_bindgen(catch, js_name = deleteObjectRows)]
    fn delete_object_rows(storage: &Storage) -> Result<(), JsValue>;
}

#[wasm_bindgen(module = "/src/workers/isolate.js")]
extern "C" {
    fn deliver(object: u32, request: Request) -> Promise;

    fn ring(object: u32, info: JsValue) -> Promise;

    #[wasm_bindgen(js_name = respondWith)]
    fn respond_with(call: u32, response: Option<&str>);

    #[wasm_bindgen(js_name = failCall)]
    fn fail_call(call: u32, reason: &str);
}

thread_local! {
    /// The objects that run in this isolate.
    static OBJECTS: RefCell<Table<Rc<Instance>>> = const { RefCell::new(Table::new()) };
}

/// The number of objects that run in this isolate.
pub fn live() -> usize {
    OBJECTS.with_borrow(Table::len)
}

/// One object of a class, as [`serve!`](crate::serve) exports it.
#[derive(Debug)]
pub struct WorkersObject(u32);

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
        let spawn = move |work: BoxFuture<'static, ()>| run_in_background_of(&state, work);
        let context = ObjectContext::new(Arc::clone(&storage) as _, spawn);
        let instance = Rc::new(Instance { object: Box::new(factory(context)), storage });
        let id = next_id();
        OBJECTS.with_borrow_mut(|objects| objects.insert(id, instance));
        Self(id)
    }

    /// Responds to a message: status 200 and the response, or 500 and nothing. The log has the reason.
    pub fn fetch(&self, request: Request) -> Promise {
        deliver(self.0, request)
    }

    /// Runs the alarm. The promise fails if the alarm does: then the runtime runs it again.
    pub fn alarm(&self, info: JsValue) -> Promise {
        ring(self.0, info)
    }
}

impl Drop for WorkersObject {
    fn drop(&mut self) {
        let instance = OBJECTS.with_borrow_mut(|objects| objects.remove(self.0));
        drop(instance);
    }
}

/// Runs `event` on an object, in a task, whose id it returns. Its response, or failure, ends the event.
fn start<F: Future<Output = ()>>(
    call: u32,
    object: u32,
    event: impl FnOnce(Rc<Instance>) -> F + 'static,
) -> u32 {
    let task = next_id();
    let instance = OBJECTS.with_borrow(|objects| objects.get(object).map(Rc::clone));
    enter(|| {
        spawn(task, async move {
            match instance {
                Some(instance) => event(instance).await,
                None => fail_call(call, "the object was reset"),
            }
        });
    });
    task
}

/// Hands the message in the inbox to an object, by a task, whose id it returns. JavaScript calls this.
pub extern "C" fn message(call: u32, object: u32, length: u32) -> u32 {
    let message = take_inbox(length);
    start(call, object, move |instance| async move {
        let message =
            String::from_utf8(message).map_err(|_| ObjectFault::new("a message is not UTF-8"));
        let response = match message {
            Ok(message) => instance.object.receive(&message).await,
            Err(fault) => Err(fault),
        };
        match response {
            Ok(response) => respond_with(call, Some(&response)),
            Err(fault) => {
                HostEvent::ObjectFailed { cause: Cause(&fault) }.emit();
                respond_with(call, None);
            }
        }
    })
}

/// Runs the alarm of an object, by a task, whose id it returns. JavaScript calls this.
pub extern "C" fn alarm(call: u32, object: u32, retries: u32) -> u32 {
    start(call, object, move |instance| async move {
        let Err(fault) = instance.object.alarm().await else { return respond_with(call, None) };
        HostEvent::AlarmFailed { retries, cause: Cause(&fault) }.emit();
        if retries >= ALARM_RETRIES_MAX {
            let at = js_sys::Date::now() + LATE_RETRY_MILLIS;
            if set_object_alarm(&instance.storage.storage, Some(at)).is_ok() {
                return respond_with(call, None);
            }
        }
        fail_call(call, "the alarm failed");
    })
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

    fn page(
        &self,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, String)>, ObjectFault> {
        let limit = i32::try_from(limit).unwrap_or(i32::MAX);
        let rows = object_rows(&self.rows, prefix, after, limit).map_err(failed)?;
        json::read(&rows).map_err(|_| ObjectFault::new("a stored value is no text"))
    }

    fn put(&self, key: &str, value: &str) -> Result<(), ObjectFault> {
        self.rows.put(key, value).map_err(failed)
    }

    fn put_all(&self, rows: &[(String, String)]) -> Result<(), ObjectFault> {
        put_object_rows(&self.storage, &json::write(&rows)).map_err(failed)
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
