//! The metadata that clients fetch before they have a token: the protected resource's (RFC 9728), and a copy
//! of AuthKit's authorization server metadata (RFC 8414) for clients that request it from this server.
//!
//! The metadata is public, and scripts of any origin may read it. Without Connect, every route responds 404.

use axum::{
    response::{IntoResponse, Response},
    routing::{MethodRouter, get},
};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use serde::Serialize;

use crate::{
    authkit::AuthKit,
    context::RequestContext,
    error::AppError,
    json_response::json_response,
    keys::KeyError,
    outage::Outage,
    routing::{OpenApiRouter, any_handler},
};

/// The path of a protected resource's metadata. The resource's own path follows it (RFC 9728, section 3.1).
pub const PROTECTED_RESOURCE_PATH: &str = "/.well-known/oauth-protected-resource";
/// The path of an authorization server's metadata (RFC 8414, section 3).
const AUTHORIZATION_SERVER_PATH: &str = "/.well-known/oauth-authorization-server";

/// The scopes that AuthKit grants to a client that registers itself; `offline_access` is a refresh token. Clients
/// request all that a resource's metadata names, and AuthKit refuses a request with any other (`invalid_scope`). The
/// scopes that the application checks are for clients that were made by hand, which know them.
/// <https://workos.com/docs/reference/workos-connect/authorize>
const AUTHKIT_SCOPES: [&str; 4] = ["openid", "profile", "email", "offline_access"];

/// Clients and shared caches may keep a document for five minutes. A change of the configuration takes as long
/// to reach them.
const CACHE_CONTROL: &str = "public, max-age=300";

/// The routes of both metadata documents, each at the origin and below it.
#[allow(clippy::disallowed_methods, reason = "other specifications' documents, not the API's")]
pub fn routes<S: Clone + Send + Sync + 'static>() -> OpenApiRouter<S> {
    let with_preflight = |route: MethodRouter<S>| route.options(any_handler(allow_preflight));
    let at = |routes: OpenApiRouter<S>, path: &str, handler: MethodRouter<S>| {
        let handler = with_preflight(handler);
        routes
            .route(path, handler.clone())
            .route(&format!("{path}/"), handler.clone())
            .route(&format!("{path}/{{*resource}}"), handler)
    };
    let routes = at(
        OpenApiRouter::new(),
        PROTECTED_RESOURCE_PATH,
        get(any_handler(show_protected_resource)),
    );
    at(routes, AUTHORIZATION_SERVER_PATH, get(any_handler(show_authorization_server)))
}

/// The path of the resource that follows `document` in a metadata URL; empty for the origin. Clients may add a
/// trailing slash.
fn resource_path(authkit: &AuthKit, uri: &Uri, document: &str) -> Option<&'static str> {
    let path = uri.path().strip_prefix(document)?;
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Some("");
    }
    authkit.resource.paths.iter().find(|own| **own == path).copied()
}

/// The metadata of the origin or of one of its paths.
async fn show_protected_resource(context: RequestContext, uri: Uri) -> Result<Response, AppError> {
    let (authkit, origin) = (context.authkit(), context.origin()?);
    let connect = authkit.connect.as_ref().ok_or_else(not_found)?;
    let path = resource_path(authkit, &uri, PROTECTED_RESOURCE_PATH).ok_or_else(not_found)?;
    // The value has no trailing slash, whether or not the URL has one: clients request tokens for this
    // audience, and AuthKit accepts only the value that its dashboard lists.
    let resource = format!("{}{path}", origin.url().origin().ascii_serialization());
    let metadata = ProtectedResourceMetadata {
        resource: &resource,
        authorization_servers: [&connect.issuer],
        bearer_methods_supported: ["header"],
        scopes_supported: AUTHKIT_SCOPES,
    };
    Ok((cacheable(), json_response(&metadata)).into_response())
}

/// The members of RFC 9728, section 2, that are known here.
#[derive(Serialize)]
struct ProtectedResourceMetadata<'a> {
    resource: &'a str,
    authorization_servers: [&'a str; 1],
    bearer_methods_supported: [&'a str; 1],
    scopes_supported: [&'a str; 4],
}

/// AuthKit's metadata. Clients of MCP revision 2025-03-26 treat the MCP server as the authorization server, and
/// request this metadata at the origin or with the resource's path appended (RFC 8414, section 3.1).
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
            Ok((cacheable(), content_type, metadata.to_string()).into_response())
        }
        Err(error) => {
            let outage = match error {
                KeyError::Unavailable(outage) => outage,
                KeyError::Unknown => Outage::new(error.to_string()),
            };
            let error = outage.into_error("AuthKit cannot be reached right now: try again soon");
            Ok((for_any_origin(), error).into_response())
        }
    }
}

/// Browsers send a preflight request before a request with a header such as `MCP-Protocol-Version`.
async fn allow_preflight(context: RequestContext) -> Result<Response, AppError> {
    if context.authkit().connect.is_none() {
        return Err(not_found());
    }
    let allowed = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "*"),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
    ];
    Ok((StatusCode::NO_CONTENT, for_any_origin(), allowed).into_response())
}

/// The headers that let scripts of any origin read the response.
fn for_any_origin() -> HeaderMap {
    HeaderMap::from_iter([(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"))])
}

/// [`for_any_origin`], with the header that lets caches keep the response.
fn cacheable() -> HeaderMap {
    let mut headers = for_any_origin();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(CACHE_CONTROL));
    headers
}

fn not_found() -> AppError {
    AppError::new(StatusCode::NOT_FOUND, "Not Found")
}
