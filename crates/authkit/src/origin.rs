//! The Worker's own origin (RFC 6454), and the checks that depend on it: whether the connection can carry
//! `Secure` cookies, and whether a page of another site sent the request (CSRF).
//!
//! The origin comes from the request's URL. Where TLS ends in front of the Worker, as with a tunnel to a
//! developer's machine, browsers see another URL, and the operator sets `PUBLIC_ORIGIN`, which replaces the
//! origin of every request. Forwarded headers are ignored, because any client can send them.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use axum::extract::Request;
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header, uri::PathAndQuery};
use url::{Host, Url};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// The headers that tell of a prefetch. As constants: to find a header by a text takes a microsecond.
const PURPOSES: [HeaderName; 3] = [
    HeaderName::from_static("sec-purpose"),
    HeaderName::from_static("purpose"),
    HeaderName::from_static("x-moz"),
];

/// The origin under which browsers and clients see this Worker. Clones share it.
#[derive(Debug, Clone)]
pub struct RequestOrigin(Arc<Origin>);

#[derive(Debug)]
struct Origin {
    /// `https://host[:port]`, as browsers send it in `Origin`.
    serialized: String,
    host: String,
    is_http: bool,
    is_https: bool,
    is_loopback: bool,
    /// Made when it is first needed.
    url: OnceLock<Url>,
}

impl RequestOrigin {
    /// The origin of a request's URL; `None` for a request without a host.
    pub(crate) fn of_request(uri: &Uri, headers: &HeaderMap) -> Option<Self> {
        UrlParts::of(uri, headers)?.origin()
    }

    /// The origin of a URL; `None` for a URL without a host.
    #[must_use]
    pub fn of_url(mut url: Url) -> Option<Self> {
        url.host()?;
        // An origin has no `user:password@`, path, query or fragment.
        url.set_username("").ok()?;
        url.set_password(None).ok()?;
        url.set_path("/");
        url.set_query(None);
        url.set_fragment(None);
        Some(Self(Arc::new(Origin {
            serialized: url.origin().ascii_serialization(),
            host: url.host_str()?.to_owned(),
            is_http: url.scheme() == "http",
            is_https: url.scheme() == "https",
            is_loopback: is_loopback(&url),
            url: url.into(),
        })))
    }

    /// `https://host[:port]/`, a base for relative URLs.
    #[must_use]
    pub fn url(&self) -> &Url {
        #[expect(clippy::expect_used, reason = "`UrlParts::plain_host` has checked it")]
        self.0.url.get_or_init(|| Url::parse(self.serialized()).expect("an origin is a URL"))
    }

    /// Whether the scheme is https.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.0.is_https
    }

    /// `https://host[:port]`, without a trailing slash.
    #[must_use]
    pub fn serialized(&self) -> &str {
        &self.0.serialized
    }

    /// The absolute URL of a path of this origin, which must begin with `/`.
    #[must_use]
    pub fn join(&self, path: &str) -> Url {
        let mut url = self.url().clone();
        url.set_path(path);
        url
    }

    /// Whether the host is `domain` or a subdomain of it, as for a cookie's `Domain` (RFC 6265bis,
    /// section 5.1.3).
    #[must_use]
    pub fn is_within(&self, domain: &str) -> bool {
        let domain = domain.trim_start_matches('.').to_ascii_lowercase();
        self.0.host.strip_suffix(&domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }

    /// Whether cookies get `Secure`: always except on plain-http localhost, where some browsers and clients do
    /// not send `Secure` cookies.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        !(self.0.is_http && self.0.is_loopback)
    }

    /// Whether the network can read requests and responses of this origin: plain http, except on loopback
    /// addresses.
    #[must_use]
    pub fn is_exposed(&self) -> bool {
        self.0.is_http && !self.0.is_loopback
    }

    /// The https URL of the same host, path and query, on the default port.
    #[must_use]
    pub fn by_https(&self, uri: &Uri) -> String {
        let host = &self.0.host;
        let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
        format!("https://{host}{path}")
    }

    /// Whether a page of another origin sent this request, by `Sec-Fetch-Site` if the client sends it, else by
    /// `Origin`. A client that sends neither is no browser, so no page controls it.
    #[must_use]
    pub fn is_cross_origin(&self, headers: &HeaderMap) -> bool {
        if let Some(site) = headers.get(SEC_FETCH_SITE) {
            // Browsers send `none` for a typed URL or a bookmark.
            return !matches!(site.as_bytes(), b"same-origin" | b"none");
        }
        headers.contains_key(header::ORIGIN) && !self.is_origin_of(headers)
    }

    /// Whether the browser states that a page of this origin sent this request, as submitted forms require.
    /// `Origin` decides when the browser sends no `Sec-Fetch-Site`, or when it sends `none` because the user
    /// reloads the response to a form.
    #[must_use]
    pub fn is_same_origin_form(&self, headers: &HeaderMap) -> bool {
        match headers.get(SEC_FETCH_SITE).map(HeaderValue::as_bytes) {
            Some(b"same-origin") => true,
            None | Some(b"none") => {
                headers.contains_key(header::ORIGIN) && self.is_origin_of(headers)
            }
            Some(_) => false,
        }
    }

    fn is_origin_of(&self, headers: &HeaderMap) -> bool {
        let own = self.serialized().as_bytes();
        headers.get(header::ORIGIN).is_some_and(|origin| origin.as_bytes() == own)
    }
}

