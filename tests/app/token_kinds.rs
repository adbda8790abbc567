//! One WorkOS key signs session tokens, Connect access tokens and ID tokens: the claims decide the kind
//! of a token and its permissions.

use http::{Method, header};
use serde_json::{Value, json};

use crate::support::{
    ADA, Client, TestApp,
    app::{ORIGIN, TestResponse, request},
    authkit::{BASE_URL, CLIENT_ID, CURRENT},
    claims::{with, without},
    connect::{self, CONNECT_CLIENT, ISSUER, MACHINE, VARIABLES, sign},
};

const LUNCH: &str = r#"{"description": "Team lunch", "amount": 42.5}"#;
/// A rejection names every scope where no single scope suffices.
const ANY_SCOPE: &str = "expenses:read expenses:write";

/// Checks that the token is refused with 401 `invalid_token`, on reads and on writes.
#[track_caller]
fn assert_invalid(response: &TestResponse, what: &str) {
    assert_eq!(response.status, 401, "{what}: {response:?}");
    let challenge = response.header("www-authenticate");
    assert!(challenge.starts_with("Bearer error=\"invalid_token\""), "{what}: {challenge}");
}

#[track_caller]
fn assert_insufficient(response: &TestResponse, scope: &str) {
    assert_eq!(response.status, 403, "{response:?}");
    let challenge = response.header("www-authenticate");
    let expected = format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\", ");
    assert!(challenge.starts_with(&expected), "{challenge}");
}

/// A call that every MCP client makes first.
fn tools_list() -> String {
    json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).to_string()
}

#[tokio::test]
async fn bearer_without_session_claims_is_refused() {
    // With Connect on and off.
    for app in [TestApp::new(), connect::app()] {
        let claims = app.authkit.claims(ADA);
        app.bearer(&sign(&claims)).get("/me").await.expect(200);
        for (what, claims) in [
            ("another issuer", with(claims.clone(), json!({"iss": "https://evil.test"}))),
            ("no issuer", without(claims.clone(), "iss")),
            (
                "an issuer that is not text",
                with(claims.clone(), json!({"iss": ["https://api.workos.com"]})),
            ),
            ("no sid", without(claims.clone(), "sid")),
            ("a consent's sid", with(claims.clone(), json!({"sid": "app_consent_1"}))),
            ("a sid that is not text", with(claims.clone(), json!({"sid": 5}))),
            ("another client", with(claims.clone(), json!({"client_id": "client_other"}))),
            ("a client that is not text", with(claims.clone(), json!({"client_id": [CLIENT_ID]}))),
            ("another audience", with(claims.clone(), json!({"aud": "https://other.test/mcp"}))),
            ("one more audience", with(claims.clone(), json!({"aud": [CLIENT_ID, "other"]}))),
            (
                "an audience that is not text",
                with(claims.clone(), json!({"aud": {"a": CLIENT_ID}})),
            ),
            ("an empty list of audiences", with(claims.clone(), json!({"aud": []}))),
            ("a scope", with(claims.clone(), json!({"scope": "openid"}))),
            ("an empty scope", with(claims.clone(), json!({"scope": ""}))),
            ("a list of scopes", with(claims.clone(), json!({"scope": ["openid"]}))),
            ("a nonce", with(claims.clone(), json!({"nonce": "x"}))),
            ("an access token's hash", with(claims.clone(), json!({"at_hash": "x"}))),
            ("a code's hash", with(claims.clone(), json!({"c_hash": "x"}))),
        ] {
            let token = sign(&claims);
            assert_invalid(&app.bearer(&token).get("/me").await, what);
            assert_invalid(&app.bearer(&token).post("/expenses", LUNCH).await, what);
            assert_invalid(&app.bearer(&token).post("/mcp", tools_list()).await, what);
        }
        for typ in ["at+jwt", "AT+JWT", "application/at+jwt", "logout+jwt", "secevent+jwt"] {
            let header = json!({"alg": "RS256", "typ": typ, "kid": CURRENT.kid});
            assert_invalid(&app.bearer(&CURRENT.sign(&header, &claims)).get("/me").await, typ);
        }
        for header in [
            json!({"alg": "RS256", "kid": CURRENT.kid}),
            json!({"alg": "RS256", "typ": "jwt", "kid": CURRENT.kid}),
        ] {
            app.bearer(&CURRENT.sign(&header, &claims)).get("/me").await.expect(200);
        }
        assert!(app.expenses_of(ADA).await.is_empty());
    }
}

