//! Property tests for sealing, cookies, `return_to`, sessions and tokens. proptest prints a failing case in
//! its smallest form. Add it as a unit test beside the code; no file stores failing cases.

#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, missing_docs)]

use std::{collections::BTreeMap, sync::LazyLock};

use axum_authkit::{
    AuthKitConfig, ProtectedResource,
    config::{CookieConfig, SameSite},
    cookie::{COOKIE_MAX_BYTES, MAX_PARTS, RequestCookies, SessionCookie, TooLong},
    keys::KeySet,
    origin::RequestOrigin,
    seal::{OpenError, Opened, Purpose, Sealer},
    secret::Secret,
    session::Session,
    sign_in::{ReturnTo, SignInCookies, SignInState},
    token::{SignatureCheckError, SignedClaims, TokenError, TokenKind, UntrustedToken},
    user::{Impersonator, User},
    workos::JwkSet,
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use chrono::{DateTime, Utc};
use edge_host::memory::MemorySignatureVerifier;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, header};
use proptest::{collection::vec, option, prelude::*, sample::select};
use rsa::{
    Pkcs1v15Sign, RsaPrivateKey,
    pkcs8::DecodePrivateKey,
    sha2::{Digest, Sha256},
};
use url::Url;

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

// Sealing.

const PURPOSES: [Purpose; 6] = [
    Purpose::Session,
    Purpose::SignIn,
    Purpose::SessionKeeper,
    Purpose::KeySet,
    Purpose::Application("one"),
    Purpose::Application("another"),
];

/// Characters of both base64 alphabets, and the padding.
const BASE64: &[char] = &['A', 'B', 'Q', 'g', 'w', '/', '+', '=', '-', '_', '0'];

fn password() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~]{32,80}", "[0-9a-fA-F]{64}", "\\PC{32,40}"]
}

/// Two passwords with different keys. Hex passwords that differ only in case have the same key.
fn two_passwords() -> impl Strategy<Value = (Secret, Secret)> {
    let near = (password(), any::<prop::sample::Index>()).prop_map(|(password, index)| {
        let mut other: Vec<char> = password.chars().collect();
        let changed = &mut other[index.index(password.chars().count())];
        *changed = if *changed == '0' { '1' } else { '0' };
        (password, other.into_iter().collect())
    });
    prop_oneof![(password(), password()), near]
        .prop_filter("the same key", |(one, other)| !one.eq_ignore_ascii_case(other))
        .prop_map(|(one, other)| (one.into(), other.into()))
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 0..64), vec(any::<u8>(), 0..3000)]
}

