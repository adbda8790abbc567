use serde_json::Value;

use super::*;
use crate::fixtures::{
    API_KEY, BASE_URL, CLIENT_ID, CURRENT, ScriptedHttp, authenticate_body, config, json_response,
    response,
};
use crate::outage::Outage;

fn client(http: &Arc<ScriptedHttp>) -> WorkosClient {
    client_of(http, &[])
}

fn client_of(http: &Arc<ScriptedHttp>, variables: &[(&str, &str)]) -> WorkosClient {
    WorkosClient::new(Arc::clone(http) as _, Arc::new(config(variables)))
}

/// An HTTP client that always returns this response.
fn responding(status: u16, body: impl Into<Bytes>) -> Arc<ScriptedHttp> {
    let body = body.into();
    ScriptedHttp::new(move |_| Ok(response(status, body.clone())))
}

fn tokens() -> Value {
    authenticate_body("user_ada", "session_ada", "refresh_2")
}

async fn refresh(http: &Arc<ScriptedHttp>) -> Result<AuthenticateResponse, WorkosError> {
    let refresh_token = Secret::from("refresh_1");
    let grant = Grant::RefreshToken { refresh_token: &refresh_token, organization_id: None };
    client(http).authenticate(grant, &ClientInfo::default()).await
}

fn outage(reason: &str, retry_after_secs: u32) -> Outage {
    Outage { reason: reason.to_owned(), retry_after_secs }
}

fn unavailable(reason: &str, retry_after_secs: u32) -> WorkosError {
    WorkosError::Unavailable(outage(reason, retry_after_secs))
}

/// The only request that was sent, and its body.
fn sent(http: &ScriptedHttp) -> (Request<Bytes>, Value) {
    let requests = http.requests();
    assert_eq!(requests.len(), 1);
    let body = serde_json::from_slice(requests[0].body()).unwrap_or_default();
    (requests[0].clone(), body)
}

// Requests.

#[tokio::test]
async fn code_is_exchanged_with_its_verifier_and_the_secret() {
    let http = responding(200, tokens().to_string());
    let (code, code_verifier) = (Secret::from("code_1"), Secret::from("verifier_1"));
    let grant = Grant::AuthorizationCode { code: &code, code_verifier: &code_verifier };
    let answer = client(&http).authenticate(grant, &ClientInfo::default()).await.unwrap();
    assert_eq!(answer.user.id, "user_ada");
    assert_eq!(answer.refresh_token, Secret::from("refresh_2"));
    assert_eq!(answer.access_token.expose(), tokens()["access_token"]);
    let (request, body) = sent(&http);
    assert_eq!(request.method(), Method::POST);
    assert_eq!(request.uri(), &*format!("{BASE_URL}/user_management/authenticate"));
    for (name, value) in [
        ("accept", "application/json"),
        ("content-type", "application/json"),
        ("user-agent", concat!("axum-authkit/", env!("CARGO_PKG_VERSION"))),
    ] {
        assert_eq!(request.headers()[name], value);
    }
    assert!(!request.headers().contains_key("authorization"));
    assert_eq!(
        body,
        json!({
            "grant_type": "authorization_code", "code": "code_1", "code_verifier": "verifier_1",
            "client_id": CLIENT_ID, "client_secret": API_KEY,
        })
    );
}

#[tokio::test]
async fn refresh_sends_the_organization_and_the_client_info() {
    let http = responding(200, tokens().to_string());
    let refresh_token = Secret::from("refresh_1");
    let grant =
        Grant::RefreshToken { refresh_token: &refresh_token, organization_id: Some("org_2") };
    let mut headers = http::HeaderMap::new();
    headers.insert("cf-connecting-ip", "192.0.2.7".parse().unwrap());
    headers.insert("user-agent", "Browser/1.0".parse().unwrap());
    // A client can forge these headers, so they are not the browser's address.
    headers.insert("x-forwarded-for", "198.51.100.1".parse().unwrap());
    let requester = ClientInfo::from_values(ClientInfo::HEADERS.map(|name| headers.get(name)));
    client(&http).authenticate(grant, &requester).await.unwrap();
    assert_eq!(
        sent(&http).1,
        json!({
            "grant_type": "refresh_token", "refresh_token": "refresh_1",
            "organization_id": "org_2", "client_id": CLIENT_ID, "client_secret": API_KEY,
            "ip_address": "192.0.2.7", "user_agent": "Browser/1.0",
        })
    );
    let http = responding(200, tokens().to_string());
    refresh(&http).await.unwrap();
    let body = sent(&http).1;
    for name in ["organization_id", "ip_address", "user_agent"] {
        assert_eq!(body.get(name), None, "{name}");
    }
}

