//! Why a tool failed, in words that say what to do next.

use std::fmt::Write as _;

use serde_json::Value;
use thiserror::Error;

use super::tools::{Tool, input_schema};
use crate::{
    expenses::{idempotency::CreateError, model::ExpenseId},
    runtime::KvError,
    validation::{Problem, Problems},
};

/// Most characters of a wrong value that are repeated.
const INPUT_MAX_CHARS: usize = 100;

/// Why a tool has no output. The words are the model's to read.
#[derive(Debug, Error)]
pub(super) enum ToolError {
    /// The arguments are wrong: every problem.
    #[error("The arguments are not valid, and nothing was done:")]
    Arguments(Problems),
    /// An update that names an expense and nothing else.
    #[error(
        "Nothing was changed, because the arguments name nothing to change: give at least one of \
         description, amount, currency, category and date beside the id"
    )]
    NothingToChange,
    /// Also for another user's.
    #[error("There is no expense {0}. It may have been deleted: look with list_expenses")]
    NoSuchExpense(ExpenseId),
    /// A cursor that did not come from here, or goes with other arguments.
    #[error(
        "The arguments are not valid, and nothing was done:\n- cursor: not one of this list; give the \
         next_cursor of the page before with the same category, from and to, or none to begin anew"
    )]
    Cursor,
    /// KV failed to tell.
    #[error(
        "Expenses cannot be reached right now, so nothing can be said about them: try again in a moment"
    )]
    NotReached(KvError),
    /// KV failed to write.
    #[error(
        "Expenses cannot be reached right now, and the change may or may not have been saved: try again in \
         a moment, which is safe"
    )]
    MaybeSaved(KvError),
    /// KV failed to write a new expense that has no key.
    #[error(
        "Expenses cannot be reached right now, and the expense may or may not have been saved: look with \
         list_expenses before you add it again. With an idempotency_key it would be safe to try again"
    )]
    NewMaybeSaved(KvError),
    /// KV failed to write a new expense that has one.
    #[error(
        "Expenses cannot be reached right now, and the expense may or may not have been saved: try again \
         in a moment with the same idempotency_key and arguments, which adds it once"
    )]
    KeyedMaybeSaved(KvError),
    /// The key was used before, for something else.
    #[error(
        "This idempotency_key was used with other arguments, and nothing was added: use a new key for \
         another expense"
    )]
    KeyReused,
    /// Another call with the key takes its time.
    #[error(
        "Another call with this idempotency_key is still being answered: try again in a moment with the \
         same key and arguments"
    )]
    InProcess,
    /// A mistake in here.
    #[error("Something went wrong on the server's side: tell the user")]
    Internal(String),
}

impl ToolError {
    /// What the log is told, and nobody else.
    pub(super) fn cause(&self) -> Option<String> {
        match self {
            Self::NotReached(error)
            | Self::MaybeSaved(error)
            | Self::NewMaybeSaved(error)
            | Self::KeyedMaybeSaved(error) => Some(error.to_string()),
            Self::Internal(cause) => Some(cause.clone()),
            _ => None,
        }
    }

    /// What the model is told: of wrong arguments a line for each problem, with what is allowed.
    pub(super) fn explain(&self, tool: Tool) -> String {
        let mut text = self.to_string();
        if let Self::Arguments(problems) = self {
            let schema = input_schema(tool);
            for problem in problems.iter() {
                // Writing to a string does not fail.
                let _ = write!(text, "\n- {}", explain(problem, schema));
            }
        }
        text
    }
}

fn explain(problem: &Problem, schema: &Value) -> String {
    let name = problem.loc.get(1).and_then(Value::as_str).unwrap_or("arguments");
    let mut line = format!("{name}: {}", problem.msg);
    if problem.kind != "missing" {
        let input = problem.input.to_string();
        let shown: String = input.chars().take(INPUT_MAX_CHARS).collect();
        let rest = if shown.len() < input.len() { "…" } else { "" };
        let _ = write!(line, "; got {shown}{rest}");
    }
    let properties = &schema["properties"];
    let _ = match properties.get(name) {
        Some(allowed) => write!(line, "; allowed is {allowed}"),
        None => {
            let names: Vec<&str> =
                properties.as_object().into_iter().flatten().map(|(name, _)| &**name).collect();
            write!(line, "; the arguments are {}", names.join(", "))
        }
    };
    line
}

impl From<Problems> for ToolError {
    fn from(problems: Problems) -> Self {
        Self::Arguments(problems)
    }
}

impl From<KvError> for ToolError {
    fn from(error: KvError) -> Self {
        if error.is_of_write() { Self::MaybeSaved(error) } else { Self::NotReached(error) }
    }
}

impl From<CreateError> for ToolError {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::Kv(error) if error.is_of_write() => Self::KeyedMaybeSaved(error),
            CreateError::Kv(error) => Self::NotReached(error),
            CreateError::KeyReused => Self::KeyReused,
            CreateError::InProcess => Self::InProcess,
        }
    }
}
