//! What the tests share: [`TestApp`] and the clients that call it.

pub mod api_keys;
pub mod app;
pub mod authkit;
pub mod claims;
pub mod client;
pub mod connect;
#[path = "../../../crates/authkit/tests/protect/logs.rs"]
pub mod logs;
pub mod mcp;
pub mod objects;

pub use edge_host::{KvOperation, memory::ManualClock};

pub use app::TestApp;
pub use authkit::{ADA, GRACE};
pub use client::Client;