fn few_bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..40)
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn sealed_value_opens_with_either_password(
        (password, previous) in two_passwords(),
        purpose in select(&PURPOSES[..]),
        plaintext in bytes(),
    ) {
        let both = Sealer::new(purpose, &password, Some(&previous));
        for (sealed_by, by_previous_password) in [(&password, false), (&previous, true)] {
            let sealed = Sealer::new(purpose, sealed_by, None).seal(&plaintext);
            let opened = Opened { plaintext: plaintext.clone(), by_previous_password };
            prop_assert_eq!(both.open(&sealed), Ok(opened));
        }
        let resealed = Sealer::new(purpose, &password, None).open(&both.seal(&plaintext));
        prop_assert_eq!(resealed.unwrap().plaintext, plaintext);
    }

    #[test]
    fn open_refuses_another_password_or_purpose(
        (password, other) in two_passwords(),
        sealed_for in select(&PURPOSES[..]),
        opened_for in select(&PURPOSES[..]),
        plaintext in few_bytes(),
    ) {
        let sealed = Sealer::new(sealed_for, &password, None).seal(&plaintext);
        let with_other = Sealer::new(opened_for, &other, None);
        prop_assert_eq!(with_other.open(&sealed), Err(OpenError::Refused));
        if opened_for != sealed_for {
            for previous in [None, Some(&password), Some(&other)] {
                let for_other = Sealer::new(opened_for, &password, previous);
                prop_assert_eq!(for_other.open(&sealed), Err(OpenError::Refused));
            }
        }
    }

    #[test]
    fn open_refuses_a_changed_or_added_byte(
        password in password(),
        plaintext in few_bytes(),
        difference in 1..=u8::MAX,
        character in prop_oneof![select(BASE64), any::<char>()],
    ) {
        let sealer = Sealer::new(Purpose::Session, &password.into(), None);
        let text = sealer.seal(&plaintext);
        let sealed = STANDARD.decode(&text).unwrap();
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= difference;
            let changed = sealer.open(&STANDARD.encode(changed));
            prop_assert_eq!(changed, Err(OpenError::Refused), "byte {}", index);
        }
        let character = character.to_string();
        for (index, was) in text.char_indices() {
            let mut changed = text.clone();
            changed.replace_range(index..=index, &character);
            if !character.starts_with(was) {
                prop_assert!(sealer.open(&changed).is_err(), "character {}: {}", index, changed);
            }
        }
        for index in 0..=text.len() {
            let mut longer = text.clone();
            longer.insert_str(index, &character);
            prop_assert!(sealer.open(&longer).is_err(), "before {}: {}", index, longer);
        }
    }

    #[test]
    fn open_refuses_a_part_of_a_sealed_value(password in password(), plaintext in few_bytes()) {
        let sealer = Sealer::new(Purpose::Session, &password.into(), None);
        let text = sealer.seal(&plaintext);
        let sealed = STANDARD.decode(&text).unwrap();
        for index in 1..=sealed.len() {
            prop_assert!(sealer.open(&STANDARD.encode(&sealed[index..])).is_err());
            prop_assert!(sealer.open(&STANDARD.encode(&sealed[..sealed.len() - index])).is_err());
        }
        for index in 1..=text.len() {
            prop_assert!(sealer.open(&text[index..]).is_err());
            prop_assert!(sealer.open(&text[..text.len() - index]).is_err());
        }
    }
}

// Cookies.

/// `cookie-octet` of RFC 6265, section 4.1.1.
static COOKIE_OCTETS: LazyLock<Vec<char>> = LazyLock::new(|| {
    ('!'..='~').filter(|octet| !matches!(octet, '"' | ',' | ';' | '\\')).collect()
});

fn cookie_config() -> impl Strategy<Value = CookieConfig> {
    let same_site = select(&[SameSite::Lax, SameSite::Strict, SameSite::None][..]);
    ("[!#$%&'*+.^_`|~0-9A-Za-z-]{1,40}", 1..=u32::MAX, option::of("[a-z0-9.-]{1,60}"), same_site)
        .prop_map(|(name, max_age_secs, domain, same_site)| CookieConfig {
            name: Some(name),
            max_age_secs,
            domain,
            same_site,
        })
}

fn origin(secure: bool) -> RequestOrigin {
    let url = if secure { "https://app.test" } else { "http://localhost" };
    RequestOrigin::of_url(Url::parse(url).unwrap()).unwrap()
}

/// The number of bytes of a value that fit into one part.
fn part_bytes(cookie: &SessionCookie<'_>) -> usize {
    let empty = cookie.write("", &RequestCookies::default()).unwrap();
    COOKIE_MAX_BYTES - empty[0].len() - ".0".len()
}

/// Every value that the request holds for the cookie.
fn read_cookie(cookie: &SessionCookie<'_>, headers: &HeaderMap) -> Vec<String> {
    cookie.read(&RequestCookies::from_headers(headers), |value| Some(value.to_owned()))
}

