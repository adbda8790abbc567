//! Time on Workers: `Date.now()` and `setTimeout()`.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use wasm_bindgen::prelude::wasm_bindgen;
use worker::js_sys::Date;

use super::operation::Operation;
use crate::Clock;

#[wasm_bindgen(module = "/src/workers/isolate.js")]
extern "C" {
    #[wasm_bindgen(js_name = startTimer)]
    fn start_timer(waiter: u32, millis: u32);

    #[wasm_bindgen(js_name = stopTimer)]
    fn stop_timer(waiter: u32);
}

/// The clock of the Workers runtime.
pub struct WorkersClock;

#[async_trait]
impl Clock for WorkersClock {
    fn now(&self) -> DateTime<Utc> {
        // Whole milliseconds.
        #[expect(clippy::cast_possible_truncation, reason = "saturates")]
        let millis = Date::now() as i64;
        DateTime::from_timestamp_millis(millis).unwrap_or_default()
    }

    async fn sleep(&self, millis: u32) {
        Operation::start(|waiter| start_timer(waiter, millis)).on_drop(stop_timer).await;
    }
}
