//! Cookies (RFC 6265bis): reads them from a request, writes `Set-Cookie`, and splits a value that is
//! too long for one cookie. This module handles names and attributes; `seal` and `session` handle the
//! values.
//!
//! A browser drops a cookie of more than 4,096 bytes without an error, so a longer value is split into
//! parts named `{name}.0`, `{name}.1`, ….
//!
//! One browser may hold several copies of the session cookie: under the default name of an earlier
//! configuration, host-only and for a domain, whole and in parts. A `Cookie` header contains neither the
//! domain nor the age of a cookie. [`SessionCookie`] therefore
//!
//! - reads every combination that may be a session, and lets the caller open each of them;
//! - clears, with each session that it writes or removes, all other copies that the request carried, in
//!   every domain for which this host can set cookies.

use std::cell::Cell;

use edge_host::scan;
use http::{HeaderMap, HeaderValue, header};
use thiserror::Error;
use url::Host;

use crate::{
    config::{CookieConfig, HOST_PREFIX, SECURE_PREFIX, SameSite, has_prefix},
    origin::RequestOrigin,
};

/// The longest cookie that all browsers keep: name, value and attributes together (RFC 6265bis, section 5.6).
pub const COOKIE_MAX_BYTES: usize = 4096;
/// The most bytes that are opened for one request: two sessions of the greatest size, of which every
/// length is tried. Anybody can send cookies that do not open.
const OPENED_MAX_BYTES: usize = 2 * (1 + MAX_PARTS) * MAX_PARTS / 2 * COOKIE_MAX_BYTES;

/// The most parts of one value. More would exceed the 32 KiB of headers that common proxies accept.
pub const MAX_PARTS: usize = 8;

/// The most copies of one cookie name that are tried as a session. A browser holds one for each domain of the
/// host; further copies come from an attacker.
const MAX_COPIES: usize = 8;

/// The most domains, the host's own included, in which stale copies are cleared. Host names in practice have
/// fewer, and each domain adds headers to the response.
const MAX_PARENT_DOMAINS: usize = 4;

/// The cookies of one request, in their order. Names may repeat.
#[derive(Debug, Default)]
pub struct RequestCookies<'a>(Vec<(&'a str, &'a str)>);

impl<'a> RequestCookies<'a> {
    /// Reads every `Cookie` header. It skips pairs without `=` and pairs that are not UTF-8, so that a cookie
    /// of another application never hides the session.
    #[must_use]
    pub fn from_headers(headers: &'a HeaderMap) -> Self {
        Self::from_values(headers.get_all(header::COOKIE))
    }

    /// Reads these values of `Cookie` headers.
    pub(crate) fn from_values(values: impl IntoIterator<Item = &'a HeaderValue>) -> Self {
        let mut cookies = Self::default();
        for value in values {
            cookies.add(value);
        }
        cookies
    }

    fn add(&mut self, header: &'a HeaderValue) {
        for (name, value) in pairs(header) {
            if let (Ok(name), Ok(value)) = (str::from_utf8(name), str::from_utf8(value)) {
                self.0.push((name, value));
            }
        }
    }

    /// Every value of the cookies named `name`.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(sent, _)| *sent == name).map(|(_, value)| *value)
    }

    /// Every value of the cookies with the [`part_name`] of `name` and `index`.
    fn parts(&self, name: &str, index: usize) -> impl Iterator<Item = &'a str> {
        let is_part = move |sent: &str| {
            let suffix = sent.strip_prefix(name).and_then(|rest| rest.strip_prefix('.'));
            suffix.is_some_and(
                |suffix| matches!(suffix.as_bytes(), [digit] if is_index(*digit, index)),
            )
        };
        self.0.iter().filter(move |(sent, _)| is_part(sent)).map(|(_, value)| *value)
    }

    fn has(&self, name: &str) -> bool {
        self.values(name).next().is_some()
    }
}

