//! The client for WorkOS's HTTP API: user management and key sets, and, in modules below, organizations and API keys.
//! <https://workos.com/docs/reference/authkit>
//!
//! A refusal ([`WorkosError::Refused`]) and an outage ([`WorkosError::Unavailable`]) are different errors:
//! only a refusal may end a session.

pub mod api_keys;
pub mod organizations;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thiserror::Error;
use url::{Host, Url};

use crate::{
    config::AuthKitConfig,
    events::AuthKitEvent,
    outage::{Outage, RETRY_AFTER_SECS},
    secret::Secret,
    user::{Impersonator, User},
};
use edge_host::{Cause, Emit as _, HttpClient, HttpClientError, json};

edge_host::opaque_debug!(WorkosClient);

/// The error code for an authorization code or refresh token that is spent, expired or invalid (RFC 6749,
/// section 5.2).
pub const INVALID_GRANT: &str = "invalid_grant";

/// Sends one application's requests to WorkOS.
#[derive(Clone)]
pub struct WorkosClient {
    http: Arc<dyn HttpClient>,
    config: Arc<AuthKitConfig>,
}

/// The parameters of an authorization request that differ between requests.
#[derive(Debug, Default)]
pub struct AuthorizeRequest<'a> {
    /// `redirect_uri`.
    pub redirect_uri: &'a str,
    /// `state`.
    pub state: &'a str,
    /// `code_challenge`, method S256.
    pub code_challenge: &'a str,
    /// Further parameters in order: `screen_hint`, `login_hint`, ….
    pub hints: &'a [(&'static str, &'a str)],
}

/// The browser that sent the request, for WorkOS's log and fraud checks.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ClientInfo {
    /// The browser's address.
    pub ip_address: Option<String>,
    /// The browser's `User-Agent`.
    pub user_agent: Option<String>,
}

impl ClientInfo {
    /// The headers with the address and the user agent.
    pub(crate) const HEADERS: [HeaderName; 2] =
        [HeaderName::from_static("cf-connecting-ip"), header::USER_AGENT];

    /// Reads the client from the values of its [`HEADERS`](Self::HEADERS).
    pub(crate) fn from_values(values: [Option<&HeaderValue>; 2]) -> Self {
        let [ip_address, user_agent] =
            values.map(|value| value.and_then(|value| value.to_str().ok()).map(str::to_owned));
        Self { ip_address, user_agent }
    }

    /// The key of the client's address in rate limits: the network of 64 bits of an IPv6 address, of which one customer
    /// has all.
    pub(crate) fn network(self) -> Option<String> {
        let address = self.ip_address?;
        match Host::parse(&format!("[{address}]")) {
            Ok(Host::Ipv6(v6)) if v6.to_ipv4_mapped().is_none() => {
                Some(format!("{:x}/64", u128::from(v6) >> 64))
            }
            _ => Some(address),
        }
    }
}

/// WorkOS's response to the exchange of a code or a refresh token.
#[derive(Debug, Deserialize)]
pub struct AuthenticateResponse {
    /// The user who signed in.
    pub user: User,
    /// The access token, a JWT.
    pub access_token: Secret,
    /// The single-use refresh token.
    pub refresh_token: Secret,
    /// The impersonator, if someone acts as the user.
    #[serde(default)]
    pub impersonator: Option<Impersonator>,
}

/// A JSON Web Key Set. Each key is raw JSON, so that an unusable key does not invalidate the others.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct JwkSet {
    pub(crate) keys: Vec<Value>,
}

/// Why a request to WorkOS failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WorkosError {
    /// WorkOS refused the request.
    #[error("WorkOS refused: {code}")]
    Refused {
        /// WorkOS's `error` or `code`, such as `invalid_grant`.
        code: String,
        /// WorkOS's description of the error.
        description: Option<String>,
    },
    /// No usable response: a timeout, an error at WorkOS, or a rate limit. The user's session stays valid.
    #[error("WorkOS is unavailable ({0})")]
    Unavailable(Outage),
}

