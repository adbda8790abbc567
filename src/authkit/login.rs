//! Beginning and ending a sign-in: the authorization code flow (RFC 6749, section 4.1) with PKCE
//! (RFC 7636), in the order of its steps.
//!
//! What must survive the trip to AuthKit and back stays in the browser: one sealed, short-lived
//! cookie per sign-in, named after its `state`. Several tabs may be on their way at once, nothing is
//! kept on the server, and a code that arrives with a `state` this browser did not begin with is
//! never exchanged (login CSRF, RFC 6749 section 10.12).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use url::{Origin, Url};

use super::{
    config::{HOST_PREFIX, SameSite},
    cookie::{Cookie, RequestCookies},
    seal::Sealer,
    secret::Secret,
};
use crate::runtime::random_bytes;

/// As long as a code of AuthKit's lives.
const SIGN_IN_TTL_SECS: u32 = 10 * 60;
/// So that twenty tabs may sign in at once and their cookies still fit into a request.
const RETURN_TO_MAX_BYTES: usize = 1024;
/// How much of `state` names the cookie; the whole of it is inside.
const STATE_NAME_CHARS: usize = 12;
/// Marks a `state` whose sign-in began because the one before it came back without its cookie.
const RETRY_SUFFIX: &str = ".retry";
/// Where a sign-in leads when nothing else was asked for.
pub const DEFAULT_RETURN_TO: &str = "/expenses";
/// The path of this module's cookies: no other request carries them.
pub const CALLBACK_PATH: &str = "/callback";

/// One sign-in between `/login` and `/callback`. Lives sealed in a cookie.
#[derive(Debug, Serialize, Deserialize)]
pub struct PendingSignIn {
    state: Secret,
    code_verifier: Secret,
    return_to: String,
    /// Unix time in seconds; a browser may keep a cookie longer than it was told.
    expires_at: i64,
}

impl PendingSignIn {
    /// Begins a sign-in: fresh `state` and PKCE verifier. `is_retry` when it replaces one whose
    /// cookie was not there on the way back.
    #[must_use]
    pub fn begin(return_to: ReturnTo, is_retry: bool, now: DateTime<Utc>) -> Self {
        let mut state = URL_SAFE_NO_PAD.encode(random_bytes::<16>());
        if is_retry {
            state.push_str(RETRY_SUFFIX);
        }
        Self {
            state: state.into(),
            code_verifier: URL_SAFE_NO_PAD.encode(random_bytes::<32>()).into(),
            return_to: return_to.0,
            expires_at: (now + Duration::seconds(SIGN_IN_TTL_SECS.into())).timestamp(),
        }
    }

    /// The `state` parameter.
    #[must_use]
    pub fn state(&self) -> &str {
        self.state.expose()
    }

    /// The `code_challenge` parameter for method `S256` (RFC 7636, section 4.2).
    #[must_use]
    pub fn code_challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.code_verifier.expose()))
    }

    /// The `code_verifier` that goes with the code.
    #[must_use]
    pub fn code_verifier(&self) -> &Secret {
        &self.code_verifier
    }

    /// Where to go once signed in: a path that was checked when the sign-in began.
    #[must_use]
    pub fn return_to(&self) -> &str {
        &self.return_to
    }

    /// The cookie's value.
    #[must_use]
    pub fn seal(&self, sealer: &Sealer) -> String {
        // A struct of strings and a number always serializes.
        sealer.seal(&serde_json::to_vec(self).unwrap_or_default())
    }

    /// Finds the sign-in that this browser began with `state`. `None` when it began none such, or
    /// too long ago, or the cookie does not open.
    #[must_use]
    pub fn find(
        state: &str,
        cookie_name: &str,
        cookies: &RequestCookies<'_>,
        sealer: &Sealer,
        now: DateTime<Utc>,
    ) -> Option<Self> {
        let state = Secret::from(state);
        cookies
            .values(cookie_name)
            .filter_map(|sealed| sealer.open(sealed).ok())
            .filter_map(|opened| serde_json::from_slice::<Self>(&opened.plaintext).ok())
            .find(|pending| pending.state == state && now.timestamp() < pending.expires_at)
    }
}

