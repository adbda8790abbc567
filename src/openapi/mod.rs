//! The API's description: `GET /openapi.json`, OpenAPI 3.1, from the annotations of the handlers and the
//! types of their responses. This module has the parts that operations share: the document's head and the
//! error responses.
//!
//! The document is built on the host and committed as a static asset, where a change to the API shows in the diff:
//! Cloudflare serves it without running the Worker, and it takes no room in the bundle. `tests/app/openapi.rs` fails
//! when it does not match the code, and rewrites it.

pub mod routing;
pub mod schema;

use axum_authkit::{openapi::AuthKitParts, reusable_responses};
use utoipa::{
    Modify, OpenApi,
    openapi::{self, Server},
};

use crate::fastapi::{ProblemResponse, ValidationErrorResponse};

pub use axum_authkit::openapi::{
    Changes, ErrorExample, ErrorResponse, Limited, NeedsAuthKit, NeedsScope, Protected, SharedError,
};

/// The document, as it is served.
#[cfg(not(target_arch = "wasm32"))]
pub const DOCUMENT: &str = include_str!("../../assets/openapi.json");

/// A committed document: a line for each member, as a diff needs it, without indentation, which a bundle that includes
/// the document need not have.
#[cfg(not(target_arch = "wasm32"))]
#[must_use]
pub fn committed_text(document: &serde_json::Value) -> String {
    // A string has no line breaks in JSON.
    format!("{document:#}\n").lines().flat_map(|line| [line.trim_start(), "\n"]).collect()
}

/// This description
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "service",
    security(()),
    responses((status = 200, description = "OpenAPI 3.1", body = Object)),
)]
#[allow(dead_code, reason = "describes a static asset")]
fn show_openapi() {}

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
    paths(show_openapi),
    components(schemas(ErrorResponse, ValidationErrorResponse, ProblemResponse)),
    tags(
        (name = "expenses", description = "The caller's own expenses"),
        (name = "api-keys", description = "The caller's API keys, where this Worker takes them"),
        (name = "sign-in", description = "Signing in and out through AuthKit, and who is signed in"),
        (name = "pages", description = "Forms and pages for browsers"),
        (name = "service", description = "The service itself"),
    ),
    modifiers(&AuthKitParts, &SharedParts),
)]
pub struct Document;

struct SharedParts;

impl Modify for SharedParts {
    fn modify(&self, document: &mut openapi::OpenApi) {
        document.servers = Some(vec![Server::new("/")]);
        let components = document.components.get_or_insert_default();
        for error in &EXPENSE_ERRORS {
            components.responses.insert(error.name.to_owned(), error.response().into());
        }
    }
}

const EXPENSE_ERRORS: [SharedError; 7] = [
    SharedError {
        name: "NotFound",
        status: 404,
        description: "No such expense, or another user's",
        example: ErrorExample::Detail("Expense not found"),
        headers: &[],
    },
    SharedError {
        name: "ApiKeyNotFound",
        status: 404,
        description: "No such API key, or another user's; or this Worker takes no API keys",
        example: ErrorExample::Detail("API key not found: it may be revoked already"),
        headers: &[],
    },
    SharedError {
        name: "MethodNotAllowed",
        status: 405,
        description: "No form: programs cannot `POST` here",
        example: ErrorExample::Detail("Method Not Allowed"),
        headers: &[("Allow", "What programs can do here")],
    },
    SharedError {
        name: "PreconditionFailed",
        status: 412,
        description: "The expense has another version than the request's conditions allow",
        example: ErrorExample::Detail(crate::conditions::CHANGED),
        headers: &[],
    },
    SharedError {
        name: "ContentTooLarge",
        status: 413,
        description: "A body of more than 64 KiB, or a file of more than 7 MiB",
        example: ErrorExample::Detail("The body must not be longer than 64 KiB"),
        headers: &[],
    },
    SharedError {
        name: "UnsupportedMediaType",
        status: 415,
        description: "A body of another type",
        example: ErrorExample::Detail("The body must be JSON: send Content-Type: application/json"),
        headers: &[],
    },
    SharedError {
        name: "UnprocessableContent",
        status: 422,
        description: "Every problem of the input, in the format of FastAPI with Pydantic 2",
        example: ErrorExample::Other {
            schema: "ValidationErrorResponse",
            value: ValidationErrorResponse::example,
        },
        headers: &[],
    },
];

reusable_responses! {
    /// Responses of an operation that reads a JSON body.
    ReadsBody: 413 "ContentTooLarge", 415 "UnsupportedMediaType", 422 "UnprocessableContent";
    /// Responses of an operation that reads a form; a page tells the faults of the form.
    ReadsForm: 405 "MethodNotAllowed", 413 "ContentTooLarge";
    /// Responses of an operation that reads a file.
    ReadsFile: 413 "ContentTooLarge", 415 "UnsupportedMediaType", 422 "UnprocessableContent";
    /// The response of an operation that may have a form, which it does not look into.
    MayHaveForm: 413 "ContentTooLarge";
    /// The response of an operation that reads a query.
    ReadsQuery: 422 "UnprocessableContent";
    /// The response of an operation on one expense.
    FindsOne: 404 "NotFound";
    /// The response of an operation on API keys.
    FindsKey: 404 "ApiKeyNotFound";
    /// The response of an operation that `If-Match` and `If-None-Match` can stop.
    HasCondition: 412 "PreconditionFailed";
}
