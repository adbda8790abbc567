//! `/account`: who is signed in, and the organization of the session.

use maud::{Markup, html};

use super::{Account, Layout, permitted_note};

/// The content of the page.
#[derive(Debug, Clone, Copy)]
pub struct AccountPage<'a> {
    /// The signed-in user.
    pub account: &'a Account,
    /// Whether a form that has switched the organization led here.
    pub is_switched: bool,
}

/// The page.
#[must_use]
pub fn page(page: &AccountPage) -> Markup {
    let AccountPage { account, is_switched } = *page;
    let content = html! {
        p { a href="/expenses" { "Back to your expenses" } }
        h1 { "Your account" }
        @if is_switched { p.notice role="status" { "Organization switched." } }
        (session(account))
        (organizations())
    };
    Layout { title: "Your account", account: Some(account) }.page(&content)
}

fn session(account: &Account) -> Markup {
    html! {
        section.card.narrow aria-labelledby="session" {
            h2 #session { "Signed in" }
            dl.facts {
                dt { "Signed in as" }
                dd {
                    @if let Some(full_name) = &account.full_name { bdi { (full_name) } ", " }
                    bdi { (account.name) }
                }
                dt { "Organization" }
                dd {
                    @match &account.organization_id {
                        Some(id) => code { (id) },
                        None => "None",
                    }
                    @if let Some(role) = &account.role { " as " bdi { (role) } }
                }
            }
            (permitted_note(account))
        }
    }
}

/// The form that switches the organization. The session has only the organization's ID.
fn organizations() -> Markup {
    html! {
        section.card.narrow aria-labelledby="organizations" {
            h2 #organizations { "Organizations" }
            form.switch method="post" action="/organization" {
                div.field {
                    label for="organization_id" { "Switch organization" }
                    p.hint #organization-hint { "The ID begins with org_. Your expenses stay the same." }
                    input #organization_id name="organization_id" required
                        autocomplete="off" autocapitalize="none" spellcheck="false"
                        aria-describedby="organization-hint";
                }
                button.quiet { "Switch" }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page_of(account: &Account) -> String {
        page(&AccountPage { account, is_switched: false }).into_string()
    }

    #[test]
    fn account_without_an_organization_shows_none() {
        let account = Account { name: "ada@example.com".into(), ..Account::default() };
        assert!(page_of(&account).contains("<dd>None</dd>"));
        let member = Account {
            organization_id: Some("org_1".into()),
            role: Some("admin".into()),
            ..account
        };
        assert!(page_of(&member).contains("<code>org_1</code> as <bdi>admin</bdi>"));
    }
}
