//! The application on fakes, and its clients: anonymous, with a bearer token, and a browser.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use authkit_edge::{
    app::{self, AppState},
    expenses::model::ExpenseId,
    rate_limits::CallerLimits,
    request_log::RequestLog,
};
use axum::{Router, body::Body};
use axum_authkit::{AuthKit, AuthKitConfig, RateLimiter, session_keeper};
use chrono::{DateTime, FixedOffset, Utc};
use edge_host::{
    Clock, Host, KvNamespace, ObjectNamespace, VisitorTimeZone,
    memory::{BackgroundTasks, MemoryHost, MemoryKv, MemoryObjects, limit_headers},
};
use futures_util::FutureExt;
use http::{HeaderMap, Method, Request, StatusCode, header, request::Builder};
use serde_json::Value;
use tower::ServiceExt;
use url::{Url, form_urlencoded};

use super::{
    ManualClock,
    authkit::{ACCESS_TOKEN_TTL_SECS, API_KEY, BASE_URL, CLIENT_ID, FakeAuthKit, TestUser},
    client::{Anonymous, Bearer, Client},
    logs,
};

pub const ORIGIN: &str = "https://app.test";
/// The session cookie's default name on [`ORIGIN`].
pub const SESSION_COOKIE: &str = "__Host-wos-session";
pub const PASSWORD: &str = "a cookie password of 32 characters";

#[derive(Clone)]
pub struct TestApp {
    pub router: Router,
    pub authkit: Arc<FakeAuthKit>,
    /// The KV namespace of expenses.
    pub kv: Arc<MemoryKv>,
    /// The KV namespace that AuthKit shares between isolates. On Workers both are one namespace.
    pub authkit_kv: Arc<MemoryKv>,
    /// The keepers of sessions, which all isolates share.
    pub sessions: MemoryObjects,
    /// The ledgers of all users, which all isolates share.
    pub ledgers: MemoryObjects,
    /// What objects do beside their events.
    pub background: BackgroundTasks,
    /// Whether [`Self::send`] runs the background to its end after the response.
    pub settles: bool,
    pub clock: Arc<ManualClock>,
    /// The limits on the requests of one caller; none by default.
    pub limits: CallerLimits,
    /// The limit on the sign-ins of one address; none by default.
    pub address_limit: RateLimiter,
    /// The visitor's time zone that the host adds to every request.
    pub time_zone: VisitorTimeZone,
}

impl TestApp {
    pub fn new() -> Self {
        Self::with_variables(&[])
    }

    /// An application with these variables in addition to, or instead of, the required ones.
    pub fn with_variables(variables: &[(&str, &str)]) -> Self {
        logs::capture();
        let clock = Arc::new(ManualClock::default());
        let authkit = Arc::new(FakeAuthKit::new(Arc::clone(&clock)));
        let sessions = sessions(&host(variables, &authkit, &clock));
        let kv = Arc::new(MemoryKv::new(Arc::clone(&clock) as _));
        let background = BackgroundTasks::default();
        let world = Self {
            router: Router::new(),
            authkit,
            sessions,
            ledgers: ledgers(Arc::clone(&kv) as _, &clock, &background),
            kv,
            background,
            settles: true,
            authkit_kv: Arc::new(MemoryKv::new(Arc::clone(&clock) as _)),
            clock,
            limits: CallerLimits::default(),
            address_limit: RateLimiter::default(),
            time_zone: VisitorTimeZone::default(),
        };
        world.isolate_with_variables(variables)
    }

    /// Another isolate of the same Worker: it shares AuthKit, KV and the clock.
    pub fn isolate(&self) -> Self {
        self.isolate_with_variables(&[])
    }

    pub fn isolate_with_variables(&self, variables: &[(&str, &str)]) -> Self {
        self.isolate_on(variables, Arc::clone(&self.kv) as _)
    }

    /// An isolate that sees the expenses in KV by `kv`.
    pub fn isolate_with_kv(&self, kv: Arc<dyn KvNamespace>) -> Self {
        self.isolate_on(&[], kv)
    }

