//! Beginning and ending a sign-in: the authorization code flow (RFC 6749, section 4.1) with PKCE
//! (RFC 7636), in the order of its steps.
//!
//! What must survive the trip to AuthKit and back stays in the browser; the server keeps nothing. It
//! travels in two halves:
//!
//! | where | what |
//! | --- | --- |
//! | the `state` parameter | `{16 random bytes}.{sealed {"return_to", "is_retry"}}`, both base64url |
//! | a cookie, ten minutes | sealed `{"state_hash", "code_verifier", "expires_at"}` |
//!
//! The cookie binds the sign-in to the browser that began it: a code whose `state` has no cookie is
//! never exchanged (login CSRF, RFC 6749, section 10.12). On https its name begins with `__Host-`
//! under every name of the session cookie, so that no other host of the domain can plant one. Such a
//! cookie has `Path=/` and comes with every request, so a browser holds a fixed number of them, the
//! slots, each as small as can be: a page that opens `/login` over and over fills the slots and
//! nothing else. On plain-http localhost the prefix is missing, because not every client keeps a
//! `Secure` cookie there, and other names under `localhost` are trusted.
//!
//! A sign-in that has lost its slot begins again without a click, and `state` still says where it
//! leads.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use chrono::{DateTime, Duration, Utc};
use http::HeaderValue;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use url::{Origin, Url};

use super::{
    config::{HOST_PREFIX, SECURE_PREFIX, SameSite},
    cookie::{Cookie, RequestCookies},
    seal::Sealer,
    secret::Secret,
};
use edge_host::random_bytes;

/// As long as a code of AuthKit's lives.
const SIGN_IN_TTL_SECS: u32 = 10 * 60;
/// Tabs of one browser that may sign in at once. Ten cookies of 300 bytes are 3 kB of a request's
/// headers; two tabs that begin in the same moment take the same slot once in ten times, and then one
/// of them goes to AuthKit a second time.
const SLOTS: u8 = 10;
/// Longer than the page's own filters and cursors; `state` carries it in a URL.
const RETURN_TO_MAX_BYTES: usize = 1024;
/// The path that AuthKit sends the browser back to.
pub const CALLBACK_PATH: &str = "/callback";

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
    /// The `state` of a new sign-in that leads to `return_to`. `is_retry` when it replaces one that
    /// came back without its cookie.
    #[must_use]
    pub fn new(return_to: ReturnTo, is_retry: bool, sealer: &Sealer) -> Self {
        let path = return_to.path().unwrap_or_default().to_owned();
        let record = StateRecord { return_to: path, is_retry };
        // A struct of a string and a flag always serializes.
        let sealed = sealer.seal(&serde_json::to_vec(&record).unwrap_or_default());
        // `+` and `/` do not survive every URL parser. The sealer writes base64.
        let sealed = STANDARD.decode(sealed).unwrap_or_default();
        let nonce = URL_SAFE_NO_PAD.encode(random_bytes::<16>());
        let text = format!("{nonce}.{}", URL_SAFE_NO_PAD.encode(sealed));
        Self { text, return_to, is_retry }
    }

    /// Reads a `state` that [`new`](Self::new) made for some browser. `None` for any other text.
    #[must_use]
    pub fn open(text: &str, base: &Url, sealer: &Sealer) -> Option<Self> {
        let (_, sealed) = text.split_once('.')?;
        let sealed = STANDARD.encode(URL_SAFE_NO_PAD.decode(sealed).ok()?);
        let opened = sealer.open(&sealed).ok()?;
        let record: StateRecord = serde_json::from_slice(&opened.plaintext).ok()?;
        // The sign-in may have begun at another of the Worker's hosts.
        let return_to = ReturnTo::parse(&record.return_to, base).unwrap_or_default();
        Some(Self { text: text.to_owned(), return_to, is_retry: record.is_retry })
    }

    /// The parameter's value.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Where the sign-in leads.
    #[must_use]
    pub fn return_to(&self) -> &ReturnTo {
        &self.return_to
    }

    /// Whether the sign-in was a second try already.
    #[must_use]
    pub fn is_retry(&self) -> bool {
        self.is_retry
    }

    fn hash(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(&self.text))
    }
}

/// One sign-in between `/login` and `/callback`, as the browser that began it holds it.
#[derive(Debug, Serialize, Deserialize)]
pub struct PendingSignIn {
    state_hash: Secret,
    code_verifier: Secret,
    /// Unix time in seconds; a browser may keep a cookie longer than it was told.
    expires_at: i64,
}

