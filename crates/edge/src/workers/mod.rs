//! Cloudflare Workers: the entry point, and the adapters that implement the host's traits. No other folder
//! names the crate `worker` or deals with `Send`: a Worker has one thread, so its futures may be declared
//! `Send`.

pub mod clock;
mod console;
mod fetch;
mod kv;
mod object;
mod objects;
mod rate_limit;
mod request;
mod response;
mod visitor;

use std::{cell::OnceCell, fmt::Display, sync::Arc, thread::LocalKey};

use axum::Router;
use http::{StatusCode, header};
use wasm_bindgen::JsValue;
use worker::{Context, Env, send::SendWrapper, worker_sys::web_sys};

use crate::{
    Clock, Host, HttpClient, KvNamespace, Object, ObjectContext, ObjectNamespace, RateLimit,
    WaitUntil,
};

/// Named by what [`serve!`](crate::serve) expands to.
#[doc(hidden)]
pub mod private {
    pub use axum::Router;

    pub use super::object::{ObjectState, WorkersObject};
    pub use worker::{
        Env, js_sys, wasm_bindgen, wasm_bindgen_futures,
        worker_sys::{Context, web_sys::Request},
    };
}

/// A Worker's environment: its variables, secrets and bindings.
pub struct WorkersHost(Env);

impl Host for WorkersHost {
    fn var(&self, name: &str) -> Option<String> {
        self.0.var(name).ok().map(|value| value.to_string())
    }

    fn kv(&self, binding: &str) -> Option<Arc<dyn KvNamespace>> {
        Some(Arc::new(kv::WorkersKv::bound(&self.0, binding)?))
    }

    fn objects(&self, binding: &str) -> Option<Arc<dyn ObjectNamespace>> {
        Some(Arc::new(objects::WorkersObjects::bound(&self.0, binding)?))
    }

    fn rate_limit(&self, binding: &str) -> Option<Arc<dyn RateLimit>> {
        Some(Arc::new(rate_limit::WorkersRateLimit::bound(&self.0, binding)?))
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(clock::WorkersClock)
    }

    fn http_client(&self) -> Arc<dyn HttpClient> {
        Arc::new(fetch::FetchClient)
    }
}

/// The result of an application's function for [`serve!`](crate::serve): a router, or an error.
pub trait IntoRouter {
    /// The router that serves the isolate's requests.
    fn into_router(self) -> Router;
}

impl IntoRouter for Router {
    fn into_router(self) -> Router {
        self
    }
}

/// An application that cannot be built responds to every request with 500 and the error's text, which must
/// hold no secret.
impl<E: Display> IntoRouter for Result<Router, E> {
    fn into_router(self) -> Router {
        self.unwrap_or_else(|error| {
            let detail = format!("The Worker is not configured: {error}");
            log::error!("{detail}");
            let body = serde_json::json!({ "detail": detail }).to_string();
            let headers =
                [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
            Router::new().fallback(move || {
                std::future::ready((StatusCode::INTERNAL_SERVER_ERROR, headers, body.clone()))
            })
        })
    }
}

/// Runs once, when the module is loaded.
#[doc(hidden)]
pub fn start() {
    console_error_panic_hook::set_once();
    console::install();
}

/// Makes an object of a class by its factory.
#[doc(hidden)]
pub fn make_object<O: Object + 'static>(
    state: object::ObjectState,
    env: Env,
    factory: impl FnOnce(&WorkersHost, ObjectContext) -> O,
) -> object::WorkersObject {
    object::WorkersObject::new(state, |context| factory(&WorkersHost(env), context))
}

/// Serves one request by the isolate's router, which the first request builds.
#[doc(hidden)]
pub async fn serve<R: IntoRouter>(
    request: web_sys::Request,
    env: Env,
    context: worker::worker_sys::Context,
    router: &'static LocalKey<OnceCell<Router>>,
    build: impl FnOnce(&WorkersHost) -> R,
) -> Result<JsValue, JsValue> {
    let context = Context::new(context);
    let web_request = request;
    let (mut request, unread_body) =
        request::from_web(&web_request).map_err(|error| JsValue::from_str(&error.to_string()))?;
    let runtime_context = JsValue::from(context.as_ref());
    let context = SendWrapper::new(context);
    request.extensions_mut().insert(WaitUntil::new(move |work| context.wait_until(work)));
    request.extensions_mut().insert(visitor::time_zone(web_request));
    let mut router =
        router.with(|cell| cell.get_or_init(|| build(&WorkersHost(env)).into_router()).clone());
    let response = tower_service::Service::call(&mut router, request).await;
    if let Some(body) = unread_body {
        body.read_rest(&runtime_context).await;
    }
    let response = response::into_web(response.unwrap_or_else(|never| match never {})).await;
    Ok(response.map_err(JsValue::from)?.into())
}
