//! `POST /organization/portal`: leads an administrator to WorkOS's Admin Portal.

use axum::{
    extract::Request,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    fastapi::Fault,
    json::Json,
    negotiation::read_fields,
    openapi::{ErrorResponse, Protected, ReadsBody},
    rate_limits::AccountCaller,
    web::views::{account, respond},
};
use axum_authkit::{
    AppError,
    browser::redirect,
    origin::RequestOrigin,
    portal::{PortalError, PortalIntent},
};

/// Where the portal leads back to.
const RETURN_PATH: &str = "/account";
/// The names of the intents, as Pydantic lists allowed values.
const INTENTS: &str = "'sso', 'dsync', 'domain_verification' or 'audit_logs'";

/// `POST /organization/portal`.
#[derive(Debug, ToSchema)]
#[allow(dead_code, reason = "what `open_portal` reads, for the schema")]
struct PortalRequest {
    /// The feature to set up.
    #[schema(inline)]
    intent: PortalIntentName,
}

#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
#[allow(dead_code, reason = "the names of `PortalIntent`, for the schema")]
enum PortalIntentName {
    Sso,
    Dsync,
    DomainVerification,
    AuditLogs,
}

/// A link to the Admin Portal.
#[derive(Serialize, ToSchema)]
pub(crate) struct PortalResponse<'a> {
    /// Good once, and for five minutes.
    #[schema(format = "uri", example = "https://setup.workos.com?token=eyJhbGciOiJIUzI1NiJ9")]
    link: &'a str,
}

/// Open the Admin Portal
///
/// For callers with the role or permission that `WORKOS_PORTAL_PERMISSION` names, in the organization of their session.
/// The portal leads back to the account's page. This site's own pages send a form instead, and are sent on to the portal.
#[utoipa::path(
    post,
    path = "/organization/portal",
    tag = "sign-in",
    security(("session" = []), ("bearer" = [])),
    request_body = PortalRequest,
    responses(
        (status = 200, description = "A link to the portal", body = PortalResponse),
        (status = 303, description = "After a form: to the portal", headers(("Location" = String))),
        (status = 403, description = "The caller may not open the portal, acts in no organization, or the request \
            came from another site's page", body = ErrorResponse),
        Protected, ReadsBody,
    ),
)]
pub(crate) async fn open_portal(
    AccountCaller(caller): AccountCaller,
    origin: RequestOrigin,
    request: Request,
) -> Result<Response, AppError> {
    caller.require_portal()?;
    let (mut fields, is_own_form) = read_fields(&origin, request).await?;
    let intent = fields.required("intent", |value| {
        let name = value.as_str().ok_or(Fault::NotAString)?;
        PortalIntent::parse(name).ok_or(Fault::NotOneOf(INTENTS))
    });
    let intent = fields.finish_with(intent)?;
    let link = caller.portal_link(intent, RETURN_PATH).await.map_err(|error| match error {
        PortalError::Rejected(rejection) => rejection.into(),
        PortalError::Unavailable(outage) => {
            outage.into_error("The Admin Portal cannot be opened right now: try again soon")
        }
    })?;
    Ok(match is_own_form {
        false => Json(PortalResponse { link: link.as_str() }).into_response(),
        true if caller.may_be_redirected_to(&link) => {
            redirect(StatusCode::SEE_OTHER, link.as_str())
        }
        true => respond(StatusCode::OK, account::portal(&link)),
    })
}
