//! Where a request arrived and where it was made: the Worker's own origin (RFC 6454), whether the
//! connection can carry `Secure` cookies, and whether another site's page sent the request (CSRF).
//!
//! The origin is that of the request's URL. Where TLS ends in front of the Worker, as at a tunnel to a
//! developer's machine, that URL is not the one that browsers see, and the operator sets `PUBLIC_ORIGIN`:
//! then every request has that origin. Forwarded headers count for nothing: anybody can send them.

use axum::extract::{FromRequestParts, Request};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header, request::Parts, uri::PathAndQuery};
use url::{Host, Url};

use crate::error::AppError;

/// The origin that the browser sees this Worker under.
#[derive(Debug, Clone)]
pub struct RequestOrigin {
    url: Url,
}

impl RequestOrigin {
    /// The origin of every request: `public_origin` where it is set, else that of the request's URL.
    /// Nothing for a request without a host.
    #[must_use]
    pub fn of_request(parts: &Parts, public_origin: Option<&Url>) -> Option<Self> {
        let url = public_origin.cloned().or_else(|| url_of(parts))?;
        Self::of_url(url)
    }

    /// The origin of a request, which from now on is in its extensions. A layer of the application may come
    /// before AuthKit's; the first one determines the origin.
    pub fn settle(request: &mut Request, public_origin: Option<&Url>) -> Option<Self> {
        if let Some(known) = request.extensions().get::<Self>() {
            return Some(known.clone());
        }
        let (parts, body) = std::mem::take(request).into_parts();
        let origin = Self::of_request(&parts, public_origin);
        *request = Request::from_parts(parts, body);
        if let Some(origin) = &origin {
            request.extensions_mut().insert(origin.clone());
        }
        origin
    }

    /// The origin of a URL; `None` for a URL without a host.
    #[must_use]
    pub fn of_url(mut url: Url) -> Option<Self> {
        url.host()?;
        // `user:password@`, path, query and fragment are no part of an origin.
        url.set_username("").ok()?;
        url.set_password(None).ok()?;
        url.set_path("/");
        url.set_query(None);
        url.set_fragment(None);
        Some(Self { url })
    }

    /// `https://host[:port]/`, to resolve paths against.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The absolute URL of a path of this origin, which must begin with `/`.
    #[must_use]
    pub fn join(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        url.set_path(path);
        url
    }

    /// Whether the host is `domain` or within it, as a cookie's `Domain` means it (RFC 6265bis,
    /// section 5.1.3).
    #[must_use]
    pub fn is_within(&self, domain: &str) -> bool {
        let domain = domain.trim_start_matches('.').to_ascii_lowercase();
        let host = self.url.host_str().unwrap_or_default();
        host.strip_suffix(&domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }

    /// Whether cookies get `Secure`: always but on plain-http localhost. Browsers differ in whether
    /// they would send a `Secure` cookie there, and some clients do not.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        !(self.url.scheme() == "http" && is_loopback(&self.url))
    }

    /// Whether everybody on the way can read what passes between a client and this origin: plain http,
    /// and not on one machine.
    #[must_use]
    pub fn is_exposed(&self) -> bool {
        self.url.scheme() == "http" && !is_loopback(&self.url)
    }

    /// The same place of this origin by https, on its usual port.
    #[must_use]
    pub fn by_https(&self, uri: &Uri) -> String {
        let host = self.url.host_str().unwrap_or_default();
        let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
        format!("https://{host}{path}")
    }

    /// Whether a page of another origin made this request: `Sec-Fetch-Site` where the client sends
    /// it, else `Origin`. A client that sends neither is not a browser acting for someone else.
    #[must_use]
    pub fn is_cross_origin(&self, headers: &HeaderMap) -> bool {
        if let Some(site) = headers.get("sec-fetch-site") {
            // `none`: typed, a bookmark.
            return !matches!(site.as_bytes(), b"same-origin" | b"none");
        }
        headers.contains_key(header::ORIGIN) && !self.is_origin_of(headers)
    }

    /// Whether a page of this very origin has sent this request, and the browser says so: what a form
    /// must show. A browser that sends no `Sec-Fetch-Site`, or `none` when it loads an answer to a form
    /// again, sends `Origin`.
    #[must_use]
    pub fn is_same_origin_form(&self, headers: &HeaderMap) -> bool {
        match headers.get("sec-fetch-site").map(HeaderValue::as_bytes) {
            Some(b"same-origin") => true,
            None | Some(b"none") => {
                headers.contains_key(header::ORIGIN) && self.is_origin_of(headers)
            }
            Some(_) => false,
        }
    }

    fn is_origin_of(&self, headers: &HeaderMap) -> bool {
        let own = self.url.origin().ascii_serialization();
        headers.get(header::ORIGIN).is_some_and(|origin| origin.as_bytes() == own.as_bytes())
    }
}

