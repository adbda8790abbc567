//! The application of these tests in an isolate of its own, and a browser's requests to it.

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::Path,
    response::{IntoResponse, Response},
    routing::get,
};
use axum_authkit::{
    AppError, AuthKit, BearerUser, CurrentUser, Rejection, UnscopedUser, session_keeper,
};
use chrono::{DateTime, Duration, Utc};
use edge_host::Clock;
use edge_host::memory::{
    ManualClock, MemoryHost, MemoryKv, MemoryObjects, ScriptedHttpClient, limit_headers,
};
use http::{HeaderMap, Method, Request, StatusCode, header};
use serde_json::Value;
use tower::ServiceExt;
use url::Url;

use crate::workos::{BASE_URL, CLIENT_ID, Mode, Workos};

/// The `Accept` header of a browser's navigation.
pub const NAVIGATION: (&str, &str) = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
/// The name of the session cookie on https.
pub const COOKIE: &str = "__Host-wos-session";
/// How long an access token lives, and a second more.
const ACCESS_TOKEN_SECS: i64 = 301;

/// The application: one route for each extractor and each requirement.
#[allow(clippy::disallowed_methods, reason = "routes of a test need no description")]
pub fn app() -> Router {
    Router::new()
        .route("/who", get(who).post(who))
        .route("/greeting", get(greet))
        .route("/machine", get(async |BearerUser(user): BearerUser| user.id().to_owned()))
        .route("/token", get(show_token))
        .route("/public", get(async || "public"))
        .route("/failing", get(fail))
        .route("/moved", get(async |_: CurrentUser| (StatusCode::FOUND, [("location", "/new")])))
        .route("/role", get(async |user: CurrentUser| user.require_role("admin")))
        .route("/permission", get(async |user: CurrentUser| user.require_permission("bills:pay")))
        .route("/organization", get(show_organization))
        .route("/notes", get(read_notes))
        .route("/switch/{organization}", get(switch))
        .nest("/nested", Router::new().route("/who", get(who)))
}

async fn who(user: CurrentUser) -> String {
    user.id().to_owned()
}

async fn greet(user: Option<CurrentUser>) -> String {
    user.map_or_else(|| "nobody".to_owned(), |user| user.id().to_owned())
}

async fn show_token(user: CurrentUser) -> String {
    user.access_token().map_or_else(|| "none".to_owned(), |token| token.expose().to_owned())
}

async fn fail(_: CurrentUser) -> AppError {
    AppError::internal("the <disk> is full")
}

async fn show_organization(user: CurrentUser) -> Result<String, Rejection> {
    user.require_organization().map(str::to_owned)
}

async fn read_notes(user: UnscopedUser) -> Result<String, Rejection> {
    user.require_scope("notes:read").map(|user| user.id().to_owned())
}

async fn switch(user: CurrentUser, Path(organization): Path<String>) -> Response {
    match user.switch_organization(&organization).await {
        Ok(user) => user.organization_id().unwrap_or_default().to_owned().into_response(),
        Err(error) => (StatusCode::CONFLICT, error.to_string()).into_response(),
    }
}

/// An isolate with the application, and the WorkOS, the KV and the clock that it uses.
pub struct Site {
    app: Router,
    pub host: MemoryHost,
    pub clock: Arc<ManualClock>,
    pub kv: Arc<MemoryKv>,
    pub workos: Arc<Workos>,
    pub sessions: MemoryObjects,
    http: Arc<ScriptedHttpClient>,
}

impl Site {
    /// The application behind `AuthKit::protect`, with the required variables alone.
    pub fn new() -> Self {
        Self::with_variables(&[])
    }

    pub fn with_variables(variables: &[(&str, &str)]) -> Self {
        Self::build(variables, |authkit| authkit.protect(app()))
    }

    /// A router that `protect` makes, with these variables beside or instead of the required ones.
    pub fn build(variables: &[(&str, &str)], protect: impl FnOnce(AuthKit) -> Router) -> Self {
        let clock = Arc::new(ManualClock::default());
        let kv = Arc::new(MemoryKv::new(Arc::clone(&clock) as _));
        let workos = Workos::new(Arc::clone(&clock));
        let http = workos.client();
        let required = [
            ("WORKOS_API_KEY", "sk_test_apikey"),
            ("WORKOS_CLIENT_ID", CLIENT_ID),
            ("WORKOS_COOKIE_PASSWORD", "a password of at least 32 characters"),
            ("WORKOS_BASE_URL", BASE_URL),
        ];
        let host = MemoryHost::default()
            .with_clock(Arc::clone(&clock))
            .with_kv(AuthKit::KV_BINDING, Arc::clone(&kv) as _)
            .with_http_client(Arc::clone(&http) as _);
        let host = required
            .iter()
            .chain(variables)
            .fold(host, |host, (name, value)| host.with_var(name, value));
        let sessions = sessions(&host);
        let objects = Arc::new(sessions.clone());
        let host = host.with_objects(AuthKit::SESSIONS_BINDING, objects);
        let app = protect(AuthKit::from_env(&host).unwrap());
        Self { app, host, clock, kv, workos, sessions, http }
    }

    /// Another isolate with the same KV, the same WorkOS and these variables beside or instead of this
    /// one's.
    pub fn another_isolate(&self, variables: &[(&str, &str)]) -> Self {
        let host = variables
            .iter()
            .fold(self.host.clone(), |host, (name, value)| host.with_var(name, value));
        Self {
            app: AuthKit::from_env(&host).unwrap().protect(app()),
            host,
            clock: Arc::clone(&self.clock),
            kv: Arc::clone(&self.kv),
            workos: Arc::clone(&self.workos),
            sessions: self.sessions.clone(),
            http: Arc::clone(&self.http),
        }
    }

