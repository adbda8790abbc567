//! Access tokens of AuthKit Connect, and the metadata that tells clients where to get one.

use axum::body::Body;
use chrono::Duration;
use futures_util::future::join_all;
use http::{Method, header};
use serde_json::{Value, json};

use crate::support::{
    ADA, Client, GRACE, TestApp,
    app::{ORIGIN, TestResponse, request},
    authkit::{CLIENT_ID, CURRENT, NEXT, Outage, STRANGER},
    claims::with,
    connect::{self, CONNECT_CLIENT, ISSUER, MACHINE, VARIABLES, sign},
};

const LUNCH: &str = r#"{"description": "Team lunch", "amount": 42.5, "category": "meals"}"#;
const METADATA: &str = "/.well-known/oauth-authorization-server";
const RESOURCE: &str = "/.well-known/oauth-protected-resource";

/// The URLs of each document: for the origin and for `/mcp`, with and without a trailing slash.
fn with_resources(documents: &[&str]) -> Vec<String> {
    let resources = ["", "/", "/mcp", "/mcp/"];
    documents.iter().flat_map(|at| resources.map(|resource| format!("{at}{resource}"))).collect()
}

/// The reason that a 401 gives for refusing the token.
async fn refusal(app: &TestApp, token: &str) -> String {
    let response = app.bearer(token).get("/me").await.expect(401);
    let challenge = response.header("www-authenticate");
    assert!(challenge.starts_with("Bearer error=\"invalid_token\", "), "{challenge}");
    response.detail()
}

fn insufficient(response: &TestResponse, scope: &str) {
    assert_eq!(response.status, 403, "{response:?}");
    assert_eq!(
        response.header("www-authenticate"),
        format!(
            "Bearer error=\"insufficient_scope\", scope=\"{scope}\", \
             error_description=\"the token lacks the scope {scope}\", \
             resource_metadata=\"{ORIGIN}{RESOURCE}\""
        )
    );
}

#[tokio::test]
async fn user_client_reaches_the_expenses_of_its_user_only() {
    let app = connect::app();
    let mut browser = app.signed_in(ADA).await;
    let created = browser.post("/expenses", LUNCH).await.expect(201).json();
    let token = app.authkit.connect.token(ADA);
    assert_eq!(app.bearer(&token).get("/expenses").await.json(), json!([created]));
    app.bearer(&token).post("/expenses", LUNCH).await.expect(201);
    assert_eq!(browser.get("/expenses").await.json().as_array().unwrap().len(), 2);

    let graces = app.authkit.connect.token(GRACE);
    assert_eq!(app.bearer(&graces).get("/expenses").await.expect(200).body, "[]");
    let path = format!("/expenses/{}", created["id"].as_str().unwrap());
    app.bearer(&graces).get(&path).await.expect(404);
}

#[tokio::test]
async fn connect_token_is_refused_unchecked_without_an_authkit_domain() {
    let app = TestApp::new();
    let response = app.bearer(&app.authkit.connect.token(ADA)).get("/me").await.expect(401);
    assert!(!response.header("www-authenticate").contains("resource_metadata"), "{response:?}");
    assert_eq!(app.authkit.connect.take_requests(), [""; 0]);
    for path in with_resources(&[METADATA, RESOURCE]) {
        let path = &path;
        assert_eq!(app.anonymous().get(path).await.expect(404).detail(), "Not Found");
        let preflight = request(Method::OPTIONS, path).body(Body::empty()).unwrap();
        app.send(preflight).await.expect(404);
    }
}

