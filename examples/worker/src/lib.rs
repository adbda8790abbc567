//! A Worker behind WorkOS AuthKit, with one route of each kind. `npm run example` runs it locally.

use axum::{Router, response::Html, routing::get};
use axum_authkit::{AuthKit, BearerUser, ConfigError, CurrentUser, Rejection};
use edge_host::Host;

edge_host::serve!(crate::build, SessionKeeper = axum_authkit::session_keeper);

/// The Worker's router. AuthKit adds `/login`, `/callback`, `/logout` and `/me`.
///
/// # Errors
///
/// [`ConfigError`] names every variable and binding that is missing or invalid.
pub fn build(host: &impl Host) -> Result<Router, ConfigError> {
    let authkit = AuthKit::from_env(host)?;
    let app = Router::new()
        .route("/", get(show_home))
        .route("/secret", get(async |user: CurrentUser| format!("Hello {}", user.id())))
        .route("/admin", get(show_admin))
        .route("/api", get(async |BearerUser(user): BearerUser| format!("Hello {}", user.id())))
        .route("/health", get(async || "ok"));
    Ok(authkit.protect(app))
}

async fn show_home(user: Option<CurrentUser>) -> Html<&'static str> {
    Html(match user {
        Some(_) => r#"<form method="post" action="/logout"><button>Sign out</button></form>"#,
        None => r#"<a href="/login">Sign in</a>"#,
    })
}

async fn show_admin(user: CurrentUser) -> Result<String, Rejection> {
    user.require_role("admin")?;
    Ok(format!("Hello administrator {}", user.id()))
}
