//! OAuth metadata (RFC 9728, RFC 8414).

use axum_authkit::ProtectedResource;
use http::{Method, StatusCode};
use serde_json::json;

use crate::{
    site::{Site, app},
    workos::{CONNECT, Mode, connect_metadata},
};

const RESOURCE: &str = "/.well-known/oauth-protected-resource";
const SERVER: &str = "/.well-known/oauth-authorization-server";

fn site() -> Site {
    Site::build(&[("WORKOS_AUTHKIT_DOMAIN", CONNECT)], |authkit| {
        let resource = ProtectedResource {
            paths: &["/api/notes"],
            scopes: &["notes:read"],
            scope_prefix: "notes:",
        };
        authkit.with_resource(resource).protect(app())
    })
}

#[tokio::test]
async fn metadata_is_404_without_connect() {
    let site = Site::new();
    for document in [RESOURCE, SERVER] {
        for path in ["", "/", "/api/notes"] {
            for method in [Method::GET, Method::OPTIONS] {
                let answer = site.send(method, &format!("{document}{path}"), &[]).await;
                assert_eq!(answer.status, StatusCode::NOT_FOUND, "{document}{path}");
                assert_eq!(answer.detail(), "Not Found");
                assert_eq!(answer.header("access-control-allow-origin"), None);
            }
        }
    }
    assert!(site.take_workos_paths().is_empty());
}

#[tokio::test]
async fn resource_metadata_names_resource_issuer_and_scopes() {
    let site = site();
    for (path, resource) in [
        ("", "https://app.test"),
        ("/", "https://app.test"),
        ("/api/notes", "https://app.test/api/notes"),
        ("/api/notes/", "https://app.test/api/notes"),
    ] {
        let answer = site.get(&format!("{RESOURCE}{path}"), &[]).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        let expected = json!({
            "resource": resource,
            "authorization_servers": [CONNECT],
            "bearer_methods_supported": ["header"],
            // What AuthKit grants to every client; it refuses the application's own.
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
        });
        assert_eq!(answer.json(), expected, "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        assert_eq!(answer.header("cache-control"), Some("public, max-age=300"));
    }
    assert!(site.take_workos_paths().is_empty());
    for path in ["/api", "/api/notes/1", "/other"] {
        let answer = site.get(&format!("{RESOURCE}{path}"), &[]).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn server_metadata_is_as_connect_writes_it() {
    let site = site();
    for path in ["", "/", "/api/notes"] {
        let answer = site.get(&format!("{SERVER}{path}"), &[]).await;
        assert_eq!((answer.status, answer.json()), (StatusCode::OK, connect_metadata()), "{path}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        assert_eq!(answer.header("cache-control"), Some("public, max-age=300"));
    }
    // One fetch serves all of them.
    assert_eq!(site.take_workos_paths(), [SERVER, "/oauth2/jwks"]);
    let answer = site.get(&format!("{SERVER}/other"), &[]).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn server_metadata_is_503_while_connect_is_unreachable() {
    let site = site();
    site.set_mode(Mode::Unreachable);
    let answer = site.get(SERVER, &[]).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.detail(), "AuthKit cannot be reached right now: try again soon");
    assert_eq!(answer.header("retry-after"), Some("5"));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(answer.header("cache-control"), None);
}

#[tokio::test]
async fn preflight_allows_get_with_any_header() {
    let site = site();
    for document in [RESOURCE, SERVER] {
        let answer = site.send(Method::OPTIONS, document, &[("origin", "https://mcp.test")]).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{document}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        assert_eq!(answer.header("access-control-allow-methods"), Some("GET"));
        assert_eq!(answer.header("access-control-allow-headers"), Some("*"));
        assert_eq!(answer.header("cache-control"), None);
    }
}