/// Whether the browser prefetches a page that the user may never open: `Sec-Purpose` (Fetch standard,
/// `prefetch` with or without parameters such as `prerender`) or one of its two predecessors. Callers change
/// nothing for such a request.
#[must_use]
pub fn is_prefetch(headers: &HeaderMap) -> bool {
    PURPOSES.iter().any(|name| {
        headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).any(|value| {
            let purpose = value.split(';').next().unwrap_or_default();
            purpose.trim().eq_ignore_ascii_case("prefetch")
        })
    })
}

/// Whether a URL's host is a loopback address or name (RFC 6761, section 6.3; RFC 8252, section 7.3).
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => is_loopback_name(name),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn is_loopback_name(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

/// The parts of a request's URL that determine its origin.
struct UrlParts<'a> {
    scheme: &'a str,
    authority: &'a str,
}

impl<'a> UrlParts<'a> {
    /// Workers pass an absolute URL; other HTTP servers pass a path, and the `Host` header.
    fn of(uri: &'a Uri, headers: &'a HeaderMap) -> Option<Self> {
        let authority = match uri.authority() {
            Some(authority) => authority.as_str(),
            None => headers.get(header::HOST)?.to_str().ok()?,
        };
        Some(Self { scheme: uri.scheme_str().unwrap_or("https"), authority })
    }

    /// The origin. Nearly every one is serialized as it was sent, without the parser of URLs, which would be a twentieth of
    /// the code that a new isolate compiles for its first request.
    fn origin(&self) -> Option<RequestOrigin> {
        let Self { scheme, authority } = self;
        let serialized = format!("{scheme}://{authority}");
        let Some(host) = self.plain_host() else {
            // With a path, because the parser would trim spaces at the end.
            return RequestOrigin::of_url(Url::parse(&format!("{serialized}/")).ok()?);
        };
        Some(RequestOrigin(Arc::new(Origin {
            serialized,
            host: host.to_owned(),
            is_http: *scheme == "http",
            is_https: *scheme == "https",
            is_loopback: is_loopback_name(host),
            url: OnceLock::new(),
        })))
    }

    /// The host, if the parser of URLs (URL standard) would leave the parts as they are: http or https; a domain name of
    /// small ASCII letters, digits and hyphens, whose last label begins with a letter, and none with `xn--`; and no port,
    /// or one that is not the default.
    fn plain_host(&self) -> Option<&'a str> {
        let default_port = match self.scheme {
            "http" => "80",
            "https" => "443",
            _ => return None,
        };
        let (host, port) = match self.authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (self.authority, None),
        };
        let is_plain_port = port.is_none_or(|port| {
            let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
            is_number
                && !port.starts_with('0')
                && port.parse::<u16>().is_ok()
                && port != default_port
        });
        let is_plain = |label: &str| {
            let is_allowed = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
            !label.is_empty() && !label.starts_with("xn--") && label.bytes().all(is_allowed)
        };
        // One that ends in a number is an IPv4 address.
        let is_name =
            host.rsplit('.').next()?.starts_with(|first: char| first.is_ascii_lowercase());
        (is_plain_port && is_name && host.split('.').all(is_plain)).then_some(host)
    }
}

/// The origins of an isolate's requests: `PUBLIC_ORIGIN`, or that of each request's URL. It keeps the last one,
/// because nearly all requests of an isolate have the same.
pub(crate) struct Origins {
    public: Option<RequestOrigin>,
    last: Mutex<Option<LastOrigin>>,
}

struct LastOrigin {
    scheme: String,
    authority: String,
    origin: RequestOrigin,
}

