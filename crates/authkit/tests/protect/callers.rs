//! Who the caller is: by the session cookie, by a bearer token, or nobody.

use http::{Method, StatusCode};
use serde_json::json;

use crate::{
    site::{Answer, COOKIE, Site, app},
    workos::{Mode, session_claims, sign, with},
};

const RENEWAL: &str = "/user_management/authenticate";
const OTHER_PASSWORD: (&str, &str) =
    ("WORKOS_COOKIE_PASSWORD", "another password of 32 characters or more");

#[tokio::test]
async fn session_cookie_names_its_user() {
    let site = Site::new();
    let cookie = site.sign_in().await;
    site.take_workos_paths();
    for path in ["/who", "/greeting"] {
        let answer = site.get(path, &[("cookie", &cookie)]).await;
        assert_eq!((answer.status, &*answer.body), (StatusCode::OK, "user_ada"), "{path}");
        assert!(answer.set_cookies().is_empty(), "{path}");
    }
    assert!(site.take_workos_paths().is_empty());
}

#[tokio::test]
async fn access_token_of_a_session_is_valid_elsewhere() {
    let site = Site::new();
    let cookie = site.sign_in().await;
    let mut tokens = Vec::new();
    for _ in 0..2 {
        let token = site.get("/token", &[("cookie", &cookie)]).await.body;
        let bearer = format!("Bearer {token}");
        let answer = site.get("/who", &[("authorization", &bearer)]).await;
        assert_eq!(answer.body, "user_ada");
        assert_eq!(site.get("/token", &[("authorization", &bearer)]).await.body, "none");
        tokens.push(token);
        site.expire_access_tokens();
    }
    assert_ne!(tokens[0], tokens[1], "the renewed one");
}

#[tokio::test]
async fn optional_user_is_none_when_signed_out() {
    let site = Site::new();
    let foreign = site.another_isolate(&[OTHER_PASSWORD]).sign_in().await;
    let signed_out = site.sign_in().await;
    let answer = site.send(Method::POST, "/logout", &[("cookie", &signed_out)]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    for cookie in ["other=1", &format!("{COOKIE}=rubbish"), &foreign, &signed_out] {
        let answer = site.get("/greeting", &[("cookie", cookie)]).await;
        assert_eq!((answer.status, &*answer.body), (StatusCode::OK, "nobody"), "{cookie}");
        let answer = site.get("/who", &[("cookie", cookie)]).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{cookie}");
        assert_eq!(answer.removes_session(), cookie == signed_out, "{cookie}");
    }
    let answer = site.get("/greeting", &[]).await;
    assert_eq!((answer.status, &*answer.body), (StatusCode::OK, "nobody"));
}

#[tokio::test]
async fn optional_user_is_none_when_workos_ended_session() {
    let site = Site::new();
    let cookie = site.sign_in().await;
    site.expire_access_tokens();
    site.set_mode(Mode::Refuses("invalid_grant"));
    let answer = site.get("/greeting", &[("cookie", &cookie)]).await;
    assert_eq!((answer.status, &*answer.body), (StatusCode::OK, "nobody"));
    assert!(answer.removes_session(), "{:?}", answer.set_cookies());
}

#[tokio::test]
async fn optional_user_is_503_while_workos_is_unreachable() {
    let site = Site::new();
    let cookie = site.sign_in().await;
    site.expire_access_tokens();
    site.set_mode(Mode::Unreachable);
    for path in ["/greeting", "/who"] {
        let answer = site.get(path, &[("cookie", &cookie)]).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert_eq!(answer.header("retry-after"), Some("5"), "{path}");
        assert_eq!(answer.detail(), "Sign-in cannot be checked right now: try again soon");
        assert!(answer.set_cookies().is_empty(), "{path}");
    }

    site.set_mode(Mode::Works);
    site.clock.advance(chrono::Duration::seconds(5));
    let answer = site.get("/greeting", &[("cookie", &cookie)]).await;
    assert_eq!(answer.body, "user_ada");
}

#[tokio::test]
async fn caller_is_503_while_keys_cannot_be_fetched() {
    let site = Site::new();
    let cookie = site.sign_in().await;
    for key in site.kv.keys() {
        site.kv.remove_raw(&key);
    }
    site.set_mode(Mode::Unreachable);
    let isolate = site.another_isolate(&[]);
    let token = format!("Bearer {}", sign(&session_claims(site.now())));
    for header in [("cookie", &*cookie), ("authorization", &*token)] {
        for path in ["/greeting", "/who"] {
            let answer = isolate.get(path, &[header]).await;
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path} {header:?}");
            assert!(answer.header("retry-after").is_some(), "{path} {header:?}");
            assert!(answer.set_cookies().is_empty(), "{path} {header:?}");
        }
    }
}

