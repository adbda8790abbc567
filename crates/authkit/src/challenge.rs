//! `WWW-Authenticate` (RFC 6750, section 3), which where Connect is on names the metadata that a client
//! needs to get a token (RFC 9728, section 5.1).

use std::fmt::Write as _;

use axum::extract::FromRequestParts;
use http::{HeaderValue, request::Parts};

use crate::{
    context::RequestContext, oauth_metadata::PROTECTED_RESOURCE_PATH, rejection::Rejection,
};

/// The challenge of one path.
#[derive(Debug, Clone)]
pub struct Challenge {
    /// Where the path's metadata is; `None` where Connect is off.
    resource_metadata: Option<String>,
}

impl Challenge {
    /// The challenge of a request.
    #[must_use]
    pub fn new(context: &RequestContext) -> Self {
        let authkit = context.authkit();
        let origin = authkit.connect.as_ref().and_then(|_| context.origin().ok());
        let resource_metadata = origin.map(|origin| {
            let resource = authkit.resource.of_path(context.path());
            origin.join(&format!("{PROTECTED_RESOURCE_PATH}{resource}")).into()
        });
        Self { resource_metadata }
    }

    /// The header's value. The parameters are plain text without quotes.
    #[must_use]
    pub fn header(&self, parameters: &[(&str, &str)]) -> HeaderValue {
        let metadata = self.resource_metadata.as_ref().map(|url| ("resource_metadata", &**url));
        let mut text = "Bearer".to_owned();
        for (index, (name, value)) in parameters.iter().copied().chain(metadata).enumerate() {
            let separator = if index == 0 { " " } else { ", " };
            // Writing to a string does not fail.
            let _ = write!(text, "{separator}{name}=\"{value}\"");
        }
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("Bearer"))
    }

    /// The rejection of a valid token that lacks `scope`.
    #[must_use]
    pub fn insufficient_scope(&self, scope: &str) -> Rejection {
        self.forbidden(scope, format!("the token lacks the scope {scope}"))
    }

    /// The rejection of a session whose permissions lack one with the name of `scope`.
    #[must_use]
    pub fn missing_permission(&self, scope: &str) -> Rejection {
        let description = format!(
            "Your role lacks the permission {scope}: ask an administrator of your organization for it"
        );
        self.forbidden(scope, description)
    }

    /// The rejection of a valid token that has none of the `scopes`.
    #[must_use]
    pub fn no_scope(&self, scopes: &[&str]) -> Rejection {
        let description = format!(
            "the token allows nothing here: ask for the scopes {}, or for this resource",
            scopes.join(" and ")
        );
        self.forbidden(&scopes.join(" "), description)
    }

    /// The rejection of an API key that lacks the permission `scope`.
    #[must_use]
    pub fn insufficient_permission(&self, scope: &str) -> Rejection {
        self.forbidden(scope, format!("the API key lacks the permission {scope}"))
    }

    /// The rejection of an API key that has none of the permissions `scopes`.
    #[must_use]
    pub fn no_permission(&self, scopes: &[&str]) -> Rejection {
        let names = scopes.join(" and ");
        let description = format!(
            "the API key allows nothing here: create one with {names}, or with one of them"
        );
        self.forbidden(&scopes.join(" "), description)
    }

    fn forbidden(&self, scope: &str, description: String) -> Rejection {
        let challenge = self.header(&[
            ("error", "insufficient_scope"),
            ("scope", scope),
            ("error_description", &description),
        ]);
        Rejection::Forbidden { detail: description.into(), challenge: Some(challenge) }
    }
}

impl<S: Sync> FromRequestParts<S> for Challenge {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Rejection> {
        RequestContext::of(parts).map(Self::new)
    }
}
