//! Expenses: the domain. It depends on KV and the clock, and not on HTTP or JSON requests.
//!
//! `user_expenses` has the use cases; [`model`], [`amount`], `filter` and `summary` have the types;
//! `store`, `keys` and `record` have the storage. `cursor` cuts a list into pages, `idempotency` adds an
//! expense once, `erase` deletes a user's data, and `csv` writes expenses as a table.

pub mod amount;
pub(crate) mod csv;
mod cursor;
pub(crate) mod erase;
pub(crate) mod filter;
pub(crate) mod idempotency;
mod keys;
pub mod model;
mod record;
pub(crate) mod store;
pub(crate) mod summary;
pub(crate) mod user_expenses;

pub(crate) use user_expenses::{Expenses, UserExpenses};
