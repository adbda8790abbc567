//! `POST /webhooks/workos`: where what WorkOS tells of users meets what is kept of them. There only
//! where `WORKOS_WEBHOOK_SECRET` is set.
//!
//! WorkOS delivers an event again until the answer is 2xx, for three days in production, and in any
//! order. A user's expenses are removed as far as one delivery may; until nothing is left the answer is
//! 503. Removing what is gone does no harm, so a second delivery, or a late one, needs no memory of the
//! first.

use axum::{
    Router,
    body::Body,
    extract::{FromRef, State},
    routing::post,
};
use futures_util::FutureExt;
use http::HeaderMap;
use serde::Serialize;

use crate::{
    authkit::{RequestContext, webhook::WebhookEvent},
    body::read_body_up_to,
    error::AppError,
    expenses::{Expenses, erase::Erasure},
    json::Json,
};

/// Longest event that is read: an object of WorkOS's with all that a directory knows of it takes some
/// tens of kilobytes.
const MAX_BODY_KIB: usize = 256;
/// For a minute KV may go on listing what is gone.
const RETRY_AFTER_SECS: u32 = 60;

const UNFINISHED: &str = "Not everything could be removed yet: deliver the event again";

/// `{"status": "ok"}`: the event is dealt with.
#[derive(Serialize)]
struct WebhookResponse {
    status: &'static str,
}

/// The route.
#[expect(clippy::disallowed_methods, reason = "no client of the API's is to call it; WorkOS does")]
pub fn routes<S>() -> Router<S>
where
    Expenses: FromRef<S>,
    S: Clone + Send + Sync + 'static,
{
    Router::new().route("/webhooks/workos", post(receive_event))
}

async fn receive_event(
    context: RequestContext,
    State(expenses): State<Expenses>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<WebhookResponse>, AppError> {
    let body = read_body_up_to(body, MAX_BODY_KIB).await?;
    match context.authkit().webhook_event(&headers, &body)? {
        WebhookEvent::UserDeleted(user_id) => {
            // Goes on when WorkOS has closed the connection.
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
            let cause = "more of a deleted user's is kept than one request may remove";
            Err(AppError::unavailable(UNFINISHED, RETRY_AFTER_SECS, cause))
        }
        Err(error) => Err(AppError::unavailable(UNFINISHED, RETRY_AFTER_SECS, error)),
    }
}