/// The names and values in a `Cookie` header.
pub(crate) fn pairs(header: &HeaderValue) -> impl Iterator<Item = (&[u8], &[u8])> {
    scan::split(header.as_bytes(), b';').filter_map(|pair| {
        let end = pair.iter().position(|byte| *byte == b'=')?;
        Some((trimmed(&pair[..end]), trimmed(&pair[end + 1..])))
    })
}

/// RFC 6265bis, section 5.6, trims only space and tab. If this trimmed other white space too, another host of the
/// domain could set a cookie whose trimmed name begins with `__Host-`.
fn trimmed(text: &[u8]) -> &[u8] {
    let is_kept = |byte: &u8| !matches!(byte, b' ' | b'\t');
    let start = text.iter().position(is_kept).unwrap_or(text.len());
    let end = text.iter().rposition(is_kept).map_or(start, |last| last + 1);
    &text[start..end]
}

/// The value does not fit in [`MAX_PARTS`] cookies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the value is too long for {MAX_PARTS} cookies")]
pub struct TooLong;

/// The name and attributes of one cookie.
#[derive(Debug, Clone)]
pub struct Cookie<'a> {
    /// The name.
    pub name: &'a str,
    /// `Path`.
    pub path: &'a str,
    /// `Max-Age` in seconds.
    pub max_age_secs: u32,
    /// `Domain`; `None` makes the cookie host-only.
    pub domain: Option<&'a str>,
    /// `SameSite`.
    pub same_site: SameSite,
    /// `Secure`: set except on plain-http localhost, where some clients would not send the cookie back.
    pub secure: bool,
}

impl Cookie<'_> {
    /// The `Set-Cookie` header that sets `value`, which must consist of characters that a cookie may contain
    /// (RFC 6265, section 4.1.1).
    #[must_use]
    pub fn set(&self, value: &str) -> HeaderValue {
        // Never invalid: the configuration checks names and attributes, and values are base64.
        HeaderValue::try_from(self.text(value)).unwrap_or_else(|_| HeaderValue::from_static(""))
    }

    /// The `Set-Cookie` header that removes the cookie.
    #[must_use]
    pub fn clear(&self) -> HeaderValue {
        Cookie { max_age_secs: 0, ..self.clone() }.set("")
    }

    fn text(&self, value: &str) -> String {
        let Self { name, path, max_age_secs, same_site, .. } = self;
        let mut text = format!(
            "{name}={value}; Path={path}; Max-Age={max_age_secs}; SameSite={same_site}; HttpOnly"
        );
        if let Some(domain) = self.domain {
            text.push_str("; Domain=");
            text.push_str(domain);
        }
        if self.secure {
            text.push_str("; Secure");
        }
        text
    }
}

/// The session cookie on one origin.
#[derive(Debug, Clone)]
pub struct SessionCookie<'a> {
    cookie: Cookie<'a>,
    /// The other default name, which an earlier configuration used. Sessions under it are read, and written
    /// again under the current name.
    former_name: Option<&'static str>,
    origin: RequestOrigin,
}

