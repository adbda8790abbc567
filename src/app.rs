//! The application: its state, and the only list of routes and layers.

use std::sync::Arc;

use axum::{
    Router,
    extract::{FromRef, Request, State},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use url::Url;
use utoipa::ToSchema;

use crate::{
    access::Access,
    api,
    authkit::{
        self, AuthKit, AuthKitConfig, ConfigError, ProtectedResource, origin::RequestOrigin,
    },
    browser::redirect,
    error::AppError,
    error_layer::report,
    expenses::{Expenses, store},
    json::Json,
    mcp,
    openapi::{
        self, NeedsAuthKit,
        routing::{OpenApiRouter, routes},
    },
    organization,
    runtime::{Clock, Host, KvNamespace},
    web::{self, views},
    webhooks,
};

/// What AuthKit Connect's tokens may be for, and their scopes.
const RESOURCE: ProtectedResource = ProtectedResource {
    paths: &[mcp::PATH],
    scopes: &Access::SCOPES,
    scope_prefix: Access::SCOPE_PREFIX,
};

/// What every request shares. Made once per isolate.
#[derive(Clone, FromRef)]
pub struct AppState {
    /// Sign-in, sessions, tokens.
    pub authkit: Arc<AuthKit>,
    /// What users keep.
    pub expenses: Expenses,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl AppState {
    /// Expenses in `kv`, for whoever `authkit` knows.
    #[must_use]
    pub fn new(authkit: AuthKit, kv: Arc<dyn KvNamespace>, clock: Arc<dyn Clock>) -> Self {
        let cursor_sealer = authkit.application_sealer("expenses/cursor/v1");
        let expenses = Expenses::new(kv, Arc::clone(&clock), cursor_sealer);
        Self {
            authkit: Arc::new(authkit.with_resource(RESOURCE).with_landing_path("/expenses")),
            expenses,
            clock,
        }
    }
}

/// The Worker on `host`: [`router`], or [`misconfigured`] where variables or bindings are wrong.
pub fn build(host: &impl Host) -> Router {
    let config = AuthKitConfig::from_lookup(|name| host.var(name));
    match (config, host.kv(store::BINDING)) {
        (Ok(config), Some(kv)) => {
            let clock = host.clock();
            let authkit = AuthKit::new(config, host.http_client(), &kv, Arc::clone(&clock));
            router(AppState::new(authkit, kv, clock))
        }
        (config, kv) => {
            let mut error = config.err().unwrap_or_default();
            if kv.is_none() {
                error.add(store::BINDING, "is not bound to a KV namespace");
            }
            misconfigured(&error)
        }
    }
}

/// The Worker: every route, and the layers around them.
pub fn router(state: AppState) -> Router {
    let policy = views::content_security_policy(&state.authkit.sign_out_origins());
    let public_origin = state.authkit.public_origin().cloned();
    let pages = web::pages(state.clone());
    let mut routes = Router::from(routes());
    if state.authkit.has_webhook_secret() {
        routes = routes.merge(webhooks::routes());
    }
    let routes = routes
        .fallback(|| async { AppError::new(StatusCode::NOT_FOUND, "Not Found") })
        .method_not_allowed_fallback(|| async {
            AppError::new(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
        })
        .layer(from_fn_with_state(pages, web::prefer_pages))
        .layer(from_fn_with_state(Arc::clone(&state.authkit), authkit::carry_session))
        .layer(from_fn_with_state(Arc::clone(&state.authkit), authkit::confirm_session))
        .with_state(state);
    with_layers(routes, policy, public_origin)
}

/// Every route, with its description.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(show_home))
        .routes(routes!(show_health))
        .merge(openapi::routes())
        .merge(authkit::routes())
        .merge(organization::routes())
        .merge(api::routes())
        .merge(web::routes())
        .merge(mcp::routes())
}

/// What stands in for [`router`] while the configuration is wrong: every path answers with the
/// names of the variables to mend.
pub fn misconfigured(error: &ConfigError) -> Router {
    let detail = format!("The Worker is not configured: {error}");
    log::error!("{detail}");
    let answer = AppError::new(StatusCode::INTERNAL_SERVER_ERROR, detail);
    let routes = Router::new().fallback(move || std::future::ready(answer.clone()));
    with_layers(routes, views::content_security_policy(&[]), None)
}

fn with_layers(router: Router, policy: HeaderValue, public_origin: Option<Url>) -> Router {
    router
        .layer(from_fn(require_https))
        .layer(from_fn(report))
        .layer(from_fn_with_state(policy, set_security_headers))
        .layer(from_fn_with_state(Arc::new(public_origin), settle_origin))
}

/// Settles which origin a request has, for all that asks.
async fn settle_origin(
    State(public_origin): State<Arc<Option<Url>>>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    if let Some(origin) = RequestOrigin::of_request(&parts, (*public_origin).as_ref()) {
        parts.extensions.insert(origin);
    }
    next.run(Request::from_parts(parts, body)).await
}

/// Serves nothing by plain http but on this machine: everybody on the way reads it and changes it. A client
/// that has sent a token so is told, because a redirect would hide that others may have the token now.
async fn require_https(request: Request, next: Next) -> Response {
    let exposed = request.extensions().get::<RequestOrigin>().filter(|origin| origin.is_exposed());
    let Some(origin) = exposed else { return next.run(request).await };
    if authkit::has_bearer(request.headers()) {
        let detail = "The token was sent over plain http, where others can read it: \
                      get another one, and send it to the https address";
        return AppError::new(StatusCode::FORBIDDEN, detail).into_response();
    }
    redirect(StatusCode::PERMANENT_REDIRECT, &origin.by_https(request.uri()))
}

/// Headers that every answer needs, unless its handler has set them otherwise; `policy` is for pages.
async fn set_security_headers(
    State(policy): State<HeaderValue>,
    request: Request,
    next: Next,
) -> Response {
    let origin = request.extensions().get::<RequestOrigin>();
    let is_https = origin.is_some_and(|origin| origin.url().scheme() == "https");
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let is_html = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|content_type| content_type.as_bytes().starts_with(b"text/html"));
    let mut set_default = |name, value| {
        headers.entry(name).or_insert(value);
    };
    set_default(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    set_default(header::VARY, HeaderValue::from_static("Cookie, Authorization, Accept"));
    set_default(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // `same-origin` and not `no-referrer`: with that, browsers send `Origin: null` with forms.
    set_default(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    // A page of another site that opens this one in a window gets no hold of the window, and shows
    // nothing of this site inside of its own pages.
    let same_origin = HeaderValue::from_static("same-origin");
    set_default(HeaderName::from_static("cross-origin-opener-policy"), same_origin.clone());
    set_default(HeaderName::from_static("cross-origin-resource-policy"), same_origin);
    if is_https {
        // Two years, as browsers' preload lists ask; not for subdomains, which may be others'.
        set_default(
            header::STRICT_TRANSPORT_SECURITY,
            HeaderValue::from_static("max-age=63072000"),
        );
    }
    if is_html {
        set_default(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// Whether the service is there
///
/// Touches nothing: neither storage nor AuthKit.
#[utoipa::path(
    get,
    path = "/health",
    tag = "service",
    security(()),
    responses((status = 200, description = "It is", body = HealthResponse)),
)]
async fn show_health() -> Json<HealthResponse> {
    Json(HealthResponse { status: "ok" })
}

/// `GET /health`.
#[derive(Serialize, ToSchema)]
struct HealthResponse {
    #[schema(example = "ok")]
    status: &'static str,
}

/// Where things are
///
/// For a browser, the home page.
#[utoipa::path(
    get,
    path = "/",
    tag = "service",
    security(()),
    responses(
        (
            status = 200,
            description = "Paths by what is there",
            content((HomeResponse = "application/json"), (String = "text/html")),
        ),
        NeedsAuthKit,
    ),
)]
async fn show_home() -> Json<HomeResponse> {
    Json(HomeResponse::default())
}

/// `GET /` for programs.
#[derive(Serialize, ToSchema)]
struct HomeResponse {
    expenses: &'static str,
    summary: &'static str,
    mcp: &'static str,
    me: &'static str,
    login: &'static str,
    logout: &'static str,
    openapi: &'static str,
    docs: &'static str,
    health: &'static str,
}

impl Default for HomeResponse {
    fn default() -> Self {
        Self {
            expenses: "/expenses",
            summary: "/expenses/summary",
            mcp: mcp::PATH,
            me: "/me",
            login: "/login",
            logout: "/logout",
            openapi: "/openapi.json",
            docs: "/docs",
            health: "/health",
        }
    }
}
