//! [`AuthKit`]: the state that all requests of an isolate share. It verifies tokens and opens sessions.

use std::sync::Arc;

use edge_host::{
    Clock, Host, HttpClient, KvNamespace, MeasuredHttpClient, ObjectNamespace, SignatureVerifier,
    TimedKv, WaitUntil, note_user,
};
use http::{HeaderMap, HeaderName, header};
use thiserror::Error;
use url::Url;

use crate::{
    api_keys::ApiKeys,
    code_exchanges::CodeExchanges,
    config::{AuthKitConfig, ConfigError},
    connect::{Connect, ConnectSource, ProtectedResource},
    error_layer::{ErrorPage, REQUEST_ID_HEADER, RenderError, SetHeaders, plain_page},
    isolate_cache::{CachedSession, CachedToken, IsolateCache},
    keys::{KeyError, KeySet, KeySetCache},
    memberships::Memberships,
    observer::{EndedRequest, Observer},
    origin::RequestOrigin,
    outage::Outage,
    rate_limiter::RateLimiter,
    seal::{Purpose, Sealer, UserHasher},
    session::{OpenedSession, Session},
    session_keeper::client::SessionKeepers,
    token::{SignatureCheckError, TokenError, TokenKind, UntrustedToken, VerifiedClaims},
    workos::WorkosClient,
};

edge_host::opaque_debug!(AuthKit);

/// WorkOS in the scope of a request.
const WORKOS: &str = "workos";

/// The host of WorkOS, beside which there is the local AuthKit.
const WORKOS_HOST: &str = "api.workos.com";
/// AuthKit's pages, where `WORKOS_AUTHKIT_DOMAIN` does not say which.
const AUTHKIT_ORIGINS: &str = "https://*.authkit.app";

/// The period of the binding, which is the `Retry-After` of a rejection. Rate limits of Workers have periods of 10
/// and 60 seconds.
const ADDRESS_LIMIT_PERIOD_SECS: u32 = 60;

/// The AuthKit of one application: its configuration, the keys derived from it, and its caches. An isolate
/// makes one and shares it among its requests.
pub struct AuthKit {
    pub(crate) config: Arc<AuthKitConfig>,
    pub(crate) client: WorkosClient,
    pub(crate) session_keys: Arc<KeySetCache>,
    /// `None` where `WORKOS_AUTHKIT_DOMAIN` is not set.
    pub(crate) connect: Option<Connect>,
    pub(crate) resource: ProtectedResource,
    /// `None` unless `WORKOS_API_KEYS` is `on`.
    pub(crate) api_keys: Option<ApiKeys>,
    pub(crate) signed_tokens: IsolateCache<CachedToken>,
    pub(crate) opened_sessions: IsolateCache<CachedSession>,
    pub(crate) memberships: Memberships,
    pub(crate) session_keepers: Arc<SessionKeepers>,
    pub(crate) session_sealer: Sealer,
    pub(crate) sign_in_sealer: Sealer,
    pub(crate) sign_in_state_sealer: Sealer,
    pub(crate) code_exchanges: CodeExchanges,
    pub(crate) clock: Arc<dyn Clock>,
    signatures: Arc<dyn SignatureVerifier>,
    pub(crate) address_limit: RateLimiter,
    pub(crate) landing_path: Box<str>,
    pub(crate) render_error: RenderError,
    pub(crate) set_headers: Option<SetHeaders>,
    pub(crate) observer: Option<Observer>,
    pub(crate) user_hasher: UserHasher,
}

/// Why a token was not verified.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum VerifyError {
    /// The token is invalid.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// WorkOS's keys cannot be fetched, or the host cannot verify signatures, so the token is neither valid nor
    /// invalid.
    #[error(transparent)]
    Unavailable(Outage),
}

/// The tokens that a check accepts.
#[derive(Clone, Copy)]
enum Accepted {
    SessionTokens,
    /// Those of Connect too.
    All,
}

impl Accepted {
    fn includes(self, kind: TokenKind) -> bool {
        matches!(self, Self::All) || kind == TokenKind::Session
    }
}

