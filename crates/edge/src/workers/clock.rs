//! Time on Workers: `Date.now()` and `setTimeout()`.

use std::cell::Cell;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use wasm_bindgen::prelude::wasm_bindgen;
use worker::js_sys::Date;

use super::{executor::current_entry, operation::Operation};
use crate::Clock;

#[wasm_bindgen(module = "/src/workers/isolate.js")]
extern "C" {
    #[wasm_bindgen(js_name = startTimer)]
    fn start_timer(waiter: u32, millis: u32);

    #[wasm_bindgen(js_name = stopTimer)]
    fn stop_timer(waiter: u32);
}

thread_local! {
    /// The time, and the call of JavaScript in which it was read. It stands still during a call.
    static NOW: Cell<Option<(u32, f64)>> = const { Cell::new(None) };
}

/// The clock of the Workers runtime.
#[derive(Debug)]
pub struct WorkersClock;

/// Milliseconds since 1970. Reading the time is a call of JavaScript, so a call into the module reads it once.
fn now() -> f64 {
    let Some(entry) = current_entry() else { return Date::now() };
    match NOW.get() {
        Some((read_in, millis)) if read_in == entry => millis,
        _ => {
            let millis = Date::now();
            NOW.set(Some((entry, millis)));
            millis
        }
    }
}

#[async_trait]
impl Clock for WorkersClock {
    fn now(&self) -> DateTime<Utc> {
        // Whole milliseconds.
        #[expect(clippy::cast_possible_truncation, reason = "saturates")]
        let millis = now() as i64;
        DateTime::from_timestamp_millis(millis).unwrap_or_default()
    }

    async fn sleep(&self, millis: u32) {
        Operation::start(|waiter| start_timer(waiter, millis)).on_drop(stop_timer).await;
    }
}
