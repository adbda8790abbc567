//! Objects and outgoing requests in a [`Simulation`]: late, lost before or after their effect, ended in between.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::Duration;
use futures_util::future::{Either, select};
use http::{Request, Response};

use super::{MemoryObjects, Simulation};
use crate::{
    Clock, HTTP_MAX_MILLIS, HttpClient, HttpClientError, ObjectError, ObjectErrorKind,
    ObjectNamespace,
};

opaque_debug!(Receipt, SimulatedHttpClient, SimulatedObjects);

/// How often what happens to objects, per mille.
#[derive(Debug, Clone, Default)]
pub struct ObjectBehavior {
    /// No message reaches an object.
    pub is_unreachable: bool,
    /// A message is lost before the object has it.
    pub loses_messages: u32,
    /// A response is lost after the object has sent it.
    pub loses_responses: u32,
    /// An object ends while it has a message; its storage stays.
    pub evicts: u32,
    /// A message takes seconds instead of milliseconds.
    pub is_slow: u32,
    /// An object refuses a message because it has too many.
    pub overloads: u32,
    /// An alarm runs up to a minute late.
    pub delays_alarms: u32,
}

/// Objects of one class in a simulation. Clones are the same objects.
#[derive(Clone)]
pub struct SimulatedObjects {
    objects: MemoryObjects,
    simulation: Simulation,
    behavior: Arc<Mutex<ObjectBehavior>>,
    /// The objects whose alarm runs.
    in_alarm: Arc<Mutex<BTreeSet<String>>>,
}

/// The longest time between a look at the alarms and the next one.
const ALARM_STEP_MILLIS: i64 = 1_000;
/// The time after which an alarm that failed runs again: Workers waits 2 seconds at first.
/// <https://developers.cloudflare.com/durable-objects/api/alarms/>
const ALARM_RETRY_MILLIS: i64 = 2_000;

impl SimulatedObjects {
    /// Sends messages to `objects` and runs their alarms.
    #[must_use]
    pub fn new(objects: MemoryObjects, simulation: &Simulation, behavior: ObjectBehavior) -> Self {
        let objects = Self {
            objects,
            simulation: simulation.clone(),
            behavior: Arc::new(Mutex::new(behavior)),
            in_alarm: Arc::default(),
        };
        simulation.spawn(objects.clone().run_alarms());
        objects
    }

    /// Changes how the objects behave from now on.
    pub fn behave(&self, behavior: ObjectBehavior) {
        *self.behavior.lock().unwrap_or_else(PoisonError::into_inner) = behavior;
    }

