//! WorkOS AuthKit at the edge: sign-in, sealed sessions, access tokens. Knows nothing of what it
//! protects, and could be a crate of its own together with the small modules it stands on:
//! [`crate::runtime`], [`crate::error`], [`crate::validation`] and [`crate::browser`].
//!
//! The dangerous parts first: [`seal`] (cryptography), [`token`], [`verified`] and [`jwks`] (who signed),
//! [`login`] (the authorization code flow), [`origin`] (where a request comes from). On them stand
//! [`session`] and [`cookie`] (what a browser carries), [`client`] (what WorkOS answers) and
//! [`refresh`] (one new session for many requests), and on those [`caller`] (the [`CurrentUser`]
//! extractor), [`carry`] (the layer that hands the browser its new session) and [`mod@routes`].

pub mod caller;
pub mod carry;
pub mod client;
pub mod config;
pub mod cookie;
pub mod jwks;
pub mod login;
pub mod origin;
pub mod refresh;
pub mod routes;
pub mod seal;
pub mod secret;
pub mod session;
pub mod token;
pub mod verified;

use std::sync::Arc;

use thiserror::Error;

pub use caller::CurrentUser;
pub use carry::carry_session;
pub use config::{AuthKitConfig, ConfigError};
pub use routes::routes;

use self::{
    client::{ClientError, WorkosClient},
    jwks::{KeyError, KeySet, KeySetCache},
    refresh::Refresher,
    seal::{Purpose, Sealer},
    token::{TokenError, UntrustedToken, VerifiedClaims},
    verified::{VerifiedToken, VerifiedTokens},
};
use crate::runtime::{Clock, HttpClient, KvNamespace, WaitUntil};

/// One application's AuthKit: its configuration, the keys derived from it and the caches. Made once
/// per isolate, shared by every request.
pub struct AuthKit {
    config: Arc<AuthKitConfig>,
    client: WorkosClient,
    session_keys: Arc<KeySetCache>,
    verified_tokens: VerifiedTokens,
    refresher: Arc<Refresher>,
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
    /// Derives every key from `config`. Key sets and renewed sessions are left in `kv`, sealed, for
    /// other isolates; it may hold other things too, under keys that do not begin with `authkit:`.
    #[must_use]
    pub fn new(
        config: AuthKitConfig,
        http: Arc<dyn HttpClient>,
        kv: &Arc<dyn KvNamespace>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let config = Arc::new(config);
        let client = WorkosClient::new(http, Arc::clone(&config));
        let sealer = |purpose| {
            Sealer::new(purpose, &config.cookie_password, config.cookie_password_previous.as_ref())
        };
        let session_keys = KeySetCache::new(
            client.clone(),
            Arc::clone(kv),
            sealer(Purpose::KeySet),
            Arc::clone(&clock),
        );
        let refresher = Refresher::new(
            client.clone(),
            Arc::clone(kv),
            sealer(Purpose::Rotation),
            Arc::clone(&clock),
        );
        Self {
            session_keys: Arc::new(session_keys),
            verified_tokens: VerifiedTokens::default(),
            refresher: Arc::new(refresher),
            session_sealer: sealer(Purpose::Session),
            sign_in_sealer: sealer(Purpose::SignIn),
            client,
            clock,
            config,
        }
    }

    /// A sealer for something of the application's own, which opens nothing of AuthKit's nor of any
    /// other `name`.
    #[must_use]
    pub fn application_sealer(&self, name: &'static str) -> Sealer {
        let AuthKitConfig { cookie_password, cookie_password_previous, .. } = &*self.config;
        Sealer::new(Purpose::Application(name), cookie_password, cookie_password_previous.as_ref())
    }

    /// Verifies a session access token that must be good now. What must be fetched for it is fetched
    /// to the end under `wait_until`.
    ///
    /// # Errors
    ///
    /// [`VerifyError`].
    pub async fn verify(
        &self,
        token: &str,
        wait_until: Option<&WaitUntil>,
    ) -> Result<VerifiedClaims, VerifyError> {
        let claims = self.verify_expired(token, wait_until).await?;
        if claims.is_expired(self.clock.now()) {
            return Err(TokenError::Expired.into());
        }
        Ok(claims)
    }

    /// Verifies a session access token that may have expired: its signature once for each key set
    /// that an isolate sees.
    async fn verify_expired(
        &self,
        token: &str,
        wait_until: Option<&WaitUntil>,
    ) -> Result<VerifiedClaims, VerifyError> {
        let hash = verified::hash(token);
        if let Some(known) = self.verified_tokens.get(&hash) {
            let key_set = self.key_set(&known.kid, wait_until).await?;
            if Arc::ptr_eq(&key_set, &known.key_set) {
                return Ok(known.claims);
            }
        }
        let length = token.len();
        let token = UntrustedToken::parse(token)?;
        let key_set = self.key_set(token.kid(), wait_until).await?;
        let key = key_set.find(token.kid()).ok_or(TokenError::UnknownKey)?;
        let claims = token.verify(key, &self.config, self.clock.now())?;
        let kid = token.kid().to_owned();
        let verified = VerifiedToken { kid, claims: claims.clone(), key_set };
        self.verified_tokens.insert(hash, verified, length);
        Ok(claims)
    }

    async fn key_set(
        &self,
        kid: &str,
        wait_until: Option<&WaitUntil>,
    ) -> Result<Arc<KeySet>, VerifyError> {
        self.session_keys.set_with(kid, wait_until).await.map_err(|error| match error {
            KeyError::Unknown => TokenError::UnknownKey.into(),
            KeyError::Unavailable(error) => VerifyError::Unavailable(error),
        })
    }
}
