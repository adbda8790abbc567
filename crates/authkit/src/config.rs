//! The settings of AuthKit, from the variables that WorkOS's own SDKs read.
//!
//! Parsing takes a lookup function, so that it knows of no environment, and reports every problem
//! at once. No error holds a value: half of them are secrets.

use std::fmt;

use thiserror::Error;
use url::Url;

use super::{origin::is_loopback, secret::Secret};

/// Browsers keep a cookie for 400 days at most (RFC 6265bis, section 5.5).
const DEFAULT_COOKIE_MAX_AGE_SECS: u32 = 400 * 24 * 60 * 60;
/// WorkOS's own SDKs use this name. Browsers take it from any host of the domain.
const DEFAULT_COOKIE_NAME: &str = "wos-session";
/// The default where the cookie is host-only and `Secure`.
const DEFAULT_HOST_COOKIE_NAME: &str = "__Host-wos-session";
const DEFAULT_BASE_URL: &str = "https://api.workos.com";
/// As WorkOS's own SDKs ask for; what is shorter can be guessed.
const COOKIE_PASSWORD_MIN_CHARS: usize = 32;
/// A random password of 32 hexadecimal digits practically never has fewer different characters (4 times in a
/// hundred million); one key held down, or a short word again and again, always has.
const COOKIE_PASSWORD_MIN_DISTINCT_CHARS: usize = 8;
/// WorkOS's own have more. Twelve random letters and digits are 71 bits, beyond guessing over the network.
const WEBHOOK_SECRET_MIN_CHARS: usize = 12;
const WEBHOOK_SECRET_MIN_DISTINCT_CHARS: usize = 6;

/// Browsers take a cookie with such a name only with `Secure`, `Path=/` and no `Domain`, so that no
/// other host of the domain can set it (RFC 6265bis, section 4.1.3.2). In any case of letters.
pub const HOST_PREFIX: &str = "__Host-";
/// Browsers take a cookie with such a name only with `Secure` (RFC 6265bis, section 4.1.3.1).
pub(super) const SECURE_PREFIX: &str = "__Secure-";

/// Everything AuthKit is told from outside, checked.
#[derive(Debug, Clone)]
pub struct AuthKitConfig {
    /// `WORKOS_API_KEY`: sent to WorkOS as `client_secret`.
    pub api_key: Secret,
    /// `WORKOS_CLIENT_ID`.
    pub client_id: String,
    /// `WORKOS_COOKIE_PASSWORD`: seals cookies.
    pub cookie_password: Secret,
    /// `WORKOS_COOKIE_PASSWORD_PREVIOUS`: still opens cookies, seals none.
    pub cookie_password_previous: Option<Secret>,
    /// `PUBLIC_ORIGIN`: the origin that browsers and clients see, where TLS ends in front of the Worker.
    /// Without it, that of each request's URL.
    pub public_origin: Option<Url>,
    /// `WORKOS_REDIRECT_URI`; without it `/callback` on the Worker's own origin.
    pub redirect_uri: Option<Url>,
    /// `WORKOS_BASE_URL`, without a slash at the end of its path.
    pub base_url: Url,
    /// `WORKOS_AUTHKIT_DOMAIN`: the issuer of Connect tokens, an origin.
    pub authkit_domain: Option<Url>,
    /// `WORKOS_ISSUER`: the `iss` that session access tokens must carry.
    pub issuer: Option<String>,
    /// `WORKOS_AUDIENCE`: the `aud` that a JWT template puts into session tokens. A session token in the
    /// `Authorization` header must carry it.
    pub audience: Option<String>,
    /// `WORKOS_COOKIE_NAME`, `WORKOS_COOKIE_MAX_AGE`, `…_DOMAIN`, `…_SAMESITE`.
    pub cookie: CookieConfig,
    /// `WORKOS_LOGOUT_REDIRECT`; without it the Worker's `/`.
    pub logout_redirect: Option<Url>,
    /// `WORKOS_WEBHOOK_SECRET`.
    pub webhook_secret: Option<Secret>,
}

