//! Cookies (RFC 6265bis): reading them from a request, writing `Set-Cookie`, and splitting a value
//! that is too long for one. Names and attributes only; what is inside is sealed elsewhere.
//!
//! A browser drops a cookie of more than 4,096 bytes without a word, so a longer value goes into
//! parts named `{name}.0`, `{name}.1`, …, read until the first that is missing. Whoever writes a
//! session also clears what the request still had of the other form, so that no stale part stays.

use http::{HeaderMap, HeaderValue, header};
use thiserror::Error;

use super::config::{CookieConfig, SameSite};

/// What browsers keep of a cookie, name, value and attributes together (RFC 6265bis, section 5.6).
pub const COOKIE_MAX_BYTES: usize = 4096;

/// More would pass the 32 KiB of headers that common proxies take.
pub const MAX_PARTS: usize = 8;

/// The cookies of one request, in the order sent. Names may repeat.
#[derive(Debug, Default)]
pub struct RequestCookies<'a>(Vec<(&'a str, &'a str)>);

impl<'a> RequestCookies<'a> {
    /// Reads every `Cookie` header. What is not `name=value` is passed over, and so is what is not
    /// UTF-8: another's odd cookie hides none of ours.
    #[must_use]
    pub fn from_headers(headers: &'a HeaderMap) -> Self {
        let pairs = headers
            .get_all(header::COOKIE)
            .iter()
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b';'))
            .filter_map(|pair| std::str::from_utf8(pair).ok()?.split_once('='))
            .map(|(name, value)| (name.trim(), value.trim()))
            .collect();
        Self(pairs)
    }

    /// Every value sent under `name`.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(sent, _)| *sent == name).map(|(_, value)| *value)
    }

    fn has(&self, name: &str) -> bool {
        self.values(name).next().is_some()
    }
}

/// The value does not fit in [`MAX_PARTS`] cookies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the value is too long for {MAX_PARTS} cookies")]
pub struct TooLong;

/// One cookie's name and attributes.
#[derive(Debug, Clone)]
pub struct Cookie<'a> {
    /// The name.
    pub name: &'a str,
    /// `Path`.
    pub path: &'a str,
    /// `Max-Age` in seconds.
    pub max_age_secs: u32,
    /// `Domain`; host-only without it.
    pub domain: Option<&'a str>,
    /// `SameSite`.
    pub same_site: SameSite,
    /// `Secure`: everywhere but on plain-http localhost, where not every client would send it back.
    pub secure: bool,
}

