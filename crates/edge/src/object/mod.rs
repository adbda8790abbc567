//! Durable Objects: code that runs in one place for each name, one event at a time, with storage and an alarm.
//! <https://developers.cloudflare.com/durable-objects/>
//!
//! An application writes a class by [`Object`] and sends messages to its objects by [`ObjectNamespace`].
//! Messages and responses are text. Several versions of the application run at the same time during a
//! deployment, so a message, a response and a stored value should each carry a version.

mod class;
mod error;
mod namespace;
mod storage;
mod timed;

pub use class::{Object, ObjectContext};
pub use error::{ObjectError, ObjectErrorKind, ObjectFault};
pub use namespace::{JURISDICTION_VARIABLE, JURISDICTIONS, ObjectNamespace};
pub use storage::{OBJECT_VALUE_MAX_BYTES, ObjectStorage};
pub use timed::TimedObjects;
