//! Error pages for a sign-in that AuthKit refuses.
//!
//! Error codes come in the query of `/callback` (RFC 6749, section 4.1.2.1, OpenID Connect Core, section
//! 3.1.2.6, <https://workos.com/docs/reference/authkit/authentication/get-authorization-url>) and from
//! the code exchange (<https://workos.com/docs/reference/authkit/authentication-errors>). An attacker can
//! forge the query: a page quotes it only for a sign-in that began in this browser.

use http::StatusCode;
use url::form_urlencoded;

use crate::{error::AppError, sign_in::ReturnTo, workos::one_line};

/// Longer than any error code that AuthKit sends.
const CODE_MAX_BYTES: usize = 64;

const UNKNOWN: &str = "AuthKit did not sign you in";

/// Describes an error code to the user, with the next step unless that is another attempt.
fn explain(code: &str) -> &'static str {
    match code {
        "access_denied" => {
            "The sign-in was cancelled, or you may not sign in this way: choose another way or account"
        }
        "login_required" => "You have to sign in on AuthKit's page: sign in without prompt=none",
        "interaction_required" | "account_selection_required" | "consent_required" => {
            "AuthKit has to ask you something first: sign in without prompt=none"
        }
        "signin_consent_denied" => "You did not agree to the sign-in",
        "temporarily_unavailable" => "AuthKit is temporarily unavailable: try again in a moment",
        "server_error" | "oauth_failed" => {
            "The sign-in failed at AuthKit or at your identity provider. If it fails again, tell your \
             administrator, who finds the reason in the WorkOS dashboard"
        }
        "organization_invalid" => {
            "The link names an organization that does not exist or has no connection: ask its sender \
             for another, or sign in without it"
        }
        "connection_invalid" | "connection_unlinked" => {
            "The link names a single sign-on connection that does not exist or is not linked any more: \
             ask its sender for another, or sign in without it"
        }
        "ambiguous_connection_selector" | "connection_strategy_invalid" => {
            "The organization or provider in the link has more than one connection: the link has to \
             name one by its connection_id"
        }
        "idp_initiated_sso_disabled" => {
            "Sign-in cannot begin at your identity provider: begin it here"
        }
        "profile_not_allowed_outside_organization" => {
            "Your e-mail address does not belong to the organization: use another account, or ask the \
             organization's administrator"
        }
        "invalid_request"
        | "invalid_connection_selector"
        | "invalid_client"
        | "invalid_scope"
        | "unauthorized_client"
        | "unsupported_response_type" => {
            "AuthKit does not accept this application's request: its administrator finds the settings \
             in the WorkOS dashboard, under Redirects and Authentication"
        }
        "invalid_grant" => "The sign-in took too long, or was finished already",
        "email_verification_required" => "You have to verify your e-mail address first",
        "mfa_enrollment" | "mfa_challenge" => "You have to confirm with a second factor",
        "organization_selection_required" => "You have to choose an organization",
        "sso_required" | "organization_authentication_methods_required" => {
            "Your organization asks for single sign-on, or for another way to sign in"
        }
        "authentication_method_not_allowed" => "You may not sign in this way: choose another",
        _ => UNKNOWN,
    }
}

/// The error for a sign-in that began in this browser and that AuthKit refuses. Quotes AuthKit's code and
/// description.
#[must_use]
pub fn refused(code: &str, description: Option<&str>, return_to: &ReturnTo) -> AppError {
    let is_code = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    let code = Some(code).filter(|code| code.len() <= CODE_MAX_BYTES && code.bytes().all(is_code));
    let description = description.map(one_line);
    let quoted = match (code, description) {
        (Some(code), Some(text)) => format!(" ({code}: {text})"),
        (Some(text), None) => format!(" ({text})"),
        (None, Some(text)) => format!(" ({text})"),
        (None, None) => String::new(),
    };
    let explanation = explain(code.unwrap_or_default());
    try_again(format!("{explanation}{quoted}. Try again at /login"), return_to)
}

/// The error for a callback without a matching sign-in: another browser began it, or it has expired.
#[must_use]
pub fn refused_elsewhere() -> AppError {
    try_again(
        "No sign-in was finished: it did not begin in this browser, or too long ago. \
         Sign in at /login",
        &ReturnTo::default(),
    )
}

/// The error for a retried sign-in whose cookie is missing again.
#[must_use]
pub fn cookie_not_kept(return_to: &ReturnTo) -> AppError {
    try_again(
        "Your browser did not send back the cookie that sign-in needs. \
         Allow cookies for this site, then try again at /login",
        return_to,
    )
}

/// The error for a retried sign-in whose code was already exchanged.
#[must_use]
pub fn used_already(return_to: &ReturnTo) -> AppError {
    try_again("This sign-in was finished already. Sign in again at /login", return_to)
}

/// A 400 with a link to `/login`.
pub fn try_again(detail: impl Into<String>, return_to: &ReturnTo) -> AppError {
    AppError::new(StatusCode::BAD_REQUEST, detail.into())
        .with_action("Try again", login_path(return_to))
}

/// `/login`, with `return_to` unless it is the landing page.
#[must_use]
pub fn login_path(return_to: &ReturnTo) -> String {
    path(form_urlencoded::Serializer::new(String::new()), return_to)
}

/// [`login_path`] with the mark of a second attempt.
#[must_use]
pub fn retry_path(return_to: &ReturnTo) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("retry", "1");
    path(query, return_to)
}

fn path(mut query: form_urlencoded::Serializer<'_, String>, return_to: &ReturnTo) -> String {
    if let Some(path) = return_to.path() {
        query.append_pair("return_to", path);
    }
    let query = query.finish();
    if query.is_empty() { "/login".to_owned() } else { format!("/login?{query}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detail(error: &AppError) -> &str {
        error.detail.as_str().unwrap()
    }

    #[test]
    fn refusal_explains_then_quotes_code_and_description() {
        let error = refused("sso_required", Some("Use SSO"), &ReturnTo::default());
        assert_eq!(
            detail(&error),
            "Your organization asks for single sign-on, or for another way to sign in \
             (sso_required: Use SSO). Try again at /login"
        );
    }

    #[test]
    fn refusal_drops_invalid_codes_and_shortens_descriptions() {
        let long = format!("a\r\nb{}", "x".repeat(5000));
        let error = refused("<b>", Some(&long), &ReturnTo::default());
        let detail = detail(&error);
        assert!(detail.starts_with("AuthKit did not sign you in (a  bxxx"), "{detail}");
        assert!(detail.len() < 400 && !detail.contains('<'), "{detail}");
        let error = refused(&"x".repeat(65), None, &ReturnTo::default());
        assert_eq!(self::detail(&error), "AuthKit did not sign you in. Try again at /login");
    }

    #[test]
    fn login_path_omits_the_landing_page() {
        assert_eq!(login_path(&ReturnTo::default()), "/login");
        assert_eq!(retry_path(&ReturnTo::default()), "/login?retry=1");
    }
}