/// A cookie and a value for it. Many values have a length near the limits of the parts.
fn cookie_and_value() -> impl Strategy<Value = (CookieConfig, bool, String)> {
    (cookie_config(), any::<bool>()).prop_flat_map(|(config, secure)| {
        let room = part_bytes(&config.session_cookie(&origin(secure)));
        let near_an_edge = (1..=MAX_PARTS, 0..6_usize)
            .prop_map(move |(parts, less)| (parts * room + 3 - less).min(MAX_PARTS * room));
        let length = prop_oneof![1..100_usize, near_an_edge, 1..=MAX_PARTS * room];
        let value = length.prop_perturb(|length, mut random| {
            let octets = &*COOKIE_OCTETS;
            let octet = |_| octets[usize::from(random.next_u32() as u16) % octets.len()];
            (0..length).map(octet).collect()
        });
        (Just(config), Just(secure), value)
    })
}

/// A browser's cookies for one origin.
#[derive(Debug, Clone, PartialEq)]
struct Jar(BTreeMap<String, String>);

/// Cookies in the jar before a test: stale forms and parts of the session cookie, and unrelated cookies.
fn leftovers() -> impl Strategy<Value = Vec<(String, String)>> {
    let suffix = prop_oneof![
        Just(String::new()),
        (0..MAX_PARTS).prop_map(|index| format!(".{index}")),
        select(&[".8", ".00", ".", ".0.0", "-sign-in-x", "0"][..]).prop_map(str::to_owned),
    ];
    vec((suffix, "[!#-+.-:<-\\[\\]-~--]{0,20}"), 0..14)
}

impl Jar {
    fn with(name: &str, leftovers: Vec<(String, String)>) -> Self {
        let named = leftovers.into_iter().map(|(suffix, value)| (format!("{name}{suffix}"), value));
        Self(named.collect())
    }

    fn headers(&self) -> HeaderMap {
        let pairs: Vec<_> = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut headers = HeaderMap::new();
        if !pairs.is_empty() {
            headers.insert(header::COOKIE, HeaderValue::try_from(pairs.join("; ")).unwrap());
        }
        headers
    }

    /// Stores a response's `Set-Cookie` headers as a browser does. The jar holds the cookies of the
    /// configured domain; for other domains only removals are valid.
    fn take(
        &mut self,
        headers: &[HeaderValue],
        config: &CookieConfig,
        secure: bool,
    ) -> Result<(), TestCaseError> {
        for header in headers {
            let text = header.to_str().unwrap();
            prop_assert!(text.len() <= COOKIE_MAX_BYTES, "a browser drops {} bytes", text.len());
            let mut attributes = text.split("; ");
            let (name, value) = attributes.next().unwrap().split_once('=').unwrap();
            let attributes: Vec<_> = attributes.map(str::to_owned).collect();
            let removes = attributes.iter().any(|attribute| attribute == "Max-Age=0");
            let domain = attributes.iter().find_map(|attribute| attribute.strip_prefix("Domain="));
            let is_elsewhere = domain != config.domain.as_deref();
            prop_assert!(removes || !is_elsewhere, "{text}");
            let max_age_secs = if removes { 0 } else { config.max_age_secs };
            let same_site = match config.same_site {
                SameSite::None if !secure => SameSite::Lax,
                same_site => same_site,
            };
            let mut expected = vec![
                "Path=/".to_owned(),
                format!("Max-Age={max_age_secs}"),
                format!("SameSite={same_site}"),
                "HttpOnly".to_owned(),
            ];
            expected.extend(domain.map(|domain| format!("Domain={domain}")));
            expected.extend(secure.then(|| "Secure".to_owned()));
            prop_assert_eq!(&attributes, &expected);
            if is_elsewhere {
                continue;
            }
            if removes {
                prop_assert_eq!(value, "");
                self.0.remove(name);
            } else {
                self.0.insert(name.to_owned(), value.to_owned());
            }
        }
        Ok(())
    }

    /// Removes the cookie called `name` and its parts, and returns them.
    fn remove_forms_of(&mut self, name: &str) -> BTreeMap<String, String> {
        let parts: Vec<_> = (0..MAX_PARTS).map(|index| format!("{name}.{index}")).collect();
        self.0.extract_if(.., |other, _| other == name || parts.contains(other)).collect()
    }
}

