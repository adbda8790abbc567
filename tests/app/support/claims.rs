//! Changes of a token's claims.

use serde_json::Value;

/// The claims with `changes`, an object.
pub fn with(mut claims: Value, changes: Value) -> Value {
    claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    claims
}

/// The claims without this one.
pub fn without(mut claims: Value, name: &str) -> Value {
    claims.as_object_mut().unwrap().remove(name);
    claims
}