impl SessionCookie<'_> {
    /// Whether the request carries a cookie under the current or the former name.
    #[must_use]
    pub fn is_sent(&self, cookies: &RequestCookies<'_>) -> bool {
        self.names().any(|name| is_sent_under(name, cookies))
    }

    /// Whether the request carries a session only under the former name, so that the response must write it
    /// under the current name.
    #[must_use]
    pub fn is_under_former_name(&self, cookies: &RequestCookies<'_>) -> bool {
        !is_sent_under(self.cookie.name, cookies) && self.is_sent(cookies)
    }

    /// Every value of the request that `open` accepts. Cookies under the former name count only if the request
    /// has none under the current name: another host of the domain can plant a cookie whose name lacks
    /// `__Host-`, and must not replace a session with it.
    pub fn read<T>(
        &self,
        cookies: &RequestCookies<'_>,
        open: impl Fn(&str) -> Option<T>,
    ) -> Vec<T> {
        let name = self.names().find(|name| is_sent_under(name, cookies));
        name.map_or_else(Vec::new, |name| open_values(name, cookies, &open))
    }

    /// Every value of the request that `open` accepts, under the current and the former name. Sign-out ends
    /// all of these sessions.
    pub fn read_all<T>(
        &self,
        cookies: &RequestCookies<'_>,
        open: impl Fn(&str) -> Option<T>,
    ) -> Vec<T> {
        let mut opened = Vec::new();
        for name in self.names() {
            opened.extend(open_values(name, cookies, &open));
        }
        opened
    }

    /// The `Set-Cookie` headers that set `value`, in one cookie or in parts, and clear all other copies that
    /// the request carried.
    ///
    /// # Errors
    ///
    /// [`TooLong`] if `value` does not fit in [`MAX_PARTS`] cookies.
    pub fn write(
        &self,
        value: &str,
        cookies: &RequestCookies<'_>,
    ) -> Result<Vec<HeaderValue>, TooLong> {
        let pieces = self.split(value)?;
        let written: Vec<&str> = pieces.iter().map(|(name, _)| name.as_str()).collect();
        // The headers that clear come first: in a cookie store that confuses host-only and domain cookies, the
        // last header wins.
        let mut headers = self.clear_copies(&written, cookies);
        headers.extend(pieces.iter().map(|(name, piece)| self.named(name).set(piece)));
        Ok(headers)
    }

    /// The `Set-Cookie` headers that remove every copy that the request carried.
    #[must_use]
    pub fn remove(&self, cookies: &RequestCookies<'_>) -> Vec<HeaderValue> {
        let mut headers = self.clear_copies(&[], cookies);
        // The browser may hold a cookie that it did not send with this request.
        if !cookies.has(self.cookie.name) {
            headers.push(self.cookie.clear());
        }
        headers
    }

    /// The current name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.cookie.name
    }

    /// Whether the cookie is set with `Secure`.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.cookie.secure
    }

    /// The configured `Domain`. The caller checks that the host is within it.
    #[must_use]
    pub fn domain(&self) -> Option<&str> {
        self.cookie.domain
    }

    /// The configured `SameSite`.
    #[must_use]
    pub fn same_site(&self) -> SameSite {
        self.cookie.same_site
    }

    /// The current name, then the former one.
    fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.cookie.name).chain(self.former_name)
    }

    fn named<'b>(&'b self, name: &'b str) -> Cookie<'b> {
        Cookie { name, ..self.cookie.clone() }
    }

    /// The names and values of the cookies that carry `value`: one under the plain name, or parts.
    fn split<'v>(&self, value: &'v str) -> Result<Vec<(String, &'v str)>, TooLong> {
        if self.cookie.text(value).len() <= COOKIE_MAX_BYTES {
            return Ok(vec![(self.cookie.name.to_owned(), value)]);
        }
        let overhead = self.named(&part_name(self.cookie.name, MAX_PARTS - 1)).text("").len();
        let room =
            COOKIE_MAX_BYTES.checked_sub(overhead).filter(|room| *room > 0).ok_or(TooLong)?;
        let pieces = value.as_bytes().chunks(room);
        if pieces.len() > MAX_PARTS {
            return Err(TooLong);
        }
        pieces
            .enumerate()
            .map(|(index, piece)| {
                let piece = std::str::from_utf8(piece).map_err(|_| TooLong)?;
                Ok((part_name(self.cookie.name, index), piece))
            })
            .collect()
    }

    /// Clears every copy of the session that the request carried, in every domain, except for the cookies that
    /// the response has `written`.
    fn clear_copies(&self, written: &[&str], cookies: &RequestCookies<'_>) -> Vec<HeaderValue> {
        let domains = self.host_domains();
        let mut cleared = Vec::new();
        for name in self.names().flat_map(whole_and_part_names) {
            if cookies.has(&name) {
                cleared.extend(self.clear_everywhere(&name, written.contains(&&*name), &domains));
            }
        }
        cleared
    }

    /// Clears `name` host-only and in each domain. With `is_written` it leaves the configured domain out.
    fn clear_everywhere(
        &self,
        name: &str,
        is_written: bool,
        host_domains: &[String],
    ) -> Vec<HeaderValue> {
        // Browsers apply the rules of these prefixes also to a `Set-Cookie` that removes a cookie.
        let is_host_only = has_prefix(name, HOST_PREFIX);
        let secure = self.cookie.secure || is_host_only || has_prefix(name, SECURE_PREFIX);
        let domains = if is_host_only { &[] } else { host_domains };
        std::iter::once(None)
            .chain(domains.iter().map(|domain| Some(domain.as_str())))
            .filter(|domain| !(is_written && self.is_configured(*domain)))
            .map(|domain| Cookie { domain, secure, ..self.named(name) }.clear())
            .collect()
    }

    /// Every `Domain` for which another configuration of this host may have set the cookie.
    fn host_domains(&self) -> Vec<String> {
        let mut domains = host_domains(&self.origin);
        if let Some(domain) = self.cookie.domain
            && !domains.iter().any(|known| is_same_domain(known, domain))
        {
            domains.push(domain.to_owned());
        }
        domains
    }

    fn is_configured(&self, domain: Option<&str>) -> bool {
        match (self.cookie.domain, domain) {
            (Some(configured), Some(domain)) => is_same_domain(configured, domain),
            (configured, domain) => configured == domain,
        }
    }
}