#[tokio::test]
async fn keys_of_one_issuer_verify_no_others_tokens() {
    // Both key sets use one key id, as a custom AuthKit domain can.
    assert_eq!(STRANGER.kid, CURRENT.kid);
    let app = connect::app();
    app.authkit.connect.publish(Some(vec![STRANGER.jwk()]));
    let of_connect = app.authkit.connect.claims(ADA);
    let of_session = app.authkit.claims(ADA);
    app.bearer(&STRANGER.sign(&STRANGER.header(), &of_connect)).get("/me").await.expect(200);
    app.bearer(&CURRENT.sign(&CURRENT.header(), &of_session)).get("/me").await.expect(200);
    for token in [
        CURRENT.sign(&CURRENT.header(), &of_connect),
        STRANGER.sign(&STRANGER.header(), &of_session),
        // No other claim makes the key a Connect key.
        STRANGER.sign(
            &STRANGER.header(),
            &with(of_connect.clone(), json!({"iss": "https://api.workos.com"})),
        ),
    ] {
        assert_eq!(refusal(&app, &token).await, "the token's signature is wrong");
    }
}

#[tokio::test]
async fn issuer_is_compared_as_text() {
    let app = connect::app();
    let claims = app.authkit.connect.claims(ADA);
    for issuer in [
        json!(format!("{ISSUER}/")),
        json!("https://TEST.authkit.app"),
        json!("http://test.authkit.app"),
        json!([ISSUER]),
        Value::Null,
    ] {
        let token = sign(&with(claims.clone(), json!({"iss": issuer})));
        assert_eq!(refusal(&app, &token).await, "the token has another issuer", "{issuer}");
    }
    assert_eq!(app.authkit.connect.take_requests(), [""; 0]);
}

#[tokio::test]
async fn token_with_two_issuer_members_is_malformed() {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let app = connect::app();
    let token = app.authkit.connect.token(ADA);
    let [header, _, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!() };
    let claims = app.authkit.connect.claims(ADA).to_string();
    let twice = claims.replacen('{', r#"{"iss":"https://api.workos.com","#, 1);
    let token = format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode(twice));
    assert_eq!(refusal(&app, &token).await, "the token is malformed");
    assert_eq!(app.authkit.jwks_count(), 0);
    assert_eq!(app.authkit.connect.take_requests(), [""; 0]);
}

#[tokio::test]
async fn connect_token_needs_this_worker_as_audience() {
    let app = connect::app();
    let claims = with(app.authkit.connect.claims(ADA), json!({"scope": "openid expenses:read"}));
    for audience in [
        json!(ORIGIN),
        json!(format!("{ORIGIN}/")),
        json!(format!("{ORIGIN}/mcp")),
        json!(format!("{ORIGIN}/mcp/")),
        json!(CLIENT_ID),
        json!([CLIENT_ID]),
        json!(["https://other.test", ORIGIN]),
    ] {
        let token = sign(&with(claims.clone(), json!({"aud": audience})));
        app.bearer(&token).get("/expenses").await.expect(200);
    }
    for audience in [
        json!("https://other.test/mcp"),
        json!("https://app.test.evil.test/mcp"),
        json!(CONNECT_CLIENT),
        json!(["https://other.test"]),
        json!(["https://other.test", CLIENT_ID]),
        json!([[CLIENT_ID]]),
        json!({"aud": CLIENT_ID}),
        json!(format!("{CLIENT_ID} {ORIGIN}")),
        json!(""),
        json!([]),
        Value::Null,
    ] {
        let token = sign(&with(claims.clone(), json!({"aud": audience})));
        let expected = "the token is meant for another audience";
        assert_eq!(refusal(&app, &token).await, expected, "{audience}");
        // The cached signature check does not cover the audience.
        assert_eq!(refusal(&app, &token).await, expected, "{audience}");
    }
}

#[tokio::test]
async fn connect_token_needs_the_requested_host_as_audience() {
    let app = connect::app();
    let token = app.authkit.connect.token(ADA);
    app.bearer(&token).get("/me").await.expect(200);
    app.bearer(&token).get("https://elsewhere.test/me").await.expect(401);
}