/// How the session cookie is set.
#[derive(Debug, Clone)]
pub struct CookieConfig {
    /// `WORKOS_COOKIE_NAME`; without it the [default](Self::names) for the origin. Parts of a long
    /// session are called `{name}.0`, `{name}.1`, ….
    pub name: Option<String>,
    /// `Max-Age`, in seconds.
    pub max_age_secs: u32,
    /// `Domain`; host-only without it.
    pub domain: Option<String>,
    /// `SameSite`.
    pub same_site: SameSite,
}

impl CookieConfig {
    /// Whether the configured name makes browsers take the cookie with `Secure` alone.
    #[must_use]
    pub fn must_be_secure(&self) -> bool {
        self.is_named_with(HOST_PREFIX) || self.is_named_with(SECURE_PREFIX)
    }

    /// The cookie's name on an origin with (`secure`) or without https, and the default name that
    /// applies with or without a cookie domain, under which a session may be left over.
    #[must_use]
    pub fn names(&self, secure: bool) -> (&str, Option<&'static str>) {
        match &self.name {
            // An operator who sets a name has decided: sessions under no other name are read.
            Some(name) => (name, None),
            None if secure && self.domain.is_none() => {
                (DEFAULT_HOST_COOKIE_NAME, Some(DEFAULT_COOKIE_NAME))
            }
            None => (DEFAULT_COOKIE_NAME, Some(DEFAULT_HOST_COOKIE_NAME)),
        }
    }

    fn is_named_with(&self, prefix: &str) -> bool {
        self.name.as_deref().is_some_and(|name| has_prefix(name, prefix))
    }
}

/// Whether a cookie's name has a prefix that browsers know, in any case of letters.
pub(super) fn has_prefix(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// The `SameSite` attribute (RFC 6265bis, section 5.6.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameSite {
    /// Sent with navigations from elsewhere, which sign-in needs.
    Lax,
    /// Not sent with navigations that began elsewhere, the way back from AuthKit included: sign-in
    /// ends with a page of our own that goes on from here.
    Strict,
    /// Sent with every request.
    None,
}

impl fmt::Display for SameSite {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Lax => "Lax",
            Self::Strict => "Strict",
            Self::None => "None",
        })
    }
}

/// What is wrong with the configuration: every problem, each with the variable's name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Error)]
pub struct ConfigError {
    problems: Vec<(&'static str, &'static str)>,
}

impl ConfigError {
    /// Adds that `name` is not as it must be; `problem` completes the sentence "`name` …".
    pub fn add(&mut self, name: &'static str, problem: &'static str) {
        self.problems.push((name, problem));
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, problem)) in self.problems.iter().enumerate() {
            if index > 0 {
                formatter.write_str("; ")?;
            }
            write!(formatter, "{name} {problem}")?;
        }
        Ok(())
    }
}

impl AuthKitConfig {
    /// Reads every variable through `lookup`, which answers with a variable's value. An empty
    /// value is an absent one, because that is what a line `NAME=` in an env file means.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with every variable that is missing or invalid.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut variables = Variables { lookup, error: ConfigError::default() };
        let config = Self {
            api_key: variables.required("WORKOS_API_KEY", api_key).into(),
            client_id: variables.required("WORKOS_CLIENT_ID", client_id),
            cookie_password: variables.required("WORKOS_COOKIE_PASSWORD", password).into(),
            cookie_password_previous: variables
                .optional("WORKOS_COOKIE_PASSWORD_PREVIOUS", password)
                .map(Secret::from),
            public_origin: variables.optional("PUBLIC_ORIGIN", public_origin),
            redirect_uri: variables.optional("WORKOS_REDIRECT_URI", redirect_uri),
            base_url: variables
                .optional("WORKOS_BASE_URL", base_url)
                .unwrap_or_else(default_base_url),
            authkit_domain: variables.optional("WORKOS_AUTHKIT_DOMAIN", authkit_domain),
            issuer: variables.optional("WORKOS_ISSUER", header_safe),
            audience: variables.optional("WORKOS_AUDIENCE", header_safe),
            cookie: CookieConfig {
                name: variables.optional("WORKOS_COOKIE_NAME", cookie_name),
                max_age_secs: variables
                    .optional("WORKOS_COOKIE_MAX_AGE", max_age)
                    .unwrap_or(DEFAULT_COOKIE_MAX_AGE_SECS),
                domain: variables.optional("WORKOS_COOKIE_DOMAIN", cookie_domain),
                same_site: variables
                    .optional("WORKOS_COOKIE_SAMESITE", same_site)
                    .unwrap_or(SameSite::Lax),
            },
            logout_redirect: variables.optional("WORKOS_LOGOUT_REDIRECT", secure_url),
            webhook_secret: variables
                .optional("WORKOS_WEBHOOK_SECRET", webhook_secret)
                .map(Secret::from),
        };
        if config.cookie.is_named_with(HOST_PREFIX) && config.cookie.domain.is_some() {
            variables.error.add("WORKOS_COOKIE_DOMAIN", "cannot go with a cookie name in __Host-");
        }
        let domain = config.authkit_domain.as_ref().map(|url| url.origin().ascii_serialization());
        if domain.is_some() && config.issuer == domain {
            // Whose keys check a token is told by its issuer alone.
            variables.error.add("WORKOS_ISSUER", "cannot be WORKOS_AUTHKIT_DOMAIN");
        }
        if variables.error.is_empty() { Ok(config) } else { Err(variables.error) }
    }
}