proptest! {
    #![proptest_config(cases(512))]

    #[test]
    fn cookie_value_round_trips_with_any_jar(
        (config, secure, value) in cookie_and_value(),
        leftovers in leftovers(),
    ) {
        let origin = origin(secure);
        let cookie = config.session_cookie(&origin);
        let (name, _) = config.names(secure);
        let mut jar = Jar::with(name, leftovers);
        let mut others = jar.clone();
        others.remove_forms_of(name);

        let headers = jar.headers();
        let written = cookie.write(&value, &RequestCookies::from_headers(&headers)).unwrap();
        jar.take(&written, &config, secure)?;
        let headers = jar.headers();
        prop_assert_eq!(read_cookie(&cookie, &headers), [value.as_str()]);

        let forms = jar.clone().remove_forms_of(name);
        let held: usize = forms.values().map(String::len).sum();
        prop_assert_eq!(held, value.len(), "stale: {:?}", forms.keys());

        let removed = cookie.remove(&RequestCookies::from_headers(&headers));
        jar.take(&removed, &config, secure)?;
        prop_assert_eq!(jar, others);
    }

    #[test]
    fn cookie_value_is_limited_to_eight_full_parts(
        config in cookie_config(),
        secure in any::<bool>(),
        more in 1..9_usize,
    ) {
        let origin = origin(secure);
        let cookie = config.session_cookie(&origin);
        let most = MAX_PARTS * part_bytes(&cookie);
        let write = |length| cookie.write(&"x".repeat(length), &RequestCookies::default());
        prop_assert_eq!(write(most).map(|headers| headers.len()), Ok(MAX_PARTS));
        prop_assert_eq!(write(most + more), Err(TooLong));
    }

    #[test]
    fn cookie_header_never_panics(
        values in vec(vec(any::<u8>(), 0..80), 0..4),
        leftovers in leftovers(),
        state in any::<String>(),
    ) {
        let config = &CONFIG.cookie;
        let (name, _) = config.names(true);
        let mut headers = Jar::with(name, leftovers).headers();
        for value in values.iter().filter_map(|value| HeaderValue::from_bytes(value).ok()) {
            headers.append(header::COOKIE, value);
        }
        let cookies = RequestCookies::from_headers(&headers);
        let origin = origin(true);
        let cookie = config.session_cookie(&origin);
        prop_assert!(cookie.read(&cookies, |value| Session::open(value, &SEALER).ok()).is_empty());
        let base = Url::parse(BASES[0]).unwrap();
        prop_assert!(SignInState::open(&state, &base, &SEALER).is_none());
        let state = SignInState::new(ReturnTo::default(), false, &SEALER);
        let slots = SignInCookies::new(name, true);
        prop_assert!(slots.find(&state, &cookies, &SEALER, noon()).is_none());
        prop_assert!(slots.choose(&cookies, &SEALER, noon()) < 10);
        let mut jar = Jar(BTreeMap::new());
        jar.take(&cookie.remove(&cookies), config, true)?;
    }

    /// A script on another host of the domain can set any cookie with `document.cookie`.
    #[test]
    fn unrelated_cookie_never_hides_the_session(other in "\\PC{0,20}") {
        prop_assume!(!other.contains(';'));
        let mut headers = HeaderMap::new();
        let sent = HeaderValue::from_bytes(format!("theme={other}; wos-session=x").as_bytes());
        headers.insert(header::COOKIE, sent.unwrap());
        prop_assert_eq!(read_cookie(&CONFIG.cookie.session_cookie(&origin(true)), &headers), ["x"]);
    }
}

// `return_to`.

