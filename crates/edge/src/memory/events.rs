//! The events of a test, as lines of JSON.

use std::cell::RefCell;

use crate::{Emitted, set_sink};

thread_local! {
    /// `None` until the test records.
    static LINES: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Records the events of this thread from now on. A test without it drops them.
pub fn record_events() {
    // Only the first test of the process sets the sink.
    let _ = set_sink(record);
    LINES.with_borrow_mut(|lines| *lines = Some(Vec::new()));
}

fn record(emitted: &Emitted<'_>) {
    LINES.with_borrow_mut(|lines| {
        if let Some(lines) = lines {
            lines.push(emitted.to_json(None));
        }
    });
}

/// The events of this thread since the last call, each as the JSON object that a Worker writes, without a version.
#[must_use]
pub fn take_events() -> Vec<String> {
    LINES.with_borrow_mut(|lines| lines.as_mut().map(std::mem::take).unwrap_or_default())
}
