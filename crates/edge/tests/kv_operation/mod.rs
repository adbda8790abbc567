//! Runs one operation of `kv-steps.json` on a namespace and returns the result as JSON. The test of the
//! memory host and the Worker of `worker/` share this file.

use edge_host::{KvError, KvErrorKind, KvNamespace, KvPut};
use serde::Deserialize;
use serde_json::{Value, json};

/// An operation with its arguments.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Operation {
    /// `get`
    Get {
        /// The key.
        key: Text,
    },
    /// `get_many`
    GetMany {
        /// The keys.
        keys: Vec<Text>,
    },
    /// `get_many` of the keys `{prefix}0`, `{prefix}1` and so on
    GetNumbered {
        /// The prefix.
        prefix: String,
        /// How many.
        count: usize,
    },
    /// `put`
    Put {
        /// The key.
        key: Text,
        /// The value.
        value: Text,
        /// The metadata as text, which need not be JSON.
        #[serde(default)]
        metadata: Option<Text>,
        /// The time to live.
        #[serde(default)]
        expiration_ttl_secs: Option<u64>,
    },
    /// `delete`
    Delete {
        /// The key.
        key: Text,
    },
    /// `list`, repeated with each response's cursor
    List {
        /// The prefix.
        prefix: Text,
        /// The most keys in one response.
        limit: usize,
    },
}

/// A text: as it is, or `{"before": …, "repeat": …, "times": …, "after": …}`.
#[derive(Deserialize)]
#[serde(from = "Value")]
pub struct Text(String);

impl From<Value> for Text {
    fn from(value: Value) -> Self {
        if let Value::String(text) = value {
            return Self(text);
        }
        let text = |name: &str| value[name].as_str().unwrap_or_default();
        let times = value["times"].as_u64().and_then(|times| usize::try_from(times).ok());
        let repeated = text("repeat").repeat(times.unwrap_or_default());
        Self(format!("{}{repeated}{}", text("before"), text("after")))
    }
}

/// The result of an operation.
pub async fn run(kv: &dyn KvNamespace, operation: Operation) -> Value {
    let result = match operation {
        Operation::Get { key } => kv.get(&key.0).await.map(|value| json!({"value": value})),
        Operation::GetMany { keys } => {
            let keys: Vec<String> = keys.into_iter().map(|key| key.0).collect();
            kv.get_many(&keys).await.map(|values| json!({"values": values}))
        }
        Operation::GetNumbered { prefix, count } => {
            let keys: Vec<String> = (0..count).map(|number| format!("{prefix}{number}")).collect();
            let values = kv.get_many(&keys).await;
            values.map(|values| json!({"present": values.iter().flatten().count()}))
        }
        Operation::Put { key, value, metadata, expiration_ttl_secs } => {
            let metadata = metadata.as_ref().map(|metadata| metadata.0.as_str());
            let options = KvPut { metadata, expiration_ttl_secs };
            kv.put(&key.0, &value.0, options).await.map(|()| json!("done"))
        }
        Operation::Delete { key } => kv.delete(&key.0).await.map(|()| json!("done")),
        Operation::List { prefix, limit } => pages(kv, &prefix.0, limit).await,
    };
    result.unwrap_or_else(
        |error| json!({"error": name(error.kind), "operation": error.operation.to_string()}),
    )
}

async fn pages(kv: &dyn KvNamespace, prefix: &str, limit: usize) -> Result<Value, KvError> {
    let mut pages = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let listing = kv.list(prefix, limit, cursor.as_deref()).await?;
        let page = listing.page::<Value>()?;
        let keys = page.keys.iter().map(|key| json!([key.name, key.metadata]));
        pages.push(keys.collect::<Value>());
        let Some(next) = page.next_cursor() else { break };
        cursor = Some(next.to_owned());
    }
    Ok(json!({"pages": pages}))
}

fn name(kind: KvErrorKind) -> &'static str {
    match kind {
        KvErrorKind::InvalidRequest => "invalid_request",
        KvErrorKind::RateLimited => "rate_limited",
        KvErrorKind::QuotaExceeded => "quota_exceeded",
        KvErrorKind::TimedOut => "timed_out",
        KvErrorKind::Unavailable => "unavailable",
        KvErrorKind::MalformedResponse => "malformed_response",
    }
}
