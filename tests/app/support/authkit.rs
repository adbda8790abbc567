//! A scripted AuthKit: it issues codes and tokens, rotates refresh tokens, publishes keys, counts requests and
//! simulates outages.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, MutexGuard},
};

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use edge_host::{Clock, HttpClient, HttpClientError};
use http::{Request, Response, StatusCode};
use rsa::{
    Pkcs1v15Sign, RsaPrivateKey, RsaPublicKey, pkcs8::DecodePrivateKey, traits::PublicKeyParts,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::Url;

use super::{ManualClock, api_keys::FakeApiKeys, connect::FakeConnect};

pub const CLIENT_ID: &str = "client_test";
pub const API_KEY: &str = "sk_test_apikey";
pub const BASE_URL: &str = "https://workos.test";
pub const PORTAL: &str = "/portal/generate_link";
pub const MEMBERSHIPS: &str = "/user_management/organization_memberships";
pub const ACCESS_TOKEN_TTL_SECS: i64 = 300;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TestUser {
    pub id: &'static str,
    pub email: &'static str,
}

pub const ADA: TestUser = TestUser { id: "user_ada", email: "ada@example.com" };
pub const GRACE: TestUser = TestUser { id: "user_grace", email: "grace@example.com" };

pub struct SigningKey {
    pub kid: &'static str,
    pub private: RsaPrivateKey,
}

fn key(kid: &'static str, pem: &str) -> SigningKey {
    SigningKey { kid, private: RsaPrivateKey::from_pkcs8_pem(pem).unwrap() }
}

pub static CURRENT: LazyLock<SigningKey> = LazyLock::new(|| {
    key("key_current", include_str!("../../../crates/authkit/tests/vectors/keys/current.pem"))
});
pub static NEXT: LazyLock<SigningKey> = LazyLock::new(|| {
    key("key_next", include_str!("../../../crates/authkit/tests/vectors/keys/next.pem"))
});
pub static STRANGER: LazyLock<SigningKey> = LazyLock::new(|| {
    key("key_current", include_str!("../../../crates/authkit/tests/vectors/keys/stranger.pem"))
});

impl SigningKey {
    pub fn jwk(&self) -> Value {
        let public = RsaPublicKey::from(&self.private);
        json!({
            "kty": "RSA", "alg": "RS256", "use": "sig", "kid": self.kid,
            "n": URL_SAFE_NO_PAD.encode(public.n().to_bytes_be()),
            "e": URL_SAFE_NO_PAD.encode(public.e().to_bytes_be()),
        })
    }

    /// A JWS of exactly this header and payload.
    pub fn sign(&self, header: &Value, payload: &Value) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(header), encode(payload));
        let digest = Sha256::digest(&signed);
        let signature = self.private.sign(Pkcs1v15Sign::new::<Sha256>(), &digest).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    pub fn header(&self) -> Value {
        json!({"alg": "RS256", "typ": "JWT", "kid": self.kid})
    }
}

/// How AuthKit fails during an outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outage {
    NoAnswer,
    Status(u16),
}

pub struct FakeAuthKit {
    /// AuthKit Connect, on its own origin.
    pub connect: FakeConnect,
    /// The API keys of users and organizations.
    pub api_keys: FakeApiKeys,
    clock: Arc<ManualClock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    codes: HashMap<String, (TestUser, String)>,
    /// The user and the session id of each refresh token that is still valid.
    refresh_tokens: HashMap<String, (TestUser, String)>,
    /// The number of sessions that each user has begun, by user id.
    session_counts: HashMap<&'static str, usize>,
    /// Organizations that refuse a switch, with the body of the refusal.
    closed_organizations: HashMap<String, Value>,
    published: Vec<Value>,
    /// The key that signs issued tokens; default [`CURRENT`].
    signing_key: Option<&'static SigningKey>,
    reuses_refresh_tokens: bool,
    /// The `impersonator` in the token endpoint's responses.
    impersonator: Value,
    outage: Option<Outage>,
    /// The token endpoint's status and body while it refuses.
    refusal: Option<(u16, Value)>,
    requests: Vec<(String, Value)>,
    revoked: Vec<String>,
    is_held: bool,
    counter: u32,
    extra_claims: Value,
    /// The link to the Admin Portal; the default is one of WorkOS's.
    portal_link: Option<String>,
    /// The organization memberships of each user, by user id; the default is [`default_memberships`].
    memberships: HashMap<&'static str, Vec<Value>>,
}

