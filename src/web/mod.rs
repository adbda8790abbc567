//! The HTML interface: pages for browsers, and the forms on them.
//!
//! [`show`] has the pages of expenses, [`account`] the account's, [`submit`] the forms. [`visitor`] is the signed-in
//! person behind a request, [`expense_form`] the fields of an expense's form, `list_query` the query of the list,
//! [`cookies`] the message that a page shows once. [`views`] turns data into HTML.

pub mod account;
pub mod cookies;
mod error;
pub mod expense_form;
pub mod list_query;
pub mod show;
pub mod submit;
pub mod views;
pub mod visitor;
