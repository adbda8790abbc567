//! The pages' HTML. Views are functions from plain data to [`maud::Markup`], which escapes every value, so
//! that user input never becomes markup. Views read neither requests nor storage; [`crate::web::show`],
//! [`crate::web::submit`] and the error layer of `axum-authkit` call them.
//!
//! [`layout`] is the frame of every page with its style and policy, [`home`] the welcome page, [`overview`]
//! with [`list`] a signed-in visitor's page, [`expense`] one expense and its forms, [`account`] the account,
//! [`mod@error`] the error page, [`docs`] the API documentation, [`api_keys`] the page of API keys, `import` the import
//! of a file, and [`charts`] the charts.
//!
//! Pages work without scripts. Pages with an account have a script of two lines, which reloads a page that
//! the browser restores from the back/forward cache.

pub mod account;
pub mod api_keys;
pub mod charts;
pub mod docs;
pub mod error;
pub mod expense;
pub mod home;
pub(crate) mod import;
pub mod layout;
pub mod list;
pub mod overview;

pub use layout::{
    Account, Layout, consistency_note, content_security_policy, permitted_note, respond,
};
