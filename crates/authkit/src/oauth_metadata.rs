//! What a client that has no token yet is told: the protected resource's metadata (RFC 9728), and for
//! clients that look for it here, the authorization server's (RFC 8414), as AuthKit writes it.
//!
//! All of it is public, and browsers' scripts of any origin may read it. Where Connect is off there is
//! nothing here.

use axum::{
    response::{IntoResponse, Response},
    routing::{MethodRouter, get},
};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use serde_json::json;

use super::{authkit::AuthKit, keys::KeyError, workos::WorkosError};
use crate::{
    context::RequestContext, error::AppError, json_response::json_response, routing::OpenApiRouter,
};

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
pub fn routes<S: Clone + Send + Sync + 'static>() -> OpenApiRouter<S> {
    let with_preflight = |route: MethodRouter<S>| route.options(answer_preflight);
    let at = |routes: OpenApiRouter<S>, path: &str, handler: MethodRouter<S>| {
        let handler = with_preflight(handler);
        routes
            .route(path, handler.clone())
            .route(&format!("{path}/"), handler.clone())
            .route(&format!("{path}/{{*resource}}"), handler)
    };
    let routes = at(OpenApiRouter::new(), PROTECTED_RESOURCE_PATH, get(show_protected_resource));
    at(routes, AUTHORIZATION_SERVER_PATH, get(show_authorization_server))
}

/// The path of the resource that a metadata URL names after `document`; empty for the origin. Clients
/// write a slash at the end or none.
fn resource_path(authkit: &AuthKit, uri: &Uri, document: &str) -> Option<&'static str> {
    let path = uri.path().strip_prefix(document)?;
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Some("");
    }
    authkit.resource.paths.iter().find(|own| **own == path).copied()
}

/// The origin or a path of it, as a protected resource.
async fn show_protected_resource(context: RequestContext, uri: Uri) -> Result<Response, AppError> {
    let (authkit, origin) = (context.authkit(), context.origin()?);
    let connect = authkit.connect.as_ref().ok_or_else(not_found)?;
    let path = resource_path(authkit, &uri, PROTECTED_RESOURCE_PATH).ok_or_else(not_found)?;
    // The same value with and without a slash at the end of the URL: it becomes the audience of tokens,
    // and AuthKit knows the one that its dashboard lists.
    let resource = format!("{}{path}", origin.url().origin().ascii_serialization());
    let metadata = json!({
        "resource": resource,
        "authorization_servers": [connect.issuer],
        "bearer_methods_supported": ["header"],
        "scopes_supported": authkit.resource.scopes,
    });
    Ok((public(true), json_response(&metadata)).into_response())
}

/// Clients of MCP's revision 2025-03-26 take the resource's server for the authorization server, and ask
/// for its metadata at the origin or with the resource's path inserted (RFC 8414, section 3.1).
async fn show_authorization_server(
    context: RequestContext,
    uri: Uri,
) -> Result<Response, AppError> {
    let authkit = context.authkit();
    let connect = authkit.connect.as_ref().ok_or_else(not_found)?;
    resource_path(authkit, &uri, AUTHORIZATION_SERVER_PATH).ok_or_else(not_found)?;
    match connect.published.metadata(context.wait_until()).await {
        Ok(metadata) => {
            let content_type = [(header::CONTENT_TYPE, "application/json")];
            Ok((public(true), content_type, metadata.to_string()).into_response())
        }
        Err(error) => {
            let (reason, retry_after_secs) = match error {
                KeyError::Unavailable(WorkosError::Unavailable { reason, retry_after_secs }) => {
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
async fn answer_preflight(context: RequestContext) -> Result<Response, AppError> {
    if context.authkit().connect.is_none() {
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