/// Pieces of URLs that browsers, proxies and parsers interpret differently.
#[rustfmt::skip]
const NASTY: &[&str] = &[
    "/",
    "/",
    "//",
    "///",
    "\\",
    "/\\",
    "\t",
    "\n",
    "\r",
    "\0",
    " ",
    "\u{7f}",
    "\u{85}",
    "\u{a0}",
    "\u{feff}",
    "\u{2028}",
    "\u{202e}",
    "%",
    "%2f",
    "%2F",
    "%5c",
    "%09",
    "%00",
    "%2e",
    "%2E%2e",
    ".",
    "..",
    "/..",
    "/../",
    "/./",
    "./",
    "@",
    ":",
    "user:pw@",
    ":80",
    ":443",
    "?",
    "#",
    "&",
    "=",
    ";",
    "[",
    "]",
    "|",
    "'",
    "\"",
    "<",
    "javascript:",
    "data:",
    "https:",
    "http://",
    "file:",
    "evil.test",
    "app.test",
    "localhost",
    "é",
    "／",
    "＼",
    "．",
    "。",
    "℀",
    "😀",
    "login",
    "logout",
    "callback",
    "C:",
    "expenses",
];

/// AuthKit's authorization URL carries `state`, and URLs of 2,000 bytes work everywhere.
const STATE_MAX_BYTES: usize = 1536;

const BASES: &[&str] = &[
    "https://app.test/",
    "https://app.test/login?return_to=%2F#x",
    "https://app.test:8443/a/b/c",
    "http://localhost:8787/",
    "http://[::1]:8787/a/../b",
    "http://127.0.0.1/",
    "https://xn--bcher-kva.test/",
];

fn nasty() -> impl Strategy<Value = String> {
    let pieces = vec(select(NASTY), 0..10).prop_map(|pieces| pieces.concat());
    let mixed = vec(prop_oneof![select(NASTY).prop_map(str::to_owned), "\\PC{1,3}"], 0..10)
        .prop_map(|pieces| pieces.concat());
    prop_oneof![
        3 => pieces.prop_map(|rest| format!("/{rest}")),
        2 => mixed.prop_map(|rest| format!("/{rest}")),
        1 => vec(select(NASTY), 0..10).prop_map(|pieces| pieces.concat()),
        1 => any::<String>(),
        1 => any::<String>().prop_map(|rest| format!("/{rest}")),
    ]
}

fn stays_here(value: &str, base: &Url) -> Result<(), TestCaseError> {
    let Some(return_to) = ReturnTo::parse(value, base) else { return Ok(()) };
    let path = return_to.path().unwrap();
    prop_assert!(path.starts_with('/') && !path.starts_with("//"), "{:?}", path);
    prop_assert!(!path.contains('\\') && !path.contains(char::is_control), "{:?}", path);
    // The path must also be a valid `Location`.
    prop_assert!(path.bytes().all(|byte| byte.is_ascii_graphic()), "{:?}", path);

    let url = base.join(path).unwrap();
    prop_assert!(url.origin().is_tuple() && url.origin() == base.origin(), "{}", url);
    prop_assert!(url.username().is_empty() && url.password().is_none(), "{}", url);
    prop_assert!(!["/login", "/logout", "/callback"].contains(&url.path()), "{}", url);
    prop_assert_eq!(ReturnTo::parse(path, base), Some(return_to));
    Ok(())
}

proptest! {
    #![proptest_config(cases(8192))]

    #[test]
    fn return_to_never_leaves_the_origin(value in nasty(), base in select(BASES)) {
        stays_here(&value, &Url::parse(base).unwrap())?;
    }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn return_to_round_trips_through_state(
        value in "/([ -~]{0,2047}|[à-ÿ]{0,1023}|[一-龥]{0,682})",
        base in select(BASES),
    ) {
        let base = Url::parse(base).unwrap();
        stays_here(&value, &base)?;
        if let Some(return_to) = ReturnTo::parse(&value, &base) {
            let state = SignInState::new(return_to, true, &SEALER);
            prop_assert!(state.as_str().len() <= STATE_MAX_BYTES, "{}", state.as_str().len());
            prop_assert_eq!(SignInState::open(state.as_str(), &base, &SEALER), Some(state));
        }
    }
}

