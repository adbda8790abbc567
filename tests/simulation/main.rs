//! The real router in a simulation: several locations and isolates, browsers, API clients, MCP clients, webhooks
//! and WorkOS, on one thread with one seed. A model checks every response, and at the end KV alone.
//!
//! `cargo test` runs a few seeds, `npm test` some hundred, and `npm run simulate -- --seeds N [--seed S]` more.
//! A failing seed prints the command that repeats it, and the steps that led to the failure.

#![allow(clippy::unwrap_used, missing_docs)]

mod actions;
mod api_client;
mod browser;
mod chaos;
mod expenses;
mod mcp_client;
mod report;
mod run;
mod sessions;
mod workos;
mod world;

use report::{Progress, Totals};

/// The seeds of `cargo test`, which runs them unoptimised. `npm test` also runs some hundred optimised.
const TEST_SEEDS: u64 = 10;

#[test]
fn seeds_violate_no_invariant() {
    let totals = report::run_seeds(1, TEST_SEEDS, Progress::Silent);
    print!("{totals}");
    assert!(totals.failures.is_empty(), "{}", totals.failures_text());
}

#[test]
fn seed_gives_the_same_run_twice() {
    for seed in [1, 2, 3] {
        let [first, second] = [run::run(seed), run::run(seed)];
        let differing = first.trace.iter().zip(&second.trace).position(|(one, other)| one != other);
        assert_eq!(differing, None, "seed {seed}: {:?}", differing.map(|at| &first.trace[at]));
        assert_eq!(first.fingerprint, second.fingerprint, "seed {seed}");
    }
}

/// `npm run simulate`.
#[test]
#[ignore = "runs by `npm run simulate`"]
fn simulate() {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse().ok());
    let seeds = number("SIMULATE_SEEDS").unwrap_or(1);
    let totals: Totals =
        report::run_seeds(number("SIMULATE_SEED").unwrap_or(1), seeds, Progress::Shown);
    print!("{totals}");
    assert!(totals.failures.is_empty(), "{}", totals.failures_text());
}
