//! `GET /account`: the page of the signed-in user. The list of expenses has a link to it, so that no list waits for
//! what this page asks WorkOS for.

use std::sync::Arc;

use axum::{
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};

use super::views::{
    Account,
    account::{self, AccountPage},
    content_security_policy, respond,
};
use crate::{openapi::Protected, rate_limits::CallerLimits, url_encoded::Parameters};
use axum_authkit::{AuthKit, CurrentUser, Rejection};

/// The account
///
/// A page: who is signed in, and in which organization. Programs use `/me`.
#[utoipa::path(
    get,
    path = "/account",
    tag = "pages",
    security(("session" = [])),
    responses(
        (status = 200, description = "The account", content((String = "text/html"))),
        Protected,
    ),
)]
pub(crate) async fn show_account(
    caller: CurrentUser,
    State(limits): State<CallerLimits>,
    State(authkit): State<Arc<AuthKit>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Rejection> {
    limits.caller.check(caller.id()).await?;
    let parameters = Parameters::parse(query.unwrap_or_default().as_bytes());
    let may_open_portal = caller.may_open_portal();
    // An outage is no reason to keep the rest of the page back.
    let organizations = caller.organizations().await.ok();
    let page = account::page(&AccountPage {
        account: &Account::from(&caller),
        organizations: organizations.as_deref(),
        may_open_portal,
        is_switched: parameters.get("switched").is_some(),
    });
    let response = respond(StatusCode::OK, page);
    if !may_open_portal {
        return Ok(response);
    }
    let mut origins = authkit.sign_out_origins();
    origins.push(authkit.portal_origins().to_owned());
    Ok(([(header::CONTENT_SECURITY_POLICY, content_security_policy(&origins))], response)
        .into_response())
}
