//! The host of an application: what it needs from the machine that it runs on, as traits, and two
//! implementations.
//!
//! - [`Host`]: the environment, with variables and bindings. [`Clock`], [`HttpClient`], [`KvNamespace`],
//!   [`ObjectNamespace`], [`RateLimit`] and [`SignatureVerifier`]: its services. [`WaitUntil`] and
//!   [`VisitorTimeZone`]: what a host adds to each request.
//! - [`Object`]: a class of Durable Objects.
//! - [`Event`] and [`events!`]: what the application reports about itself; [`Scope`]: a request's id, user and waits.
//! - `workers` (on wasm32): Cloudflare Workers. [`serve!`] makes a crate a Worker with its classes.
//! - `memory` (feature `memory`): a host for tests, whose time and failures a test controls.
//! - [`fair`] and [`hash`]: maps for an isolate that many users share.
//! - [`json`]: a reader of JSON that compiles to little code.
//! - [`scan`]: searches and comparisons of bytes, eight at a time.
//! - [`text`]: text as a search compares it.
//!
//! Implementations deal with `Send`, callers never: a Worker has one thread, so its futures may be declared
//! `Send`.

#![warn(missing_debug_implementations)]

#[macro_use]
mod debug;

mod clock;
pub mod fair;
pub mod hash;
#[cfg(any(target_arch = "wasm32", test))]
mod header_values;
mod host;
mod http_client;
pub mod json;
mod kv;
#[cfg(feature = "memory")]
pub mod memory;
mod object;
mod observe;
mod random;
mod rate_limit;
mod request;
pub mod scan;
mod signature;
#[cfg(any(target_arch = "wasm32", test))]
mod table;
pub mod text;
#[cfg(target_arch = "wasm32")]
pub mod workers;

pub use clock::Clock;
pub use host::{Host, Misconfigured};
pub use http_client::{
    HTTP_MAX_MILLIS, HttpClient, HttpClientError, MeasuredHttpClient, RESPONSE_HEADERS,
};
pub use kv::{
    KV_BULK_MAX_KEYS, KV_KEY_MAX_BYTES, KV_LIST_MAX_KEYS, KV_METADATA_MAX_BYTES,
    KV_READ_MAX_MILLIS, KV_TTL_MAX_SECS, KV_TTL_MIN_SECS, KV_VALUE_MAX_BYTES, KV_WRITE_MAX_MILLIS,
    KvError, KvErrorKind, KvKey, KvListing, KvNamespace, KvOperation, KvPage, KvPut, TimedKv,
};
pub use object::{
    JURISDICTION_VARIABLE, JURISDICTIONS, OBJECT_VALUE_MAX_BYTES, Object, ObjectContext,
    ObjectError, ObjectErrorKind, ObjectFault, ObjectNamespace, ObjectStorage, TimedObjects,
};
pub use observe::{
    Cause, Emit, Emitted, Event, EventDescription, FieldDescription, FieldValue, HostEvent, Level,
    Scope, Scoped, Tally, UserHash, Value, Wait, in_current, name_request, note_user, set_sink,
};
pub use random::random_bytes;
pub use rate_limit::RateLimit;
pub use request::{Repeatable, VisitorTimeZone, WaitUntil};
pub use signature::{RsaPublicKey, SignatureError, SignatureVerifier, UnusableRsaKey};

/// Makes a crate a Worker that serves every request by one axum router, with classes of Durable Objects.
///
/// ```ignore
/// edge_host::serve!(crate::build, Counter = crate::counter);
/// ```
///
/// The first argument is the path of a `fn(&impl Host) -> Router`, or of one that returns `Result<Router, E>`. `E` is a
/// text that every request is then told, or [`Misconfigured`]. The function runs once in an isolate: when the isolate
/// starts, by the entry of `thin-entry.mjs`, or at the first request. A Worker that starts has no I/O, no randomness
/// and no time: a function that panics or fails then runs again at the first request. Each further argument is a class:
/// its name, as the Worker's configuration binds it, and the path of a `fn(&impl Host, ObjectContext) -> impl Object`,
/// which makes each instance. The classes need SQLite storage (`new_sqlite_classes`). The macro stands at the root of a
/// crate of type `cdylib`; on any other target than wasm it expands to nothing.
///
/// A request runs to its end when its client leaves, for as long as `waitUntil()` allows: a write that has begun
/// completes. The compatibility flag `enable_request_signal` lets the Worker drop the rest of a response body then. The
/// compatibility date is 2025-05-05 or later.
///
/// A panic ends what runs in the isolate. The request that panicked gets 500, and every other one 503 with
/// `Retry-After`: it may have taken effect. A response body that has begun breaks off. Each event of an object fails,
/// and its sender gets an [`ObjectError`] that says that the message may have run; an alarm runs again. The next event
/// starts the module anew, and objects are made again from their storage, which keeps every write from before the
/// panic.
#[macro_export]
macro_rules! serve {
    ($build:path $(, $class:ident = $factory:path)* $(,)?) => {
        #[cfg(target_arch = "wasm32")]
        mod __edge_host {
            use $crate::workers::private::{Context, Env, Request, js_sys, wasm_bindgen};

            #[wasm_bindgen::prelude::wasm_bindgen(start, wasm_bindgen = $crate::workers::private::wasm_bindgen)]
            pub fn start() {
                $crate::workers::start(prepare);
            }

            extern "C" fn prepare(call: u32) -> u32 {
                $crate::workers::prepare(call, $build)
            }

            #[wasm_bindgen::prelude::wasm_bindgen(wasm_bindgen = $crate::workers::private::wasm_bindgen)]
            pub fn fetch(
                request: Request,
                env: Env,
                context: Context,
            ) -> Result<wasm_bindgen::JsValue, wasm_bindgen::JsValue> {
                $crate::workers::fetch(&request, &env, &context)
            }

            $(
                #[wasm_bindgen::prelude::wasm_bindgen(
                    wasm_bindgen = $crate::workers::private::wasm_bindgen
                )]
                pub struct $class($crate::workers::private::WorkersObject);

                #[wasm_bindgen::prelude::wasm_bindgen(
                    wasm_bindgen = $crate::workers::private::wasm_bindgen
                )]
                impl $class {
                    #[wasm_bindgen(constructor)]
                    pub fn new(state: $crate::workers::private::ObjectState, env: Env) -> Self {
                        Self($crate::workers::make_object(state, env, $factory))
                    }

                    pub fn fetch(&self, request: Request) -> js_sys::Promise {
                        self.0.fetch(request)
                    }

                    pub fn alarm(&self, info: wasm_bindgen::JsValue) -> js_sys::Promise {
                        self.0.alarm(info)
                    }
                }
            )*
        }
    };
}
