//! A small application behind `AuthKit::protect`: its responses to requests with a session, with a token,
//! and without either, while WorkOS and KV work and while they fail.

#![allow(clippy::expect_used, clippy::unwrap_used)]

mod callers;
mod environment;
mod error_pages;
mod logs;
mod metadata;
mod origins;
mod rejections;
mod session_cookie;
mod sign_in;
mod site;
mod workos;