impl PendingSignIn {
    /// Begins the sign-in with this `state`: a fresh PKCE verifier.
    #[must_use]
    pub fn begin(state: &SignInState, now: DateTime<Utc>) -> Self {
        Self {
            state_hash: state.hash().into(),
            code_verifier: URL_SAFE_NO_PAD.encode(random_bytes::<32>()).into(),
            expires_at: (now + Duration::seconds(SIGN_IN_TTL_SECS.into())).timestamp(),
        }
    }

    /// The hash of `state`, which names the sign-in.
    #[must_use]
    pub fn id(&self) -> &str {
        self.state_hash.expose()
    }

    /// When the sign-in is too old to be finished: Unix time in seconds.
    #[must_use]
    pub fn expires_at(&self) -> i64 {
        self.expires_at
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

    /// The cookie's value.
    #[must_use]
    pub fn seal(&self, sealer: &Sealer) -> String {
        // A struct of strings and a number always serializes.
        sealer.seal(&serde_json::to_vec(self).unwrap_or_default())
    }

    fn open(sealed: &str, sealer: &Sealer, now: DateTime<Utc>) -> Option<Self> {
        let opened = sealer.open(sealed).ok()?;
        let pending: Self = serde_json::from_slice(&opened.plaintext).ok()?;
        (now.timestamp() < pending.expires_at).then_some(pending)
    }
}

/// The slots: the cookies of one browser's sign-ins in progress.
#[derive(Debug, Clone)]
pub struct SignInCookies {
    /// Without the slot's number.
    name: String,
    secure: bool,
}

impl SignInCookies {
    /// The slots beside a session cookie of that name, on an origin where cookies have `Secure` or
    /// do not.
    #[must_use]
    pub fn new(session_cookie_name: &str, secure: bool) -> Self {
        Self { name: own_cookie_name(session_cookie_name, "sign-in", secure), secure }
    }

    /// A slot for a new sign-in: a free one by chance, because tabs that open at once do not see each
    /// other's, or else the one whose sign-in is the oldest.
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

    /// The sign-in that this browser began with `state`, and its slot. `None` when it began none such,
    /// or too long ago, or another sign-in has taken the slot.
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

    /// More than one only on plain-http localhost, where another path or domain may set the name too.
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

    /// `SameSite=Lax`, because it is read on the way back from AuthKit.
    fn cookie<'a>(&self, name: &'a str) -> Cookie<'a> {
        own_cookie(name, SIGN_IN_TTL_SECS, self.secure)
    }
}

/// The name of a cookie that only this host can set, beside a session cookie of that name.
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

/// A cookie of that name as `__Host-` asks for it: `Path=/`, no `Domain`, and `Secure`, unless cookies
/// do without it on this origin.
#[must_use]
pub fn own_cookie(name: &str, max_age_secs: u32, secure: bool) -> Cookie<'_> {
    Cookie { name, path: "/", max_age_secs, domain: None, same_site: SameSite::Lax, secure }
}

/// Where a sign-in leads: a path of this very origin, with its query and fragment, which is safe to redirect
/// to. The default is the application's landing page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReturnTo(Option<String>);

impl ReturnTo {
    /// Checks `value` as a browser on `base` would resolve it. `None` for anything that leaves the
    /// origin, or that could be read two ways: another origin or scheme, `//host`, backslashes,
    /// control characters; for the sign-in's own paths, which would lead in a circle; and for what
    /// is too long for a URL.
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
        // Encoded by now, so this is what goes into `state`.
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

/// Opaque origins are equal to nothing, themselves included.
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

    /// A browser's cookies after these `Set-Cookie` headers, each under its own name.
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
    fn verifier_has_the_length_that_the_rfc_asks_for() {
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
    fn state_carries_its_page_and_retry_mark() {
        let sealer = state_sealer();
        for is_retry in [true, false] {
            let return_to = ReturnTo::parse("/me?a=b", &base()).unwrap();
            let state = SignInState::new(return_to, is_retry, &sealer);
            assert!(!state.as_str().contains("/me"), "{}", state.as_str());
            assert_eq!(SignInState::open(state.as_str(), &base(), &sealer), Some(state));
        }
    }

    #[test]
    fn state_that_was_not_sealed_here_is_refused() {
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
    fn state_is_made_of_characters_that_urls_keep() {
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
        // Once all have expired, any of them is free.
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
    fn overlong_page_is_not_returned_to() {
        let longest = format!("/{}", "x".repeat(RETURN_TO_MAX_BYTES - 1));
        let state = state(&longest);
        assert!(state.as_str().len() <= STATE_MAX_BYTES, "{}", state.as_str().len());
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
