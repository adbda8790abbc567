//! The tools, and how `tools/list` describes them.

use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::access::Access;

/// The tools' descriptions as `tools/list` has them, made by `schema` on the host.
pub const DOCUMENT: &str = include_str!("tools.json");

static LIST: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_slice(DOCUMENT.as_bytes()).unwrap_or_else(|_| json!([])));

static LIST_JSON: LazyLock<String> = LazyLock::new(|| edge_host::json::write(&*LIST));

/// Every tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// `list_expenses`.
    List,
    /// `add_expense`.
    Add,
    /// `update_expense`.
    Update,
    /// `delete_expense`.
    Delete,
    /// `summarize_expenses`.
    Summarize,
}

impl Tool {
    /// Every tool, in the order of `tools/list`.
    pub const ALL: [Self; 5] = [Self::List, Self::Add, Self::Update, Self::Delete, Self::Summarize];

    /// The name that clients call the tool by.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::List => "list_expenses",
            Self::Add => "add_expense",
            Self::Update => "update_expense",
            Self::Delete => "delete_expense",
            Self::Summarize => "summarize_expenses",
        }
    }

    /// The access that the tool needs.
    #[must_use]
    pub fn access(self) -> Access {
        match self {
            Self::List | Self::Summarize => Access::Read,
            Self::Add | Self::Update | Self::Delete => Access::Write,
        }
    }
}

/// The tools' descriptions.
#[must_use]
pub fn list() -> &'static Value {
    &LIST
}

/// The tools' descriptions as JSON without white space.
pub(super) fn list_json() -> &'static str {
    &LIST_JSON
}

/// The JSON Schema of a tool's arguments.
pub(super) fn input_schema(tool: Tool) -> &'static Value {
    let tools = LIST.as_array().into_iter().flatten();
    let described = tools.into_iter().find(|described| described["name"] == tool.name());
    described.map_or(&Value::Null, |described| &described["inputSchema"])
}
