//! Test support: a clock that tests set, an HTTP client with scripted responses, key pairs, and signed
//! tokens.

use std::sync::{
    Arc, LazyLock, Mutex, MutexGuard,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use chrono::{DateTime, Duration, Utc};
use edge_host::{
    Clock, HttpClient, HttpClientError, KvNamespace,
    memory::{MemoryHost, MemoryKv, MemoryObjects, MemorySignatureVerifier},
};
use http::{Request, Response};
use serde_json::{Value, json};

pub use crate::key_pair::KeyPair;
use crate::{AuthKit, AuthKitConfig, secret::Secret, session::Session, session_keeper};

pub const CLIENT_ID: &str = "client_test";
pub const API_KEY: &str = "sk_test_apikey";
pub const BASE_URL: &str = "https://workos.test";
pub const PASSWORD: &str = "a password of at least 32 characters";

/// Noon of 2026-11-23.
pub fn noon() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_435_200, 0).unwrap()
}

/// A configuration with the required variables, overridden and extended by `variables`.
pub fn config(variables: &[(&str, &str)]) -> AuthKitConfig {
    let required = [
        ("WORKOS_API_KEY", API_KEY),
        ("WORKOS_CLIENT_ID", CLIENT_ID),
        ("WORKOS_COOKIE_PASSWORD", PASSWORD),
        ("WORKOS_BASE_URL", BASE_URL),
    ];
    AuthKitConfig::from_lookup(|name| {
        let found = variables.iter().chain(&required).find(|(key, _)| *key == name);
        found.map(|(_, value)| (*value).to_owned())
    })
    .unwrap()
}

/// An isolate's AuthKit at [`noon`] whose requests to WorkOS time out.
pub fn authkit(variables: &[(&str, &str)]) -> AuthKit {
    let http = ScriptedHttp::new(|_| Err(HttpClientError::Timeout));
    let kv: Arc<dyn KvNamespace> = Arc::new(MemoryKv::default());
    let class = |context| Arc::new(session_keeper(&MemoryHost::default(), context)) as _;
    let sessions = MemoryObjects::new(class, drop);
    let (clock, verifier) = (TestClock::at_noon(), Arc::new(MemorySignatureVerifier));
    AuthKit::new(config(variables), http, &kv, Arc::new(sessions), clock, verifier)
}

pub struct TestClock(Mutex<DateTime<Utc>>);

impl TestClock {
    pub fn at_noon() -> Arc<Self> {
        Arc::new(Self(Mutex::new(noon())))
    }

    pub fn advance(&self, duration: Duration) {
        *self.0.lock().unwrap() += duration;
    }
}

#[async_trait]
impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }

    /// Advances only this clock, and yields to other futures.
    async fn sleep(&self, millis: u32) {
        self.advance(Duration::milliseconds(millis.into()));
        tokio::task::yield_now().await;
    }
}

type Script =
    dyn FnMut(&Request<Bytes>) -> Result<Response<Bytes>, HttpClientError> + Send + 'static;

/// Records every request and returns a scripted response.
pub struct ScriptedHttp {
    script: Mutex<Box<Script>>,
    requests: Mutex<Vec<Request<Bytes>>>,
    is_held: AtomicBool,
}

impl ScriptedHttp {
    pub fn new(
        script: impl FnMut(&Request<Bytes>) -> Result<Response<Bytes>, HttpClientError> + Send + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            script: Mutex::new(Box::new(script)),
            requests: Mutex::default(),
            is_held: AtomicBool::default(),
        })
    }

    pub fn set_script(
        &self,
        script: impl FnMut(&Request<Bytes>) -> Result<Response<Bytes>, HttpClientError> + Send + 'static,
    ) {
        *self.script.lock().unwrap() = Box::new(script);
    }

    /// Holds the requests before they are processed.
    pub fn hold(&self, is_held: bool) {
        self.is_held.store(is_held, Ordering::Relaxed);
    }

    /// The recorded requests, in order.
    pub fn requests(&self) -> MutexGuard<'_, Vec<Request<Bytes>>> {
        self.requests.lock().unwrap()
    }
}

#[async_trait]
impl HttpClient for ScriptedHttp {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpClientError> {
        // Yields to other futures before the request and before its response, as real I/O does.
        tokio::task::yield_now().await;
        self.requests.lock().unwrap().push(request.clone());
        tokio::task::yield_now().await;
        while self.is_held.load(Ordering::Relaxed) {
            tokio::task::yield_now().await;
        }
        self.script.lock().unwrap()(&request)
    }
}

/// A response with this status and body.
pub fn response(status: u16, body: impl Into<Bytes>) -> Response<Bytes> {
    Response::builder().status(status).body(body.into()).unwrap()
}

pub fn json_response(status: u16, body: &Value) -> Response<Bytes> {
    response(status, body.to_string())
}

/// WorkOS's current key.
pub static CURRENT: LazyLock<KeyPair> = LazyLock::new(|| {
    KeyPair::new("key_current", include_str!("../tests/vectors/keys/current.pem"))
});
/// WorkOS's next key, after a rotation.
pub static NEXT: LazyLock<KeyPair> =
    LazyLock::new(|| KeyPair::new("key_next", include_str!("../tests/vectors/keys/next.pem")));
/// An attacker's key with the `kid` of WorkOS's current key.
pub static STRANGER: LazyLock<KeyPair> = LazyLock::new(|| {
    KeyPair::new("key_current", include_str!("../tests/vectors/keys/stranger.pem"))
});

/// A well-formed token with an invalid signature.
pub fn unsigned_token(claims: &Value) -> String {
    let header = URL_SAFE_NO_PAD.encode(CURRENT.header().to_string());
    format!("{header}.{}.AAAA", URL_SAFE_NO_PAD.encode(claims.to_string()))
}

/// The claims of a session's access token at [`noon`].
pub fn session_claims() -> Value {
    json!({
        "iss": "https://api.workos.com", "sub": "user_ada", "sid": "session_ada",
        "iat": noon().timestamp(), "exp": noon().timestamp() + 300,
    })
}

/// Merges `changes` into `claims`; `null` removes a member.
pub fn changed(claims: &Value, changes: Value) -> Value {
    let mut claims = claims.clone();
    let members = claims.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            members.remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
    claims
}

/// WorkOS's response to a grant, with an access token that has an invalid signature.
pub fn authenticate_body(user_id: &str, session_id: &str, refresh_token: &str) -> Value {
    let claims = changed(&session_claims(), json!({"sub": user_id, "sid": session_id}));
    json!({
        "user": {"object": "user", "id": user_id, "email": format!("{user_id}@example.com")},
        "access_token": unsigned_token(&claims),
        "refresh_token": refresh_token,
    })
}

/// A session with this session id and refresh token.
pub fn session(user_id: &str, session_id: &str, refresh_token: &str) -> Session {
    let body = authenticate_body(user_id, session_id, refresh_token);
    serde_json::from_value(body).unwrap()
}

/// [`PASSWORD`] as a secret.
pub fn password() -> Secret {
    Secret::from(PASSWORD)
}
