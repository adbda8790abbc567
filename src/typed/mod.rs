//! Expenses as people type them, in forms and in files.
//!
//! [`expense`] has the fields of an expense and the messages for them, `amount` the grammar of amounts, and
//! [`mod@locale`] the formats of languages.

pub(crate) mod amount;
pub mod expense;
pub mod locale;

pub use locale::Locale;