fn part_name(name: &str, index: usize) -> String {
    format!("{name}.{index}")
}

/// Whether `digit` is the index of a part, which is always one digit.
fn is_index(digit: u8, index: usize) -> bool {
    const { assert!(MAX_PARTS <= 10) };
    digit.is_ascii_digit() && usize::from(digit - b'0') == index
}

/// The plain name and the names of the parts.
fn whole_and_part_names(name: &str) -> Vec<String> {
    let mut names = vec![name.to_owned()];
    names.extend((0..MAX_PARTS).map(|index| part_name(name, index)));
    names
}

fn is_sent_under(name: &str, cookies: &RequestCookies<'_>) -> bool {
    // A session is never empty. Some clients keep a cleared cookie with an empty value.
    let mut parts = cookies.parts(name, 0);
    cookies.values(name).chain(&mut parts).any(|value| !value.is_empty())
}

/// The values under `name` that `open` accepts: each whole value, then each sequence of parts.
///
/// Copies in several domains repeat the name. Browsers send the copies of a name in the order of creation, so
/// the n-th values of all parts belong together. A stale or planted part may follow the last part of a session,
/// so shorter sequences are tried until one opens.
fn open_values<T>(
    name: &str,
    cookies: &RequestCookies<'_>,
    open: &dyn Fn(&str) -> Option<T>,
) -> Vec<T> {
    let left = Cell::new(OPENED_MAX_BYTES);
    let open = |value: &str| {
        left.set(left.get().checked_sub(value.len())?);
        open(value)
    };
    let whole = cookies.values(name).filter(|value| !value.is_empty()).take(MAX_COPIES);
    let mut opened: Vec<T> = whole.filter_map(&open).collect();
    if cookies.parts(name, 0).next().is_some() {
        opened.extend(open_parts(name, cookies, &open));
    }
    opened
}

