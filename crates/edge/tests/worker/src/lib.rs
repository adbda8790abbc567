//! A Worker that runs operations on the runtime, one per request. The body is the operation, the response its result.
//!
//! - `POST /kv/{number}`: an operation of `kv-steps.json` on the namespace `KV_{number}`.
//! - `POST /objects/{name}`: an operation of `object-steps.json` on the object with this name.
//! - `POST /limits/{key}`: counts a call for this key; the response is whether the rate limit allows it.
//! - `POST /tagged/{tag}`: five bytes with the header `x-tag`. The body is there when a key of `KV_0` is read.
//! - `POST /worker/{key}`: reads a key of `KV_0` by the crate `worker`.
//! - `POST /panic`: reads a key of `KV_0`, and then panics.

#[path = "../../kv_operation/mod.rs"]
pub mod kv_operation;
#[path = "../../object_operation/mod.rs"]
pub mod object_operation;

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    extract::{Path, State},
    routing::post,
};
use edge_host::{Host, KvNamespace, ObjectContext, ObjectNamespace, RateLimit};
use futures_util::{FutureExt as _, future::BoxFuture};
use http_body::{Frame, SizeHint};
use object_operation::Stepper;

edge_host::serve!(crate::build_with_environment, Stepper = crate::stepper);

/// The router, with a route by a binding that the traits of the host do not give.
#[cfg(target_arch = "wasm32")]
#[expect(clippy::disallowed_methods, reason = "no API that clients use")]
pub fn build_with_environment(host: &edge_host::workers::WorkersHost) -> Router {
    use edge_host::workers::worker::send::SendFuture;

    let kv = host.env().kv("KV_0").ok();
    let read = async move |Path(key): Path<String>| {
        let kv = kv.ok_or("no namespace is bound")?;
        let read = async move { kv.get(&key).text().await.map_err(|error| error.to_string()) };
        SendFuture::new(read).await.map(|value| value.unwrap_or_else(|| "absent".to_owned()))
    };
    build(host).route("/worker/{key}", post(read))
}

#[derive(Clone)]
struct Bindings {
    kv: Arc<[Arc<dyn KvNamespace>]>,
    objects: Option<Arc<dyn ObjectNamespace>>,
    limit: Option<Arc<dyn RateLimit>>,
}

/// The router, on the namespaces `KV_0`, `KV_1` and so on, as many as are bound, on the objects `STEPPERS` and the
/// rate limit `LIMIT`.
#[expect(clippy::disallowed_methods, reason = "no API that clients use")]
pub fn build(host: &impl Host) -> Router {
    let bindings = Bindings {
        kv: (0..).map_while(|number| host.kv(&format!("KV_{number}"))).collect(),
        objects: host.objects("STEPPERS"),
        limit: host.rate_limit("LIMIT"),
    };
    Router::new()
        .route("/kv/{number}", post(run_on_kv))
        .route("/objects/{name}", post(send_to_object))
        .route("/limits/{key}", post(count))
        .route("/tagged/{tag}", post(respond_tagged))
        .route("/panic", post(read_and_panic))
        .with_state(bindings)
}

/// The factory of the class.
pub fn stepper(host: &impl Host, context: ObjectContext) -> Stepper {
    Stepper::new(host.clock(), context)
}

async fn run_on_kv(
    State(bindings): State<Bindings>,
    Path(number): Path<usize>,
    operation: String,
) -> Result<String, String> {
    let kv = bindings.kv.get(number).ok_or("there is no such namespace")?;
    let operation = serde_json::from_str(&operation).map_err(|error| error.to_string())?;
    Ok(kv_operation::run(&**kv, operation).await.to_string())
}

async fn send_to_object(
    State(bindings): State<Bindings>,
    Path(name): Path<String>,
    operation: String,
) -> Result<String, String> {
    let objects = bindings.objects.ok_or("no objects are bound")?;
    Ok(object_operation::outcome(objects.send(&name, &operation).await).to_string())
}

async fn count(
    State(bindings): State<Bindings>,
    Path(key): Path<String>,
) -> Result<String, String> {
    let limit = bindings.limit.ok_or("no rate limit is bound")?;
    Ok(limit.allows(&key).await.to_string())
}

async fn respond_tagged(
    State(bindings): State<Bindings>,
    Path(tag): Path<String>,
) -> ([(&'static str, String); 1], Body) {
    let kv = bindings.kv.first().cloned();
    let key = tag.clone();
    let read = async move {
        if let Some(kv) = kv {
            let _ = kv.get(&key).await;
        }
    };
    ([("x-tag", tag)], Body::new(LateBody(Some(read.boxed()))))
}

/// A body of known length that is there later.
struct LateBody(Option<BoxFuture<'static, ()>>);

impl HttpBody for LateBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(read) = &mut self.0 else { return Poll::Ready(None) };
        ready!(read.poll_unpin(context));
        self.0 = None;
        Poll::Ready(Some(Ok(Frame::data("later".into()))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(5)
    }
}

#[expect(clippy::panic, reason = "the point of it")]
async fn read_and_panic(State(bindings): State<Bindings>) -> String {
    if let Some(kv) = bindings.kv.first() {
        let _ = kv.get("read before the panic").await;
    }
    panic!("made to panic by a request")
}