    fn isolate_on(&self, variables: &[(&str, &str)], expenses_kv: Arc<dyn KvNamespace>) -> Self {
        let (sessions, ledgers) = (self.sessions.clone(), self.ledgers.clone());
        self.isolate_of(variables, expenses_kv, Arc::new(sessions), Arc::new(ledgers))
    }

    /// An isolate that reaches the objects by `sessions` and `ledgers`.
    pub fn isolate_with_objects(
        &self,
        sessions: Arc<dyn ObjectNamespace>,
        ledgers: Arc<dyn ObjectNamespace>,
    ) -> Self {
        self.isolate_of(&[], Arc::clone(&self.kv) as _, sessions, ledgers)
    }

    fn isolate_of(
        &self,
        variables: &[(&str, &str)],
        expenses_kv: Arc<dyn KvNamespace>,
        sessions: Arc<dyn ObjectNamespace>,
        ledgers: Arc<dyn ObjectNamespace>,
    ) -> Self {
        let host = host(variables, &self.authkit, &self.clock);
        let config = AuthKitConfig::from_lookup(|name| host.var(name));
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let http = Arc::clone(&self.authkit) as _;
        let kv = Arc::clone(&self.authkit_kv) as Arc<dyn KvNamespace>;
        let router = match config {
            Ok(config) => {
                let signatures = host.signature_verifier();
                let authkit =
                    AuthKit::new(config, http, &kv, sessions, Arc::clone(&clock), signatures);
                let authkit = authkit.with_address_limit(self.address_limit.clone());
                let state =
                    AppState::new(authkit, expenses_kv, ledgers, clock, RequestLog::default());
                app::router(state.with_limits(self.limits.clone()))
            }
            Err(error) => app::misconfigured(&error, clock),
        };
        Self { router, ..self.clone() }
    }

    /// The environment of this Worker with all of its bindings and these variables, for `app::build`.
    pub fn bound_host(&self, variables: &[(&str, &str)]) -> MemoryHost {
        host(variables, &self.authkit, &self.clock)
            .with_kv("EXPENSES", Arc::clone(&self.kv) as _)
            .with_objects("LEDGER", Arc::new(self.ledgers.clone()))
            .with_objects("SESSIONS", Arc::new(self.sessions.clone()))
    }

    /// The same Worker for visitors `hours_east` of Greenwich.
    pub fn in_time_zone(&self, hours_east: i32) -> Self {
        let offset = FixedOffset::east_opt(hours_east * 3600).unwrap();
        let local_date = move |at: DateTime<Utc>| Some(at.with_timezone(&offset).date_naive());
        Self { time_zone: VisitorTimeZone::new(local_date), ..self.clone() }
    }

    pub async fn send(&self, mut request: Request<Body>) -> TestResponse {
        request.extensions_mut().insert(self.time_zone.clone());
        limit_headers(&mut request, &app::request_headers(), &app::BODY_REQUEST_HEADERS);
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        if self.settles {
            self.settle();
        }
        TestResponse { status: parts.status, headers: parts.headers, body }
    }

    /// Runs the background until it waits, or has no more to do.
    pub fn settle(&self) {
        for _ in 0..10 {
            if self.background.settle().now_or_never().is_some() {
                return;
            }
        }
    }

    /// The same Worker, whose objects do nothing beside their events until [`Self::settle`].
    pub fn without_background(&self) -> Self {
        Self { settles: false, ..self.clone() }
    }

    /// Moves the clock and runs every alarm on the way, each at its time.
    pub async fn pass(&self, duration: chrono::Duration) {
        let end = self.clock.now() + duration;
        while let Some((at, name)) = self.ledgers.next_alarm().filter(|(at, _)| *at <= end) {
            let now = self.clock.now();
            if at > now {
                self.clock.advance(at - now);
            }
            self.ledgers.run_alarm(&name, at + chrono::Duration::seconds(2)).await;
            self.settle();
        }
        self.clock.advance(end - self.clock.now());
    }

    /// Lets time pass until every access token has expired.
    pub fn expire_tokens(&self) {
        self.clock.advance(chrono::Duration::seconds(ACCESS_TOKEN_TTL_SECS));
    }

