//! A scripted AuthKit Connect: metadata, keys, and tokens for users' clients and for machines.

use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use edge_host::{Clock, HttpClientError};
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::{
    ManualClock,
    app::{ORIGIN, TestApp},
    authkit::{ACCESS_TOKEN_TTL_SECS, CLIENT_ID, CURRENT, Outage, TestUser},
};

pub const ISSUER: &str = "https://test.authkit.app";
/// An MCP client.
pub const CONNECT_CLIENT: &str = "client_connect";
pub const MACHINE: &str = "client_machine";

const OAUTH_METADATA: &str = "https://test.authkit.app/.well-known/oauth-authorization-server";

pub struct FakeConnect {
    clock: Arc<ManualClock>,
    state: Mutex<State>,
}

struct State {
    metadata: Value,
    /// `None` publishes no key set.
    published: Option<Vec<Value>>,
    outage: Option<Outage>,
    requests: Vec<String>,
}

impl FakeConnect {
    /// Signs with the session's key, as WorkOS does.
    pub fn new(clock: Arc<ManualClock>) -> Self {
        let state = State {
            metadata: json!({
                "issuer": ISSUER,
                "authorization_endpoint": format!("{ISSUER}/oauth2/authorize"),
                "token_endpoint": format!("{ISSUER}/oauth2/token"),
                "jwks_uri": format!("{ISSUER}/oauth2/jwks"),
            }),
            published: Some(vec![CURRENT.jwk()]),
            outage: None,
            requests: Vec::new(),
        };
        Self { clock, state: Mutex::new(state) }
    }

    pub fn metadata(&self) -> Value {
        self.state().metadata.clone()
    }

    pub fn set_metadata(&self, name: &str, value: Value) {
        self.state().metadata[name] = value;
    }

    pub fn publish(&self, keys: Option<Vec<Value>>) {
        self.state().published = keys;
    }

    pub fn set_outage(&self, outage: Option<Outage>) {
        self.state().outage = outage;
    }

    /// The URLs requested since the last call.
    pub fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state().requests)
    }

    /// The claims of a token for `user`'s client, meant for `/mcp`.
    pub fn claims(&self, user: TestUser) -> Value {
        let now = self.clock.now().timestamp();
        json!({
            "iss": ISSUER, "aud": format!("{ORIGIN}/mcp"), "sub": user.id, "client_id": CONNECT_CLIENT,
            "sid": "app_consent_1", "org_id": "org_1", "scope": "openid profile", "jti": "1",
            "iat": now, "exp": now + ACCESS_TOKEN_TTL_SECS,
        })
    }

    /// The claims of a machine's token.
    pub fn machine_claims(&self, scope: &str) -> Value {
        let now = self.clock.now().timestamp();
        json!({
            "iss": ISSUER, "aud": CLIENT_ID, "sub": MACHINE, "client_id": MACHINE,
            "org_id": "org_1", "scope": scope, "jti": "1",
            "iat": now, "exp": now + ACCESS_TOKEN_TTL_SECS,
        })
    }

    /// The claims of an ID token about `user` for `client`.
    pub fn id_token_claims(&self, user: TestUser, client: &str) -> Value {
        let now = self.clock.now().timestamp();
        json!({
            "iss": ISSUER, "aud": client, "sub": user.id, "email": user.email,
            "nonce": "n-0S6_WzA2Mj", "at_hash": "77QmUPtjPfzWtF2AnpK9RQ", "auth_time": now,
            "iat": now, "exp": now + ACCESS_TOKEN_TTL_SECS,
        })
    }

    pub fn token(&self, user: TestUser) -> String {
        sign(&self.claims(user))
    }

    pub fn machine_token(&self, scope: &str) -> String {
        sign(&self.machine_claims(scope))
    }

    pub fn respond(&self, url: &str) -> Result<Response<Bytes>, HttpClientError> {
        let mut state = self.state();
        state.requests.push(url.to_owned());
        let (status, body) = match (state.outage, url) {
            (Some(Outage::NoAnswer), _) => return Err(HttpClientError::Timeout),
            (Some(Outage::Status(status)), _) => (status, json!({"error": "down"})),
            (None, OAUTH_METADATA) => (200, state.metadata.clone()),
            // The metadata decides where the key set is.
            (None, url) if state.metadata["jwks_uri"] == url && state.published.is_some() => {
                (200, json!({"keys": state.published}))
            }
            (None, _) => (404, json!({"error": "not_found"})),
        };
        let mut response = Response::new(Bytes::from(body.to_string()));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        Ok(response)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

/// Signs a token with the environment's key.
pub fn sign(claims: &Value) -> String {
    CURRENT.sign(&CURRENT.header(), claims)
}

/// An application with Connect on.
pub fn app() -> TestApp {
    TestApp::with_variables(&VARIABLES)
}

pub const VARIABLES: [(&str, &str); 1] = [("WORKOS_AUTHKIT_DOMAIN", ISSUER)];
