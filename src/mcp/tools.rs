//! What agents can do. A tool's arguments are read by what reads the API's bodies and queries, and its
//! output is what the API answers.
//!
//! What a model can mend by itself is a result of the tool with `isError`, never an error of the protocol,
//! of which it may not be told. So is an outage, which is over when it tries again. What only the client
//! can mend is an error of the protocol's, and a scope that is missing is HTTP's: the client asks the user
//! for it.

use std::sync::LazyLock;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    message::{Code, RpcError},
    tool_error::ToolError,
};
use crate::{
    app::AppState,
    authkit::{Challenge, CurrentUser},
    error::AppError,
    expenses::{
        Access,
        idempotency::{canonical, parse_key},
        model::{Expense, ExpenseId},
        store::{ListError, UserExpenses},
        summary::Summary,
    },
    fastapi::expense::{self, ListQuery, SummaryQuery},
    runtime::WaitUntil,
    validation::{Fields, Problem, Problems, parse_string},
};

/// The tools' descriptions as `tools/list` has them, made by `schema` on the host.
pub const DOCUMENT: &str = include_str!("tools.json");

static LIST: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(DOCUMENT).unwrap_or_else(|_| json!([])));

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
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 5] = [Self::List, Self::Add, Self::Update, Self::Delete, Self::Summarize];

    /// What it is called.
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

    /// What it does with expenses.
    #[must_use]
    pub fn access(self) -> Access {
        match self {
            Self::List | Self::Summarize => Access::Read,
            Self::Add | Self::Update | Self::Delete => Access::Write,
        }
    }
}

/// Who calls a tool.
pub struct Caller<'a> {
    /// The application.
    pub state: &'a AppState,
    /// Whose expenses.
    pub user: &'a CurrentUser,
    /// What is said where a scope is missing.
    pub challenge: &'a Challenge,
    /// What finishes a write although the client goes away.
    pub wait_until: Option<WaitUntil>,
    /// The request, as the log names it.
    pub request_id: &'a str,
}

/// Why a tool was not called.
#[derive(Debug)]
pub enum CallError {
    /// There is no such tool, or the call has not the form of one.
    Protocol(RpcError),
    /// The caller may not call it.
    Refused(Box<AppError>),
}

/// The tools' descriptions.
#[must_use]
pub fn list() -> &'static Value {
    &LIST
}

/// One argument of a tool's, or all of them, as JSON Schema has it.
pub(super) fn input_schema(tool: Tool) -> &'static Value {
    let tools = LIST.as_array().into_iter().flatten();
    let described = tools.into_iter().find(|described| described["name"] == tool.name());
    described.map_or(&Value::Null, |described| &described["inputSchema"])
}

/// Calls the tool that `params` name; the result says whether it went well.
///
/// # Errors
///
/// [`CallError`].
pub async fn call(
    caller: &Caller<'_>,
    params: &mut Map<String, Value>,
) -> Result<Map<String, Value>, CallError> {
    let invalid = |message| CallError::Protocol(RpcError::new(Code::InvalidParams, message));
    let Some(Value::String(name)) = params.get("name") else {
        return Err(invalid("Invalid params: the tool's name is missing".to_owned()));
    };
    let tool = Tool::ALL
        .into_iter()
        .find(|tool| tool.name() == name)
        .ok_or_else(|| invalid(format!("Unknown tool: {name}")))?;
    let arguments = match params.remove("arguments") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(arguments)) => without_nulls(tool, arguments),
        Some(_) => return Err(invalid("Invalid params: arguments must be an object".to_owned())),
    };
    let Caller { state, user, challenge, wait_until, request_id } = caller;
    let expenses = UserExpenses::of_caller(state, user, tool.access(), challenge)
        .map_err(|error| CallError::Refused(Box::new(error)))?
        .finishing_by(wait_until.clone());

    let mut result = Map::new();
    let text = match run(tool, state, &expenses, arguments).await {
        Ok(output) => {
            let text = output.to_string();
            result.insert("structuredContent".to_owned(), output);
            text
        }
        Err(error) => {
            if let Some(cause) = error.cause() {
                log::error!("{request_id} POST /mcp {}: {cause}", tool.name());
            }
            result.insert("isError".to_owned(), json!(true));
            error.explain(tool)
        }
    };
    result.insert("content".to_owned(), json!([{"type": "text", "text": text}]));
    Ok(result)
}

