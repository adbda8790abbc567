//! `/account`: who is signed in, and the user's organizations.

use maud::{Markup, html};

use super::{Account, Layout, permitted_note};
use axum_authkit::{portal::PortalIntent, workos::organizations::Membership};
use url::Url;

/// The buttons that open the Admin Portal.
const PORTAL_BUTTONS: [(PortalIntent, &str); 4] = [
    (PortalIntent::Sso, "Set up single sign-on"),
    (PortalIntent::DirectorySync, "Directory sync"),
    (PortalIntent::DomainVerification, "Domain verification"),
    (PortalIntent::AuditLogs, "Audit logs"),
];

/// The content of the page.
#[derive(Debug, Clone, Copy)]
pub struct AccountPage<'a> {
    /// The signed-in user.
    pub account: &'a Account,
    /// The user's organizations; `None` during an outage of WorkOS.
    pub organizations: Option<&'a [Membership]>,
    /// Whether the user may open the Admin Portal of the organization.
    pub may_open_portal: bool,
    /// Whether the user can manage API keys.
    pub has_api_keys: bool,
    /// Whether a form that has switched the organization led here.
    pub is_switched: bool,
}

/// The page.
#[must_use]
pub fn page(page: &AccountPage) -> Markup {
    let AccountPage { account, organizations, has_api_keys, may_open_portal, is_switched } = *page;
    let content = html! {
        p { a href="/expenses" { "Back to your expenses" } }
        h1 { "Your account" }
        @if is_switched { p.notice role="status" { "Organization switched." } }
        (session(account, organizations))
        (organization_list(page))
        @if may_open_portal { (portal_form()) }
        @if has_api_keys {
            section.card.narrow aria-labelledby="keys" {
                h2 #keys { "API keys" }
                p { a href="/api-keys" { "Your API keys" } ", with which programs read and change your expenses" }
            }
        }
    };
    Layout { title: "Your account", account: Some(account) }.page(&content)
}

fn session(account: &Account, organizations: Option<&[Membership]>) -> Markup {
    let name_of = |id: &str| {
        let found =
            organizations?.iter().find(|organization| organization.organization_id == id)?;
        Some(&*found.organization_name)
    };
    html! {
        section.card.narrow aria-labelledby="session" {
            h2 #session { "Session" }
            dl.facts {
                dt { "Signed in as" }
                dd {
                    @if let Some(full_name) = &account.full_name { bdi { (full_name) } ", " }
                    bdi { (account.name) }
                }
                dt { "Organization" }
                dd {
                    @match &account.organization_id {
                        Some(id) => @match name_of(id) {
                            Some(name) => bdi { (name) },
                            None => code { (id) },
                        },
                        None => "None",
                    }
                    @if let Some(role) = &account.role { " as " bdi { (role) } }
                }
            }
            (permitted_note(account))
        }
    }
}

/// The organizations, each with a button that switches to it.
fn organization_list(page: &AccountPage) -> Markup {
    let current = page.account.organization_id.as_deref();
    html! {
        section.card.narrow aria-labelledby="organizations" {
            h2 #organizations { "Organizations" }
            @match page.organizations {
                None => p { "Your organizations cannot be shown right now. Try again in a moment." },
                Some([]) => p { "You belong to no organization." },
                Some(organizations) => {
                    form method="post" action="/organization" {
                        ul.choices {
                            @for (index, organization) in organizations.iter().enumerate() {
                                (choice(index, organization, current))
                            }
                        }
                    }
                    p.muted { "Your expenses are the same in each of them." }
                },
            }
        }
    }
}

fn choice(index: usize, organization: &Membership, current: Option<&str>) -> Markup {
    let Membership { organization_id, organization_name, role } = organization;
    let is_current = current == Some(organization_id);
    html! {
        li aria-current=[is_current.then_some("true")] {
            p {
                bdi id={ "o" (index) } { (organization_name) }
                @if let Some(role) = role { span.muted { " as " bdi { (role) } } }
            }
            @if is_current {
                p.muted { "Current" }
            } @else {
                button.quiet id={ "s" (index) } name="organization_id" value=(organization_id)
                    aria-labelledby={ "s" (index) " o" (index) } { "Switch" }
            }
        }
    }
}

/// The buttons that open the Admin Portal.
fn portal_form() -> Markup {
    html! {
        section.card.narrow aria-labelledby="portal" {
            h2 #portal { "Set up your organization" }
            p { "You are an administrator: set these up in WorkOS’s Admin Portal, for everyone in the organization." }
            form.actions method="post" action="/organization/portal" {
                @for (intent, label) in PORTAL_BUTTONS {
                    button.quiet name="intent" value=(intent.name()) { (label) }
                }
            }
        }
    }
}

/// The page with a link to an Admin Portal on a domain of its own: the pages' policy names no domain that it does not
/// know, and a browser that follows a form obeys it.
#[must_use]
pub fn portal(link: &Url) -> Markup {
    let content = html! {
        div.hero {
            h1 { "Admin Portal" }
            p.lead { "The Admin Portal is at " bdi { (link.host_str().unwrap_or_default()) } "." }
            p.actions {
                a.button href=(link) rel="noreferrer" { "Open the Admin Portal" }
                a href="/account" { "Your account" }
            }
            p.muted { "The link is good once, and for five minutes." }
        }
    };
    Layout { title: "Admin Portal", account: None }.page(&content)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page_of(account: &Account, organizations: Option<&[Membership]>) -> String {
        page(&AccountPage {
            account,
            organizations,
            has_api_keys: false,
            may_open_portal: false,
            is_switched: false,
        })
        .into_string()
    }

    fn membership(id: &str, name: &str) -> Membership {
        Membership {
            organization_id: id.to_owned(),
            organization_name: name.to_owned(),
            role: Some("member".to_owned()),
        }
    }

    #[test]
    fn account_without_an_organization_shows_none() {
        let account = Account { name: "ada@example.com".into(), ..Account::default() };
        let page = page_of(&account, Some(&[]));
        assert!(page.contains("<dd>None</dd>"), "{page}");
        assert!(page.contains("You belong to no organization."), "{page}");
        assert!(!page.contains("/organization\""), "{page}");
    }

    #[test]
    fn organization_has_its_id_without_a_name() {
        let account = Account {
            organization_id: Some("org_1".into()),
            role: Some("admin".into()),
            ..Account::default()
        };
        for organizations in [None, Some(&[membership("org_2", "Two")][..])] {
            let page = page_of(&account, organizations);
            assert!(page.contains("<code>org_1</code> as <bdi>admin</bdi>"), "{page}");
        }
        assert!(page_of(&account, None).contains("cannot be shown right now"));
    }

    #[test]
    fn each_other_organization_has_a_button() {
        let account = Account { organization_id: Some("org_1".into()), ..Account::default() };
        let organizations =
            [membership("org_1", "One"), membership("org_2", "<b>Two"), membership("\"3", "Three")];
        let page = page_of(&account, Some(&organizations));
        assert_eq!(page.matches(">Switch</button>").count(), 2, "{page}");
        assert!(page.contains("<li aria-current=\"true\"><p><bdi id=\"o0\">One</bdi>"), "{page}");
        assert!(page.contains("<dd><bdi>One</bdi></dd>"), "{page}");
        let button = "<button class=\"quiet\" id=\"s1\" name=\"organization_id\" value=\"org_2\" \
                      aria-labelledby=\"s1 o1\">";
        assert!(page.contains(button), "{page}");
        assert!(page.contains("&lt;b&gt;Two") && page.contains("value=\"&quot;3\""), "{page}");
    }
}
