//! JSON of messages, rows and responses: `edge_host::json` against serde_json.

use std::{borrow::Cow, collections::BTreeMap};

use edge_host::json::{read, read_bytes};
use serde::{Deserialize, Serialize};

/// Every kind of member that messages and records have. Structs inside of others are left out: serde_json reads
/// them from arrays, too.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Row<'a> {
    v: u32,
    #[serde(borrow)]
    name: Cow<'a, str>,
    at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(default)]
    is_done: bool,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    kind: Kind,
    #[serde(default)]
    parts: Vec<Part>,
    #[serde(default)]
    bytes: BTreeMap<String, u8>,
}

#[derive(Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    #[default]
    Unit,
    Newtype(Vec<i8>),
    Pair((i16, Option<String>)),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Part(Option<Box<Kind>>);

pub fn check(data: &[u8]) {
    if !data.trim_ascii_start().starts_with(b"[") {
        let ours = read_bytes::<Row<'_>>(data).ok();
        assert_eq!(ours, serde_json::from_slice(data).ok());
        if let Some(row) = ours {
            let written = serde_json::to_string(&row).unwrap();
            assert_eq!(read(&written), Ok(row));
        }
    }
    assert_eq!(read_bytes::<Kind>(data).ok(), serde_json::from_slice(data).ok());
    assert_eq!(read_bytes::<Vec<Option<Part>>>(data).ok(), serde_json::from_slice(data).ok());
    assert_eq!(read_bytes::<Cow<'_, str>>(data).ok(), serde_json::from_slice(data).ok());
}