#[tokio::test]
async fn optional_user_is_503_while_keeper_is_unreachable() {
    let site = Site::new();
    let cookie = site.sign_in().await;
    site.expire_access_tokens();
    let another = site.another_isolate(&[]);
    assert_eq!(another.get("/who", &[("cookie", &cookie)]).await.body, "user_ada");

    // Only the keeper knows that another isolate renewed the session.
    site.sessions.set_unreachable(true);
    let answer = site.get("/greeting", &[("cookie", &cookie)]).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.header("retry-after"), Some("2"));
    assert!(answer.set_cookies().is_empty(), "{:?}", answer.set_cookies());

    site.sessions.set_unreachable(false);
    let answer = site.get("/greeting", &[("cookie", &cookie)]).await;
    assert_eq!(answer.body, "user_ada");
}

#[tokio::test]
async fn bearer_token_counts_before_cookie() {
    let site = Site::new();
    let cookie = site.sign_in().await;
    let now = site.now();
    let bob = sign(&with(&session_claims(now), &json!({"sub": "user_bob", "sid": "session_bob"})));
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let authorization = format!("{scheme} {bob}");
        let headers = [("cookie", &*cookie), ("authorization", &authorization)];
        assert_eq!(site.get("/who", &headers).await.body, "user_bob", "{scheme}");
    }
    let headers = [("cookie", &*cookie), ("authorization", "Bearer rubbish")];
    assert_eq!(site.get("/who", &headers).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(site.get("/greeting", &headers).await.body, "nobody");
    let headers = [("cookie", &*cookie), ("authorization", "Basic YTpi")];
    assert_eq!(site.get("/who", &headers).await.body, "user_ada");
}

#[tokio::test]
async fn bearer_user_ignores_cookies() {
    let site = Site::new();
    let cookie = site.sign_in().await;
    let answer = site.get("/machine", &[("cookie", &cookie)]).await;
    assert_eq!((answer.status, &*answer.detail()), (StatusCode::UNAUTHORIZED, "Not signed in"));
    let token = sign(&session_claims(site.now()));
    let answer = site.get("/machine", &[("authorization", &format!("Bearer {token}"))]).await;
    assert_eq!((answer.status, &*answer.body), (StatusCode::OK, "user_ada"));
}

#[tokio::test]
async fn bearer_user_renews_no_session() {
    let site = Site::new();
    let cookie = site.sign_in().await;
    site.expire_access_tokens();
    site.take_workos_paths();
    let answer = site.get("/machine", &[("cookie", &cookie)]).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert!(answer.set_cookies().is_empty() && site.take_workos_paths().is_empty());
}

#[tokio::test]
async fn expired_bearer_token_is_refused() {
    let site = Site::new();
    let token = sign(&session_claims(site.now()));
    site.expire_access_tokens();
    let answer = site.get("/who", &[("authorization", &format!("Bearer {token}"))]).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(answer.detail(), "the token has expired");
    let challenge = r#"Bearer error="invalid_token", error_description="the token has expired""#;
    assert_eq!(answer.header("www-authenticate"), Some(challenge));
}

#[tokio::test]
async fn cross_origin_change_by_cookie_is_refused() {
    let site = Site::new();
    let cookie = site.sign_in().await;
    for other in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://evil.test"),
    ] {
        let answer = site.send(Method::POST, "/who", &[("cookie", &cookie), other]).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{other:?}");
        let detail = "Requests that change something must come from this site's own pages";
        assert_eq!(answer.detail(), detail);
        // A page of another site may link here.
        let answer = site.get("/who", &[("cookie", &cookie), other]).await;
        assert_eq!(answer.status, StatusCode::OK, "{other:?}");
    }
    for own in [("sec-fetch-site", "same-origin"), ("origin", "https://app.test"), ("x-other", "1")]
    {
        let answer = site.send(Method::POST, "/who", &[("cookie", &cookie), own]).await;
        assert_eq!(answer.status, StatusCode::OK, "{own:?}");
    }
    let token = format!("Bearer {}", sign(&session_claims(site.now())));
    let headers = [("authorization", &*token), ("sec-fetch-site", "cross-site")];
    assert_eq!(site.send(Method::POST, "/who", &headers).await.status, StatusCode::OK);
}

