//! `POST /mcp`: the caller's expenses as tools for agents, by the Model Context Protocol.
//!
//! Streamable HTTP without its streams: a request brings one message, or until revision 2025-03-26 a
//! batch, and the answer is JSON. There is no session, so any isolate answers any message. [`message`] reads and writes JSON-RPC, [`revision`]
//! tells which of the protocol's revisions is spoken, [`tools`] is what agents can do, and `schema` how
//! that is described to them: on the host, into `tools.json` beside this file.
//!
//! The messages are written out here and not the official SDK's: for the five methods there are, its
//! types would be a third of the bundle.

pub mod message;
pub mod revision;
mod routes;
#[cfg(not(target_arch = "wasm32"))]
pub mod schema;
mod tool_error;
pub mod tools;

pub use routes::{PATH, routes};
