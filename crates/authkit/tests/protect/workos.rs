//! WorkOS, scripted: the code exchange, refresh tokens that work once, the key set, and Connect's metadata.

use std::{
    collections::BTreeSet,
    sync::{Arc, LazyLock, Mutex, MutexGuard},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use edge_host::{Clock, HttpClientError, memory::ManualClock, memory::ScriptedHttpClient};
use http::{Request, Response};
use rsa::{
    Pkcs1v15Sign, RsaPrivateKey, RsaPublicKey, pkcs8::DecodePrivateKey, traits::PublicKeyParts,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub const CLIENT_ID: &str = "client_test";
pub const BASE_URL: &str = "https://workos.test";
/// `WORKOS_AUTHKIT_DOMAIN`, in tests of Connect.
pub const CONNECT: &str = "https://connect.test";

static KEY: LazyLock<RsaPrivateKey> = LazyLock::new(|| {
    RsaPrivateKey::from_pkcs8_pem(include_str!("../vectors/keys/current.pem")).unwrap()
});

/// How WorkOS responds to a code or a refresh token.
#[derive(Clone, Copy, Default)]
pub enum Mode {
    /// With a new session, but for a refresh token that is spent.
    #[default]
    Works,
    /// With this error code.
    Refuses(&'static str),
    /// Not at all; the key set is out of reach too.
    Unreachable,
}

#[derive(Default)]
struct State {
    mode: Mode,
    claims: Value,
    issued: u64,
    spent: BTreeSet<String>,
}

pub struct Workos {
    clock: Arc<ManualClock>,
    state: Mutex<State>,
}

impl Workos {
    pub fn new(clock: Arc<ManualClock>) -> Arc<Self> {
        Arc::new(Self { clock, state: Mutex::default() })
    }

    pub fn client(self: &Arc<Self>) -> Arc<ScriptedHttpClient> {
        let workos = Arc::clone(self);
        Arc::new(ScriptedHttpClient::new(move |request| workos.respond(request)))
    }

    pub fn set_mode(&self, mode: Mode) {
        self.state().mode = mode;
    }

    /// The claims of the next access tokens, beside or instead of [`session_claims`]. A claim `user` is the
    /// id of the user that WorkOS names beside the token; without it, the token's subject.
    pub fn set_claims(&self, claims: Value) {
        self.state().claims = claims;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn respond(&self, request: &Request<Bytes>) -> Result<Response<Bytes>, HttpClientError> {
        if matches!(self.state().mode, Mode::Unreachable) {
            return Err(HttpClientError::Timeout);
        }
        let (status, body) = match request.uri().to_string().as_str() {
            "https://workos.test/user_management/authenticate" => {
                self.authenticate(&serde_json::from_slice(request.body()).unwrap())
            }
            "https://workos.test/sso/jwks/client_test" | "https://connect.test/oauth2/jwks" => {
                (200, json!({"keys": [jwk()]}))
            }
            "https://connect.test/.well-known/oauth-authorization-server" => {
                (200, connect_metadata())
            }
            other => panic!("an unexpected request to {other}"),
        };
        Ok(Response::builder().status(status).body(body.to_string().into()).unwrap())
    }

    fn authenticate(&self, body: &Value) -> (u16, Value) {
        let mut state = self.state();
        if let Mode::Refuses(code) = state.mode {
            let description = format!("WorkOS says {code}");
            return (400, json!({"error": code, "error_description": description}));
        }
        if let Some(token) = body["refresh_token"].as_str()
            && !state.spent.insert(token.to_owned())
        {
            return (400, json!({"error": "invalid_grant"}));
        }
        state.issued += 1;
        let mut claims = with(&session_claims(self.clock.now()), &state.claims);
        if let Some(organization_id) = body.get("organization_id") {
            claims["org_id"] = organization_id.clone();
        }
        let id = claims.get("user").unwrap_or(&claims["sub"]).clone();
        let response = json!({
            "user": {"object": "user", "id": id, "email": "ada@example.com"},
            "access_token": sign(&claims),
            "refresh_token": format!("refresh_{}", state.issued),
        });
        (200, response)
    }
}

/// Connect's metadata, with a member of AuthKit's own.
pub fn connect_metadata() -> Value {
    json!({
        "issuer": CONNECT,
        "jwks_uri": "https://connect.test/oauth2/jwks",
        "registration_endpoint": "https://connect.test/oauth2/register",
    })
}

fn jwk() -> Value {
    let public = RsaPublicKey::from(&*KEY);
    json!({
        "kty": "RSA", "alg": "RS256", "use": "sig", "kid": "key_current",
        "n": URL_SAFE_NO_PAD.encode(public.n().to_bytes_be()),
        "e": URL_SAFE_NO_PAD.encode(public.e().to_bytes_be()),
    })
}

/// A token with these claims, signed by WorkOS's key.
pub fn sign(claims: &Value) -> String {
    let header = json!({"alg": "RS256", "typ": "JWT", "kid": "key_current"}).to_string();
    let [header, payload] = [header, claims.to_string()].map(|part| URL_SAFE_NO_PAD.encode(part));
    let signed = format!("{header}.{payload}");
    let digest = Sha256::digest(&signed);
    let signature = KEY.sign(Pkcs1v15Sign::new::<Sha256>(), &digest).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// The claims of a session's access token, which lives five minutes.
pub fn session_claims(now: DateTime<Utc>) -> Value {
    json!({
        "iss": "https://api.workos.com", "sub": "user_ada", "sid": "session_ada",
        "iat": now.timestamp(), "exp": now.timestamp() + 300,
    })
}

/// The claims of a Connect token for `https://app.test`.
pub fn connect_claims(now: DateTime<Utc>) -> Value {
    json!({
        "iss": CONNECT, "sub": "user_ada", "client_id": "client_cli", "aud": "https://app.test",
        "iat": now.timestamp(), "exp": now.timestamp() + 300,
    })
}

/// `claims` with the members of `changes` beside or instead of its own.
pub fn with(claims: &Value, changes: &Value) -> Value {
    let mut claims = claims.clone();
    for (name, value) in changes.as_object().into_iter().flatten() {
        claims[name] = value.clone();
    }
    claims
}
