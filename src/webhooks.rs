//! `POST /webhooks/workos`: handles WorkOS's webhooks; deletes a user's data on `user.deleted`. The route
//! exists only where `WORKOS_WEBHOOK_SECRET` is set.
//!
//! WorkOS delivers an event again until the response is 2xx, for three days in production, and in any
//! order. A delivery removes as many expenses as one invocation may; until none is left the response is
//! 503. Removing expenses twice does no harm, so a repeated or late delivery needs no record of the first.

use axum::{body::Body, extract::State};
use futures_util::FutureExt;
use http::HeaderMap;
use serde::Serialize;

use crate::{
    body::read_body_up_to,
    expenses::{Expenses, erase::Erasure},
    json::Json,
};
use axum_authkit::{AppError, RequestContext, webhook::WebhookEvent};

/// The path, which the WorkOS dashboard holds.
pub const PATH: &str = "/webhooks/workos";

/// Longest event: an object of WorkOS's with everything that a directory knows takes tens of kilobytes.
const MAX_BODY_KIB: usize = 256;
/// KV can list deleted keys for a minute.
const RETRY_AFTER_SECS: u32 = 60;

const UNFINISHED: &str = "Not everything could be removed yet: deliver the event again";

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
    let body = read_body_up_to(body, MAX_BODY_KIB).await?;
    match context.authkit().webhook_event(&headers, &body)? {
        WebhookEvent::UserDeleted(user_id) => {
            // The erasure continues when WorkOS stops waiting for the response.
            let erasure = erase_user(expenses, user_id).boxed().shared();
            context.wait_until().keep_alive(erasure.clone().map(drop));
            erasure.await?;
        }
        WebhookEvent::Other => {}
    }
    Ok(Json(WebhookResponse { status: "ok" }))
}

async fn erase_user(expenses: Expenses, user_id: String) -> Result<(), AppError> {
    match expenses.erase_user(&user_id).await {
        Ok(Erasure::Done) => Ok(()),
        Ok(Erasure::Unfinished) => {
            let cause = "a deleted user has more expenses than one request may remove";
            Err(AppError::unavailable(UNFINISHED, RETRY_AFTER_SECS, cause))
        }
        Err(error) => Err(AppError::unavailable(UNFINISHED, RETRY_AFTER_SECS, error)),
    }
}
