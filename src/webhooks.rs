//! `POST /webhooks/workos`: handles WorkOS's webhooks; deletes a user's data on `user.deleted`. The route
//! exists only where `WORKOS_WEBHOOK_SECRET` is set.
//!
//! WorkOS delivers an event again until the response is 2xx, for three days in production, and in any
//! order. The user's ledger records the erasure and then deletes the keys by itself; recording it twice does no
//! harm, so a repeated or late delivery needs no record of the first.

use axum::{body::Body, extract::State};
use http::HeaderMap;
use serde::Serialize;

use crate::{body::read_body_up_to, events::AppEvent, expenses::Expenses, json::Json};
use axum_authkit::{AppError, RequestContext, webhook::WebhookEvent};
use edge_host::Emit as _;

/// The path, which the WorkOS dashboard holds.
pub const PATH: &str = "/webhooks/workos";

/// Longest event: an object of WorkOS's with everything that a directory knows takes tens of kilobytes.
const MAX_BODY_KIB: usize = 256;
const RETRY_AFTER_SECS: u32 = 60;

const NOT_RECORDED: &str = "The user's expenses could not be removed: deliver the event again";

/// `{"status": "ok"}`: the event is handled.
#[derive(Serialize)]
pub(crate) struct WebhookResponse {
    status: &'static str,
}

/// `POST /webhooks/workos`.
pub(crate) async fn receive_event(
    context: RequestContext,
    State(expenses): State<Expenses>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<WebhookResponse>, AppError> {
    context.check_address_limit().await?;
    let body = read_body_up_to(body, MAX_BODY_KIB).await?;
    match context.authkit().webhook_event(&headers, &body)? {
        WebhookEvent::UserDeleted(user_id) => {
            let user = Some(context.authkit().user_hasher().hash(&user_id));
            expenses
                .erase_user(&user_id)
                .await
                .map_err(|error| AppError::unavailable(NOT_RECORDED, RETRY_AFTER_SECS, error))?;
            AppEvent::WebhookHandled { kind: "user_deleted", user }.emit();
        }
        _ => AppEvent::WebhookHandled { kind: "other", user: None }.emit(),
    }
    Ok(Json(WebhookResponse { status: "ok" }))
}