/// As [`open_values`], of the sessions in several parts.
#[inline(never)]
fn open_parts<T>(
    name: &str,
    cookies: &RequestCookies<'_>,
    open: &dyn Fn(&str) -> Option<T>,
) -> Vec<T> {
    // A browser keeps no longer part.
    let is_kept = |value: &&str| value.len() <= COOKIE_MAX_BYTES;
    let parts: Vec<Vec<&str>> = (0..MAX_PARTS)
        .map(|index| cookies.parts(name, index).filter(is_kept).take(MAX_COPIES).collect())
        .take_while(|copies: &Vec<&str>| !copies.is_empty())
        .collect();
    let most_copies = parts.iter().map(Vec::len).max().unwrap_or_default();
    let mut opened = Vec::new();
    for copy in 0..most_copies {
        let sequence: Vec<&str> =
            parts.iter().filter_map(|copies| copies.get(copy).or(copies.last()).copied()).collect();
        let lengths = (1..=sequence.len()).rev();
        opened.extend(lengths.filter_map(|length| open(&sequence[..length].concat())).next());
    }
    opened
}

/// Compares `Domain` attributes without case and without a leading dot (RFC 6265bis, section 5.6.3).
fn is_same_domain(a: &str, b: &str) -> bool {
    a.trim_start_matches('.').eq_ignore_ascii_case(b.trim_start_matches('.'))
}

/// The host and its parent domains of at least two labels. Browsers refuse cookies for top-level domains and
/// other public suffixes, addresses have no domain, and `localhost` has no parent.
fn host_domains(origin: &RequestOrigin) -> Vec<String> {
    let Some(Host::Domain(host)) = origin.url().host() else { return Vec::new() };
    let labels: Vec<&str> = host.split('.').collect();
    let parents = 0..labels.len().saturating_sub(1);
    parents.take(MAX_PARENT_DOMAINS).map(|first| labels[first..].join(".")).collect()
}

impl CookieConfig {
    /// The session cookie for `origin`.
    #[must_use]
    pub fn session_cookie(&self, origin: &RequestOrigin) -> SessionCookie<'_> {
        let secure = origin.is_secure() || self.must_be_secure();
        // Browsers drop `SameSite=None` without `Secure`.
        let same_site = match self.same_site {
            SameSite::None if !secure => SameSite::Lax,
            same_site => same_site,
        };
        let (name, former_name) = self.names(origin.is_secure());
        let cookie = Cookie {
            name,
            path: "/",
            max_age_secs: self.max_age_secs,
            domain: self.domain.as_deref(),
            same_site,
            secure,
        };
        SessionCookie { cookie, former_name, origin: origin.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use url::Url;

    const HOST: &str = "app.example.test";
    const PLAIN: &str = "wos-session";
    const PREFIXED: &str = "__Host-wos-session";

    fn origin(url: &str) -> RequestOrigin {
        RequestOrigin::of_url(Url::parse(url).unwrap()).unwrap()
    }

    fn config(name: Option<&str>, domain: Option<&str>) -> CookieConfig {
        CookieConfig {
            name: name.map(str::to_owned),
            max_age_secs: 34_560_000,
            domain: domain.map(str::to_owned),
            same_site: SameSite::Lax,
        }
    }

    fn request(cookie: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, HeaderValue::try_from(cookie).unwrap());
        headers
    }

    /// A browser's cookies for [`HOST`], in the order of creation. The name and `Domain` identify a cookie
    /// (RFC 6265bis, section 5.7).
    #[derive(Default, Clone)]
    struct Jar(Vec<(String, Option<String>, String)>);

    impl Jar {
        fn headers(&self) -> HeaderMap {
            let pairs: Vec<_> =
                self.0.iter().map(|(name, _, value)| format!("{name}={value}")).collect();
            if pairs.is_empty() { HeaderMap::new() } else { request(&pairs.join("; ")) }
        }