impl FakeAuthKit {
    pub fn new(clock: Arc<ManualClock>) -> Self {
        let state = State { published: vec![CURRENT.jwk()], ..State::default() };
        let connect = FakeConnect::new(Arc::clone(&clock));
        Self { connect, api_keys: FakeApiKeys::default(), clock, state: Mutex::new(state) }
    }

    /// Signs `user` in at AuthKit for a browser that comes from `/login`: the URL that AuthKit redirects it to.
    pub fn approve(&self, authorize_url: &str, user: TestUser) -> Url {
        let url = Url::parse(authorize_url).unwrap();
        let query: HashMap<String, String> = url.query_pairs().into_owned().collect();
        assert_eq!(url.path(), "/user_management/authorize");
        assert_eq!(query["client_id"], CLIENT_ID);
        assert_eq!(query["response_type"], "code");
        assert_eq!(query["code_challenge_method"], "S256");
        let mut state = self.state();
        let code = state.next("code");
        state.codes.insert(code.clone(), (user, query["code_challenge"].clone()));
        let mut callback = Url::parse(&query["redirect_uri"]).unwrap();
        callback.query_pairs_mut().append_pair("code", &code).append_pair("state", &query["state"]);
        callback
    }

    /// A code for `user` that belongs to no sign-in of this application.
    pub fn unasked_code(&self, user: TestUser) -> String {
        let mut state = self.state();
        let code = state.next("code");
        state.codes.insert(code.clone(), (user, String::new()));
        code
    }

    pub fn publish(&self, keys: &[Value]) {
        self.state().published = keys.to_vec();
    }

    pub fn sign_with(&self, key: &'static SigningKey) {
        self.state().signing_key = Some(key);
    }

    /// Adds an impersonator to the token endpoint's responses.
    pub fn impersonate(&self, impersonator: Value) {
        self.state().impersonator = impersonator;
    }

    /// Stops rotating refresh tokens.
    pub fn reuse_refresh_tokens(&self) {
        self.state().reuses_refresh_tokens = true;
    }

    /// Ends every session: all refresh tokens become invalid.
    pub fn end_sessions(&self) {
        self.state().refresh_tokens.clear();
    }

    /// Makes a switch to `organization` fail with 403 and this body.
    pub fn close_organization(&self, organization: &str, refusal: Value) {
        self.state().closed_organizations.insert(organization.to_owned(), refusal);
    }

    pub fn refresh_count(&self) -> usize {
        let requests = self.token_requests();
        requests.iter().filter(|body| body["grant_type"] == "refresh_token").count()
    }

    pub fn set_outage(&self, outage: Option<Outage>) {
        self.state().outage = outage;
    }

    /// Holds requests before they are processed.
    pub fn hold(&self, is_held: bool) {
        self.state().is_held = is_held;
    }

    /// Makes the token endpoint refuse every request.
    pub fn refuse(&self, refusal: Option<(u16, Value)>) {
        self.state().refusal = refusal;
    }

    /// Adds claims to every access token issued from now on.
    pub fn set_extra_claims(&self, claims: Value) {
        self.state().extra_claims = claims;
    }

    /// Sets the user's organization memberships.
    pub fn set_memberships(&self, user: TestUser, memberships: &[Value]) {
        self.state().memberships.insert(user.id, memberships.to_vec());
    }

    /// Sets the link to the Admin Portal.
    pub fn set_portal_link(&self, link: &str) {
        self.state().portal_link = Some(link.to_owned());
    }

    /// The bodies of the requests for links to the Admin Portal.
    pub fn portal_requests(&self) -> Vec<Value> {
        let state = self.state();
        let asked = state.requests.iter().filter(|(path, _)| path == PORTAL);
        asked.map(|(_, body)| body.clone()).collect()
    }

    fn portal_link(&self) -> (u16, Value) {
        let link = self.state().portal_link.clone();
        (
            201,
            json!({"link": link.unwrap_or_else(|| "https://setup.workos.com/?token=portal_1".into())}),
        )
    }

