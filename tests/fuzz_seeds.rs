//! Every seed of `fuzz/corpus` through its fuzz target: an input that once failed never fails again. `npm run fuzz`
//! makes new inputs of them.

#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, missing_docs)]
#![allow(clippy::disallowed_types, reason = "tests run where std's maps are seeded")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, panic,
    path::Path,
};

#[path = "../fuzz/src/targets/mod.rs"]
mod targets;

/// Seeds are small, so that a review can read them.
const SEED_MAX_BYTES: usize = 2048;
const MAX_SEEDS: usize = 40;

#[test]
fn every_seed_passes_its_target() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut failed = Vec::new();
    for (name, check) in targets::TARGETS {
        let seeds = fs::read_dir(corpus.join(name)).unwrap().map(|entry| entry.unwrap().path());
        let mut seeds: Vec<_> = seeds.collect();
        seeds.sort();
        assert!((1..=MAX_SEEDS).contains(&seeds.len()), "{name} has {} seeds", seeds.len());
        let seeds = seeds.iter().map(|path| (path.display().to_string(), fs::read(path).unwrap()));
        for (seed, input) in seeds.chain([(format!("the empty input of {name}"), Vec::new())]) {
            assert!(input.len() <= SEED_MAX_BYTES, "{seed} has {} bytes", input.len());
            if panic::catch_unwind(|| check(&input)).is_err() {
                failed.push(seed);
            }
        }
    }
    assert!(failed.is_empty(), "these seeds fail: {failed:#?}");
}

#[test]
fn every_folder_of_seeds_has_a_target() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for entry in fs::read_dir(corpus).unwrap() {
        let name = entry.unwrap().file_name();
        let name = name.to_str().unwrap();
        assert!(targets::find(name).is_some(), "fuzz/corpus/{name} has no target");
    }
}

/// The versions of each package in a lock file.
fn versions(lock: &str) -> BTreeMap<String, BTreeSet<String>> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(lock)).unwrap();
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in text.split("[[package]]").skip(1) {
        let member = |name: &str| {
            let start = format!("{name} = \"");
            let line = package.lines().find_map(|line| line.strip_prefix(&start)).unwrap();
            line.trim_end_matches('"').to_owned()
        };
        versions.entry(member("name")).or_default().insert(member("version"));
    }
    versions
}

#[test]
fn fuzzed_versions_are_those_of_the_worker() {
    let shipped = versions("Cargo.lock");
    for (name, fuzzed) in versions("fuzz/Cargo.lock") {
        let Some(shipped) = shipped.get(&name) else { continue };
        assert!(
            fuzzed.is_subset(shipped),
            "fuzz/Cargo.lock has {name} {fuzzed:?} and Cargo.lock {shipped:?}: copy Cargo.lock to \
             fuzz/Cargo.lock and run cargo metadata --manifest-path fuzz/Cargo.toml"
        );
    }
}