struct Variables<F> {
    lookup: F,
    error: ConfigError,
}

impl<F: Fn(&str) -> Option<String>> Variables<F> {
    fn optional<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(String) -> Result<T, &'static str>,
    ) -> Option<T> {
        let value = (self.lookup)(name).filter(|value| !value.is_empty())?;
        parse(value).map_err(|problem| self.error.add(name, problem)).ok()
    }

    /// The default that stands in for a missing value is never used: the error is already there.
    fn required<T: Default>(
        &mut self,
        name: &'static str,
        parse: impl Fn(String) -> Result<T, &'static str>,
    ) -> T {
        if (self.lookup)(name).is_none_or(|value| value.is_empty()) {
            self.error.add(name, "is missing");
            return T::default();
        }
        self.optional(name, parse).unwrap_or_default()
    }
}

fn header_safe(value: String) -> Result<String, &'static str> {
    if value.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(value)
    } else {
        Err("holds a space or a character that is not ASCII")
    }
}

/// A client id in its place would be sent as the secret.
fn api_key(value: String) -> Result<String, &'static str> {
    if value.starts_with("client_") {
        return Err("is a client id: take the secret key, sk_…, from the dashboard under API Keys");
    }
    header_safe(value)
}

/// A secret key in its place would be shown to every browser that signs in.
fn client_id(value: String) -> Result<String, &'static str> {
    if value.starts_with("sk_") {
        return Err(
            "is a secret key: take the client id, client_…, from the dashboard under API Keys",
        );
    }
    header_safe(value)
}

fn password(value: String) -> Result<String, &'static str> {
    if value.chars().count() < COOKIE_PASSWORD_MIN_CHARS {
        return Err("is shorter than 32 characters (`openssl rand -hex 32` makes a good one)");
    }
    if distinct_chars(&value) < COOKIE_PASSWORD_MIN_DISTINCT_CHARS {
        return Err(
            "has fewer than 8 different characters (`openssl rand -hex 32` makes a good one)",
        );
    }
    Ok(value)
}

fn webhook_secret(value: String) -> Result<String, &'static str> {
    if value.chars().count() < WEBHOOK_SECRET_MIN_CHARS
        || distinct_chars(&value) < WEBHOOK_SECRET_MIN_DISTINCT_CHARS
    {
        return Err(
            "is no secret: it needs 12 characters, 6 of them different; copy the endpoint's \
                    signing secret from the dashboard under Webhooks",
        );
    }
    header_safe(value)
}

fn distinct_chars(value: &str) -> usize {
    let mut chars: Vec<char> = value.chars().collect();
    chars.sort_unstable();
    chars.dedup();
    chars.len()
}

#[expect(clippy::expect_used, reason = "a constant of this file")]
fn default_base_url() -> Url {
    Url::parse(DEFAULT_BASE_URL).expect("the default is a URL")
}

fn http_url(value: String) -> Result<Url, &'static str> {
    Url::parse(&value)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or("is not an http or https URL")
}

