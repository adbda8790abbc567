//! Expenses: the domain. It depends on KV, Durable Objects and the clock, and not on HTTP or JSON requests.
//!
//! `user_expenses` has the use cases; [`model`], [`amount`], [`currency`], `filter`, `version`, `idempotency` and
//! `summary` have the types; [`row`] is their JSON; [`ledger`] orders the writes; `store`, `keys` and `record` have the
//! storage in KV. [`events`] are what the domain reports. `batches` reads all expenses, `order` has the orders of a
//! list, `cursor` cuts a list into pages, `export` reads all expenses for a file, `erase` deletes a user's keys within
//! `limits`, `csv` writes expenses as a table and reads them back, and `sorted` sorts.

pub mod amount;
mod batches;
pub(crate) mod csv;
pub mod currency;
mod cursor;
mod erase;
pub mod events;
pub(crate) mod export;
pub(crate) mod filter;
pub(crate) mod idempotency;
#[cfg(all(test, not(target_arch = "wasm32")))]
mod interleavings;
mod keys;
pub mod ledger;
mod limits;
pub mod model;
pub(crate) mod order;
mod record;
pub mod row;
pub(crate) mod sorted;
pub(crate) mod store;
pub(crate) mod summary;
#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests;
pub(crate) mod user_expenses;
pub(crate) mod version;

pub(crate) use keys::Owner;
pub(crate) use user_expenses::{Expenses, UserExpenses};
