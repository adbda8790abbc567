//! A time limit for messages to objects.

use std::sync::Arc;

use async_trait::async_trait;

use super::{error::ObjectError, namespace::ObjectNamespace};
use crate::Clock;

/// A namespace whose messages fail after a time limit. The limit ends the wait: the object may respond later.
pub struct TimedObjects {
    objects: Arc<dyn ObjectNamespace>,
    clock: Arc<dyn Clock>,
    max_millis: u32,
}

impl TimedObjects {
    /// Limits each message to `objects` by `clock`.
    #[must_use]
    pub fn new(objects: Arc<dyn ObjectNamespace>, clock: Arc<dyn Clock>, max_millis: u32) -> Self {
        Self { objects, clock, max_millis }
    }
}

#[async_trait]
impl ObjectNamespace for TimedObjects {
    async fn send(&self, name: &str, message: &str) -> Result<String, ObjectError> {
        self.objects.send_within(name, message, self.max_millis, &*self.clock).await
    }
}
