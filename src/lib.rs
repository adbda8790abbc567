//! WorkOS AuthKit on Cloudflare Workers, and the expense tracker that shows it at work.
//!
//! Where things are:
//!
//! - [`authkit`]: signing in, the sealed session, access tokens, keys. Everything WorkOS, and
//!   nothing of expenses.
//! - [`expenses`]: the domain: types, use cases and storage of expenses. `api`, [`web`] and [`mcp`] are its
//!   interfaces: JSON, HTML, and tools of the Model Context Protocol; `access` has the extractors they share.
//! - [`app`]: the state and the only list of routes and layers.
//! - [`webhooks`]: deletes a user's data on WorkOS's `user.deleted`.
//! - [`web`]: the HTML a browser sees.
//! - [`openapi`]: the API's description, and what it shares among operations.
//! - [`error`]: the one place where errors become HTTP; [`error_layer`]: the layer that logs them and makes
//!   pages of them.
//! - [`browser`]: telling a browser from other clients; [`json`]: answering those.
//! - [`fastapi`]: the grammars of Pydantic and Python, and FastAPI's 422 responses.
//! - [`runtime`]: what the host must provide: time, outgoing requests, key-value storage.
//! - `platform`: that host on Workers. The only folder that names `worker`.
//!
//! Everything but `platform` runs natively, so the router with every handler is under `cargo test`.

mod access;
mod api;
pub mod app;
mod body;
pub mod expenses;
pub mod fastapi;
pub mod json;
pub mod mcp;
pub mod negotiation;
pub mod openapi;
pub mod organization;
pub mod paging;
pub mod security_headers;
pub mod service;
pub mod url_encoded;
pub mod web;
pub mod webhooks;

pub use axum_authkit::{self as authkit, browser, error};
pub use edge_host as runtime;

edge_host::serve!(crate::app::build);