impl JwkSet {
    /// The set with the members of this object.
    pub(crate) fn of(mut set: Value) -> Option<Self> {
        match set.get_mut("keys")?.take() {
            Value::Array(keys) => Some(Self { keys }),
            _ => None,
        }
    }
}

impl WorkosError {
    /// An [`Unavailable`](Self::Unavailable) error with the default delay.
    #[must_use]
    pub fn unavailable(reason: impl Into<String>) -> Self {
        Self::Unavailable(Outage::new(reason))
    }

    /// The outage, for a request in which WorkOS refuses no user.
    #[must_use]
    pub fn into_outage(self) -> Outage {
        match self {
            Self::Unavailable(outage) => outage,
            Self::Refused { code, .. } => Outage::new(code),
        }
    }
}

impl From<HttpClientError> for WorkosError {
    fn from(error: HttpClientError) -> Self {
        Self::unavailable(error.to_string())
    }
}

/// A grant to exchange for tokens.
#[derive(Debug)]
pub enum Grant<'a> {
    /// RFC 6749, section 4.1.3, with PKCE.
    AuthorizationCode {
        /// The code from AuthKit's redirect.
        code: &'a Secret,
        /// The PKCE verifier of the sign-in.
        code_verifier: &'a Secret,
    },
    /// RFC 6749, section 6.
    RefreshToken {
        /// The refresh token, which this request spends.
        refresh_token: &'a Secret,
        /// The organization to switch to; `None` keeps the session's organization.
        organization_id: Option<&'a str>,
    },
}

/// The body of an error response: OAuth's members, or WorkOS's own.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ErrorBody {
    error: Option<String>,
    error_description: Option<String>,
    code: Option<String>,
    message: Option<String>,
}

impl WorkosClient {
    /// A client that sends through `http`.
    #[must_use]
    pub fn new(http: Arc<dyn HttpClient>, config: Arc<AuthKitConfig>) -> Self {
        Self { http, config }
    }

    /// The URL that begins a sign-in: AuthKit's page, unless the hints name a `provider`,
    /// `connection_id` or `organization_id`.
    #[must_use]
    pub fn authorize_url(&self, request: &AuthorizeRequest<'_>) -> Url {
        let mut url = self.endpoint("/user_management/authorize");
        let selects = |name: &str| matches!(name, "provider" | "connection_id" | "organization_id");
        let mut query = url.query_pairs_mut();
        query
            .append_pair("client_id", &self.config.client_id)
            .append_pair("redirect_uri", request.redirect_uri)
            .append_pair("response_type", "code")
            .append_pair("state", request.state)
            .append_pair("code_challenge", request.code_challenge)
            .append_pair("code_challenge_method", "S256");
        if !request.hints.iter().any(|(name, _)| selects(name)) {
            query.append_pair("provider", "authkit");
        }
        query.extend_pairs(request.hints);
        drop(query);
        url
    }

    /// The URL that ends the browser's session at WorkOS, which redirects to `return_to`.
    #[must_use]
    pub fn logout_url(&self, session_id: &str, return_to: &str) -> Url {
        let mut url = self.endpoint("/user_management/sessions/logout");
        url.query_pairs_mut()
            .append_pair("session_id", session_id)
            .append_pair("return_to", return_to);
        url
    }

