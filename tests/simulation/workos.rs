//! WorkOS without any tolerance: a refresh token is good for one exchange, also when its response is lost.

use std::{
    collections::BTreeMap,
    sync::{LazyLock, Mutex, MutexGuard},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use edge_host::memory::{Receipt, Simulation};
use http::{Request, Response, StatusCode};
use rsa::{
    Pkcs1v15Sign, RsaPrivateKey, RsaPublicKey, pkcs8::DecodePrivateKey, traits::PublicKeyParts,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::Url;

pub const CLIENT_ID: &str = "client_test";
pub const API_KEY: &str = "sk_test_apikey";
pub const BASE_URL: &str = "https://workos.test";
const ACCESS_TOKEN_TTL_SECS: i64 = 300;
/// Programs that begin within this time have the same token.
const PROGRAM_TOKEN_SECS: i64 = 120;
const MAX_SIGNATURES: usize = 20_000;

/// The signatures of all runs by the texts that they sign: a signature takes longer than a request.
static SIGNATURES: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());

static KEY: LazyLock<RsaPrivateKey> = LazyLock::new(|| {
    let mut key = RsaPrivateKey::from_pkcs8_pem(include_str!(
        "../../crates/authkit/tests/vectors/keys/current.pem"
    ))
    .unwrap();
    key.precompute().unwrap();
    key
});

/// WorkOS: users' sessions and their tokens.
pub struct WorkOs {
    simulation: Simulation,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    codes: BTreeMap<String, (usize, String)>,
    sessions: BTreeMap<String, WorkOsSession>,
    refresh_tokens: BTreeMap<String, RefreshToken>,
    counter: u32,
    /// Statuses 500 before and after the exchange, per mille.
    fails_before: u32,
    fails_after: u32,
}

/// A session, as WorkOS knows it.
#[derive(Debug, Clone, Default)]
pub struct WorkOsSession {
    pub user: usize,
    /// When the session ended, in milliseconds.
    pub ended_at: Option<i64>,
    /// When the last access token expires, in seconds.
    pub last_exp: i64,
    pub organization: String,
}

struct RefreshToken {
    session: String,
    /// The receipt of the response to its exchange.
    receipt: Option<Receipt>,
    /// The response was a failure after the exchange.
    is_lost: bool,
    is_current: bool,
    reuses: u32,
}

pub fn user_id(user: usize) -> String {
    format!("user_{user}")
}

impl WorkOs {
    pub fn new(simulation: &Simulation) -> Self {
        Self { simulation: simulation.clone(), state: Mutex::default() }
    }

    /// Sets how often the token endpoint fails before and after an exchange, per mille.
    pub fn fail(&self, before: u32, after: u32) {
        let mut state = self.state();
        (state.fails_before, state.fails_after) = (before, after);
    }

    /// Signs `user` in for a browser that comes from `/login`: the URL that WorkOS redirects it to.
    pub fn approve(&self, authorize_url: &str, user: usize) -> Option<String> {
        let url = Url::parse(authorize_url).ok()?;
        let query: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
        let mut state = self.state();
        let code = state.next("code");
        state.codes.insert(code.clone(), (user, query.get("code_challenge")?.clone()));
        let mut callback = Url::parse(query.get("redirect_uri")?).ok()?;
        callback
            .query_pairs_mut()
            .append_pair("code", &code)
            .append_pair("state", query.get("state")?);
        Some(callback.into())
    }

    /// An access token for a program. Programs of a user share a session, and a token for two minutes, so that many
    /// runs need one signature.
    pub fn access_token(&self, user: usize) -> String {
        let id = format!("session_of_programs_{user}");
        let organization = "org_1".to_owned();
        let session = WorkOsSession { user, organization, ..WorkOsSession::default() };
        self.state().sessions.entry(id.clone()).or_insert(session);
        let now = self.simulation.now_millis() / 1000;
        self.sign_access_token(&id, now - now % PROGRAM_TOKEN_SECS)
    }

    /// Ends a session, as an administrator does or the redirect of a sign-out.
    pub fn end_session(&self, id: &str) {
        let now = self.simulation.now_millis();
        let mut state = self.state();
        let Some(session) = state.sessions.get_mut(id) else { return };
        session.ended_at.get_or_insert(now);
        state.refresh_tokens.retain(|_, token| token.session != id || !token.is_current);
    }

    /// Ends every session of a user.
    pub fn end_sessions_of(&self, user: usize) {
        for id in self.sessions_of(user) {
            self.end_session(&id);
        }
    }

    pub fn sessions_of(&self, user: usize) -> Vec<String> {
        let state = self.state();
        let of_user = state.sessions.iter().filter(|(_, session)| session.user == user);
        of_user.map(|(id, _)| id.clone()).collect()
    }

    pub fn session(&self, id: &str) -> Option<WorkOsSession> {
        self.state().sessions.get(id).cloned()
    }

    /// Whether WorkOS performed an exchange of the session whose response nobody received.
    pub fn has_lost_exchange(&self, id: &str) -> bool {
        let state = self.state();
        // An object that is evicted may keep its futures, so a response that never arrives stays on the way.
        let is_lost = |token: &RefreshToken| {
            let receipt = token.receipt.as_ref();
            token.is_lost || receipt.is_some_and(|receipt| receipt.delivered() != Some(true))
        };
        state.refresh_tokens.values().any(|token| token.session == id && is_lost(token))
    }

    /// The token that was exchanged again although WorkOS had answered its exchange.
    pub fn violation(&self) -> Option<String> {
        let state = self.state();
        let is_answered = |token: &RefreshToken| {
            let receipt = token.receipt.as_ref().and_then(Receipt::delivered);
            !token.is_lost && receipt == Some(true)
        };
        let mut reused = state.refresh_tokens.iter().filter(|(_, token)| token.reuses > 0);
        let (name, token) = reused.find(|(_, token)| is_answered(token))?;
        Some(format!("invariant 6: WorkOS received {name} of {} a second time", token.session))
    }

    /// Responds to a request.
    pub fn respond(&self, request: &Request<Bytes>, receipt: Receipt) -> Response<Bytes> {
        let path = request.uri().path();
        let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        let (status, body) = match path {
            "/user_management/authenticate" => self.authenticate(&body, receipt),
            "/user_management/sessions/revoke" => {
                let id = body["session_id"].as_str().unwrap_or_default();
                self.simulation.trace(|| format!("workos: {id} is revoked"));
                let is_known = self.session(id).is_some();
                self.end_session(id);
                if is_known { (200, json!({})) } else { (404, json!({"code": "not_found"})) }
            }
            path if path == format!("/sso/jwks/{CLIENT_ID}") => (200, json!({"keys": [jwk()]})),
            _ => (404, json!({"message": "Not Found", "code": "not_found"})),
        };
        let mut response = Response::new(Bytes::from(body.to_string()));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        response
    }

    fn authenticate(&self, body: &Value, receipt: Receipt) -> (u16, Value) {
        let (before, after) = {
            let state = self.state();
            (state.fails_before, state.fails_after)
        };
        let down = (500, json!({"message": "down", "code": "down"}));
        if self.simulation.chance(before) {
            self.simulation.note_fault("workos: failure before the exchange");
            return down;
        }
        let is_lost = self.simulation.chance(after);
        if is_lost {
            self.simulation.note_fault("workos: failure after the exchange");
        }
        let exchanged = match body["grant_type"].as_str() {
            Some("authorization_code") => self.exchange_code(body),
            Some("refresh_token") => self.exchange_refresh_token(body, receipt, is_lost),
            _ => (400, json!({"error": "invalid_request"})),
        };
        if is_lost { down } else { exchanged }
    }

    fn exchange_code(&self, body: &Value) -> (u16, Value) {
        let code = body["code"].as_str().unwrap_or_default();
        let known = self.state().codes.remove(code);
        let verifier = body["code_verifier"].as_str().unwrap_or_default();
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
        let Some((user, _)) = known.filter(|(_, expected)| *expected == challenge) else {
            return (400, json!({"error": "invalid_grant"}));
        };
        let session = self.begin_session(user);
        (200, self.tokens(&session))
    }

    fn exchange_refresh_token(
        &self,
        body: &Value,
        receipt: Receipt,
        is_lost: bool,
    ) -> (u16, Value) {
        let name = body["refresh_token"].as_str().unwrap_or_default();
        let organization = body["organization_id"].as_str();
        let refused =
            (400, json!({"error": "invalid_grant", "error_description": "Invalid refresh token."}));
        if organization == Some("org_closed") {
            return (403, json!({"code": "organization_not_authorized", "message": "no"}));
        }
        let session = {
            let mut state = self.state();
            let Some(token) = state.refresh_tokens.get_mut(name) else { return refused };
            if !token.is_current {
                token.reuses += 1;
                drop(state);
                self.simulation.trace(|| format!("workos: {name} is exchanged again: refused"));
                return refused;
            }
            token.is_current = false;
            (token.receipt, token.is_lost) = (Some(receipt), is_lost);
            let session = token.session.clone();
            if let (Some(organization), Some(session)) =
                (organization, state.sessions.get_mut(&session))
            {
                organization.clone_into(&mut session.organization);
            }
            session
        };
        let tokens = self.tokens(&session);
        self.simulation.trace(|| {
            let next = tokens["refresh_token"].as_str().unwrap_or_default();
            format!("workos: {name} of {session} is exchanged for {next}")
        });
        (200, tokens)
    }

    fn begin_session(&self, user: usize) -> String {
        let mut state = self.state();
        let number = state.sessions.values().filter(|session| session.user == user).count();
        let id = format!("session_{user}_{number}");
        let organization = "org_1".to_owned();
        let session = WorkOsSession { user, organization, ..WorkOsSession::default() };
        state.sessions.insert(id.clone(), session);
        id
    }

    fn sign_access_token(&self, session_id: &str, iat: i64) -> String {
        let exp = iat + ACCESS_TOKEN_TTL_SECS;
        let claims = {
            let mut state = self.state();
            let session = state.sessions.get_mut(session_id).unwrap();
            session.last_exp = exp;
            json!({
                "iss": "https://api.workos.com", "sub": user_id(session.user), "sid": session_id,
                "iat": iat, "exp": exp, "org_id": session.organization, "role": "admin",
                "permissions": [],
            })
        };
        sign(&claims)
    }

    fn tokens(&self, session_id: &str) -> Value {
        let access_token = self.sign_access_token(session_id, self.simulation.now_millis() / 1000);
        let mut state = self.state();
        let name = state.next("refresh");
        let token = RefreshToken {
            session: session_id.to_owned(),
            receipt: None,
            is_lost: false,
            is_current: true,
            reuses: 0,
        };
        state.refresh_tokens.insert(name.clone(), token);
        let WorkOsSession { user, organization, .. } = &state.sessions[session_id];
        let user = user_id(*user);
        json!({
            "user": {
                "object": "user", "id": user, "email": format!("{user}@example.com"),
                "email_verified": true, "first_name": "Test", "last_name": null,
                "created_at": "2026-01-01T00:00:00.000Z", "updated_at": "2026-01-01T00:00:00.000Z",
            },
            "organization_id": organization,
            "access_token": access_token,
            "refresh_token": name,
            "authentication_method": "Password",
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl State {
    fn next(&mut self, kind: &str) -> String {
        self.counter += 1;
        format!("{kind}_{}", self.counter)
    }
}

fn jwk() -> Value {
    let public = RsaPublicKey::from(&*KEY);
    json!({
        "kty": "RSA", "alg": "RS256", "use": "sig", "kid": "key_current",
        "n": URL_SAFE_NO_PAD.encode(public.n().to_bytes_be()),
        "e": URL_SAFE_NO_PAD.encode(public.e().to_bytes_be()),
    })
}

fn sign(claims: &Value) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = json!({"alg": "RS256", "typ": "JWT", "kid": "key_current"});
    let signed = format!("{}.{}", encode(&header), encode(claims));
    let known = SIGNATURES.lock().unwrap().get(&signed).cloned();
    let signature = known.unwrap_or_else(|| {
        let digest = Sha256::digest(&signed);
        let signature = KEY.sign(Pkcs1v15Sign::new::<Sha256>(), &digest).unwrap();
        URL_SAFE_NO_PAD.encode(signature)
    });
    let token = format!("{signed}.{signature}");
    let mut signatures = SIGNATURES.lock().unwrap();
    if signatures.len() >= MAX_SIGNATURES {
        signatures.clear();
    }
    signatures.insert(signed, signature);
    token
}