impl Origins {
    pub fn new(public_origin: Option<&Url>) -> Self {
        let public = public_origin.cloned().and_then(RequestOrigin::of_url);
        Self { public, last: Mutex::default() }
    }

    /// The origin of a request: `PUBLIC_ORIGIN`, or that of the URL. `None` for a request without a host.
    pub fn of_request(&self, request: &Request) -> Option<RequestOrigin> {
        if let Some(public) = &self.public {
            return Some(public.clone());
        }
        let parts = UrlParts::of(request.uri(), request.headers())?;
        if let Some(last) = &*self.last()
            && last.scheme == parts.scheme
            && last.authority == parts.authority
        {
            return Some(last.origin.clone());
        }
        let origin = parts.origin()?;
        *self.last() = Some(LastOrigin {
            scheme: parts.scheme.to_owned(),
            authority: parts.authority.to_owned(),
            origin: origin.clone(),
        });
        Some(origin)
    }

    /// Ignores poisoning: the code under the lock cannot panic halfway through a change.
    fn last(&self) -> MutexGuard<'_, Option<LastOrigin>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderName;
    use proptest::prelude::*;

    fn origin(url: &str) -> RequestOrigin {
        RequestOrigin::of_url(Url::parse(url).unwrap()).unwrap()
    }

    /// What the parser of URLs makes of a scheme and an authority.
    fn parsed(scheme: &str, authority: &str) -> Option<RequestOrigin> {
        RequestOrigin::of_url(Url::parse(&format!("{scheme}://{authority}/")).ok()?)
    }

    fn facts(origin: &RequestOrigin) -> (&str, &str, bool, bool, bool, &Url) {
        let Origin { serialized, host, is_http, is_https, is_loopback, .. } = &*origin.0;
        (serialized, host, *is_http, *is_https, *is_loopback, origin.url())
    }

    #[test]
    fn plain_hosts_are_those_that_stay_as_they_are() {
        for (scheme, authority, is_plain) in [
            ("https", "app.test", true),
            ("http", "localhost:8787", true),
            ("http", "a.localhost", true),
            ("https", "1-a.b2.test:65535", true),
            ("https", "App.test", false),
            ("https", "app.test:443", false),
            ("http", "app.test:80", false),
            ("https", "app.test:0443", false),
            ("https", "app.test:", false),
            ("https", "app.test:+1", false),
            ("https", "app.test:65536", false),
            ("https", "xn--bcher-kva.test", false),
            ("https", "app.test.", false),
            ("https", "app..test", false),
            ("https", "127.0.0.1", false),
            ("https", "127.1", false),
            ("https", "a.0x7f", false),
            ("https", "[::1]", false),
            ("https", "user@app.test", false),
            ("https", "user:1@app.test", false),
            ("https", "app.test ", false),
            ("https", "app%2etest", false),
            ("https", "app.test:0", false),
            ("https", "a.1b", false),
            ("https", "app_1.test", false),
            ("https", "b\u{fc}cher.test", false),
            ("https", "", false),
            ("ftp", "app.test", false),
        ] {
            let parts = UrlParts { scheme, authority };
            assert_eq!(parts.plain_host().is_some(), is_plain, "{scheme}://{authority}");
        }
    }

    proptest! {
        #[test]
        fn origin_is_that_of_the_parsed_url(
            scheme in "https?|ftp",
            // The second without `%` and capitals, which together fail a debug assertion of `idna_adapter`'s empty table.
            authority in "[a-zA0-9xn.-]{0,12}(\\.(localhost|test|0x1f|9))?(:[0-9]{0,5})?|[ -$&-@\\[-~]{0,16}|a\\.xn--[a-z0-9-]{0,8}",
        ) {
            let own = UrlParts { scheme: &scheme, authority: &authority }.origin();
            let parsed = parsed(&scheme, &authority);
            prop_assert_eq!(own.as_ref().map(facts), parsed.as_ref().map(facts));
        }
    }

