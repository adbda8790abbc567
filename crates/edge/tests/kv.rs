//! The steps of `kv-steps.json` on the memory host. `kv.test.mjs` runs the same steps on a Workers runtime.

#![allow(clippy::unwrap_used, missing_docs)]

mod kv_operation;

use std::sync::Arc;

use chrono::Duration;
use edge_host::memory::{ManualClock, MemoryKv};
use serde::Deserialize;
use serde_json::Value;

use kv_operation::Operation;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    name: String,
    steps: Vec<Step>,
}

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
    let scenarios: Vec<Scenario> = serde_json::from_str(include_str!("kv-steps.json")).unwrap();
    for Scenario { name, steps } in scenarios {
        let clock = Arc::new(ManualClock::default());
        let kv = MemoryKv::new(Arc::clone(&clock) as _);
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::AdvanceSecs(secs) => clock.advance(Duration::seconds(secs)),
                Step::Run(operation, expected) => {
                    let result = kv_operation::run(&kv, operation).await;
                    assert_eq!(result, expected, "{name}, step {number}");
                }
            }
        }
    }
}
