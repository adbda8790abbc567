#![doc = include_str!("../README.md")]
#![warn(missing_debug_implementations)]

pub mod api_keys;
mod authkit;
mod bearer;
pub mod browser;
mod challenge;
mod code_exchanges;
pub mod config;
mod connect;
mod context;
pub mod cookie;
pub mod current_user;
mod error;
pub mod error_layer;
mod events;
#[cfg(test)]
mod fixtures;
mod isolate_cache;
mod json_response;
#[cfg(any(test, feature = "testing"))]
mod key_pair;
pub mod keys;
pub mod layer;
mod me;
mod memberships;
mod oauth_metadata;
mod observer;
pub mod openapi;
mod organization_switch;
pub mod origin;
mod outage;
pub mod own_api_keys;
pub mod portal;
mod rate_limiter;
mod refusal;
mod rejection;
mod renewal;
pub mod routes;
pub mod routing;
pub mod seal;
pub mod secret;
pub mod session;
pub mod session_keeper;
mod session_kept;
pub mod sign_in;
mod signed_out;
#[cfg(feature = "testing")]
pub mod testing;
pub mod token;
pub mod user;
pub mod webhook;
pub mod workos;

pub use authkit::{AuthKit, VerifyError};
pub use bearer::has_bearer;
pub use challenge::Challenge;
pub use config::{AuthKitConfig, ConfigError};
pub use connect::ProtectedResource;
pub use context::RequestContext;
pub use current_user::{BearerUser, CurrentUser, UnscopedUser};
pub use error::AppError;
pub use error_layer::ErrorPage;
pub use events::AuthKitEvent;
pub use layer::layer;
pub use me::MeResponse;
pub use observer::{EndedRequest, Observer};
pub use organization_switch::SwitchError;
pub use outage::Outage;
pub use rate_limiter::RateLimiter;
pub use rejection::{Rejection, Unauthenticated};
pub use routes::routes;
pub use session_keeper::{
    client::RefreshError,
    keeper::{SessionKeeper, session_keeper},
};