    /// Exchanges a grant for tokens.
    ///
    /// # Errors
    ///
    /// [`WorkosError::Refused`] for a spent or unknown code, a sign-in that needs another step, …;
    /// [`WorkosError::Unavailable`] without a usable response.
    pub async fn authenticate(
        &self,
        grant: Grant<'_>,
        client: &ClientInfo,
    ) -> Result<AuthenticateResponse, WorkosError> {
        let (grant_type, [code, code_verifier, refresh_token, organization_id]) = match grant {
            Grant::AuthorizationCode { code, code_verifier } => (
                "authorization_code",
                [Some(code.expose()), Some(code_verifier.expose()), None, None],
            ),
            Grant::RefreshToken { refresh_token, organization_id } => {
                ("refresh_token", [None, None, Some(refresh_token.expose()), organization_id])
            }
        };
        let members = [
            ("grant_type", Some(grant_type)),
            ("code", code),
            ("code_verifier", code_verifier),
            ("refresh_token", refresh_token),
            ("organization_id", organization_id),
            ("client_id", Some(&*self.config.client_id)),
            ("client_secret", Some(self.config.api_key.expose())),
            ("ip_address", client.ip_address.as_deref()),
            ("user_agent", client.user_agent.as_deref()),
        ];
        let members = members.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let body: Value = members.collect();
        let url = self.endpoint("/user_management/authenticate");
        let response = self.send(Method::POST, &url, json::write(&body)).await;
        let read = |body: Bytes| json::read_bytes(&body).map_err(|_| undocumented());
        reported("authenticate", response.and_then(read))
    }

    /// Ends the session with this id. A session that WorkOS does not know, or has ended before, is no error.
    /// <https://workos.com/docs/reference/authkit/session/revoke>
    ///
    /// # Errors
    ///
    /// [`WorkosError::Unavailable`].
    pub async fn revoke_session(&self, session_id: &str) -> Result<(), WorkosError> {
        let url = self.endpoint("/user_management/sessions/revoke");
        let body = json::write(&json!({"session_id": session_id}));
        let response = self.exchange(Method::POST, &url, body, Some(&self.config.api_key)).await;
        let ended = response.and_then(|response| match response.status() {
            status if status.is_success() => Ok(()),
            StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::UNPROCESSABLE_ENTITY => {
                Ok(())
            }
            _ => Err(failure(&response)),
        });
        reported("revoke", ended)
    }

    /// The origin of WorkOS's API.
    #[must_use]
    pub fn base_url(&self) -> &str {
        self.config.base_url.as_str()
    }

    /// The keys that sign this application's session tokens.
    ///
    /// # Errors
    ///
    /// [`Outage`].
    pub async fn session_keys(&self) -> Result<JwkSet, Outage> {
        self.key_set(&self.endpoint(&format!("/sso/jwks/{}", self.config.client_id))).await
    }

    /// The key set at `url`.
    ///
    /// # Errors
    ///
    /// [`Outage`].
    pub async fn key_set(&self, url: &Url) -> Result<JwkSet, Outage> {
        let body = self.get_public(url).await?;
        let body = body.ok_or_else(|| Outage::new("the key set does not exist"))?;
        let set = serde_json::from_slice(&body).ok().and_then(JwkSet::of);
        set.ok_or_else(|| Outage::new(UNDOCUMENTED))
    }

    /// The public document at `url`; `None` for a 404.
    ///
    /// # Errors
    ///
    /// [`Outage`] for every other status.
    pub async fn get_public(&self, url: &Url) -> Result<Option<Bytes>, Outage> {
        let response = self.exchange(Method::GET, url, String::new(), None).await;
        let document = response.and_then(|response| match response.status() {
            StatusCode::OK => Ok(Some(response.into_body())),
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(failure(&response)),
        });
        reported("document", document).map_err(WorkosError::into_outage)
    }

    /// Appends `path` to the base URL.
    fn endpoint(&self, path: &str) -> Url {
        let mut url = self.config.base_url.clone();
        let path = format!("{}{path}", url.path().trim_end_matches('/'));
        url.set_path(&path);
        url
    }

    async fn send(&self, method: Method, url: &Url, body: String) -> Result<Bytes, WorkosError> {
        let response = self.exchange(method, url, body, None).await?;
        if response.status().is_success() {
            return Ok(response.into_body());
        }
        Err(refusal(&response).unwrap_or_else(|| failure(&response)))
    }

