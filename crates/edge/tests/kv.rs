//! The steps of `kv-steps.json` on the memory host. `kv.test.mjs` runs the same steps on a Workers runtime.

#![allow(clippy::unwrap_used, missing_docs)]

mod kv_operation;
mod scenarios;

use std::sync::Arc;

use chrono::Duration;
use edge_host::memory::{ManualClock, MemoryKv};
use serde::Deserialize;
use serde_json::Value;

use kv_operation::Operation;

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Step {
    /// Time passes.
    AdvanceSecs(i64),
    /// An operation and its result.
    Run(Operation, Value),
}

#[tokio::test]
async fn memory_kv_passes_the_steps() {
    let host = || {
        let clock = Arc::new(ManualClock::default());
        (MemoryKv::new(Arc::clone(&clock) as _), clock)
    };
    scenarios::run(
        include_str!("kv-steps.json"),
        host,
        async |(kv, clock), step, place| match step {
            Step::AdvanceSecs(secs) => clock.advance(Duration::seconds(secs)),
            Step::Run(operation, expected) => {
                assert_eq!(kv_operation::run(kv, operation).await, expected, "{place}");
            }
        },
    )
    .await;
}