// Sessions and tokens.

static CONFIG: LazyLock<AuthKitConfig> = LazyLock::new(|| {
    AuthKitConfig::from_lookup(|name| match name {
        "WORKOS_API_KEY" => Some("sk_test".to_owned()),
        "WORKOS_CLIENT_ID" => Some("client_test".to_owned()),
        "WORKOS_COOKIE_PASSWORD" => Some("a password of at least 32 characters".to_owned()),
        _ => None,
    })
    .unwrap()
});
static SEALER: LazyLock<Sealer> =
    LazyLock::new(|| Sealer::new(Purpose::Session, &CONFIG.cookie_password, None));
static KEYS: LazyLock<KeySet> = LazyLock::new(|| {
    KeySet::from(serde_json::from_str::<JwkSet>(include_str!("vectors/jwks.json")).unwrap())
});
static PRIVATE_KEY: LazyLock<RsaPrivateKey> = LazyLock::new(|| {
    RsaPrivateKey::from_pkcs8_pem(include_str!("vectors/keys/current.pem")).unwrap()
});

fn verify(token: &UntrustedToken<'_>) -> Result<SignedClaims, TokenError> {
    let key = KEYS.find("key_current").unwrap();
    let verified = token.verify_signature(TokenKind::Session, key, &MemorySignatureVerifier);
    verified.now_or_never().unwrap().map_err(|error| match error {
        SignatureCheckError::Token(error) => error,
        SignatureCheckError::Host(error) => panic!("{error}"),
    })
}

fn noon() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_435_200, 0).unwrap()
}

fn session() -> impl Strategy<Value = Session> {
    let user = (any::<[String; 5]>(), any::<[Option<String>; 3]>(), any::<bool>()).prop_map(
        |([object, id, email, created_at, updated_at], [first, last, picture], email_verified)| {
            User {
                object,
                id,
                email,
                email_verified,
                first_name: first,
                last_name: last,
                profile_picture_url: picture,
                created_at,
                updated_at,
            }
        },
    );
    let impersonator = any::<(String, Option<String>)>()
        .prop_map(|(email, reason)| Impersonator { email, reason });
    (any::<[String; 2]>(), option::of(user), option::of(impersonator)).prop_map(
        |([access_token, refresh_token], user, impersonator)| Session {
            access_token: access_token.into(),
            refresh_token: refresh_token.into(),
            user,
            impersonator,
        },
    )
}

/// Numbers at the limits of each range, and values of a token's header.
#[rustfmt::skip]
const LEAVES: &[&str] = &[
    "0", "-1", "-0", "1795435199", "1795435201", "9999999999", "8210266876799", "8210266876800",
    "-8334601228800", "9223372036854775807", "-9223372036854775808", "18446744073709551615",
    "18446744073709551616", "1e9", "1.5e9", "1e400", "-1e400", "null", "true", "[]", "{}",
    "\"user_ada\"", "\"RS256\"", "\"key_current\"",
];

/// Names of token members, and names with a special meaning in `serde_json`.
#[rustfmt::skip]
const MEMBERS: &[&str] = &[
    "alg", "kid", "typ", "crit", "exp", "nbf", "iat", "sub", "sid", "iss", "roles", "act",
    "impersonator", "email", "$serde_json::private::Number", "$serde_json::private::RawValue",
];

/// JSON with members of tokens, of any type.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        3 => select(LEAVES).prop_map(str::to_owned),
        1 => any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        let member = (select(MEMBERS), inner.clone())
            .prop_map(|(name, value)| format!("\"{name}\":{value}"));
        prop_oneof![
            1 => vec(inner, 0..4).prop_map(|values| format!("[{}]", values.join(","))),
            3 => vec(member, 0..6).prop_map(|members| format!("{{{}}}", members.join(","))),
        ]
    })
}