    /// How the objects behave.
    #[must_use]
    pub fn behavior(&self) -> ObjectBehavior {
        self.behavior.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The objects themselves.
    #[must_use]
    pub fn objects(&self) -> &MemoryObjects {
        &self.objects
    }

    fn happens(&self, per_mille: u32, kind: &'static str) -> bool {
        let happens = self.simulation.chance(per_mille);
        if happens {
            self.simulation.note_fault(kind);
        }
        happens
    }

    /// Ends the object after some milliseconds.
    fn evict_soon(&self, name: &str) {
        let (objects, simulation) = (self.objects.clone(), self.simulation.clone());
        let name = name.to_owned();
        let millis = match simulation.within(0..3) {
            0 => simulation.within(0..5),
            1 => simulation.within(5..200),
            _ => simulation.within(200..9_000),
        };
        self.simulation.spawn(async move {
            simulation.sleep(millis).await;
            simulation.trace(|| format!("object {name} is evicted"));
            objects.evict(&name);
        });
    }

    async fn run_alarms(self) {
        loop {
            let now = self.simulation.now();
            let due = self.objects.alarms().into_iter().filter(|(at, _)| *at <= now);
            for (_, name) in due {
                self.start_alarm(name);
            }
            let next = self.objects.next_alarm().map(|(at, _)| (at - now).num_milliseconds());
            let wait = next.filter(|millis| *millis > 0).unwrap_or(ALARM_STEP_MILLIS);
            let wait = u32::try_from(wait.min(ALARM_STEP_MILLIS)).unwrap_or_default();
            self.simulation.sleep(wait).await;
        }
    }

    fn start_alarm(&self, name: String) {
        let in_alarm = |name: &str, runs: bool| {
            let mut names = self.in_alarm.lock().unwrap_or_else(PoisonError::into_inner);
            if runs { names.insert(name.to_owned()) } else { names.remove(name) }
        };
        if !in_alarm(&name, true) {
            return;
        }
        let this = self.clone();
        self.simulation.spawn(async move {
            let behavior = this.behavior();
            if this.happens(behavior.delays_alarms, "object: alarm late") {
                this.simulation.sleep(this.simulation.within(0..60_000)).await;
            }
            if this.happens(behavior.evicts, "object: evicted in an alarm") {
                this.evict_soon(&name);
            }
            let retry_at = this.simulation.now() + Duration::milliseconds(ALARM_RETRY_MILLIS);
            this.objects.run_alarm(&name, retry_at).await;
            this.in_alarm.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
        });
    }
}

#[async_trait]
impl ObjectNamespace for SimulatedObjects {
    async fn send(&self, name: &str, message: &str) -> Result<String, ObjectError> {
        let behavior = self.behavior();
        let simulation = &self.simulation;
        let disconnected = |reason| Err(ObjectError::new(ObjectErrorKind::Disconnected, reason));
        let millis = if self.happens(behavior.is_slow, "object: slow message") {
            simulation.within(500..15_000)
        } else {
            simulation.within(0..60)
        };
        // A slow message is late before the object has it, or after.
        let before = if simulation.chance(500) { millis } else { millis % 10 };
        simulation.sleep(before).await;
        if behavior.is_unreachable {
            simulation.note_fault("object: unreachable");
            return disconnected("the object is unreachable");
        }
        if self.happens(behavior.loses_messages, "object: message lost") {
            return disconnected("the message was lost");
        }
        if self.happens(behavior.overloads, "object: overloaded") {
            return Err(ObjectError::new(ObjectErrorKind::Overloaded, "too many messages"));
        }
        if self.happens(behavior.evicts, "object: evicted") {
            self.evict_soon(name);
        }
        // The object finishes an event whose sender has gone.
        let task = {
            let (objects, name, message) =
                (self.objects.clone(), name.to_owned(), message.to_owned());
            simulation.start(async move { objects.send(&name, &message).await })
        };
        let response = task.await;
        simulation.sleep(millis - before).await;
        if self.happens(behavior.loses_responses, "object: response lost") {
            return disconnected("the response was lost");
        }
        response.unwrap_or_else(|| disconnected("the object ended"))
    }
}

/// What happens to outgoing requests, per mille.
#[derive(Debug, Clone, Default)]
pub struct HttpBehavior {
    /// A request is lost before the server has it.
    pub loses_requests: u32,
    /// A response is lost after the server has sent it.
    pub loses_responses: u32,
    /// A response takes seconds.
    pub is_slow: u32,
}

/// Responds to a request. It runs when the server has the request; [`Receipt`] tells it whether the client got the
/// response.
type Server = dyn Fn(&Request<Bytes>, Receipt) -> Response<Bytes> + Send + Sync;

/// Tells a server whether its response arrived.
pub struct Receipt(Arc<Mutex<Option<bool>>>);

impl Receipt {
    /// Whether the client got the response; `None` while it is on the way. A client that ends meanwhile does not
    /// get it.
    #[must_use]
    pub fn delivered(&self) -> Option<bool> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Delivery(Arc<Mutex<Option<bool>>>);

impl Delivery {
    fn settle(&self, is_delivered: bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(is_delivered);
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.settle(false);
    }
}

/// A client of servers in a simulation.
pub struct SimulatedHttpClient {
    simulation: Simulation,
    behavior: Mutex<HttpBehavior>,
    server: Box<Server>,
}

impl SimulatedHttpClient {
    /// Lets `server` respond to requests.
    #[must_use]
    pub fn new(
        simulation: &Simulation,
        behavior: HttpBehavior,
        server: impl Fn(&Request<Bytes>, Receipt) -> Response<Bytes> + Send + Sync + 'static,
    ) -> Self {
        let behavior = Mutex::new(behavior);
        Self { simulation: simulation.clone(), behavior, server: Box::new(server) }
    }

    /// Changes what happens to requests from now on.
    pub fn behave(&self, behavior: HttpBehavior) {
        *self.behavior.lock().unwrap_or_else(PoisonError::into_inner) = behavior;
    }

    async fn exchange(&self, request: &Request<Bytes>) -> Result<Response<Bytes>, HttpClientError> {
        let behavior = self.behavior.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let simulation = &self.simulation;
        let happens = |per_mille, kind| {
            let happens = simulation.chance(per_mille);
            if happens {
                simulation.note_fault(kind);
            }
            happens
        };
        let millis = if happens(behavior.is_slow, "http: slow response") {
            simulation.within(3_000..12_000)
        } else {
            simulation.within(5..200)
        };
        let before = simulation.within(0..millis);
        simulation.sleep(before).await;
        if happens(behavior.loses_requests, "http: request lost") {
            return Err(HttpClientError::Connection);
        }
        let receipt = Arc::new(Mutex::new(None));
        let delivery = Delivery(Arc::clone(&receipt));
        let response = (self.server)(request, Receipt(receipt));
        simulation.sleep(millis - before).await;
        if happens(behavior.loses_responses, "http: response lost") {
            return Err(HttpClientError::Connection);
        }
        delivery.settle(true);
        Ok(response)
    }
}

#[async_trait]
impl HttpClient for SimulatedHttpClient {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpClientError> {
        let exchange = std::pin::pin!(self.exchange(&request));
        let limit = std::pin::pin!(self.simulation.sleep(HTTP_MAX_MILLIS));
        match select(exchange, limit).await {
            Either::Left((response, _)) => response,
            Either::Right(_) => Err(HttpClientError::Timeout),
        }
    }
}