/// Whether a browser sends this request on its own, for a page that the user may never open:
/// `Sec-Purpose` (Fetch standard, `prefetch` with or without parameters such as `prerender`), and its
/// two predecessors. Such a request changes nothing.
#[must_use]
pub fn is_prefetch(headers: &HeaderMap) -> bool {
    ["sec-purpose", "purpose", "x-moz"].into_iter().any(|name| {
        headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).any(|value| {
            let purpose = value.split(';').next().unwrap_or_default();
            purpose.trim().eq_ignore_ascii_case("prefetch")
        })
    })
}

/// Whether a URL's host is this machine (RFC 6761, section 6.3, and RFC 8252, section 7.3).
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

impl<S: Sync> FromRequestParts<S> for RequestOrigin {
    type Rejection = AppError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, AppError> {
        if let Some(known) = parts.extensions.get::<Self>() {
            return Ok(known.clone());
        }
        // Outside of the router that knows of a public origin, and for a request without a host.
        Self::of_request(parts, None)
            .ok_or_else(|| AppError::new(StatusCode::BAD_REQUEST, "The request has no host"))
    }
}

/// Workers give the absolute URL; a plain HTTP server only the path, and the host in its header.
fn url_of(parts: &Parts) -> Option<Url> {
    let scheme = parts.uri.scheme_str().unwrap_or("https");
    let authority = match parts.uri.authority() {
        Some(authority) => authority.as_str(),
        None => parts.headers.get(header::HOST)?.to_str().ok()?,
    };
    Url::parse(&format!("{scheme}://{authority}/")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderName;

    fn origin(url: &str) -> RequestOrigin {
        RequestOrigin { url: Url::parse(url).unwrap() }
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn only_plain_http_on_localhost_does_without_secure() {
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
    fn plain_http_is_exposed_but_on_one_machine() {
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
    fn a_host_is_within_its_domain_and_no_other() {
        let own = origin("https://app.example.test");
        for domain in ["app.example.test", "example.test", ".Example.test"] {
            assert!(own.is_within(domain), "{domain}");
        }
        for domain in ["other.test", "ample.test", "x.app.example.test"] {
            assert!(!own.is_within(domain), "{domain}");
        }
    }

    #[test]
    fn fetch_metadata_decides_where_there_is_any() {
        let own = origin("https://app.test");
        for (site, is_cross) in [
            ("same-origin", false),
            ("none", false),
            ("same-site", true),
            ("cross-site", true),
            ("x", true),
        ] {
            // `Origin` would say the opposite.
            let origin = if is_cross { "https://app.test" } else { "https://evil.test" };
            let headers = headers(&[("sec-fetch-site", site), ("origin", origin)]);
            assert_eq!(own.is_cross_origin(&headers), is_cross, "{site}");
        }
    }

    #[test]
    fn without_fetch_metadata_the_origin_decides() {
        let own = origin("https://app.test");
        assert!(!own.is_cross_origin(&headers(&[])));
        assert!(!own.is_cross_origin(&headers(&[("origin", "https://app.test")])));
        for other in ["https://evil.test", "http://app.test", "https://app.test:444", "null"] {
            assert!(own.is_cross_origin(&headers(&[("origin", other)])), "{other}");
        }
    }

    #[test]
    fn a_form_is_our_own_only_where_the_browser_says_so() {
        let own = origin("https://app.test");
        for (pairs, is_own) in [
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
            assert_eq!(own.is_same_origin_form(&headers(pairs)), is_own, "{pairs:?}");
        }
    }

    #[test]
    fn prefetch_is_told_by_any_of_its_headers() {
        for (name, value, is_one) in [
            ("sec-purpose", "prefetch", true),
            ("sec-purpose", "prefetch;prerender", true),
            ("sec-purpose", "prefetch ;anonymous-client-ip", true),
            ("purpose", "prefetch", true),
            ("x-moz", "Prefetch", true),
            ("sec-purpose", "prefetched", false),
            ("sec-purpose", "", false),
            ("sec-fetch-mode", "prefetch", false),
        ] {
            assert_eq!(is_prefetch(&headers(&[(name, value)])), is_one, "{name}: {value}");
        }
        assert!(!is_prefetch(&headers(&[])));
    }

    #[tokio::test]
    async fn the_origin_comes_from_the_url_or_the_host_header() {
        for (uri, host, expected) in [
            ("https://app.test:8443/x?y", "evil.test", "https://app.test:8443/"),
            ("/x", "app.test", "https://app.test/"),
        ] {
            let request =
                http::Request::builder().uri(uri).header(header::HOST, host).body(()).unwrap();
            let (mut parts, ()) = request.into_parts();
            let origin = RequestOrigin::from_request_parts(&mut parts, &()).await.unwrap();
            assert_eq!(origin.url().as_str(), expected);
        }
    }
}
