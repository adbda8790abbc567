//! `GET /` and `GET /health` for programs.

use axum::{Extension, response::IntoResponse};
use edge_host::Repeatable;
use http::{HeaderValue, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    json::Json,
    mcp,
    openapi::{Limited, NeedsAuthKit, NeedsScope},
};

/// Check the service
///
/// Touches nothing: neither storage nor AuthKit.
#[utoipa::path(
    get,
    path = "/health",
    tag = "service",
    security(()),
    responses((status = 200, description = "The Worker responds", body = HealthResponse)),
)]
pub(crate) async fn show_health() -> impl IntoResponse {
    let json = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    (Extension(Repeatable), json, HEALTH)
}

/// The body of `GET /health`, a [`HealthResponse`].
const HEALTH: &str = r#"{"status":"ok"}"#;

/// `GET /health`.
#[derive(Serialize, ToSchema)]
#[allow(dead_code, reason = "the type of `HEALTH`, for the schema")]
pub(crate) struct HealthResponse {
    #[schema(example = "ok")]
    status: &'static str,
}

/// List the entry points
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
            description = "The paths of the API's resources",
            content((HomeResponse = "application/json"), (String = "text/html")),
        ),
        Limited, NeedsScope, NeedsAuthKit,
    ),
)]
pub(crate) async fn show_home() -> Json<HomeResponse> {
    Json(HomeResponse::default())
}

/// `GET /` for programs.
#[derive(Serialize, ToSchema)]
pub(crate) struct HomeResponse {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_has_the_described_body() {
        let body = serde_json::to_string(&HealthResponse { status: "ok" }).unwrap();
        assert_eq!(HEALTH, body);
    }
}