        fn store(&mut self, set_cookies: &[HeaderValue]) {
            for text in set_cookies.iter().map(|header| header.to_str().unwrap()) {
                assert!(text.len() <= COOKIE_MAX_BYTES, "a browser drops {} bytes", text.len());
                let (name, rest) = text.split_once('=').unwrap();
                let attribute = |name: &str| {
                    rest.split("; ").find_map(|part| part.strip_prefix(name)).map(str::to_owned)
                };
                let domain = attribute("Domain=");
                let is_refused = name.starts_with(HOST_PREFIX)
                    && (domain.is_some() || attribute("Secure").is_none());
                assert!(!is_refused, "a browser refuses {text}");
                let value = rest.split(';').next().unwrap().to_owned();
                let place = self.0.iter().position(|(n, d, _)| n == name && *d == domain);
                match (attribute("Max-Age=0").is_some(), place) {
                    (true, Some(place)) => drop(self.0.remove(place)),
                    (true, None) => {}
                    (false, Some(place)) => self.0[place].2 = value,
                    (false, None) => self.0.push((name.to_owned(), domain, value)),
                }
            }
        }

        fn write(&mut self, config: &CookieConfig, value: &str) {
            let headers = self.headers();
            let cookie = config.session_cookie(&https());
            let written = cookie.write(value, &RequestCookies::from_headers(&headers));
            self.store(&written.unwrap());
        }

        fn remove(&mut self, config: &CookieConfig) {
            let headers = self.headers();
            let cookie = config.session_cookie(&https());
            self.store(&cookie.remove(&RequestCookies::from_headers(&headers)));
        }

        /// The values that open. A value from [`sealed`] begins with `(` and ends with its only `)`.
        fn read(&self, config: &CookieConfig) -> Vec<String> {
            let headers = self.headers();
            let open = |value: &str| {
                let is_one = value.starts_with('(') && value.find(')') == Some(value.len() - 1);
                is_one.then(|| value.to_owned())
            };
            config.session_cookie(&https()).read(&RequestCookies::from_headers(&headers), open)
        }

        fn names(&self) -> Vec<&str> {
            self.0.iter().map(|(name, ..)| name.as_str()).collect()
        }
    }

    fn https() -> RequestOrigin {
        origin(&format!("https://{HOST}"))
    }

    /// A value of `length` bytes that repeats `mark`.
    fn sealed(mark: &str, length: usize) -> String {
        format!("({})", mark.repeat(length.saturating_sub(2)))
    }

    fn read_all(config: &CookieConfig, headers: &HeaderMap) -> Vec<String> {
        let cookies = RequestCookies::from_headers(headers);
        config.session_cookie(&https()).read(&cookies, |value| Some(value.to_owned()))
    }

    #[test]
    fn set_cookie_carries_every_attribute() {
        let cookie = Cookie {
            name: PLAIN,
            path: "/",
            max_age_secs: 34_560_000,
            domain: None,
            same_site: SameSite::Lax,
            secure: true,
        };
        assert_eq!(
            cookie.set("abc").to_str().unwrap(),
            "wos-session=abc; Path=/; Max-Age=34560000; SameSite=Lax; HttpOnly; Secure"
        );
        let cookie = Cookie { domain: Some("x.test"), secure: false, ..cookie };
        assert_eq!(
            cookie.clear().to_str().unwrap(),
            "wos-session=; Path=/; Max-Age=0; SameSite=Lax; HttpOnly; Domain=x.test"
        );
    }

    #[test]
    fn cookie_header_is_read_despite_odd_pairs() {
        let headers = request("a=1;b=2 ; nonsense; c==; wos-session=x=y; wos-session=z");
        let cookies = RequestCookies::from_headers(&headers);
        assert_eq!(cookies.values("b").collect::<Vec<_>>(), ["2"]);
        assert_eq!(cookies.values("c").collect::<Vec<_>>(), ["="]);
        assert_eq!(read_all(&config(Some(PLAIN), None), &headers), ["x=y", "z"]);
        assert_eq!(cookies.values("nonsense").count(), 0);
    }

