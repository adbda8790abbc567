//! A time limit for messages to objects.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::{Either, select};

use super::{
    error::{ObjectError, ObjectErrorKind},
    namespace::ObjectNamespace,
};
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
        let response = self.objects.send(name, message);
        match select(response, self.clock.time_limit(self.max_millis)).await {
            Either::Left((response, _)) => response,
            Either::Right(_) => {
                let reason = format!("no response within {} s", self.max_millis / 1000);
                Err(ObjectError::new(ObjectErrorKind::TimedOut, reason))
            }
        }
    }
}
