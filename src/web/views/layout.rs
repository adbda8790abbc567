//! The frame of every page (head, bar, impersonation banner, footer) and the pages' Content Security Policy
//! (level 3).

use std::sync::LazyLock;

use axum::response::{IntoResponse, Response};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderValue, StatusCode, header};
use maud::{DOCTYPE, Markup, PreEscaped, Render, html};
use sha2::{Digest, Sha256};

use crate::{access::Permitted, expenses::ledger::overlay::Consistency};
use axum_authkit::user::Impersonator;

/// The icon as a data URL, which saves a request.
const ICON: &str = "data:image/svg+xml,\
    %3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E\
    %3Crect width='16' height='16' rx='4' fill='%230b6b5d'/%3E\
    %3Cpath d='M4 12V8m4 4V4m4 8V6' stroke='white' stroke-width='2' stroke-linecap='round'/%3E\
    %3C/svg%3E";

/// The description for search engines and previews; the same on every page.
const DESCRIPTION: &str = "Write down what you spend, in any currency, and see what each month costs \
    and what it goes on. Your expenses are yours alone, and you can download them as CSV.";

/// A number for the content of the style sheet, a static asset. It is part of the sheet's address, so that a page never
/// gets a sheet that the browser has kept from a version with another one.
const STYLE_VERSION: u32 = fnv1a(include_bytes!("../../../assets/style.css"));

/// Room for what follows the content of a page.
const FOOT_BYTES: usize = 256;

/// FNV-1a with 32 bits: not against attackers.
const fn fnv1a(bytes: &[u8]) -> u32 {
    let mut hash: u32 = 0x811c_9dc5;
    let mut index = 0;
    while index < bytes.len() {
        hash = (hash ^ bytes[index] as u32).wrapping_mul(0x0100_0193);
        index += 1;
    }
    hash
}

/// The script that reloads a page when the browser restores it from the back/forward cache. Without scripts
/// a restored page stays unchanged.
static RESTORED_SCRIPT: LazyLock<String> = LazyLock::new(|| {
    let lines = include_str!("restored.js").lines();
    lines.filter(|line| !line.starts_with("//")).collect()
});

static RESTORED_SCRIPT_HASH: LazyLock<String> =
    LazyLock::new(|| STANDARD.encode(Sha256::digest(&*RESTORED_SCRIPT)));

/// The pages' policy. It forbids content from other origins, and allows the script above by its hash.
///
/// `form_origins` are the origins that the page's forms redirect to: browsers check `form-action` for every redirect
/// of a form.
#[must_use]
pub fn content_security_policy(form_origins: &[String]) -> HeaderValue {
    let form_action: String = form_origins.iter().map(|origin| format!(" {origin}")).collect();
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'self'; img-src data:; \
         form-action 'self'{form_action}; base-uri 'none'; frame-ancestors 'none'",
        *RESTORED_SCRIPT_HASH
    );
    // The constants, base64 and origins are ASCII.
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

/// The signed-in user's data on pages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// The e-mail address, or the user's ID if the session has no address.
    pub name: String,
    /// First and last name.
    pub full_name: Option<String>,
    /// The session's organization.
    pub organization_id: Option<String>,
    /// The role in the organization.
    pub role: Option<String>,
    /// The access that the pages offer to the user.
    pub permitted: Permitted,
    /// The impersonator who acts as the user.
    pub impersonator: Option<Impersonator>,
}

impl Account {
    /// Whether the pages offer to add, change and delete expenses.
    #[must_use]
    pub fn may_write(&self) -> bool {
        self.permitted == Permitted::All
    }
}

/// The content of a page, for which the page's buffer grows once.
struct Content<'a>(&'a Markup);

impl Render for Content<'_> {
    fn render_to(&self, page: &mut String) {
        let Self(PreEscaped(content)) = self;
        page.reserve(content.len() + FOOT_BYTES);
        page.push_str(content);
    }
}

/// The frame of a page.
#[derive(Debug, Clone, Copy)]
pub struct Layout<'a> {
    /// The title of the window.
    pub title: &'a str,
    /// The signed-in user, if known.
    pub account: Option<&'a Account>,
}

impl Layout<'_> {
    /// The whole page.
    #[must_use]
    pub fn page(&self, content: &Markup) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="description" content=(DESCRIPTION);
                    meta name="color-scheme" content="light dark";
                    title { (self.title) " · Expenses" }
                    link rel="icon" href=(ICON);
                    link rel="stylesheet" href={ "/style.css?v=" (STYLE_VERSION) };
                    @if self.account.is_some() { script { (PreEscaped(&*RESTORED_SCRIPT)) } }
                }
                body {
                    a.skip href="#main" { "Skip to the content" }
                    (self.bar())
                    @if let Some(account) = self.account { (impersonation(account)) }
                    main #main tabindex="-1" { (Content(content)) }
                    footer.foot {
                        p {
                            @if self.account.is_some() { a href="/account" { "Your account" } " " }
                            a href="/docs" { "API documentation" }
                        }
                    }
                }
            }
        }
    }

    fn bar(&self) -> Markup {
        html! {
            header.top {
                a.brand href="/" { (mark()) "Expenses" }
                @if let Some(account) = self.account {
                    p.who { span.vh { "Signed in as " } a href="/account" { bdi { (account.name) } } }
                    form method="post" action="/logout" { button.quiet { "Sign out" } }
                }
            }
        }
    }
}

