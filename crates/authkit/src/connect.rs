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
    use super::*;
    use axum::extract::FromRequestParts;

    #[tokio::test]
    async fn a_resource_is_this_origin_or_a_path_of_it_and_nothing_else() {
        let resource = ProtectedResource { paths: &["/mcp"], ..ProtectedResource::default() };
        let request = http::Request::builder().uri("https://app.test/x").body(()).unwrap();
        let (mut parts, ()) = request.into_parts();
        let origin = RequestOrigin::from_request_parts(&mut parts, &()).await.unwrap();
        for audience in [
            "https://app.test",
            "https://app.test/",
            "https://app.test/mcp",
            "https://app.test/mcp/",
        ] {
            assert!(resource.is_at(audience, &origin), "{audience}");
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
            "https://evil.test/mcp",
        ] {
            assert!(!resource.is_at(audience, &origin), "{audience}");
        }
    }
}
