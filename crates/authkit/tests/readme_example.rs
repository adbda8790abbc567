//! Sends requests to the first example of `README.md`.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, missing_docs)]

include!("readme/example.rs");

#[test]
fn first_example_is_the_tested_one() {
    let example = format!("```rust\n{}```", include_str!("readme/example.rs"));
    assert!(
        include_str!("../README.md").contains(&example),
        "copy the block to tests/readme/example.rs"
    );
}

#[test]
fn first_example_protects_its_endpoint() {
    include!("readme/first_request.rs");
}
