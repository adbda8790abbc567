//! What a browser sees. Functions from data to [`maud::Markup`], which escapes whatever is put into
//! it: what a user typed never becomes markup. They ask nothing and answer nothing: requests are
//! [`crate::web::show`]'s and [`crate::error_layer`]'s.
//!
//! [`layout`] is what stands around every page, with its style and its policy; [`home`] is for who is
//! not signed in, [`overview`] with its [`list`] for who is, [`expense`] one expense and its forms,
//! [`mod@error`] what is said instead. [`charts`] draws.
//!
//! No page needs a script. Pages that show an account have one of two lines, which reloads a page that
//! the browser restores from its back/forward cache.

pub mod charts;
pub mod docs;
pub mod error;
pub mod expense;
pub mod home;
pub mod layout;
pub mod list;
pub mod overview;

pub use layout::{Account, Layout, content_security_policy, respond};
