//! The state of a sign-in with the authorization code flow (RFC 6749, section 4.1) and PKCE (RFC 7636).
//!
//! The browser stores the state of a sign-in until AuthKit redirects it back; the server stores nothing.
//! The state has two halves:
//!
//! | place | content |
//! | --- | --- |
//! | the `state` parameter | `{16 random bytes}.{sealed {"return_to", "is_retry"}}`, both base64url |
//! | a cookie, ten minutes | sealed `{"state_hash", "code_verifier", "expires_at"}` |
//!
//! The cookie binds the sign-in to the browser that began it: the Worker exchanges a code only if the
//! cookie matches its `state` (login CSRF, RFC 6749, section 10.12). On https the cookie's name begins
//! with `__Host-` under every name of the session cookie, so that no other host of the domain can set
//! it. Such a cookie has `Path=/`, so every request carries it. A browser therefore has a fixed number
//! of small sign-in cookies, the slots: a page that opens `/login` repeatedly only fills the slots. On
//! plain-http localhost the name has no prefix, because some clients drop `Secure` cookies there, and
//! other hosts under `localhost` are trusted.
//!
//! A sign-in that has lost its slot starts again without a click. `state` still holds the page to return
//! to.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use chrono::{DateTime, Duration, Utc};
use http::HeaderValue;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use url::{Origin, Url};

use crate::{
    config::{CALLBACK_PATH, HOST_PREFIX, SECURE_PREFIX, SameSite},
    cookie::{Cookie, RequestCookies},
    seal::Sealer,
    secret::Secret,
};
use edge_host::random_bytes;

/// The lifetime of AuthKit's authorization codes.
const SIGN_IN_TTL_SECS: u32 = 10 * 60;
/// The most tabs of one browser that can sign in at once. Ten cookies of 300 bytes are 3 kB of request
/// headers. Two tabs that begin at the same moment choose the same slot in one of ten cases; one of them
/// then goes to AuthKit a second time.
const SLOTS: u8 = 10;
/// Longer than a list's path with filters and cursor. `state` carries the path in a URL.
const RETURN_TO_MAX_BYTES: usize = 1024;

/// The `state` parameter of one sign-in: unguessable, and bound to a browser by [`PendingSignIn`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignInState {
    text: String,
    return_to: ReturnTo,
    is_retry: bool,
}

/// The sealed part of [`SignInState`]. An empty path is the application's landing page.
#[derive(Serialize, Deserialize)]
struct StateRecord {
    return_to: String,
    is_retry: bool,
}

impl SignInState {
    /// The `state` of a new sign-in that leads to `return_to`. `is_retry` is true if the sign-in
    /// replaces one that came back without its cookie.
    #[must_use]
    pub fn new(return_to: ReturnTo, is_retry: bool, sealer: &Sealer) -> Self {
        let path = return_to.path().unwrap_or_default().to_owned();
        let record = StateRecord { return_to: path, is_retry };
        // A struct of a string and a flag always serializes.
        let sealed = sealer.seal(edge_host::json::write(&record).as_bytes());
        // `+` and `/` do not survive every URL parser. The sealer writes base64.
        let sealed = STANDARD.decode(sealed).unwrap_or_default();
        let nonce = URL_SAFE_NO_PAD.encode(random_bytes::<16>());
        let text = format!("{nonce}.{}", URL_SAFE_NO_PAD.encode(sealed));
        Self { text, return_to, is_retry }
    }

    /// Opens a `state` that [`new`](Self::new) created, for any browser. `None` for any other text.
    #[must_use]
    pub fn open(text: &str, base: &Url, sealer: &Sealer) -> Option<Self> {
        let (_, sealed) = text.split_once('.')?;
        let sealed = STANDARD.encode(URL_SAFE_NO_PAD.decode(sealed).ok()?);
        let opened = sealer.open(&sealed).ok()?;
        let record: StateRecord = edge_host::json::read_bytes(&opened.plaintext).ok()?;
        // The sign-in may have begun at another host of the Worker.
        let return_to = ReturnTo::parse(&record.return_to, base).unwrap_or_default();
        Some(Self { text: text.to_owned(), return_to, is_retry: record.is_retry })
    }

