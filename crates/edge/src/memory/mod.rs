//! A host in memory, for tests: a clock that is set by hand, scripted HTTP responses, and KV namespaces
//! that keep KV's rules, fail on demand and count their operations.
//!
//! [`Simulation`] runs code with virtual time and one seed; [`MemoryKvLocations`], [`SimulatedObjects`] and
//! [`SimulatedHttpClient`] model the worst case of KV, Durable Objects and outgoing requests in it.
//!
//! ```
//! use std::sync::Arc;
//! use edge_host::{Host, memory::{MemoryHost, MemoryKv}};
//!
//! let host = MemoryHost::default().with_var("NAME", "value");
//! let kv = Arc::new(MemoryKv::new(host.manual_clock()));
//! let host = host.with_kv("KV", kv);
//! assert_eq!(host.var("NAME").as_deref(), Some("value"));
//! assert!(host.kv("KV").is_some());
//! ```

mod background;
mod clock;
mod events;
mod faulty;
mod http_client;
mod kv;
mod locations;
mod objects;
mod rate_limit;
mod request;
mod signature;
mod simulation;

use std::{collections::BTreeMap, sync::Arc};

pub use background::BackgroundTasks;
pub use clock::ManualClock;
pub use events::{record_events, take_events};
pub use faulty::{HttpBehavior, ObjectBehavior, Receipt, SimulatedHttpClient, SimulatedObjects};
pub use http_client::ScriptedHttpClient;
pub use kv::{MemoryKv, Written};
pub use locations::{DailyQuota, KvBehavior, KvLocation, MemoryKvLocations};
pub use objects::{MemoryObjectStorage, MemoryObjects};
pub use rate_limit::MemoryRateLimit;
pub use request::limit_headers;
pub use signature::MemorySignatureVerifier;
pub use simulation::{Simulation, Stalled, Task, TaskId};

use crate::{Clock, Host, HttpClient, KvNamespace, ObjectNamespace, RateLimit, SignatureVerifier};

opaque_debug!(MemoryHost);

/// An environment whose parts a test chooses. By default it has no variables and no bindings, its clock
/// stands at [`ManualClock::default`], and no outgoing request gets a response.
#[derive(Clone, Default)]
pub struct MemoryHost {
    vars: BTreeMap<String, String>,
    namespaces: BTreeMap<String, Arc<dyn KvNamespace>>,
    objects: BTreeMap<String, Arc<dyn ObjectNamespace>>,
    rate_limits: BTreeMap<String, Arc<dyn RateLimit>>,
    clock: Arc<ManualClock>,
    simulation: Option<Simulation>,
    http_client: Option<Arc<dyn HttpClient>>,
}

impl MemoryHost {
    /// Sets a variable.
    #[must_use]
    pub fn with_var(mut self, name: &str, value: &str) -> Self {
        self.vars.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Binds a namespace.
    #[must_use]
    pub fn with_kv(mut self, binding: &str, namespace: Arc<dyn KvNamespace>) -> Self {
        self.namespaces.insert(binding.to_owned(), namespace);
        self
    }

    /// Binds Durable Objects.
    #[must_use]
    pub fn with_objects(mut self, binding: &str, objects: Arc<dyn ObjectNamespace>) -> Self {
        self.objects.insert(binding.to_owned(), objects);
        self
    }

    /// Binds a rate limit.
    #[must_use]
    pub fn with_rate_limit(mut self, binding: &str, rate_limit: Arc<dyn RateLimit>) -> Self {
        self.rate_limits.insert(binding.to_owned(), rate_limit);
        self
    }

    /// Replaces the clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<ManualClock>) -> Self {
        self.clock = clock;
        self
    }

    /// Lets the host run in a simulation, which is its clock then.
    #[must_use]
    pub fn in_simulation(mut self, simulation: &Simulation) -> Self {
        self.simulation = Some(simulation.clone());
        self
    }

    /// Replaces the client for outgoing requests.
    #[must_use]
    pub fn with_http_client(mut self, http_client: Arc<dyn HttpClient>) -> Self {
        self.http_client = Some(http_client);
        self
    }

    /// The clock, to set it.
    #[must_use]
    pub fn manual_clock(&self) -> Arc<ManualClock> {
        Arc::clone(&self.clock)
    }
}

impl Host for MemoryHost {
    fn var(&self, name: &str) -> Option<String> {
        self.vars.get(name).cloned()
    }

    fn kv(&self, binding: &str) -> Option<Arc<dyn KvNamespace>> {
        self.namespaces.get(binding).cloned()
    }

    fn objects(&self, binding: &str) -> Option<Arc<dyn ObjectNamespace>> {
        self.objects.get(binding).cloned()
    }

    fn rate_limit(&self, binding: &str) -> Option<Arc<dyn RateLimit>> {
        self.rate_limits.get(binding).cloned()
    }

    fn clock(&self) -> Arc<dyn Clock> {
        match &self.simulation {
            Some(simulation) => Arc::new(simulation.clone()),
            None => self.manual_clock(),
        }
    }

    fn http_client(&self) -> Arc<dyn HttpClient> {
        let client = self.http_client.clone();
        client.unwrap_or_else(|| Arc::new(ScriptedHttpClient::unreachable()))
    }

    fn signature_verifier(&self) -> Arc<dyn SignatureVerifier> {
        Arc::new(MemorySignatureVerifier)
    }
}
