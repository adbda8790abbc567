use super::*;
use crate::fixtures::{
    CLIENT_ID, CURRENT, NEXT, STRANGER, changed, config, noon, session_claims, unsigned_token,
};
use crate::user::Impersonator;
use edge_host::memory::MemorySignatureVerifier;
use futures_util::FutureExt;
use serde_json::json;

const ISSUER: &str = "https://test.authkit.app";
const ORIGIN: &str = "https://app.test";
const RESOURCE: ProtectedResource = ProtectedResource {
    paths: &["/mcp"],
    scopes: &["expenses:read", "expenses:write"],
    scope_prefix: "expenses:",
};

fn key(pair: &crate::fixtures::KeyPair) -> RsaPublicKey {
    let set: crate::workos::JwkSet = serde_json::from_value(json!({"keys": [pair.jwk()]})).unwrap();
    crate::keys::KeySet::from(set).find(pair.kid).unwrap().clone()
}

fn origin() -> RequestOrigin {
    RequestOrigin::of_url(ORIGIN.parse().unwrap()).unwrap()
}

fn parse_error(token: &str) -> Option<TokenError> {
    UntrustedToken::parse(token).err()
}

fn verify(kind: TokenKind, token: &str) -> Result<SignedClaims, TokenError> {
    verify_with(&key(&CURRENT), kind, token)
}

fn verify_with(
    key: &RsaPublicKey,
    kind: TokenKind,
    token: &str,
) -> Result<SignedClaims, TokenError> {
    let token = UntrustedToken::parse(token)?;
    let verified = token.verify_signature(kind, key, &MemorySignatureVerifier);
    verified.now_or_never().unwrap().map_err(|error| match error {
        SignatureCheckError::Token(error) => error,
        SignatureCheckError::Host(error) => panic!("{error}"),
    })
}

/// The signed claims of a token with this payload.
fn signed(kind: TokenKind, payload: &Value) -> SignedClaims {
    verify(kind, &CURRENT.token(payload)).unwrap()
}

fn as_cookie(claims: &Value, variables: &[(&str, &str)]) -> Result<VerifiedClaims, TokenError> {
    signed(TokenKind::Session, claims).of_cookie(&config(variables), &RESOURCE, noon())
}

fn as_session(claims: &Value, variables: &[(&str, &str)]) -> Result<VerifiedClaims, TokenError> {
    signed(TokenKind::Session, claims).of_session_bearer(&config(variables), &RESOURCE, noon())
}

fn as_connect(claims: &Value) -> Result<VerifiedClaims, TokenError> {
    connect_bearer(signed(TokenKind::Connect, claims))
}

fn connect_bearer(signed: SignedClaims) -> Result<VerifiedClaims, TokenError> {
    signed.of_connect_bearer(&config(&[]), ISSUER, &RESOURCE, &origin(), noon())
}

/// The claims of a Connect token of a user's client with audience `/mcp`.
fn connect_claims() -> Value {
    json!({
        "iss": ISSUER, "aud": format!("{ORIGIN}/mcp"), "sub": "user_ada",
        "client_id": "client_connect", "sid": "app_consent_1", "scope": "openid profile",
        "iat": noon().timestamp(), "exp": noon().timestamp() + 300,
    })
}

// The form and the header.

#[test]
fn parse_refuses_text_that_is_not_a_jwt() {
    let good = unsigned_token(&session_claims());
    assert_eq!(parse_error(&good), None);
    let [header, payload, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!() };
    for text in [
        String::new(),
        "a".to_owned(),
        "..".to_owned(),
        "a.b.c".to_owned(),
        format!("{header}.{payload}"),
        format!("{good}."),
        format!("{good}.{signature}"),
        format!("{good}="),
        format!("{good} "),
        format!(" {good}"),
        format!("{header}=.{payload}.{signature}"),
        format!("{header}.{payload}.AA+A"),
        format!("{}.{payload}.{signature}", URL_SAFE_NO_PAD.encode("nonsense")),
        format!("{}.{payload}.{signature}", URL_SAFE_NO_PAD.encode("[]")),
    ] {
        assert_eq!(parse_error(&text), Some(TokenError::Malformed), "{text}");
    }
}