#[tokio::test]
async fn bearer_is_accepted_from_every_workos_issuer() {
    let app = TestApp::new();
    let claims = app.authkit.claims(ADA);
    let client_path = format!("/user_management/{CLIENT_ID}");
    for base in ["https://api.workos.com", BASE_URL] {
        for path in ["", "/", &client_path] {
            let token = sign(&with(claims.clone(), json!({"iss": format!("{base}{path}")})));
            app.bearer(&token).get("/me").await.expect(200);
        }
        for path in ["//", "/user_management/client_other", "/x", ".evil.test", "/user_management"]
        {
            let token = sign(&with(claims.clone(), json!({"iss": format!("{base}{path}")})));
            assert_invalid(&app.bearer(&token).get("/me").await, path);
        }
    }
    // A session token may name this application's client id in `client_id` and `aud`.
    for changes in [
        json!({"client_id": CLIENT_ID}),
        json!({"aud": CLIENT_ID}),
        json!({"aud": [CLIENT_ID]}),
        json!({"client_id": CLIENT_ID, "aud": CLIENT_ID}),
    ] {
        app.bearer(&sign(&with(claims.clone(), changes))).get("/me").await.expect(200);
    }
}

#[tokio::test]
async fn bearer_needs_the_configured_audience() {
    let app = TestApp::with_variables(&[("WORKOS_AUDIENCE", "https://api.example.test")]);
    let claims = app.authkit.claims(ADA);
    for aud in [
        json!("https://api.example.test"),
        json!(["https://api.example.test"]),
        json!(["https://api.example.test", CLIENT_ID]),
    ] {
        app.bearer(&sign(&with(claims.clone(), json!({"aud": aud})))).get("/me").await.expect(200);
    }
    for aud in [json!(CLIENT_ID), json!(["https://api.example.test", "other"]), json!("other")] {
        let token = sign(&with(claims.clone(), json!({"aud": aud})));
        assert_invalid(&app.bearer(&token).get("/me").await, &aud.to_string());
    }
    assert_invalid(&app.bearer(&sign(&claims)).get("/me").await, "no audience");
    // The cookie's token came directly from WorkOS.
    app.signed_in(ADA).await.get("/me").await.expect(200);
}

#[tokio::test]
async fn token_verified_from_a_cookie_is_refused_as_bearer() {
    let app = TestApp::new();
    app.authkit.set_extra_claims(json!({"iss": "https://custom.test", "aud": "x"}));
    let mut browser = app.signed_in(ADA).await;
    browser.get("/me").await.expect(200);
    let token = app.authkit.access_token(ADA);
    for _ in 0..2 {
        assert_invalid(
            &app.bearer(&token).get("/me").await,
            "a token that only the cookie accepts",
        );
        browser.get("/me").await.expect(200);
    }
}

#[tokio::test]
async fn connect_token_is_refused_with_connect_off() {
    let app = TestApp::new();
    let connect = &app.authkit.connect;
    for claims in [
        connect.claims(ADA),
        with(connect.claims(ADA), json!({"aud": "https://other.test/mcp"})),
        with(connect.claims(ADA), json!({"aud": CLIENT_ID, "scope": "expenses:read"})),
        connect.machine_claims("expenses:read expenses:write"),
        connect.id_token_claims(ADA, "client_other"),
        connect.id_token_claims(ADA, CLIENT_ID),
    ] {
        let token = sign(&claims);
        assert_invalid(&app.bearer(&token).get("/me").await, &claims.to_string());
        assert_invalid(&app.bearer(&token).post("/expenses", LUNCH).await, &claims.to_string());
    }
    assert!(app.expenses_of(ADA).await.is_empty());
}