#[tokio::test]
async fn connect_token_passes_the_checks_of_session_tokens() {
    let app = connect::app();
    let claims = app.authkit.connect.claims(ADA);
    let token = sign(&claims);
    let now = claims["iat"].as_i64().unwrap();
    let of = |name: &str, value: Value| sign(&with(claims.clone(), json!({(name): value})));
    assert_eq!(refusal(&app, &of("exp", Value::Null)).await, "the token is malformed");
    assert_eq!(refusal(&app, &of("exp", json!(now))).await, "the token has expired");
    assert_eq!(refusal(&app, &of("nbf", json!(now + 11))).await, "the token is not valid yet");
    assert_eq!(refusal(&app, &of("sub", json!(""))).await, "the token is malformed");
    for alg in ["none", "HS256", "ES256", "RS512"] {
        let token = STRANGER.sign(&json!({"alg": alg, "kid": STRANGER.kid}), &claims);
        assert_eq!(refusal(&app, &token).await, "the token is not signed with RS256", "{alg}");
    }
    let unknown = STRANGER.sign(&json!({"alg": "RS256", "kid": "key_other"}), &claims);
    assert_eq!(refusal(&app, &unknown).await, "the token is not signed by a key of the issuer");
    app.bearer(&token).get("/me").await.expect(200);
    app.clock.advance(Duration::seconds(300));
    assert_eq!(refusal(&app, &token).await, "the token has expired");
}

#[tokio::test]
async fn sign_in_with_a_connect_token_is_refused() {
    let app = connect::app();
    // A Connect token from the token endpoint: no key set is fetched to check it.
    app.authkit.set_extra_claims(json!({"iss": ISSUER, "aud": CLIENT_ID}));
    let mut browser = app.browser();
    let login = browser.open("/login").await.expect(302);
    let callback = app.authkit.approve(login.header("location"), ADA);
    browser.open(callback.as_str()).await.expect(500);
    assert_eq!(app.authkit.jwks_count(), 0);
    assert_eq!(app.authkit.connect.take_requests(), [""; 0]);
}

#[tokio::test]
async fn session_cookie_refuses_a_connect_token_verified_before() {
    let app = connect::app();
    app.authkit
        .set_extra_claims(json!({"iss": ISSUER, "aud": ORIGIN, "client_id": CONNECT_CLIENT}));
    let token = sign(&app.authkit.claims(ADA));
    app.bearer(&token).get("/me").await.expect(200);
    let mut browser = app.browser();
    let login = browser.open("/login").await.expect(302);
    let callback = app.authkit.approve(login.header("location"), ADA);
    browser.open(callback.as_str()).await.expect(500);
}

#[tokio::test]
async fn machine_token_allows_only_its_scopes() {
    let app = connect::app();
    let reader = app.authkit.connect.machine_token("expenses:read");
    let writer = app.authkit.connect.machine_token("openid expenses:write");
    let both = app.authkit.connect.machine_token("expenses:read expenses:write");
    let none = app.authkit.connect.machine_token("openid expenses:reader");

    let created = app.bearer(&both).post("/expenses", LUNCH).await.expect(201).json();
    let path = format!("/expenses/{}", created["id"].as_str().unwrap());
    for path in ["/expenses", &path, "/expenses/summary", "/expenses?limit=x"] {
        for token in [&writer, &none] {
            insufficient(&app.bearer(token).get(path).await, "expenses:read");
        }
    }
    for method in [Method::PUT, Method::PATCH, Method::DELETE] {
        for token in [&reader, &none] {
            let response = app.bearer(token).send_json(method.clone(), &path, LUNCH).await;
            insufficient(&response, "expenses:write");
        }
    }
    insufficient(&app.bearer(&reader).post("/expenses", "{").await, "expenses:write");
    assert_eq!(app.bearer(&reader).get("/expenses").await.expect(200).json(), json!([created]));
    app.bearer(&writer).send_json(Method::PUT, &path, LUNCH).await.expect(200);
    app.bearer(&writer).delete(&path).await.expect(204);

    // The machine sees only its own expenses.
    assert_eq!(app.bearer(&app.authkit.access_token(ADA)).get("/expenses").await.body, "[]");
}

#[tokio::test]
async fn machine_token_without_scopes_is_403_everywhere() {
    let app = connect::app();
    let empty = app.authkit.connect.machine_claims("");
    let mut absent = empty.clone();
    absent.as_object_mut().unwrap().remove("scope");
    for claims in [empty, absent] {
        insufficient(&app.bearer(&sign(&claims)).get("/expenses").await, "expenses:read");
    }
}