#[test]
fn limits_count_ipv6_networks_as_addresses() {
    let network = |address: &str| {
        let address = http::HeaderValue::from_str(address).unwrap();
        ClientInfo::from_values([Some(&address), None]).network().unwrap()
    };
    assert_eq!(network("2001:db8:1:2::7"), network("2001:db8:1:2:ffff::1"));
    assert_ne!(network("2001:db8:1:2::7"), network("2001:db8:1:3::7"));
    assert_ne!(network("::1"), network("1::"));
    for address in ["192.0.2.7", "::ffff:192.0.2.7", "not an address"] {
        assert_eq!(network(address), address);
    }
    assert_eq!(ClientInfo::from_values([None, None]).network(), None);
}

#[tokio::test]
async fn key_set_request_carries_no_secret() {
    let http = responding(200, json!({"keys": [CURRENT.jwk()]}).to_string());
    crate::keys::KeySource::fetch(&client(&http)).await.unwrap();
    let (request, _) = sent(&http);
    assert_eq!(request.method(), Method::GET);
    assert_eq!(request.uri(), &*format!("{BASE_URL}/sso/jwks/{CLIENT_ID}"));
    assert_eq!(request.body().len(), 0);
    assert!(!format!("{request:?}").contains(API_KEY));
}

#[tokio::test]
async fn request_paths_extend_the_path_of_the_base_url() {
    let http = responding(200, json!({"keys": []}).to_string());
    let client = client_of(&http, &[("WORKOS_BASE_URL", "https://proxy.test/workos/")]);
    client.session_keys().await.unwrap();
    let (request, _) = sent(&http);
    assert_eq!(request.uri(), &*format!("https://proxy.test/workos/sso/jwks/{CLIENT_ID}"));
    let url = client.logout_url("session_1", "https://app.test/?a=1&b");
    assert_eq!(
        url.as_str(),
        "https://proxy.test/workos/user_management/sessions/logout?session_id=session_1\
         &return_to=https%3A%2F%2Fapp.test%2F%3Fa%3D1%26b"
    );
}

