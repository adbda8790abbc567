//! The ledger: one Durable Object for each owner, which orders the owner's writes. It commits each write to a log
//! in its storage, responds, and then writes to KV until KV has it. Reads combine KV with the log, so they show
//! every acknowledged write although KV shows writes late.
//!
//! `object` is the object, `edit` what it decides on the write of an expense, `log` its stored and loaded state with
//! its `entries`, `flush` the transfer to KV, `erasure` the removal of a deleted user's data; `times` has their delays.
//! `messages` has the messages, `texts` the most frequent ones as texts, `client` sends them from an isolate, and
//! `overlay` combines KV with the log.

pub(crate) mod client;
mod edit;
mod entries;
mod erasure;
mod flush;
mod log;
mod messages;
mod object;
pub(crate) mod overlay;
mod texts;
mod times;

pub use object::{Ledger, ledger};

/// The name of the Durable Objects' binding.
pub const BINDING: &str = "LEDGER";
