//! The Worker's own origin (RFC 6454), and the checks that depend on it: whether the connection can carry
//! `Secure` cookies, and whether a page of another site sent the request (CSRF).
//!
//! The origin comes from the request's URL. Where TLS ends in front of the Worker, as with a tunnel to a
//! developer's machine, browsers see another URL, and the operator sets `PUBLIC_ORIGIN`, which replaces the
//! origin of every request. Forwarded headers are ignored, because any client can send them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
    url: Url,
    /// `https://host[:port]`, as browsers send it in `Origin`.
    serialized: String,
    is_loopback: bool,
}

impl RequestOrigin {
    /// The origin of a request's URL; `None` for a request without a host.
    pub(crate) fn of_request(uri: &Uri, headers: &HeaderMap) -> Option<Self> {
        Self::of_url(UrlParts::of(uri, headers)?.url()?)
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
        let serialized = url.origin().ascii_serialization();
        let is_loopback = is_loopback(&url);
        Some(Self(Arc::new(Origin { url, serialized, is_loopback })))
    }

    /// `https://host[:port]/`, a base for relative URLs.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.0.url
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
        let host = self.url().host_str().unwrap_or_default();
        host.strip_suffix(&domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }

    /// Whether cookies get `Secure`: always except on plain-http localhost, where some browsers and clients do
    /// not send `Secure` cookies.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        !(self.url().scheme() == "http" && self.0.is_loopback)
    }

    /// Whether the network can read requests and responses of this origin: plain http, except on loopback
    /// addresses.
    #[must_use]
    pub fn is_exposed(&self) -> bool {
        self.url().scheme() == "http" && !self.0.is_loopback
    }

    /// The https URL of the same host, path and query, on the default port.
    #[must_use]
    pub fn by_https(&self, uri: &Uri) -> String {
        let host = self.url().host_str().unwrap_or_default();
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
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
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

    fn url(&self) -> Option<Url> {
        Url::parse(&format!("{}://{}/", self.scheme, self.authority)).ok()
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
        let origin = RequestOrigin::of_url(parts.url()?)?;
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

    fn origin(url: &str) -> RequestOrigin {
        RequestOrigin::of_url(Url::parse(url).unwrap()).unwrap()
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
