//! What a client that has no token yet is told: the protected resource's metadata (RFC 9728), and for
//! clients that look for it here, the authorization server's (RFC 8414), as AuthKit writes it.
//!
//! All of it is public, and browsers' scripts of any origin may read it. Where Connect is off there is
//! nothing here.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{FromRef, State},
    response::{IntoResponse, Response},
    routing::{MethodRouter, get},
};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use serde_json::json;

use super::{AuthKit, client::ClientError, jwks::KeyError, origin::OwnOrigin};
use crate::{error::AppError, json::Json, openapi::routing::OpenApiRouter, runtime::WaitUntil};

/// Where a protected resource's metadata is; its path comes after (RFC 9728, section 3.1).
pub const PROTECTED_RESOURCE_PATH: &str = "/.well-known/oauth-protected-resource";
/// Where an authorization server's metadata is (RFC 8414, section 3).
const AUTHORIZATION_SERVER_PATH: &str = "/.well-known/oauth-authorization-server";

/// Clients and caches on the way may keep a document for five minutes.
const CACHE_CONTROL: &str = "public, max-age=300";
/// What is waited when AuthKit does not say how long.
const RETRY_AFTER_SECS: u32 = 5;

/// The routes.
#[allow(clippy::disallowed_methods, reason = "other specifications' documents, not the API's")]
pub fn routes<S>() -> OpenApiRouter<S>
where
    Arc<AuthKit>: FromRef<S>,
    S: Clone + Send + Sync + 'static,
{
    let with_preflight = |route: MethodRouter<S>| route.options(answer_preflight);
    OpenApiRouter::new()
        .route(PROTECTED_RESOURCE_PATH, with_preflight(get(show_protected_resource)))
        .route(
            &format!("{PROTECTED_RESOURCE_PATH}/{{*path}}"),
            with_preflight(get(show_protected_resource)),
        )
        .route(AUTHORIZATION_SERVER_PATH, with_preflight(get(show_authorization_server)))
}

/// The origin or a path of it, as a protected resource.
async fn show_protected_resource(
    State(authkit): State<Arc<AuthKit>>,
    origin: OwnOrigin,
    uri: Uri,
) -> Result<Response, AppError> {
    let path = uri.path().strip_prefix(PROTECTED_RESOURCE_PATH).unwrap_or_default();
    let connect = authkit.connect.as_ref().ok_or_else(not_found)?;
    if !path.is_empty() && !authkit.resource.paths.contains(&path) {
        return Err(not_found());
    }
    // Without a slash at the end: it is compared as text.
    let resource = format!("{}{path}", origin.url().origin().ascii_serialization());
    let metadata = json!({
        "resource": resource,
        "authorization_servers": [connect.issuer],
        "bearer_methods_supported": ["header"],
        "scopes_supported": authkit.resource.scopes,
    });
    Ok((public(true), Json(metadata)).into_response())
}

async fn show_authorization_server(
    State(authkit): State<Arc<AuthKit>>,
    wait_until: Option<Extension<WaitUntil>>,
) -> Result<Response, AppError> {
    let connect = authkit.connect.as_ref().ok_or_else(not_found)?;
    let wait_until = wait_until.as_ref().map(|Extension(wait_until)| wait_until);
    match connect.published.metadata(wait_until).await {
        Ok(metadata) => {
            let content_type = [(header::CONTENT_TYPE, "application/json")];
            Ok((public(true), content_type, metadata.to_string()).into_response())
        }
        Err(error) => {
            let (reason, retry_after_secs) = match error {
                KeyError::Unavailable(ClientError::Unavailable { reason, retry_after_secs }) => {
                    (reason, retry_after_secs)
                }
                error => (error.to_string(), RETRY_AFTER_SECS),
            };
            let detail = "AuthKit cannot be reached right now: try again soon";
            let answer = AppError::unavailable(detail, retry_after_secs, reason);
            Ok((public(false), answer).into_response())
        }
    }
}

/// Clients send headers of their own, such as `MCP-Protocol-Version`, which browsers ask about first.
async fn answer_preflight(State(authkit): State<Arc<AuthKit>>) -> Result<Response, AppError> {
    if authkit.connect.is_none() {
        return Err(not_found());
    }
    let allowed = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "*"),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
    ];
    Ok((StatusCode::NO_CONTENT, public(false), allowed).into_response())
}

fn public(may_be_kept: bool) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    if may_be_kept {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(CACHE_CONTROL));
    }
    headers
}

fn not_found() -> AppError {
    AppError::new(StatusCode::NOT_FOUND, "Not Found")
}
