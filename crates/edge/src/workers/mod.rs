//! Cloudflare Workers: the entry point, and the adapters that implement the host's traits. No other folder
//! names the crate `worker` or deals with `Send`: a Worker has one thread, so its futures may be declared
//! `Send`.

mod call;
pub mod clock;
mod console;
mod executor;
mod fetch;
mod kv;
mod object;
mod objects;
mod operation;
mod panics;
pub(crate) mod random;
mod rate_limit;
mod request;
mod response;
pub mod signature;
mod text;
mod visitor;

use std::{cell::RefCell, fmt::Display, sync::Arc};

use axum::Router;
use http::{HeaderName, StatusCode, header};
use wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen};
use worker::{
    Env,
    js_sys::Reflect,
    worker_sys::{Context, web_sys::Request},
};

use call::Call;
pub(crate) use text::in_small_letters;

/// The version of the crate `worker` whose types [`WorkersHost::env`] returns.
pub use worker;

use crate::{
    Cause, Clock, Emit as _, Host, HostEvent, HttpClient, JURISDICTION_VARIABLE, KvNamespace,
    Misconfigured, Object, ObjectContext, ObjectNamespace, RateLimit, SignatureVerifier, WaitUntil,
};

/// Named by what [`serve!`](crate::serve) expands to.
#[doc(hidden)]
pub mod private {
    pub use super::object::{ObjectState, WorkersObject};
    pub use worker::{
        Env, js_sys, wasm_bindgen,
        worker_sys::{Context, web_sys::Request},
    };
}

/// A Worker's environment: its variables, secrets and bindings.
pub struct WorkersHost(Env);

opaque_debug!(WorkersHost);

impl WorkersHost {
    /// The environment as the crate `worker` gives it, for the bindings that [`Host`] does not have: D1, R2, queues,
    /// services and others. Their futures are not `Send`, as axum requires: wrap them in `worker::send::SendFuture`.
    #[must_use]
    pub fn env(&self) -> &Env {
        &self.0
    }

    /// The value of a binding that is an object of the runtime.
    fn bound(&self, binding: &str) -> Option<JsValue> {
        self.value(binding).filter(JsValue::is_object)
    }

    fn value(&self, name: &str) -> Option<JsValue> {
        Reflect::get(&self.0, &JsValue::from_str(name)).ok()
    }
}

impl Host for WorkersHost {
    fn var(&self, name: &str) -> Option<String> {
        self.value(name)?.as_string()
    }

    fn kv(&self, binding: &str) -> Option<Arc<dyn KvNamespace>> {
        Some(Arc::new(kv::WorkersKv::new(self.bound(binding)?)))
    }

    fn objects(&self, binding: &str) -> Option<Arc<dyn ObjectNamespace>> {
        let namespace = self.bound(binding)?;
        // Never the objects outside of the jurisdiction where the runtime refuses it.
        let objects = match self.var(JURISDICTION_VARIABLE).filter(|name| !name.is_empty()) {
            Some(jurisdiction) => {
                objects::WorkersObjects::in_jurisdiction(&namespace, &jurisdiction)?
            }
            None => objects::WorkersObjects::new(namespace),
        };
        Some(Arc::new(objects))
    }

    fn rate_limit(&self, binding: &str) -> Option<Arc<dyn RateLimit>> {
        Some(Arc::new(rate_limit::WorkersRateLimit::new(self.bound(binding)?, binding)))
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(clock::WorkersClock)
    }

    fn http_client(&self) -> Arc<dyn HttpClient> {
        Arc::new(fetch::FetchClient)
    }

    fn limit_request_headers(&self, always: &[HeaderName], with_body: &[HeaderName]) {
        request::limit_headers(always, with_body);
    }

    fn signature_verifier(&self) -> Arc<dyn SignatureVerifier> {
        Arc::new(signature::WorkersSignatureVerifier)
    }
}

/// The result of an application's function for [`serve!`](crate::serve).
pub trait IntoRouter {
    /// The router that serves the isolate's requests.
    ///
    /// # Errors
    ///
    /// The router of an application that is not configured.
    fn into_router(self) -> Result<Router, Misconfigured<Router>>;
}

impl IntoRouter for Router {
    fn into_router(self) -> Result<Router, Misconfigured<Router>> {
        Ok(self)
    }
}

impl IntoRouter for Result<Router, Misconfigured<Router>> {
    fn into_router(self) -> Self {
        self
    }
}

