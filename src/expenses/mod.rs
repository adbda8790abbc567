//! Expenses: what a signed-in user keeps.
//!
//! [`model`] says what an expense is, [`validation`] how a body that is none is answered, [`mod@date`]
//! how a day may be written, [`store`] how expenses lie in KV, [`idempotency`] how one is made once,
//! [`erase`] how all of a user's are removed, [`summary`] what they add up to, [`csv`] how they look as
//! a table, [`schema`] how the API's description shows them, [`mod@routes`] what the API answers.

pub mod csv;
pub mod date;
pub mod erase;
pub mod idempotency;
pub mod model;
pub mod routes;
pub mod schema;
pub mod store;
pub mod summary;
pub mod validation;

pub use routes::routes;
pub use store::{Access, ExpenseStore};