#[test]
fn parse_refuses_a_token_past_the_length_limit() {
    let header = URL_SAFE_NO_PAD.encode(CURRENT.header().to_string());
    let of_length = |length: usize| {
        let payload = "A".repeat((length - header.len() - ".".len() - ".AAAA".len()) / 4 * 4);
        let rest = length - header.len() - ".".len() - payload.len() - ".".len();
        format!("{header}.{payload}.{}", "A".repeat(rest))
    };
    // Base64 text has no length of 4n + 1; both of these lengths are valid.
    let (longest, too_long) = (of_length(32 * 1024), of_length(32 * 1024 + 1));
    assert_eq!((longest.len(), too_long.len()), (32 * 1024, 32 * 1024 + 1));
    assert_eq!(parse_error(&longest), None);
    assert_eq!(parse_error(&too_long), Some(TokenError::Malformed));
    assert!(ParsedToken::<HeaderExtensions>::try_from(&*too_long).is_ok(), "but for its length");
}

#[test]
fn parse_refuses_every_algorithm_but_rs256() {
    for alg in ["none", "None", "HS256", "RS384", "RS512", "PS256", "ES256", "EdDSA", "", "rs256"] {
        let header = json!({"alg": alg, "kid": CURRENT.kid}).to_string();
        let token = CURRENT.sign(&header, &session_claims().to_string());
        assert_eq!(parse_error(&token), Some(TokenError::Algorithm), "{alg}");
    }
    for header in [
        r#"{"kid":"key_current"}"#,
        r#"{"alg":null,"kid":"key_current"}"#,
        r#"{"alg":["RS256"],"kid":"key_current"}"#,
        r#"{"alg":"none","alg":"RS256","kid":"key_current"}"#,
        r#"{"alg":"RS256","kid":"key_other","kid":"key_current"}"#,
    ] {
        let token = CURRENT.sign(header, "{}");
        assert_eq!(parse_error(&token), Some(TokenError::Malformed), "{header}");
    }
}