/// Codes, tokens and the API key go to these URLs, and keys come from them: over plain http, the network
/// between reads and replaces them. A connection within this machine crosses no network.
fn secure_url(value: String) -> Result<Url, &'static str> {
    let url = http_url(value)?;
    if url.scheme() == "https" || is_loopback(&url) {
        Ok(url)
    } else {
        Err("must be https, or http on this machine")
    }
}

/// RFC 6749, section 3.1.2.
fn redirect_uri(value: String) -> Result<Url, &'static str> {
    let url = secure_url(value)?;
    if url.fragment().is_some() { Err("must have no fragment") } else { Ok(url) }
}

/// The scheme, the host and the port, and nothing else.
fn public_origin(value: String) -> Result<Url, &'static str> {
    let url = secure_url(value)?;
    if is_bare_origin(&url) {
        Ok(url)
    } else {
        Err("is not an origin such as https://app.example.com")
    }
}

fn is_bare_origin(url: &Url) -> bool {
    url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none()
}

/// A URL that paths are appended to.
fn base_url(value: String) -> Result<Url, &'static str> {
    let mut url = secure_url(value)?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must end with its path: no query, no fragment");
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

/// An issuer at an origin's root, as AuthKit's are.
fn authkit_domain(value: String) -> Result<Url, &'static str> {
    let url = base_url(value)?;
    if is_bare_origin(&url) {
        Ok(url)
    } else {
        Err("is not an origin such as https://<subdomain>.authkit.app")
    }
}

/// A `token` of RFC 9110, section 5.6.2, which RFC 6265 asks of a cookie's name.
fn cookie_name(value: String) -> Result<String, &'static str> {
    let is_token_byte =
        |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if value.bytes().all(is_token_byte) {
        Ok(value)
    } else {
        Err("holds a character that a cookie's name may not have")
    }
}

fn max_age(value: String) -> Result<u32, &'static str> {
    value.parse().ok().filter(|secs| *secs > 0).ok_or("is not a positive whole number of seconds")
}

fn cookie_domain(value: String) -> Result<String, &'static str> {
    let is_host_byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    if value.bytes().all(is_host_byte) { Ok(value) } else { Err("is not a host name") }
}