#[test]
fn authorize_url_names_authkit_unless_hints_select_another() {
    let http = responding(200, "");
    let url = |hints: &[(&'static str, &str)]| {
        let request = AuthorizeRequest {
            redirect_uri: "https://app.test/callback",
            state: "a b&c",
            code_challenge: "challenge",
            hints,
        };
        client(&http).authorize_url(&request)
    };
    let expected = [
        ("client_id", CLIENT_ID),
        ("redirect_uri", "https://app.test/callback"),
        ("response_type", "code"),
        ("state", "a b&c"),
        ("code_challenge", "challenge"),
        ("code_challenge_method", "S256"),
    ];
    let query = |url: &Url| -> Vec<(String, String)> { url.query_pairs().into_owned().collect() };
    let owned = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let to_authkit = [&expected[..], &[("provider", "authkit"), ("screen_hint", "sign-up")]];
    let found = url(&[("screen_hint", "sign-up")]);
    assert_eq!(found.path(), "/user_management/authorize");
    assert_eq!(query(&found), owned(&to_authkit.concat()));
    for name in ["provider", "connection_id", "organization_id"] {
        let chosen = [&expected[..], &[(name, "x")]].concat();
        assert_eq!(query(&url(&[(name, "x")])), owned(&chosen), "{name}");
    }
}

// Refusals and outages.

#[tokio::test]
async fn error_about_the_user_is_a_refusal() {
    for (status, body, code, description) in [
        (400, json!({"error": "invalid_grant"}), "invalid_grant", None),
        (
            403,
            json!({"error": "sso_required", "error_description": "Use SSO."}),
            "sso_required",
            Some("Use SSO."),
        ),
        (
            422,
            json!({"code": "mfa_enrollment", "message": "Enrol."}),
            "mfa_enrollment",
            Some("Enrol."),
        ),
        // OAuth's members take precedence over WorkOS's own.
        (
            400,
            json!({"error": "a", "code": "b", "error_description": "c", "message": "d"}),
            "a",
            Some("c"),
        ),
    ] {
        let error = refresh(&responding(status, body.to_string())).await.unwrap_err();
        let description = description.map(str::to_owned);
        assert_eq!(error, WorkosError::Refused { code: code.to_owned(), description }, "{body}");
    }
}

#[tokio::test]
async fn any_other_error_counts_as_an_outage() {
    let refusal = json!({"error": "invalid_grant"}).to_string();
    for status in [201, 204, 301, 302, 304, 401, 404, 405, 408, 409, 429, 500, 502, 503, 504] {
        let error = refresh(&responding(status, refusal.clone())).await.unwrap_err();
        let reason = if status < 300 {
            "the response does not match WorkOS's documentation".to_owned()
        } else {
            format!("status {status}")
        };
        assert_eq!(error, unavailable(&reason, 5), "{status}");
    }
    for code in CODES_NOT_ABOUT_THE_USER {
        for member in ["error", "code"] {
            let body = json!({member: code}).to_string();
            let error = refresh(&responding(400, body)).await.unwrap_err();
            assert_eq!(error, unavailable("status 400", 5), "{code}");
        }
    }
    for body in [
        String::new(),
        "<html>".to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        json!("invalid_grant").to_string(),
        json!({"error": null}).to_string(),
        json!({"error": ""}).to_string(),
        json!({"error": {"code": "invalid_grant"}}).to_string(),
        // Error texts of proxies, which are not codes of WorkOS.
        json!({"error": "Forbidden"}).to_string(),
        json!({"error": "access denied"}).to_string(),
        json!({"error": "ERR-5"}).to_string(),
        json!({"message": "invalid_grant"}).to_string(),
    ] {
        for status in [400, 403, 422] {
            let error = refresh(&responding(status, body.clone())).await.unwrap_err();
            assert_eq!(error, unavailable(&format!("status {status}"), 5), "{status} {body}");
        }
    }
}

#[tokio::test]
async fn missing_response_counts_as_an_outage() {
    for (error, reason) in [
        (HttpClientError::Timeout, "no response in time"),
        (HttpClientError::Connection, "connection failed"),
    ] {
        let error = Arc::new(std::sync::Mutex::new(Some(error)));
        let http = ScriptedHttp::new(move |_| Err(error.lock().unwrap().take().unwrap()));
        assert_eq!(refresh(&http).await.unwrap_err(), unavailable(reason, 5));
    }
}

#[tokio::test]
async fn tokens_without_a_required_member_count_as_an_outage() {
    for body in [
        String::new(),
        "[]".to_owned(),
        tokens().to_string()[1..].to_owned(),
        crate::fixtures::changed(&tokens(), json!({"user": null})).to_string(),
        crate::fixtures::changed(&tokens(), json!({"access_token": null})).to_string(),
        crate::fixtures::changed(&tokens(), json!({"refresh_token": 5})).to_string(),
        crate::fixtures::changed(&tokens(), json!({"user": {"id": "user_ada"}})).to_string(),
        crate::fixtures::changed(&tokens(), json!({"impersonator": {}})).to_string(),
    ] {
        let error = refresh(&responding(200, body.clone())).await.unwrap_err();
        let expected = unavailable("the response does not match WorkOS's documentation", 5);
        assert_eq!(error, expected, "{body}");
    }
    let odd = crate::fixtures::changed(&tokens(), json!({"new_member": [1], "impersonator": null}));
    assert!(refresh(&responding(200, odd.to_string())).await.is_ok());
}

#[tokio::test]
async fn retry_after_is_read_in_whole_seconds() {
    for (value, expected) in [
        ("0", 0),
        ("120", 120),
        ("4294967295", u32::MAX),
        ("4294967296", 5),
        ("-1", 5),
        ("1.5", 5),
        ("Thu, 26 Nov 2026 12:00:00 GMT", 5),
        ("", 5),
    ] {
        for status in [429, 503] {
            let http = ScriptedHttp::new(move |_| {
                let mut response = response(status, "{}");
                response.headers_mut().insert("retry-after", value.parse().unwrap());
                Ok(response)
            });
            let expected = outage(&format!("status {status}"), expected);
            let refused = refresh(&http).await.unwrap_err();
            assert_eq!(refused, WorkosError::Unavailable(expected.clone()), "{value}");
            assert_eq!(client(&http).session_keys().await.unwrap_err(), expected, "{value}");
        }
    }
}

#[tokio::test]
async fn public_document_is_present_absent_or_unavailable() {
    let url: Url = "https://test.authkit.app/x".parse().unwrap();
    let http = responding(200, "text");
    let found = client(&http).get_public(&url).await.unwrap();
    assert_eq!(found.as_deref(), Some(&b"text"[..]));
    assert_eq!(client(&responding(404, "text")).get_public(&url).await, Ok(None));
    for status in [201, 204, 206, 302, 400, 401, 403, 410, 429, 500] {
        let http = responding(status, json!({"error": "invalid_grant"}).to_string());
        let error = client(&http).get_public(&url).await.unwrap_err();
        assert_eq!(error, outage(&format!("status {status}"), 5));
    }
    let error = client(&responding(404, "")).key_set(&url).await.unwrap_err();
    assert_eq!(error, outage("the key set does not exist", 5));
    for body in ["", "{}", "[]", r#"{"keys": {}}"#] {
        let error = client(&responding(200, body)).key_set(&url).await.unwrap_err();
        assert_eq!(
            error,
            outage("the response does not match WorkOS's documentation", 5),
            "{body}"
        );
    }
}

#[tokio::test]
async fn secrets_appear_in_no_error_and_no_debug() {
    let secrets = ["refresh_1", "refresh_2", "code_1", "verifier_1", API_KEY, "hunter2"];
    let mut shown = Vec::new();
    // A response may quote the secrets: errors repeat only codes of letters, and no bodies.
    let quoted = tokens().to_string().replace("\"user_ada\"", "5");
    for (status, body) in [
        (200, quoted.clone()),
        (200, r#"{"access_token": "hunter2"#.to_owned()),
        (400, json!({"error": "refresh_1 hunter2"}).to_string()),
        (500, quoted),
    ] {
        let error = refresh(&responding(status, body)).await.unwrap_err();
        shown.extend([format!("{error}"), format!("{error:?}")]);
    }
    let response = refresh(&responding(200, tokens().to_string())).await.unwrap();
    shown.push(format!("{response:?}"));
    let (code, code_verifier) = (Secret::from("code_1"), Secret::from("verifier_1"));
    shown.push(format!(
        "{:?}",
        Grant::AuthorizationCode { code: &code, code_verifier: &code_verifier }
    ));
    shown
        .push(format!("{:?}", Grant::RefreshToken { refresh_token: &code, organization_id: None }));
    shown.push(format!("{:?}", config(&[])));
    for text in &shown {
        for secret in secrets {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
    }
    // A description is for the error page and does not appear in logs.
    let body = json!({"error": "sso_required", "error_description": "hunter2"});
    let http = ScriptedHttp::new(move |_| Ok(json_response(403, &body)));
    assert_eq!(refresh(&http).await.unwrap_err().to_string(), "WorkOS refused: sso_required");
}