    #[test]
    fn host_with_a_space_at_its_end_has_no_origin() {
        let headers = headers(&[("host", "app.test ")]);
        assert!(RequestOrigin::of_request(&Uri::from_static("/"), &headers).is_none());
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn cookies_lack_secure_only_on_http_localhost() {
        for url in
            ["http://localhost:8787", "http://127.0.0.1", "http://[::1]:1", "http://a.localhost"]
        {
            assert!(!origin(url).is_secure(), "{url}");
        }
        for url in
            ["https://localhost", "https://app.test", "http://app.test", "http://localhost.test"]
        {
            assert!(origin(url).is_secure(), "{url}");
        }
    }

    #[test]
    fn plain_http_is_exposed_except_on_loopback() {
        for url in ["http://app.test", "http://192.168.0.2:8787", "http://localhost.test"] {
            assert!(origin(url).is_exposed(), "{url}");
        }
        for url in ["https://app.test", "http://localhost:8787", "http://127.0.0.1", "http://[::1]"]
        {
            assert!(!origin(url).is_exposed(), "{url}");
        }
        let uri = Uri::from_static("http://app.test:8080/a//b?c=d");
        assert_eq!(origin("http://app.test:8080").by_https(&uri), "https://app.test/a//b?c=d");
    }

    #[test]
    fn host_is_within_itself_and_its_parent_domains() {
        let own = origin("https://app.example.test");
        for domain in ["app.example.test", "example.test", ".Example.test"] {
            assert!(own.is_within(domain), "{domain}");
        }
        for domain in ["other.test", "ample.test", "x.app.example.test"] {
            assert!(!own.is_within(domain), "{domain}");
        }
    }

    #[test]
    fn sec_fetch_site_overrides_origin() {
        let own = origin("https://app.test");
        for (site, is_cross) in [
            ("same-origin", false),
            ("none", false),
            ("same-site", true),
            ("cross-site", true),
            ("x", true),
        ] {
            // `Origin` contradicts `Sec-Fetch-Site`.
            let origin = if is_cross { "https://app.test" } else { "https://evil.test" };
            let headers = headers(&[("sec-fetch-site", site), ("origin", origin)]);
            assert_eq!(own.is_cross_origin(&headers), is_cross, "{site}");
        }
    }

    #[test]
    fn origin_decides_without_sec_fetch_site() {
        let own = origin("https://app.test");
        assert!(!own.is_cross_origin(&headers(&[])));
        assert!(!own.is_cross_origin(&headers(&[("origin", "https://app.test")])));
        for other in ["https://evil.test", "http://app.test", "https://app.test:444", "null"] {
            assert!(own.is_cross_origin(&headers(&[("origin", other)])), "{other}");
        }
    }

    #[test]
    fn form_without_browser_headers_is_not_same_origin() {
        let own = origin("https://app.test");
        for (pairs, is_same_origin) in [
            (&[("sec-fetch-site", "same-origin")][..], true),
            (&[("sec-fetch-site", "none"), ("origin", "https://app.test")], true),
            (&[("origin", "https://app.test")], true),
            (&[], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("sec-fetch-site", "none"), ("origin", "https://evil.test")], false),
            (&[("sec-fetch-site", "same-site"), ("origin", "https://app.test")], false),
            (&[("sec-fetch-site", "cross-site"), ("origin", "https://app.test")], false),
            (&[("origin", "null")], false),
        ] {
            assert_eq!(own.is_same_origin_form(&headers(pairs)), is_same_origin, "{pairs:?}");
        }
    }

    #[test]
    fn prefetch_is_recognized_by_each_of_its_headers() {
        for (name, value, expected) in [
            ("sec-purpose", "prefetch", true),
            ("sec-purpose", "prefetch;prerender", true),
            ("sec-purpose", "prefetch ;anonymous-client-ip", true),
            ("purpose", "prefetch", true),
            ("x-moz", "Prefetch", true),
            ("sec-purpose", "prefetched", false),
            ("sec-purpose", "", false),
            ("sec-fetch-mode", "prefetch", false),
        ] {
            assert_eq!(is_prefetch(&headers(&[(name, value)])), expected, "{name}: {value}");
        }
        assert!(!is_prefetch(&headers(&[])));
    }

    #[test]
    fn kept_origin_serves_only_its_own_host() {
        let origins = Origins::new(None);
        let of = |uri: &str| {
            let request = Request::builder().uri(uri).body(axum::body::Body::empty()).unwrap();
            origins.of_request(&request)
        };
        let first = of("https://app.test/a").unwrap();
        assert!(Arc::ptr_eq(&first.0, &of("https://app.test/b?c").unwrap().0), "parsed once");
        for (uri, expected) in [
            ("http://app.test/", "http://app.test"),
            ("https://app.test:8443/", "https://app.test:8443"),
            ("https://evil.test/", "https://evil.test"),
            ("https://app.test/", "https://app.test"),
        ] {
            assert_eq!(of(uri).unwrap().serialized(), expected);
        }
        assert!(of("/").is_none());
        assert!(of("https://app.test/").is_some());
    }
}