    /// A client without credentials.
    pub fn anonymous(&self) -> Anonymous<'_> {
        Anonymous { app: self }
    }

    /// A client with this access token.
    pub fn bearer(&self, token: &str) -> Bearer<'_> {
        Bearer { app: self, token: token.to_owned() }
    }

    /// Creates an expense with an `Idempotency-Key`.
    pub async fn create_with_key(
        &self,
        user: TestUser,
        key: &str,
        body: &'static str,
    ) -> TestResponse {
        let mut client = self.bearer(&self.authkit.access_token(user));
        let request = client
            .request(Method::POST, "/expenses")
            .header(header::CONTENT_TYPE, "application/json")
            .header("idempotency-key", key);
        client.send(request, body.into()).await
    }

    /// Puts an expense into KV as versions without a ledger have written it; its id.
    pub fn store_expense(&self, user: TestUser, description: &str) -> String {
        let id = ExpenseId::new(self.clock.now()).to_string();
        let record = format!(
            r#"{{"description":"{description}","amount":"42.50","currency":"USD","category":"meals","date":"2026-11-23","created_at":1795435200,"updated_at":1795435200}}"#
        );
        let metadata = serde_json::from_str(&record).unwrap();
        self.kv.insert_raw(&format!("expense:{}:{id}", user.id), &record, Some(metadata));
        id
    }

    /// The user's expenses, newest first.
    pub async fn expenses_of(&self, user: TestUser) -> Vec<Value> {
        let response =
            self.bearer(&self.authkit.access_token(user)).get("/expenses?limit=1000").await;
        response.expect(200).json().as_array().unwrap().clone()
    }

    /// Runs `work` to its end, and advances the clock while `kv` holds an operation: a minute at most.
    pub async fn let_time_pass<T>(&self, kv: &MemoryKv, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        let end = self.clock.now() + chrono::Duration::minutes(1);
        while self.clock.now() < end {
            if let Some(outcome) = work.as_mut().now_or_never() {
                return outcome;
            }
            if kv.is_waiting() {
                self.clock.advance(chrono::Duration::milliseconds(100));
            }
            tokio::task::yield_now().await;
        }
        panic!("an operation of KV still waits after a minute");
    }

    pub fn browser(&self) -> Browser {
        Browser { app: self.clone(), cookies: Vec::new() }
    }

    pub async fn signed_in(&self, user: TestUser) -> Browser {
        let mut browser = self.browser();
        browser.sign_in(user).await;
        browser
    }
}

/// The environment with these variables in addition to, or instead of, the required ones.
fn host(
    variables: &[(&str, &str)],
    authkit: &Arc<FakeAuthKit>,
    clock: &Arc<ManualClock>,
) -> MemoryHost {
    let required = [
        ("WORKOS_API_KEY", API_KEY),
        ("WORKOS_CLIENT_ID", CLIENT_ID),
        ("WORKOS_COOKIE_PASSWORD", PASSWORD),
        ("WORKOS_BASE_URL", BASE_URL),
    ];
    let host = MemoryHost::default()
        .with_clock(Arc::clone(clock))
        .with_http_client(Arc::clone(authkit) as _);
    required.iter().chain(variables).fold(host, |host, (name, value)| host.with_var(name, value))
}

/// The keepers of sessions in this environment.
fn sessions(host: &MemoryHost) -> MemoryObjects {
    let host = host.clone();
    let class = move |context| Arc::new(session_keeper(&host, context)) as _;
    MemoryObjects::new(class, |work| drop(tokio::spawn(work)))
}

/// Ledgers that write to `kv`.
pub fn ledgers(
    kv: Arc<dyn KvNamespace>,
    clock: &Arc<ManualClock>,
    background: &BackgroundTasks,
) -> MemoryObjects {
    let host = MemoryHost::default()
        .with_kv("EXPENSES", kv)
        .with_clock(Arc::clone(clock))
        .with_var("WORKOS_COOKIE_PASSWORD", PASSWORD);
    let background = background.clone();
    MemoryObjects::new(
        move |context| Arc::new(authkit_edge::ledger(&host, context)),
        move |work| background.spawn(work),
    )
}

/// A request to this Worker; `path` may be a whole URL.
pub fn request(method: Method, path: &str) -> Builder {
    let url = Url::parse(ORIGIN).unwrap().join(path).unwrap();
    Request::builder().method(method).uri(url.as_str()).header("cf-ray", "ray-of-the-test")
}