    #[test]
    fn cookie_name_keeps_white_space_besides_space_and_tab() {
        for space in ["\u{85}", "\u{a0}", "\u{2000}", "\u{3000}", "\u{b}", "\u{c}"] {
            let header = format!("{space}wos-session=planted; \twos-session=x ");
            let mut headers = HeaderMap::new();
            let header = HeaderValue::from_maybe_shared(bytes::Bytes::from(header));
            let Ok(header) = header else { continue };
            headers.insert(header::COOKIE, header);
            let cookies = RequestCookies::from_headers(&headers);
            assert_eq!(cookies.values("wos-session").collect::<Vec<_>>(), ["x"], "{space:?}");
        }
    }

    #[test]
    fn invalid_cookie_hides_no_session() {
        for invalid in ["theme=🌀".as_bytes(), b"latin=\xe9", b"nonsense"] {
            let header = [invalid, b"; wos-session=x"].concat();
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, HeaderValue::from_bytes(&header).unwrap());
            assert_eq!(read_all(&config(Some(PLAIN), None), &headers), ["x"], "{invalid:?}");
        }
    }

    #[test]
    fn value_of_any_size_round_trips_without_stale_parts() {
        let mut jar = Jar::default();
        let config = config(Some(PLAIN), None);
        for length in [10, 4000, 4020, 4021, 4030, 4096, 9000, 30_000, 5000, 8200, 2, 12_000, 3] {
            let value = sealed("x", length);
            jar.write(&config, &value);
            assert_eq!(jar.read(&config), [value], "{length} bytes with {:?}", jar.names());
        }
        assert_eq!(jar.names(), [PLAIN]);
    }

    #[test]
    fn write_refuses_a_value_too_long_for_eight_cookies() {
        let value = "x".repeat(MAX_PARTS * COOKIE_MAX_BYTES);
        let config = config(None, None);
        let cookie = config.session_cookie(&https());
        assert_eq!(cookie.write(&value, &RequestCookies::default()), Err(TooLong));
    }

    #[test]
    fn read_stops_at_the_first_missing_part() {
        let headers = request("wos-session.0=a; wos-session.2=c");
        assert_eq!(read_all(&config(Some(PLAIN), None), &headers), ["a"]);
    }

    /// Every change of the cookie's domain, in both directions, with the default and a configured name.
    fn changes() -> Vec<(CookieConfig, CookieConfig)> {
        let domains = [None, Some("example.test"), Some(HOST)];
        let pairs = domains.iter().flat_map(|a| domains.iter().map(move |b| (*a, *b)));
        [None, Some(PLAIN)]
            .into_iter()
            .flat_map(|name| pairs.clone().map(move |(a, b)| (config(name, a), config(name, b))))
            .collect()
    }

    #[test]
    fn session_survives_every_domain_change() {
        for (before, after) in changes() {
            for length in [100, 9000] {
                let mut jar = Jar::default();
                let session = sealed("a", length);
                jar.write(&before, &session);
                assert_eq!(jar.read(&after), [&*session], "{before:?} to {after:?}");

                jar.write(&after, &session);
                let mut fresh = Jar::default();
                fresh.write(&after, &session);
                assert_eq!(jar.0, fresh.0, "{before:?} to {after:?}");
            }
        }
    }

    #[test]
    fn removal_leaves_no_copy_after_a_domain_change() {
        for (before, after) in changes() {
            for length in [100, 9000] {
                let mut jar = Jar::default();
                jar.write(&before, &sealed("a", length));
                jar.remove(&after);
                assert_eq!(jar.names(), [""; 0], "{before:?} to {after:?}");
            }
        }
    }

    /// Earlier releases left a host-only copy and a domain copy side by side, because they cleared no copies.
    #[test]
    fn read_returns_each_copy_of_a_session() {
        let (host_only, domain) = (config(Some(PLAIN), None), config(Some(PLAIN), Some(HOST)));
        for (old_length, new_length) in
            [(100, 100), (100, 9000), (9000, 100), (9000, 9000), (5000, 13_000), (13_000, 5000)]
        {
            let (mut jar, mut second) = (Jar::default(), Jar::default());
            jar.write(&host_only, &sealed("a", old_length));
            second.write(&domain, &sealed("b", new_length));
            jar.0.extend(second.0);
            let mut read = jar.read(&domain);
            read.sort();
            assert_eq!(read, [sealed("a", old_length), sealed("b", new_length)]);

            jar.write(&domain, &sealed("c", new_length));
            assert_eq!(jar.read(&domain), [sealed("c", new_length)]);
            jar.remove(&domain);
            assert_eq!(jar.names(), [""; 0]);
        }
    }

    #[test]
    fn planted_part_does_not_hide_a_session_in_parts() {
        let config = config(Some(PLAIN), None);
        let mut jar = Jar::default();
        jar.write(&config, &sealed("a", 8000));
        assert_eq!(jar.names(), ["wos-session.0", "wos-session.1"]);
        for (name, is_first) in [
            ("wos-session", true),
            ("wos-session.0", true),
            ("wos-session.0", false),
            ("wos-session.1", true),
            ("wos-session.2", false),
            ("wos-session.7", false),
        ] {
            let mut planted = jar.clone();
            let copy = (name.to_owned(), Some("example.test".to_owned()), "planted".to_owned());
            planted.0.insert(if is_first { 0 } else { 2 }, copy);
            assert_eq!(planted.read(&config), [sealed("a", 8000)], "{name}");
        }
    }

    #[test]
    fn cookies_that_do_not_open_cost_little() {
        let config = config(Some(PLAIN), None);
        let part = "x".repeat(COOKIE_MAX_BYTES);
        let parts = (0..MAX_PARTS).map(|index| format!("{PLAIN}.{index}={part}; "));
        let copies = format!("{PLAIN}.0=x; ").repeat(MAX_COPIES - 1);
        let too_long = format!("{PLAIN}.0={part}x; ");
        let headers = request(&(too_long + &parts.collect::<String>() + &copies));
        let opened = Cell::new(0);
        let cookies = RequestCookies::from_headers(&headers);
        let none: Vec<()> = config.session_cookie(&https()).read(&cookies, |value| {
            opened.set(opened.get() + value.len());
            None
        });
        assert!(none.is_empty());
        let one_session = (1 + MAX_PARTS) * MAX_PARTS / 2 * COOKIE_MAX_BYTES;
        assert!(opened.get() > one_session, "each length is tried: {opened:?}");
        assert!(opened.get() <= 2 * one_session, "{opened:?}");
    }

    #[test]
    fn former_name_counts_only_without_the_current_name() {
        let config = config(None, None);
        let planted = format!("{PLAIN}={}", sealed("evil", 100));
        let headers = request(&planted);
        assert_eq!(read_all(&config, &headers), [sealed("evil", 100)]);
        let cookie = config.session_cookie(&https());
        assert!(cookie.is_under_former_name(&RequestCookies::from_headers(&headers)));

        for own in [format!("{PREFIXED}=(own)"), format!("{PREFIXED}.0=(own)")] {
            let headers = request(&format!("{planted}; {own}"));
            assert_eq!(read_all(&config, &headers), ["(own)"]);
            assert!(!cookie.is_under_former_name(&RequestCookies::from_headers(&headers)));
        }
    }

    #[test]
    fn host_domains_are_the_host_and_its_parents() {
        for (url, expected) in [
            ("https://app.example.test", &["app.example.test", "example.test"][..]),
            (
                "https://a.b.c.d.e.f.test",
                &["a.b.c.d.e.f.test", "b.c.d.e.f.test", "c.d.e.f.test", "d.e.f.test"],
            ),
            ("https://localhost", &[]),
            ("https://192.0.2.1", &[]),
            ("https://[::1]", &[]),
        ] {
            assert_eq!(host_domains(&origin(url)), expected, "{url}");
        }
    }
}
