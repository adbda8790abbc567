//! A time limit and a measurement for messages to objects.

use std::sync::Arc;

use async_trait::async_trait;

use super::{error::ObjectError, namespace::ObjectNamespace};
use crate::{Cause, Clock, Emit as _, HostEvent, Wait};

opaque_debug!(TimedObjects);

/// A namespace whose messages fail after a time limit. It measures each message, and reports each failure. The limit
/// ends the wait: the object may respond later.
pub struct TimedObjects {
    objects: Arc<dyn ObjectNamespace>,
    clock: Arc<dyn Clock>,
    max_millis: u32,
    service: &'static str,
}

impl TimedObjects {
    /// Limits each message to `objects` by `clock`. `service` names the objects in events and in the scope of a
    /// request.
    #[must_use]
    pub fn new(
        objects: Arc<dyn ObjectNamespace>,
        clock: Arc<dyn Clock>,
        max_millis: u32,
        service: &'static str,
    ) -> Self {
        Self { objects, clock, max_millis, service }
    }
}

#[async_trait]
impl ObjectNamespace for TimedObjects {
    async fn send(&self, name: &str, message: &str) -> Result<String, ObjectError> {
        let wait = Wait::begin(self.service, &*self.clock);
        let result = self.objects.send_within(name, message, self.max_millis, &*self.clock).await;
        wait.end(&*self.clock);
        if let Err(error) = &result {
            let (service, kind) = (self.service, error.kind.name());
            HostEvent::ObjectUnreached { service, kind, cause: Cause(&error.reason) }.emit();
        }
        result
    }
}