impl AuthKit {
    /// The name of AuthKit's KV binding in `wrangler.toml`.
    pub const KV_BINDING: &str = "AUTHKIT";
    /// The name of the binding to the Durable Objects of [`session_keeper`](crate::session_keeper()).
    pub const SESSIONS_BINDING: &str = "SESSIONS";
    /// The name of the binding to the rate limit for sign-ins and refused credentials of one address. Without the
    /// binding there is no limit.
    pub const ADDRESS_LIMIT_BINDING: &str = "ADDRESS_RATE_LIMIT";

    /// The headers of requests that AuthKit reads: an application that calls [`Host::limit_request_headers`] names them
    /// with its own, and [`SIGNATURE_HEADER`](crate::webhook::SIGNATURE_HEADER) where it takes webhooks.
    ///
    /// # Security
    ///
    /// If `Origin` and `Sec-Fetch-Site` are left out, AuthKit accepts forms of other sites' pages (CSRF): a request
    /// without these headers counts as one of a client that is not a browser.
    pub const REQUEST_HEADERS: [HeaderName; 11] = [
        header::ACCEPT,
        header::AUTHORIZATION,
        HeaderName::from_static("cf-connecting-ip"),
        REQUEST_ID_HEADER,
        header::COOKIE,
        header::ORIGIN,
        HeaderName::from_static("purpose"),
        HeaderName::from_static("sec-fetch-site"),
        HeaderName::from_static("sec-purpose"),
        header::USER_AGENT,
        HeaderName::from_static("x-moz"),
    ];

    /// Reads the environment: the variables `WORKOS_*` and `PUBLIC_ORIGIN`, the KV namespace bound to
    /// [`KV_BINDING`](Self::KV_BINDING), and the Durable Objects bound to
    /// [`SESSIONS_BINDING`](Self::SESSIONS_BINDING).
    ///
    /// # Errors
    ///
    /// [`ConfigError`], which names every variable and binding that is missing or invalid.
    pub fn from_env(host: &(impl Host + ?Sized)) -> Result<Self, ConfigError> {
        Self::from_env_with_kv(host, Self::KV_BINDING)
    }

    /// [`from_env`](Self::from_env) with a KV namespace that the application shares. AuthKit's keys begin with
    /// `authkit:`.
    ///
    /// # Errors
    ///
    /// As [`from_env`](Self::from_env).
    pub fn from_env_with_kv(
        host: &(impl Host + ?Sized),
        kv_binding: &'static str,
    ) -> Result<Self, ConfigError> {
        let config = AuthKitConfig::from_lookup(|name| host.var(name));
        let (kv, sessions) = (host.kv(kv_binding), host.objects(Self::SESSIONS_BINDING));
        match (config, kv, sessions) {
            (Ok(config), Some(kv), Some(sessions)) => {
                let (http, signatures) = (host.http_client(), host.signature_verifier());
                let authkit = Self::new(config, http, &kv, sessions, host.clock(), signatures);
                Ok(authkit.with_address_limit(RateLimiter::bound(
                    host,
                    Self::ADDRESS_LIMIT_BINDING,
                    ADDRESS_LIMIT_PERIOD_SECS,
                )))
            }
            (config, kv, sessions) => {
                let mut error = config.err().unwrap_or_default();
                if kv.is_none() {
                    error.add(kv_binding, "is not bound to a KV namespace");
                }
                if sessions.is_none() {
                    error.add(Self::SESSIONS_BINDING, "is not bound to a Durable Object class");
                }
                Err(error)
            }
        }
    }

    /// The origins that forms of the application's pages are redirected to, by the sign-out and by the sign-in of a
    /// visitor whose session has ended: WorkOS, and the pages that WorkOS redirects to. A page with a form allows them
    /// in its Content Security Policy (CSP level 3, `form-action`): browsers check each redirect.
    #[must_use]
    pub fn form_origins(&self) -> Vec<String> {
        let AuthKitConfig { base_url, authkit_domain, logout_redirect, .. } = &*self.config;
        let origin = |url: &Url| url.origin().ascii_serialization();
        let authkit = match authkit_domain {
            Some(domain) => Some(origin(domain)),
            None => (base_url.host_str() == Some(WORKOS_HOST)).then(|| AUTHKIT_ORIGINS.to_owned()),
        };
        let logout = logout_redirect.as_ref().map(origin);
        [Some(origin(base_url)), authkit, logout].into_iter().flatten().collect()
    }

    /// Whether API keys of WorkOS authenticate callers: `WORKOS_API_KEYS`.
    #[must_use]
    pub fn accepts_api_keys(&self) -> bool {
        self.api_keys.is_some()
    }

