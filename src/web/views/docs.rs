//! `/docs`: Swagger UI on `/openapi.json`. Its script and style are the Worker's static assets
//! (`assets/docs`, and `swagger-ui-dist`, which the build puts beside it).

use maud::{DOCTYPE, Markup, html};

use super::layout::{Account, impersonation};

/// Scripts, styles and requests of this origin alone. Swagger UI draws its icons as `data:` images.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The person who reads the documentation, which is public.
#[derive(Debug, Clone, Copy)]
pub enum Reader<'a> {
    /// Requests of "Try it out" are this user's.
    SignedIn(&'a Account),
    /// Nobody is signed in.
    SignedOut,
    /// The session could not be checked.
    Unknown,
}

/// The page.
#[must_use]
pub fn page(reader: Reader) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="description" content="The API of the expense tracker: every request \
                    and response, to read and to try with your own session.";
                title { "API · Expenses" }
                link rel="icon" href="/docs/favicon-32x32.png";
                link rel="stylesheet" href="/docs/swagger-ui.css";
                link rel="stylesheet" href="/docs/page.css";
                script src="/docs/swagger-ui-bundle.js" defer {}
                script src="/docs/start.js" defer {}
            }
            body {
                (header(reader))
                main id="swagger-ui" {
                    noscript {
                        p {
                            "This page needs JavaScript. The description itself is at "
                            a href="/openapi.json" { "/openapi.json" } "."
                        }
                    }
                }
            }
        }
    }
}

/// The link to the pages, and who is signed in.
fn header(reader: Reader) -> Markup {
    html! {
        header.top {
            nav aria-label="Pages" { a href="/" { "Your expenses" } }
            p.who {
                @match reader {
                    Reader::SignedIn(account) => { "Signed in as " a href="/account" { bdi { (account.name) } } },
                    Reader::Unknown => {
                        "Whether you are signed in cannot be checked right now."
                    },
                    Reader::SignedOut => {
                        "Not signed in. " a href="/login?return_to=%2Fdocs" { "Sign in" }
                    },
                }
            }
        }
        @if let Reader::SignedIn(account) = reader { (impersonation(account)) }
    }
}
