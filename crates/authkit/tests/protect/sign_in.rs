//! The routes that `AuthKit::protect` adds: `/login`, `/callback`, `/logout` and `/me`.

use axum_authkit::AuthKit;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use url::Url;

use crate::{
    site::{COOKIE, NAVIGATION, Site, app},
    workos::{session_claims, sign},
};

#[tokio::test]
async fn protect_adds_routes_of_sign_in() {
    let site = Site::new();
    for (path, status, location) in [
        ("/login", StatusCode::FOUND, "https://workos.test/user_management/authorize?"),
        ("/callback", StatusCode::FOUND, "/login?retry=1"),
        ("/logout", StatusCode::FOUND, "https://app.test/"),
        ("/me", StatusCode::UNAUTHORIZED, ""),
    ] {
        let answer = site.get(path, &[]).await;
        assert_eq!(answer.status, status, "{path}");
        assert!(answer.header("location").unwrap_or_default().starts_with(location), "{path}");
    }
    assert_eq!(site.get("/public", &[]).await.body, "public");
    assert_eq!(site.get("/other", &[]).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn layer_alone_adds_no_routes() {
    let site = Site::build(&[], |authkit: AuthKit| axum_authkit::layer(&authkit.into(), app()));
    assert_eq!(site.get("/login", &[]).await.status, StatusCode::NOT_FOUND);
    assert_eq!(site.get("/greeting", &[]).await.body, "nobody");
}

#[tokio::test]
async fn sign_in_leads_to_page_or_landing_path() {
    let with_landing_path =
        Site::build(&[], |authkit| authkit.with_landing_path("/home").protect(app()));
    for (site, landing_path) in [(Site::new(), "/"), (with_landing_path, "/home")] {
        for (login, location) in [
            ("/login", landing_path),
            ("/login?return_to=", landing_path),
            ("/login?return_to=//evil.test", landing_path),
            ("/login?return_to=/login", landing_path),
            ("/login?return_to=/who%3Fa=1", "/who?a=1"),
            ("/login?return_to=/", "/"),
        ] {
            let answer = site.come_back("https://app.test", login).await;
            assert_eq!(answer.status, StatusCode::FOUND, "{login}");
            assert_eq!(answer.header("location"), Some(location), "{login}");
        }
    }
}

#[tokio::test]
async fn strict_cookie_gets_page_instead_of_redirect() {
    let site = Site::with_variables(&[("WORKOS_COOKIE_SAMESITE", "strict")]);
    let answer = site.come_back("https://app.test", "/login?return_to=/who%3Fa=1%26b=2").await;
    assert_eq!((answer.status, answer.header("location")), (StatusCode::OK, None));
    assert!(answer.body.contains("content=\"0;url=/who?a=1&amp;b=2\""), "{}", answer.body);
    assert!(answer.set_cookie(COOKIE).unwrap().contains("SameSite=Strict"));
}

#[tokio::test]
async fn login_passes_hints_and_challenge_to_authkit() {
    let site = Site::new();
    let path = "/login?screen_hint=sign-up&login_hint=a%40b.test&unknown=1&client_id=evil";
    let answer = site.get(path, &[]).await;
    let url = Url::parse(answer.header("location").unwrap()).unwrap();
    let all = |name: &str| -> Vec<String> {
        let pairs = url.query_pairs().filter(|(key, _)| key == name);
        pairs.map(|(_, value)| value.into_owned()).collect()
    };
    for (name, value) in [
        ("client_id", "client_test"),
        ("redirect_uri", "https://app.test/callback"),
        ("response_type", "code"),
        ("code_challenge_method", "S256"),
        ("provider", "authkit"),
        ("screen_hint", "sign-up"),
        ("login_hint", "a@b.test"),
    ] {
        assert_eq!(all(name), [value], "{name}");
    }
    assert!(all("unknown").is_empty());
    assert_eq!(all("code_challenge")[0].len(), 43);
}

#[tokio::test]
async fn callback_without_own_sign_in_begins_one() {
    let site = Site::new();
    let answer = site.get("/callback?code=code_1&state=other", &[]).await;
    assert_eq!(answer.header("location"), Some("/login?retry=1"));
    assert!(site.take_workos_paths().is_empty() && answer.set_cookies().is_empty());
    // An error that some other site made up is not quoted.
    let path = "/callback?error=access_denied&error_description=Call+555";
    let answer = site.get(path, &[]).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(!answer.detail().contains("555"), "{}", answer.body);
}

#[tokio::test]
async fn me_shows_session_and_token() {
    let site = Site::new();
    site.workos.set_claims(json!({"org_id": "org_acme", "role": "admin", "roles": ["admin"]}));
    let cookie = site.sign_in().await;
    let me = site.get("/me", &[("cookie", &cookie)]).await.json();
    assert_eq!(me["user"]["email"], "ada@example.com");
    for (name, value) in [
        ("session_id", "session_ada"),
        ("organization_id", "org_acme"),
        ("role", "admin"),
        ("expires_at", "2026-11-23T12:05:00Z"),
    ] {
        assert_eq!(me[name], value, "{name}");
    }
    assert_eq!(me["roles"], json!(["admin"]));
    assert_eq!((&me["impersonator"], me.get("client_id")), (&Value::Null, None));

    // A token says nothing of its user but the id.
    let token = sign(&session_claims(site.now()));
    let me = site.get("/me", &[("authorization", &format!("Bearer {token}"))]).await.json();
    assert_eq!(me["user"], json!({"object": "user", "id": "user_ada"}));
}

#[tokio::test]
async fn sign_out_clears_cookie_and_leads_to_workos() {
    for (method, status) in
        [(Method::POST, StatusCode::SEE_OTHER), (Method::GET, StatusCode::FOUND)]
    {
        let site = Site::new();
        let cookie = site.sign_in().await;
        let answer = site.send(method, "/logout", &[("cookie", &cookie)]).await;
        assert_eq!(answer.status, status);
        assert!(answer.removes_session(), "{:?}", answer.set_cookies());
        let location = "https://workos.test/user_management/sessions/logout?session_id=session_ada\
                        &return_to=https%3A%2F%2Fapp.test%2F";
        assert_eq!(answer.header("location"), Some(location));
        // A copy of the cookie is worth nothing, in this isolate and in others.
        let isolate = site.another_isolate(&[]);
        assert_eq!(site.get("/greeting", &[("cookie", &cookie)]).await.body, "nobody");
        site.expire_access_tokens();
        assert_eq!(isolate.get("/greeting", &[("cookie", &cookie)]).await.body, "nobody");
    }
}

#[tokio::test]
async fn sign_out_from_elsewhere_is_refused() {
    let site = Site::new();
    let cookie = site.sign_in().await;
    let token = format!("Bearer {}", sign(&session_claims(site.now())));
    for (header, status) in [
        (("sec-fetch-site", "cross-site"), StatusCode::FORBIDDEN),
        (("authorization", &*token), StatusCode::BAD_REQUEST),
        (("sec-purpose", "prefetch"), StatusCode::SERVICE_UNAVAILABLE),
    ] {
        let answer = site.get("/logout", &[("cookie", &cookie), header]).await;
        assert_eq!(answer.status, status, "{header:?}");
        assert!(answer.set_cookies().is_empty(), "{header:?}");
    }
    assert_eq!(site.get("/who", &[("cookie", &cookie)]).await.body, "user_ada");
}

#[tokio::test]
async fn head_and_prefetch_change_nothing() {
    let site = Site::new();
    for (path, allow) in [("/callback", "GET"), ("/logout", "GET,POST")] {
        let answer = site.send(Method::HEAD, path, &[]).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        assert_eq!(answer.header("allow"), Some(allow), "{path}");
    }
    for path in ["/login", "/callback?code=1&state=2", "/logout"] {
        let answer = site.get(path, &[NAVIGATION, ("sec-purpose", "prefetch;prerender")]).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert!(answer.set_cookies().is_empty(), "{path}");
    }
    assert!(site.take_workos_paths().is_empty());
}
