//! What whoever is not let in is told: why, and `WWW-Authenticate` (RFC 6750, section 3), which where
//! Connect is on leads to what a client needs to get a token (RFC 9728, section 5.1).

use std::{fmt::Write as _, sync::Arc};

use axum::{
    extract::{FromRef, FromRequestParts},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts};
use thiserror::Error;

use super::{
    AuthKit, oauth_metadata::PROTECTED_RESOURCE_PATH, origin::RequestOrigin, refresh::RefreshError,
    sign_in::ReturnTo, token::TokenError,
};
use crate::{
    browser::{redirect, wants_html},
    error::AppError,
};

/// The challenge of one path.
#[derive(Debug, Clone)]
pub struct Challenge {
    /// Where the path's metadata is; `None` where Connect is off.
    resource_metadata: Option<String>,
}

impl Challenge {
    /// The challenge of a request to `path` of `origin`.
    #[must_use]
    pub fn new(authkit: &AuthKit, origin: &RequestOrigin, path: &str) -> Self {
        let resource_metadata = authkit.connect.as_ref().map(|_| {
            let resource = authkit.resource.of_path(path);
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

    /// 403 for a token that is good, but not for what `scope` stands for.
    #[must_use]
    pub fn insufficient_scope(&self, scope: &str) -> AppError {
        self.forbidden(scope, format!("the token lacks the scope {scope}"))
    }

    /// 403 for a token that is good, but for nothing here: it has none of the `scopes`.
    #[must_use]
    pub fn no_scope(&self, scopes: &[&str]) -> AppError {
        let description = format!(
            "the token allows nothing here: ask for the scopes {}, or for this resource",
            scopes.join(" and ")
        );
        self.forbidden(&scopes.join(" "), description)
    }

    fn forbidden(&self, scope: &str, description: String) -> AppError {
        let challenge = self.header(&[
            ("error", "insufficient_scope"),
            ("scope", scope),
            ("error_description", &description),
        ]);
        AppError::new(StatusCode::FORBIDDEN, description)
            .with_header(header::WWW_AUTHENTICATE, challenge)
    }
}

impl<S> FromRequestParts<S> for Challenge
where
    Arc<AuthKit>: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = AppError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, AppError> {
        let origin = RequestOrigin::from_request_parts(parts, state).await?;
        Ok(Self::new(&Arc::<AuthKit>::from_ref(state), &origin, parts.uri.path()))
    }
}

/// Why nobody is signed in.
#[derive(Debug, Error)]
pub(super) enum CallerError {
    #[error("Not signed in")]
    NoCredentials,
    #[error("The Authorization header holds no bearer token")]
    NotABearer,
    /// A bearer token that is no good.
    #[error("{0}")]
    Token(TokenError),
    /// A cookie that is no session, or one that has ended.
    #[error("The session is not valid: sign in again")]
    Session,
    #[error("Requests that change something must come from this site's own pages")]
    CrossOrigin,
    #[error("Sign-in cannot be checked right now: try again soon")]
    Unavailable { reason: String, retry_after_secs: u32 },
}

impl From<RefreshError> for CallerError {
    fn from(error: RefreshError) -> Self {
        match error {
            // AuthKit wants more of the user, and asks for it when they sign in.
            RefreshError::Ended | RefreshError::Refused { .. } => Self::Session,
            RefreshError::Unavailable { reason, retry_after_secs } => {
                Self::Unavailable { reason, retry_after_secs }
            }
        }
    }
}

/// The answer: 401 with the challenge, or for a browser the way to sign in.
pub(super) fn rejection(
    error: &CallerError,
    parts: &Parts,
    authkit: &AuthKit,
    origin: &RequestOrigin,
) -> Response {
    let detail = error.to_string();
    let challenge = Challenge::new(authkit, origin, parts.uri.path());
    let challenge = match error {
        CallerError::CrossOrigin => {
            return AppError::new(StatusCode::FORBIDDEN, detail).into_response();
        }
        CallerError::Unavailable { reason, retry_after_secs } => {
            return AppError::unavailable(detail, *retry_after_secs, reason).into_response();
        }
        CallerError::NoCredentials | CallerError::Session => {
            if is_navigation(&parts.method, &parts.headers) {
                return redirect(StatusCode::FOUND, &sign_in_path(parts, origin));
            }
            challenge.header(&[])
        }
        CallerError::NotABearer => challenge.header(&[("error", "invalid_request")]),
        // `TokenError` is plain text without quotes.
        CallerError::Token(_) => {
            challenge.header(&[("error", "invalid_token"), ("error_description", &detail)])
        }
    };
    AppError::new(StatusCode::UNAUTHORIZED, detail)
        .with_header(header::WWW_AUTHENTICATE, challenge)
        .into_response()
}

/// A browser that would show what comes back.
fn is_navigation(method: &Method, headers: &HeaderMap) -> bool {
    matches!(*method, Method::GET | Method::HEAD) && wants_html(headers)
}

/// `/login`, coming back to where the request was going.
fn sign_in_path(parts: &Parts, origin: &RequestOrigin) -> String {
    let wanted = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let return_to = ReturnTo::parse(wanted, origin.url()).unwrap_or_default();
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("return_to", return_to.as_str())
        .finish();
    format!("/login?{query}")
}
