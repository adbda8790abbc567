//! The session that a response hands to the browser.

use chrono::Duration;
use http::{Method, StatusCode};
use serde_json::json;

use crate::{
    logs,
    site::{COOKIE, NAVIGATION, Site},
    workos::{Mode, session_claims, sign},
};

const RENEWAL: &str = "/user_management/authenticate";

#[tokio::test]
async fn expired_session_is_renewed_for_every_response() {
    for (path, status) in [
        ("/who", StatusCode::OK),
        ("/greeting", StatusCode::OK),
        ("/notes", StatusCode::OK),
        ("/failing", StatusCode::INTERNAL_SERVER_ERROR),
        ("/moved", StatusCode::FOUND),
        ("/role", StatusCode::FORBIDDEN),
    ] {
        for headers in [vec![], vec![NAVIGATION]] {
            let site = Site::new();
            let cookie = site.sign_in().await;
            site.expire_access_tokens();
            site.take_workos_paths();
            let headers = [headers, vec![("cookie", &*cookie)]].concat();
            let answer = site.get(path, &headers).await;
            assert_eq!(answer.status, status, "{path}");
            assert_eq!(site.take_workos_paths(), [RENEWAL], "{path}");
            let renewed = answer.new_session();
            assert_ne!(renewed, cookie, "{path}");

            let answer = site.get("/who", &[("cookie", &renewed)]).await;
            assert_eq!(answer.body, "user_ada", "{path}");
            assert!(answer.set_cookies().is_empty() && site.take_workos_paths().is_empty());
        }
    }
}

#[tokio::test]
async fn public_route_renews_no_session() {
    let site = Site::new();
    let cookie = site.sign_in().await;
    site.expire_access_tokens();
    site.take_workos_paths();
    let answer = site.get("/public", &[("cookie", &cookie)]).await;
    assert_eq!((answer.status, &*answer.body), (StatusCode::OK, "public"));
    assert!(answer.set_cookies().is_empty() && site.take_workos_paths().is_empty());
}

#[tokio::test]
async fn ended_session_removes_cookie_and_outage_does_not() {
    for headers in [vec![], vec![NAVIGATION]] {
        let site = Site::new();
        let cookie = site.sign_in().await;
        site.expire_access_tokens();
        let headers = [headers, vec![("cookie", &*cookie)]].concat();
        site.set_mode(Mode::Unreachable);
        let answer = site.get("/who", &headers).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.set_cookies().is_empty(), "{:?}", answer.set_cookies());

        site.clock.advance(Duration::seconds(5));
        site.set_mode(Mode::Refuses("invalid_grant"));
        let answer = site.get("/who", &headers).await;
        let status = if headers.len() == 2 { StatusCode::FOUND } else { StatusCode::UNAUTHORIZED };
        assert_eq!(answer.status, status);
        assert!(answer.removes_session(), "{:?}", answer.set_cookies());
    }
}

#[tokio::test]
async fn refused_renewal_keeps_cookie() {
    let site = Site::new();
    let cookie = site.sign_in().await;
    site.expire_access_tokens();
    site.set_mode(Mode::Refuses("sso_required"));
    let answer = site.get("/who", &[("cookie", &cookie)]).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(answer.detail(), "The session is not valid: sign in again");
    assert!(answer.set_cookies().is_empty(), "{:?}", answer.set_cookies());
}

