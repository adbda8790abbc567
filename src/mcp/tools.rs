//! Calls of tools. The API's parsers read the arguments, and the output is the API's JSON.
//!
//! An error that a model can act on is a result of the tool with `isError`: a client may not show the model
//! errors of the protocol. An outage is one of them: the model can try again. An error that only the client
//! can act on is an error of the protocol, and a missing scope is an HTTP response: the client asks the user
//! for the scope.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    message::{Code, RpcError},
    tool::{Tool, input_schema},
    tool_error::ToolError,
};
use crate::{
    expenses::{
        Expenses, UserExpenses,
        idempotency::IdempotentRequest,
        ledger::overlay::{Consistency, Reading},
        model::ExpenseChanges,
        summary::Summary,
        user_expenses::ListError,
        version::Condition,
    },
    fastapi::{
        Problems, Source,
        expense::{
            ListQuery, SummaryQuery, parse_expense, parse_id_argument, parse_idempotency_key,
            parse_list_arguments, parse_patch_arguments, parse_summary_arguments,
        },
    },
    rate_limits::CallerLimits,
};
use axum_authkit::{AppError, CurrentUser, Rejection};

/// The method that calls a tool.
pub const METHOD: &str = "tools/call";

/// A sentence of a result that may lag.
const EVENTUAL: &str = "This result may lack changes of the last minutes, because the newest cannot be read right now. \
    Do not add an expense again because it is missing here";

/// The request that calls tools.
pub struct Caller<'a> {
    /// Every user's expenses.
    pub expenses: &'a Expenses,
    /// The caller.
    pub user: &'a CurrentUser,
    /// Limits on the caller's requests.
    pub limits: &'a CallerLimits,
    /// The id of the request in the log.
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
    let Caller { expenses, user, request_id, .. } = caller;
    user.require_scope(tool.access().scope())
        .map_err(|error| CallError::Refused(Box::new(error.into())))?;
    let expenses = expenses.of_user(user.id());

    let mut result = Map::new();
    let mut content = Vec::new();
    match run(tool, &expenses, arguments).await {
        Ok(Reading { value: output, consistency }) => {
            content.push(json!({"type": "text", "text": output.to_string()}));
            if consistency == Consistency::Eventual {
                content.push(json!({"type": "text", "text": EVENTUAL}));
            }
            result.insert("structuredContent".to_owned(), output);
        }
        Err(error) => {
            if let Some(cause) = error.cause() {
                log::error!("{request_id} POST /mcp {}: {cause}", tool.name());
            }
            result.insert("isError".to_owned(), json!(true));
            content.push(json!({"type": "text", "text": error.explain(tool)}));
        }
    }
    result.insert("content".to_owned(), Value::Array(content));
    Ok(result)
}

/// The result of a call beyond the caller's limit.
#[must_use]
pub fn too_many_calls(rejection: &Rejection) -> Map<String, Value> {
    let mut result = Map::new();
    result.insert("isError".to_owned(), json!(true));
    let text = format!("{rejection}. Nothing was done");
    result.insert("content".to_owned(), json!([{"type": "text", "text": text}]));
    result
}

async fn run(
    tool: Tool,
    expenses: &UserExpenses,
    arguments: Map<String, Value>,
) -> Result<Reading<Value>, ToolError> {
    match tool {
        Tool::List => list_expenses(expenses, arguments).await,
        Tool::Add => add_expense(expenses, arguments).await.map(Reading::strong),
        Tool::Update => update_expense(expenses, arguments).await.map(Reading::strong),
        Tool::Delete => delete_expense(expenses, arguments).await.map(Reading::strong),
        Tool::Summarize => summarize_expenses(expenses, arguments).await,
    }
}

async fn list_expenses(
    expenses: &UserExpenses,
    arguments: Map<String, Value>,
) -> Result<Reading<Value>, ToolError> {
    let ListQuery { limit, cursor, filter } = parse_list_arguments(Value::Object(arguments))?;
    let page = expenses.list(limit, cursor.as_deref(), &filter).await;
    let page = page.map_err(|error| match error {
        ListError::ForeignCursor => ToolError::ForeignCursor,
        ListError::Kv(error) => ToolError::NotReached(error),
    })?;
    Ok(page.map(|page| json!({"expenses": page.expenses, "next_cursor": page.cursor})))
}

async fn add_expense(
    expenses: &UserExpenses,
    mut arguments: Map<String, Value>,
) -> Result<Value, ToolError> {
    // First, as in the API, where the key is a header.
    let key = arguments.shift_remove("idempotency_key");
    let key = key.map(|key| parse_idempotency_key(&key, (Source::Body, "idempotency_key")));
    let body = Value::Object(arguments);
    let once = key.transpose();
    let once = once.map(|key| key.map(|key| IdempotentRequest::of_json(key, &body)));
    let (once, new) = Problems::both(once, parse_expense(body))?;
    let has_key = once.is_some();
    let added = expenses.add(new, once).await;
    output(&added.map_err(|error| ToolError::not_added(error, has_key))?)
}

async fn update_expense(
    expenses: &UserExpenses,
    arguments: Map<String, Value>,
) -> Result<Value, ToolError> {
    let (id, changes) = parse_patch_arguments(Value::Object(arguments))?;
    if changes == ExpenseChanges::default() {
        return Err(ToolError::NothingToChange);
    }
    let changed = expenses.change(id, changes, Condition::default()).await;
    output(&changed.map_err(|error| ToolError::not_changed(error, id))?)
}

async fn delete_expense(
    expenses: &UserExpenses,
    arguments: Map<String, Value>,
) -> Result<Value, ToolError> {
    let id = parse_id_argument(Value::Object(arguments))?;
    expenses
        .remove(id, Condition::default())
        .await
        .map_err(|error| ToolError::not_removed(error, id))?;
    Ok(json!({"id": id, "deleted": true}))
}

async fn summarize_expenses(
    expenses: &UserExpenses,
    arguments: Map<String, Value>,
) -> Result<Reading<Value>, ToolError> {
    let SummaryQuery { currency, filter } = parse_summary_arguments(Value::Object(arguments))?;
    let sums = expenses.sum(currency, &filter).await.map_err(ToolError::NotReached)?;
    let Reading { value, consistency } = sums;
    Ok(Reading { value: output(&Summary::from(value))?, consistency })
}

/// The arguments without those that are `null`: models send `null` for an argument that they leave out,
/// and for `cursor` the last page's `next_cursor`. In a change, `null` resets a field.
fn without_nulls(tool: Tool, mut arguments: Map<String, Value>) -> Map<String, Value> {
    let known = &input_schema(tool)["properties"];
    if tool != Tool::Update {
        arguments.retain(|name, value| !value.is_null() || known.get(name).is_none());
    }
    arguments
}

fn output(value: &impl Serialize) -> Result<Value, ToolError> {
    serde_json::to_value(value).map_err(|error| ToolError::Internal(error.to_string()))
}