/// Whether a sign-in with this `state` was already a second try.
#[must_use]
pub fn is_retry(state: &str) -> bool {
    state.ends_with(RETRY_SUFFIX)
}

/// The name of the cookie of the sign-in with this `state`, which may be anything a request holds.
#[must_use]
pub fn sign_in_cookie_name(session_cookie_name: &str, state: &str) -> String {
    let tag: String =
        state.chars().filter(char::is_ascii_alphanumeric).take(STATE_NAME_CHARS).collect();
    // `__Host-` asks for `Path=/`, which this cookie has not.
    let unprefixed = match session_cookie_name.get(..HOST_PREFIX.len()) {
        Some(prefix) if prefix.eq_ignore_ascii_case(HOST_PREFIX) => {
            &session_cookie_name[HOST_PREFIX.len()..]
        }
        _ => session_cookie_name,
    };
    format!("{unprefixed}-sign-in-{tag}")
}

/// The cookie of one sign-in. `SameSite=Lax`, because it is read on the way back from AuthKit.
#[must_use]
pub fn sign_in_cookie(name: &str, secure: bool) -> Cookie<'_> {
    Cookie {
        name,
        path: CALLBACK_PATH,
        max_age_secs: SIGN_IN_TTL_SECS,
        domain: None,
        same_site: SameSite::Lax,
        secure,
    }
}

/// A path of this very origin, with its query and fragment: safe to redirect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReturnTo(String);

impl ReturnTo {
    /// Checks `value` as a browser on `base` would resolve it. `None` for anything that leaves the
    /// origin, or that could be read two ways: another origin or scheme, `//host`, backslashes,
    /// control characters; for the sign-in's own paths, which would lead in a circle; and for what
    /// is too long to wait in a cookie.
    #[must_use]
    pub fn parse(value: &str, base: &Url) -> Option<Self> {
        let is_ambiguous = |character: char| character == '\\' || character.is_control();
        if !value.starts_with('/') || value.starts_with("//") || value.contains(is_ambiguous) {
            return None;
        }
        let url = base.join(value).ok()?;
        // The path is resolved by now, so `/x/..//evil.test` shows its two slashes here.
        let stays = same_origin(&url.origin(), &base.origin()) && !url.path().starts_with("//");
        let is_sign_in = matches!(url.path(), "/login" | "/logout" | CALLBACK_PATH);
        // Encoded by now, so this is what goes into the cookie.
        let path = &url[url::Position::BeforePath..];
        let fits = path.len() <= RETURN_TO_MAX_BYTES;
        (stays && fits && !is_sign_in).then(|| Self(path.to_owned()))
    }

    /// The path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for ReturnTo {
    fn default() -> Self {
        Self(DEFAULT_RETURN_TO.to_owned())
    }
}

