//! Errors of tools, in words that tell the model what to do next.

use std::fmt::Write as _;

use serde_json::Value;
use thiserror::Error;

use super::tool::{Tool, input_schema};
use crate::{
    expenses::{
        ledger::client::WriteError,
        model::ExpenseId,
        user_expenses::{AddError, ChangeError, RemoveError},
    },
    fastapi::{Fault, Problem, Problems, expense::unfit_amount},
};
use edge_host::{KvError, json};

/// Most characters of a wrong value that are repeated.
const INPUT_MAX_CHARS: usize = 100;

/// Why a tool has no output. The model reads the message.
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
    /// A cursor that was made up, or goes with other arguments.
    #[error(
        "The arguments are not valid, and nothing was done:\n- cursor: not one of this list; give the \
         next_cursor of the page before with the same other arguments, or none to begin anew"
    )]
    ForeignCursor,
    /// The expenses to add up have too many categories.
    #[error(
        "These expenses have more than {0} categories, too many for one summary: call the tool for a shorter \
         period, with from and to"
    )]
    TooManyCategories(usize),
    /// The record of the expense cannot be read.
    #[error(
        "The stored record of expense {0} cannot be read, so it cannot be changed: tell the user. \
         delete_expense deletes it, and add_expense adds it again"
    )]
    Unreadable(ExpenseId),
    /// KV failed to read.
    #[error(
        "Expenses cannot be reached right now, so nothing can be said about them: try again in a moment"
    )]
    NotReached(KvError),
    /// Nothing was written.
    #[error(
        "Expenses cannot be reached right now, and nothing was saved: try again in a moment, which is safe"
    )]
    NotSaved(String),
    /// The ledger's log is full.
    #[error(
        "Nothing was saved, because the log of recent changes is full: tell the user to try again in ten \
         minutes"
    )]
    LogFull,
    /// The user was deleted.
    #[error("This account was deleted, and its expenses with it: nothing can be added or changed")]
    UserDeleted,
    /// Another request has changed the expense.
    #[error(
        "The expense was changed by another request, and nothing was done: list it and try again"
    )]
    ConditionNotMet,
    /// The ledger failed, and the write may take effect.
    #[error(
        "Expenses cannot be reached right now, and the change may or may not have been saved: try again in \
         a moment, which is safe"
    )]
    MaybeSaved(String),
    /// As above, for a new expense that has no key.
    #[error(
        "Expenses cannot be reached right now, and the expense may or may not have been saved: look with \
         list_expenses before you add it again. With an idempotency_key it would be safe to try again"
    )]
    NewMaybeSaved(String),
    /// As above, for a new expense that has a key.
    #[error(
        "Expenses cannot be reached right now, and the expense may or may not have been saved: try again \
         in a moment with the same idempotency_key and arguments, which adds it once"
    )]
    KeyedMaybeSaved(String),
    /// The key was used with other arguments.
    #[error(
        "This idempotency_key was used with other arguments, and nothing was added: use a new key for \
         another expense"
    )]
    KeyReused,
}

impl ToolError {
    /// Why an expense was not added; `has_key` where the call had an idempotency key.
    pub(super) fn not_added(error: AddError, has_key: bool) -> Self {
        match error {
            AddError::KeyReused => Self::KeyReused,
            AddError::Write(error) if has_key => Self::not_written(error, Self::KeyedMaybeSaved),
            AddError::Write(error) => Self::not_written(error, Self::NewMaybeSaved),
        }
    }

    /// Why the expense was not changed.
    pub(super) fn not_changed(error: ChangeError, id: ExpenseId) -> Self {
        match error {
            ChangeError::Absent => Self::NoSuchExpense(id),
            ChangeError::Unreadable(id) => Self::Unreadable(id),
            ChangeError::ConditionNotMet => Self::ConditionNotMet,
            ChangeError::Unfit(unfit) => unfit_amount(unfit).into(),
            ChangeError::Write(error) => Self::not_written(error, Self::MaybeSaved),
        }
    }

    /// Why the expense was not deleted.
    pub(super) fn not_removed(error: RemoveError, id: ExpenseId) -> Self {
        match error {
            RemoveError::Absent => Self::NoSuchExpense(id),
            RemoveError::ConditionNotMet => Self::ConditionNotMet,
            RemoveError::Write(error) => Self::not_written(error, Self::MaybeSaved),
        }
    }

    fn not_written(error: WriteError, maybe_saved: impl FnOnce(String) -> Self) -> Self {
        match error {
            WriteError::Erased => Self::UserDeleted,
            WriteError::LogFull => Self::LogFull,
            WriteError::NotWritten(cause) => Self::NotSaved(cause),
            WriteError::MaybeWritten(cause) => maybe_saved(cause),
        }
    }

    /// The cause, for the log alone.
    pub(super) fn cause(&self) -> Option<String> {
        match self {
            Self::NotReached(error) => Some(error.to_string()),
            Self::NotSaved(cause)
            | Self::MaybeSaved(cause)
            | Self::NewMaybeSaved(cause)
            | Self::KeyedMaybeSaved(cause) => Some(cause.clone()),
            Self::LogFull => Some("the ledger's log is full".to_owned()),
            _ => None,
        }
    }

    /// The text for the model: for invalid arguments a line per problem, with the allowed values.
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
    let name = problem.field().unwrap_or("arguments");
    let mut line = format!("{name}: {}", problem.fault);
    if problem.fault != Fault::Missing {
        let input = json::write(&problem.input);
        let shown: String = input.chars().take(INPUT_MAX_CHARS).collect();
        let rest = if shown.len() < input.len() { "…" } else { "" };
        let _ = write!(line, "; got {shown}{rest}");
    }
    let properties = &schema["properties"];
    let _ = match properties.get(name) {
        Some(allowed) => write!(line, "; allowed is {}", json::write(allowed)),
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
