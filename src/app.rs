//! The application: its state, and the list of its routes.

use std::sync::Arc;

use axum::{Router, extract::FromRef, routing::post};
use http::{HeaderName, StatusCode, header};

use crate::{
    access::Access,
    api::expenses as api,
    api_keys,
    expenses::{Expenses, ledger, store},
    import, mcp,
    negotiation::{by_accept, by_form, by_upload},
    openapi::routing::{OpenApiRouter, routes},
    organization, portal,
    rate_limits::CallerLimits,
    request_log::{self, RequestLog},
    security_headers::security_headers,
    service,
    web::{account, show, submit, views},
    webhooks,
};
use axum_authkit::{
    self, AppError, AuthKit, ConfigError, Observer, ProtectedResource,
    layer::layer_without_authkit, routing::any_handler, routing::with_state, webhook,
};
use edge_host::{
    Cause, Clock, Emit as _, Host, HostEvent, KvNamespace, Misconfigured, ObjectNamespace,
};

/// The resource that AuthKit Connect's tokens are for, and their scopes.
const RESOURCE: ProtectedResource = ProtectedResource {
    paths: &[mcp::PATH],
    scopes: &Access::SCOPES,
    scope_prefix: Access::SCOPE_PREFIX,
};

/// The state that requests share, made once per isolate.
#[derive(Clone, FromRef)]
pub struct AppState {
    /// Sign-in, sessions, tokens.
    pub authkit: Arc<AuthKit>,
    /// The users' expenses.
    pub expenses: Expenses,
    /// Limits on the requests of one caller.
    pub limits: Arc<CallerLimits>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl AppState {
    /// Expenses in `kv`, written by the objects of `ledger`, for the users that `authkit` authenticates. `requests`
    /// reports the requests.
    #[must_use]
    pub fn new(
        authkit: AuthKit,
        kv: Arc<dyn KvNamespace>,
        ledger: Arc<dyn ObjectNamespace>,
        clock: Arc<dyn Clock>,
        requests: RequestLog,
    ) -> Self {
        let cursor_sealer = authkit.application_sealer("expenses/cursor/v1");
        let expenses = Expenses::new(kv, ledger, Arc::clone(&clock), cursor_sealer);
        let authkit = authkit
            .with_resource(RESOURCE)
            .with_landing_path("/expenses")
            .with_error_page(views::error::render)
            .with_observer(move |request, headers| requests.end(request, headers));
        let policy = views::content_security_policy(&authkit.form_origins());
        let authkit = authkit.with_response_headers(security_headers(policy));
        Self { authkit: Arc::new(authkit), expenses, limits: Arc::default(), clock }
    }

    /// Limits the requests of each caller.
    #[must_use]
    pub fn with_limits(self, limits: CallerLimits) -> Self {
        Self { limits: Arc::new(limits), ..self }
    }
}

/// The headers of requests that the Worker reads besides AuthKit's.
const REQUEST_HEADERS: [HeaderName; 4] = [
    header::ACCEPT_LANGUAGE,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    HeaderName::from_static("sec-fetch-mode"),
];

/// Those that it reads of requests with a body besides.
pub const BODY_REQUEST_HEADERS: [HeaderName; 6] = [
    header::CONTENT_TYPE,
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("mcp-method"),
    HeaderName::from_static("mcp-name"),
    HeaderName::from_static("mcp-protocol-version"),
    webhook::SIGNATURE_HEADER,
];

/// The headers of requests that the Worker reads.
#[must_use]
pub fn request_headers() -> Vec<HeaderName> {
    [&AuthKit::REQUEST_HEADERS[..], &REQUEST_HEADERS].concat()
}

/// The Worker on `host`: [`router`].
///
/// # Errors
///
/// Where variables or bindings are wrong: [`misconfigured`].
pub fn build(host: &impl Host) -> Result<Router, Misconfigured<Router>> {
    host.limit_request_headers(&request_headers(), &BODY_REQUEST_HEADERS);
    let authkit = AuthKit::from_env_with_kv(host, store::BINDING);
    let requests = RequestLog::parse(host.var(request_log::VARIABLE).as_deref());
    match (authkit, host.kv(store::BINDING), host.objects(ledger::BINDING), requests) {
        (Ok(authkit), Some(kv), Some(ledger), Ok(requests)) => {
            let state = AppState::new(authkit, kv, ledger, host.clock(), requests);
            Ok(router(state.with_limits(CallerLimits::bound(host))))
        }
        (authkit, _, ledger, requests) => {
            let mut error = authkit.err().unwrap_or_default();
            if let Err(reason) = requests {
                error.add(request_log::VARIABLE, reason);
            }
            if ledger.is_none() {
                error.add(ledger::BINDING, "is not bound to a Durable Object class");
            }
            Err(Misconfigured(misconfigured(&error, host.clock())))
        }
    }
}

/// The Worker: every route, and the layer around them.
#[allow(clippy::disallowed_methods, reason = "WorkOS calls the webhook, not the API's clients")]
pub fn router(state: AppState) -> Router {
    let authkit = Arc::clone(&state.authkit);
    let mut routes = routes();
    if authkit.has_webhook_secret() {
        routes = routes.route(webhooks::PATH, post(any_handler(webhooks::receive_event)));
    }
    let routes = with_state(routes, state)
        .fallback(|| async { AppError::new(StatusCode::NOT_FOUND, "Not Found") })
        .method_not_allowed_fallback(|| async {
            AppError::new(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
        });
    axum_authkit::layer(&authkit, routes)
}

/// Every route but the webhook's, which [`router`] adds, with its description. [`axum_authkit::routes()`] has
/// the routes of the sign-in.
///
/// Where a path has JSON and HTML, [`by_accept`], [`by_form`] and [`by_upload`] choose the handler. After a change
/// here, `cargo test` rewrites `assets/openapi.json` and fails once: check the diff and commit it.
#[allow(clippy::disallowed_methods, reason = "MCP describes its own tools")]
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(service::show_home => by_accept(show::show_home)))
        .routes(routes!(service::show_health))
        .routes(routes!(show::show_docs))
        .routes(routes!(
            api::list_expenses => by_accept(show::list_expenses),
            api::create_expense => by_form(submit::add_expense),
        ))
        .routes(routes!(api::download_expenses))
        .routes(routes!(api::summarize_expenses))
        .routes(routes!(
            import::show_import,
            import::import_expenses => by_upload(import::import_by_form),
        ))
        .routes(routes!(
            api::show_expense => by_accept(show::show_expense),
            api::replace_expense,
            api::patch_expense,
            api::delete_expense,
            submit::change_expense,
        ))
        .routes(routes!(show::confirm_delete, submit::delete_expense))
        .routes(routes!(api::restore_expense => by_form(submit::restore_expense)))
        .routes(routes!(account::show_account))
        .routes(routes!(organization::list_organizations))
        .routes(routes!(organization::switch_organization))
        .routes(routes!(portal::open_portal))
        .routes(routes!(api_keys::list_api_keys, api_keys::create_api_key))
        .routes(routes!(api_keys::revoke_api_key, api_keys::revoke_api_key_by_form))
        .merge(axum_authkit::routes())
        .route(mcp::PATH, post(any_handler(mcp::receive_message)))
        .route(mcp::PATH_WITH_SLASH, post(any_handler(mcp::receive_message)))
}

/// Replaces [`router`] while the configuration is invalid: every path responds with the names of the
/// variables to set.
pub fn misconfigured(error: &ConfigError, clock: Arc<dyn Clock>) -> Router {
    let detail = format!("The Worker is not configured: {error}");
    HostEvent::Misconfigured { cause: Cause(error) }.emit();
    let response = AppError::new(StatusCode::INTERNAL_SERVER_ERROR, detail);
    let routes = Router::new().fallback(move || std::future::ready(response.clone()));
    let set_headers = security_headers(views::content_security_policy(&[]));
    let render = Arc::new(views::error::render);
    let requests = RequestLog::default();
    let observer = Observer::new(clock, move |request, headers| requests.end(request, headers));
    layer_without_authkit(routes, render, Some(Arc::new(set_headers)), Some(observer))
}