    /// The value of the parameter.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The page to open after the sign-in.
    #[must_use]
    pub fn return_to(&self) -> &ReturnTo {
        &self.return_to
    }

    /// Whether the sign-in is a second attempt.
    #[must_use]
    pub fn is_retry(&self) -> bool {
        self.is_retry
    }

    fn hash(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(&self.text))
    }
}

/// The content of a sign-in cookie: one sign-in between `/login` and `/callback`.
#[derive(Debug, Serialize, Deserialize)]
pub struct PendingSignIn {
    state_hash: Secret,
    code_verifier: Secret,
    /// Unix time in seconds. A browser may keep a cookie past its `Max-Age`.
    expires_at: i64,
}

impl PendingSignIn {
    /// Begins the sign-in with this `state` and a fresh PKCE verifier.
    #[must_use]
    pub fn begin(state: &SignInState, now: DateTime<Utc>) -> Self {
        Self {
            state_hash: state.hash().into(),
            code_verifier: URL_SAFE_NO_PAD.encode(random_bytes::<32>()).into(),
            expires_at: (now + Duration::seconds(SIGN_IN_TTL_SECS.into())).timestamp(),
        }
    }

    /// The hash of `state`, which identifies the sign-in.
    #[must_use]
    pub fn id(&self) -> &str {
        self.state_hash.expose()
    }

    /// When the sign-in expires: Unix time in seconds.
    #[must_use]
    pub fn expires_at(&self) -> i64 {
        self.expires_at
    }

    /// The `code_challenge` parameter for method `S256` (RFC 7636, section 4.2).
    #[must_use]
    pub fn code_challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.code_verifier.expose()))
    }

    /// The `code_verifier` for the code exchange.
    #[must_use]
    pub fn code_verifier(&self) -> &Secret {
        &self.code_verifier
    }

    /// The cookie's value.
    #[must_use]
    pub fn seal(&self, sealer: &Sealer) -> String {
        // A struct of strings and a number always serializes.
        sealer.seal(edge_host::json::write(self).as_bytes())
    }

    fn open(sealed: &str, sealer: &Sealer, now: DateTime<Utc>) -> Option<Self> {
        let opened = sealer.open(sealed).ok()?;
        let pending: Self = edge_host::json::read_bytes(&opened.plaintext).ok()?;
        (now.timestamp() < pending.expires_at).then_some(pending)
    }
}

/// The slots: the cookies of one browser's pending sign-ins.
#[derive(Debug, Clone)]
pub struct SignInCookies {
    /// The cookies' name without the slot number.
    name: String,
    secure: bool,
}

impl SignInCookies {
    /// The slots beside the session cookie with this name. `secure` is whether the origin's cookies have
    /// the `Secure` attribute.
    #[must_use]
    pub fn new(session_cookie_name: &str, secure: bool) -> Self {
        Self { name: own_cookie_name(session_cookie_name, "sign-in", secure), secure }
    }

    /// Chooses a slot for a new sign-in: a random free slot, because tabs that open at once do not see each
    /// other's cookies, or else the slot with the oldest sign-in.
    #[must_use]
    pub fn choose(&self, cookies: &RequestCookies<'_>, sealer: &Sealer, now: DateTime<Utc>) -> u8 {
        let [chance] = random_bytes::<1>();
        (0..SLOTS)
            .map(|slot| (slot + chance % SLOTS) % SLOTS)
            .min_by_key(|slot| {
                let expiries = self.pending_in(*slot, cookies, sealer, now);
                expiries.map(|pending| pending.expires_at).max().unwrap_or_default()
            })
            .unwrap_or_default()
    }

