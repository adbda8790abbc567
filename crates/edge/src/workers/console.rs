//! Log lines go to the Worker's console, where `wrangler tail` and the dashboard show them.

use log::{Level, LevelFilter, Log, Metadata, Record};
use worker::{console_error, console_log, console_warn};

struct Console;

impl Log for Console {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        match record.level() {
            Level::Error => console_error!("{}", record.args()),
            Level::Warn => console_warn!("{}", record.args()),
            _ => console_log!("{}", record.args()),
        }
    }

    fn flush(&self) {}
}

/// Sends the log to the console.
pub fn install() {
    // This fails only when this logger is installed already.
    let _ = log::set_logger(&Console);
    log::set_max_level(LevelFilter::Info);
}