async fn run(
    tool: Tool,
    state: &AppState,
    expenses: &UserExpenses,
    arguments: Map<String, Value>,
) -> Result<Value, ToolError> {
    match tool {
        Tool::List => list_expenses(expenses, arguments).await,
        Tool::Add => add_expense(state, expenses, arguments).await,
        Tool::Update => update_expense(state, expenses, arguments).await,
        Tool::Delete => delete_expense(expenses, arguments).await,
        Tool::Summarize => summarize_expenses(expenses, arguments).await,
    }
}

async fn list_expenses(
    expenses: &UserExpenses,
    arguments: Map<String, Value>,
) -> Result<Value, ToolError> {
    let ListQuery { limit, cursor, filter } =
        expense::parse_list_arguments(Value::Object(arguments))?;
    let page = expenses.list(limit, cursor.as_deref(), &filter).await;
    let page = page.map_err(|error| match error {
        ListError::Cursor => ToolError::Cursor,
        ListError::Kv(error) => error.into(),
    })?;
    Ok(json!({"expenses": page.expenses, "next_cursor": page.cursor}))
}

async fn add_expense(
    state: &AppState,
    expenses: &UserExpenses,
    mut arguments: Map<String, Value>,
) -> Result<Value, ToolError> {
    let now = state.clock.now();
    // In the order of the API, where it is a header.
    let key = arguments.shift_remove("idempotency_key");
    let key = key.map(|key| parse_key(key, &["body", "idempotency_key"])).transpose();
    let body = Value::Object(arguments);
    let once = key.map(|key| key.map(|key| (key, canonical(&body)))).map_err(Problems::from);
    let content = expense::parse_expense(body, now.date_naive());
    let (once, content) = Problems::both(once, content)?;
    let expense = Expense::new(content, now);
    let Some((key, canonical_body)) = once else {
        expenses.put(&expense).await.map_err(ToolError::NewMaybeSaved)?;
        return output(&expense);
    };
    let expense = expenses.create_once(expense, &key, canonical_body.as_bytes()).await?;
    output(&expense)
}

async fn update_expense(
    state: &AppState,
    expenses: &UserExpenses,
    mut arguments: Map<String, Value>,
) -> Result<Value, ToolError> {
    let now = state.clock.now();
    let id = take_id(&mut arguments);
    let changes_nothing = arguments.is_empty();
    let changes = expense::parse_patch(Value::Object(arguments), now.date_naive());
    let (id, changes) = Problems::both(id, changes)?;
    if changes_nothing {
        return Err(ToolError::NothingToChange);
    }
    let expense = expenses.get(id).await?.ok_or(ToolError::NoSuchExpense(id))?;
    let content = changes.apply(&expense.content);
    let changed = Expense { content, updated_at: now.into(), ..expense };
    expenses.put(&changed).await?;
    output(&changed)
}

async fn delete_expense(
    expenses: &UserExpenses,
    mut arguments: Map<String, Value>,
) -> Result<Value, ToolError> {
    let id = take_id(&mut arguments);
    let others = Fields::of(Value::Object(arguments)).and_then(|rest| rest.finish().into_result());
    let (id, ()) = Problems::both(id, others)?;
    if expenses.delete(id).await? {
        Ok(json!({"id": id, "deleted": true}))
    } else {
        Err(ToolError::NoSuchExpense(id))
    }
}

async fn summarize_expenses(
    expenses: &UserExpenses,
    arguments: Map<String, Value>,
) -> Result<Value, ToolError> {
    let SummaryQuery { currency, filter } =
        expense::parse_summary_arguments(Value::Object(arguments))?;
    let sums = expenses.sum(currency.as_deref(), &filter).await?;
    output(&Summary::from(sums))
}

/// Without the arguments that are `null`: models give so what they leave out, as `cursor` what the last
/// page has answered. In a change it means that a default is put back.
fn without_nulls(tool: Tool, mut arguments: Map<String, Value>) -> Map<String, Value> {
    let known = &input_schema(tool)["properties"];
    if tool != Tool::Update {
        arguments.retain(|name, value| !value.is_null() || known.get(name).is_none());
    }
    arguments
}

fn take_id(arguments: &mut Map<String, Value>) -> Result<ExpenseId, Problems> {
    let loc = ["body", "id"];
    let Some(id) = arguments.shift_remove("id") else {
        let input = Value::Object(arguments.clone());
        return Err(Problem::new("missing", &loc, "Field required", input).into());
    };
    let text = parse_string(id, &loc)?;
    ExpenseId::parse(&text).map_err(|_| {
        Problem::new("value_error", &loc, "Value error, not an expense id", json!(text)).into()
    })
}

fn output(value: &impl Serialize) -> Result<Value, ToolError> {
    serde_json::to_value(value).map_err(|error| ToolError::Internal(error.to_string()))
}
