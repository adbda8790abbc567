//! The line that each request leaves, and `Server-Timing`.

use std::sync::atomic::{AtomicU32, Ordering};

use edge_host::{Emit as _, Scope};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::events::AppEvent;
use axum_authkit::EndedRequest;

/// The variable that says which requests are reported.
pub const VARIABLE: &str = "LOG_REQUESTS";

/// <https://www.w3.org/TR/server-timing/>
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Reports requests at their end.
#[derive(Debug)]
pub struct RequestLog {
    /// One request in so many is reported; none if it is 0.
    one_in: u32,
    seen: AtomicU32,
}

impl Default for RequestLog {
    /// Reports every request.
    fn default() -> Self {
        Self { one_in: 1, seen: AtomicU32::new(0) }
    }
}

impl RequestLog {
    /// Reads the variable's value: a number `n` for one request in `n` of an isolate, 0 for none. Without a value
    /// every request is reported.
    ///
    /// # Errors
    ///
    /// The reason that the value is invalid.
    pub fn parse(value: Option<&str>) -> Result<Self, &'static str> {
        match value.map(str::trim).filter(|value| !value.is_empty()).map(str::parse) {
            None => Ok(Self::default()),
            Some(Ok(one_in)) => Ok(Self { one_in, ..Self::default() }),
            Some(Err(_)) => {
                Err("is not a whole number: 1 reports every request, 10 one in ten, 0 none")
            }
        }
    }

    /// A request has ended.
    pub fn end(&self, request: &EndedRequest<'_>, headers: &mut HeaderMap) {
        if let Some(timing) = server_timing(request) {
            headers.insert(SERVER_TIMING, timing);
        }
        if request.status.is_server_error() || self.is_next() {
            report(request);
        }
    }

    /// Whether the next request is one to report.
    fn is_next(&self) -> bool {
        match self.one_in {
            0 => false,
            1 => true,
            one_in => self.seen.fetch_add(1, Ordering::Relaxed).is_multiple_of(one_in),
        }
    }
}

fn report(request: &EndedRequest<'_>) {
    let EndedRequest { method, route, status, millis, scope } = *request;
    let [kv, ledger, sessions, workos] = ["kv", "ledger", "sessions", "workos"].map(|service| {
        let tally = scope.tally(service);
        (tally.operations > 0).then_some((tally.millis, tally.operations))
    });
    let (millis_of, operations_of) = (|(millis, _)| millis, |(_, operations)| operations);
    AppEvent::Request {
        method,
        route,
        status: status.as_u16().into(),
        ms: millis,
        kv_ms: kv.map(millis_of),
        kv_ops: kv.map(operations_of),
        ledger_ms: ledger.map(millis_of),
        ledger_ops: ledger.map(operations_of),
        sessions_ms: sessions.map(millis_of),
        sessions_ops: sessions.map(operations_of),
        workos_ms: workos.map(millis_of),
        workos_ops: workos.map(operations_of),
        user: scope.user(),
    }
    .emit();
}

/// The waits of a request for services, for its own user: `kv;dur=12, ledger;dur=8`. `None` for a request without a
/// verified user, and for a response that is no success: how long a refusal took may tell what others have.
fn server_timing(request: &EndedRequest<'_>) -> Option<HeaderValue> {
    let EndedRequest { status, scope, .. } = request;
    let tells_own = status.is_success() || *status == StatusCode::NOT_MODIFIED;
    if !tells_own || scope.user().is_none() {
        return None;
    }
    timing_of(scope)
}

fn timing_of(scope: &Scope) -> Option<HeaderValue> {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(64);
    for tally in scope.tallies() {
        let separator = if text.is_empty() { "" } else { ", " };
        // Writing to text never fails.
        let _ = write!(text, "{separator}{};dur={}", tally.service, tally.millis);
    }
    (!text.is_empty()).then(|| HeaderValue::try_from(text).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variable_selects_one_request_in_so_many() {
        for (value, expected) in [
            (None, [true; 4]),
            (Some(""), [true; 4]),
            (Some("1"), [true; 4]),
            (Some(" 2 "), [true, false, true, false]),
            (Some("3"), [true, false, false, true]),
            (Some("0"), [false; 4]),
        ] {
            let log = RequestLog::parse(value).unwrap();
            assert_eq!([(); 4].map(|()| log.is_next()), expected, "{value:?}");
        }
    }

    #[test]
    fn variable_with_another_text_is_invalid() {
        for value in ["yes", "-1", "0.1", "4294967296"] {
            assert!(RequestLog::parse(Some(value)).is_err(), "{value}");
        }
    }
}