#[tokio::test]
async fn user_client_is_limited_to_granted_scopes() {
    let app = connect::app();
    let token = |scope: &str| sign(&with(app.authkit.connect.claims(ADA), json!({"scope": scope})));
    app.bearer(&token("openid email")).post("/expenses", LUNCH).await.expect(201);
    app.bearer(&token("expenses:read expenses:write")).post("/expenses", LUNCH).await.expect(201);
    let reader = token("openid expenses:read");
    app.bearer(&reader).get("/expenses").await.expect(200);
    insufficient(&app.bearer(&reader).post("/expenses", LUNCH).await, "expenses:write");
    insufficient(&app.bearer(&token("expenses:write")).get("/expenses").await, "expenses:read");
}

#[tokio::test]
async fn user_client_is_held_to_the_role_of_its_token() {
    let app = connect::app();
    let claims = with(app.authkit.connect.claims(ADA), json!({"permissions": ["expenses:read"]}));
    for scope in ["openid", "expenses:read expenses:write"] {
        let mut client = app.bearer(&sign(&with(claims.clone(), json!({"scope": scope}))));
        client.get("/expenses").await.expect(200);
        let refused = client.post("/expenses", LUNCH).await.expect(403);
        assert!(
            refused.detail().contains("Your role lacks the permission expenses:write"),
            "{scope}"
        );
    }
}

#[tokio::test]
async fn session_token_needs_no_scope() {
    let app = connect::app();
    app.authkit.set_extra_claims(json!({"client_id": ADA.id, "scope": ""}));
    let mut browser = app.signed_in(ADA).await;
    browser.post("/expenses", LUNCH).await.expect(201);
    assert_eq!(browser.get("/me").await.json()["user"]["id"], ADA.id);
}

#[tokio::test]
async fn me_shows_the_kind_of_caller() {
    let app = connect::app();
    let me = app.bearer(&app.authkit.connect.token(ADA)).get("/me").await.expect(200).json();
    assert_eq!(
        me,
        json!({
            "user": {"object": "user", "id": ADA.id}, "session_id": null, "organization_id": "org_1",
            "role": null, "roles": [], "permissions": [], "entitlements": [], "feature_flags": [],
            "impersonator": null, "expires_at": me["expires_at"],
            "client_id": CONNECT_CLIENT, "scopes": ["openid", "profile"],
        })
    );
    let token = app.authkit.connect.machine_token("expenses:read");
    let me = app.bearer(&token).get("/me").await.expect(200).json();
    assert_eq!(me["user"], Value::Null);
    assert_eq!(me["session_id"], Value::Null);
    assert_eq!((&me["client_id"], &me["scopes"]), (&json!(MACHINE), &json!(["expenses:read"])));
    let me = app.bearer(&app.authkit.access_token(ADA)).get("/me").await.expect(200).json();
    assert!(me.get("client_id").is_none() && me.get("scopes").is_none(), "{me}");
}

#[tokio::test]
async fn session_paths_refuse_connect_tokens() {
    let app = connect::app();
    let token = app.authkit.connect.token(ADA);
    let organization = r#"{"organization_id": "org_2"}"#;
    let response = app.bearer(&token).post("/organization", organization).await.expect(403);
    assert!(response.detail().contains("bearer token"), "{response:?}");
    for method in [Method::GET, Method::POST] {
        let response = app.bearer(&token).send_json(method, "/logout", "").await.expect(400);
        assert!(response.detail().contains("bearer token"), "{response:?}");
    }
}

