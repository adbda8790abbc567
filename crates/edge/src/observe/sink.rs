//! Where events go.

use std::sync::OnceLock;

use super::{
    event::Event,
    line::{data_point, json_line},
    scope,
};

opaque_debug!(Emitted<'a>);

static SINK: OnceLock<fn(&Emitted<'_>)> = OnceLock::new();

/// An event on its way to the sink.
pub struct Emitted<'a> {
    event: &'a dyn Event,
    request_id: Option<&'a str>,
}

impl Emitted<'_> {
    /// The event.
    #[must_use]
    pub fn event(&self) -> &dyn Event {
        self.event
    }

    /// The id of the request during which it happened; `None` for an event of a Durable Object.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.request_id
    }

    /// The event as one JSON object on one line, with the version of the code if it is given.
    #[must_use]
    pub fn to_json(&self, version: Option<&str>) -> String {
        json_line(self.event, self.request_id, version)
    }

    /// The event as the JSON of a data point for Workers Analytics Engine: its name and the version, its texts and
    /// its numbers.
    #[must_use]
    pub fn to_data_point(&self, version: Option<&str>) -> String {
        data_point(self.event, version)
    }
}

/// Sets the function that takes the events of the process, for example one that hands them to a logging library. The
/// first sink stays: the result is whether this one was set. Hosts set one when they start.
pub fn set_sink(sink: fn(&Emitted<'_>)) -> bool {
    SINK.set(sink).is_ok()
}

/// Events that can be handed to the sink: all of them.
pub trait Emit: Event + Sized {
    /// Hands the event to the sink, if there is one.
    fn emit(&self) {
        emit(self);
    }
}

impl<T: Event> Emit for T {}

#[inline(never)]
fn emit(event: &dyn Event) {
    let Some(sink) = SINK.get() else { return };
    scope::with_request_id(|request_id| sink(&Emitted { event, request_id }));
}
