use axum::{Router, routing::get};
use axum_authkit::{AuthKit, ConfigError, CurrentUser};
use edge_host::Host;

edge_host::serve!(crate::build, SessionKeeper = axum_authkit::session_keeper);

fn build(host: &impl Host) -> Result<Router, ConfigError> {
    let authkit = AuthKit::from_env(host)?; // reports every invalid variable in one error
    let app = Router::new().route("/secret", get(async |user: CurrentUser| user.id().to_owned()));
    Ok(authkit.protect(app)) // adds sign-in routes, session renewal, error responses
}
