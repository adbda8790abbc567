//! A Worker that runs KV operations: the body of `POST /{number}` is an operation of `kv-steps.json`, which
//! it runs on the namespace `KV_{number}`; the response is the result.

#[path = "../../kv_operation/mod.rs"]
pub mod kv_operation;

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, State},
    routing::post,
};
use edge_host::{Host, KvNamespace};

edge_host::serve!(crate::build);

type Namespaces = Arc<[Arc<dyn KvNamespace>]>;

/// The router, on the namespaces `KV_0`, `KV_1` and so on, as many as are bound.
#[expect(clippy::disallowed_methods, reason = "no API that clients use")]
pub fn build(host: &impl Host) -> Router {
    let namespaces: Namespaces =
        (0..).map_while(|number| host.kv(&format!("KV_{number}"))).collect();
    Router::new().route("/{number}", post(run)).with_state(namespaces)
}

async fn run(
    State(namespaces): State<Namespaces>,
    Path(number): Path<usize>,
    operation: String,
) -> Result<String, String> {
    let kv = namespaces.get(number).ok_or("there is no such namespace")?;
    let operation = serde_json::from_str(&operation).map_err(|error| error.to_string())?;
    Ok(kv_operation::run(&**kv, operation).await.to_string())
}