/// Opaque origins are equal to nothing, themselves included.
fn same_origin(a: &Origin, b: &Origin) -> bool {
    a.is_tuple() && a == b
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authkit::{cookie::COOKIE_MAX_BYTES, seal::Purpose};
    use http::{HeaderMap, HeaderValue, header};

    fn sealer() -> Sealer {
        Sealer::new(Purpose::SignIn, &Secret::from("a password of at least 32 characters"), None)
    }

    fn noon() -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_435_200, 0).unwrap()
    }

    fn return_to(value: &str) -> Option<String> {
        let base = Url::parse("https://app.test/login?x=1").unwrap();
        ReturnTo::parse(value, &base).map(|return_to| return_to.0)
    }

    #[test]
    fn the_challenge_is_the_verifiers_hash() {
        // RFC 7636, appendix B.
        let pending = PendingSignIn {
            code_verifier: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".into(),
            ..PendingSignIn::begin(ReturnTo::default(), false, noon())
        };
        assert_eq!(pending.code_challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn a_verifier_has_the_length_the_rfc_asks_for() {
        let pending = PendingSignIn::begin(ReturnTo::default(), false, noon());
        assert!((43..=128).contains(&pending.code_verifier.expose().len()));
    }

    #[test]
    fn a_sign_in_is_found_by_its_own_state_until_it_expires() {
        let sealer = sealer();
        let pending = PendingSignIn::begin(ReturnTo::default(), false, noon());
        let name = sign_in_cookie_name("s", pending.state());
        let mut headers = HeaderMap::new();
        let cookie = format!("{name}={}", pending.seal(&sealer));
        headers.insert(header::COOKIE, HeaderValue::try_from(cookie).unwrap());
        let cookies = RequestCookies::from_headers(&headers);
        let find = |state: &str, now| PendingSignIn::find(state, &name, &cookies, &sealer, now);

        let found = find(pending.state(), noon()).unwrap();
        assert_eq!(found.code_verifier, pending.code_verifier);
        assert_eq!(found.return_to(), DEFAULT_RETURN_TO);

        // Same first characters, so the same cookie; yet another state.
        assert!(find(&format!("{}x", pending.state()), noon()).is_none());
        assert!(find("", noon()).is_none());
        assert!(find(pending.state(), noon() + Duration::seconds(599)).is_some());
        assert!(find(pending.state(), noon() + Duration::seconds(600)).is_none());
    }

    #[test]
    fn a_retry_shows_in_its_state() {
        let state = |retry| PendingSignIn::begin(ReturnTo::default(), retry, noon()).state;
        assert!(is_retry(state(true).expose()));
        assert!(!is_retry(state(false).expose()));
    }

    #[test]
    fn a_cookies_name_holds_nothing_but_letters_and_digits_of_the_state() {
        assert_eq!(sign_in_cookie_name("s", "ab;=\r\n-cd"), "s-sign-in-abcd");
    }

    #[test]
    fn a_path_of_this_origin_is_kept() {
        for path in ["/", "/expenses", "/expenses?limit=5&x=%2F#top", "/a/b%20c"] {
            assert_eq!(return_to(path).as_deref(), Some(path));
        }
    }

    #[test]
    fn whatever_could_leave_the_origin_is_not() {
        for path in [
            "",
            "expenses",
            "//evil.test",
            "///evil.test",
            "/\\evil.test",
            "\\\\evil.test",
            "/\t/evil.test",
            "/\n/evil.test",
            "\t//evil.test",
            " //evil.test",
            "https:evil.test",
            "https://evil.test/",
            "https://app.test/expenses",
            "javascript:alert(1)",
            "/x/..//evil.test",
            "/.//evil.test",
            "/%2e//evil.test",
            "/\u{0}",
            "?x",
            "#x",
        ] {
            assert_eq!(return_to(path), None, "{path:?}");
        }
    }

    #[test]
    fn what_is_too_long_for_a_cookie_is_not_returned_to() {
        let longest = format!("/{}", "x".repeat(RETURN_TO_MAX_BYTES - 1));
        let pending = PendingSignIn::begin(ReturnTo(longest.clone()), true, noon());
        let name = sign_in_cookie_name("wos-session", pending.state());
        let header = sign_in_cookie(&name, true).set(&pending.seal(&sealer()));
        assert!(header.len() <= COOKIE_MAX_BYTES, "{}", header.len());
        assert!(return_to(&longest).is_some());
        assert!(return_to(&format!("{longest}x")).is_none());
    }

    #[test]
    fn the_sign_ins_own_paths_are_not_returned_to() {
        for path in
            ["/login", "/login?return_to=/login", "/logout", "/callback?code=x", "/x/../logout"]
        {
            assert_eq!(return_to(path), None, "{path}");
        }
    }
}
