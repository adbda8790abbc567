//! The fuzz targets: each one reads bytes as a stranger sends them, and panics where an invariant does not hold.
//! `fuzz/src/main.rs` runs one of them under libFuzzer; `tests/fuzz_seeds.rs` runs every committed seed in `cargo test`.

#[path = "../../../tests/app/support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the targets use a part of the tests' fakes")]
mod support;

mod accept;
mod cookie;
mod form;
mod import;
mod json_body;
mod json_reader;
mod keeper_message;
mod key_set;
mod ledger_message;
mod mcp_message;
mod merge_patch;
mod query;
mod return_to;
mod router;
mod sealed;
mod stored_record;
mod token;
mod webhook;

/// A target: its name, which is the name of the folder of its seeds, and the function that checks one input.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 17] = [
    ("accept", accept::check),
    ("cookie", cookie::check),
    ("form", form::check),
    ("import", import::check),
    ("json_body", json_body::check),
    ("json_reader", json_reader::check),
    ("keeper_message", keeper_message::check),
    ("key_set", key_set::check),
    ("ledger_message", ledger_message::check),
    ("mcp_message", mcp_message::check),
    ("merge_patch", merge_patch::check),
    ("query", query::check),
    ("return_to", return_to::check),
    ("sealed", sealed::check),
    ("stored_record", stored_record::check),
    ("token", token::check),
    ("webhook", webhook::check),
];

/// The target with this name.
pub fn find(name: &str) -> Option<Target> {
    TARGETS.into_iter().find(|(known, _)| *known == name)
}