/// The parameters of a URL.
pub fn query(url: &str) -> HashMap<String, String> {
    Url::parse(url).unwrap().query_pairs().into_owned().collect()
}

/// A form as browsers send it, without the headers that name the page's site.
pub fn form(path: &str) -> Builder {
    request(Method::POST, path)
        .header(header::ACCEPT, "text/html,application/xhtml+xml,*/*;q=0.8")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header("sec-fetch-mode", "navigate")
}

pub fn form_body(fields: &[(&str, &str)]) -> Body {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish().into()
}

/// A response with its body read.
#[derive(Debug, Clone)]
pub struct TestResponse {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl TestResponse {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub fn set_cookies(&self) -> Vec<&str> {
        let values = self.headers.get_all(header::SET_COOKIE).iter();
        values.map(|value| value.to_str().unwrap()).collect()
    }

    /// The directives of `Content-Security-Policy`, with their values.
    pub fn policy(&self) -> BTreeMap<&str, &str> {
        let directives = self.header("content-security-policy").split("; ");
        directives.map(|directive| directive.split_once(' ').unwrap()).collect()
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// `detail`, where it is text.
    pub fn detail(&self) -> String {
        self.json()["detail"].as_str().unwrap_or_else(|| panic!("{}", self.body)).to_owned()
    }
}

/// A browser with a cookie jar, on this Worker's pages.
#[derive(Clone)]
pub struct Browser {
    pub app: TestApp,
    pub cookies: Vec<Cookie>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cookie {
    pub name: String,
    pub value: String,
    pub path: String,
    /// `None` for a host-only cookie.
    pub domain: Option<String>,
}

impl Browser {
    /// Opens a page as if its address were typed.
    pub async fn open(&mut self, path: &str) -> TestResponse {
        let request = request(Method::GET, path)
            .header(header::ACCEPT, "text/html,application/xhtml+xml,*/*;q=0.8")
            .header("sec-fetch-site", "none")
            .header("sec-fetch-mode", "navigate");
        self.send(request, Body::empty()).await
    }

    /// Sends a form of one of this Worker's own pages.
    pub async fn submit(&mut self, path: &str, fields: &[(&str, &str)]) -> TestResponse {
        let request = form(path).header("sec-fetch-site", "same-origin");
        self.send(request, form_body(fields)).await
    }

    pub fn keep_cookies(&mut self, response: &TestResponse) {
        for header in response.set_cookies() {
            let mut parts = header.split("; ");
            let (name, value) = parts.next().unwrap().split_once('=').unwrap();
            let path = parts.clone().find_map(|part| part.strip_prefix("Path=")).unwrap();
            let domain = parts.clone().find_map(|part| part.strip_prefix("Domain="));
            self.cookies.retain(|cookie| cookie.name != name || cookie.domain.as_deref() != domain);
            // Browsers drop a cookie that is too long without an error.
            if header.len() <= 4096 && !parts.any(|part| part == "Max-Age=0") {
                self.cookies.push(Cookie {
                    name: name.to_owned(),
                    value: value.to_owned(),
                    path: path.to_owned(),
                    domain: domain.map(str::to_owned),
                });
            }
        }
    }

    /// Completes a sign-in; the response of `/callback`.
    pub async fn sign_in(&mut self, user: TestUser) -> TestResponse {
        let login = self.open("/login").await.expect(302);
        let callback = self.app.authkit.approve(login.header("location"), user);
        self.open(callback.as_str()).await.expect(302)
    }

    pub fn cookie(&self, name: &str) -> Option<&str> {
        let mut named = self.cookies.iter().filter(|cookie| cookie.name == name);
        named.next().map(|cookie| cookie.value.as_str())
    }

    pub fn cookie_names(&self) -> Vec<&str> {
        self.cookies.iter().map(|cookie| cookie.name.as_str()).collect()
    }

    /// Modifies a stored cookie.
    pub fn tamper(&mut self, name: &str, change: impl Fn(&str) -> String) {
        for cookie in self.cookies.iter_mut().filter(|cookie| cookie.name == name) {
            cookie.value = change(&cookie.value);
        }
    }
}
