//! The log lines written on this test's thread.

use std::cell::RefCell;

use log::{LevelFilter, Log, Metadata, Record};

thread_local! {
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

struct Capture;

impl Log for Capture {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        LINES.with_borrow_mut(|lines| lines.push(record.args().to_string()));
    }

    fn flush(&self) {}
}

pub fn capture() {
    // Only the first test of the process installs the logger.
    let _ = log::set_logger(&Capture);
    log::set_max_level(LevelFilter::Trace);
    LINES.with_borrow_mut(Vec::clear);
}

pub fn take() -> Vec<String> {
    LINES.take()
}
