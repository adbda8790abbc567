//! Signed-in callers for an application's tests (feature `testing`): a host in memory, and a WorkOS beside it that
//! signs tokens of any user, renews sessions and signs events. The section "Tests" of the README has an example.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use std::sync::{
    Arc, LazyLock,
    atomic::{AtomicU64, Ordering},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use edge_host::{
    Clock, Host, HttpClientError,
    memory::{BackgroundTasks, MemoryHost, MemoryKv, MemoryObjects, ScriptedHttpClient},
};
use hmac::{Hmac, Mac};
use http::{Request, Response};
use serde_json::{Map, Value, json};
use sha2::Sha256;

use crate::{
    AuthKit,
    key_pair::KeyPair,
    seal::{Purpose, Sealer},
    secret::Secret,
    session::Session,
    session_keeper,
};

const CLIENT_ID: &str = "client_test";
const BASE_URL: &str = "https://workos.test";
const COOKIE_PASSWORD: &str = "a password for tests, of 32 characters or more";
const WEBHOOK_SECRET: &str = "whsec_of_tests";
/// How long WorkOS's access tokens live.
const ACCESS_TOKEN_SECS: i64 = 300;

/// A key for tests alone, which everybody knows.
static KEY: LazyLock<KeyPair> = LazyLock::new(|| {
    KeyPair::new("key_of_tests", include_str!("../tests/vectors/keys/current.pem"))
});

/// A user who may be signed in.
#[derive(Debug, Clone)]
pub struct TestUser {
    claims: Map<String, Value>,
}

impl TestUser {
    /// A user with this id, in no organization.
    #[must_use]
    pub fn new(id: &str) -> Self {
        Self { claims: Map::new() }.with_claim("sub", id)
    }

    /// In this organization.
    #[must_use]
    pub fn in_organization(self, id: &str) -> Self {
        self.with_claim("org_id", id)
    }

    /// With this role.
    #[must_use]
    pub fn with_role(self, role: &str) -> Self {
        self.with_claim("role", role)
    }

    /// With these permissions.
    #[must_use]
    pub fn with_permissions(self, permissions: &[&str]) -> Self {
        self.with_claim("permissions", permissions)
    }

    /// With any claim of the access token, such as one of a JWT template. WorkOS's own are added where the user has
    /// none: `iss`, `sid`, `iat` and `exp`.
    #[must_use]
    pub fn with_claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims.insert(name.to_owned(), value.into());
        self
    }

    fn with_default(self, name: &str, value: impl Into<Value>) -> Self {
        if self.claims.contains_key(name) { self } else { self.with_claim(name, value) }
    }

    fn id(&self) -> &str {
        self.claims.get("sub").and_then(Value::as_str).unwrap_or_default()
    }
}

/// WorkOS for tests, and the host of an application that uses it.
#[derive(Debug, Clone)]
pub struct TestWorkos {
    host: MemoryHost,
    background: BackgroundTasks,
    sessions: Arc<AtomicU64>,
}

impl Default for TestWorkos {
    fn default() -> Self {
        Self::new()
    }
}

impl TestWorkos {
    /// A new WorkOS, at the default time of [`MemoryHost`]'s clock.
    #[must_use]
    pub fn new() -> Self {
        let host = MemoryHost::default();
        let clock = host.manual_clock();
        let kv = Arc::new(MemoryKv::new(Arc::clone(&clock) as _));
        let http = ScriptedHttpClient::new(move |request| respond(request, &*clock));
        let host = host
            .with_var("WORKOS_API_KEY", "sk_test_of_tests")
            .with_var("WORKOS_CLIENT_ID", CLIENT_ID)
            .with_var("WORKOS_COOKIE_PASSWORD", COOKIE_PASSWORD)
            .with_var("WORKOS_BASE_URL", BASE_URL)
            .with_var("WORKOS_WEBHOOK_SECRET", WEBHOOK_SECRET)
            .with_kv(AuthKit::KV_BINDING, kv)
            .with_http_client(Arc::new(http));
        let (background, keepers) = (BackgroundTasks::default(), host.clone());
        let tasks = background.clone();
        let class = move |context| Arc::new(session_keeper(&keepers, context)) as _;
        let sessions = MemoryObjects::new(class, move |work| tasks.spawn(work));
        let host = host.with_objects(AuthKit::SESSIONS_BINDING, Arc::new(sessions));
        Self { host, background, sessions: Arc::default() }
    }

