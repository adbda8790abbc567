//! Cloudflare Workers: the entry point, and the adapters that give [`crate::runtime`]'s traits what
//! they ask for. The only folder that names `worker`, and the only one that deals with `Send`: a
//! Worker has one thread, so its futures may be said to be `Send`.

pub mod clock;
mod console;
mod fetch;
mod kv;
mod request;
mod response;
mod visitor;

use std::{cell::OnceCell, sync::Arc};

use axum::Router;
use wasm_bindgen::JsValue;
use worker::{Context, Env, event, send::SendWrapper, worker_sys::web_sys};

use crate::{
    app::{self, AppState},
    authkit::{AuthKit, AuthKitConfig, ConfigError},
    expenses::store,
    runtime::{Clock, KvNamespace, WaitUntil},
};

thread_local! {
    /// The router with all that is derived from the configuration: made by an isolate's first
    /// request, used by every one.
    static ROUTER: OnceCell<Router> = const { OnceCell::new() };
}

/// Runs once, when the module is loaded.
#[event(start)]
fn start() {
    console_error_panic_hook::set_once();
    console::install();
}

#[event(fetch)]
async fn fetch(
    request: web_sys::Request,
    env: Env,
    context: Context,
) -> worker::Result<web_sys::Response> {
    let web_request = request;
    let (mut request, unread_body) = request::from_web(&web_request)?;
    let runtime_context = JsValue::from(context.as_ref());
    let context = SendWrapper::new(context);
    request.extensions_mut().insert(WaitUntil::new(move |work| context.wait_until(work)));
    request.extensions_mut().insert(visitor::time_zone(web_request));
    let mut router = ROUTER.with(|cell| cell.get_or_init(|| build(&env)).clone());
    let response = tower_service::Service::call(&mut router, request).await;
    if let Some(body) = unread_body {
        body.read_rest(&runtime_context).await;
    }
    response::into_web(response.unwrap_or_else(|never| match never {})).await
}

fn build(env: &Env) -> Router {
    let lookup = |name: &str| env.var(name).ok().map(|value| value.to_string());
    let config = AuthKitConfig::from_lookup(lookup);
    let namespace = kv::WorkersKv::bound(env, store::BINDING);
    match (config, namespace) {
        (Ok(config), Some(namespace)) => {
            let clock: Arc<dyn Clock> = Arc::new(clock::WorkersClock);
            let http = Arc::new(fetch::FetchClient);
            let kv: Arc<dyn KvNamespace> = Arc::new(namespace);
            let authkit = AuthKit::new(config, http, &kv, Arc::clone(&clock));
            app::router(AppState::new(authkit, kv, clock))
        }
        (config, namespace) => {
            let mut error: ConfigError = config.err().unwrap_or_default();
            if namespace.is_none() {
                error.add(store::BINDING, "is not bound to a KV namespace");
            }
            app::misconfigured(&error)
        }
    }
}
