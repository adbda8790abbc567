//! The page of an error: a plain message, an action, and the request's ID, which the log has too.

use http::StatusCode;
use maud::{Markup, html};
use serde_json::Value;

use super::layout::Layout;
use axum_authkit::ErrorPage;

/// An error.
#[derive(Debug, Clone, Copy)]
pub struct Failure<'a> {
    /// The status.
    pub status: StatusCode,
    /// The `detail` for API clients: text, or a list of problems.
    pub detail: &'a Value,
    /// The request's id.
    pub request_id: Option<&'a str>,
    /// The address of the request, if trying again may help.
    pub retry: Option<&'a str>,
    /// The text and the address of the first link.
    pub action: Option<(&'a str, &'a str)>,
}

/// The document of an error, for AuthKit's error layer.
#[must_use]
pub fn render(page: &ErrorPage<'_>) -> String {
    let action = page.error.internal.action.as_ref();
    self::page(&Failure {
        status: page.error.status,
        detail: &page.error.detail,
        request_id: page.request_id,
        retry: page.retry,
        action: action.map(|(label, href)| (*label, href.as_str())),
    })
    .into_string()
}

/// The page.
#[must_use]
pub fn page(failure: &Failure) -> Markup {
    let Failure { status, detail, request_id, retry, action } = *failure;
    let title = title(status);
    let links: Vec<(&str, &str)> = match (action, retry, status.as_u16()) {
        (Some(action), ..) => vec![action, ("Your expenses", "/expenses")],
        (None, Some(path), _) => vec![("Try again", path), ("Home", "/")],
        (None, None, 401) => vec![("Sign in", "/login"), ("Home", "/")],
        // The role of another organization may allow it.
        (None, None, 403) => vec![("Your account", "/account"), ("Home", "/")],
        (None, None, _) => vec![("Your expenses", "/expenses"), ("Home", "/")],
    };
    let content = html! {
        div.hero {
            p.muted { "Error " (status.as_u16()) }
            h1 { (title) }
            @match detail {
                // "Not Found" is the title.
                Value::String(text) if text.eq_ignore_ascii_case(title) => {},
                Value::String(text) => p.lead { (sentence(text)) },
                Value::Array(problems) => ul {
                    @for problem in problems { li { (problem_text(problem)) } }
                },
                _ => {},
            }
            p.actions {
                @for (index, (label, href)) in links.iter().enumerate() {
                    @if index == 0 { a.button href=(href) { (label) } } @else { a href=(href) { (label) } }
                }
            }
            @if let Some(id) = request_id {
                p.muted { "If you ask for help, give this request ID: " code { (id) } }
            }
        }
    };
    Layout { title, account: None }.page(&content)
}

fn title(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 => "That did not work",
        401 => "Sign in first",
        403 => "Not allowed",
        404 => "Not found",
        409 | 422 => "That cannot be done",
        413 => "Too long",
        429 => "Too many requests",
        503 => "Temporarily unavailable",
        500..=599 => "Something went wrong",
        _ => status.canonical_reason().unwrap_or("Error"),
    }
}

fn sentence(text: &str) -> String {
    if text.ends_with(['.', '!', '?']) { text.to_owned() } else { format!("{text}.") }
}

/// `amount: Field required`.
fn problem_text(problem: &Value) -> String {
    let field = problem["loc"].as_array().and_then(|loc| loc.last()).map(|last| match last {
        Value::String(name) => name.clone(),
        other => edge_host::json::write(other),
    });
    let text = problem["msg"].as_str().unwrap_or_default();
    field.map_or_else(|| text.to_owned(), |field| format!("{field}: {text}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn failure(detail: &Value) -> Failure<'_> {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Failure { status, detail, request_id: Some("ray-1"), retry: None, action: None }
    }

    #[test]
    fn error_page_shows_message_link_and_request_id() {
        let detail = json!("Expenses cannot be reached right now: try again in a moment");
        let page = page(&Failure { retry: Some("/expenses?a=1&b=2"), ..failure(&detail) });
        let page = page.into_string();
        assert!(page.contains("try again in a moment."), "{page}");
        assert!(page.contains("href=\"/expenses?a=1&amp;b=2\">Try again"), "{page}");
        assert!(page.contains("<code>ray-1</code>"), "{page}");
    }

    #[test]
    fn detail_is_never_markup() {
        let detail = json!("AuthKit said <script>\" onload=\"x");
        let page = page(&Failure { request_id: Some("\"><b>"), ..failure(&detail) }).into_string();
        assert!(page.contains("AuthKit said &lt;script&gt;&quot; onload=&quot;x."), "{page}");
        assert!(!page.contains("<script") && !page.contains("<b>"), "{page}");
    }

    #[test]
    fn problems_are_listed() {
        let detail = json!([{"loc": ["body", "amount"], "msg": "Field required"}, {"loc": ["body", 3], "msg": "x"}]);
        let page = page(&failure(&detail)).into_string();
        assert!(page.contains("<li>amount: Field required</li><li>3: x</li>"), "{page}");
    }
}
