//! Expenses: what a signed-in user keeps.
//!
//! [`model`] says what an expense is, [`store`] how expenses lie in KV, [`idempotency`] how one is made once,
//! [`erase`] how all of a user's are removed, [`summary`] what they add up to, [`csv`] how they look as
//! a table, [`schema`] how the API's description shows them.

pub mod csv;
pub mod erase;
pub mod idempotency;
pub mod model;
pub mod schema;
pub mod store;
pub mod summary;

pub use store::{Access, ExpenseStore};
