//! Why an extractor rejects a request, and the response.
//!
//! Refused and could-not-tell stay apart: [`Rejection::Unauthenticated`] and [`Rejection::Forbidden`] are about
//! the caller, [`Rejection::Unavailable`] is about WorkOS or KV and never signs anybody out.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use thiserror::Error;

use crate::{browser::redirect, error::AppError, outage::Outage, token::TokenError};

/// Why a handler does not run.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum Rejection {
    /// The extractor stands in a router without the layer. A fault of the application: 500.
    #[error("This route needs the AuthKit layer: pass its router to AuthKit::protect")]
    MissingLayer,
    /// A request without a host: 400.
    #[error("The request has no host")]
    NoHost,
    /// No valid credentials: 401, or for a browser's navigation a redirect to the sign-in.
    #[error("{reason}")]
    Unauthenticated {
        /// Why.
        reason: Unauthenticated,
        /// `WWW-Authenticate`.
        challenge: HeaderValue,
        /// Where a browser signs in; `None` for other clients.
        sign_in: Option<Box<str>>,
    },
    /// The caller may not do this: 403.
    #[error("{detail}")]
    Forbidden {
        /// The message for the caller.
        detail: Cow<'static, str>,
        /// `WWW-Authenticate`, for a token that lacks a scope.
        challenge: Option<HeaderValue>,
    },
    /// The caller has sent too many requests: 429.
    #[error("Too many requests: try again in {retry_after_secs} seconds")]
    TooManyRequests {
        /// Seconds after which the caller may retry.
        retry_after_secs: u32,
    },
    /// WorkOS or KV could not be reached, so nothing is known of the caller: 503.
    #[error("Sign-in cannot be checked right now: try again soon")]
    Unavailable(Outage),
}

/// Why the credentials of a request identify nobody.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Unauthenticated {
    /// Neither a cookie nor a token.
    #[error("Not signed in")]
    NoCredentials,
    /// `Authorization: Bearer` without a token.
    #[error("The Authorization header holds no bearer token")]
    NotABearer,
    /// A bearer token that is refused.
    #[error("{0}")]
    Token(TokenError),
    /// An API key that is refused.
    #[error("the API key is not valid: it is unknown, revoked or expired")]
    ApiKey,
    /// A cookie that holds no session, or a session that has ended.
    #[error("The session is not valid: sign in again")]
    Session,
}

impl Unauthenticated {
    /// Its name in events.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::NoCredentials => "no_credentials",
            Self::NotABearer => "not_a_bearer",
            Self::Token(error) => error.name(),
            Self::ApiKey => "api_key",
            Self::Session => "session",
        }
    }
}

impl Rejection {
    /// 403 with this message for the caller.
    pub fn forbidden(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::Forbidden { detail: detail.into(), challenge: None }
    }
}

impl From<Rejection> for AppError {
    fn from(rejection: Rejection) -> Self {
        let detail = rejection.to_string();
        match rejection {
            Rejection::MissingLayer => Self::internal(detail),
            Rejection::NoHost => Self::new(StatusCode::BAD_REQUEST, detail),
            Rejection::Unauthenticated { challenge, .. } => {
                Self::new(StatusCode::UNAUTHORIZED, detail)
                    .with_header(header::WWW_AUTHENTICATE, challenge)
            }
            Rejection::Forbidden { challenge, .. } => {
                let error = Self::new(StatusCode::FORBIDDEN, detail);
                match challenge {
                    Some(challenge) => error.with_header(header::WWW_AUTHENTICATE, challenge),
                    None => error,
                }
            }
            Rejection::TooManyRequests { retry_after_secs } => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, detail)
                    .with_header(header::RETRY_AFTER, retry_after_secs.into())
            }
            Rejection::Unavailable(outage) => outage.into_error(&detail),
        }
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        match &self {
            Self::Unauthenticated { sign_in: Some(path), .. } => redirect(StatusCode::FOUND, path),
            _ => AppError::from(self).into_response(),
        }
    }
}
