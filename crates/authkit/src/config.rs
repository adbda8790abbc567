//! The configuration of AuthKit, from the variables that WorkOS's own SDKs read.
//!
//! The parser gets a lookup function instead of an environment, and reports all problems at once. Errors never
//! contain a value, because many values are secrets.

use std::fmt;

use edge_host::JURISDICTIONS;
use thiserror::Error;
use url::Url;

use crate::{origin::is_loopback, secret::Secret};

/// The path of the route that finishes a sign-in.
pub const CALLBACK_PATH: &str = "/callback";

/// The longest that browsers keep a cookie: 400 days (RFC 6265bis, section 5.5).
const DEFAULT_COOKIE_MAX_AGE_SECS: u32 = 400 * 24 * 60 * 60;
/// The default name in WorkOS's own SDKs. Any host of the domain can set a cookie with this name.
const DEFAULT_COOKIE_NAME: &str = "wos-session";
/// The default name for a host-only cookie with `Secure`.
const DEFAULT_HOST_COOKIE_NAME: &str = "__Host-wos-session";
const DEFAULT_BASE_URL: &str = "https://api.workos.com";
/// WorkOS's name of the role that it makes for administrators in every environment.
const DEFAULT_PORTAL_PERMISSION: &str = "admin";
/// The minimum in WorkOS's own SDKs. An attacker can guess a shorter password.
const COOKIE_PASSWORD_MIN_CHARS: usize = 32;
/// A random password of 32 hexadecimal digits has fewer different characters 4 times in a hundred million.
/// A held key or a repeated short word always has fewer.
const COOKIE_PASSWORD_MIN_DISTINCT_CHARS: usize = 8;
/// WorkOS generates longer secrets. Twelve random letters and digits are 71 bits, too many to guess over the
/// network.
const WEBHOOK_SECRET_MIN_CHARS: usize = 12;
/// Refuses a repeated key or a repeated short word, as [`COOKIE_PASSWORD_MIN_DISTINCT_CHARS`] does.
const WEBHOOK_SECRET_MIN_DISTINCT_CHARS: usize = 6;

/// Browsers accept a cookie with this prefix only with `Secure`, `Path=/` and no `Domain`, so no other host of
/// the domain can set it (RFC 6265bis, section 4.1.3.2). Browsers compare the prefix without case.
pub const HOST_PREFIX: &str = "__Host-";
/// Browsers accept a cookie with this prefix only with `Secure` (RFC 6265bis, section 4.1.3.1).
pub(super) const SECURE_PREFIX: &str = "__Secure-";

/// The validated configuration of AuthKit.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AuthKitConfig {
    /// `WORKOS_API_KEY`: sent to WorkOS as `client_secret`.
    pub api_key: Secret,
    /// `WORKOS_CLIENT_ID`.
    pub client_id: String,
    /// `WORKOS_COOKIE_PASSWORD`: seals cookies.
    pub cookie_password: Secret,
    /// `WORKOS_COOKIE_PASSWORD_PREVIOUS`: opens older cookies and seals no new ones.
    pub cookie_password_previous: Option<Secret>,
    /// `PUBLIC_ORIGIN`: the origin that browsers and clients see, where TLS ends in front of the Worker. The
    /// default is the origin of each request's URL.
    pub public_origin: Option<Url>,
    /// `WORKOS_REDIRECT_URI`; the default is `/callback` on the Worker's own origin.
    pub redirect_uri: Option<Url>,
    /// `WORKOS_BASE_URL`, without a trailing slash.
    pub base_url: Url,
    /// `WORKOS_AUTHKIT_DOMAIN`: the issuer of Connect tokens, an origin.
    pub authkit_domain: Option<Url>,
    /// `WORKOS_ISSUER`: the `iss` that session access tokens must carry.
    pub issuer: Option<String>,
    /// `WORKOS_AUDIENCE`: the `aud` that a JWT template adds to session tokens. Session tokens in the
    /// `Authorization` header must have it.
    pub audience: Option<String>,
    /// `WORKOS_COOKIE_NAME`, `WORKOS_COOKIE_MAX_AGE`, `…_DOMAIN`, `…_SAMESITE`.
    pub cookie: CookieConfig,
    /// `WORKOS_LOGOUT_REDIRECT`; the default is the Worker's `/`.
    pub logout_redirect: Option<Url>,
    /// `WORKOS_PORTAL_PERMISSION`: the role or the permission that opens the Admin Portal.
    pub portal_permission: String,
    /// `WORKOS_WEBHOOK_SECRET`.
    pub webhook_secret: Option<Secret>,
    /// `WORKOS_API_KEYS`: whether API keys of WorkOS authenticate callers.
    pub api_keys: bool,
    /// `DATA_JURISDICTION`: where Durable Objects run and store their rows. The host applies it to every namespace.
    pub data_jurisdiction: Option<String>,
}

