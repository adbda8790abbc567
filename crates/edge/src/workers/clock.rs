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
    static NOW: Cell<Option<(u32, DateTime<Utc>)>> = const { Cell::new(None) };
}

/// The clock of the Workers runtime.
#[derive(Debug)]
pub struct WorkersClock;

fn read() -> DateTime<Utc> {
    // Whole milliseconds.
    #[expect(clippy::cast_possible_truncation, reason = "saturates")]
    let millis = Date::now() as i64;
    DateTime::from_timestamp_millis(millis).unwrap_or_default()
}

#[async_trait]
impl Clock for WorkersClock {
    /// Reading the time is a call of JavaScript, so a call into the module reads it once.
    fn now(&self) -> DateTime<Utc> {
        let Some(entry) = current_entry() else { return read() };
        match NOW.get() {
            Some((read_in, now)) if read_in == entry => now,
            _ => {
                let now = read();
                NOW.set(Some((entry, now)));
                now
            }
        }
    }

    async fn sleep(&self, millis: u32) {
        Operation::start(|waiter| start_timer(waiter, millis)).on_drop(stop_timer).await;
    }
}
