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
    let Ok(text) = std::str::from_utf8(data) else {
        // serde_json skips members without a look at their encoding.
        assert!(read_bytes::<Row<'_>>(data).is_err() && read_bytes::<Kind>(data).is_err());
        return;
    };
    if !text.trim_start().starts_with('[') {
        let ours = read::<Row<'_>>(text).ok();
        assert_eq!(ours, serde_json::from_str(text).ok());
        if let Some(row) = ours {
            let written = serde_json::to_string(&row).unwrap();
            assert_eq!(read(&written), Ok(row));
        }
    }
    assert_eq!(read::<Kind>(text).ok(), serde_json::from_str(text).ok());
    assert_eq!(read::<Vec<Option<Part>>>(text).ok(), serde_json::from_str(text).ok());
    assert_eq!(read::<Cow<'_, str>>(text).ok(), serde_json::from_str(text).ok());
}
