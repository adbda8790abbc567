//! An expense tracker on Cloudflare Workers that signs people in through WorkOS AuthKit.
//!
//! - [`app`]: the state and the list of all routes; [`security_headers`] of every response.
//! - [`expenses`]: the domain: what an expense is, the use cases, the KV schema. It knows no HTTP.
//! - Three interfaces to the domain, which do not know each other: `api` (JSON), [`web`] (HTML) and [`mcp`]
//!   (tools for agents). `access` gives them the caller's expenses, `expense_errors` the responses to failures.
//! - `negotiation`: chooses the JSON or the HTML handler of a path. [`api_keys`], [`organization`], [`portal`],
//!   [`service`], [`webhooks`]: the other routes of the app. [`rate_limits`] and [`uploads`]: limits of callers.
//! - `import`: reads the expenses of a CSV file, for programs and as a page.
//! - [`typed`]: amounts, dates and texts as people type them, for the pages and the import.
//! - [`fastapi`]: the grammars of Pydantic and Python, and FastAPI's 422 responses.
//! - [`openapi`]: the API's description.
//! - `conditions`, `body`, [`json`], [`url_encoded`], [`paging`]: reading requests and writing responses.
//! - [`events`]: what the application reports beside the domain; [`request_log`]: the line that each request leaves.
//! - The crate `axum-authkit` has sign-in, sealed sessions and access tokens; the crate `edge-host` has the
//!   host's clock, HTTP client and KV as traits.
//! - The crate in `crates/worker` makes a Worker of it.
//!
//! Everything but `edge-host`'s Workers host compiles natively: `cargo test` runs the router with every handler.

mod access;
mod api;
pub mod api_keys;
pub mod app;
mod body;
mod conditions;
pub mod events;
mod expense_errors;
pub mod expenses;
pub mod fastapi;
mod import;
pub mod json;
pub mod mcp;
pub mod negotiation;
pub mod openapi;
pub mod organization;
pub mod paging;
pub mod portal;
pub mod rate_limits;
pub mod request_log;
pub mod security_headers;
pub mod service;
pub mod typed;
pub mod uploads;
pub mod url_encoded;
pub mod web;
pub mod webhooks;

pub use expenses::ledger::ledger;