/// Tokens with an invalid signature: any text, text in the form of a token, and tokens with JSON parts.
fn token() -> impl Strategy<Value = String> {
    let encode = |part: &[u8]| URL_SAFE_NO_PAD.encode(part);
    let header = prop_oneof![
        json(),
        Just(r#"{"alg":"RS256","kid":"key_current"}"#.to_owned()),
        Just(r#"{"alg":"RS256"}"#.to_owned()),
        json().prop_map(|kid| format!(r#"{{"alg":"RS256","kid":{kid}}}"#)),
        json().prop_map(|crit| format!(r#"{{"alg":"RS256","kid":"key_current","crit":{crit}}}"#)),
    ];
    prop_oneof![
        any::<String>(),
        "[A-Za-z0-9_=.-]{0,80}",
        (few_bytes(), few_bytes(), few_bytes()).prop_map(move |(header, payload, signature)| {
            [encode(&header), encode(&payload), encode(&signature)].join(".")
        }),
        (header, json(), vec(any::<u8>(), 256)).prop_map(move |(header, payload, signature)| {
            [encode(header.as_bytes()), encode(payload.as_bytes()), encode(&signature)].join(".")
        }),
    ]
}

proptest! {
    #![proptest_config(cases(512))]

    #[test]
    fn session_round_trips_through_its_seal(session in session()) {
        prop_assert_eq!(Session::open(&session.seal(&SEALER), &SEALER).unwrap().session, session);
    }

    #[test]
    fn session_open_never_panics(
        text in prop_oneof![any::<String>(), "[A-Za-z0-9+/]{36,80}={0,2}"],
        plaintext in prop_oneof![bytes(), json().prop_map(String::into_bytes)],
    ) {
        prop_assert!(Session::open(&text, &SEALER).is_err());
        if let Ok(opened) = Session::open(&SEALER.seal(&plaintext), &SEALER) {
            prop_assert_eq!(&Session::open(&opened.session.seal(&SEALER), &SEALER), &Ok(opened));
        }
    }

    #[test]
    fn token_without_a_valid_signature_is_refused(text in token()) {
        if let Ok(token) = UntrustedToken::parse(&text) {
            prop_assert!(!token.kid().is_empty());
            let _ = token.session_id_unverified();
            let verified = verify(&token).map(|_| ());
            // The parser reads the payload before it checks the signature.
            prop_assert!(matches!(verified, Err(TokenError::Signature | TokenError::Malformed)));
        }
    }
}

proptest! {
    // Fewer cases, because each one signs a token.
    #![proptest_config(cases(128))]

    #[test]
    fn signed_payload_never_panics(
        payload in prop_oneof![
            few_bytes(),
            json().prop_map(String::into_bytes),
            json().prop_map(|sub| format!(r#"{{"exp":1795478399,"sub":{sub}}}"#).into_bytes()),
            (json(), json(), json()).prop_map(|(exp, nbf, sub)| {
                format!(r#"{{"exp":{exp},"nbf":{nbf},"sub":{sub}}}"#).into_bytes()
            }),
        ],
    ) {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","kid":"key_current"}"#);
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(&payload));
        let digest = Sha256::digest(&signed);
        let signature = PRIVATE_KEY.sign(Pkcs1v15Sign::new::<Sha256>(), &digest).unwrap();
        let text = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
        let token = UntrustedToken::parse(&text).unwrap();
        match verify(&token) {
            Ok(signed) => {
                if let Ok(claims) = signed.clone().of_cookie(&CONFIG, &ProtectedResource::default(), noon()) {
                    prop_assert!(!claims.claims().sub.is_empty());
                }
                // Without an issuer, a bearer token is not a session token.
                prop_assert!(signed.of_session_bearer(&CONFIG, &ProtectedResource::default(), noon()).is_err());
            }
            Err(error) => prop_assert_ne!(error, TokenError::Signature),
        }
    }
}
