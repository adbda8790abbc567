//! AuthKit Connect: who issues the access tokens of OAuth applications, MCP clients and machines, and
//! which of those tokens are meant for this Worker.
//! <https://workos.com/docs/authkit/connect>
//!
//! The issuer is `WORKOS_AUTHKIT_DOMAIN`, and tells of itself in its metadata (RFC 8414). What the
//! metadata says is followed only so far: it must be this issuer's, and its keys must lie on the
//! issuer's own origin, so that nobody makes this Worker ask another host.

use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;
use url::Url;

use super::{
    keys::{KeySetCache, KeySource, Published},
    origin::RequestOrigin,
    workos::{WorkosClient, WorkosError},
};

/// Where an issuer's metadata is: RFC 8414, section 3, else OpenID Connect Discovery 1.0, section 4.
const METADATA_PATHS: [&str; 2] =
    ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"];
/// AuthKit's has some 3 KB, and lies in KV and memory.
const METADATA_MAX_BYTES: usize = 64 * 1024;

/// The issuer of Connect tokens.
pub struct Connect {
    /// The `iss` of its tokens.
    pub issuer: String,
    /// Its keys and its metadata.
    pub published: Arc<KeySetCache>,
}

/// The issuer of Connect tokens, to be asked for its keys.
pub struct ConnectSource {
    client: WorkosClient,
    url: Url,
    issuer: String,
}

/// What is needed of an issuer's metadata.
#[derive(Deserialize)]
struct IssuerMetadata {
    issuer: String,
    jwks_uri: String,
}

impl ConnectSource {
    /// The issuer at `url`, which is an origin.
    #[must_use]
    pub fn new(client: WorkosClient, url: &Url) -> Self {
        Self { client, url: url.clone(), issuer: url.origin().ascii_serialization() }
    }

    /// The `iss` of its tokens: the origin, without a slash at the end.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    async fn metadata(&self) -> Result<String, WorkosError> {
        for path in METADATA_PATHS {
            let mut url = self.url.clone();
            url.set_path(path);
            if let Some(body) = self.client.get_public(&url).await? {
                return String::from_utf8(body.into())
                    .ok()
                    .filter(|text| text.len() <= METADATA_MAX_BYTES)
                    .ok_or_else(|| {
                        WorkosError::unavailable("metadata that is too long, or no text")
                    });
            }
        }
        Err(WorkosError::unavailable("there is no metadata at WORKOS_AUTHKIT_DOMAIN"))
    }
}

#[async_trait]
impl KeySource for ConnectSource {
    fn base_url(&self) -> &str {
        &self.issuer
    }

    async fn fetch(&self) -> Result<Published, WorkosError> {
        let metadata = self.metadata().await?;
        let IssuerMetadata { issuer, jwks_uri } = serde_json::from_str(&metadata)
            .map_err(|_| WorkosError::unavailable("metadata without an issuer or a key set"))?;
        if issuer != self.issuer {
            return Err(WorkosError::unavailable("metadata of another issuer"));
        }
        let jwks_uri =
            Url::parse(&jwks_uri)
                .ok()
                .filter(|uri| uri.origin() == self.url.origin())
                .ok_or_else(|| WorkosError::unavailable("a key set not on its issuer's origin"))?;
        let keys = self.client.key_set(&jwks_uri).await?;
        Ok(Published { keys, metadata: Some(metadata) })
    }
}

/// What a token of Connect's may be for: this origin as a whole, or some paths of it that are
/// resources of their own (RFC 8707).
#[derive(Debug, Clone, Copy, Default)]
pub struct ProtectedResource {
    /// The paths, each with a slash at its beginning and none at its end.
    pub paths: &'static [&'static str],
    /// Every scope that means something here.
    pub scopes: &'static [&'static str],
    /// How the scopes of this resource begin: a token that has any such scope is held to them, whether
    /// they mean something here yet or not.
    pub scope_prefix: &'static str,
}

impl ProtectedResource {
    /// Whether `audience` is the origin or one of the paths, with a slash at its end or without.
    #[must_use]
    pub fn is_at(&self, audience: &str, origin: &RequestOrigin) -> bool {
        let origin = origin.url().origin().ascii_serialization();
        audience.strip_prefix(&origin).is_some_and(|path| {
            let path = path.strip_suffix('/').unwrap_or(path);
            path.is_empty() || self.paths.contains(&path)
        })
    }

    /// Whether a scope is this resource's, and not OpenID Connect's or another resource's.
    #[must_use]
    pub fn owns_scope(&self, scope: &str) -> bool {
        scope.starts_with(self.scope_prefix) || self.scopes.contains(&scope)
    }

    /// The one of the paths that a request's path is at; empty for the origin as a whole.
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
    use crate::testing::{CURRENT, ScriptedHttp, changed, config, json_response, response};

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