#[tokio::test]
async fn id_token_is_refused_as_access_token() {
    let app = connect::app();
    let connect = &app.authkit.connect;
    let access = with(connect.claims(ADA), json!({"scope": "expenses:read expenses:write"}));
    app.bearer(&sign(&access)).get("/me").await.expect(200);
    for (what, claims) in [
        ("for another application", connect.id_token_claims(ADA, "client_other")),
        ("for this one", connect.id_token_claims(ADA, CLIENT_ID)),
        ("for this address", connect.id_token_claims(ADA, &format!("{ORIGIN}/mcp"))),
        (
            "without a nonce",
            without(without(connect.id_token_claims(ADA, CLIENT_ID), "nonce"), "at_hash"),
        ),
        (
            "with a scope",
            with(connect.id_token_claims(ADA, CLIENT_ID), json!({"scope": "expenses:read"})),
        ),
        ("a nonce", with(access.clone(), json!({"nonce": "x"}))),
        ("a hash of an access token", with(access.clone(), json!({"at_hash": "x"}))),
        ("a hash of a code", with(access.clone(), json!({"c_hash": "x"}))),
        ("no client", without(access.clone(), "client_id")),
        ("a client that is not text", with(access.clone(), json!({"client_id": 5}))),
    ] {
        assert_invalid(&app.bearer(&sign(&claims)).get("/me").await, what);
    }
    for typ in ["logout+jwt", "secevent+jwt", "oauth-authz-req+jwt"] {
        let header = json!({"alg": "RS256", "typ": typ, "kid": CURRENT.kid});
        assert_invalid(&app.bearer(&CURRENT.sign(&header, &access)).get("/me").await, typ);
    }
    for typ in ["at+jwt", "application/at+jwt", "JWT"] {
        let header = json!({"alg": "RS256", "typ": typ, "kid": CURRENT.kid});
        app.bearer(&CURRENT.sign(&header, &access)).get("/me").await.expect(200);
    }
}

#[tokio::test]
async fn environment_client_is_limited_to_its_scopes() {
    let app = connect::app();
    let token = |scope: &str| {
        let claims = app.authkit.connect.claims(ADA);
        sign(&with(claims, json!({"aud": CLIENT_ID, "scope": scope})))
    };
    for scope in
        ["openid", "openid profile email", "", "expenses", "expenses:other", "xexpenses:read"]
    {
        let token = token(scope);
        assert_insufficient(&app.bearer(&token).get("/me").await, ANY_SCOPE);
        assert_insufficient(&app.bearer(&token).post("/mcp", tools_list()).await, ANY_SCOPE);
        assert_insufficient(&app.bearer(&token).get("/expenses").await, "expenses:read");
        assert_insufficient(&app.bearer(&token).get("/expenses/summary").await, "expenses:read");
        assert_insufficient(&app.bearer(&token).get("/expenses.csv").await, "expenses:read");
        assert_insufficient(&app.bearer(&token).post("/expenses", LUNCH).await, "expenses:write");
        assert_insufficient(&app.bearer(&token).delete("/expenses/x").await, "expenses:write");
        let organization = r#"{"organization_id": "org_2"}"#;
        assert_insufficient(
            &app.bearer(&token).post("/organization", organization).await,
            ANY_SCOPE,
        );
        let page = request(Method::GET, "/expenses")
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::ACCEPT, "text/html");
        let page = app.send(page.body(axum::body::Body::empty()).unwrap()).await;
        assert_eq!(page.status, 403, "{page:?}");
    }
    let claims = with(app.authkit.connect.claims(ADA), json!({"aud": CLIENT_ID}));
    let token_without = sign(&without(claims, "scope"));
    assert_insufficient(&app.bearer(&token_without).get("/me").await, ANY_SCOPE);

    let reader = token("openid expenses:read");
    app.bearer(&reader).get("/me").await.expect(200);
    app.bearer(&reader).get("/expenses").await.expect(200);
    app.bearer(&reader).post("/mcp", tools_list()).await.expect(200);
    assert_insufficient(&app.bearer(&reader).post("/expenses", LUNCH).await, "expenses:write");
    let writer = token("openid expenses:write");
    app.bearer(&writer).post("/expenses", LUNCH).await.expect(201);
    assert_insufficient(&app.bearer(&writer).get("/expenses").await, "expenses:read");
}

#[tokio::test]
async fn resource_client_without_scopes_is_unlimited() {
    let app = connect::app();
    let token = |scope: Value| {
        let mut claims = app.authkit.connect.claims(ADA);
        claims["scope"] = scope;
        sign(&claims)
    };
    app.bearer(&token(json!("openid"))).post("/expenses", LUNCH).await.expect(201);
    let without_scope = sign(&without(app.authkit.connect.claims(ADA), "scope"));
    app.bearer(&without_scope).post("/expenses", LUNCH).await.expect(201);
    let reader = token(json!("openid expenses:read"));
    app.bearer(&reader).get("/expenses").await.expect(200);
    assert_insufficient(&app.bearer(&reader).post("/expenses", LUNCH).await, "expenses:write");
    // An unknown scope of this Worker limits the token too.
    let limited = token(json!("openid expenses:approve"));
    assert_insufficient(&app.bearer(&limited).get("/expenses").await, "expenses:read");
    // The client id beside the resource takes nothing away.
    let claims = with(
        app.authkit.connect.claims(ADA),
        json!({"aud": [CLIENT_ID, format!("{ORIGIN}/mcp")], "scope": "openid"}),
    );
    app.bearer(&sign(&claims)).get("/expenses").await.expect(200);
}