    async fn exchange(
        &self,
        method: Method,
        url: &Url,
        body: String,
        api_key: Option<&Secret>,
    ) -> Result<http::Response<Bytes>, WorkosError> {
        let mut request = Request::builder()
            .method(method)
            .uri(url.as_str())
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("axum-authkit/", env!("CARGO_PKG_VERSION")));
        if let Some(api_key) = api_key {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", api_key.expose()));
        }
        let request = request
            .body(Bytes::from(body))
            .map_err(|_| WorkosError::unavailable("the URL is invalid"))?;
        Ok(self.http.send(request).await?)
    }
}

/// Reports a failure of `operation`, unless WorkOS has refused the user.
fn reported<T>(operation: &str, result: Result<T, WorkosError>) -> Result<T, WorkosError> {
    if let Err(WorkosError::Unavailable(outage)) = &result {
        AuthKitEvent::WorkosFailed { operation, cause: Cause(outage) }.emit();
    }
    result
}

/// The error for a response that neither succeeds nor refuses the user.
fn failure(response: &http::Response<Bytes>) -> WorkosError {
    WorkosError::Unavailable(Outage {
        reason: format!("status {}", response.status().as_u16()),
        retry_after_secs: retry_after_secs(response),
    })
}

/// Error codes that do not concern the user: a fault of the application's credentials or request, or of
/// WorkOS.
const CODES_NOT_ABOUT_THE_USER: [&str; 9] = [
    "invalid_client",
    "invalid_request",
    "not_found",
    "rate_limit_exceeded",
    "server_error",
    "temporarily_unavailable",
    "unauthorized",
    "unauthorized_client",
    "unsupported_grant_type",
];

/// Reads a response that refuses the user. `None` for a response that does not concern the user: another
/// status, another form (such as a proxy's `{"error": "Forbidden"}`), or a code of
/// [`CODES_NOT_ABOUT_THE_USER`].
fn refusal(response: &http::Response<Bytes>) -> Option<WorkosError> {
    let is_about_the_request = matches!(
        response.status(),
        StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN | StatusCode::UNPROCESSABLE_ENTITY
    );
    if !is_about_the_request {
        return None;
    }
    let body: ErrorBody = json::read_bytes(response.body()).ok()?;
    let code = body.error.or(body.code)?;
    if !is_code(&code) || CODES_NOT_ABOUT_THE_USER.contains(&code.as_str()) {
        return None;
    }
    Some(WorkosError::Refused { code, description: body.error_description.or(body.message) })
}

/// Reads `Retry-After` in seconds. A date in the header counts as absent.
fn retry_after_secs(response: &http::Response<Bytes>) -> u32 {
    response
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .unwrap_or(RETRY_AFTER_SECS)
}

/// Longer than any message of WorkOS.
const MESSAGE_MAX_CHARS: usize = 300;

/// A message of WorkOS's on one line.
pub(crate) fn one_line(message: &str) -> String {
    let chars = message.chars().map(|char| if char.is_control() { ' ' } else { char });
    chars.take(MESSAGE_MAX_CHARS).collect()
}

/// Whether a text has the form of WorkOS's error codes.
fn is_code(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// The member `name` of an object, if it is a text.
fn text<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.get(name)?.as_str()
}

/// The largest page that WorkOS serves.
const PAGE_MAX_ITEMS: &str = "100";

/// The URL of a list's page: the largest that WorkOS serves, after the item `after`.
fn page_url(mut url: Url, after: Option<&str>) -> Url {
    url.query_pairs_mut().append_pair("limit", PAGE_MAX_ITEMS);
    if let Some(after) = after {
        url.query_pairs_mut().append_pair("after", after);
    }
    url
}

/// The item after which a list's next page begins; `None` for the last page.
fn next_page(page: &Value) -> Option<String> {
    text(page.get("list_metadata")?, "after").map(str::to_owned)
}

/// Errors do not quote the body, which holds tokens.
const UNDOCUMENTED: &str = "the response does not match WorkOS's documentation";

fn undocumented() -> WorkosError {
    WorkosError::unavailable(UNDOCUMENTED)
}

#[cfg(test)]
mod tests;
