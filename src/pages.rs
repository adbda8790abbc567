//! What a browser sees: the home page and errors.

use std::sync::LazyLock;

use axum::response::{IntoResponse, Response};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderValue, StatusCode, header};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::authkit::CurrentUser;

const STYLE: &str = "\
:root{color-scheme:light dark;font:1rem/1.5 system-ui,sans-serif}\
body{max-width:40rem;margin:0 auto;padding:2rem 1rem}\
a,button{font:inherit}\
";

/// Nothing from elsewhere, no script at all, and only the style above.
static CONTENT_SECURITY_POLICY: LazyLock<String> = LazyLock::new(|| {
    let style_hash = STANDARD.encode(Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{style_hash}'; base-uri 'none'; frame-ancestors 'none'"
    )
});

/// The policy as a header.
#[must_use]
pub fn content_security_policy() -> HeaderValue {
    // Made of a constant and base64.
    HeaderValue::from_str(&CONTENT_SECURITY_POLICY)
        .unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

/// `GET /`.
#[must_use]
pub fn home(caller: Option<&CurrentUser>) -> Response {
    page(
        StatusCode::OK,
        "Expenses",
        &html! {
            h1 { "Expenses" }
            @if let Some(caller) = caller {
                p { "Signed in as " strong { (display_name(caller)) } "." }
                @if let Some(impersonator) = caller.impersonator() {
                    p role="status" { "You are impersonated by " (impersonator.email) "." }
                }
                p { a href="/expenses" { "Your expenses" } }
                form method="post" action="/logout" { button { "Sign out" } }
            } @else {
                p { "Keep track of what you spend. Sessions are sealed and tokens checked at the edge." }
                p { a href="/login" { "Sign in" } }
            }
        },
    )
}

/// An error, in words and with a way on.
#[must_use]
pub fn error(status: StatusCode, detail: &Value) -> Response {
    let title = match status.as_u16() {
        400 => "That did not work",
        401 => "Sign in first",
        403 => "Not allowed",
        404 => "Nothing is here",
        503 => "Not to be reached right now",
        500..=599 => "Something went wrong",
        _ => status.canonical_reason().unwrap_or("Error"),
    };
    page(
        status,
        title,
        &html! {
            h1 { (title) }
            @if let Some(text) = detail.as_str() { p { (text) "." } }
            p { a href="/" { "Home" } " · " a href="/login" { "Sign in" } }
        },
    )
}

fn display_name(caller: &CurrentUser) -> &str {
    caller.user().map_or_else(|| caller.id(), |user| &user.email)
}

fn page(status: StatusCode, title: &str, content: &Markup) -> Response {
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { main { (content) } }
        }
    };
    let content_type = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
    (status, content_type, markup.into_string()).into_response()
}