    fn memberships(&self, query: &str) -> (u16, Value) {
        let query: HashMap<String, String> =
            url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let found = self.state().memberships.get(&*query["user_id"]).cloned();
        let data = found.unwrap_or_else(default_memberships);
        (
            200,
            json!({"object": "list", "data": data, "list_metadata": {"before": null, "after": null}}),
        )
    }

    /// The ids of the sessions that were revoked.
    pub fn revoked(&self) -> Vec<String> {
        self.state().revoked.clone()
    }

    fn revoke(&self, body: &Value) -> (u16, Value) {
        let mut state = self.state();
        let id = body["session_id"].as_str().unwrap_or_default().to_owned();
        state.refresh_tokens.retain(|_, (_, session)| *session != id);
        state.revoked.push(id);
        (200, json!({}))
    }

    /// The number of requests for a path.
    pub fn count(&self, path: &str) -> usize {
        self.state().requests.iter().filter(|(asked, _)| asked == path).count()
    }

    pub fn jwks_count(&self) -> usize {
        self.count(&format!("/sso/jwks/{CLIENT_ID}"))
    }

    /// The bodies of the requests to the token endpoint.
    pub fn token_requests(&self) -> Vec<Value> {
        let state = self.state();
        let asked = state.requests.iter().filter(|(path, _)| path.ends_with("/authenticate"));
        asked.map(|(_, body)| body.clone()).collect()
    }

    /// The claims of a new access token.
    pub fn claims(&self, user: TestUser) -> Value {
        let now = self.clock.now().timestamp();
        let mut claims = json!({
            "iss": "https://api.workos.com", "sub": user.id, "sid": session_id(user),
            "iat": now, "exp": now + ACCESS_TOKEN_TTL_SECS,
            "org_id": "org_1", "role": "admin", "roles": ["admin"],
            "permissions": ["expenses:read", "expenses:write"], "entitlements": ["pro"], "feature_flags": ["beta"],
        });
        if let Value::Object(extra) = self.state().extra_claims.clone() {
            claims.as_object_mut().unwrap().extend(extra);
        }
        claims
    }

    pub fn access_token(&self, user: TestUser) -> String {
        CURRENT.sign(&CURRENT.header(), &self.claims(user))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn authenticate(&self, body: &Value) -> (u16, Value) {
        if let Some(refusal) = self.state().refusal.clone() {
            return refusal;
        }
        if body["client_id"] != CLIENT_ID || body["client_secret"] != API_KEY {
            return (400, json!({"error": "invalid_client"}));
        }
        match body["grant_type"].as_str() {
            Some("authorization_code") => self.exchange_code(body),
            Some("refresh_token") => self.exchange_refresh_token(body),
            _ => (400, json!({"error": "invalid_request"})),
        }
    }

    fn exchange_code(&self, body: &Value) -> (u16, Value) {
        let code = body["code"].as_str().unwrap_or_default();
        let Some((user, challenge)) = self.state().codes.remove(code) else {
            return (400, json!({"error": "invalid_grant", "error_description": code}));
        };
        let verifier = body["code_verifier"].as_str().unwrap_or_default();
        if URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)) != challenge {
            return (400, json!({"error": "invalid_grant"}));
        }
        (200, self.tokens(user, self.begin_session(user), "org_1"))
    }

    fn exchange_refresh_token(&self, body: &Value) -> (u16, Value) {
        let organization = body["organization_id"].as_str().unwrap_or("org_1");
        if let Some(refusal) = self.state().closed_organizations.get(organization) {
            return (403, refusal.clone());
        }
        let token = body["refresh_token"].as_str().unwrap_or_default();
        let is_reusable = self.state().reuses_refresh_tokens;
        let known = if is_reusable {
            self.state().refresh_tokens.get(token).cloned()
        } else {
            self.state().refresh_tokens.remove(token)
        };
        let Some((user, session_id)) = known else {
            return (
                400,
                json!({"error": "invalid_grant", "error_description": "Invalid refresh token."}),
            );
        };
        let mut tokens = self.tokens(user, session_id, organization);
        if is_reusable {
            tokens["refresh_token"] = token.into();
        }
        (200, tokens)
    }

    /// The id of a new session: `session_{user}`, then `session_{user}_2`, ….
    fn begin_session(&self, user: TestUser) -> String {
        let mut state = self.state();
        let count = state.session_counts.entry(user.id).or_default();
        *count += 1;
        if *count == 1 { session_id(user) } else { format!("{}_{count}", session_id(user)) }
    }

    fn tokens(&self, user: TestUser, session_id: String, organization: &str) -> Value {
        let refresh_token = self.state().next("refresh");
        let mut claims = self.claims(user);
        if self.state().extra_claims.get("sid").is_none() {
            claims["sid"] = session_id.as_str().into();
        }
        self.state().refresh_tokens.insert(refresh_token.clone(), (user, session_id));
        claims["org_id"] = organization.into();
        let signing_key = self.state().signing_key.unwrap_or(&CURRENT);
        json!({
            "user": {
                "object": "user", "id": user.id, "email": user.email, "email_verified": true,
                "first_name": "Test", "last_name": null, "metadata": {"a": "b"},
                "created_at": "2026-01-01T00:00:00.000Z", "updated_at": "2026-01-01T00:00:00.000Z",
            },
            "organization_id": organization,
            "access_token": signing_key.sign(&signing_key.header(), &claims),
            "refresh_token": refresh_token,
            "authentication_method": "Password",
            "impersonator": self.state().impersonator,
        })
    }
}

