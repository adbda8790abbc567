//! WorkOS AuthKit at the edge: sign-in, sealed sessions, access tokens. Knows nothing of what it
//! protects, and could be a crate of its own together with the small modules it stands on:
//! [`crate::runtime`], [`crate::error`], [`crate::validation`] and [`crate::browser`].
//!
//! The dangerous parts first: [`seal`] (cryptography), [`token`], `remembered` and [`keys`] (who signed),
//! [`connect`] (the second issuer), [`sign_in`] (the authorization code flow), [`code_exchanges`] (one code
//! exchange per sign-in), [`origin`] (where a request comes from). On them stand [`session`] and
//! [`cookie`] (what a browser carries), [`workos`] (what WorkOS answers), [`signed_out`] (sessions that
//! stay over) and [`refresh`] (one new session for many requests), and on those [`current_user`] (the
//! [`CurrentUser`] extractor), [`rejection`] (401 and 403 responses), [`layer`] (the layer that hands the browser
//! its new session), [`session_kept`] (the page for browsers that drop it), [`refusal`] (the page for a sign-in
//! that AuthKit refused), [`mod@routes`] and [`oauth_metadata`]. [`webhook`] stands by itself: it verifies
//! WorkOS's events.

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
pub mod isolate_cache;
mod json_response;
pub mod keys;
pub mod layer;
pub mod oauth_metadata;
pub mod openapi;
pub mod origin;
pub mod refresh;
pub mod refusal;
pub mod rejection;
pub mod routes;
pub mod routing;
pub mod seal;
pub mod secret;
pub mod session;
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
pub use layer::layer;
pub use rejection::{Rejection, SignedOut};
pub use routes::routes;