/// An application that cannot be built responds to every request with 500 and the error's text, which must
/// hold no secret.
impl<E: Display> IntoRouter for Result<Router, E> {
    fn into_router(self) -> Result<Router, Misconfigured<Router>> {
        self.map_err(|error| {
            let detail = format!("The Worker is not configured: {error}");
            HostEvent::Misconfigured { cause: Cause(&error) }.emit();
            let body = ["{\"detail\":", &crate::json::write(&detail), "}"].concat();
            let headers =
                [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
            Misconfigured(Router::new().fallback(move || {
                std::future::ready((StatusCode::INTERNAL_SERVER_ERROR, headers, body.clone()))
            }))
        })
    }
}

#[wasm_bindgen(module = "/src/workers/isolate.js")]
extern "C" {
    fn connect(memory: JsValue, table: JsValue, pointers: &[u32]);

    /// `catch`, because wasm-bindgen names the file again for each import that needs no conversion at all, and esbuild
    /// warns of that.
    #[wasm_bindgen(catch, js_name = serve)]
    fn serve_request(request: &Request, env: &Env, context: &Context) -> Result<JsValue, JsValue>;
}

thread_local! {
    /// The application of the isolate.
    static ROUTER: RefCell<Option<Router>> = const { RefCell::new(None) };
}

/// Runs when an instance of the module starts. `build` calls [`prepare`] for an event.
#[doc(hidden)]
pub fn start(build: extern "C" fn(u32) -> u32) {
    console::install();
    panics::report();
    // The order is that of `connect` in `isolate.js`, which finds the functions in the module's table.
    let pointers = [
        build as usize,
        receive as extern "C" fn(u32, u32) -> u32 as usize,
        object::message as extern "C" fn(u32, u32, u32) -> u32 as usize,
        object::alarm as extern "C" fn(u32, u32, u32) -> u32 as usize,
        operation::settle as extern "C" fn(u32, u32, u32) as usize,
        executor::run as extern "C" fn() as usize,
        executor::abandon as extern "C" fn(u32) as usize,
        executor::current as extern "C" fn() -> u32 as usize,
        response::pull as extern "C" fn(u32) as usize,
        response::cancel as extern "C" fn(u32) as usize,
        operation::renew_inbox as extern "C" fn(u32) -> u32 as usize,
        live as extern "C" fn(u32) -> u32 as usize,
    ];
    #[expect(clippy::cast_possible_truncation, reason = "addresses have 32 bits on wasm32")]
    let pointers = pointers.map(|pointer| pointer as u32);
    connect(wasm_bindgen::memory(), wasm_bindgen::function_table(), &pointers);
}

/// How many items of one kind the module keeps, by the kind's place in `LIVE` of `isolate.js`. Only tests ask.
extern "C" fn live(kind: u32) -> u32 {
    let count = match kind {
        0 => executor::live(),
        1 => operation::live(),
        2 => response::live(),
        _ => object::live(),
    };
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Serves one request, by worker-build's entry.
#[doc(hidden)]
pub fn fetch(request: &Request, env: &Env, context: &Context) -> Result<JsValue, JsValue> {
    serve_request(request, env, context)
}

/// Makes an object of a class by its factory.
#[doc(hidden)]
pub fn make_object<O: Object + 'static>(
    state: object::ObjectState,
    env: Env,
    factory: impl FnOnce(&WorkersHost, ObjectContext) -> O,
) -> object::WorkersObject {
    let host = WorkersHost(env);
    console::bind(|name| host.bound(name));
    object::WorkersObject::new(state, |context| factory(&host, context))
}

/// Builds the isolate's router with the environment of an event, and returns whether it is configured. JavaScript calls
/// this before it reads the head of the first request: the application names the headers.
#[doc(hidden)]
pub fn prepare<R: IntoRouter>(call: u32, build: fn(&WorkersHost) -> R) -> u32 {
    let host = WorkersHost(call::environment(call).unchecked_into());
    console::bind(|name| host.bound(name));
    let built = build(&host).into_router();
    let is_configured = built.is_ok();
    ROUTER.set(Some(built.unwrap_or_else(|Misconfigured(router)| router)));
    is_configured.into()
}

/// Serves the request whose head is in the inbox. Returns the id of the request's task.
extern "C" fn receive(call: u32, head_length: u32) -> u32 {
    let task = executor::next_id();
    let call = Arc::new(Call::new(call));
    let request = operation::read_inbox(head_length, |head| request::read_request(head, &call));
    executor::enter(|| {
        executor::spawn(task, async move {
            let mut request = match request {
                Ok(request) => request,
                Err(error) => return response::refuse(&call, &error.to_string()),
            };
            let may_have_body = request::may_have_body(request.method());
            let background = Arc::clone(&call);
            let wait_until = WaitUntil::new(move |work| background.run_in_background(work));
            request.extensions_mut().insert(wait_until);
            request.extensions_mut().insert(visitor::time_zone(Arc::clone(&call)));
            let mut router = ROUTER.with_borrow(Clone::clone).unwrap_or_default();
            let response = tower_service::Service::call(&mut router, request).await;
            if may_have_body {
                request::read_rest(&call).await;
            }
            response::send(&call, response.unwrap_or_else(|never| match never {})).await;
        });
    });
    task
}