/// The session cookie's name and attributes.
#[derive(Debug, Clone)]
pub struct CookieConfig {
    /// `WORKOS_COOKIE_NAME`; `None` stands for the [default](Self::names) of the origin. The parts of a long
    /// session are named `{name}.0`, `{name}.1`, ….
    pub name: Option<String>,
    /// `Max-Age`, in seconds.
    pub max_age_secs: u32,
    /// `Domain`; `None` makes the cookie host-only.
    pub domain: Option<String>,
    /// `SameSite`.
    pub same_site: SameSite,
}

impl CookieConfig {
    /// Whether the configured name has a prefix that requires `Secure`.
    #[must_use]
    pub fn must_be_secure(&self) -> bool {
        self.is_named_with(HOST_PREFIX) || self.is_named_with(SECURE_PREFIX)
    }

    /// The cookie's current name, and the other default name, under which the browser may hold a session from
    /// an earlier configuration. `secure` is whether the origin has https.
    #[must_use]
    pub fn names(&self, secure: bool) -> (&str, Option<&'static str>) {
        match &self.name {
            // With a configured name, sessions under the default names are not read.
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

/// Whether a cookie name begins with `prefix`, compared without case as browsers do.
pub(super) fn has_prefix(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// The `SameSite` attribute (RFC 6265bis, section 5.6.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameSite {
    /// Sent with navigations from other sites, which sign-in needs.
    Lax,
    /// Not sent with navigations from other sites, including the redirect back from AuthKit. Sign-in therefore
    /// ends with a page of this site that starts a navigation of its own.
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

/// All problems of the configuration, each with the name of its variable or binding.
#[derive(Debug, Clone, Default, PartialEq, Eq, Error)]
pub struct ConfigError {
    problems: Vec<(&'static str, &'static str)>,
}

impl ConfigError {
    /// Adds a problem with the variable or binding `name`. `problem` completes the sentence "`name` …".
    pub fn add(&mut self, name: &'static str, problem: &'static str) {
        self.problems.push((name, problem));
    }

    /// Whether there is no problem.
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
    /// Reads every variable through `lookup`, which returns a variable's value. An empty value counts as
    /// absent, because a line `NAME=` in an env file sets an empty value.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], which names every variable that is missing or invalid.
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
            portal_permission: variables
                .optional("WORKOS_PORTAL_PERMISSION", header_safe)
                .unwrap_or_else(|| DEFAULT_PORTAL_PERMISSION.to_owned()),
            webhook_secret: variables
                .optional("WORKOS_WEBHOOK_SECRET", webhook_secret)
                .map(Secret::from),
            api_keys: variables.optional("WORKOS_API_KEYS", on_or_off).unwrap_or(false),
            data_jurisdiction: variables.optional("DATA_JURISDICTION", data_jurisdiction),
        };
        if config.cookie.is_named_with(HOST_PREFIX) && config.cookie.domain.is_some() {
            let problem = "must be empty with a cookie name that begins with __Host-";
            variables.error.add("WORKOS_COOKIE_DOMAIN", problem);
        }
        let domain = config.authkit_domain.as_ref().map(|url| url.origin().ascii_serialization());
        if domain.is_some() && config.issuer == domain {
            // The issuer alone selects the key set that verifies a token.
            variables.error.add("WORKOS_ISSUER", "must differ from WORKOS_AUTHKIT_DOMAIN");
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

    /// Returns a default for a missing or invalid value. `from_lookup` discards it, because the error is
    /// recorded.
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
        Err("contains a space or a character that is not ASCII")
    }
}

/// Refuses a client id, which would be sent to WorkOS as the secret.
fn api_key(value: String) -> Result<String, &'static str> {
    if value.starts_with("client_") {
        return Err("is a client id: take the secret key, sk_…, from the dashboard under API Keys");
    }
    header_safe(value)
}

/// Refuses a secret key, which every browser that signs in would see in a URL.
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
            "can be guessed: it needs 12 characters, 6 of them different; copy the endpoint's \
                    signing secret from the dashboard under Webhooks",
        );
    }
    header_safe(value)
}