    /// The host for the application: with AuthKit's variables and bindings, and a clock that the test moves. The test
    /// adds the application's own.
    #[must_use]
    pub fn host(&self) -> MemoryHost {
        self.host.clone()
    }

    /// Runs what objects do beside their messages, such as the revocation of a session.
    pub async fn settle(&self) {
        self.background.settle().await;
    }

    /// The `Cookie` header of a browser in which the user has just signed in, for an https origin. The access token
    /// lives five minutes; then the application renews the session.
    #[must_use]
    pub fn cookie(&self, user: &TestUser) -> String {
        let session: Session =
            serde_json::from_value(authenticated(&self.signed_in(user), self.now()))
                .expect("a session");
        let sealer = Sealer::new(Purpose::Session, &Secret::from(COOKIE_PASSWORD), None);
        format!("__Host-wos-session={}", session.seal(&sealer))
    }

    /// The `Authorization` header with the access token of a new session of the user.
    #[must_use]
    pub fn bearer(&self, user: &TestUser) -> String {
        format!("Bearer {}", access_token(&self.signed_in(user), self.now()))
    }

    /// The `WorkOS-Signature` header of an event with this body.
    #[must_use]
    pub fn webhook_signature(&self, body: &str) -> String {
        let time = self.host.clock().now().timestamp_millis();
        let mut mac = Hmac::<Sha256>::new_from_slice(WEBHOOK_SECRET.as_bytes()).unwrap();
        mac.update(format!("{time}.{body}").as_bytes());
        format!("t={time}, v1={}", base16ct::lower::encode_string(&mac.finalize().into_bytes()))
    }

    /// The user in a session of its own.
    fn signed_in(&self, user: &TestUser) -> TestUser {
        let number = self.sessions.fetch_add(1, Ordering::Relaxed);
        user.clone().with_default("sid", format!("session_{number}"))
    }

    fn now(&self) -> i64 {
        self.host.clock().now().timestamp()
    }
}

/// The responses of WorkOS. A refresh token holds the claims of its user, and the time.
fn respond(
    request: &Request<Bytes>,
    clock: &dyn Clock,
) -> Result<Response<Bytes>, HttpClientError> {
    let (status, body) = match request.uri().path() {
        "/user_management/authenticate" => match renewed(request.body()) {
            Some(user) => (200, authenticated(&user, clock.now().timestamp())),
            None => (400, json!({"error": "invalid_grant"})),
        },
        "/user_management/sessions/revoke" => (200, json!({})),
        path if path == format!("/sso/jwks/{CLIENT_ID}") => (200, json!({"keys": [KEY.jwk()]})),
        _ => return Err(HttpClientError::Timeout),
    };
    Ok(Response::builder().status(status).body(body.to_string().into()).unwrap())
}

/// The user whose session a request renews, in the organization that it names.
fn renewed(body: &[u8]) -> Option<TestUser> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let token = URL_SAFE_NO_PAD.decode(body.get("refresh_token")?.as_str()?).ok()?;
    let (claims, _): (_, i64) = serde_json::from_slice(&token).ok()?;
    let user = TestUser { claims };
    Some(match body.get("organization_id").and_then(Value::as_str) {
        Some(id) => user.in_organization(id),
        None => user,
    })
}

fn authenticated(user: &TestUser, now: i64) -> Value {
    // A new one for each renewal, because WorkOS accepts each one once.
    let refresh_token = json!([user.claims, now]).to_string();
    json!({
        "user": {"object": "user", "id": user.id(), "email": format!("{}@example.com", user.id())},
        "access_token": access_token(user, now),
        "refresh_token": URL_SAFE_NO_PAD.encode(refresh_token),
    })
}

fn access_token(user: &TestUser, now: i64) -> String {
    let user = user
        .clone()
        .with_default("iss", "https://api.workos.com")
        .with_default("iat", now)
        .with_default("exp", now + ACCESS_TOKEN_SECS);
    KEY.token(&user.claims.into())
}