#[tokio::test]
async fn token_with_a_non_text_scope_is_refused() {
    let app = connect::app();
    let connect = &app.authkit.connect;
    for scope in [
        json!(["expenses:read"]),
        json!([]),
        json!({"expenses:read": true}),
        json!(5),
        json!(true),
        Value::Null,
    ] {
        for claims in [
            connect.claims(ADA),
            with(connect.claims(ADA), json!({"aud": CLIENT_ID})),
            connect.machine_claims(""),
        ] {
            let token = sign(&with(claims, json!({"scope": scope.clone()})));
            assert_invalid(&app.bearer(&token).get("/expenses").await, &scope.to_string());
        }
    }
}

#[tokio::test]
async fn machine_is_limited_to_scopes_for_any_audience() {
    let app = connect::app();
    for audience in [json!(CLIENT_ID), json!(ORIGIN), json!(format!("{ORIGIN}/mcp"))] {
        let token = |scope: &str| {
            let claims = app.authkit.connect.machine_claims(scope);
            sign(&with(claims, json!({"aud": audience})))
        };
        assert_insufficient(&app.bearer(&token("openid")).get("/expenses").await, "expenses:read");
        let reader = token("expenses:read");
        let me = app.bearer(&reader).get("/me").await.expect(200).json();
        assert_eq!(me["client_id"], MACHINE);
        assert_insufficient(&app.bearer(&reader).post("/expenses", LUNCH).await, "expenses:write");
        app.bearer(&token("expenses:write")).post("/expenses", LUNCH).await.expect(201);
    }
}

#[tokio::test]
async fn environment_audience_must_be_the_only_one() {
    let app = connect::app();
    let scoped = with(app.authkit.connect.claims(ADA), json!({"scope": "expenses:read"}));
    for audience in [json!(["https://other.test", CLIENT_ID]), json!([CLIENT_ID, CONNECT_CLIENT])] {
        let token = sign(&with(scoped.clone(), json!({"aud": audience})));
        assert_invalid(&app.bearer(&token).get("/expenses").await, &audience.to_string());
    }
}

#[tokio::test]
async fn issuer_selects_the_rules() {
    let app = connect::app();
    let of_connect = app.authkit.connect.claims(ADA);
    let of_session = app.authkit.claims(ADA);
    // All of them have the same signing key.
    assert_invalid(
        &app.bearer(&sign(&with(of_connect.clone(), json!({"iss": "https://api.workos.com"}))))
            .get("/me")
            .await,
        "a Connect token with a session's issuer",
    );
    assert_invalid(
        &app.bearer(&sign(&with(of_session, json!({"iss": ISSUER})))).get("/me").await,
        "a session token with Connect's issuer",
    );
    app.bearer(&sign(&of_connect)).get("/me").await.expect(200);
    // The same isolate state, with Connect off.
    let off = app.isolate();
    assert_invalid(&off.bearer(&sign(&of_connect)).get("/me").await, "Connect is off");
    let on = app.isolate_with_variables(&VARIABLES);
    on.bearer(&sign(&of_connect)).get("/me").await.expect(200);
}

#[tokio::test]
async fn token_is_accepted_ten_seconds_before_nbf() {
    let app = connect::app();
    let connect_claims = app.authkit.connect.claims(ADA);
    for claims in [app.authkit.claims(ADA), connect_claims] {
        let now = claims["iat"].as_i64().unwrap();
        let of = |nbf: i64| sign(&with(claims.clone(), json!({"nbf": nbf})));
        app.bearer(&of(now + 10)).get("/me").await.expect(200);
        let early = of(now + 11);
        let response = app.bearer(&early).get("/me").await;
        assert_invalid(&response, "eleven seconds early");
        assert_eq!(response.detail(), "the token is not valid yet");
    }
    // The clocks of WorkOS and Cloudflare differ by a few seconds: sign-in tolerates it.
    let now = app.authkit.claims(ADA)["iat"].as_i64().unwrap();
    app.authkit.set_extra_claims(json!({"nbf": now + 5}));
    app.signed_in(ADA).await.get("/me").await.expect(200);
}