#[tokio::test]
async fn challenge_links_the_metadata_of_the_requested_resource() {
    let app = connect::app();
    let metadata = format!("resource_metadata=\"{ORIGIN}{RESOURCE}\"");
    let response = app.anonymous().get("/expenses").await.expect(401);
    assert_eq!(response.header("www-authenticate"), format!("Bearer {metadata}"));
    let response = app.bearer("x").get("/expenses").await.expect(401);
    assert_eq!(
        response.header("www-authenticate"),
        format!(
            "Bearer error=\"invalid_token\", \
             error_description=\"the token is malformed\", {metadata}"
        )
    );
    for (authorization, challenge) in [
        ("Bearer", format!("Bearer error=\"invalid_request\", {metadata}")),
        ("Basic eA==", format!("Bearer {metadata}")),
    ] {
        let request = request(Method::GET, "/me").header(header::AUTHORIZATION, authorization);
        let response = app.send(request.body(Body::empty()).unwrap()).await.expect(401);
        assert_eq!(response.header("www-authenticate"), challenge);
    }
}

#[tokio::test]
async fn resource_metadata_covers_the_origin_and_mcp() {
    let app = connect::app();
    for (path, resource) in [
        ("", ORIGIN.to_owned()),
        ("/", ORIGIN.to_owned()),
        ("/mcp", format!("{ORIGIN}/mcp")),
        ("/mcp/", format!("{ORIGIN}/mcp")),
    ] {
        let response = app.anonymous().get(&format!("{RESOURCE}{path}")).await.expect(200);
        assert_eq!(
            response.json(),
            json!({
                "resource": resource,
                "authorization_servers": [ISSUER],
                "bearer_methods_supported": ["header"],
                "scopes_supported": ["openid", "profile", "email", "offline_access"],
            })
        );
        assert_eq!(response.header("content-type"), "application/json");
        assert_eq!(response.header("cache-control"), "public, max-age=300");
        assert_eq!(response.header("access-control-allow-origin"), "*");
    }
    for path in ["/expenses", "/mcp/x", "/mcp//", "//", "//mcp", "/%6dcp"] {
        app.anonymous().get(&format!("{RESOURCE}{path}")).await.expect(404);
    }
    let elsewhere =
        app.anonymous().get(&format!("https://elsewhere.test:8443{RESOURCE}/mcp")).await;
    assert_eq!(elsewhere.json()["resource"], "https://elsewhere.test:8443/mcp");
    assert_eq!(app.authkit.connect.take_requests(), [""; 0]);
}

#[tokio::test]
async fn metadata_allows_cross_origin_requests_with_custom_headers() {
    let app = connect::app();
    for path in with_resources(&[METADATA, RESOURCE]) {
        let path = &path;
        let preflight = request(Method::OPTIONS, path)
            .header(header::ORIGIN, "https://inspector.test")
            .header("access-control-request-method", "GET")
            .header("access-control-request-headers", "mcp-protocol-version");
        let response = app.send(preflight.body(Body::empty()).unwrap()).await.expect(204);
        assert_eq!(response.header("access-control-allow-origin"), "*");
        assert_eq!(response.header("access-control-allow-headers"), "*");
        app.bearer("x").post(path, "{}").await.expect(405);
    }
}

#[tokio::test]
async fn authkit_metadata_is_passed_through_and_cached() {
    let app = connect::app();
    for _ in 0..3 {
        let response = app.anonymous().get(METADATA).await.expect(200);
        assert_eq!(response.json(), app.authkit.connect.metadata());
        assert_eq!(response.header("content-type"), "application/json");
        assert_eq!(response.header("cache-control"), "public, max-age=300");
        assert_eq!(response.header("access-control-allow-origin"), "*");
    }
    app.bearer(&app.authkit.connect.token(ADA)).get("/me").await.expect(200);
    app.isolate_with_variables(&VARIABLES).anonymous().get(METADATA).await.expect(200);
    assert_eq!(
        app.authkit.connect.take_requests(),
        [format!("{ISSUER}{METADATA}"), format!("{ISSUER}/oauth2/jwks")]
    );
    app.clock.advance(Duration::hours(1));
    app.authkit.connect.set_metadata("registration_endpoint", json!("https://new.test"));
    let responses = join_all((0..20).map(async |_| app.anonymous().get(METADATA).await)).await;
    for response in responses {
        assert_eq!(response.json()["registration_endpoint"], "https://new.test");
    }
    assert_eq!(app.authkit.connect.take_requests().len(), 2);
}

