//! AuthKit Connect: the issuer of access tokens for OAuth applications, MCP clients and machines, and the
//! audiences that this Worker accepts in them. <https://workos.com/docs/authkit/connect>
//!
//! The issuer is `WORKOS_AUTHKIT_DOMAIN`, and its metadata (RFC 8414) names its key set. The metadata must name
//! this issuer, and the key set must be on the issuer's own origin, so that metadata cannot make this Worker
//! send requests to other hosts.

use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;
use url::Url;

use crate::{
    keys::{KeySetCache, KeySource, Published},
    origin::RequestOrigin,
    outage::Outage,
    workos::WorkosClient,
};

/// The paths of an issuer's metadata, in the order of requests: RFC 8414, section 3, and OpenID Connect
/// Discovery 1.0, section 4.
const METADATA_PATHS: [&str; 2] =
    ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"];
/// AuthKit's metadata has about 3 KB. Every isolate keeps it in memory, and KV stores it, so it has a bound.
const METADATA_MAX_BYTES: usize = 64 * 1024;

/// The issuer of Connect tokens.
pub struct Connect {
    /// The `iss` claim of its tokens.
    pub issuer: String,
    /// Its key set and its metadata.
    pub published: Arc<KeySetCache>,
}

/// Fetches the metadata and the key set of the Connect issuer.
pub struct ConnectSource {
    client: WorkosClient,
    url: Url,
    issuer: String,
}

/// The members of an issuer's metadata that this module reads.
#[derive(Deserialize)]
struct IssuerMetadata {
    issuer: String,
    jwks_uri: String,
}

impl ConnectSource {
    /// A source for the issuer at `url`, which is an origin.
    #[must_use]
    pub fn new(client: WorkosClient, url: &Url) -> Self {
        Self { client, url: url.clone(), issuer: url.origin().ascii_serialization() }
    }

    /// The `iss` claim of its tokens: the origin without a trailing slash.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    async fn metadata(&self) -> Result<String, Outage> {
        for path in METADATA_PATHS {
            let mut url = self.url.clone();
            url.set_path(path);
            if let Some(body) = self.client.get_public(&url).await? {
                return String::from_utf8(body.into())
                    .ok()
                    .filter(|text| text.len() <= METADATA_MAX_BYTES)
                    .ok_or_else(|| Outage::new("the issuer's metadata is too long or not UTF-8"));
            }
        }
        Err(Outage::new("WORKOS_AUTHKIT_DOMAIN has no metadata"))
    }
}

#[async_trait]
impl KeySource for ConnectSource {
    fn name(&self) -> &'static str {
        "connect"
    }

    fn base_url(&self) -> &str {
        &self.issuer
    }

    async fn fetch(&self) -> Result<Published, Outage> {
        let metadata = self.metadata().await?;
        let IssuerMetadata { issuer, jwks_uri } = edge_host::json::read(&metadata)
            .map_err(|_| Outage::new("the metadata has no issuer or key set"))?;
        if issuer != self.issuer {
            return Err(Outage::new("the metadata names another issuer"));
        }
        let jwks_uri = Url::parse(&jwks_uri)
            .ok()
            .filter(|uri| uri.origin() == self.url.origin())
            .ok_or_else(|| Outage::new("the key set is not on the issuer's origin"))?;
        let keys = self.client.key_set(&jwks_uri).await?;
        Ok(Published { keys, metadata: Some(metadata) })
    }
}

/// The resource that Connect tokens give access to: this origin as a whole, or paths of it that are resources
/// of their own (RFC 8707).
#[derive(Debug, Clone, Copy, Default)]
pub struct ProtectedResource {
    /// The paths, each with a leading slash and no trailing slash.
    pub paths: &'static [&'static str],
    /// Every scope that the application checks.
    pub scopes: &'static [&'static str],
    /// The prefix of this resource's scopes, and of the permissions with the same names. A token with any scope or a
    /// session with any permission that has this prefix is limited to those that it has, including those that the
    /// application does not check yet.
    pub scope_prefix: &'static str,
}

impl ProtectedResource {
    /// Whether `audience` is the origin or one of the paths, with or without a trailing slash.
    #[must_use]
    pub fn is_at(&self, audience: &str, origin: &RequestOrigin) -> bool {
        audience.strip_prefix(origin.serialized()).is_some_and(|path| {
            let path = path.strip_suffix('/').unwrap_or(path);
            path.is_empty() || self.paths.contains(&path)
        })
    }

    /// Whether a scope belongs to this resource, and not to OpenID Connect or another resource.
    #[must_use]
    pub fn owns_scope(&self, scope: &str) -> bool {
        self.has_prefix(scope) || self.scopes.contains(&scope)
    }

    /// Whether a permission of a user's role belongs to this resource.
    #[must_use]
    pub fn owns_permission(&self, permission: &str) -> bool {
        self.has_prefix(permission)
    }