    /// The sign-in that this browser began with `state`, and its slot. `None` if another browser began
    /// it, if it has expired, or if another sign-in has taken its slot.
    #[must_use]
    pub fn find(
        &self,
        state: &SignInState,
        cookies: &RequestCookies<'_>,
        sealer: &Sealer,
        now: DateTime<Utc>,
    ) -> Option<(u8, PendingSignIn)> {
        let hash = Secret::from(state.hash());
        (0..SLOTS).find_map(|slot| {
            self.pending_in(slot, cookies, sealer, now)
                .find(|pending| pending.state_hash == hash)
                .map(|pending| (slot, pending))
        })
    }

    /// The sign-ins in a slot. More than one only on plain-http localhost, where another path or domain
    /// can set a cookie with the same name.
    fn pending_in(
        &self,
        slot: u8,
        cookies: &RequestCookies<'_>,
        sealer: &Sealer,
        now: DateTime<Utc>,
    ) -> impl Iterator<Item = PendingSignIn> {
        let values: Vec<&str> = cookies.values(&self.slot_name(slot)).collect();
        values.into_iter().filter_map(move |sealed| PendingSignIn::open(sealed, sealer, now))
    }

    /// `Set-Cookie` that puts a sign-in into the slot.
    #[must_use]
    pub fn set(&self, slot: u8, pending: &PendingSignIn, sealer: &Sealer) -> HeaderValue {
        self.cookie(&self.slot_name(slot)).set(&pending.seal(sealer))
    }

    /// `Set-Cookie` that frees the slot.
    #[must_use]
    pub fn clear(&self, slot: u8) -> HeaderValue {
        self.cookie(&self.slot_name(slot)).clear()
    }

    fn slot_name(&self, slot: u8) -> String {
        format!("{}-{slot}", self.name)
    }

    /// `SameSite=Lax`, because the redirect from AuthKit must carry the cookie.
    fn cookie<'a>(&self, name: &'a str) -> Cookie<'a> {
        own_cookie(name, SIGN_IN_TTL_SECS, self.secure)
    }
}

/// The name of a cookie for `purpose`, derived from the session cookie's name. With `secure`, only this
/// host can set it.
#[must_use]
pub fn own_cookie_name(session_cookie_name: &str, purpose: &str, secure: bool) -> String {
    let strip = |name: &str, prefix: &str| match name.get(..prefix.len()) {
        Some(start) if start.eq_ignore_ascii_case(prefix) => name[prefix.len()..].to_owned(),
        _ => name.to_owned(),
    };
    let bare = strip(&strip(session_cookie_name, HOST_PREFIX), SECURE_PREFIX);
    let prefix = if secure { HOST_PREFIX } else { "" };
    format!("{prefix}{bare}-{purpose}")
}

/// A cookie with the attributes that `__Host-` requires: `Path=/`, no `Domain`, and `Secure` if the
/// origin's cookies have it.
#[must_use]
pub fn own_cookie(name: &str, max_age_secs: u32, secure: bool) -> Cookie<'_> {
    Cookie { name, path: "/", max_age_secs, domain: None, same_site: SameSite::Lax, secure }
}

/// The page to open after a sign-in: a path of this origin, with its query and fragment, which is safe to
/// redirect to. The default is the application's landing page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReturnTo(Option<String>);

impl ReturnTo {
    /// Resolves `value` as a browser on `base` does. `None` if the result leaves the origin or is
    /// ambiguous (another origin or scheme, `//host`, backslashes, control characters), if it is a path
    /// of the sign-in, which would loop, and if it is longer than a URL should be.
    #[must_use]
    pub fn parse(value: &str, base: &Url) -> Option<Self> {
        let is_ambiguous = |character: char| character == '\\' || character.is_control();
        if !value.starts_with('/') || value.starts_with("//") || value.contains(is_ambiguous) {
            return None;
        }
        let url = base.join(value).ok()?;
        // `join` has resolved the path, so `/x/..//evil.test` begins with two slashes here.
        let stays = same_origin(&url.origin(), &base.origin()) && !url.path().starts_with("//");
        let is_sign_in = matches!(url.path(), "/login" | "/logout" | CALLBACK_PATH);
        // `join` has percent-encoded the path: `state` carries this length.
        let path = &url[url::Position::BeforePath..];
        let fits = path.len() <= RETURN_TO_MAX_BYTES;
        (stays && fits && !is_sign_in).then(|| Self(Some(path.to_owned())))
    }

