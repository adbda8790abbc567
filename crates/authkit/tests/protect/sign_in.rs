//! The routes that `AuthKit::protect` adds: `/login`, `/callback`, `/logout` and `/me`.

use axum_authkit::AuthKit;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use url::Url;

use crate::{
    logs,
    site::{Answer, COOKIE, NAVIGATION, Site, app},
    workos::{CONNECT, Mode, connect_claims, session_claims, sign, with},
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

const APP: &str = "https://app.test";

/// Whether the response frees the sign-in's cookie.
fn frees_slot(answer: &Answer) -> bool {
    let is_slot = |cookie: &&&str| cookie.contains("-sign-in-") && cookie.contains("Max-Age=0");
    answer.set_cookies().iter().any(|cookie| is_slot(&cookie))
}

#[tokio::test]
async fn refusal_of_own_sign_in_is_quoted() {
    let site = Site::new();
    let pending = site.begin_sign_in(APP, "/login?return_to=/who").await;
    let url = pending.callback("error=sso_required&error_description=Use+%3CSSO%3E");
    let answer = site.get(&url, &[("cookie", &pending.cookies), NAVIGATION]).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.body.contains("(sso_required: Use &lt;SSO&gt;)"), "{}", answer.body);
    assert!(answer.body.contains("<a href=\"/login?return_to=%2Fwho\">"), "{}", answer.body);
    assert!(frees_slot(&answer), "{:?}", answer.set_cookies());
}

#[tokio::test]
async fn refusal_of_code_is_quoted() {
    let site = Site::new();
    site.set_mode(Mode::Refuses("mfa_enrollment"));
    let answer = site.come_back(APP, "/login").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let said = "(mfa_enrollment: WorkOS says mfa_enrollment)";
    assert!(answer.detail().contains(said), "{}", answer.body);
    assert!(frees_slot(&answer), "{:?}", answer.set_cookies());
}

#[tokio::test]
async fn spent_code_begins_sign_in_again_once() {
    let site = Site::new();
    site.set_mode(Mode::Refuses("invalid_grant"));
    let answer = site.come_back(APP, "/login?return_to=/who").await;
    assert_eq!(answer.status, StatusCode::FOUND);
    assert_eq!(answer.header("location"), Some("/login?retry=1&return_to=%2Fwho"));
    assert!(frees_slot(&answer), "{:?}", answer.set_cookies());

    let answer = site.come_back(APP, "/login?retry=1&return_to=/who").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(!answer.detail().contains("WorkOS says"), "{}", answer.body);
}

#[tokio::test]
async fn code_is_exchanged_once() {
    let site = Site::new();
    let pending = site.begin_sign_in(APP, "/login").await;
    let cookie = ("cookie", &*pending.cookies);
    let answer = site.get(&pending.callback("code=code_1"), &[cookie]).await;
    assert!(answer.set_cookie(COOKIE).is_some());
    site.take_workos_paths();
    for code in ["code=code_1", "code=code_2"] {
        let answer = site.get(&pending.callback(code), &[cookie]).await;
        assert_eq!(answer.header("location"), Some("/login?retry=1"), "{code}");
        assert_eq!(answer.set_cookie(COOKIE), None, "{code}");
    }
    assert!(site.take_workos_paths().is_empty());
}

#[tokio::test]
async fn second_attempt_without_cookie_explains_cookies() {
    let site = Site::new();
    let pending = site.begin_sign_in(APP, "/login?retry=1").await;
    let answer = site.get(&pending.callback("code=code_1"), &[]).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.detail().contains("Allow cookies for this site"), "{}", answer.body);
}

#[tokio::test]
async fn sign_in_can_be_finished_after_outage() {
    let site = Site::new();
    let pending = site.begin_sign_in(APP, "/login?return_to=/who").await;
    let cookie = ("cookie", &*pending.cookies);
    site.set_mode(Mode::Unreachable);
    let answer = site.get(&pending.callback("code=code_1"), &[cookie]).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.header("retry-after").is_some() && answer.set_cookies().is_empty());
    site.set_mode(Mode::Works);
    let answer = site.get(&pending.callback("code=code_1"), &[cookie]).await;
    assert_eq!(answer.header("location"), Some("/who"));
    assert!(answer.set_cookie(COOKIE).is_some());
}

#[tokio::test]
async fn session_that_would_be_refused_is_not_set() {
    let elsewhere = ("WORKOS_COOKIE_DOMAIN", "other.test");
    let roles: Vec<String> = (0..3000).map(|role| format!("role-{role}")).collect();
    for (variables, claims, status, cause) in [
        (vec![elsewhere], json!({}), 500, "WORKOS_COOKIE_DOMAIN is not the domain"),
        (vec![], json!({"roles": roles}), 502, "an access token of "),
        (vec![], json!({"exp": 1}), 500, "the token has expired"),
        (vec![], json!({"user": "user_eve"}), 500, "token's subject"),
    ] {
        logs::capture();
        let site = Site::with_variables(&variables);
        site.workos.set_claims(claims);
        let answer = site.come_back(APP, "/login").await;
        assert_eq!(answer.status.as_u16(), status, "{cause}");
        assert!(logs::take().iter().any(|line| line.contains(cause)), "{cause}");
        let is_alone = answer.set_cookies().len() == 1;
        assert!(is_alone && frees_slot(&answer), "{cause}: {:?}", answer.set_cookies());
    }
}

#[tokio::test]
async fn callback_finishes_the_sign_out_of_a_continued_session() {
    let site = Site::new();
    let cookie = site.sign_in().await;
    site.send(Method::POST, "/logout", &[("cookie", &cookie)]).await;
    // The browser did not follow the redirect, so WorkOS continues the session.
    let answer = site.come_back(APP, "/login").await;
    assert_eq!(answer.status, StatusCode::FOUND);
    let location = answer.header("location").unwrap();
    assert!(location.contains("/sessions/logout?session_id=session_ada"), "{location}");
    assert!(answer.removes_session(), "{:?}", answer.set_cookies());
}

#[tokio::test]
async fn me_shows_machine_and_impersonator() {
    let site = Site::with_variables(&[("WORKOS_AUTHKIT_DOMAIN", CONNECT)]);
    let machine = json!({"sub": "client_cli", "scope": "notes:read"});
    let token = format!("Bearer {}", sign(&with(&connect_claims(site.now()), &machine)));
    let me = site.get("/me", &[("authorization", &token)]).await.json();
    assert_eq!((&me["user"], &me["client_id"]), (&Value::Null, &json!("client_cli")));
    assert_eq!((&me["scopes"], &me["session_id"]), (&json!(["notes:read"]), &Value::Null));

    site.workos.set_claims(json!({"act": {"sub": "staff@example.com"}}));
    let cookie = site.sign_in().await;
    let me = site.get("/me", &[("cookie", &cookie)]).await.json();
    assert_eq!(me["impersonator"], json!({"email": "staff@example.com"}));
}
