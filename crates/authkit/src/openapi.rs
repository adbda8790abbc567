//! The OpenAPI 3.1 description of AuthKit's routes: the error responses that protected operations share,
//! and the security schemes. [`AuthKitParts`] adds them to an application's document.
//!
//! The build for Workers omits the descriptions: see [`crate::routing`].

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};
use utoipa::{
    Modify, ToSchema,
    openapi::{
        self, ContentBuilder, HeaderBuilder, Ref, ResponseBuilder,
        schema::{ObjectBuilder, Type},
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

pub use utoipa::{
    IntoResponses,
    openapi::{RefOr, Response},
};

/// The session cookie, as [`security`](openapi::SecurityRequirement) names it.
pub const SESSION: &str = "session";
/// An access token in the `Authorization` header.
pub const BEARER: &str = "bearer";

/// An API key in the `Authorization` header.
pub const API_KEY: &str = "api_key";

/// Adds to a document the security schemes and the errors of protected operations.
#[derive(Debug, Clone, Copy)]
pub struct AuthKitParts;

impl Modify for AuthKitParts {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let cookie = ApiKeyValue::with_description(
            "__Host-wos-session",
            "The sealed session; sign in at /login to get it. On plain-http localhost its name is \
             wos-session",
        );
        let token = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .description(Some("An access token of AuthKit; it takes precedence over the cookie"));
        components.add_security_scheme(SESSION, SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
        components.add_security_scheme(BEARER, SecurityScheme::Http(token.build()));
        let api_key = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(
            "An API key of WorkOS, `sk_…`, of a user or of an organization. Its permissions are its scopes. Only \
             where this Worker takes API keys (`WORKOS_API_KEYS=on`)",
        ));
        components.add_security_scheme(API_KEY, SecurityScheme::Http(api_key.build()));
        for error in &AUTH_ERRORS {
            components.responses.insert(error.name.to_owned(), error.response().into());
        }
    }
}

/// The body of every error except 422.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorResponse {
    /// The error, and what to do next.
    pub detail: String,
}

/// An error that many operations respond with: one of the document's reusable responses.
#[derive(Debug, Clone, Copy)]
pub struct SharedError {
    /// The component's name.
    pub name: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// When an operation responds with it.
    pub description: &'static str,
    /// An example of the response.
    pub example: ErrorExample,
    /// Headers of the response, each with its description.
    pub headers: &'static [(&'static str, &'static str)],
}

/// An example of an error response.
#[derive(Debug, Clone, Copy)]
pub enum ErrorExample {
    /// An [`ErrorResponse`] with this `detail`.
    Detail(&'static str),
    /// A value of another schema.
    Other {
        /// The schema's name.
        schema: &'static str,
        /// Makes the value.
        value: fn() -> Value,
    },
}

const AUTH_ERRORS: [SharedError; 5] = [
    SharedError {
        name: "Unauthorized",
        status: 401,
        description: "Missing or invalid credentials. A browser gets a redirect to the sign-in instead",
        example: ErrorExample::Detail("Not signed in"),
        headers: &[(
            "WWW-Authenticate",
            "`Bearer`, with `error` if the request has a token (RFC 6750)",
        )],
    },
    SharedError {
        name: "Forbidden",
        status: 403,
        description: "A change from another site's page, a token without the required scope, or a session whose role \
            lacks the permission of that name",
        example: ErrorExample::Detail(
            "Requests that change something must come from this site's own pages",
        ),
        headers: &[(
            "WWW-Authenticate",
            "For a missing scope or permission: `insufficient_scope` and the required scope (RFC 6750)",
        )],
    },
    SharedError {
        name: "TooManyRequests",
        status: 429,
        description: "More requests than the caller's limit allows; nothing was done",
        example: ErrorExample::Detail("Too many requests: try again in 10 seconds"),
        headers: &[("Retry-After", "Seconds to wait")],
    },
    SharedError {
        name: "InternalServerError",
        status: 500,
        description: "An internal error; the log has the cause under the request's `cf-ray`",
        example: ErrorExample::Detail(
            "Something went wrong on our side. If it happens again, report request 9a2b3c4d5e6f7a8b",
        ),
        headers: &[],
    },
    SharedError {
        name: "Unavailable",
        status: 503,
        description: "Storage or AuthKit is unavailable; the session and the data stay as they are",
        example: ErrorExample::Detail("Temporarily unavailable: try again in a moment"),
        headers: &[("Retry-After", "Seconds to wait")],
    },
];

impl SharedError {
    /// The component.
    #[must_use]
    pub fn response(&self) -> Response {
        let (schema, example) = match self.example {
            ErrorExample::Detail(detail) => ("ErrorResponse", json!({"detail": detail})),
            ErrorExample::Other { schema, value } => (schema, value()),
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

/// The reusable responses with these statuses and names, as an operation's `responses(…)` takes them.
#[must_use]
pub fn reusable_responses(named: &[(u16, &str)]) -> BTreeMap<String, RefOr<Response>> {
    named
        .iter()
        .map(|(status, name)| (status.to_string(), Ref::from_response_name(*name).into()))
        .collect()
}

/// Declares types that name reusable responses in an operation's `responses(…)`.
#[macro_export]
macro_rules! reusable_responses {
    ($($(#[$doc:meta])* $type:ident: $($status:literal $name:literal),+;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub struct $type;

        impl $crate::openapi::IntoResponses for $type {
            fn responses() -> ::std::collections::BTreeMap<
                String,
                $crate::openapi::RefOr<$crate::openapi::Response>,
            > {
                $crate::openapi::reusable_responses(&[$(($status, $name)),+])
            }
        }
    )+};
}

reusable_responses! {
    /// The error responses of an operation that requires authentication.
    Protected: 401 "Unauthorized", 429 "TooManyRequests", 500 "InternalServerError", 503 "Unavailable";
    /// The error response of a public operation with a rate limit.
    Limited: 429 "TooManyRequests";
    /// The error responses of an operation that calls WorkOS.
    NeedsAuthKit: 500 "InternalServerError", 503 "Unavailable";
    /// The error response of an operation that changes data: requests from another site are refused.
    Changes: 403 "Forbidden";
    /// The error response of an operation that only reads data and requires a scope.
    NeedsScope: 403 "Forbidden";
}
