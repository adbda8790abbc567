//! The events of a test's thread.

use edge_host::memory::{record_events, take_events};

/// Begins to record.
pub fn capture() {
    record_events();
}

/// The events since the last call, each as a JSON object, without `request`, which each request has.
pub fn take() -> Vec<String> {
    let is_request = |line: &String| line.starts_with(r#"{"event":"request","#);
    take_events().into_iter().filter(|line| !is_request(line)).collect()
}
