//! Expenses: the domain. It knows KV and the clock, and neither HTTP nor JSON requests.
//!
//! [`user_expenses`] has the use cases, [`model`], [`amount`], [`filter`] and [`summary`] the types;
//! [`store`], `keys` and `record` the storage, `cursor` the pages, [`idempotency`] adds an expense once,
//! [`erase`] deletes a user's data, and [`csv`] writes expenses as a table.

pub mod amount;
pub mod csv;
mod cursor;
pub mod erase;
pub mod filter;
pub mod idempotency;
mod keys;
pub mod model;
mod record;
pub mod store;
pub mod summary;
pub mod user_expenses;

pub use user_expenses::{Expenses, UserExpenses};
