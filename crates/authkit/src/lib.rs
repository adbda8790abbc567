#![doc = include_str!("../README.md")]

pub mod api_keys;
mod authkit;
pub mod browser;
mod challenge;
pub mod code_exchanges;
pub mod config;
pub mod connect;
pub mod context;
pub mod cookie;
pub mod current_user;
pub mod error;
pub mod error_layer;
pub mod events;
pub mod isolate_cache;
mod json_response;
pub mod keys;
pub mod layer;
mod memberships;
pub mod oauth_metadata;
mod observer;
pub mod openapi;
pub mod origin;
pub mod outage;
pub mod own_api_keys;
pub mod portal;
mod rate_limiter;
pub mod refusal;
pub mod rejection;
pub mod routes;
pub mod routing;
pub mod seal;
pub mod secret;
pub mod session;
pub mod session_keeper;
pub mod session_kept;
pub mod sign_in;
pub mod signed_out;
#[cfg(test)]
mod testing;
pub mod token;
pub mod user;
pub mod webhook;
pub mod workos;

pub use authkit::{AuthKit, VerifyError};
pub use challenge::Challenge;
pub use config::{AuthKitConfig, ConfigError};
pub use connect::ProtectedResource;
pub use context::RequestContext;
pub use current_user::{BearerUser, CurrentUser, UnscopedUser, has_bearer};
pub use error::AppError;
pub use error_layer::ErrorPage;
pub use events::AuthKitEvent;
pub use layer::layer;
pub use observer::{EndedRequest, Observer};
pub use rate_limiter::RateLimiter;
pub use rejection::{Rejection, Unauthenticated};
pub use routes::routes;
pub use session_keeper::{
    client::RefreshError,
    keeper::{SessionKeeper, session_keeper},
};
