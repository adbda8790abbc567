//! The caller's organizations: `GET /organizations` lists them, `POST /organization` switches the session to another.

use axum::{
    extract::Request,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use serde::Serialize;
use url::form_urlencoded;
use utoipa::ToSchema;

use crate::{
    fastapi::parse_text,
    json::Json,
    negotiation::read_fields,
    openapi::{ErrorResponse, NeedsScope, Protected, ReadsBody},
    rate_limits::{AccountCaller, LimitedCaller},
    web::cookies::{Flash, PageCookies},
};
use axum_authkit::{
    AppError, Challenge, MeResponse, RefreshError, SwitchError, origin::RequestOrigin,
    workos::organizations::Membership,
};

/// Where a form that has switched organizations leads.
const SWITCHED: &str = "/account";
/// Longer than any of WorkOS's ids.
const ORGANIZATION_ID_MAX_CHARS: usize = 255;

/// An organization of the caller.
#[derive(Serialize, ToSchema)]
pub(crate) struct OrganizationResponse<'a> {
    #[schema(example = "org_01JD5Q3V9J8Y3N5M0A7ZK2W4XB")]
    id: &'a str,
    #[schema(example = "Analytical Engines")]
    name: &'a str,
    #[schema(example = "member")]
    role: Option<&'a str>,
    /// Whether the caller's token is for this organization.
    is_current: bool,
}

/// List organizations
///
/// Those that the caller can switch to, and the current one, at most a minute old. A machine has none.
#[utoipa::path(
    get,
    path = "/organizations",
    tag = "sign-in",
    security(("session" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "The organizations", body = Vec<OrganizationResponse>),
        Protected, NeedsScope,
    ),
)]
pub(crate) async fn list_organizations(
    LimitedCaller(caller): LimitedCaller,
) -> Result<Response, AppError> {
    let organizations = caller.organizations().await.map_err(|outage| {
        outage.into_error("The organizations cannot be read right now: try again soon")
    })?;
    let current = caller.organization_id();
    let organizations: Vec<_> = organizations
        .iter()
        .map(|Membership { organization_id, organization_name, role }| OrganizationResponse {
            id: organization_id,
            name: organization_name,
            role: role.as_deref(),
            is_current: current == Some(organization_id),
        })
        .collect();
    Ok(Json(organizations).into_response())
}

/// `POST /organization`.
#[derive(Debug, ToSchema)]
#[allow(dead_code, reason = "what `switch_organization` reads, for the schema")]
struct OrganizationRequest {
    #[schema(min_length = 1, max_length = 255, example = "org_01JD5Q3V9J8Y3N5M0A7ZK2W4XB")]
    organization_id: String,
}

/// Switch organization
///
/// If AuthKit requires another step of the user first, the response is 403 and names the address to sign in at. This site's own
/// pages send a form instead, and are sent on to the account.
#[utoipa::path(
    post,
    path = "/organization",
    tag = "sign-in",
    security(("session" = [])),
    request_body = OrganizationRequest,
    responses(
        (status = 200, description = "The caller, in that organization", body = MeResponse,
            headers(("Set-Cookie" = String))),
        (status = 303, description = "After a form: to the account",
            headers(("Location" = String), ("Set-Cookie" = String))),
        (status = 403, description = "AuthKit refuses, or the request came from another site's page",
            body = ErrorResponse),
        Protected, ReadsBody,
    ),
)]
pub(crate) async fn switch_organization(
    AccountCaller(caller): AccountCaller,
    challenge: Challenge,
    origin: RequestOrigin,
    request: Request,
) -> Result<Response, AppError> {
    caller.refuse_api_key()?;
    let (mut fields, is_own_form) = read_fields(&origin, request).await?;
    let organization_id =
        fields.required("organization_id", |value| parse_text(value, ORGANIZATION_ID_MAX_CHARS));
    let organization_id = fields.finish_with(organization_id)?;
    match caller.switch_organization(&organization_id).await {
        Ok(_) if is_own_form => Ok(PageCookies::on(&origin).redirect(SWITCHED, Flash::Switched)),
        Ok(caller) => Ok(Json(MeResponse::from(&caller)).into_response()),
        Err(SwitchError::NoSession) => Err(AppError::new(
            StatusCode::FORBIDDEN,
            "A bearer token is for one organization: ask AuthKit for a token of the other one",
        )),
        Err(SwitchError::Refresh(RefreshError::Refused { code, description })) => {
            let query = form_urlencoded::Serializer::new(String::new())
                .append_pair("organization_id", &organization_id)
                .finish();
            let said = description.map(|text| format!(" ({text})")).unwrap_or_default();
            let detail = format!("AuthKit refused: {code}{said}. Sign in at /login?{query}");
            Err(AppError::new(StatusCode::FORBIDDEN, detail)
                .with_action("Sign in to that organization", format!("/login?{query}")))
        }
        Err(SwitchError::Refresh(RefreshError::Ended)) => {
            Err(AppError::new(StatusCode::UNAUTHORIZED, "The session has ended: sign in again")
                .with_header(header::WWW_AUTHENTICATE, challenge.header(&[])))
        }
        Err(SwitchError::Refresh(RefreshError::Unavailable(outage))) => {
            Err(outage.into_error("The organization cannot be changed right now: try again soon"))
        }
    }
}