#[tokio::test]
async fn cross_origin_change_renews_no_session() {
    let site = Site::new();
    let cookie = site.sign_in().await;
    site.expire_access_tokens();
    site.take_workos_paths();
    let headers = [("cookie", &*cookie), ("sec-fetch-site", "cross-site")];
    let answer = site.send(Method::POST, "/who", &headers).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(answer.set_cookies().is_empty() && site.take_workos_paths().is_empty());
}

#[tokio::test]
async fn route_without_layer_fails_and_keeps_session() {
    let site = Site::new();
    let cookie = site.sign_in().await;
    site.expire_access_tokens();
    site.take_workos_paths();
    for path in ["/who", "/greeting", "/machine", "/notes"] {
        let answer = Answer::of(&app(), Method::GET, path, &[("cookie", &cookie)]).await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{path}");
        assert_eq!(answer.detail(), "Internal error");
        let cause = answer.error.and_then(|error| error.internal.cause).unwrap();
        assert!(cause.contains("AuthKit::protect"), "{path}: {cause}");
        assert!(answer.headers.get("set-cookie").is_none(), "{path}");
    }
    assert!(site.take_workos_paths().is_empty());

    let answer = site.get("/who", &[("cookie", &cookie)]).await;
    assert_eq!((answer.status, &*answer.body), (StatusCode::OK, "user_ada"));
    assert_eq!(site.take_workos_paths(), [RENEWAL]);
}

#[tokio::test]
async fn valid_session_counts_before_expired_copies() {
    let site = Site::new();
    let old = site.sign_in().await;
    site.expire_access_tokens();
    let new = site.sign_in().await;
    site.take_workos_paths();
    let answer = site.get("/who", &[("cookie", &format!("{old}; {new}"))]).await;
    assert_eq!(answer.body, "user_ada");
    assert!(site.take_workos_paths().is_empty());
    assert!(answer.set_cookies().is_empty(), "{:?}", answer.set_cookies());
}

#[tokio::test]
async fn ended_copy_hides_no_session() {
    let site = Site::new();
    let ended = site.sign_in().await;
    site.workos.set_claims(json!({"sid": "session_new"}));
    let cookie = site.sign_in().await;
    let answer = site.send(Method::POST, "/logout", &[("cookie", &ended)]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    let answer = site.get("/who", &[("cookie", &format!("{ended}; {cookie}"))]).await;
    assert_eq!(answer.body, "user_ada");
    assert!(!answer.removes_session(), "{:?}", answer.set_cookies());
}

#[tokio::test]
async fn outage_keeps_cookies_beside_ended_copy() {
    let site = Site::new();
    let ended = site.sign_in().await;
    site.workos.set_claims(json!({"sid": "session_new"}));
    let cookie = site.sign_in().await;
    site.send(Method::POST, "/logout", &[("cookie", &ended)]).await;
    site.expire_access_tokens();
    site.set_mode(Mode::Unreachable);
    for cookies in [format!("{ended}; {cookie}"), format!("{cookie}; {ended}")] {
        let answer = site.get("/who", &[("cookie", &cookies)]).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.set_cookies().is_empty(), "{:?}", answer.set_cookies());
    }
}

#[tokio::test]
async fn untried_copy_keeps_cookies() {
    let site = Site::new();
    let mut copies = Vec::new();
    for _ in 0..3 {
        copies.push(site.sign_in().await);
    }
    site.expire_access_tokens();
    site.set_mode(Mode::Refuses("invalid_grant"));
    site.take_workos_paths();
    let answer = site.get("/who", &[("cookie", &copies.join("; "))]).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(site.take_workos_paths(), [RENEWAL; 2]);
    assert!(answer.set_cookies().is_empty(), "{:?}", answer.set_cookies());

    let answer = site.get("/who", &[("cookie", &copies[..2].join("; "))]).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert!(answer.removes_session(), "{:?}", answer.set_cookies());
}
