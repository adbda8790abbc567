//! Runs the target that the variable `FUZZ_TARGET` names under libFuzzer: `local/fuzz.mjs`. One program has all targets,
//! because each one links the whole application.

#![no_main]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

mod targets;

static CHECK: OnceLock<fn(&[u8])> = OnceLock::new();

fuzz_target!(
    init: {
        let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
        let Some((_, check)) = targets::find(&name) else {
            let known = targets::TARGETS.map(|(name, _)| name).join(", ");
            eprintln!("FUZZ_TARGET is {name:?}: set it to one of {known}");
            std::process::exit(2);
        };
        let _ = CHECK.set(check);
    },
    |data: &[u8]| {
        if let Some(check) = CHECK.get() {
            check(data);
        }
    }
);