fn session_id(user: TestUser) -> String {
    format!("session_{}", user.id)
}

/// A membership as WorkOS describes it.
pub fn membership(id: &str, name: &str, role: &str) -> Value {
    json!({
        "object": "organization_membership", "id": format!("om_{id}"), "organization_id": id,
        "organization_name": name, "status": "active", "role": {"slug": role},
    })
}

fn default_memberships() -> Vec<Value> {
    vec![
        membership("org_1", "Analytical Engines", "admin"),
        membership("org_2", "Compilers Company", "member"),
    ]
}

impl State {
    fn next(&mut self, kind: &str) -> String {
        self.counter += 1;
        format!("{kind}_{}", self.counter)
    }
}

#[async_trait]
impl HttpClient for FakeAuthKit {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpClientError> {
        // Other tasks run meanwhile, as they do during real I/O.
        tokio::task::yield_now().await;
        if !matches!(request.uri().host(), Some("workos.test" | "other.test")) {
            return self.connect.respond(&request.uri().to_string());
        }
        let path = request.uri().path().to_owned();
        let body = serde_json::from_slice(request.body()).unwrap_or(Value::Null);
        let query = request.uri().query().unwrap_or_default().to_owned();
        let authorization = request.headers().get("authorization");
        let has_key = authorization.is_some_and(|key| *key == *format!("Bearer {API_KEY}"));
        self.state().requests.push((path.clone(), body.clone()));
        tokio::task::yield_now().await;
        while self.state().is_held {
            tokio::task::yield_now().await;
        }
        let outage = self.state().outage;
        let (status, body) = match outage {
            Some(Outage::NoAnswer) => return Err(HttpClientError::Timeout),
            Some(Outage::Status(status)) => (status, json!({"message": "down", "code": "down"})),
            None if path == "/user_management/authenticate" => self.authenticate(&body),
            None if path == "/user_management/sessions/revoke" => self.revoke(&body),
            None if path == PORTAL && has_key => self.portal_link(),
            None if path == MEMBERSHIPS && has_key => self.memberships(&query),
            None if path == format!("/sso/jwks/{CLIENT_ID}") => {
                (200, json!({"keys": self.state().published}))
            }
            None => {
                let key = request.headers().get("authorization");
                let is_server = key.is_some_and(|key| *key == format!("Bearer {API_KEY}").as_str());
                let answer = self.api_keys.respond(request.method(), request.uri(), &body);
                match answer {
                    Some(_) if !is_server => (401, json!({"code": "unauthorized"})),
                    Some(answer) => answer,
                    None => (404, json!({"message": "Not Found", "code": "not_found"})),
                }
            }
        };
        let mut response = Response::new(Bytes::from(body.to_string()));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        Ok(response)
    }
}
