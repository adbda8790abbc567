//! Why an extractor lets a request not through, and the response: 401 and 403 with `WWW-Authenticate`
//! (RFC 6750, section 3), which where Connect is on names the metadata that a client needs to get a token
//! (RFC 9728, section 5.1).
//!
//! Refused and could-not-tell stay apart: [`Rejection::SignedOut`] and [`Rejection::Forbidden`] are about
//! the caller, [`Rejection::Unavailable`] is about WorkOS or KV and never signs anybody out.

use std::{borrow::Cow, fmt::Write as _};

use axum::{
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts};
use thiserror::Error;

use crate::{
    browser::{redirect, wants_html},
    error::AppError,
    layer::RequestContext,
    oauth_metadata::PROTECTED_RESOURCE_PATH,
    refresh::RefreshError,
    refusal::login_path,
    sign_in::ReturnTo,
    token::TokenError,
};

/// Why a handler does not run.
#[derive(Debug, Clone, Error)]
pub enum Rejection {
    /// The extractor stands in a router without the layer. A fault of the application: 500.
    #[error("This route needs the AuthKit layer: pass its router to AuthKit::protect")]
    MissingLayer,
    /// A request without a host: 400.
    #[error("The request has no host")]
    NoHost,
    /// Nobody is signed in: 401, or for a browser's navigation a redirect to the sign-in.
    #[error("{reason}")]
    SignedOut {
        /// Why.
        reason: SignedOut,
        /// `WWW-Authenticate`.
        challenge: HeaderValue,
        /// Where a browser signs in; `None` for other clients.
        sign_in: Option<Box<str>>,
    },
    /// The caller may not do this: 403.
    #[error("{detail}")]
    Forbidden {
        /// What the caller is told.
        detail: Cow<'static, str>,
        /// `WWW-Authenticate`, for a token that lacks a scope.
        challenge: Option<HeaderValue>,
    },
    /// WorkOS or KV could not be reached, so nothing is known of the caller: 503.
    #[error("Sign-in cannot be checked right now: try again soon")]
    Unavailable {
        /// For the log.
        reason: Box<str>,
        /// Seconds after which to ask again.
        retry_after_secs: u32,
    },
}

/// Why nobody is signed in.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SignedOut {
    /// Neither a cookie nor a token.
    #[error("Not signed in")]
    NoCredentials,
    /// `Authorization: Bearer` without a token.
    #[error("The Authorization header holds no bearer token")]
    NotABearer,
    /// A bearer token that is refused.
    #[error("{0}")]
    Token(TokenError),
    /// A cookie that holds no session, or a session that has ended.
    #[error("The session is not valid: sign in again")]
    Session,
}

impl Rejection {
    pub(crate) fn forbidden(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::Forbidden { detail: detail.into(), challenge: None }
    }

    /// The rejection of a request whose caller could not be identified.
    pub(crate) fn of_request(
        error: IdentifyError,
        parts: &Parts,
        context: &RequestContext,
    ) -> Self {
        let reason = match error {
            IdentifyError::SignedOut(reason) => reason,
            IdentifyError::CrossOrigin => {
                return Self::forbidden(
                    "Requests that change something must come from this site's own pages",
                );
            }
            IdentifyError::Unavailable { reason, retry_after_secs } => {
                return Self::Unavailable { reason: reason.into(), retry_after_secs };
            }
        };
        let challenge = Challenge::new(context);
        let detail = reason.to_string();
        let parameters: &[(&str, &str)] = match &reason {
            SignedOut::NoCredentials | SignedOut::Session => &[],
            SignedOut::NotABearer => &[("error", "invalid_request")],
            // `TokenError` is plain text without quotes.
            SignedOut::Token(_) => &[("error", "invalid_token"), ("error_description", &detail)],
        };
        let may_sign_in = matches!(reason, SignedOut::NoCredentials | SignedOut::Session);
        let sign_in = (may_sign_in && is_navigation(&parts.method, &parts.headers))
            .then(|| sign_in_path(parts, context).into());
        Self::SignedOut { challenge: challenge.header(parameters), sign_in, reason }
    }
}

impl From<Rejection> for AppError {
    fn from(rejection: Rejection) -> Self {
        let detail = rejection.to_string();
        match rejection {
            Rejection::MissingLayer => Self::internal(detail),
            Rejection::NoHost => Self::new(StatusCode::BAD_REQUEST, detail),
            Rejection::SignedOut { challenge, .. } => Self::new(StatusCode::UNAUTHORIZED, detail)
                .with_header(header::WWW_AUTHENTICATE, challenge),
            Rejection::Forbidden { challenge, .. } => {
                let error = Self::new(StatusCode::FORBIDDEN, detail);
                match challenge {
                    Some(challenge) => error.with_header(header::WWW_AUTHENTICATE, challenge),
                    None => error,
                }
            }
            Rejection::Unavailable { reason, retry_after_secs } => {
                Self::unavailable(detail, retry_after_secs, reason)
            }
        }
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        match &self {
            Self::SignedOut { sign_in: Some(path), .. } => redirect(StatusCode::FOUND, path),
            _ => AppError::from(self).into_response(),
        }
    }
}

/// Why the caller is not known, before the request's response is considered.
#[derive(Debug)]
pub(crate) enum IdentifyError {
    SignedOut(SignedOut),
    CrossOrigin,
    Unavailable { reason: String, retry_after_secs: u32 },
}

impl From<SignedOut> for IdentifyError {
    fn from(reason: SignedOut) -> Self {
        Self::SignedOut(reason)
    }
}

impl From<RefreshError> for IdentifyError {
    fn from(error: RefreshError) -> Self {
        match error {
            // AuthKit wants more of the user, and asks for it when they sign in.
            RefreshError::Ended | RefreshError::Refused { .. } => SignedOut::Session.into(),
            RefreshError::Unavailable { reason, retry_after_secs } => {
                Self::Unavailable { reason, retry_after_secs }
            }
        }
    }
}

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

    /// The rejection of a valid token that has none of the `scopes`.
    #[must_use]
    pub fn no_scope(&self, scopes: &[&str]) -> Rejection {
        let description = format!(
            "the token allows nothing here: ask for the scopes {}, or for this resource",
            scopes.join(" and ")
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

/// A browser that would show the response.
fn is_navigation(method: &Method, headers: &HeaderMap) -> bool {
    matches!(*method, Method::GET | Method::HEAD) && wants_html(headers)
}

/// `/login`, with the way back to the page that the request asked for.
fn sign_in_path(parts: &Parts, context: &RequestContext) -> String {
    let wanted = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let origin = context.origin().ok();
    let return_to = origin.and_then(|origin| ReturnTo::parse(wanted, origin.url()));
    login_path(false, &return_to.unwrap_or_default())
}