    /// `PUBLIC_ORIGIN`: the origin that browsers and clients see, where it differs from the request URL's.
    #[must_use]
    pub fn public_origin(&self) -> Option<&Url> {
        self.config.public_origin.as_ref()
    }

    /// Derives every key from `config`. AuthKit stores sealed key sets in `kv`, where other isolates find them.
    /// The application may use the same namespace for keys that do not begin with `authkit:`. `sessions` are the
    /// objects of [`session_keeper`](crate::session_keeper()).
    #[must_use]
    pub fn new(
        config: AuthKitConfig,
        http: Arc<dyn HttpClient>,
        kv: &Arc<dyn KvNamespace>,
        sessions: Arc<dyn ObjectNamespace>,
        clock: Arc<dyn Clock>,
        signatures: Arc<dyn SignatureVerifier>,
    ) -> Self {
        let kv: Arc<dyn KvNamespace> = Arc::new(TimedKv::new(Arc::clone(kv), Arc::clone(&clock)));
        let config = Arc::new(config);
        let http = MeasuredHttpClient::new(http, Arc::clone(&clock), WORKOS);
        let client = WorkosClient::new(Arc::new(http), Arc::clone(&config));
        let sealer = |purpose| {
            Sealer::new(purpose, &config.cookie_password, config.cookie_password_previous.as_ref())
        };
        let key_sets = |source, name: &str, purpose| {
            Arc::new(KeySetCache::new(
                source,
                Arc::clone(&kv),
                format!("authkit:{name}:{}", config.client_id),
                sealer(purpose),
                Arc::clone(&clock),
            ))
        };
        let connect = config.authkit_domain.as_ref().map(|url| {
            let source = ConnectSource::new(client.clone(), url);
            let issuer = source.issuer().to_owned();
            let published = key_sets(Box::new(source), "connect-jwks", Purpose::ConnectKeySet);
            Connect { issuer, published }
        });
        let api_keys = config.api_keys.then(|| {
            let AuthKitConfig { cookie_password, api_key, .. } = &*config;
            ApiKeys::new(client.clone(), Arc::clone(&clock), cookie_password, api_key)
        });
        let session_keepers = SessionKeepers::new(sessions, client.clone(), Arc::clone(&clock));
        Self {
            session_keys: key_sets(Box::new(client.clone()), "jwks", Purpose::KeySet),
            connect,
            resource: ProtectedResource::default(),
            api_keys,
            signed_tokens: IsolateCache::default(),
            opened_sessions: IsolateCache::default(),
            memberships: Memberships::new(client.clone(), Arc::clone(&clock)),
            session_keepers: Arc::new(session_keepers),
            session_sealer: sealer(Purpose::Session),
            sign_in_sealer: sealer(Purpose::SignIn),
            sign_in_state_sealer: sealer(Purpose::SignInState),
            code_exchanges: CodeExchanges::default(),
            client,
            clock,
            signatures,
            user_hasher: UserHasher::new(&config.cookie_password),
            config,
            address_limit: RateLimiter::default(),
            landing_path: "/".into(),
            render_error: Arc::new(plain_page),
            set_headers: None,
            observer: None,
        }
    }

    /// Sets the audiences and scopes that this application accepts in Connect tokens.
    #[must_use]
    pub fn with_resource(self, resource: ProtectedResource) -> Self {
        Self { resource, ..self }
    }

    /// Limits the sign-ins and the refused credentials of one address: `/login`, `/callback`, and requests whose
    /// token or session is refused. [`from_env`](Self::from_env) sets the limit that is bound as
    /// [`ADDRESS_LIMIT_BINDING`](Self::ADDRESS_LIMIT_BINDING).
    #[must_use]
    pub fn with_address_limit(self, address_limit: RateLimiter) -> Self {
        Self { address_limit, ..self }
    }

    /// Sets the page that a browser gets after a sign-in when it requested no other page; the default is `/`.
    #[must_use]
    pub fn with_landing_path(self, path: &'static str) -> Self {
        Self { landing_path: path.into(), ..self }
    }

