//! Verifies and parses WorkOS webhooks.
//! <https://workos.com/docs/events/data-syncing/webhooks>
//!
//! The header is `WorkOS-Signature: t={milliseconds since 1970}, v1={hex}`, where `v1` is the
//! HMAC-SHA-256 (RFC 2104) of `{t}.{body}` with the endpoint's secret, over the raw bytes of the body.
//! The parameters come in any order, and unknown parameters are ignored. While a secret is rotated the
//! header has several `v1`; one of them must match. The time must be within three minutes of the current
//! time, which limits replays. Within those minutes an event can arrive twice, so its handler must be
//! idempotent.

use chrono::{DateTime, Duration, Utc};
use hmac::{Hmac, Mac};
use http::{HeaderMap, HeaderName, StatusCode};
use serde::Deserialize;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use thiserror::Error;

use crate::{authkit::AuthKit, error::AppError, events::AuthKitEvent, secret::Secret};
use edge_host::Emit as _;

/// The header with the signature.
pub const SIGNATURE_HEADER: HeaderName = HeaderName::from_static("workos-signature");
/// The tolerance of WorkOS's SDKs.
const TOLERANCE_SECS: i64 = 3 * 60;

/// A verified event from WorkOS.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WebhookEvent {
    /// WorkOS deleted the user with this id.
    UserDeleted(String),
    /// Any other event.
    Other,
}

/// Why a webhook request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WebhookError {
    /// The header is missing, duplicate or malformed.
    #[error("The WorkOS-Signature header is missing or malformed")]
    NoSignature,
    /// The signature is for another body or from another secret.
    #[error("The signature does not match the body and this endpoint's secret")]
    Mismatch,
    /// The signature's time is invalid, or outside the tolerance.
    #[error("The signature's time is more than three minutes from the current time")]
    Stale,
    /// The signed body is not an event.
    #[error("The body is not an event")]
    NotAnEvent,
}

/// The parameters of the header.
struct Signature<'a> {
    /// The time as text, which is part of the signed bytes.
    time: &'a str,
    candidates: Vec<[u8; 32]>,
}

/// The member that every event has. Other members may have any type and depth.
#[derive(Deserialize)]
struct EventResponse {
    event: String,
}

/// The members of a `user.deleted` event that this module reads.
#[derive(Deserialize)]
struct UserDeletedEvent {
    data: DeletedUser,
}

/// The deleted user.
#[derive(Deserialize)]
struct DeletedUser {
    id: String,
}

impl AuthKit {
    /// Whether `WORKOS_WEBHOOK_SECRET` is configured.
    #[must_use]
    pub fn has_webhook_secret(&self) -> bool {
        self.config.webhook_secret.is_some()
    }

    /// Verifies the signature of a webhook request and parses its event.
    ///
    /// # Errors
    ///
    /// As [`verify_webhook`](Self::verify_webhook), and [`WebhookError::NotAnEvent`].
    pub fn webhook_event(
        &self,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<WebhookEvent, WebhookError> {
        self.verify_webhook(headers, body)?;
        reported(parse(body))
    }

    /// Verifies the signature of a webhook request. After that the application can read events from the body that
    /// [`WebhookEvent`] does not have.
    ///
    /// # Errors
    ///
    /// [`WebhookError`]; without a configured secret every request is refused.
    pub fn verify_webhook(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), WebhookError> {
        let secret = self.config.webhook_secret.as_ref().ok_or(WebhookError::Mismatch);
        reported(secret.and_then(|secret| verify(headers, body, secret, self.clock.now())))
    }
}

fn reported<T>(result: Result<T, WebhookError>) -> Result<T, WebhookError> {
    result.inspect_err(|error| AuthKitEvent::WebhookRefused { reason: error.name() }.emit())
}

impl WebhookError {
    /// Its name in events.
    fn name(self) -> &'static str {
        match self {
            Self::NoSignature => "no_signature",
            Self::Mismatch => "mismatch",
            Self::Stale => "stale",
            Self::NotAnEvent => "not_an_event",
        }
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
    // HMAC accepts a key of any length.
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
                // A duplicate time is ambiguous.
                ("t", _) => return None,
                ("v1", hex) => candidates.extend(parse_hex(hex)),
                _ => {}
            }
        }
        Some(Self { time: time?, candidates })
    }
}

/// Parses 64 hexadecimal digits in either case.
fn parse_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let length = base16ct::mixed::decode(text, &mut bytes).ok()?.len();
    (length == bytes.len()).then_some(bytes)
}

