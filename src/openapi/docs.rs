//! `GET /openapi.json`, and `GET /docs`: Swagger UI on it. The page is made here; its script and style are
//! the Worker's static assets (`assets/docs`, and `swagger-ui-dist`, which the build puts beside it).

use axum::response::{IntoResponse, Response};
use http::header;
use maud::{DOCTYPE, Markup, html};

use super::{
    DOCUMENT,
    routing::{OpenApiRouter, routes},
};
use crate::{
    authkit::{CurrentUser, Rejection},
    web::views::{Account, layout::impersonation},
};

/// Scripts, styles and requests of this origin alone. Swagger UI draws its icons as `data:` images.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The routes of the API's description.
pub fn routes<S: Clone + Send + Sync + 'static>() -> OpenApiRouter<S> {
    OpenApiRouter::new().routes(routes!(show_openapi)).routes(routes!(show_docs))
}

/// This description
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "service",
    security(()),
    responses((status = 200, description = "OpenAPI 3.1", body = Object)),
)]
async fn show_openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}

/// Interactive documentation
///
/// Swagger UI. "Try it out" sends requests with the browser's session; the page shows its user.
#[utoipa::path(
    get,
    path = "/docs",
    tag = "service",
    security(()),
    responses((status = 200, description = "A page", body = String, content_type = "text/html")),
)]
async fn show_docs(caller: Result<CurrentUser, Rejection>) -> Response {
    let page = html! {
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
                (header(caller.as_ref()))
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
    };
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    ];
    (headers, page.into_string()).into_response()
}

/// The links to the pages, and who is signed in. The documentation is public: a session that is over, or
/// that cannot be checked, only changes this line.
fn header(caller: Result<&CurrentUser, &Rejection>) -> Markup {
    html! {
        header.top {
            nav aria-label="Pages" { a href="/" { "Your expenses" } }
            p.who {
                @match caller {
                    Ok(caller) => { "Signed in as " bdi { (Account::from(caller).name) } },
                    Err(Rejection::Unavailable { .. }) => {
                        "Whether you are signed in cannot be checked right now."
                    },
                    Err(_) => {
                        "Not signed in. " a href="/login?return_to=%2Fdocs" { "Sign in" }
                    },
                }
            }
        }
        @if let Ok(caller) = caller { (impersonation(&Account::from(caller))) }
    }
}