    /// What the issuer publishes where these URLs answer so, and which URLs were asked for.
    async fn fetch(
        answers: &[(&'static str, u16, String)],
    ) -> (Result<Published, WorkosError>, Vec<String>) {
        let answers = answers.to_vec();
        let http = ScriptedHttp::new(move |request| {
            let url = request.uri().to_string();
            let answer = answers.iter().find(|(asked, _, _)| *asked == url);
            Ok(answer.map_or_else(
                || json_response(404, &json!({})),
                |(_, status, body)| response(*status, body.clone()),
            ))
        });
        let client = WorkosClient::new(Arc::clone(&http) as _, Arc::new(config(&[])));
        let source = ConnectSource::new(client, &ISSUER.parse().unwrap());
        assert_eq!((source.issuer(), source.base_url()), (ISSUER, ISSUER));
        let published = source.fetch().await;
        let asked = http.requests().iter().map(|request| request.uri().to_string()).collect();
        (published, asked)
    }

    fn keys() -> (&'static str, u16, String) {
        (JWKS, 200, json!({"keys": [CURRENT.jwk()]}).to_string())
    }

    fn reason(published: Result<Published, WorkosError>) -> String {
        match published {
            Err(WorkosError::Unavailable { reason, .. }) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn metadata_leads_to_the_keys() {
        let text = format!(" {} ", metadata());
        let (published, asked) = fetch(&[(OAUTH_METADATA, 200, text.clone()), keys()]).await;
        assert_eq!(asked, [OAUTH_METADATA, JWKS]);
        let published = published.unwrap();
        assert_eq!(published.metadata, Some(text), "as it was written");
        let keys = crate::keys::KeySet::from(published.keys);
        assert!(keys.find(CURRENT.kid).is_some());
    }

    #[tokio::test]
    async fn metadata_by_openids_name_counts_where_oauths_is_absent() {
        let openid = (OPENID_METADATA, 200, metadata().to_string());
        let (published, asked) = fetch(&[openid.clone(), keys()]).await;
        assert!(published.is_ok());
        assert_eq!(asked, [OAUTH_METADATA, OPENID_METADATA, JWKS]);
        // An issuer that cannot answer is asked nothing more.
        let down = (OAUTH_METADATA, 500, String::new());
        let (published, asked) = fetch(&[down, openid, keys()]).await;
        assert_eq!(reason(published), "status 500");
        assert_eq!(asked, [OAUTH_METADATA]);
        let (published, asked) = fetch(&[]).await;
        assert_eq!(reason(published), "there is no metadata at WORKOS_AUTHKIT_DOMAIN");
        assert_eq!(asked, [OAUTH_METADATA, OPENID_METADATA]);
    }

    #[tokio::test]
    async fn metadata_leads_to_no_other_origin() {
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
            let (published, asked) = fetch(&[(OAUTH_METADATA, 200, metadata), keys()]).await;
            assert_eq!(reason(published), "a key set not on its issuer's origin", "{jwks_uri}");
            assert_eq!(asked, [OAUTH_METADATA], "{jwks_uri}");
        }
    }

    #[tokio::test]
    async fn metadata_of_another_issuer_is_unavailable() {
        for issuer in ["https://evil.test", "https://test.authkit.app/", "https://TEST.authkit.app"]
        {
            let metadata = changed(&metadata(), json!({"issuer": issuer})).to_string();
            let (published, asked) = fetch(&[(OAUTH_METADATA, 200, metadata), keys()]).await;
            assert_eq!(reason(published), "metadata of another issuer", "{issuer}");
            assert_eq!(asked, [OAUTH_METADATA]);
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
            assert_eq!(reason(published), "metadata without an issuer or a key set", "{metadata}");
        }
    }

    #[tokio::test]
    async fn metadata_is_text_of_64_kib_at_most() {
        let of_bytes = |bytes: usize| {
            let text = metadata().to_string();
            format!("{text}{}", " ".repeat(bytes - text.len()))
        };
        let (published, _) = fetch(&[(OAUTH_METADATA, 200, of_bytes(64 * 1024)), keys()]).await;
        assert!(published.is_ok());
        let too_long = (OAUTH_METADATA, 200, of_bytes(64 * 1024 + 1));
        let (published, asked) = fetch(&[too_long, keys()]).await;
        assert_eq!(reason(published), "metadata that is too long, or no text");
        assert_eq!(asked, [OAUTH_METADATA]);
        let http = ScriptedHttp::new(|_| Ok(response(200, &b"{\"issuer\":\"\xff\"}"[..])));
        let client = WorkosClient::new(http, Arc::new(config(&[])));
        let source = ConnectSource::new(client, &ISSUER.parse().unwrap());
        assert_eq!(reason(source.fetch().await), "metadata that is too long, or no text");
    }

    #[tokio::test]
    async fn issuer_without_keys_is_unavailable() {
        let (published, asked) = fetch(&[(OAUTH_METADATA, 200, metadata().to_string())]).await;
        assert_eq!(reason(published), "there is no key set");
        assert_eq!(asked, [OAUTH_METADATA, JWKS]);
    }

    #[test]
    fn resource_is_this_origin_or_a_path_of_it() {
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
    fn resource_owns_its_scopes_and_those_with_its_prefix() {
        for scope in ["expenses:read", "expenses:approve", "expenses:", "profile:all"] {
            assert!(RESOURCE.owns_scope(scope), "{scope}");
        }
        for scope in ["openid", "profile", "profile:all2", "expenses", "xexpenses:read", ""] {
            assert!(!RESOURCE.owns_scope(scope), "{scope}");
        }
    }

    #[test]
    fn path_is_of_its_resource_or_the_origin() {
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
