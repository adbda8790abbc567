//! WorkOS's webhooks: telling an event of WorkOS's from anybody else's request.
//! <https://workos.com/docs/events/data-syncing/webhooks>
//!
//! `WorkOS-Signature: t={milliseconds since 1970}, v1={hex}`, where `v1` is the HMAC-SHA-256 (RFC 2104)
//! of `{t}.{body}` with the endpoint's secret, over the body's own bytes. Parameters come in any order.
//! Of several `v1` one must be good, as there are while a secret is replaced by another; other names are
//! left alone. The time is within three minutes of ours, on either side, so that what somebody has
//! recorded is of no use later. What an event does must do no harm when it comes twice all the same.

use chrono::{DateTime, Duration, Utc};
use hmac::{Hmac, Mac};
use http::{HeaderMap, HeaderName, StatusCode};
use serde::Deserialize;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use thiserror::Error;

use super::{AuthKit, secret::Secret};
use crate::error::AppError;

/// What carries the signature.
pub const SIGNATURE_HEADER: HeaderName = HeaderName::from_static("workos-signature");
/// As in WorkOS's own SDKs.
const TOLERANCE_SECS: i64 = 3 * 60;

/// Something that has happened at WorkOS, as WorkOS itself has told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebhookEvent {
    /// The user with this id is no more.
    UserDeleted(String),
    /// Nothing that concerns a session or a user's data.
    Other,
}

/// Why a request is no event of WorkOS's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WebhookError {
    /// No header, two of them, or one that is not as above.
    #[error("There is no WorkOS-Signature as WorkOS sends it")]
    NoSignature,
    /// Signed with another secret, or another body.
    #[error("The signature is not that of this body with this endpoint's secret")]
    Mismatch,
    /// Signed too long ago, or in the future.
    #[error("The signature is not of the last three minutes")]
    Stale,
    /// WorkOS has signed what is not an event.
    #[error("The body is not an event")]
    NotAnEvent,
}

/// The parameters of the header.
struct Signature<'a> {
    /// As it was written: that is what is signed.
    time: &'a str,
    candidates: Vec<[u8; 32]>,
}

/// What every event has. Its other members may be anything, nested as deep as they like.
#[derive(Deserialize)]
struct EventResponse {
    event: String,
}

/// `user.deleted`, as far as it is read.
#[derive(Deserialize)]
struct UserDeletedEvent {
    data: DeletedUser,
}

/// The user that WorkOS has deleted.
#[derive(Deserialize)]
struct DeletedUser {
    id: String,
}

impl AuthKit {
    /// Whether there is a secret to know WorkOS's webhooks by.
    #[must_use]
    pub fn has_webhook_secret(&self) -> bool {
        self.config.webhook_secret.is_some()
    }

    /// The event that a request with these headers and this body tells of.
    ///
    /// # Errors
    ///
    /// [`WebhookError`]; every request is one while there is no secret.
    pub fn webhook_event(
        &self,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<WebhookEvent, WebhookError> {
        let secret = self.config.webhook_secret.as_ref().ok_or(WebhookError::Mismatch)?;
        verify(headers, body, secret, self.clock.now())?;
        parse(body)
    }
}

impl From<WebhookError> for AppError {
    fn from(error: WebhookError) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error.to_string())
    }
}

fn verify(
    headers: &HeaderMap,
    body: &[u8],
    secret: &Secret,
    now: DateTime<Utc>,
) -> Result<(), WebhookError> {
    let signature = Signature::of(headers).ok_or(WebhookError::NoSignature)?;
    // A key of any length will do.
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes())
        .map_err(|_| WebhookError::Mismatch)?;
    mac.update(signature.time.as_bytes());
    mac.update(b".");
    mac.update(body);
    let expected: [u8; 32] = mac.finalize().into_bytes().into();
    if !signature.candidates.iter().any(|candidate| candidate.ct_eq(&expected).into()) {
        return Err(WebhookError::Mismatch);
    }
    let time = signature.time.parse().ok().and_then(DateTime::from_timestamp_millis);
    match time {
        Some(time) if (now - time).abs() <= Duration::seconds(TOLERANCE_SECS) => Ok(()),
        _ => Err(WebhookError::Stale),
    }
}

impl<'a> Signature<'a> {
    fn of(headers: &'a HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(SIGNATURE_HEADER).iter();
        let (value, None) = (values.next()?.to_str().ok()?, values.next()) else { return None };
        let mut time = None;
        let mut candidates = Vec::new();
        for parameter in value.split(',') {
            match parameter.trim().split_once('=')? {
                ("t", text) if time.is_none() => time = Some(text),
                // Which one counts could not be told.
                ("t", _) => return None,
                ("v1", hex) => candidates.extend(parse_hex(hex)),
                _ => {}
            }
        }
        Some(Self { time: time?, candidates })
    }
}

/// 64 hexadecimal digits, in either case.
fn parse_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 2 * bytes.len() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = pair.iter().try_fold(0, |byte, digit| {
            let digit = char::from(*digit).to_digit(16)?;
            Some(byte << 4 | u8::try_from(digit).ok()?)
        })?;
    }
    Some(bytes)
}

/// Reads what WorkOS has signed. Of an event that is none of ours nothing but the name.
fn parse(body: &[u8]) -> Result<WebhookEvent, WebhookError> {
    let event: EventResponse =
        serde_json::from_slice(body).map_err(|_| WebhookError::NotAnEvent)?;
    if event.event != "user.deleted" {
        return Ok(WebhookEvent::Other);
    }
    let event: UserDeletedEvent =
        serde_json::from_slice(body).map_err(|_| WebhookError::NotAnEvent)?;
    Ok(WebhookEvent::UserDeleted(event.data.id))
}