    /// The path; `None` for the landing page.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

/// Opaque origins are not equal to any origin, including themselves.
fn same_origin(a: &Origin, b: &Origin) -> bool {
    a.is_tuple() && a == b
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::Purpose;
    use http::{HeaderMap, header};

    const STATE_MAX_BYTES: usize = 1536;

    fn sealer() -> Sealer {
        Sealer::new(Purpose::SignIn, &Secret::from("a password of at least 32 characters"), None)
    }

    fn state_sealer() -> Sealer {
        let password = Secret::from("a password of at least 32 characters");
        Sealer::new(Purpose::SignInState, &password, None)
    }

    fn noon() -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_435_200, 0).unwrap()
    }

    fn base() -> Url {
        Url::parse("https://app.test/login?x=1").unwrap()
    }

    fn state(return_to: &str) -> SignInState {
        let return_to = ReturnTo::parse(return_to, &base()).unwrap();
        SignInState::new(return_to, false, &state_sealer())
    }

    fn return_to(value: &str) -> Option<String> {
        ReturnTo::parse(value, &base()).and_then(|return_to| return_to.0)
    }

    /// A browser's cookies after these `Set-Cookie` headers, each with another name.
    fn jar(set_cookies: &[HeaderValue]) -> HeaderMap {
        let pairs: Vec<&str> = set_cookies
            .iter()
            .map(|header| header.to_str().unwrap().split(';').next().unwrap())
            .collect();
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, HeaderValue::try_from(pairs.join("; ")).unwrap());
        headers
    }

    #[test]
    fn challenge_is_the_hash_of_the_verifier() {
        // RFC 7636, appendix B.
        let pending = PendingSignIn {
            code_verifier: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".into(),
            ..PendingSignIn::begin(&state("/me"), noon())
        };
        assert_eq!(pending.code_challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn verifier_has_the_length_of_the_rfc() {
        let pending = PendingSignIn::begin(&state("/me"), noon());
        assert!((43..=128).contains(&pending.code_verifier.expose().len()));
    }

    #[test]
    fn sign_in_is_found_by_its_state_until_expiry() {
        let (sealer, state) = (sealer(), state("/me"));
        let slots = SignInCookies::new("s", true);
        let pending = PendingSignIn::begin(&state, noon());
        let headers = jar(&[slots.set(7, &pending, &sealer)]);
        let cookies = RequestCookies::from_headers(&headers);
        let find = |state: &SignInState, now| slots.find(state, &cookies, &sealer, now);

        let (slot, found) = find(&state, noon()).unwrap();
        assert_eq!((slot, &found.code_verifier), (7, &pending.code_verifier));
        assert_eq!(found.id(), pending.id());
        let near = SignInState { text: format!("{}x", state.text), ..state.clone() };
        assert!(find(&near, noon()).is_none());
        assert!(find(&self::state("/me"), noon()).is_none());
        assert!(find(&state, noon() + Duration::seconds(599)).is_some());
        assert!(find(&state, noon() + Duration::seconds(600)).is_none());
    }

    #[test]
    fn state_carries_return_to_and_retry_mark() {
        let sealer = state_sealer();
        for is_retry in [true, false] {
            let return_to = ReturnTo::parse("/me?a=b", &base()).unwrap();
            let state = SignInState::new(return_to, is_retry, &sealer);
            assert!(!state.as_str().contains("/me"), "{}", state.as_str());
            assert_eq!(SignInState::open(state.as_str(), &base(), &sealer), Some(state));
        }
    }

    #[test]
    fn state_with_another_seal_is_refused() {
        let state = state("/me");
        let changed = format!("{}x", state.as_str());
        let other =
            Sealer::new(Purpose::SignIn, &Secret::from("another password of 32 chars…"), None);
        assert_eq!(SignInState::open(state.as_str(), &base(), &other), None);
        for text in ["", ".", "a.b", &changed, &state.as_str()[1..].replace('.', "")] {
            assert_eq!(SignInState::open(text, &base(), &state_sealer()), None, "{text}");
        }
    }

    #[test]
    fn state_has_only_url_safe_characters() {
        let text = state("/me").text;
        let is_kept = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        assert!(text.bytes().all(is_kept), "{text}");
    }

    #[test]
    fn free_slots_are_taken_before_the_oldest() {
        let sealer = sealer();
        let slots = SignInCookies::new("s", true);
        let mut taken = std::collections::BTreeMap::new();
        for index in 0..i64::from(SLOTS) {
            let now = noon() + Duration::seconds(index);
            let headers = jar(&taken.values().cloned().collect::<Vec<_>>());
            let slot = slots.choose(&RequestCookies::from_headers(&headers), &sealer, now);
            let pending = PendingSignIn::begin(&state("/me"), now);
            let is_free = taken.insert(slot, slots.set(slot, &pending, &sealer)).is_none();
            assert!(is_free, "slot {slot} was not free");
        }
        let headers = jar(&taken.values().cloned().collect::<Vec<_>>());
        let cookies = RequestCookies::from_headers(&headers);
        let oldest = slots.choose(&cookies, &sealer, noon());
        assert!((0..20).all(|_| slots.choose(&cookies, &sealer, noon()) == oldest));
        // An expired sign-in frees its slot.
        let later = noon() + Duration::hours(1);
        assert!((0..200).any(|_| slots.choose(&cookies, &sealer, later) != oldest));
    }

    #[test]
    fn all_slots_together_stay_small() {
        let sealer = sealer();
        let slots = SignInCookies::new("__Host-wos-session", true);
        let longest = format!("/{}", "x".repeat(RETURN_TO_MAX_BYTES - 1));
        let pending = PendingSignIn::begin(&state(&longest), noon());
        let set: Vec<_> = (0..SLOTS).map(|slot| slots.set(slot, &pending, &sealer)).collect();
        let bytes = jar(&set)[header::COOKIE].len();
        assert!(bytes <= 4000, "{bytes}");
    }

    #[test]
    fn slots_have_the_host_prefix_under_any_session_name() {
        for name in ["s", "__Host-s", "__Secure-s", "__host-s"] {
            let set = SignInCookies::new(name, true).clear(0);
            let expected = "__Host-s-sign-in-0=; Path=/; Max-Age=0; SameSite=Lax; HttpOnly; Secure";
            assert_eq!(set.to_str().unwrap(), expected);
            let set = SignInCookies::new(name, false).clear(9);
            let expected = "s-sign-in-9=; Path=/; Max-Age=0; SameSite=Lax; HttpOnly";
            assert_eq!(set.to_str().unwrap(), expected);
        }
    }

    #[test]
    fn return_to_accepts_a_path_of_this_origin() {
        for path in ["/", "/expenses", "/expenses?limit=5&x=%2F#top", "/a/b%20c"] {
            assert_eq!(return_to(path).as_deref(), Some(path));
        }
    }

    #[test]
    fn return_to_refuses_values_that_leave_the_origin() {
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
    fn return_to_refuses_an_overlong_path() {
        let longest = format!("/{}", "x".repeat(RETURN_TO_MAX_BYTES - 1));
        let state = state(&longest);
        assert!(state.as_str().len() <= STATE_MAX_BYTES, "{}", state.as_str().len());
        assert!(return_to(&longest).is_some());
        assert!(return_to(&format!("{longest}x")).is_none());
    }

    #[test]
    fn return_to_refuses_paths_of_the_sign_in() {
        for path in
            ["/login", "/login?return_to=/login", "/logout", "/callback?code=x", "/x/../logout"]
        {
            assert_eq!(return_to(path), None, "{path}");
        }
    }
}