fn mark() -> Markup {
    html! {
        svg viewBox="0 0 16 16" width="28" height="28" aria-hidden="true" {
            rect.fill width="16" height="16" rx="4" {}
            path.line d="M4 12V8m4 4V4m4 8V6" {}
        }
    }
}

/// The banner that names the impersonator and the user.
pub(crate) fn impersonation(account: &Account) -> Markup {
    html! {
        @if let Some(Impersonator { email, reason }) = &account.impersonator {
            aside.warning aria-label="Impersonation" {
                p {
                    strong { bdi { (email) } " is signed in as " bdi { (account.name) } "." }
                    @if let Some(reason) = reason { " Reason: " bdi { (reason) } }
                }
            }
        }
    }
}

/// A response with a page.
#[must_use]
pub fn respond(status: StatusCode, page: Markup) -> Response {
    let content_type = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
    (status, content_type, page.into_string()).into_response()
}

/// Why a page offers less than to other users.
#[must_use]
pub fn permitted_note(account: &Account) -> Markup {
    html! {
        @match account.permitted {
            Permitted::All => {},
            Permitted::Reading => p {
                "You can see your expenses, but not add or change any: your role lacks the permission "
                code { "expenses:write" } "."
            },
            Permitted::Nothing => p {
                "Your expenses cannot be shown: your role lacks the permission " code { "expenses:read" } "."
            },
        }
    }
}

/// A note on a page that may lack the newest changes.
#[must_use]
pub fn consistency_note(consistency: Consistency) -> Markup {
    html! {
        @if consistency == Consistency::Eventual {
            p.notice role="status" {
                "The newest changes cannot be read right now, so some may be missing here. They are not lost."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> Account {
        Account { name: "ada@example.com".into(), ..Account::default() }
    }

    fn page(account: &Account) -> String {
        Layout { title: "T", account: Some(account) }.page(&html! { h1 { "T" } }).into_string()
    }

    #[test]
    fn restored_script_lines_can_be_joined() {
        for line in include_str!("restored.js").lines() {
            assert!(line.starts_with("//") || line.ends_with(';'), "{line}");
        }
        assert!(!RESTORED_SCRIPT.contains("//") && !RESTORED_SCRIPT.contains('<'));
    }

    #[test]
    fn policy_allows_the_script_of_account_pages() {
        let page = page(&account());
        let (_, rest) = page.split_once("<script>").unwrap();
        let (script, rest) = rest.split_once("</script>").unwrap();
        assert!(script.contains("location.reload()") && !rest.contains("<script"), "{page}");
        let policy = content_security_policy(&[]);
        let hash = STANDARD.encode(Sha256::digest(script));
        let allowed = format!("; script-src 'sha256-{hash}';");
        assert!(policy.to_str().unwrap().contains(&allowed), "{policy:?}");
        let page = Layout { title: "T", account: None }.page(&html! {}).into_string();
        assert!(!page.contains("<script"), "{page}");
    }

    #[test]
    fn every_page_has_a_description_and_api_link() {
        for account in [None, Some(&account())] {
            let page = Layout { title: "T", account }.page(&html! {}).into_string();
            assert!(page.contains("<meta name=\"description\" content=\"Write down"), "{page}");
            assert!(page.contains("<a href=\"/docs\">API documentation</a>"), "{page}");
            let links_account = page.contains("<a href=\"/account\">Your account</a>");
            assert_eq!(links_account, account.is_some(), "{page}");
            assert_eq!(page.matches("<footer").count(), 1, "{page}");
        }
    }

    #[test]
    fn style_sheet_has_a_version_in_its_address() {
        let page = page(&account());
        assert!(page.contains("<link rel=\"stylesheet\" href=\"/style.css?v="), "{page}");
        // The published values of FNV-1a for no bytes and for "foobar".
        assert_eq!((fnv1a(b""), fnv1a(b"foobar")), (0x811c_9dc5, 0xbf9c_f968));
        let style = include_str!("../../../assets/style.css");
        assert!(!style.contains("url(") && !style.contains("@import"), "the policy blocks it");
    }

    #[test]
    fn policy_allows_the_style_sheet_and_form_origins() {
        let policy = content_security_policy(&["https://api.workos.com".into()]);
        let policy = policy.to_str().unwrap();
        assert!(policy.contains("style-src 'self';"), "{policy}");
        assert!(policy.contains("form-action 'self' https://api.workos.com;"), "{policy}");
    }

    #[test]
    fn impersonator_and_reason_are_shown_escaped() {
        let impersonator = Impersonator {
            email: "\"><img src=x>@example.com".into(),
            reason: Some("<script>alert(1)</script>".into()),
        };
        let page = page(&Account { impersonator: Some(impersonator), ..account() });
        assert!(page.contains("aria-label=\"Impersonation\""), "{page}");
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "{page}");
        assert!(!page.contains("<script>alert") && !page.contains("<img"), "{page}");
        assert!(!super::tests::page(&account()).contains("Impersonation"));
    }
}
