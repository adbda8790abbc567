//! Events: what an application reports about itself, as typed values with names and fields instead of lines of text.
//!
//! [`events!`](crate::events!) declares an enum of events. [`Emit::emit`] hands one to the sink of the process:
//! [`set_sink`] sets it, and without one an event is dropped. A [`Scope`] is what belongs to one request: its id,
//! which every event of the request carries, the user, and the time that the request waited for services. The Workers
//! host writes each event to the console as one JSON object a line.

#[macro_use]
mod event;
mod host_event;
mod line;
mod scope;
mod sink;

pub use event::{
    Cause, Event, EventDescription, FieldDescription, FieldValue, Level, UserHash, Value,
};
pub use host_event::HostEvent;
pub use scope::{Scope, Scoped, Tally, Wait, in_current, name_request, note_user};
pub use sink::{Emit, Emitted, set_sink};