fn distinct_chars(value: &str) -> usize {
    let is_first = |(index, char): &(usize, char)| value.find(*char) == Some(*index);
    value.char_indices().filter(is_first).count()
}

fn on_or_off(value: String) -> Result<bool, &'static str> {
    match &*value {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("must be on or off"),
    }
}

#[expect(clippy::expect_used, reason = "a constant of this file")]
fn default_base_url() -> Url {
    Url::parse(DEFAULT_BASE_URL).expect("DEFAULT_BASE_URL is a valid URL")
}

fn http_url(value: String) -> Result<Url, &'static str> {
    Url::parse(&value)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or("is not an http or https URL")
}

/// Codes, tokens and the API key go to these URLs, and verification keys come from them. Over plain http, the
/// network can read and replace them. A loopback connection crosses no network.
fn secure_url(value: String) -> Result<Url, &'static str> {
    let url = http_url(value)?;
    if url.scheme() == "https" || is_loopback(&url) {
        Ok(url)
    } else {
        Err("must be https, or http on this machine")
    }
}

/// A redirect URI has no fragment (RFC 6749, section 3.1.2), and leads to [`CALLBACK_PATH`]. The path may have a prefix
/// before it, which a proxy in front of the Worker removes.
fn redirect_uri(value: String) -> Result<Url, &'static str> {
    let url = secure_url(value)?;
    if url.fragment().is_some() {
        return Err("must have no fragment");
    }
    if url.path().ends_with(CALLBACK_PATH) { Ok(url) } else { Err("must end in /callback") }
}

/// A scheme, a host and a port, without path, query, fragment and credentials.
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
        return Err("must have no query and no fragment");
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

/// A cookie name is a `token` (RFC 6265, section 4.1.1; RFC 9110, section 5.6.2).
fn cookie_name(value: String) -> Result<String, &'static str> {
    let is_token_byte =
        |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if value.bytes().all(is_token_byte) {
        Ok(value)
    } else {
        Err("contains a character that a cookie name cannot have")
    }
}

fn max_age(value: String) -> Result<u32, &'static str> {
    value.parse().ok().filter(|secs| *secs > 0).ok_or("is not a positive whole number of seconds")
}

fn cookie_domain(value: String) -> Result<String, &'static str> {
    let is_host_byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    if value.bytes().all(is_host_byte) { Ok(value) } else { Err("is not a host name") }
}

fn data_jurisdiction(value: String) -> Result<String, &'static str> {
    if JURISDICTIONS.contains(&value.as_str()) {
        Ok(value)
    } else {
        Err("must be eu, fedramp or us")
    }
}

