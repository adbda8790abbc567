//! The visitor's time zone: `request.cf.timezone`, which Cloudflare derives from the client's address.
//! <https://developers.cloudflare.com/workers/runtime-apis/request/#incomingrequestcfproperties>
//!
//! The date is computed by the runtime's `Intl`: a time zone database of the Worker's own would be
//! larger than the rest of the bundle.

use chrono::{DateTime, NaiveDate, Utc};
use wasm_bindgen::prelude::wasm_bindgen;
use worker::{send::SendWrapper, worker_sys::web_sys};

use crate::VisitorTimeZone;

#[wasm_bindgen(module = "/src/workers/host.js")]
extern "C" {
    #[wasm_bindgen(js_name = visitorDate)]
    fn visitor_date(request: &web_sys::Request, millis: f64) -> u32;
}

/// The time zone of the client that sent `request`. It is read when a date is needed.
pub fn time_zone(request: web_sys::Request) -> VisitorTimeZone {
    let request = SendWrapper::new(request);
    VisitorTimeZone::new(move |at: DateTime<Utc>| {
        // Exact: a 64-bit float holds the milliseconds of 285,000 years.
        #[expect(clippy::cast_precision_loss, reason = "see above")]
        let date = visitor_date(&request, at.timestamp_millis() as f64);
        let year = i32::try_from(date / 10_000).ok()?;
        NaiveDate::from_ymd_opt(year, date / 100 % 100, date % 100)
    })
}