    /// Replaces the HTML page for errors. `render` returns a complete HTML document for browsers; other clients
    /// get JSON.
    #[must_use]
    pub fn with_error_page(
        self,
        render: impl Fn(&ErrorPage<'_>) -> String + Send + Sync + 'static,
    ) -> Self {
        Self { render_error: Arc::new(render), ..self }
    }

    /// Sets headers of every response, also of errors and redirects, before the client gets it. The function gets the
    /// response's headers, and the origin of the request unless the request has no host.
    #[must_use]
    pub fn with_response_headers(
        self,
        set: impl Fn(&mut HeaderMap, Option<&RequestOrigin>) + Send + Sync + 'static,
    ) -> Self {
        Self { set_headers: Some(Arc::new(set)), ..self }
    }

    /// Calls `observe` at the end of each request, with the headers of its response, which it may change: for the
    /// application's log of requests.
    #[must_use]
    pub fn with_observer(
        self,
        observe: impl Fn(&EndedRequest<'_>, &mut HeaderMap) + Send + Sync + 'static,
    ) -> Self {
        Self { observer: Some(Observer::new(Arc::clone(&self.clock), observe)), ..self }
    }

    /// Makes the pseudonyms by which events name users.
    #[must_use]
    pub fn user_hasher(&self) -> &UserHasher {
        &self.user_hasher
    }

    /// A sealer for the application's own values. It opens no value of AuthKit, and no value that was sealed
    /// under another `name`.
    #[must_use]
    pub fn application_sealer(&self, name: &'static str) -> Sealer {
        let AuthKitConfig { cookie_password, cookie_password_previous, .. } = &*self.config;
        Sealer::new(Purpose::Application(name), cookie_password, cookie_password_previous.as_ref())
    }

    /// Verifies a session access token, including its expiry. A key set fetch that this begins continues
    /// under `wait_until` when the client disconnects.
    ///
    /// # Errors
    ///
    /// [`VerifyError`].
    pub async fn verify(
        &self,
        token: &str,
        wait_until: &WaitUntil,
    ) -> Result<VerifiedClaims, VerifyError> {
        self.reject_expired(self.verify_ignoring_expiry(token, wait_until).await?)
    }

    /// Verifies a token from the `Authorization` header: a session access token or, where Connect is on, a
    /// Connect token whose audience is this Worker at `origin`.
    ///
    /// # Errors
    ///
    /// [`VerifyError`].
    pub async fn verify_bearer(
        &self,
        token: &str,
        origin: &RequestOrigin,
        wait_until: &WaitUntil,
    ) -> Result<VerifiedClaims, VerifyError> {
        let signed = self.verify_signature(token, Accepted::All, wait_until).await?;
        note_user(signed.user);
        let (claims, now) = (&signed.claims, self.clock.now());
        let claims = match &self.connect {
            Some(connect) if claims.kind() == TokenKind::Connect => {
                claims.of_connect_bearer(&self.config, &connect.issuer, &self.resource, origin, now)
            }
            _ => claims.of_session_bearer(&self.config, &self.resource, now),
        };
        self.reject_expired(claims?)
    }

    fn reject_expired(&self, claims: VerifiedClaims) -> Result<VerifiedClaims, VerifyError> {
        if claims.is_expired(self.clock.now()) {
            return Err(TokenError::Expired.into());
        }
        Ok(claims)
    }

    /// Verifies a session access token except for its expiry.
    pub(crate) async fn verify_ignoring_expiry(
        &self,
        token: &str,
        wait_until: &WaitUntil,
    ) -> Result<VerifiedClaims, VerifyError> {
        let signed = self.verify_signature(token, Accepted::SessionTokens, wait_until).await?;
        note_user(signed.user);
        Ok(signed.claims.of_cookie(&self.config, &self.resource, self.clock.now())?)
    }

    /// Verifies the access token of a session except for its expiry, or takes it from the session if the same key
    /// set verified it.
    pub(crate) async fn verify_session(
        &self,
        opened: &CachedSession,
        wait_until: &WaitUntil,
    ) -> Result<VerifiedClaims, VerifyError> {
        let signed = match opened.token() {
            Some(known) if self.is_current(&known, wait_until).await? => known,
            _ => {
                let token = opened.session.access_token.expose();
                let signed =
                    self.verify_signature(token, Accepted::SessionTokens, wait_until).await?;
                opened.set_token(Arc::clone(&signed));
                signed
            }
        };
        note_user(signed.user);
        Ok(signed.claims.of_cookie(&self.config, &self.resource, self.clock.now())?)
    }

    /// Opens a sealed session, or takes it from the isolate's cache.
    pub(crate) fn open_session(&self, sealed: &str) -> Option<Arc<CachedSession>> {
        if let Some(known) = self.opened_sessions.get(sealed) {
            return Some(known);
        }
        let OpenedSession { session, by_previous_password } =
            Session::open(sealed, &self.session_sealer).ok()?;
        let opened = Arc::new(CachedSession::new(session, by_previous_password));
        self.opened_sessions.insert(sealed, &opened);
        Some(opened)
    }

    /// Verifies a token's signature, or takes the result from the cache if the same key set verified it. The
    /// unverified `iss` claim only selects the key set. A token that is not accepted is refused before its signature is
    /// checked. The caller still has to check the claims.
    async fn verify_signature(
        &self,
        token: &str,
        accepted: Accepted,
        wait_until: &WaitUntil,
    ) -> Result<Arc<CachedToken>, VerifyError> {
        if let Some(known) = self.signed_tokens.get(token)
            && accepted.includes(known.claims.kind())
            && self.is_current(&known, wait_until).await?
        {
            return Ok(known);
        }
        let text = token;
        let token = UntrustedToken::parse(text)?;
        let kind = self.kind_of(&token)?;
        if !accepted.includes(kind) {
            return Err(TokenError::Issuer.into());
        }
        let key_set = key_set(self.keys_of(kind), token.kid(), wait_until).await?;
        let key = key_set.find(token.kid()).ok_or(TokenError::UnknownKey)?;
        let verified = token.verify_signature(kind, key, &*self.signatures).await;
        let claims = verified.map_err(|error| match error {
            SignatureCheckError::Token(error) => error.into(),
            SignatureCheckError::Host(error) => {
                VerifyError::Unavailable(Outage::new(error.to_string()))
            }
        })?;
        let user = self.user_hasher.hash(claims.subject());
        let signed = Arc::new(CachedToken { kid: token.kid().to_owned(), claims, key_set, user });
        self.signed_tokens.insert(text, &signed);
        Ok(signed)
    }

    /// The kind of a token, by its issuer, which is not verified.
    fn kind_of(&self, token: &UntrustedToken<'_>) -> Result<TokenKind, TokenError> {
        Ok(match &self.connect {
            Some(connect) if token.issuer_unverified()?.as_ref() == Some(&connect.issuer) => {
                TokenKind::Connect
            }
            _ => TokenKind::Session,
        })
    }

    /// Whether the key set that verified the token is still the newest.
    async fn is_current(
        &self,
        token: &CachedToken,
        wait_until: &WaitUntil,
    ) -> Result<bool, VerifyError> {
        let key_set = key_set(self.keys_of(token.claims.kind()), &token.kid, wait_until).await?;
        Ok(Arc::ptr_eq(&key_set, &token.key_set))
    }

    fn keys_of(&self, kind: TokenKind) -> &Arc<KeySetCache> {
        match (kind, &self.connect) {
            (TokenKind::Connect, Some(connect)) => &connect.published,
            _ => &self.session_keys,
        }
    }
}

async fn key_set(
    keys: &Arc<KeySetCache>,
    kid: &str,
    wait_until: &WaitUntil,
) -> Result<Arc<KeySet>, VerifyError> {
    keys.set_with(kid, wait_until).await.map_err(|error| match error {
        KeyError::Unknown => TokenError::UnknownKey.into(),
        KeyError::Unavailable(outage) => VerifyError::Unavailable(outage),
    })
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{BASE_URL, authkit};

    #[test]
    fn forms_may_be_led_to_workos_and_its_pages() {
        let workos = ("WORKOS_BASE_URL", "https://api.workos.com");
        let domain = ("WORKOS_AUTHKIT_DOMAIN", "https://auth.example.com");
        let logout = ("WORKOS_LOGOUT_REDIRECT", "https://example.com/bye");
        for (variables, expected) in [
            (&[][..], &[BASE_URL][..]),
            (&[workos], &["https://api.workos.com", "https://*.authkit.app"]),
            (&[workos, domain], &["https://api.workos.com", "https://auth.example.com"]),
            (&[domain, logout], &[BASE_URL, "https://auth.example.com", "https://example.com"]),
        ] {
            assert_eq!(authkit(variables).form_origins(), expected);
        }
    }
}
