//! The responses to requests that a handler does not get: 302, 400, 401 and 403.

use axum::body::Body;
use axum_authkit::{ProtectedResource, Unauthenticated};
use http::{Method, Request, StatusCode};
use serde_json::json;

use crate::{
    site::{Answer, NAVIGATION, Site, app},
    workos::{CONNECT, connect_claims, session_claims, sign, with},
};

const WITH_CONNECT: (&str, &str) = ("WORKOS_AUTHKIT_DOMAIN", CONNECT);
const METADATA: &str =
    r#"resource_metadata="https://app.test/.well-known/oauth-protected-resource""#;
const RESOURCE: ProtectedResource = ProtectedResource {
    paths: &["/machine"],
    scopes: &["notes:read", "notes:write"],
    scope_prefix: "notes:",
};

fn site_with_connect() -> Site {
    Site::build(&[WITH_CONNECT], |authkit| authkit.with_resource(RESOURCE).protect(app()))
}

#[tokio::test]
async fn navigation_without_session_leads_to_login() {
    let site = Site::new();
    for (method, path, location) in [
        (Method::GET, "/who", "/login?return_to=%2Fwho"),
        (Method::HEAD, "/who", "/login?return_to=%2Fwho"),
        (Method::GET, "/who?a=1&b=%20", "/login?return_to=%2Fwho%3Fa%3D1%26b%3D%2520"),
        (Method::GET, "/nested/who?a=1", "/login?return_to=%2Fnested%2Fwho%3Fa%3D1"),
        (Method::GET, "/me", "/login?return_to=%2Fme"),
    ] {
        for cookie in ["other=1", "__Host-wos-session=rubbish"] {
            let answer = site.send(method.clone(), path, &[NAVIGATION, ("cookie", cookie)]).await;
            assert_eq!(answer.status, StatusCode::FOUND, "{method} {path} {cookie}");
            assert_eq!(answer.header("location"), Some(location), "{method} {path} {cookie}");
        }
    }
}

#[tokio::test]
async fn other_requests_without_session_are_401() {
    let site = Site::new();
    for headers in [vec![], vec![("accept", "application/json")], vec![("accept", "*/*")]] {
        let answer = site.get("/who", &headers).await;
        assert_eq!((answer.status, &*answer.detail()), (StatusCode::UNAUTHORIZED, "Not signed in"));
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{headers:?}");
        assert_eq!(answer.header("location"), None, "{headers:?}");
    }
    // A form that was sent is lost after a sign-in, and a wrong token needs another token.
    let answer = site.send(Method::POST, "/who", &[NAVIGATION]).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    let answer = site.get("/who", &[NAVIGATION, ("authorization", "Bearer rubbish")]).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert!(answer.body.starts_with("<!DOCTYPE html>"), "{}", answer.body);
}

#[tokio::test]
async fn challenge_says_what_is_wrong_with_bearer() {
    let site = Site::new();
    let answer = site.get("/who", &[("authorization", "Bearer")]).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(answer.detail(), Unauthenticated::NotABearer.to_string());
    assert_eq!(answer.header("www-authenticate"), Some("Bearer error=\"invalid_request\""));
    let answer = site.get("/who", &[("authorization", "Bearer rubbish")]).await;
    let challenge = r#"Bearer error="invalid_token", error_description="the token is malformed""#;
    assert_eq!(answer.header("www-authenticate"), Some(challenge));
}

#[tokio::test]
async fn challenge_names_metadata_of_its_path() {
    let site = site_with_connect();
    let answer = site.get("/who", &[]).await;
    assert_eq!(answer.header("www-authenticate"), Some(&*format!("Bearer {METADATA}")));
    let answer = site.get("/machine", &[]).await;
    let of_path = format!("Bearer {}/machine\"", METADATA.trim_end_matches('"'));
    assert_eq!(answer.header("www-authenticate"), Some(&*of_path));
}

#[tokio::test]
async fn missing_role_permission_or_organization_is_403() {
    let site = Site::new();
    let cookie = site.sign_in().await;
    for (path, detail) in [
        ("/role", "This needs the role admin"),
        ("/permission", "This needs the permission bills:pay"),
        ("/organization", "Choose an organization first: sign in to one"),
    ] {
        let answer = site.get(path, &[("cookie", &cookie)]).await;
        assert_eq!((answer.status, &*answer.detail()), (StatusCode::FORBIDDEN, detail), "{path}");
        assert_eq!(answer.header("www-authenticate"), None, "{path}");
    }
}