#[test]
fn parse_refuses_every_critical_header() {
    for crit in [json!(["b64"]), json!(["exp"]), json!([]), json!("exp"), json!({}), json!(0)] {
        let mut header = CURRENT.header();
        header["crit"] = crit.clone();
        header["b64"] = json!(true);
        let token = CURRENT.sign(&header.to_string(), &session_claims().to_string());
        assert_eq!(parse_error(&token), Some(TokenError::CriticalHeader), "{crit}");
    }
    // The parser limits the nesting.
    let nested = "[".repeat(5_000) + &"]".repeat(5_000);
    let header = format!(r#"{{"alg":"RS256","kid":"key_current","crit":{nested}}}"#);
    assert_eq!(parse_error(&CURRENT.sign(&header, "{}")), Some(TokenError::Malformed));
}

#[test]
fn parse_refuses_a_token_without_kid() {
    let with_kid = |kid: Value| {
        let header = json!({"alg": "RS256", "kid": kid}).to_string();
        CURRENT.sign(&header, &session_claims().to_string())
    };
    let longest = "k".repeat(256);
    assert_eq!(UntrustedToken::parse(&with_kid(json!(longest))).unwrap().kid(), longest);
    for token in [
        with_kid(json!("")),
        with_kid(json!("k".repeat(257))),
        CURRENT.sign(r#"{"alg":"RS256"}"#, &session_claims().to_string()),
    ] {
        assert_eq!(parse_error(&token), Some(TokenError::UnknownKey));
    }
    for kid in [json!(5), json!([CURRENT.kid]), json!({"a": CURRENT.kid})] {
        assert_eq!(parse_error(&with_kid(kid.clone())), Some(TokenError::Malformed), "{kid}");
    }
}

#[test]
fn unverified_issuer_is_text_that_appears_once() {
    let issuer = |payload: &str| {
        let token = CURRENT.sign(&CURRENT.header().to_string(), payload);
        UntrustedToken::parse(&token).unwrap().issuer_unverified()
    };
    assert_eq!(issuer(r#"{"sub":5,"iss":"a"}"#), Ok(Some("a".to_owned())));
    for payload in ["{}", r#"{"iss":null}"#, r#"{"iss":["a"]}"#, r#"{"iss":5}"#] {
        assert_eq!(issuer(payload), Ok(None), "{payload}");
    }
    for payload in [r#"{"iss":"a","iss":"b"}"#, r#"{"iss":"a","iss":"a"}"#, "", "{", "5", "\"a\""] {
        assert_eq!(issuer(payload), Err(TokenError::Malformed), "{payload}");
    }
}

#[test]
fn unverified_session_id_is_the_sid() {
    let id = |payload: &Value| {
        UntrustedToken::parse(&unsigned_token(payload)).unwrap().session_id_unverified()
    };
    assert_eq!(id(&session_claims()).as_deref(), Some("session_ada"));
    for payload in [json!({}), json!({"sid": 5}), json!({"sid": null}), json!([])] {
        assert_eq!(id(&payload), None, "{payload}");
    }
}

// The signature.

#[test]
fn signature_verifies_only_with_the_named_key() {
    let claims = session_claims();
    assert!(verify(TokenKind::Session, &CURRENT.token(&claims)).is_ok());
    let foreign_header = CURRENT.header().to_string();
    for token in [
        STRANGER.token(&claims),
        NEXT.sign(&foreign_header, &claims.to_string()),
        unsigned_token(&claims),
    ] {
        let error = verify(TokenKind::Session, &token).unwrap_err();
        assert_eq!(error, TokenError::Signature);
    }
}

#[test]
fn signature_covers_the_header_and_the_payload() {
    let good = CURRENT.token(&session_claims());
    let [header, payload, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!() };
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let root = encode(&changed(&session_claims(), json!({"sub": "user_root"})));
    let untyped = encode(&json!({"alg": "RS256", "kid": CURRENT.kid}));
    let other_signature = CURRENT.token(&json!({"exp": 1, "sub": "x"}));
    let (_, other_signature) = other_signature.rsplit_once('.').unwrap();
    let bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let [shorter, longer] = [bytes[..255].to_vec(), [&bytes[..], &[0]].concat()];
    for token in [
        format!("{header}.{root}.{signature}"),
        format!("{untyped}.{payload}.{signature}"),
        format!("{header}.{payload}.{other_signature}"),
        format!("{header}.{payload}."),
        format!("{header}.{payload}.{}", URL_SAFE_NO_PAD.encode(shorter)),
        format!("{header}.{payload}.{}", URL_SAFE_NO_PAD.encode(longer)),
    ] {
        assert_eq!(verify(TokenKind::Session, &token).unwrap_err(), TokenError::Signature);
    }
}

#[test]
fn signed_token_without_an_expiry_is_refused() {
    let token = CURRENT.token(&changed(&session_claims(), json!({"exp": null})));
    assert_eq!(verify(TokenKind::Session, &token).unwrap_err(), TokenError::NoExpiry);
}

#[test]
fn signed_payload_with_unexpected_types_is_malformed() {
    let exp = noon().timestamp() + 300;
    for payload in [
        String::new(),
        "null".to_owned(),
        "[1]".to_owned(),
        "\"text\"".to_owned(),
        format!(r#"{{"exp":{exp}}}"#),
        format!(r#"{{"exp":{exp},"sub":""}}"#),
        format!(r#"{{"exp":{exp},"sub":5}}"#),
        format!(r#"{{"exp":{exp},"sub":["user_ada"]}}"#),
        format!(r#"{{"exp":{exp},"sub":null}}"#),
        format!(r#"{{"exp":1,"exp":{exp},"sub":"user_ada"}}"#),
        r#"{"exp":"2099-01-01","sub":"user_ada"}"#.to_owned(),
        format!(r#"{{"exp":"{exp}","sub":"user_ada"}}"#),
        r#"{"exp":null,"sub":"user_ada"}"#.to_owned(),
        r#"{"exp":1e300,"sub":"user_ada"}"#.to_owned(),
        r#"{"exp":[1],"sub":"user_ada"}"#.to_owned(),
        format!(r#"{{"exp":{exp},"nbf":"now","sub":"user_ada"}}"#),
        format!(r#"{{"exp":{exp},"sub":"user_ada"}} x"#),
    ] {
        let token = CURRENT.sign(&CURRENT.header().to_string(), &payload);
        let error = verify(TokenKind::Session, &token).unwrap_err();
        assert_eq!(error, TokenError::Malformed, "{payload}");
    }
}

#[test]
fn claim_of_an_unexpected_type_counts_as_absent() {
    let odd = changed(
        &session_claims(),
        json!({
            "role": {"slug": "admin"}, "roles": "admin", "permissions": ["a", 5, ["b"], "c"],
            "entitlements": {"a": 1}, "org_id": 5, "act": "x", "impersonator": {"email": 5},
        }),
    );
    let expected = AccessTokenClaims {
        sub: "user_ada".to_owned(),
        iss: Some("https://api.workos.com".to_owned()),
        sid: Some("session_ada".to_owned()),
        permissions: vec!["a".to_owned(), "c".to_owned()],
        ..AccessTokenClaims::default()
    };
    assert_eq!(*signed(TokenKind::Session, &odd).claims, expected);
}

#[test]
fn claims_of_a_jwt_template_are_read_into_a_type() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Plan {
        plan: String,
        seats: Option<u32>,
    }
    let read = |template: Value| {
        let signed = signed(TokenKind::Session, &changed(&session_claims(), template));
        signed.of_cookie(&config(&[]), &ProtectedResource::default(), noon()).unwrap().read()
    };
    let gold = Plan { plan: "gold".to_owned(), seats: Some(5) };
    assert_eq!(read(json!({"plan": "gold", "seats": 5, "other": [1]})), Ok(gold));
    assert_eq!(read(json!({"plan": 5})), Err(Malformed));
    assert_eq!(read(json!({})), Err(Malformed));
}

#[test]
fn impersonator_claim_takes_precedence_over_act() {
    let impersonator = |changes| {
        let claims = changed(&session_claims(), changes);
        signed(TokenKind::Session, &claims).claims.impersonator.clone()
    };
    let of = |email: &str, reason: Option<&str>| {
        Some(Impersonator { email: email.to_owned(), reason: reason.map(str::to_owned) })
    };
    let claim = json!({"email": "help@workos.test", "reason": "ticket 7"});
    let actor = json!({"sub": "actor@workos.test", "reason": "x"});
    let both = json!({"impersonator": claim, "act": actor});
    assert_eq!(impersonator(both), of("help@workos.test", Some("ticket 7")));
    assert_eq!(impersonator(json!({"act": actor})), of("actor@workos.test", None));
    assert_eq!(impersonator(json!({})), None);
}

// The times.

#[test]
fn token_expires_at_exp_without_leeway() {
    let claims = as_cookie(&session_claims(), &[]).unwrap();
    let expires_at = noon() + Duration::seconds(300);
    assert_eq!(claims.expires_at(), expires_at);
    assert!(!claims.is_expired(expires_at - Duration::milliseconds(1)));
    assert!(claims.is_expired(expires_at));
}

#[test]
fn not_before_has_ten_seconds_of_leeway() {
    let now = noon().timestamp();
    for (nbf, expected) in
        [(now - 10, None), (now + 10, None), (now + 11, Some(TokenError::NotYetValid))]
    {
        let session = changed(&session_claims(), json!({"nbf": nbf}));
        assert_eq!(as_cookie(&session, &[]).err(), expected, "{nbf}");
        assert_eq!(as_session(&session, &[]).err(), expected, "{nbf}");
        let connect = changed(&connect_claims(), json!({"nbf": nbf}));
        assert_eq!(as_connect(&connect).err(), expected, "{nbf}");
    }
}

// The three checks.

#[test]
fn cookie_token_needs_the_issuer_only_if_configured() {
    let odd = changed(
        &session_claims(),
        json!({"iss": "https://custom.test", "sid": null, "aud": "x", "client_id": "y", "nonce": "z"}),
    );
    assert!(as_cookie(&odd, &[]).is_ok());
    assert!(as_cookie(&odd, &[("WORKOS_ISSUER", "https://custom.test")]).is_ok());
    for issuer in ["https://custom.test/", "https://api.workos.com", "https://CUSTOM.test"] {
        let error = as_cookie(&odd, &[("WORKOS_ISSUER", issuer)]).unwrap_err();
        assert_eq!(error, TokenError::Issuer, "{issuer}");
    }
    let without = changed(&odd, json!({"iss": null}));
    let error = as_cookie(&without, &[("WORKOS_ISSUER", "https://custom.test")]).unwrap_err();
    assert_eq!(error, TokenError::Issuer);
}

#[test]
fn cookie_token_of_connect_is_refused() {
    for claims in [session_claims(), connect_claims()] {
        let signed = signed(TokenKind::Connect, &claims);
        assert_eq!(
            signed.of_cookie(&config(&[]), &RESOURCE, noon()).unwrap_err(),
            TokenError::Issuer
        );
    }
}

#[test]
fn session_bearer_is_refused_for_each_foreign_claim() {
    let claims = as_session(&session_claims(), &[]).unwrap();
    assert_eq!((claims.kind(), claims.granted), (TokenKind::Session, Granted::Everything));
    for (changes, expected) in [
        (json!({"iss": "https://evil.test"}), TokenError::Issuer),
        (json!({"iss": null}), TokenError::Issuer),
        (json!({"iss": ["https://api.workos.com"]}), TokenError::Issuer),
        (json!({"iss": ISSUER}), TokenError::Issuer),
        (json!({"sid": null}), TokenError::Kind),
        (json!({"sid": "app_consent_1"}), TokenError::Kind),
        (json!({"sid": "xsession_1"}), TokenError::Kind),
        (json!({"sid": 5}), TokenError::Kind),
        (json!({"nonce": "x"}), TokenError::Kind),
        (json!({"at_hash": "x"}), TokenError::Kind),
        (json!({"c_hash": 5}), TokenError::Kind),
        (json!({"s_hash": []}), TokenError::Kind),
        (json!({"scope": "openid"}), TokenError::Kind),
        (json!({"scope": ""}), TokenError::Kind),
        (json!({"scope": ["openid"]}), TokenError::Kind),
        (json!({"client_id": "client_other"}), TokenError::Client),
        (json!({"client_id": [CLIENT_ID]}), TokenError::Client),
        (json!({"aud": "https://other.test"}), TokenError::Audience),
        (json!({"aud": [CLIENT_ID, "other"]}), TokenError::Audience),
        (json!({"aud": []}), TokenError::Audience),
        (json!({"aud": [5]}), TokenError::Audience),
        (json!({"aud": {"a": CLIENT_ID}}), TokenError::Audience),
    ] {
        let error = as_session(&changed(&session_claims(), changes.clone()), &[]).unwrap_err();
        assert_eq!(error, expected, "{changes}");
    }
    for changes in [
        json!({"client_id": CLIENT_ID}),
        json!({"aud": CLIENT_ID}),
        json!({"aud": [CLIENT_ID]}),
        json!({"aud": [CLIENT_ID, CLIENT_ID], "client_id": CLIENT_ID}),
    ] {
        assert!(as_session(&changed(&session_claims(), changes.clone()), &[]).is_ok(), "{changes}");
    }
    let signed = signed(TokenKind::Connect, &session_claims());
    assert_eq!(
        signed.of_session_bearer(&config(&[]), &RESOURCE, noon()).unwrap_err(),
        TokenError::Issuer
    );
}

#[test]
fn session_bearer_requires_typ_jwt() {
    let error = |header: Value| {
        let token = CURRENT.sign(&header.to_string(), &session_claims().to_string());
        let signed = verify(TokenKind::Session, &token).unwrap();
        signed.of_session_bearer(&config(&[]), &RESOURCE, noon()).err()
    };
    let with_typ = |typ: &str| json!({"alg": "RS256", "kid": CURRENT.kid, "typ": typ});
    for typ in ["JWT", "jwt", "application/jwt", "APPLICATION/JWT"] {
        assert_eq!(error(with_typ(typ)), None, "{typ}");
    }
    assert_eq!(error(json!({"alg": "RS256", "kid": CURRENT.kid})), None);
    for typ in ["at+jwt", "AT+JWT", "application/at+jwt", "logout+jwt", "secevent+jwt", "", "x"] {
        assert_eq!(error(with_typ(typ)), Some(TokenError::Kind), "{typ}");
    }
}

#[test]
fn session_issuer_is_workos_or_the_base_url() {
    let client_path = format!("/user_management/{CLIENT_ID}");
    let issuer = |issuer: String, variables: &[(&str, &str)]| {
        as_session(&changed(&session_claims(), json!({"iss": issuer})), variables).is_ok()
    };
    for base in ["https://api.workos.com", "https://workos.test"] {
        for path in ["", "/", &client_path] {
            assert!(issuer(format!("{base}{path}"), &[]), "{base}{path}");
        }
        for path in
            ["//", "/user_management/client_other", "/user_management", "/x", ".evil.test", ":1"]
        {
            assert!(!issuer(format!("{base}{path}"), &[]), "{base}{path}");
        }
    }
    // A configured issuer is the only one, character by character.
    let configured = [("WORKOS_ISSUER", "https://auth.test")];
    assert!(issuer("https://auth.test".to_owned(), &configured));
    for other in ["https://auth.test/", "https://api.workos.com", "https://AUTH.test"] {
        assert!(!issuer(other.to_owned(), &configured), "{other}");
    }
}

#[test]
fn session_bearer_needs_the_audience_if_configured() {
    let configured = [("WORKOS_AUDIENCE", "https://api.test")];
    let error = |aud: Value| {
        as_session(&changed(&session_claims(), json!({"aud": aud})), &configured).err()
    };
    for aud in [json!("https://api.test"), json!(["https://api.test", CLIENT_ID])] {
        assert_eq!(error(aud.clone()), None, "{aud}");
    }
    for aud in [json!(CLIENT_ID), json!(["https://api.test", "x"]), json!("x"), json!(null)] {
        assert_eq!(error(aud.clone()), Some(TokenError::Audience), "{aud}");
    }
    // A cookie's token needs no audience: WorkOS gave it to this Worker.
    assert!(as_cookie(&session_claims(), &configured).is_ok());
}

#[test]
fn connect_bearer_is_refused_for_each_foreign_claim() {
    let claims = as_connect(&connect_claims()).unwrap();
    assert_eq!((claims.kind(), claims.is_machine()), (TokenKind::Connect, false));
    for (changes, expected) in [
        (json!({"iss": format!("{ISSUER}/")}), TokenError::Issuer),
        (json!({"iss": "https://api.workos.com"}), TokenError::Issuer),
        (json!({"iss": null}), TokenError::Issuer),
        (json!({"nonce": "x"}), TokenError::Kind),
        (json!({"at_hash": "x"}), TokenError::Kind),
        (json!({"c_hash": "x"}), TokenError::Kind),
        (json!({"s_hash": "x"}), TokenError::Kind),
        (json!({"client_id": null}), TokenError::Kind),
        (json!({"client_id": 5}), TokenError::Kind),
        (json!({"aud": null}), TokenError::Audience),
        (json!({"aud": []}), TokenError::Audience),
        (json!({"aud": [format!("{ORIGIN}/mcp"), 5]}), TokenError::Audience),
        (json!({"aud": "https://other.test/mcp"}), TokenError::Audience),
        (json!({"aud": format!("{ORIGIN}/other")}), TokenError::Audience),
        (json!({"aud": ["https://other.test", CLIENT_ID]}), TokenError::Audience),
        (json!({"scope": ["expenses:read"]}), TokenError::Scope),
        (json!({"scope": 5}), TokenError::Scope),
    ] {
        let error = as_connect(&changed(&connect_claims(), changes.clone())).unwrap_err();
        assert_eq!(error, expected, "{changes}");
    }
    let signed = signed(TokenKind::Session, &connect_claims());
    assert_eq!(connect_bearer(signed).unwrap_err(), TokenError::Issuer);
}

#[test]
fn connect_bearer_requires_typ_of_an_access_token() {
    let error = |typ: &str| {
        let header = json!({"alg": "RS256", "kid": CURRENT.kid, "typ": typ}).to_string();
        let token = CURRENT.sign(&header, &connect_claims().to_string());
        connect_bearer(verify(TokenKind::Connect, &token).unwrap()).err()
    };
    for typ in ["JWT", "at+jwt", "AT+JWT", "application/at+jwt"] {
        assert_eq!(error(typ), None, "{typ}");
    }
    for typ in ["logout+jwt", "secevent+jwt", "oauth-authz-req+jwt", "at+jwt+x", ""] {
        assert_eq!(error(typ), Some(TokenError::Kind), "{typ}");
    }
}

#[test]
fn connect_token_grants_access_by_audience_and_scopes() {
    let resource = format!("{ORIGIN}/mcp");
    let machine = json!({"sub": "client_machine", "client_id": "client_machine"});
    let user = json!({});
    for (who, aud, scope, expected) in [
        // A client of this resource has full access, unless its token has scopes of this resource.
        (&user, json!(resource), "openid profile", Granted::Everything),
        (&user, json!(ORIGIN), "", Granted::Everything),
        (&user, json!([CLIENT_ID, resource]), "openid", Granted::Everything),
        (&user, json!(resource), "openid expenses:read", Granted::Scopes),
        (&user, json!(resource), "expenses:approve", Granted::Scopes),
        // A client of the environment has the access that its scopes name.
        (&user, json!(CLIENT_ID), "openid", Granted::Nothing),
        (&user, json!(CLIENT_ID), "", Granted::Nothing),
        (&user, json!(CLIENT_ID), "expenses:approve", Granted::Nothing),
        (&user, json!(CLIENT_ID), "expenses:write", Granted::Scopes),
        // A machine has the access that its scopes name, with any audience.
        (&machine, json!(resource), "openid", Granted::Scopes),
        (&machine, json!(CLIENT_ID), "", Granted::Scopes),
        (&machine, json!(ORIGIN), "expenses:read", Granted::Scopes),
    ] {
        let claims = changed(&connect_claims(), json!({"aud": aud, "scope": scope}));
        let claims = as_connect(&changed(&claims, who.clone())).unwrap();
        assert_eq!(claims.granted, expected, "{who} {aud} {scope}");
        assert_eq!(claims.is_machine(), *who == machine);
    }
    let without_scope = changed(&connect_claims(), json!({"scope": null}));
    assert_eq!(as_connect(&without_scope).unwrap().granted, Granted::Everything);
}

#[test]
fn claims_allow_scopes_by_their_grant() {
    let with = |aud: &str, scope: &str| {
        as_connect(&changed(&connect_claims(), json!({"aud": aud, "scope": scope}))).unwrap()
    };
    let reader = with(CLIENT_ID, "openid  expenses:read");
    assert!(reader.allows("expenses:read") && !reader.allows("expenses:write"));
    assert!(!reader.allows("expenses") && !reader.allows("") && !reader.allows_nothing());
    let nothing = with(CLIENT_ID, "openid");
    assert!(nothing.allows_nothing() && !nothing.allows("openid"));
    let everything = with(ORIGIN, "openid");
    assert!(everything.allows("expenses:write") && !everything.allows_nothing());
    assert!(as_session(&session_claims(), &[]).unwrap().allows("expenses:write"));
}

#[test]
fn session_with_permissions_of_the_resource_is_limited_to_them() {
    for as_caller in [as_cookie, as_session] {
        let with = |permissions: Value| {
            let claims = changed(&session_claims(), json!({"permissions": permissions}));
            as_caller(&claims, &[]).unwrap()
        };
        for permissions in [json!([]), json!(["members:manage", "expense:read"]), json!("x")] {
            let claims = with(permissions);
            assert!(claims.allows("expenses:read") && claims.allows("expenses:write"));
            assert!(!claims.lacks_permission("expenses:write"));
        }
        let reader = with(json!(["members:manage", "expenses:read"]));
        assert!(reader.allows("expenses:read") && !reader.allows("expenses:write"));
        assert!(reader.lacks_permission("expenses:write") && !reader.allows_nothing());
        // A permission that this version does not check.
        let other = with(json!(["expenses:approve"]));
        assert!(!other.allows("expenses:read") && !other.allows_nothing());
        let both = with(json!(["expenses:read", "expenses:write"]));
        assert!(both.allows("expenses:read") && both.allows("expenses:write"));
    }
}

#[test]
fn permissions_limit_the_clients_of_a_user() {
    let reader = json!(["members:manage", "expenses:read"]);
    let with = |changes: Value| {
        let claims = changed(&connect_claims(), json!({"permissions": reader, "aud": ORIGIN}));
        as_connect(&changed(&claims, changes)).unwrap()
    };
    let full = with(json!({"scope": "openid"}));
    assert!(full.allows("expenses:read") && !full.allows("expenses:write"));
    assert!(full.lacks_permission("expenses:write"));
    let writer = with(json!({"scope": "expenses:write"}));
    assert!(!writer.allows("expenses:write") && !writer.allows("expenses:read"));
    assert!(!writer.lacks_permission("expenses:read"));
    // A machine has no role.
    let machine = json!({"sub": "client_m", "client_id": "client_m", "scope": "expenses:write"});
    assert!(with(machine).allows("expenses:write"));
}

#[test]
fn session_is_never_taken_for_a_machine() {
    let machine =
        json!({"sub": "client_m", "client_id": "client_m", "permissions": ["expenses:read"]});
    let claims = changed(&session_claims(), machine);
    assert!(!as_cookie(&claims, &[]).unwrap().allows("expenses:write"));
}

#[test]
fn permissions_limit_no_session_without_a_prefix() {
    let claims = changed(&session_claims(), json!({"permissions": ["expenses:read"]}));
    let signed = signed(TokenKind::Session, &claims);
    let resource = ProtectedResource::default();
    assert!(signed.of_cookie(&config(&[]), &resource, noon()).unwrap().allows("expenses:write"));
}

#[test]
fn machine_token_has_its_client_as_subject() {
    let machine = json!({"sub": "client_m", "client_id": "client_m", "scope": "expenses:read"});
    assert!(as_connect(&changed(&connect_claims(), machine.clone())).unwrap().is_machine());
    assert!(!as_connect(&connect_claims()).unwrap().is_machine());
    let session = changed(&session_claims(), json!({"sub": "client_m", "client_id": "client_m"}));
    assert!(!as_cookie(&session, &[]).unwrap().is_machine());
}
