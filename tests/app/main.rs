//! The real router with every handler, on fakes: in-memory KV, a scripted AuthKit, a clock that tests
//! set. The files mirror the routes; `tests/e2e` makes the same requests to the bundle on workerd.

#![allow(clippy::unwrap_used, missing_docs)]
#![allow(clippy::disallowed_types, reason = "tests run where std's maps are seeded")]

mod address_limit;
mod api_key_pages;
mod api_keys;
mod bounds;
mod configuration;
mod connect;
mod csv;
mod currencies;
mod errors;
mod events;
mod expenses;
mod fastapi;
mod filters;
mod formats;
mod forms;
mod idempotency;
mod import;
mod keys;
mod ledger;
mod limits;
mod mcp;
mod mcp_calls;
mod mcp_tools;
mod numbers;
mod openapi;
mod organizations;
mod pages;
mod permissions;
mod portal;
mod public_origin;
mod rate_limits;
mod refresh;
mod restore;
mod rows;
mod session;
mod sign_in;
mod sign_in_attacks;
mod sign_out;
mod slow;
mod statuses;
mod storage;
mod support;
mod token_kinds;
mod tokens;
mod unreadable;
mod vectors;
mod webhooks;