    /// The response to a request; `url` is a path of `https://app.test`, or absolute.
    pub async fn send(&self, method: Method, url: &str, headers: &[(&str, &str)]) -> Answer {
        Answer::of(&self.app, method, url, headers).await
    }

    pub async fn get(&self, url: &str, headers: &[(&str, &str)]) -> Answer {
        self.send(Method::GET, url, headers).await
    }

    pub async fn respond(&self, request: Request<Body>) -> Answer {
        Answer::to(&self.app, request).await
    }

    /// The time.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// The `Cookie` header of a browser that has just signed in at `https://app.test`.
    pub async fn sign_in(&self) -> String {
        let answer = self.come_back("https://app.test", "/login").await;
        let session = answer.set_cookie(COOKIE).expect("a session");
        session.split(';').next().unwrap().to_owned()
    }

    /// The response of `/callback` at the end of a sign-in that began at `login`.
    pub async fn come_back(&self, origin: &str, login: &str) -> Answer {
        let pending = self.begin_sign_in(origin, login).await;
        self.get(&pending.callback("code=code_1"), &[("cookie", &pending.cookies)]).await
    }

    /// A sign-in that a browser has begun at `login`.
    pub async fn begin_sign_in(&self, origin: &str, login: &str) -> Pending {
        let begun = self.get(&format!("{origin}{login}"), &[]).await;
        assert_eq!(begun.status, StatusCode::FOUND, "{}", begun.body);
        let cookies: Vec<&str> =
            begun.set_cookies().iter().map(|cookie| cookie.split(';').next().unwrap()).collect();
        let url = Url::parse(begun.header("location").unwrap()).unwrap();
        let (_, state) = url.query_pairs().find(|(name, _)| name == "state").unwrap();
        let callback = format!("{origin}/callback?state={state}");
        Pending { callback, cookies: cookies.join("; ") }
    }

    /// Waits until the access tokens have expired.
    pub fn expire_access_tokens(&self) {
        self.clock.advance(Duration::seconds(ACCESS_TOKEN_SECS));
    }

    pub fn set_mode(&self, mode: Mode) {
        self.workos.set_mode(mode);
    }

    /// The paths of the requests to WorkOS since the last call.
    pub fn take_workos_paths(&self) -> Vec<String> {
        self.http.take_requests().iter().map(|request| request.uri().path().to_owned()).collect()
    }
}

/// The keepers of sessions in this environment.
fn sessions(host: &MemoryHost) -> MemoryObjects {
    let host = host.clone();
    let class = move |context| Arc::new(session_keeper(&host, context)) as _;
    MemoryObjects::new(class, |work| drop(tokio::spawn(work)))
}

/// A sign-in that has begun, and the cookies of its browser.
pub struct Pending {
    callback: String,
    pub cookies: String,
}

impl Pending {
    /// The URL that AuthKit sends the browser back to with these parameters.
    pub fn callback(&self, parameters: &str) -> String {
        format!("{}&{parameters}", self.callback)
    }
}

/// A response, read to its end.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
    /// The error that the response carries as an extension.
    pub error: Option<AppError>,
}

impl Answer {
    /// The response to a request of which `app` sees only the headers that AuthKit names.
    pub async fn of(app: &Router, method: Method, url: &str, headers: &[(&str, &str)]) -> Self {
        let url =
            if url.starts_with('/') { format!("https://app.test{url}") } else { url.to_owned() };
        let request = headers
            .iter()
            .fold(Request::builder().method(method).uri(url), |request, (name, value)| {
                request.header(*name, *value)
            });
        let mut request = request.body(Body::empty()).unwrap();
        limit_headers(&mut request, &AuthKit::REQUEST_HEADERS, &[]);
        Self::to(app, request).await
    }

    pub async fn to(app: &Router, request: Request<Body>) -> Self {
        let (mut parts, body) = app.clone().oneshot(request).await.unwrap().into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        Self {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8(body.into()).unwrap(),
            error: parts.extensions.remove(),
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The `detail` of a JSON error.
    pub fn detail(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/json"), "{}", self.body);
        let body: Value = serde_json::from_str(&self.body).unwrap();
        body["detail"].as_str().unwrap().to_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub fn set_cookies(&self) -> Vec<&str> {
        let values = self.headers.get_all(header::SET_COOKIE).iter();
        values.map(|value| value.to_str().unwrap()).collect()
    }

    /// The last `Set-Cookie` of a name.
    pub fn set_cookie(&self, name: &str) -> Option<&str> {
        let is_named = |cookie: &&&str| cookie.split('=').next() == Some(name);
        self.set_cookies().iter().rfind(is_named).copied()
    }

    /// The `Cookie` header of the browser after this response sets a session.
    pub fn new_session(&self) -> String {
        let set = self.set_cookie(COOKIE).expect("a session cookie");
        assert!(!set.contains("Max-Age=0"), "{set}");
        set.split(';').next().unwrap().to_owned()
    }

    /// Whether the response removes the session cookie.
    pub fn removes_session(&self) -> bool {
        self.set_cookie(COOKIE).is_some_and(|set| set.contains("Max-Age=0"))
    }
}