fn same_site(value: String) -> Result<SameSite, &'static str> {
    match value.to_ascii_lowercase().as_str() {
        "lax" => Ok(SameSite::Lax),
        "strict" => Ok(SameSite::Strict),
        "none" => Ok(SameSite::None),
        _ => Err("must be lax, strict or none"),
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
    fn three_required_variables_suffice() {
        let config = parse(&[]).unwrap();
        assert_eq!(config.base_url.as_str(), "https://api.workos.com/");
        assert_eq!(config.cookie.names(true).0, "__Host-wos-session");
        assert_eq!(config.cookie.max_age_secs, 34_560_000);
        assert_eq!(config.cookie.same_site, SameSite::Lax);
        assert!(config.redirect_uri.is_none() && config.issuer.is_none());
    }

    #[test]
    fn error_names_every_missing_variable() {
        let error = AuthKitConfig::from_lookup(|_| None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "WORKOS_API_KEY is missing; WORKOS_CLIENT_ID is missing; WORKOS_COOKIE_PASSWORD is missing"
        );
    }

    #[test]
    fn empty_value_counts_as_missing() {
        let error = parse(&[("WORKOS_API_KEY", ""), ("WORKOS_ISSUER", "")]).unwrap_err();
        assert_eq!(error.to_string(), "WORKOS_API_KEY is missing");
    }

    #[test]
    fn error_names_every_invalid_variable_but_no_value() {
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
            assert!(error.contains(name), "{name} is missing from: {error}");
        }
        assert!(!error.contains("hunter") && !error.contains("secret"), "{error}");
    }

    #[test]
    fn cookie_lasts_a_positive_number_of_seconds() {
        let parse = |value| parse(&[("WORKOS_COOKIE_MAX_AGE", value)]);
        for value in ["0", "-1", "1.5", "1 day", "4294967296"] {
            let error = parse(value).unwrap_err().to_string();
            let expected = "WORKOS_COOKIE_MAX_AGE is not a positive whole number of seconds";
            assert_eq!(error, expected, "{value}");
        }
        for value in ["1", "4294967295"] {
            assert!(parse(value).is_ok(), "{value}");
        }
    }

    #[test]
    fn base_url_keeps_its_path_without_trailing_slash() {
        let config = parse(&[("WORKOS_BASE_URL", "http://localhost:4100/workos/")]).unwrap();
        assert_eq!(config.base_url.as_str(), "http://localhost:4100/workos");
    }

    #[test]
    fn authkit_domain_must_be_a_secure_origin() {
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
    fn urls_must_be_https_or_loopback() {
        let urls = |name: &'static str, path: &str| {
            for url in
                ["https://x.test", "http://localhost:4100", "http://127.0.0.1", "http://[::1]:1"]
            {
                assert!(parse(&[(name, &format!("{url}{path}"))]).is_ok(), "{name}={url}");
            }
            for url in [
                "http://x.test",
                "http://localhost.x.test",
                "http://192.168.0.2",
                "http://0.0.0.0",
                "http://localhost@x.test",
                "ftp://x.test",
            ] {
                let error = parse(&[(name, &format!("{url}{path}"))]).unwrap_err().to_string();
                assert!(error.starts_with(&format!("{name} ")), "{name}={url}: {error}");
            }
        };
        urls("WORKOS_REDIRECT_URI", "/callback");
        for name in
            ["WORKOS_BASE_URL", "WORKOS_LOGOUT_REDIRECT", "WORKOS_AUTHKIT_DOMAIN", "PUBLIC_ORIGIN"]
        {
            urls(name, "");
        }
    }

    #[test]
    fn public_origin_must_be_a_bare_origin() {
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
    fn config_refuses_guessable_secrets() {
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
    fn config_refuses_swapped_api_key_and_client_id() {
        let swapped = [("WORKOS_API_KEY", "client_1"), ("WORKOS_CLIENT_ID", "sk_test_1")];
        let error = parse(&swapped).unwrap_err().to_string();
        assert!(error.contains("WORKOS_API_KEY is a client id"), "{error}");
        assert!(error.contains("WORKOS_CLIENT_ID is a secret key"), "{error}");
    }

    #[test]
    fn issuer_and_audience_must_have_no_space() {
        for name in ["WORKOS_ISSUER", "WORKOS_AUDIENCE"] {
            assert!(parse(&[(name, "https://auth.example.test")]).is_ok());
            assert!(parse(&[(name, "https://auth.example.test ")]).is_err());
        }
    }

    #[test]
    fn portal_permission_is_the_role_admin_by_default() {
        assert_eq!(parse(&[]).unwrap().portal_permission, "admin");
        let config = parse(&[("WORKOS_PORTAL_PERMISSION", "organization:manage")]).unwrap();
        assert_eq!(config.portal_permission, "organization:manage");
        let error = parse(&[("WORKOS_PORTAL_PERMISSION", "an admin")]).unwrap_err();
        assert!(error.to_string().starts_with("WORKOS_PORTAL_PERMISSION contains a space"));
    }

    #[test]
    fn redirect_uri_must_lead_to_the_callback() {
        let parsed = |uri| parse(&[("WORKOS_REDIRECT_URI", uri)]).map_err(|it| it.to_string());
        for uri in ["https://x.test/callback", "https://x.test/app/callback?a=1"] {
            assert!(parsed(uri).is_ok(), "{uri}");
        }
        for (uri, error) in [
            ("https://x.test/callback#x", "WORKOS_REDIRECT_URI must have no fragment"),
            ("https://x.test/auth", "WORKOS_REDIRECT_URI must end in /callback"),
            ("https://x.test", "WORKOS_REDIRECT_URI must end in /callback"),
        ] {
            assert_eq!(parsed(uri).unwrap_err(), error);
        }
    }

    #[test]
    fn session_issuer_must_differ_from_authkit_domain() {
        let domain = ("WORKOS_AUTHKIT_DOMAIN", "https://x.authkit.app/");
        assert!(parse(&[domain, ("WORKOS_ISSUER", "https://api.workos.com")]).is_ok());
        let error = parse(&[domain, ("WORKOS_ISSUER", "https://x.authkit.app")]).unwrap_err();
        assert_eq!(error.to_string(), "WORKOS_ISSUER must differ from WORKOS_AUTHKIT_DOMAIN");
    }

    #[test]
    fn data_jurisdiction_must_be_one_of_the_runtime() {
        for name in JURISDICTIONS {
            let config = parse(&[(edge_host::JURISDICTION_VARIABLE, name)]).unwrap();
            assert_eq!(config.data_jurisdiction.as_deref(), Some(name));
        }
        for name in ["EU", "mars", "eu "] {
            let error = parse(&[("DATA_JURISDICTION", name)]).unwrap_err();
            assert_eq!(error.to_string(), "DATA_JURISDICTION must be eu, fedramp or us");
        }
        assert!(parse(&[("DATA_JURISDICTION", "")]).unwrap().data_jurisdiction.is_none());
    }

    #[test]
    fn api_keys_are_off_unless_switched_on() {
        for (value, expected) in [("", false), ("off", false), ("on", true)] {
            assert_eq!(parse(&[("WORKOS_API_KEYS", value)]).unwrap().api_keys, expected, "{value}");
        }
        assert!(!parse(&[]).unwrap().api_keys);
        for value in ["ON", "true", "1", "on "] {
            let error = parse(&[("WORKOS_API_KEYS", value)]).unwrap_err();
            assert_eq!(error.to_string(), "WORKOS_API_KEYS must be on or off", "{value}");
        }
    }

    #[test]
    fn default_cookie_name_has_host_prefix_only_on_https() {
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
    fn host_prefix_excludes_a_cookie_domain() {
        let name = ("WORKOS_COOKIE_NAME", "__host-session");
        assert!(parse(&[name]).unwrap().cookie.must_be_secure());
        let error = parse(&[name, ("WORKOS_COOKIE_DOMAIN", "x.test")]).unwrap_err();
        assert!(error.to_string().starts_with("WORKOS_COOKIE_DOMAIN"), "{error}");
    }

    #[test]
    fn debug_output_contains_no_secret() {
        let config = parse(&[("WORKOS_WEBHOOK_SECRET", "whsec_hunter2")]).unwrap();
        let printed = format!("{config:?}");
        for secret in ["sk_test_1", "a password of", "hunter2"] {
            assert!(!printed.contains(secret), "{printed}");
        }
    }
}
