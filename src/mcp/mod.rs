//! `POST /mcp`: the caller's expenses as tools for agents, by the Model Context Protocol.
//!
//! Streamable HTTP without its streams: a request brings one message, or until revision 2025-03-26 a
//! batch, and the response is JSON. There is no session, so any isolate responds to any message. `message`
//! reads and writes JSON-RPC, `revision` tells the protocol's revision, [`tool`] lists the tools, `tools`
//! calls them, `tool_error` has their errors, and `schema` makes their descriptions on the host, for
//! `tools.json` beside this file.
//!
//! The messages are written out here instead of taken from the official SDK: for the five methods, its types
//! would be a third of the bundle.

mod message;
mod revision;
mod routes;
#[cfg(not(target_arch = "wasm32"))]
pub mod schema;
pub mod tool;
mod tool_error;
mod tools;

pub(crate) use routes::{PATH, PATH_WITH_SLASH, receive_message};
