//! Who is calling: the [`CurrentUser`] extractor. A handler that takes one is protected; a handler
//! that does not has nobody whose data it could reach.
//!
//! A caller shows the session cookie or `Authorization: Bearer` (RFC 6750); with both, the header
//! counts. The three answers stay apart: refused is 401 (a browser is sent to sign in), and what
//! could not be told is 503, never a sign-out.

use std::sync::Arc;

use axum::{
    extract::{FromRef, FromRequestParts},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts};
use thiserror::Error;

use super::{
    AuthKit, VerifyError,
    cookie::RequestCookies,
    login::ReturnTo,
    origin::OwnOrigin,
    session::{Session, User},
    token::{TokenError, VerifiedClaims},
};
use crate::{
    error::AppError,
    pages::{redirect, wants_html},
};

/// The signed-in caller.
#[derive(Debug, Clone)]
pub struct CurrentUser {
    claims: VerifiedClaims,
    user: Option<User>,
}

/// Why nobody is signed in.
#[derive(Debug, Error)]
enum CallerError {
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

impl CurrentUser {
    /// The verified claims.
    #[must_use]
    pub fn claims(&self) -> &VerifiedClaims {
        &self.claims
    }

    /// The user's id at WorkOS, the token's `sub`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.claims.claims().sub
    }

    /// What WorkOS told of the user at sign-in; bearer tokens come without.
    #[must_use]
    pub fn user(&self) -> Option<&User> {
        self.user.as_ref()
    }

    async fn identify(
        authkit: &AuthKit,
        parts: &Parts,
        origin: &OwnOrigin,
    ) -> Result<Self, CallerError> {
        if let Some(value) = parts.headers.get(header::AUTHORIZATION) {
            let token = bearer_token(value).ok_or(CallerError::NotABearer)?;
            let claims = authkit.verify(token).await.map_err(|error| match error {
                VerifyError::Token(error) => CallerError::Token(error),
                VerifyError::Unavailable(error) => error.into(),
            })?;
            return Ok(Self { claims, user: None });
        }
        let cookies = RequestCookies::from_headers(&parts.headers);
        let cookie = authkit.config.cookie.session_cookie(origin.is_secure());
        let candidates = cookie.read(&cookies);
        if candidates.is_empty() {
            return Err(CallerError::NoCredentials);
        }
        if !parts.method.is_safe() && origin.is_cross_origin(&parts.headers) {
            return Err(CallerError::CrossOrigin);
        }
        let session = candidates
            .iter()
            .find_map(|sealed| Session::open(sealed, &authkit.session_sealer).ok())
            .ok_or(CallerError::Session)?;
        let claims =
            authkit.verify(session.access_token.expose()).await.map_err(|error| match error {
                VerifyError::Token(_) => CallerError::Session,
                VerifyError::Unavailable(error) => error.into(),
            })?;
        // The cookie's user is shown, so it must be the one the token is about.
        let user = session.user.filter(|user| user.id == claims.claims().sub);
        Ok(Self { claims, user })
    }
}

impl From<super::client::ClientError> for CallerError {
    fn from(error: super::client::ClientError) -> Self {
        let reason = error.to_string();
        let retry_after_secs = match error {
            super::client::ClientError::Unavailable { retry_after_secs, .. } => retry_after_secs,
            super::client::ClientError::Refused { .. } => 1,
        };
        Self::Unavailable { reason, retry_after_secs }
    }
}

/// `Bearer` in any case (RFC 9110, section 11.1), then the token.
fn bearer_token(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

impl<S> FromRequestParts<S> for CurrentUser
where
    Arc<AuthKit>: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let authkit = Arc::<AuthKit>::from_ref(state);
        let origin = OwnOrigin::from_request_parts(parts, state)
            .await
            .map_err(IntoResponse::into_response)?;
        Self::identify(&authkit, parts, &origin)
            .await
            .map_err(|error| rejection(&error, parts, &origin))
    }
}

fn rejection(error: &CallerError, parts: &Parts, origin: &OwnOrigin) -> Response {
    let detail = error.to_string();
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
            HeaderValue::from_static("Bearer")
        }
        CallerError::NotABearer => HeaderValue::from_static("Bearer error=\"invalid_request\""),
        // `TokenError` is plain text without quotes.
        CallerError::Token(error) => {
            let text = format!("Bearer error=\"invalid_token\", error_description=\"{error}\"");
            HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("Bearer"))
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
fn sign_in_path(parts: &Parts, origin: &OwnOrigin) -> String {
    let wanted = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let return_to = ReturnTo::parse(wanted, origin.url()).unwrap_or_default();
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("return_to", return_to.as_str())
        .finish();
    format!("/login?{query}")
}
