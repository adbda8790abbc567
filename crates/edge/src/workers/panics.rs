//! The event of a panic.
//!
//! The module's memory is unknown after a panic, and nothing in it runs again: `isolate.js` notices the trap that
//! follows and starts a new instance. `worker` sets a panic hook of its own when the module starts, by which
//! worker-build's entry learns of the panic, and it may start before or after this crate: so each hook calls the one
//! that it finds.

use std::panic;

use crate::{Cause, Emit as _, HostEvent};

/// Reports each panic, and then calls the hook that was set before.
pub fn report() {
    let next = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if let Some(location) = info.location() {
            HostEvent::Panicked { location: Cause(location) }.emit();
        }
        next(info);
    }));
}
