//! `GET /account`: the page of the signed-in user. The list of expenses has a link to it, so that no list waits for
//! what this page asks WorkOS for.

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};

use super::{
    cookies::{Flash, PageCookies},
    views::{
        Account,
        account::{self, AccountPage},
        content_security_policy, respond,
    },
};
use crate::{openapi::Protected, rate_limits::LimitedCaller};
use axum_authkit::{AppError, origin::RequestOrigin};

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
    LimitedCaller(caller): LimitedCaller,
    origin: RequestOrigin,
    headers: HeaderMap,
) -> Result<Response, AppError> {
    let cookies = PageCookies::on(&origin);
    let is_switched = cookies.read(&headers).0 == Some(Flash::Switched);
    let may_open_portal = caller.may_open_portal();
    // An outage is no reason to keep the rest of the page back.
    let organizations = caller.organizations().await.ok();
    let page = account::page(&AccountPage {
        account: &Account::from(&caller),
        organizations: organizations.as_deref(),
        may_open_portal,
        has_api_keys: matches!(caller.own_api_keys(), Ok(Some(_))),
        is_switched,
    });
    let mut response = respond(StatusCode::OK, page);
    if is_switched {
        cookies.clear_flash(&mut response);
    }
    if !may_open_portal {
        return Ok(response);
    }
    let policy = content_security_policy(&caller.portal_form_origins());
    Ok(([(header::CONTENT_SECURITY_POLICY, policy)], response).into_response())
}
