//! `/openapi.json`: that it is what the code says, and that what it allows is what is accepted.

use authkit_edge::{app, openapi};
use utoipa::OpenApi;

const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/openapi/openapi.json");

/// The document as the code has it now.
fn document() -> String {
    let mut document = openapi::Document::openapi();
    document.merge(app::routes().into_openapi());
    let mut text = document.to_pretty_json().unwrap();
    text.push('\n');
    text
}

#[test]
fn the_committed_document_is_what_the_code_says() {
    let document = document();
    if document != openapi::DOCUMENT {
        std::fs::write(COMMITTED, document).unwrap();
        panic!(
            "src/openapi/openapi.json was out of date and is written anew: look at it, commit it"
        );
    }
}