#[tokio::test]
async fn renewal_into_another_users_session_is_refused() {
    logs::capture();
    let site = Site::new();
    let cookie = site.sign_in().await;
    site.expire_access_tokens();
    site.workos.set_claims(json!({"sub": "user_eve"}));
    let answer = site.get("/who", &[("cookie", &cookie)]).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert!(answer.set_cookies().is_empty(), "{:?}", answer.set_cookies());
    assert!(logs::take().iter().any(|line| line.contains(r#""event":"user_changed""#)));
}

#[tokio::test]
async fn session_is_resealed_after_password_change() {
    let site = Site::new();
    let cookie = site.sign_in().await;
    let new = ("WORKOS_COOKIE_PASSWORD", "another password of 32 characters or more");
    let previous = ("WORKOS_COOKIE_PASSWORD_PREVIOUS", "a password of at least 32 characters");
    let changed = site.another_isolate(&[new, previous]);
    let answer = changed.get("/who", &[("cookie", &cookie)]).await;
    assert_eq!(answer.body, "user_ada");

    let without_previous = site.another_isolate(&[new]);
    let headers = [("cookie", &*cookie)];
    assert_eq!(without_previous.get("/who", &headers).await.status, StatusCode::UNAUTHORIZED);
    let resealed = answer.new_session();
    assert_eq!(without_previous.get("/who", &[("cookie", &resealed)]).await.body, "user_ada");
}

#[tokio::test]
async fn session_moves_to_another_organization() {
    let site = Site::new();
    let cookie = site.sign_in().await;
    let answer = site.get("/organization", &[("cookie", &cookie)]).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    let answer = site.get("/switch/org_acme", &[("cookie", &cookie)]).await;
    assert_eq!((answer.status, &*answer.body), (StatusCode::OK, "org_acme"));
    let switched = answer.new_session();
    assert_eq!(site.get("/organization", &[("cookie", &switched)]).await.body, "org_acme");

    let token = sign(&session_claims(site.now()));
    let answer =
        site.get("/switch/org_acme", &[("authorization", &format!("Bearer {token}"))]).await;
    assert_eq!((answer.status, &*answer.body), (StatusCode::CONFLICT, "the caller has no session"));
}

#[tokio::test]
async fn sign_out_wins_over_late_renewal() {
    let site = Site::new();
    let cookie = site.sign_in().await;
    let answer = site.send(Method::POST, "/logout", &[("cookie", &cookie)]).await;
    assert!(answer.removes_session(), "{:?}", answer.set_cookies());
    site.expire_access_tokens();
    site.take_workos_paths();
    let answer = site.get("/who", &[("cookie", &cookie)]).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert!(site.take_workos_paths().is_empty());
}

const DOMAIN: (&str, &str) = ("WORKOS_COOKIE_DOMAIN", "app.test");
const MARKER: &str = "__Host-wos-session-signed-in";

#[tokio::test]
async fn marker_goes_with_first_session_that_comes_back() {
    let site = Site::with_variables(&[DOMAIN]);
    let answer = site.come_back("https://app.test", "/login").await;
    let session = answer.set_cookie("wos-session").unwrap().split(';').next().unwrap();
    let marker = answer.set_cookie(MARKER).unwrap().split(';').next().unwrap();
    for path in ["/public", "/who", "/failing"] {
        let cookies = format!("{session}; {marker}");
        let answer = site.get(path, &[("cookie", &cookies)]).await;
        let cleared = answer.set_cookie(MARKER).unwrap();
        assert!(cleared.contains("Max-Age=0") && cleared.contains("Secure"), "{path}: {cleared}");
        // Either of the two alone says nothing.
        for cookie in [session, marker] {
            let answer = site.get(path, &[("cookie", cookie)]).await;
            assert_eq!(answer.set_cookie(MARKER), None, "{path} {cookie}");
        }
    }
}

#[tokio::test]
async fn marker_of_new_sign_in_stays_beside_old_session() {
    let site = Site::with_variables(&[DOMAIN]);
    let first = site.come_back("https://app.test", "/login").await;
    let cookies = ["wos-session", MARKER].map(|name| {
        let cookie = first.set_cookie(name).unwrap();
        cookie.split(';').next().unwrap().to_owned()
    });
    let pending = site.begin_sign_in("https://app.test", "/login").await;
    let cookies = format!("{}; {}", cookies.join("; "), pending.cookies);
    let answer = site.get(&pending.callback("code=code_2"), &[("cookie", &cookies)]).await;
    assert_eq!(answer.status, StatusCode::FOUND);
    let marker = answer.set_cookie(MARKER).unwrap();
    assert!(!marker.contains("Max-Age=0"), "{marker}");
}

#[tokio::test]
async fn host_only_session_needs_no_marker() {
    let answer = Site::new().come_back("https://app.test", "/login").await;
    assert!(answer.set_cookie(COOKIE).is_some());
    assert_eq!(answer.set_cookie(MARKER), None);
}

#[tokio::test]
async fn login_explains_session_that_browser_dropped() {
    let secure_name = ("WORKOS_COOKIE_NAME", "__Secure-session");
    for (variable, origin, marker, reason) in [
        (DOMAIN, "https://app.test", MARKER, "app.test. Set WORKOS_COOKIE_DOMAIN"),
        (secure_name, "http://localhost:8787", "session-signed-in", "this is plain http"),
    ] {
        let site = Site::with_variables(&[variable]);
        let answer = site.come_back(origin, "/login").await;
        let cookie = answer.set_cookie(marker).unwrap().split(';').next().unwrap().to_owned();
        let answer =
            site.get(&format!("{origin}/login?return_to=/who"), &[("cookie", &cookie)]).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{origin}");
        assert!(answer.detail().contains(reason), "{}", answer.body);
        assert!(answer.set_cookie(marker).unwrap().contains("Max-Age=0"), "{origin}");

        let headers = [("cookie", &*cookie), NAVIGATION];
        let answer = site.get(&format!("{origin}/login?return_to=/who"), &headers).await;
        let link = "<a href=\"/login?return_to=%2Fwho\">Try again</a>";
        assert!(answer.body.contains(link), "{}", answer.body);
        assert_eq!(site.get(&format!("{origin}/login"), &[]).await.status, StatusCode::FOUND);
    }
}
