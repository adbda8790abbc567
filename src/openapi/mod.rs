//! The API's description: `GET /openapi.json`, OpenAPI 3.1, made of what stands at the handlers and of
//! the types they answer with. Here is what they share: the document's head, the two ways to show who is
//! calling, and the errors.
//!
//! The document is made on the host and lies beside this file, where a change to the API shows in the
//! diff; `tests/app/openapi.rs` fails while it is not what the code says, and writes it anew.

mod docs;
pub mod routing;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;
use utoipa::{
    IntoResponses, Modify, OpenApi, ToSchema,
    openapi::{
        self, ContentBuilder, HeaderBuilder, Ref, RefOr, ResponseBuilder, Server,
        schema::{ObjectBuilder, Type},
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use crate::validation::{Problem, ValidationErrorResponse};

pub use docs::routes;

/// The document, as it is served.
pub const DOCUMENT: &str = include_str!("openapi.json");

/// The session cookie, as [`security`](openapi::SecurityRequirement) names it.
pub const SESSION: &str = "session";
/// An access token in the `Authorization` header.
pub const BEARER: &str = "bearer";

/// The document without its operations, which the router adds.
#[derive(Debug, OpenApi)]
#[openapi(
    info(
        // Generators of clients name their package after it.
        title = "Expenses API",
        description = "An expense tracker behind WorkOS AuthKit, at the edge. Sign in at \
            [/login](/login?return_to=/docs) and try the operations here with your browser's session, or send \
            `Authorization: Bearer <access token>`.",
    ),
    components(schemas(ErrorResponse, ValidationErrorResponse, Problem)),
    tags(
        (name = "expenses", description = "What the caller spent: each sees and changes their own"),
        (name = "sign-in", description = "Signing in and out through AuthKit, and who is signed in"),
        (name = "pages", description = "What only the pages use that browsers see at these paths"),
        (name = "service", description = "The service itself"),
    ),
    modifiers(&SharedParts),
)]
pub struct Document;

struct SharedParts;

impl Modify for SharedParts {
    fn modify(&self, document: &mut openapi::OpenApi) {
        document.servers = Some(vec![Server::new("/")]);
        let components = document.components.get_or_insert_default();
        let cookie = ApiKeyValue::with_description(
            "__Host-wos-session",
            "The sealed session, which signing in at /login sets. On plain-http localhost its name is \
             wos-session",
        );
        let token = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .description(Some("An access token of AuthKit; it counts before the cookie"));
        components.add_security_scheme(SESSION, SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
        components.add_security_scheme(BEARER, SecurityScheme::Http(token.build()));
        for error in &SHARED_ERRORS {
            components.responses.insert(error.name.to_owned(), error.response().into());
        }
    }
}

/// Every error but 422.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorResponse {
    /// What is wrong and what to do next.
    pub detail: String,
}

/// An error that many operations answer with, among the document's components.
struct SharedError {
    name: &'static str,
    status: u16,
    description: &'static str,
    /// An example of its `detail`; validation errors have an example of their own.
    detail: Option<&'static str>,
    headers: &'static [(&'static str, &'static str)],
}

const SHARED_ERRORS: [SharedError; 9] = [
    SharedError {
        name: "Unauthorized",
        status: 401,
        description: "No credentials, or none that are good. A browser is sent to sign in instead",
        detail: Some("Not signed in"),
        headers: &[(
            "WWW-Authenticate",
            "`Bearer`, with `error` where a token was given (RFC 6750)",
        )],
    },
    SharedError {
        name: "Forbidden",
        status: 403,
        description: "A change that comes from another site's page, or a token without the scope for it",
        detail: Some("Requests that change something must come from this site's own pages"),
        headers: &[(
            "WWW-Authenticate",
            "For a token without the scope: `insufficient_scope`, and which one (RFC 6750)",
        )],
    },
    SharedError {
        name: "NotFound",
        status: 404,
        description: "No such expense, or another user's",
        detail: Some("Expense not found"),
        headers: &[],
    },
    SharedError {
        name: "MethodNotAllowed",
        status: 405,
        description: "No form: programs cannot `POST` here",
        detail: Some("Method Not Allowed"),
        headers: &[("Allow", "What programs can do here")],
    },
    SharedError {
        name: "ContentTooLarge",
        status: 413,
        description: "A body of more than 64 KiB",
        detail: Some("The body must not be longer than 64 KiB"),
        headers: &[],
    },
    SharedError {
        name: "UnsupportedMediaType",
        status: 415,
        description: "A body of another type",
        detail: Some("The body must be JSON: send Content-Type: application/json"),
        headers: &[],
    },
    SharedError {
        name: "UnprocessableContent",
        status: 422,
        description: "Everything that is wrong with the input, as FastAPI with Pydantic 2 tells it",
        detail: None,
        headers: &[],
    },
    SharedError {
        name: "InternalServerError",
        status: 500,
        description: "Something failed inside; the log has more under the request's `cf-ray`",
        detail: Some("Internal error"),
        headers: &[],
    },
    SharedError {
        name: "Unavailable",
        status: 503,
        description: "Storage or AuthKit cannot be reached: nobody is signed out, nothing is lost",
        detail: Some("Expenses cannot be reached right now: try again in a moment"),
        headers: &[("Retry-After", "Seconds to wait")],
    },
];

impl SharedError {
    fn response(&self) -> openapi::Response {
        let (schema, example) = match self.detail {
            Some(detail) => ("ErrorResponse", json!({"detail": detail})),
            None => ("ValidationErrorResponse", ValidationErrorResponse::example()),
        };
        let content = ContentBuilder::new()
            .schema(Some(Ref::from_schema_name(schema)))
            .example(Some(example))
            .build();
        let text = || ObjectBuilder::new().schema_type(Type::String);
        self.headers
            .iter()
            .fold(ResponseBuilder::new(), |response, (name, description)| {
                let header =
                    HeaderBuilder::new().schema(Some(text())).description(Some(*description));
                response.header(*name, header.build())
            })
            .description(self.description)
            .content("application/json", content)
            .build()
    }
}

/// Declares a type that stands for some of the shared errors in an operation's `responses(…)`.
macro_rules! errors {
    ($(#[$doc:meta])* $type:ident: $($status:literal),+) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $type;

        impl IntoResponses for $type {
            fn responses() -> BTreeMap<String, RefOr<openapi::Response>> {
                shared(&[$($status),+])
            }
        }
    };
}

errors! {
    /// What an operation answers that is only for signed-in callers.
    Protected: 401, 500, 503
}
errors! {
    /// What an operation answers that needs AuthKit.
    NeedsAuthKit: 500, 503
}
errors! {
    /// What an operation answers that changes something: it must not come from another site.
    Changes: 403
}
errors! {
    /// What an operation answers that changes nothing and needs a scope.
    NeedsScope: 403
}
errors! {
    /// What an operation answers that reads a JSON body.
    ReadsBody: 413, 415, 422
}
errors! {
    /// What an operation answers that reads a form; what is wrong with it is said on a page.
    ReadsForm: 405, 413
}
errors! {
    /// What an operation answers that reads a query.
    ReadsQuery: 422
}
errors! {
    /// What an operation answers that is about one expense.
    FindsOne: 404
}

fn shared(statuses: &[u16]) -> BTreeMap<String, RefOr<openapi::Response>> {
    SHARED_ERRORS
        .iter()
        .filter(|error| statuses.contains(&error.status))
        .map(|error| (error.status.to_string(), Ref::from_response_name(error.name).into()))
        .collect()
}
