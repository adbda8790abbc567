//! The steps of `object-steps.json` on the memory host. `object.test.mjs` runs the same steps on a Workers runtime.

#![allow(clippy::unwrap_used, missing_docs)]

mod object_operation;
mod scenarios;

use std::sync::Arc;

use chrono::Duration;
use edge_host::{
    ObjectNamespace,
    memory::{BackgroundTasks, ManualClock, MemoryObjects},
};
use futures_util::future::{join, join_all};
use serde::Deserialize;
use serde_json::Value;

use object_operation::{Stepper, outcome};

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Step {
    /// A message to the object, and its response.
    Send(Value, Value),
    /// A message to another object.
    SendToOther(Value, Value),
    /// Messages that are sent at the same time.
    SendTogether(Vec<(Value, Value)>),
    /// A message during which the object is evicted.
    SendAndEvict(Value, Value),
    /// The object is evicted.
    Evict,
    /// Spawned work runs to its end.
    Settle,
    /// Time passes, and alarms run.
    AdvanceSecs(i64),
}

/// Objects of one class and their background tasks.
struct Objects {
    objects: MemoryObjects,
    tasks: BackgroundTasks,
    clock: Arc<ManualClock>,
}

impl Objects {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::default());
        let tasks = BackgroundTasks::default();
        let (objects_clock, spawned) = (Arc::clone(&clock), tasks.clone());
        let objects = MemoryObjects::new(
            move |context| Arc::new(Stepper::new(Arc::clone(&objects_clock) as _, context)),
            move |work| spawned.spawn(work),
        );
        Self { objects, tasks, clock }
    }

    async fn send(&self, to: &str, message: &Value) -> Value {
        outcome(self.objects.send(to, &message.to_string()).await)
    }

    async fn perform(&self, step: Step, place: &str) {
        let check = |response, expected| assert_eq!(response, expected, "{place}");
        match step {
            Step::Send(message, expected) => check(self.send("a", &message).await, expected),
            Step::SendToOther(message, expected) => check(self.send("b", &message).await, expected),
            Step::SendTogether(messages) => {
                let sent = messages.iter().map(|(message, _)| self.send("a", message));
                let responses = join_all(sent).await;
                for (response, (_, expected)) in responses.into_iter().zip(messages) {
                    check(response, expected);
                }
            }
            Step::SendAndEvict(message, expected) => {
                let evicted = async { self.objects.evict("a") };
                check(join(self.send("a", &message), evicted).await.0, expected);
            }
            Step::Evict => self.objects.evict("a"),
            Step::Settle => self.tasks.settle().await,
            Step::AdvanceSecs(secs) => {
                self.clock.advance(Duration::seconds(secs));
                self.objects.run_due_alarms(&*self.clock).await;
            }
        }
    }
}

#[tokio::test]
async fn memory_objects_pass_the_steps() {
    scenarios::run(include_str!("object-steps.json"), Objects::new, Objects::perform).await;
}