#[tokio::test]
async fn authkit_metadata_is_served_under_resource_paths() {
    let app = connect::app();
    for path in with_resources(&[METADATA]) {
        assert_eq!(
            app.anonymous().get(&path).await.expect(200).json(),
            app.authkit.connect.metadata()
        );
    }
    for path in ["/expenses", "/mcp/x", "//"] {
        app.anonymous().get(&format!("{METADATA}{path}")).await.expect(404);
    }
}

#[tokio::test]
async fn authkit_outage_is_503_and_fetched_every_30_seconds() {
    for outage in [Outage::NoAnswer, Outage::Status(500), Outage::Status(403), Outage::Status(302)]
    {
        let app = connect::app();
        app.authkit.connect.set_outage(Some(outage));
        for _ in 0..3 {
            let response = app.anonymous().get(METADATA).await.expect(503);
            assert_ne!(response.header("retry-after"), "");
            assert_ne!(response.header("cache-control"), "public, max-age=300");
            app.bearer(&app.authkit.connect.token(ADA)).get("/expenses").await.expect(503);
        }
        assert_eq!(app.authkit.connect.take_requests().len(), 1);
        // Sessions keep working.
        app.bearer(&app.authkit.access_token(ADA)).get("/expenses").await.expect(200);
        app.authkit.connect.set_outage(None);
        app.clock.advance(Duration::seconds(30));
        app.anonymous().get(METADATA).await.expect(200);
        app.bearer(&app.authkit.connect.token(ADA)).get("/expenses").await.expect(200);
    }
}

#[tokio::test]
async fn outage_keeps_old_keys_but_no_old_metadata() {
    let app = connect::app();
    app.anonymous().get(METADATA).await.expect(200);
    app.authkit.connect.set_outage(Some(Outage::NoAnswer));
    app.clock.advance(Duration::days(3));
    app.bearer(&app.authkit.connect.token(ADA)).get("/expenses").await.expect(200);
    app.anonymous().get(METADATA).await.expect(503);
}

#[tokio::test]
async fn connect_keys_rotate() {
    let app = connect::app();
    let token = app.authkit.connect.token(ADA);
    app.bearer(&token).get("/me").await.expect(200);
    app.authkit.connect.publish(Some(vec![NEXT.jwk()]));
    app.clock.advance(Duration::seconds(30));
    let claims = app.authkit.connect.claims(ADA);
    app.bearer(&NEXT.sign(&NEXT.header(), &claims)).get("/me").await.expect(200);
    // The cached verification does not count: its key is gone.
    assert_eq!(refusal(&app, &token).await, "the token is not signed by a key of the issuer");
}

#[tokio::test]
async fn cached_keys_are_bound_to_their_issuer() {
    let app = connect::app();
    app.authkit.connect.publish(Some(vec![STRANGER.jwk()]));
    let token = STRANGER.sign(&STRANGER.header(), &app.authkit.connect.claims(ADA));
    app.bearer(&token).get("/me").await.expect(200);
    app.bearer(&app.authkit.access_token(ADA)).get("/me").await.expect(200);
    let [of_connect, of_session] = ["authkit:connect-jwks:client_test", "authkit:jwks:client_test"];
    let (sealed, _) = app.authkit_kv.entry(of_connect).unwrap();
    app.authkit_kv.insert_raw(of_session, &sealed, None);
    // This holds even when both issuers share an address.
    let same = [VARIABLES[0], ("WORKOS_BASE_URL", ISSUER)];
    let moved = app.isolate_with_variables(&same);
    app.authkit.connect.take_requests();
    let forged = STRANGER.sign(&STRANGER.header(), &app.authkit.claims(ADA));
    moved.bearer(&forged).get("/me").await.expect(503);
    assert_eq!(app.authkit.connect.take_requests(), [format!("{ISSUER}/sso/jwks/{CLIENT_ID}")]);
}
