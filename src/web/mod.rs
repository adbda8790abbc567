//! The HTML interface of the expense tracker.

mod error;
pub mod expense_form;
pub mod show;
pub mod submit;
pub mod views;

pub use show::{pages, prefer_pages};
pub use submit::routes;
