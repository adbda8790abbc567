//! The page `/` for a visitor without a session.

use maud::{Markup, html};

use super::layout::Layout;

/// The welcome page.
#[must_use]
pub fn page() -> Markup {
    let content = html! {
        div.hero {
            h1 { "Know where your money goes" }
            p.lead {
                "Write down what you spend, in any currency. See what this month costs against the last, "
                "and what it goes on. Take it all with you as CSV."
            }
            p { a.button href="/login" { "Sign in" } }
            p.muted { "No account yet? You can make one there." }
        }
    };
    Layout { title: "Welcome", account: None }.page(&content)
}
