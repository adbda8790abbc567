//! What can differ in wasm: randomness, time, cryptography with Web Crypto's signatures, and the width of `usize`. wasm-bindgen's test runner
//! runs these tests under Node; all other tests run natively.

#![cfg(target_arch = "wasm32")]
#![allow(clippy::unwrap_used)]

use authkit_edge::{
    expenses::{amount::Amount, model::ExpenseId},
    fastapi::expense,
};
use axum_authkit::{
    AuthKitConfig, ProtectedResource,
    keys::KeySet,
    seal::{OpenError, Purpose, Sealer},
    secret::Secret,
    session::Session,
    sign_in::{PendingSignIn, ReturnTo, SignInState},
    token::{SignatureCheckError, SignedClaims, TokenError, TokenKind, UntrustedToken},
    workos::JwkSet,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Duration, Utc};
use edge_host::{
    Clock, RsaPublicKey, SignatureVerifier,
    hash::SeededState,
    random_bytes,
    workers::{self, clock::WorkersClock, signature::WorkersSignatureVerifier},
};
use serde::Deserialize;
use std::{hash::BuildHasher, sync::Once};
use wasm_bindgen_test::wasm_bindgen_test as test;

/// A token, and the key set that verifies it; the token expired at the end of 2026-11-23.
const TOKEN: &str = include_str!("../crates/authkit/tests/vectors/token.jwt");
const KEY_SET: &str = include_str!("../crates/authkit/tests/vectors/jwks.json");

/// Valid and invalid signatures.
const SIGNATURES: &str = include_str!("../crates/edge/tests/signatures.json");

#[derive(Deserialize)]
struct SignatureVectors {
    signatures: Vec<SignatureVector>,
}

#[derive(Deserialize)]
struct SignatureVector {
    name: String,
    modulus: String,
    message: String,
    signature: String,
    is_valid: bool,
}

fn config() -> AuthKitConfig {
    AuthKitConfig::from_lookup(|name| match name {
        "WORKOS_API_KEY" => Some("sk_test".to_owned()),
        "WORKOS_CLIENT_ID" => Some("client_test".to_owned()),
        "WORKOS_COOKIE_PASSWORD" => Some("a password of at least 32 characters".to_owned()),
        _ => None,
    })
    .unwrap()
}

fn sealer() -> Sealer {
    Sealer::new(Purpose::Session, &config().cookie_password, None)
}

fn noon() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_435_200, 0).unwrap()
}

#[test]
fn random_bytes_differ_between_calls() {
    let first: [u8; 32] = random_bytes();
    assert_ne!(first, [0; 32]);
    assert_ne!(first, random_bytes::<32>());
}

#[test]
fn clock_returns_the_current_time() {
    let now = WorkersClock.now();
    assert!(now > DateTime::from_timestamp(1_700_000_000, 0).unwrap(), "{now}");
}

#[test]
fn sealed_value_opens() {
    let sealed = sealer().seal(b"hello");
    assert_eq!(sealer().open(&sealed).unwrap().plaintext, b"hello");
}

#[test]
fn sealing_twice_gives_different_values() {
    assert_ne!(sealer().seal(b"hello"), sealer().seal(b"hello"));
}

#[test]
fn open_refuses_a_flipped_bit() {
    let sealed = sealer().seal(b"hello");
    let first = if sealed.starts_with('A') { "B" } else { "A" };
    let flipped = format!("{first}{}", &sealed[1..]);
    assert_eq!(sealer().open(&flipped), Err(OpenError::Refused));
}

#[test]
fn natively_sealed_session_opens_in_wasm() {
    let sealed = include_str!("../crates/authkit/tests/vectors/sealed-session.txt").trim();
    let session = Session::open(sealed, &sealer()).unwrap().session;
    assert_eq!(session.access_token.expose(), "access");
    assert_eq!(session.refresh_token, Secret::from("refresh"));
    assert_eq!(session.user.unwrap().email, "ada@example.com");
}

/// Connects the host's JavaScript to this module, as a Worker's entry does.
fn connect_host() {
    static CONNECTED: Once = Once::new();
    /// No test sends a request.
    extern "C" fn prepare(_: u32) -> u32 {
        0
    }
    CONNECTED.call_once(|| workers::start(prepare));
}

async fn verify(token: &str) -> Result<SignedClaims, SignatureCheckError> {
    connect_host();
    let keys: JwkSet = serde_json::from_str(KEY_SET).unwrap();
    let keys = KeySet::from(keys);
    let token = UntrustedToken::parse(token).unwrap();
    let key = keys.find(token.kid()).unwrap();
    token.verify_signature(TokenKind::Session, key, &WorkersSignatureVerifier).await
}

#[test]
async fn verify_accepts_a_token_and_refuses_a_modified_one() {
    let signed = verify(TOKEN.trim()).await.unwrap();
    let claims = signed.of_cookie(&config(), &ProtectedResource::default(), noon()).unwrap();
    assert_eq!(claims.claims().sub, "user_ada");
    assert!(!claims.is_expired(noon()));
    assert!(claims.is_expired(noon() + Duration::days(1)));

    let (signed, signature) = TOKEN.trim().rsplit_once('.').unwrap();
    let first = if signature.starts_with('A') { "B" } else { "A" };
    let changed = format!("{signed}.{first}{}", &signature[1..]);
    let error = verify(&changed).await.unwrap_err();
    assert_eq!(error, TokenError::Signature.into());
}

/// The same vectors as in the memory host's test.
#[test]
async fn web_crypto_verifies_as_the_memory_host() {
    connect_host();
    let vectors: SignatureVectors = serde_json::from_str(SIGNATURES).unwrap();
    for vector in vectors.signatures {
        let [modulus, message, signature] = [&vector.modulus, &vector.message, &vector.signature]
            .map(|text| URL_SAFE_NO_PAD.decode(text).unwrap());
        let key = RsaPublicKey::new(&modulus, &RsaPublicKey::EXPONENT).unwrap();
        let outcome = WorkersSignatureVerifier.verify_rs256(&key, &message, &signature).await;
        assert_eq!(outcome, Ok(vector.is_valid), "{}", vector.name);
    }
}

#[test]
fn sign_ins_share_no_random_values() {
    let sealer = Sealer::new(
        Purpose::SignInState,
        &Secret::from("a password of at least 32 characters"),
        None,
    );
    let begin = || {
        let state = SignInState::new(ReturnTo::default(), false, &sealer);
        let pending = PendingSignIn::begin(&state, noon());
        (state, pending)
    };
    let ((first, first_pending), (second, second_pending)) = (begin(), begin());
    assert_ne!(first.as_str(), second.as_str());
    assert_ne!(first_pending.code_challenge(), second_pending.code_challenge());
}

#[test]
fn ids_sort_newest_first() {
    let older = ExpenseId::new(noon()).to_string();
    let newer = ExpenseId::new(noon() + Duration::milliseconds(1)).to_string();
    assert!(newer < older);
}

#[test]
fn largest_amount_is_exact() {
    assert_eq!(Amount::parse("9999999999.99").unwrap().to_string(), "9999999999.99");
}

#[test]
fn limit_past_32_bits_is_refused() {
    assert!(expense::parse_list_query("limit=4294967297").is_err());
    assert!(expense::parse_list_query("limit=99999999999999999999").is_err());
}

/// std's maps fail this test here: they have no randomness on this target.
#[test]
fn maps_hash_one_key_differently() {
    let [one, other] = [SeededState::default(), SeededState::default()];
    assert_ne!(one.hash_one("key"), other.hash_one("key"));
}