    /// Without a prefix, no name has it.
    fn has_prefix(&self, name: &str) -> bool {
        !self.scope_prefix.is_empty() && name.starts_with(self.scope_prefix)
    }

    /// The resource path that a request's path equals; empty for the origin as a whole.
    #[must_use]
    pub fn of_path(&self, path: &str) -> &'static str {
        let path = path.strip_suffix('/').unwrap_or(path);
        self.paths.iter().find(|own| **own == path).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::fixtures::{CURRENT, ScriptedHttp, changed, config, json_response, response};

    const ISSUER: &str = "https://test.authkit.app";
    const OAUTH_METADATA: &str = "https://test.authkit.app/.well-known/oauth-authorization-server";
    const OPENID_METADATA: &str = "https://test.authkit.app/.well-known/openid-configuration";
    const JWKS: &str = "https://test.authkit.app/oauth2/jwks";

    const RESOURCE: ProtectedResource = ProtectedResource {
        paths: &["/mcp", "/api/v1"],
        scopes: &["expenses:read", "profile:all"],
        scope_prefix: "expenses:",
    };

    fn metadata() -> Value {
        json!({"issuer": ISSUER, "jwks_uri": JWKS, "token_endpoint": format!("{ISSUER}/token")})
    }

    /// Fetches from an issuer with these responses. Returns the result and the requested URLs.
    async fn fetch(
        responses: &[(&'static str, u16, String)],
    ) -> (Result<Published, Outage>, Vec<String>) {
        let responses = responses.to_vec();
        let http = ScriptedHttp::new(move |request| {
            let url = request.uri().to_string();
            let scripted = responses.iter().find(|(requested, _, _)| *requested == url);
            Ok(scripted.map_or_else(
                || json_response(404, &json!({})),
                |(_, status, body)| response(*status, body.clone()),
            ))
        });
        let client = WorkosClient::new(Arc::clone(&http) as _, Arc::new(config(&[])));
        let source = ConnectSource::new(client, &ISSUER.parse().unwrap());
        assert_eq!((source.issuer(), source.base_url()), (ISSUER, ISSUER));
        let published = source.fetch().await;
        let requested = http.requests().iter().map(|request| request.uri().to_string()).collect();
        (published, requested)
    }

    fn keys() -> (&'static str, u16, String) {
        (JWKS, 200, json!({"keys": [CURRENT.jwk()]}).to_string())
    }

    fn reason(published: Result<Published, Outage>) -> String {
        match published {
            Err(Outage { reason, .. }) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn fetch_follows_metadata_to_the_key_set() {
        let text = format!(" {} ", metadata());
        let (published, requested) = fetch(&[(OAUTH_METADATA, 200, text.clone()), keys()]).await;
        assert_eq!(requested, [OAUTH_METADATA, JWKS]);
        let published = published.unwrap();
        assert_eq!(published.metadata, Some(text), "unchanged");
        let keys = crate::keys::KeySet::from(published.keys);
        assert!(keys.find(CURRENT.kid).is_some());
    }

    #[tokio::test]
    async fn openid_metadata_is_the_fallback_for_oauth_metadata() {
        let openid = (OPENID_METADATA, 200, metadata().to_string());
        let (published, requested) = fetch(&[openid.clone(), keys()]).await;
        assert!(published.is_ok());
        assert_eq!(requested, [OAUTH_METADATA, OPENID_METADATA, JWKS]);
        // An issuer that fails gets no further request.
        let down = (OAUTH_METADATA, 500, String::new());
        let (published, requested) = fetch(&[down, openid, keys()]).await;
        assert_eq!(reason(published), "status 500");
        assert_eq!(requested, [OAUTH_METADATA]);
        let (published, requested) = fetch(&[]).await;
        assert_eq!(reason(published), "WORKOS_AUTHKIT_DOMAIN has no metadata");
        assert_eq!(requested, [OAUTH_METADATA, OPENID_METADATA]);
    }

    #[tokio::test]
    async fn fetch_requests_no_key_set_on_another_origin() {
        for jwks_uri in [
            "https://evil.test/oauth2/jwks",
            "http://test.authkit.app/oauth2/jwks",
            "https://test.authkit.app:8443/oauth2/jwks",
            "https://test.authkit.app@evil.test/oauth2/jwks",
            "https://test.authkit.app.evil.test/jwks",
            "http://169.254.169.254/latest",
            "file:///etc/passwd",
            "data:application/json,{}",
            "/oauth2/jwks",
            "",
        ] {
            let metadata = changed(&metadata(), json!({"jwks_uri": jwks_uri})).to_string();
            let (published, requested) = fetch(&[(OAUTH_METADATA, 200, metadata), keys()]).await;
            assert_eq!(
                reason(published),
                "the key set is not on the issuer's origin",
                "{jwks_uri}"
            );
            assert_eq!(requested, [OAUTH_METADATA], "{jwks_uri}");
        }
    }

    #[tokio::test]
    async fn fetch_refuses_metadata_of_another_issuer() {
        for issuer in ["https://evil.test", "https://test.authkit.app/", "https://TEST.authkit.app"]
        {
            let metadata = changed(&metadata(), json!({"issuer": issuer})).to_string();
            let (published, requested) = fetch(&[(OAUTH_METADATA, 200, metadata), keys()]).await;
            assert_eq!(reason(published), "the metadata names another issuer", "{issuer}");
            assert_eq!(requested, [OAUTH_METADATA]);
        }
        for metadata in [
            String::new(),
            "[]".to_owned(),
            changed(&metadata(), json!({"issuer": null})).to_string(),
            changed(&metadata(), json!({"jwks_uri": null})).to_string(),
            changed(&metadata(), json!({"jwks_uri": 5})).to_string(),
            metadata().to_string().replacen('{', r#"{"issuer":"https://evil.test","#, 1),
        ] {
            let (published, _) = fetch(&[(OAUTH_METADATA, 200, metadata.clone()), keys()]).await;
            assert_eq!(reason(published), "the metadata has no issuer or key set", "{metadata}");
        }
    }

    #[tokio::test]
    async fn fetch_refuses_metadata_over_64_kib_or_not_utf8() {
        let of_bytes = |bytes: usize| {
            let text = metadata().to_string();
            format!("{text}{}", " ".repeat(bytes - text.len()))
        };
        let (published, _) = fetch(&[(OAUTH_METADATA, 200, of_bytes(64 * 1024)), keys()]).await;
        assert!(published.is_ok());
        let too_long = (OAUTH_METADATA, 200, of_bytes(64 * 1024 + 1));
        let (published, requested) = fetch(&[too_long, keys()]).await;
        assert_eq!(reason(published), "the issuer's metadata is too long or not UTF-8");
        assert_eq!(requested, [OAUTH_METADATA]);
        let http = ScriptedHttp::new(|_| Ok(response(200, &b"{\"issuer\":\"\xff\"}"[..])));
        let client = WorkosClient::new(http, Arc::new(config(&[])));
        let source = ConnectSource::new(client, &ISSUER.parse().unwrap());
        assert_eq!(reason(source.fetch().await), "the issuer's metadata is too long or not UTF-8");
    }

    #[tokio::test]
    async fn fetch_is_unavailable_without_a_key_set() {
        let (published, requested) = fetch(&[(OAUTH_METADATA, 200, metadata().to_string())]).await;
        assert_eq!(reason(published), "the key set does not exist");
        assert_eq!(requested, [OAUTH_METADATA, JWKS]);
    }

    #[test]
    fn audience_matches_the_origin_and_its_paths() {
        let origin = RequestOrigin::of_url("https://app.test/x".parse().unwrap()).unwrap();
        for audience in [
            "https://app.test",
            "https://app.test/",
            "https://app.test/mcp",
            "https://app.test/mcp/",
            "https://app.test/api/v1",
        ] {
            assert!(RESOURCE.is_at(audience, &origin), "{audience}");
        }
        for audience in [
            "",
            "/mcp",
            "app.test",
            "http://app.test",
            "https://app.test.evil.test",
            "https://app.test:8443",
            "https://app.test//",
            "https://app.test/mcp//",
            "https://app.test/other",
            "https://app.test/mcp/x",
            "https://app.test/mcp?x",
            "https://app.test/api",
            "https://evil.test/mcp",
        ] {
            assert!(!RESOURCE.is_at(audience, &origin), "{audience}");
        }
    }

    #[test]
    fn resource_owns_its_scopes_and_its_prefix() {
        for scope in ["expenses:read", "expenses:approve", "expenses:", "profile:all"] {
            assert!(RESOURCE.owns_scope(scope), "{scope}");
        }
        for scope in ["openid", "profile", "profile:all2", "expenses", "xexpenses:read", ""] {
            assert!(!RESOURCE.owns_scope(scope), "{scope}");
        }
        let without_prefix = ProtectedResource { scope_prefix: "", ..RESOURCE };
        assert!(without_prefix.owns_scope("profile:all") && !without_prefix.owns_scope("openid"));
    }

    #[test]
    fn of_path_returns_an_exact_resource_or_the_origin() {
        for (path, expected) in [
            ("/mcp", "/mcp"),
            ("/mcp/", "/mcp"),
            ("/api/v1", "/api/v1"),
            ("/mcp/x", ""),
            ("/mcpx", ""),
            ("/api", ""),
            ("/", ""),
            ("", ""),
        ] {
            assert_eq!(RESOURCE.of_path(path), expected, "{path}");
        }
    }
}
