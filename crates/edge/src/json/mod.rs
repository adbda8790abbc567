//! Reads the JSON of messages, stored rows and responses of services into structs and enums, and writes it.
//!
//! serde_json compiles a reader of objects and a reader of arrays for each struct, with the text of each error.
//! [`read()`] reads a struct from an object only, and its error has no reason: the code is a third as large. Use it where
//! the caller drops the error, as it must where the text holds tokens. It accepts the texts that serde_json accepts,
//! apart from arrays as structs.
//!
//! The type decides what the text must be. A value of any type (in `serde_json::Value`, `flatten`, `untagged` and tagged
//! enums) can be a string, or an object in which no other object has any type. Types with fractions or maps whose keys are
//! not strings are refused with any text.
//! The text cannot nest deeper than the type, except in members that the type does not have, which are skipped without
//! recursion.
//!
//! [`write()`] is the other direction. It writes what serde_json writes, in half of the code: its errors have no reason
//! either, and it looks for characters to escape in eight bytes at once. Two things differ: a map whose keys are numbers is
//! no JSON, and small fractions may have an exponent.

mod read;
mod write;

pub use read::{Malformed, read, read_bytes, read_with, string_end};
pub use write::{first_to_escape, write, write_to};
