//! What is said instead of what was asked for: plain words, a way on, and the id that the log has too.

use http::StatusCode;
use maud::{Markup, html};
use serde_json::Value;

use super::layout::Layout;
use crate::authkit::ErrorPage;

/// What went wrong.
#[derive(Debug, Clone, Copy)]
pub struct Failure<'a> {
    /// The answer's status.
    pub status: StatusCode,
    /// What an API client is told: text, or a list of problems.
    pub detail: &'a Value,
    /// The request's id.
    pub request_id: Option<&'a str>,
    /// Where the person meant to go, if going there again may help.
    pub retry: Option<&'a str>,
    /// What helps, and where it is.
    pub way_on: Option<(&'a str, &'a str)>,
}

/// The document of an error, for AuthKit's error layer.
#[must_use]
pub fn render(page: &ErrorPage<'_>) -> String {
    let action = page.error.aside.way_on.as_ref();
    self::page(&Failure {
        status: page.error.status,
        detail: &page.error.detail,
        request_id: page.request_id,
        retry: page.retry,
        way_on: action.map(|(label, href)| (*label, href.as_str())),
    })
    .into_string()
}

/// The page of a failure.
#[must_use]
pub fn page(failure: &Failure) -> Markup {
    let Failure { status, detail, request_id, retry, way_on } = *failure;
    let title = title(status);
    let ways: Vec<(&str, &str)> = match (way_on, retry, status.as_u16()) {
        (Some(way_on), ..) => vec![way_on, ("Your expenses", "/expenses")],
        (None, Some(path), _) => vec![("Try again", path), ("Home", "/")],
        (None, None, 401) => vec![("Sign in", "/login"), ("Home", "/")],
        (None, None, _) => vec![("Your expenses", "/expenses"), ("Home", "/")],
    };
    let content = html! {
        div.hero {
            p.muted { "Error " (status.as_u16()) }
            h1 { (title) }
            @match detail {
                Value::String(text) => p.lead { (sentence(text)) },
                Value::Array(problems) => ul {
                    @for problem in problems { li { (problem_text(problem)) } }
                },
                _ => {},
            }
            p.actions {
                @for (index, (label, href)) in ways.iter().enumerate() {
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
        other => other.to_string(),
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
        Failure { status, detail, request_id: Some("ray-1"), retry: None, way_on: None }
    }

    #[test]
    fn a_failure_has_words_a_way_on_and_the_request_id() {
        let detail = json!("Expenses cannot be reached right now: try again in a moment");
        let page = page(&Failure { retry: Some("/expenses?a=1&b=2"), ..failure(&detail) });
        let page = page.into_string();
        assert!(page.contains("try again in a moment."), "{page}");
        assert!(page.contains("href=\"/expenses?a=1&amp;b=2\">Try again"), "{page}");
        assert!(page.contains("<code>ray-1</code>"), "{page}");
    }

    #[test]
    fn what_a_failure_tells_is_never_markup() {
        let detail = json!("AuthKit said <script>\" onload=\"x");
        let page = page(&Failure { request_id: Some("\"><b>"), ..failure(&detail) }).into_string();
        assert!(page.contains("AuthKit said &lt;script&gt;&quot; onload=&quot;x."), "{page}");
        assert!(!page.contains("<script") && !page.contains("<b>"), "{page}");
    }

    #[test]
    fn problems_are_told_one_by_one() {
        let detail = json!([{"loc": ["body", "amount"], "msg": "Field required"}, {"loc": ["body", 3], "msg": "x"}]);
        let page = page(&failure(&detail)).into_string();
        assert!(page.contains("<li>amount: Field required</li><li>3: x</li>"), "{page}");
    }
}
