//! The pages' HTML. Views are functions from plain data to [`maud::Markup`], which escapes every value:
//! user input never becomes markup. They read no request and no storage; [`crate::web::show`],
//! [`crate::web::submit`] and the error layer of `axum-authkit` do.
//!
//! [`layout`] is the frame of every page, with its style and its policy; [`home`] the welcome page,
//! [`overview`] with its [`list`] the page of a signed-in visitor, [`expense`] one expense and its forms,
//! [`mod@error`] the page of an error, [`docs`] the API documentation. [`charts`] draws.
//!
//! Pages work without script. Pages that show an account have a script of two lines, which reloads a page
//! that the browser restores from its back/forward cache.

pub mod charts;
pub mod docs;
pub mod error;
pub mod expense;
pub mod home;
pub mod layout;
pub mod list;
pub mod overview;

pub use layout::{Account, Layout, content_security_policy, respond};
