//! The visitor's time zone: `request.cf.timezone`, which Cloudflare derives from the client's address.
//! <https://developers.cloudflare.com/workers/runtime-apis/request/#incomingrequestcfproperties>
//!
//! The date is computed by the runtime's `Intl`: a time zone database of the Worker's own would be
//! larger than the rest of the bundle.

use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use wasm_bindgen::prelude::wasm_bindgen;

use super::call::Call;
use crate::VisitorTimeZone;

#[wasm_bindgen(module = "/src/workers/visitor.js")]
extern "C" {
    #[wasm_bindgen(js_name = visitorDate)]
    fn visitor_date(call: u32, millis: f64) -> u32;
}

/// The time zone of the client that sent the request of `call`. It is read when a date is needed.
pub fn time_zone(call: Arc<Call>) -> VisitorTimeZone {
    VisitorTimeZone::new(move |at: DateTime<Utc>| {
        // Exact: a 64-bit float holds the milliseconds of 285,000 years.
        #[expect(clippy::cast_precision_loss, reason = "see above")]
        let date = visitor_date(call.id(), at.timestamp_millis() as f64);
        let year = i32::try_from(date / 10_000).ok()?;
        NaiveDate::from_ymd_opt(year, date / 100 % 100, date % 100)
    })
}
