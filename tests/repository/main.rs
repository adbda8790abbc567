//! Checks of the repository's own text: imports keep to the layers, and the documents name what the code has.
//! The checks read files; none of them runs the application. `source` reads Rust, `modules` finds out which
//! module imports which.

#![allow(clippy::unwrap_used, missing_docs)]
#![allow(clippy::disallowed_types, reason = "tests run where std's maps are seeded")]

mod documents;
mod events;
mod imports;
mod modules;
mod source;
