//! WorkOS AuthKit at the edge: sign-in, sealed sessions, access tokens. Knows nothing of what it
//! protects, and could be a crate of its own together with [`crate::runtime`] and [`crate::error`].
//!
//! The dangerous parts first: [`seal`] (cryptography), [`token`] and [`jwks`] (who signed),
//! [`login`] (the authorization code flow), [`origin`] (where a request comes from). On them stand
//! [`session`] and [`cookie`] (what a browser carries), [`client`] (what WorkOS answers), and on
//! those [`caller`] (the [`CurrentUser`] extractor) and [`routes`].

pub mod caller;
pub mod client;
pub mod config;
pub mod cookie;
pub mod jwks;
pub mod login;
pub mod origin;
pub mod routes;
pub mod seal;
pub mod secret;
pub mod session;
pub mod token;

use std::sync::Arc;

use thiserror::Error;

pub use caller::CurrentUser;
pub use config::{AuthKitConfig, ConfigError};
pub use routes::routes;

use self::{
    client::{ClientError, WorkosClient},
    jwks::{KeyError, KeySetCache},
    seal::{Purpose, Sealer},
    token::{TokenError, UntrustedToken, VerifiedClaims},
};
use crate::runtime::{Clock, HttpClient};

/// One application's AuthKit: its configuration, the keys derived from it and the caches. Made once
/// per isolate, shared by every request.
pub struct AuthKit {
    config: Arc<AuthKitConfig>,
    client: WorkosClient,
    session_keys: KeySetCache,
    session_sealer: Sealer,
    sign_in_sealer: Sealer,
    clock: Arc<dyn Clock>,
}

/// Why a token's bearer is not known.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum VerifyError {
    /// The token is no good.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// It could not be told, because WorkOS's keys are not to be had.
    #[error(transparent)]
    Unavailable(ClientError),
}

impl AuthKit {
    /// Derives every key from `config`.
    #[must_use]
    pub fn new(config: AuthKitConfig, http: Arc<dyn HttpClient>, clock: Arc<dyn Clock>) -> Self {
        let config = Arc::new(config);
        let client = WorkosClient::new(http, Arc::clone(&config));
        let sealer = |purpose| {
            Sealer::new(purpose, &config.cookie_password, config.cookie_password_previous.as_ref())
        };
        Self {
            session_keys: KeySetCache::new(client.clone(), Arc::clone(&clock)),
            session_sealer: sealer(Purpose::Session),
            sign_in_sealer: sealer(Purpose::SignIn),
            client,
            clock,
            config,
        }
    }

    /// Verifies a session access token. One that has expired is refused like any other.
    ///
    /// # Errors
    ///
    /// [`VerifyError`].
    pub async fn verify(&self, token: &str) -> Result<VerifiedClaims, VerifyError> {
        let token = UntrustedToken::parse(token)?;
        let key_set = match self.session_keys.set_with(token.kid()).await {
            Ok(key_set) => key_set,
            Err(KeyError::Unknown) => return Err(TokenError::UnknownKey.into()),
            Err(KeyError::Unavailable(error)) => return Err(VerifyError::Unavailable(error)),
        };
        let key = key_set.find(token.kid()).ok_or(TokenError::UnknownKey)?;
        let claims = token.verify(key, &self.config, self.clock.now())?;
        if claims.is_expired(self.clock.now()) {
            return Err(TokenError::Expired.into());
        }
        Ok(claims)
    }
}
