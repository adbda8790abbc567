//! Calls of tools. The API's parsers read the arguments, and the output is the API's JSON.
//!
//! An error that a model can act on is a result of the tool with `isError`: a client may not show the model
//! errors of the protocol. An outage is one of them: the model can try again. An error that only the client
//! can act on is an error of the protocol, and a missing scope is an HTTP response: the client asks the user
//! for the scope. A permission that the user's role or the API key lacks is for the model again, because no sign-in
//! brings it.

use serde_json::{Map, Value};

use super::{
    message::{Code, RpcError},
    tool::{Tool, input_schema},
    tool_error::ToolError,
};
use crate::{
    events::AppEvent,
    expenses::{
        Expenses, UserExpenses,
        idempotency::IdempotentRequest,
        ledger::overlay::{Consistency, Reading},
        model::ExpenseChanges,
        summary::{CATEGORIES_MAX, Summary},
        user_expenses::{ListError, Page, SumError},
        version::Condition,
    },
    fastapi::{
        Problems, Source,
        expense::{
            ListQuery, parse_expense, parse_id_argument, parse_idempotency_key,
            parse_list_arguments, parse_patch_arguments, parse_summary_arguments,
        },
    },
    json::ObjectText,
    rate_limits::CallerLimits,
};
use axum_authkit::{AppError, CurrentUser, Rejection};
use edge_host::{Cause, Emit as _};

/// The method that calls a tool.
pub const METHOD: &str = "tools/call";

/// The length of a result without its output, for a buffer.
const RESULT_OVERHEAD_BYTES: usize = 400;

/// The last member of an output that may lag. Clients show models the output or its text, but not always both.
const NOTICE: &str = r#","notice":"This result may lack changes of the last minutes, because the newest cannot be read right now. Do not add an expense again because it is missing here"}"#;

/// The request that calls tools.
pub struct Caller<'a> {
    /// Every user's expenses.
    pub expenses: &'a Expenses,
    /// The caller.
    pub user: &'a CurrentUser,
    /// Limits on the caller's requests.
    pub limits: &'a CallerLimits,
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
) -> Result<ObjectText, CallError> {
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
    let Caller { expenses, user, .. } = caller;
    let scope = tool.access().scope();
    if let Err(rejection) = user.require_scope(scope) {
        let is_final = user.claims().is_none_or(|claims| claims.lacks_permission(scope));
        return if is_final {
            Ok(refused(&rejection))
        } else {
            Err(CallError::Refused(Box::new(rejection.into())))
        };
    }
    let expenses = expenses.of_user(user.id());

    Ok(match run(tool, &expenses, arguments).await {
        Ok(Reading { value: mut output, consistency }) => {
            if consistency == Consistency::Eventual {
                output.truncate(output.len().saturating_sub(1));
                output.push_str(NOTICE);
            }
            // The text repeats the output with an escape for each quote.
            ObjectText::with_capacity(output.len() * 5 / 2 + RESULT_OVERHEAD_BYTES)
                .json("structuredContent", &*output)
                .array("content", &[&*output], content)
        }
        Err(error) => {
            if let Some(cause) = error.cause() {
                AppEvent::ToolFailed { tool: tool.name(), cause: Cause(&cause) }.emit();
            }
            failed(&error.explain(tool))
        }
    })
}

/// The result of a call that has not succeeded.
fn failed(text: &str) -> ObjectText {
    ObjectText::with_capacity(text.len() + RESULT_OVERHEAD_BYTES).member("isError", &true).array(
        "content",
        &[text],
        content,
    )
}

/// A part of a result that the model reads.
fn content(part: ObjectText, text: &&str) -> ObjectText {
    part.member("type", "text").text("text", text)
}

/// The result of a call that is refused.
#[must_use]
pub fn refused(rejection: &Rejection) -> ObjectText {
    failed(&format!("{rejection}. Nothing was done"))
}

async fn run(
    tool: Tool,
    expenses: &UserExpenses,
    arguments: Map<String, Value>,
) -> Result<Reading<String>, ToolError> {
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
) -> Result<Reading<String>, ToolError> {
    let query = parse_list_arguments(Value::Object(arguments))?;
    let ListQuery { limit, cursor, sort, filter } = query;
    let page = expenses.list(limit, cursor.as_deref(), &filter, sort).await;
    let page = page.map_err(|error| match error {
        ListError::ForeignCursor => ToolError::ForeignCursor,
        ListError::Kv(error) => ToolError::NotReached(error),
    })?;
    Ok(page.map(|Page { rows, cursor }| {
        let rows = rows.to_json();
        let output = ObjectText::with_capacity(rows.len() + RESULT_OVERHEAD_BYTES);
        text(output.json("expenses", rows).member("next_cursor", &cursor))
    }))
}

async fn add_expense(
    expenses: &UserExpenses,
    mut arguments: Map<String, Value>,
) -> Result<String, ToolError> {
    // First, as in the API, where the key is a header.
    let key = arguments.shift_remove("idempotency_key");
    let key = key.map(|key| parse_idempotency_key(&key, (Source::Body, "idempotency_key")));
    let body = Value::Object(arguments);
    let once = key.transpose();
    let once = once.map(|key| key.map(|key| IdempotentRequest::of_json(key, &body)));
    let (once, new) = Problems::both(once, parse_expense(body))?;
    let has_key = once.is_some();
    let added = expenses.add(new, once).await;
    Ok(added.map_err(|error| ToolError::not_added(error, has_key))?.into_json())
}

async fn update_expense(
    expenses: &UserExpenses,
    arguments: Map<String, Value>,
) -> Result<String, ToolError> {
    let (id, changes) = parse_patch_arguments(Value::Object(arguments))?;
    if changes == ExpenseChanges::default() {
        return Err(ToolError::NothingToChange);
    }
    let changed = expenses.change(id, changes, Condition::default()).await;
    Ok(changed.map_err(|error| ToolError::not_changed(error, id))?.into_json())
}

async fn delete_expense(
    expenses: &UserExpenses,
    arguments: Map<String, Value>,
) -> Result<String, ToolError> {
    let id = parse_id_argument(Value::Object(arguments))?;
    expenses
        .remove(id, Condition::default())
        .await
        .map_err(|error| ToolError::not_removed(error, id))?;
    Ok(text(ObjectText::with_capacity(0).member("id", &id).member("deleted", &true)))
}

async fn summarize_expenses(
    expenses: &UserExpenses,
    arguments: Map<String, Value>,
) -> Result<Reading<String>, ToolError> {
    let filter = parse_summary_arguments(Value::Object(arguments))?;
    let sums = expenses.sum(&filter).await.map_err(|error| match error {
        SumError::TooManyCategories => ToolError::TooManyCategories(CATEGORIES_MAX),
        SumError::Kv(error) => ToolError::NotReached(error),
    })?;
    Ok(sums.map(|sums| Summary::from(sums).to_json()))
}

/// The arguments without those that are `null`: models send `null` for an argument that they leave out,
/// and for `cursor` the last page's `next_cursor`. In a change, `null` resets a field.
fn without_nulls(tool: Tool, mut arguments: Map<String, Value>) -> Map<String, Value> {
    if tool != Tool::Update && arguments.values().any(Value::is_null) {
        let known = &input_schema(tool)["properties"];
        arguments.retain(|name, value| !value.is_null() || known.get(name).is_none());
    }
    arguments
}

/// The text of an output.
fn text(output: ObjectText) -> String {
    // JSON of strings is UTF-8.
    String::from_utf8(output.finish()).unwrap_or_default()
}