#[tokio::test]
async fn role_permission_and_organization_let_caller_on() {
    let site = Site::new();
    let claims = session_claims(site.now());
    let organization = json!({"org_id": "org_acme"});
    for (path, claim, status) in [
        ("/role", json!({"role": "admin"}), StatusCode::OK),
        ("/role", json!({"role": "member", "roles": ["member", "admin"]}), StatusCode::OK),
        ("/role", json!({"role": "member", "permissions": ["admin"]}), StatusCode::FORBIDDEN),
        ("/permission", json!({"permissions": ["bills:read", "bills:pay"]}), StatusCode::OK),
        (
            "/permission",
            json!({"permissions": ["bills"], "role": "bills:pay"}),
            StatusCode::FORBIDDEN,
        ),
        ("/organization", organization, StatusCode::OK),
    ] {
        let token = format!("Bearer {}", sign(&with(&claims, &claim)));
        let answer = site.get(path, &[("authorization", &token)]).await;
        assert_eq!(answer.status, status, "{path} {claim}: {}", answer.body);
    }
}

#[tokio::test]
async fn missing_scope_is_named_in_challenge() {
    let site = site_with_connect();
    let claims = connect_claims(site.now());
    let token = format!("Bearer {}", sign(&with(&claims, &json!({"scope": "notes:write"}))));
    let answer = site.get("/notes", &[("authorization", &token)]).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(answer.detail(), "the token lacks the scope notes:read");
    let challenge = format!(
        "Bearer error=\"insufficient_scope\", scope=\"notes:read\", \
         error_description=\"the token lacks the scope notes:read\", {METADATA}"
    );
    assert_eq!(answer.header("www-authenticate"), Some(&*challenge));
    // The token may be used for other things here.
    assert_eq!(site.get("/who", &[("authorization", &token)]).await.body, "user_ada");
    let token = format!("Bearer {}", sign(&with(&claims, &json!({"scope": "notes:read"}))));
    assert_eq!(site.get("/notes", &[("authorization", &token)]).await.body, "user_ada");
}

#[tokio::test]
async fn missing_permission_of_a_session_is_named() {
    let site = site_with_connect();
    let claims = session_claims(site.now());
    for (permissions, status) in [
        (json!([]), StatusCode::OK),
        (json!(["bills:pay"]), StatusCode::OK),
        (json!(["notes:read"]), StatusCode::OK),
        (json!(["notes:write"]), StatusCode::FORBIDDEN),
    ] {
        let claims = with(&claims, &json!({"permissions": permissions}));
        let token = format!("Bearer {}", sign(&claims));
        let answer = site.get("/notes", &[("authorization", &token)]).await;
        assert_eq!(answer.status, status, "{permissions}: {}", answer.body);
        // The session may be used for other things here.
        assert_eq!(site.get("/who", &[("authorization", &token)]).await.body, "user_ada");
        if status == StatusCode::FORBIDDEN {
            let detail = "Your role lacks the permission notes:read: \
                          ask an administrator of your organization for it";
            assert_eq!(answer.detail(), detail);
            let challenge = answer.header("www-authenticate").unwrap();
            let expected = "Bearer error=\"insufficient_scope\", scope=\"notes:read\", ";
            assert!(challenge.starts_with(expected), "{challenge}");
        }
    }
}

#[tokio::test]
async fn token_that_allows_nothing_is_told_every_scope() {
    let site = site_with_connect();
    let claims = connect_claims(site.now());
    // For the environment as a whole, and without a scope of this resource.
    let claims = with(&claims, &json!({"aud": "client_test", "scope": "openid"}));
    let token = format!("Bearer {}", sign(&claims));
    for path in ["/who", "/greeting", "/machine"] {
        let answer = site.get(path, &[("authorization", &token)]).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
        let challenge = answer.header("www-authenticate").unwrap();
        let scopes = r#"error="insufficient_scope", scope="notes:read notes:write""#;
        assert!(challenge.contains(scopes), "{path}: {challenge}");
    }
    // A route that asks for one scope names that scope.
    let answer = site.get("/notes", &[("authorization", &token)]).await;
    let challenge = answer.header("www-authenticate").unwrap();
    assert!(challenge.contains(r#"scope="notes:read","#), "{challenge}");
}

#[tokio::test]
async fn request_without_host_is_400() {
    let site = Site::new();
    let request = Request::builder().uri("/who").header("cookie", "a=b").body(Body::empty());
    let answer = site.respond(request.unwrap()).await;
    assert_eq!(
        (answer.status, &*answer.detail()),
        (StatusCode::BAD_REQUEST, "The request has no host")
    );
    let request = Request::builder().uri("/who").header("host", "app.test").body(Body::empty());
    let answer: Answer = site.respond(request.unwrap()).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}