fn same_site(value: String) -> Result<SameSite, &'static str> {
    match value.to_ascii_lowercase().as_str() {
        "lax" => Ok(SameSite::Lax),
        "strict" => Ok(SameSite::Strict),
        "none" => Ok(SameSite::None),
        _ => Err("is none of lax, strict, none"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUIRED: [(&str, &str); 3] = [
        ("WORKOS_API_KEY", "sk_test_1"),
        ("WORKOS_CLIENT_ID", "client_1"),
        ("WORKOS_COOKIE_PASSWORD", "a password of at least 32 characters"),
    ];

    fn parse(extra: &[(&str, &str)]) -> Result<AuthKitConfig, ConfigError> {
        let variables: Vec<_> = extra.iter().chain(&REQUIRED).collect();
        AuthKitConfig::from_lookup(|name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_three_required_variables_are_enough() {
        let config = parse(&[]).unwrap();
        assert_eq!(config.base_url.as_str(), "https://api.workos.com/");
        assert_eq!(config.cookie.names(true).0, "__Host-wos-session");
        assert_eq!(config.cookie.max_age_secs, 34_560_000);
        assert_eq!(config.cookie.same_site, SameSite::Lax);
        assert!(config.redirect_uri.is_none() && config.issuer.is_none());
    }

    #[test]
    fn every_missing_variable_is_named_at_once() {
        let error = AuthKitConfig::from_lookup(|_| None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "WORKOS_API_KEY is missing; WORKOS_CLIENT_ID is missing; WORKOS_COOKIE_PASSWORD is missing"
        );
    }

    #[test]
    fn an_empty_value_is_a_missing_one() {
        let error = parse(&[("WORKOS_API_KEY", ""), ("WORKOS_ISSUER", "")]).unwrap_err();
        assert_eq!(error.to_string(), "WORKOS_API_KEY is missing");
    }

    #[test]
    fn every_invalid_variable_is_named_and_no_value_is() {
        let error = parse(&[
            ("WORKOS_API_KEY", "sk secret"),
            ("WORKOS_COOKIE_PASSWORD", "hunter2"),
            ("WORKOS_COOKIE_PASSWORD_PREVIOUS", "hunter1"),
            ("WORKOS_REDIRECT_URI", "javascript:alert(1)"),
            ("WORKOS_BASE_URL", "https://x.test/?hunter3"),
            ("WORKOS_COOKIE_NAME", "a;b"),
            ("WORKOS_COOKIE_MAX_AGE", "-1"),
            ("WORKOS_COOKIE_DOMAIN", "x.test; Secure"),
            ("WORKOS_COOKIE_SAMESITE", "hunter4"),
            ("WORKOS_LOGOUT_REDIRECT", "/"),
        ])
        .unwrap_err()
        .to_string();
        for name in [
            "WORKOS_API_KEY",
            "WORKOS_COOKIE_PASSWORD ",
            "WORKOS_COOKIE_PASSWORD_PREVIOUS",
            "WORKOS_REDIRECT_URI",
            "WORKOS_BASE_URL",
            "WORKOS_COOKIE_NAME",
            "WORKOS_COOKIE_MAX_AGE",
            "WORKOS_COOKIE_DOMAIN",
            "WORKOS_COOKIE_SAMESITE",
            "WORKOS_LOGOUT_REDIRECT",
        ] {
            assert!(error.contains(name), "{name} is not in: {error}");
        }
        assert!(!error.contains("hunter") && !error.contains("secret"), "{error}");
    }

    #[test]
    fn a_base_url_may_have_a_path_and_a_slash_at_its_end() {
        let config = parse(&[("WORKOS_BASE_URL", "http://localhost:4100/workos/")]).unwrap();
        assert_eq!(config.base_url.as_str(), "http://localhost:4100/workos");
    }

    #[test]
    fn an_authkit_domain_is_an_origin_by_https_or_of_this_machine() {
        let parse = |domain| parse(&[("WORKOS_AUTHKIT_DOMAIN", domain)]);
        for domain in ["https://x.authkit.app", "https://x.authkit.app/", "http://localhost:4100"] {
            assert!(parse(domain).is_ok(), "{domain}");
        }
        for domain in [
            "x.authkit.app",
            "http://x.authkit.app",
            "http://localhost.evil.test",
            "https://x.authkit.app/path",
            "https://user@x.authkit.app",
            "https://x.authkit.app?x",
        ] {
            let error = parse(domain).unwrap_err().to_string();
            assert!(error.starts_with("WORKOS_AUTHKIT_DOMAIN "), "{domain}: {error}");
        }
    }

    #[test]
    fn secrets_travel_by_https_or_on_this_machine() {
        for name in [
            "WORKOS_BASE_URL",
            "WORKOS_REDIRECT_URI",
            "WORKOS_LOGOUT_REDIRECT",
            "WORKOS_AUTHKIT_DOMAIN",
            "PUBLIC_ORIGIN",
        ] {
            for url in
                ["https://x.test", "http://localhost:4100", "http://127.0.0.1", "http://[::1]:1"]
            {
                assert!(parse(&[(name, url)]).is_ok(), "{name}={url}");
            }
            for url in [
                "http://x.test",
                "http://localhost.x.test",
                "http://192.168.0.2",
                "http://0.0.0.0",
                "http://localhost@x.test",
                "ftp://x.test",
            ] {
                let error = parse(&[(name, url)]).unwrap_err().to_string();
                assert!(error.starts_with(&format!("{name} ")), "{name}={url}: {error}");
            }
        }
    }

    #[test]
    fn public_origin_is_an_origin_and_nothing_else() {
        let config = parse(&[("PUBLIC_ORIGIN", "https://app.test:8443/")]).unwrap();
        assert_eq!(config.public_origin.unwrap().as_str(), "https://app.test:8443/");
        for value in
            ["app.test", "https://app.test/x", "https://app.test?x", "https://a@app.test", "/"]
        {
            let error = parse(&[("PUBLIC_ORIGIN", value)]).unwrap_err().to_string();
            assert!(error.starts_with("PUBLIC_ORIGIN "), "{value}: {error}");
        }
    }

    #[test]
    fn guessable_secrets_are_refused() {
        let equal = "x".repeat(32);
        let word = "password".repeat(4);
        for name in ["WORKOS_COOKIE_PASSWORD", "WORKOS_COOKIE_PASSWORD_PREVIOUS"] {
            for value in [&*equal, &*word, "00000000000000000000000000000000000000000000000000001"]
            {
                let error = parse(&[(name, value)]).unwrap_err().to_string();
                assert!(error.starts_with(&format!("{name} has fewer than 8")), "{error}");
                assert!(!error.contains(value), "{error}");
            }
            let hex = "00112233445566770011223344556677";
            assert!(parse(&[(name, hex)]).is_ok());
        }
        for value in ["x", "whsec_", "short_one", "xxxxxxxxxxxxxxxxxxxxxxxx"] {
            let error = parse(&[("WORKOS_WEBHOOK_SECRET", value)]).unwrap_err().to_string();
            assert!(error.starts_with("WORKOS_WEBHOOK_SECRET "), "{value}: {error}");
        }
        assert!(parse(&[("WORKOS_WEBHOOK_SECRET", "Zb3xQ9d0aLkM")]).is_ok());
    }

    #[test]
    fn credentials_in_each_others_place_are_refused() {
        let swapped = [("WORKOS_API_KEY", "client_1"), ("WORKOS_CLIENT_ID", "sk_test_1")];
        let error = parse(&swapped).unwrap_err().to_string();
        assert!(error.contains("WORKOS_API_KEY is a client id"), "{error}");
        assert!(error.contains("WORKOS_CLIENT_ID is a secret key"), "{error}");
    }

    #[test]
    fn issuer_and_audience_hold_no_space() {
        for name in ["WORKOS_ISSUER", "WORKOS_AUDIENCE"] {
            assert!(parse(&[(name, "https://auth.example.test")]).is_ok());
            assert!(parse(&[(name, "https://auth.example.test ")]).is_err());
        }
    }

    #[test]
    fn redirect_uri_has_no_fragment() {
        assert!(parse(&[("WORKOS_REDIRECT_URI", "https://x.test/callback#x")]).is_err());
    }

    #[test]
    fn two_issuers_have_two_names() {
        let domain = ("WORKOS_AUTHKIT_DOMAIN", "https://x.authkit.app/");
        assert!(parse(&[domain, ("WORKOS_ISSUER", "https://api.workos.com")]).is_ok());
        let error = parse(&[domain, ("WORKOS_ISSUER", "https://x.authkit.app")]).unwrap_err();
        assert_eq!(error.to_string(), "WORKOS_ISSUER cannot be WORKOS_AUTHKIT_DOMAIN");
    }

    #[test]
    fn default_cookie_name_has_its_prefix_on_https_alone() {
        let names = |extra: &[(&str, &str)], secure| {
            let config = parse(extra).unwrap().cookie;
            let (name, former) = config.names(secure);
            (name.to_owned(), former)
        };
        let domain = [("WORKOS_COOKIE_DOMAIN", "app.test")];
        let host = "__Host-wos-session";
        assert_eq!(names(&[], true), (host.to_owned(), Some("wos-session")));
        assert_eq!(names(&[], false), ("wos-session".to_owned(), Some(host)));
        assert_eq!(names(&domain, true), ("wos-session".to_owned(), Some(host)));
        let named = [("WORKOS_COOKIE_NAME", "wos-session")];
        assert_eq!(names(&named, true), ("wos-session".to_owned(), None));
    }

    #[test]
    fn a_host_prefix_goes_without_a_domain() {
        let name = ("WORKOS_COOKIE_NAME", "__host-session");
        assert!(parse(&[name]).unwrap().cookie.must_be_secure());
        let error = parse(&[name, ("WORKOS_COOKIE_DOMAIN", "x.test")]).unwrap_err();
        assert!(error.to_string().starts_with("WORKOS_COOKIE_DOMAIN"), "{error}");
    }

    #[test]
    fn debug_shows_no_secret() {
        let config = parse(&[("WORKOS_WEBHOOK_SECRET", "whsec_hunter2")]).unwrap();
        let printed = format!("{config:?}");
        for secret in ["sk_test_1", "a password of", "hunter2"] {
            assert!(!printed.contains(secret), "{printed}");
        }
    }
}