/// Parses a verified body. For events that are not handled, only the name is read.
fn parse(body: &[u8]) -> Result<WebhookEvent, WebhookError> {
    let event: EventResponse =
        edge_host::json::read_bytes(body).map_err(|_| WebhookError::NotAnEvent)?;
    if event.event != "user.deleted" {
        return Ok(WebhookEvent::Other);
    }
    let event: UserDeletedEvent =
        edge_host::json::read_bytes(body).map_err(|_| WebhookError::NotAnEvent)?;
    Ok(WebhookEvent::UserDeleted(event.data.id))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixtures::{authkit, noon};

    const SECRET: &str = "whsec_of_this_endpoint";
    const BODY: &[u8] = br#"{"event":"user.deleted","data":{"id":"user_ada"}}"#;

    fn hex(secret: &str, time: &str, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(format!("{time}.").as_bytes());
        mac.update(body);
        mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn time(ahead_millis: i64) -> String {
        (noon() + Duration::milliseconds(ahead_millis)).timestamp_millis().to_string()
    }

    fn headers(signatures: &[&str]) -> HeaderMap {
        signatures.iter().map(|signature| (SIGNATURE_HEADER, signature.parse().unwrap())).collect()
    }

    fn check(signature: &str, body: &[u8]) -> Result<(), WebhookError> {
        verify(&headers(&[signature]), body, &Secret::from(SECRET), noon())
    }

    #[test]
    fn signature_that_openssl_made_verifies() {
        let signature =
            "t=1795435200000, v1=3dceda2a4e8ed3e227dfc520c9c0b5930512f9f5750468739d87d554299b738e";
        let body = br#"{"event":"user.created","data":{}}"#;
        let secret = Secret::from("whsec_vector");
        assert_eq!(verify(&headers(&[signature]), body, &secret, noon()), Ok(()));
    }

    #[test]
    fn signature_verifies_in_any_order_and_hex_case() {
        let t = time(0);
        let (v1, other) = (hex(SECRET, &t, BODY), hex("whsec_the_next", &t, BODY));
        for signature in [
            format!("t={t}, v1={v1}"),
            format!("t={t},v1={v1}"),
            format!("v1={v1}, t={t}"),
            format!("t={t}, v1={}", v1.to_uppercase()),
            format!(" t={t} ,  v0=z , v1={v1} "),
            // During a rotation each secret signs.
            format!("t={t}, v1={other}, v1={v1}"),
            format!("v1={v1}, v1={other}, t={t}, v1=x, v2=y"),
        ] {
            assert_eq!(check(&signature, BODY), Ok(()), "{signature}");
        }
    }

    #[test]
    fn malformed_header_is_no_signature() {
        let t = time(0);
        let v1 = hex(SECRET, &t, BODY);
        for signature in [
            String::new(),
            format!("v1={v1}"),
            format!("t={t}, t={t}, v1={v1}"),
            format!("t=0, t={t}, v1={v1}"),
            format!("t={t}, v1={v1}, nonsense"),
            format!("t={t}, v1={v1},"),
            format!("T={t}, v1={v1}"),
        ] {
            assert_eq!(check(&signature, BODY), Err(WebhookError::NoSignature), "{signature}");
        }
        let good = format!("t={t}, v1={v1}");
        for signatures in [&[][..], &[&*good, &*good]] {
            let answer = verify(&headers(signatures), BODY, &Secret::from(SECRET), noon());
            assert_eq!(answer, Err(WebhookError::NoSignature));
        }
        let mut headers = HeaderMap::new();
        headers.insert(SIGNATURE_HEADER, b"t=1, v1=\xff".as_slice().try_into().unwrap());
        let answer = verify(&headers, BODY, &Secret::from(SECRET), noon());
        assert_eq!(answer, Err(WebhookError::NoSignature));
    }

    #[test]
    fn signature_with_another_secret_or_form_mismatches() {
        let t = time(0);
        let v1 = hex(SECRET, &t, BODY);
        for signature in [
            format!("t={t}"),
            format!("t={t}; v1={v1}"),
            format!("t={t}, v1="),
            format!("t={t}, v1={}", &v1[..62]),
            format!("t={t}, v1={v1}00"),
            format!("t={t}, v1={}", "zz".repeat(32)),
            format!("t={t}, v1={}", "+1".repeat(32)),
            format!("t={t}, v1={}", "00".repeat(32)),
            format!("t={t}, v2={v1}"),
            format!("t={t}, V1={v1}"),
            format!("t=+{t}, v1={v1}"),
            format!("t=0{t}, v1={v1}"),
            format!("t={t}, v1={}", hex("whsec_wrong", &t, BODY)),
            format!("t={t}, v1={}", hex("", &t, BODY)),
            format!("t={t}, v1={}", hex(SECRET, "", BODY)),
        ] {
            assert_eq!(check(&signature, BODY), Err(WebhookError::Mismatch), "{signature}");
        }
    }

    #[test]
    fn signature_is_compared_to_its_last_digit() {
        let t = time(0);
        let v1 = hex(SECRET, &t, BODY);
        for index in 0..v1.len() {
            let other = if &v1[index..=index] == "0" { "1" } else { "0" };
            let mut changed = v1.clone();
            changed.replace_range(index..=index, other);
            let signature = format!("t={t}, v1={changed}");
            assert_eq!(check(&signature, BODY), Err(WebhookError::Mismatch), "{index}");
        }
        // A signature that ends in zeros does not match without them.
        for digits in [0, 2, 62, 63, 65, 66, 128] {
            assert_eq!(parse_hex(&"0".repeat(digits)), None, "{digits}");
        }
        assert_eq!(parse_hex(&"0F".repeat(32)), Some([15; 32]));
        assert_eq!(parse_hex(&"é".repeat(32)), None);
    }

    #[test]
    fn signature_covers_every_byte_of_the_body() {
        let t = time(0);
        let signature = format!("t={t}, v1={}", hex(SECRET, &t, BODY));
        let same_json = br#"{"event": "user.deleted","data":{"id":"user_ada"}}"#;
        let longer = [BODY, b" "].concat();
        for body in [&BODY[1..], &BODY[..BODY.len() - 1], &longer, b"", same_json] {
            assert_eq!(check(&signature, body), Err(WebhookError::Mismatch));
        }
        // The body may be binary.
        let signature = format!("t={t}, v1={}", hex(SECRET, &t, b"\xff\x00"));
        assert_eq!(check(&signature, b"\xff\x00"), Ok(()));
        assert_eq!(check(&signature, b"\xff\x01"), Err(WebhookError::Mismatch));
    }

    #[test]
    fn signature_is_valid_for_three_minutes_either_way() {
        for (ahead_millis, expected) in [
            (0, Ok(())),
            (-180_000, Ok(())),
            (180_000, Ok(())),
            (-180_001, Err(WebhookError::Stale)),
            (180_001, Err(WebhookError::Stale)),
            (-365 * 86_400_000, Err(WebhookError::Stale)),
        ] {
            let t = time(ahead_millis);
            let signature = format!("t={t}, v1={}", hex(SECRET, &t, BODY));
            assert_eq!(check(&signature, BODY), expected, "{ahead_millis}");
        }
        // Seconds, not a number, past the calendar, past 64 bits.
        for t in [&time(0)[..10], "noon", &"9".repeat(18), &"9".repeat(30), "-1", ""] {
            let signature = format!("t={t}, v1={}", hex(SECRET, t, BODY));
            assert_eq!(check(&signature, BODY), Err(WebhookError::Stale), "{t}");
        }
        // Without the secret, the error does not depend on the time.
        let signature = format!("t={}, v1={}", time(-86_400_000), "00".repeat(32));
        assert_eq!(check(&signature, BODY), Err(WebhookError::Mismatch));
    }

    #[test]
    fn event_is_user_deleted_or_other() {
        assert_eq!(parse(BODY), Ok(WebhookEvent::UserDeleted("user_ada".to_owned())));
        let deep = format!(
            r#"{{"data": {}{}, "event": "dsync.user.updated"}}"#,
            "[".repeat(50_000),
            "]".repeat(50_000)
        );
        for body in [
            json!({"event": "user.updated", "data": {"id": "user_ada"}}).to_string(),
            json!({"event": "USER.DELETED", "data": {"id": "user_ada"}}).to_string(),
            json!({"event": "dsync.user.deleted", "data": {"id": "user_ada"}}).to_string(),
            json!({"event": "ping"}).to_string(),
            deep,
        ] {
            assert_eq!(parse(body.as_bytes()), Ok(WebhookEvent::Other));
        }
    }

    #[test]
    fn body_of_another_form_is_not_an_event() {
        for body in [
            "",
            "{",
            "[]",
            "null",
            r#""user.deleted""#,
            "{}",
            r#"{"event": 1}"#,
            r#"{"event": "user.deleted"}"#,
            r#"{"event": "user.deleted", "data": null}"#,
            r#"{"event": "user.deleted", "data": {}}"#,
            r#"{"event": "user.deleted", "data": {"id": null}}"#,
            r#"{"event": "user.deleted", "data": {"id": ["user_ada"]}}"#,
            r#"{"event": "user.created", "event": "user.deleted", "data": {"id": "user_ada"}}"#,
            r#"{"event": "user.deleted", "data": {"id": "user_ada", "id": "user_grace"}}"#,
        ] {
            assert_eq!(parse(body.as_bytes()), Err(WebhookError::NotAnEvent), "{body}");
        }
    }

    #[test]
    fn webhook_verifies_with_the_configured_secret() {
        let t = time(0);
        let with = |secret: &str| headers(&[&format!("t={t}, v1={}", hex(secret, &t, BODY))]);
        let configured = authkit(&[("WORKOS_WEBHOOK_SECRET", SECRET)]);
        assert!(configured.has_webhook_secret());
        let event = WebhookEvent::UserDeleted("user_ada".to_owned());
        assert_eq!(configured.webhook_event(&with(SECRET), BODY), Ok(event));
        let error = configured.webhook_event(&with("whsec_wrong"), BODY);
        assert_eq!(error, Err(WebhookError::Mismatch));
        let error = configured.webhook_event(&HeaderMap::new(), BODY);
        assert_eq!(error, Err(WebhookError::NoSignature));
        assert_eq!(configured.verify_webhook(&with(SECRET), BODY), Ok(()));
        let error = configured.verify_webhook(&with("whsec_wrong"), BODY);
        assert_eq!(error, Err(WebhookError::Mismatch));
        // Without a configured secret every request is refused.
        let without = authkit(&[]);
        assert!(!without.has_webhook_secret());
        for secret in ["", SECRET] {
            let error = without.webhook_event(&with(secret), BODY);
            assert_eq!(error, Err(WebhookError::Mismatch), "{secret}");
        }
    }
}
