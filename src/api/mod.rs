//! The JSON interface to expenses: `/expenses`, `/expenses.csv`, `/expenses/summary`, `/expenses/{id}`.

mod error;
pub(crate) mod expenses;