impl Cookie<'_> {
    /// `Set-Cookie` that gives the cookie this value, which must hold only what a cookie may.
    #[must_use]
    pub fn set(&self, value: &str) -> HeaderValue {
        self.header(self.name, value, self.max_age_secs)
    }

    /// `Set-Cookie` that removes the cookie.
    #[must_use]
    pub fn clear(&self) -> HeaderValue {
        self.header(self.name, "", 0)
    }

    fn header(&self, name: &str, value: &str, max_age_secs: u32) -> HeaderValue {
        let text = self.text(name, value, max_age_secs);
        // Names and attributes were checked with the configuration, values are base64: this holds.
        HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
    }

    fn text(&self, name: &str, value: &str, max_age_secs: u32) -> String {
        let Self { path, same_site, .. } = self;
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

    fn part_name(&self, index: usize) -> String {
        format!("{}.{index}", self.name)
    }

    /// The values that may be the session: each one sent under the plain name, then the parts put
    /// together. More than one only while a browser holds both forms, or two scopes of one name.
    #[must_use]
    pub fn read(&self, cookies: &RequestCookies<'_>) -> Vec<String> {
        let mut candidates: Vec<String> = cookies
            .values(self.name)
            .filter(|value| !value.is_empty())
            .map(str::to_owned)
            .collect();
        let parts: Vec<&str> = (0..MAX_PARTS)
            .map_while(|index| cookies.values(&self.part_name(index)).next())
            .collect();
        if !parts.is_empty() {
            candidates.push(parts.concat());
        }
        candidates
    }

    /// The `Set-Cookie` headers that store `value`, in one cookie or in parts, and clear whatever
    /// of the other form the request still had.
    ///
    /// # Errors
    ///
    /// [`TooLong`] when [`MAX_PARTS`] cookies do not hold it.
    pub fn write(
        &self,
        value: &str,
        cookies: &RequestCookies<'_>,
    ) -> Result<Vec<HeaderValue>, TooLong> {
        if self.text(self.name, value, self.max_age_secs).len() <= COOKIE_MAX_BYTES {
            let mut headers = self.clear_parts(0, cookies);
            headers.extend(self.clear_host_only_twin(cookies));
            headers.push(self.set(value));
            return Ok(headers);
        }
        let overhead = self.text(&self.part_name(MAX_PARTS - 1), "", self.max_age_secs).len();
        let room =
            COOKIE_MAX_BYTES.checked_sub(overhead).filter(|room| *room > 0).ok_or(TooLong)?;
        let parts: Vec<&[u8]> = value.as_bytes().chunks(room).collect();
        if parts.len() > MAX_PARTS {
            return Err(TooLong);
        }
        let mut headers = self.clear_parts(parts.len(), cookies);
        if cookies.has(self.name) {
            headers.push(self.clear());
        }
        for (index, part) in parts.iter().enumerate() {
            let part = std::str::from_utf8(part).map_err(|_| TooLong)?;
            headers.push(self.header(&self.part_name(index), part, self.max_age_secs));
        }
        Ok(headers)
    }

    /// The `Set-Cookie` headers that remove the value in whatever form the request had it.
    #[must_use]
    pub fn remove(&self, cookies: &RequestCookies<'_>) -> Vec<HeaderValue> {
        let mut headers = self.clear_parts(0, cookies);
        headers.extend(self.clear_host_only_twin(cookies));
        headers.push(self.clear());
        headers
    }

    /// When more than one value came under the name, and a `Domain` is set, one of them is left from
    /// before it was: host-only, and first in line for as long as it lives.
    fn clear_host_only_twin(&self, cookies: &RequestCookies<'_>) -> Option<HeaderValue> {
        let has_twin = self.domain.is_some() && cookies.values(self.name).count() > 1;
        has_twin.then(|| Cookie { domain: None, ..self.clone() }.clear())
    }

    fn clear_parts(&self, first: usize, cookies: &RequestCookies<'_>) -> Vec<HeaderValue> {
        (first..MAX_PARTS)
            .map(|index| self.part_name(index))
            .filter(|name| cookies.has(name))
            .map(|name| self.header(&name, "", 0))
            .collect()
    }
}

impl CookieConfig {
    /// The session cookie as it is set on an origin that is (`secure`) or is not on https.
    #[must_use]
    pub fn session_cookie(&self, secure: bool) -> Cookie<'_> {
        let secure = secure || self.must_be_secure();
        // Browsers drop `SameSite=None` without `Secure`.
        let same_site = match self.same_site {
            SameSite::None if !secure => SameSite::Lax,
            same_site => same_site,
        };
        Cookie {
            name: &self.name,
            path: "/",
            max_age_secs: self.max_age_secs,
            domain: self.domain.as_deref(),
            same_site,
            secure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: Cookie<'_> = Cookie {
        name: "wos-session",
        path: "/",
        max_age_secs: 34_560_000,
        domain: None,
        same_site: SameSite::Lax,
        secure: true,
    };

