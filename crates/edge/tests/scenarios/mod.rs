//! Files of scenarios: steps that a host performs in order. `scenarios.mjs` runs them on a Workers runtime.

use serde::{Deserialize, de::DeserializeOwned};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario<Step> {
    name: String,
    steps: Vec<Step>,
}

/// Performs the steps of each scenario in `file` on a host of its own. `perform` gets the step's place in the file,
/// for messages.
pub async fn run<Step: DeserializeOwned, Host>(
    file: &str,
    host: impl Fn() -> Host,
    perform: impl AsyncFn(&Host, Step, &str),
) {
    let scenarios: Vec<Scenario<Step>> = serde_json::from_str(file).unwrap();
    for Scenario { name, steps } in scenarios {
        let host = host();
        for (number, step) in steps.into_iter().enumerate() {
            perform(&host, step, &format!("{name}, step {number}")).await;
        }
    }
}
