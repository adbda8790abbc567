//! The JSON interface to expenses.

pub mod expenses;

pub use expenses::routes;