    fn request(cookie: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, HeaderValue::try_from(cookie).unwrap());
        headers
    }

    /// A browser's jar: what is left after these `Set-Cookie` headers, as a `Cookie` header.
    fn apply(jar: &HeaderMap, set_cookies: &[HeaderValue]) -> HeaderMap {
        let mut pairs: Vec<(String, String)> = RequestCookies::from_headers(jar)
            .0
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        for header in set_cookies {
            let text = header.to_str().unwrap();
            assert!(text.len() <= COOKIE_MAX_BYTES, "a browser drops {} bytes", text.len());
            let (name, rest) = text.split_once('=').unwrap();
            pairs.retain(|(kept, _)| kept != name);
            if !text.contains("Max-Age=0;") {
                pairs.push((name.to_owned(), rest.split(';').next().unwrap().to_owned()));
            }
        }
        let cookie: Vec<String> =
            pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if cookie.is_empty() { HeaderMap::new() } else { request(&cookie.join("; ")) }
    }

    fn names(jar: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<_> =
            RequestCookies::from_headers(jar).0.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn set_cookie_carries_every_attribute() {
        assert_eq!(
            SESSION.set("abc").to_str().unwrap(),
            "wos-session=abc; Path=/; Max-Age=34560000; SameSite=Lax; HttpOnly; Secure"
        );
        let cookie = Cookie { domain: Some("x.test"), secure: false, ..SESSION };
        assert_eq!(
            cookie.clear().to_str().unwrap(),
            "wos-session=; Path=/; Max-Age=0; SameSite=Lax; HttpOnly; Domain=x.test"
        );
    }

    #[test]
    fn cookies_are_read_whatever_stands_around_them() {
        let headers = request("a=1;b=2 ; nonsense; c==; wos-session=x=y; wos-session=z");
        let cookies = RequestCookies::from_headers(&headers);
        assert_eq!(cookies.values("b").collect::<Vec<_>>(), ["2"]);
        assert_eq!(cookies.values("c").collect::<Vec<_>>(), ["="]);
        assert_eq!(SESSION.read(&cookies), ["x=y", "z"]);
        assert_eq!(cookies.values("nonsense").count(), 0);
    }

    #[test]
    fn an_odd_cookie_hides_no_other() {
        for odd in ["theme=🌀".as_bytes(), b"latin=\xe9", b"nonsense"] {
            let header = [odd, b"; wos-session=x"].concat();
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, HeaderValue::from_bytes(&header).unwrap());
            assert_eq!(SESSION.read(&RequestCookies::from_headers(&headers)), ["x"], "{odd:?}");
        }
    }

    #[test]
    fn a_value_of_any_size_comes_back_and_leaves_no_stale_part() {
        let mut jar = HeaderMap::new();
        for length in [10, 4000, 4020, 4021, 4030, 4096, 9000, 30_000, 5000, 8200, 1, 12_000, 3] {
            let value = "x".repeat(length);
            let headers = SESSION.write(&value, &RequestCookies::from_headers(&jar)).unwrap();
            jar = apply(&jar, &headers);
            assert_eq!(
                SESSION.read(&RequestCookies::from_headers(&jar)),
                [value],
                "{length} bytes with {:?}",
                names(&jar)
            );
        }
        assert_eq!(names(&jar), ["wos-session"]);
    }

    #[test]
    fn removing_leaves_nothing_of_either_form() {
        for value in ["short".to_owned(), "long".repeat(3000)] {
            let empty = HeaderMap::new();
            let set = SESSION.write(&value, &RequestCookies::from_headers(&empty)).unwrap();
            let jar = apply(&empty, &set);
            let removed = SESSION.remove(&RequestCookies::from_headers(&jar));
            assert!(apply(&jar, &removed).is_empty());
        }
    }

    #[test]
    fn what_eight_cookies_do_not_hold_is_refused() {
        let value = "x".repeat(MAX_PARTS * COOKIE_MAX_BYTES);
        assert_eq!(SESSION.write(&value, &RequestCookies::default()), Err(TooLong));
    }

    #[test]
    fn a_missing_part_ends_the_value() {
        let headers = request("wos-session.0=a; wos-session.2=c");
        assert_eq!(SESSION.read(&RequestCookies::from_headers(&headers)), ["a"]);
    }
}
