//! The world of a run: isolates in locations, KV, objects, WorkOS, and the network between them and the clients.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use authkit_edge::{app, ledger};
use axum::{Router, body::Body};
use edge_host::{
    Clock, Object, ObjectContext, WaitUntil,
    memory::{
        HttpBehavior, KvBehavior, MemoryHost, MemoryKvLocations, MemoryObjects, ObjectBehavior,
        SimulatedHttpClient, SimulatedObjects, Simulation, TaskId,
    },
};
use http::{HeaderMap, Request, StatusCode, header};
use serde_json::Value;
use tower::ServiceExt;

use super::{
    expenses::{Expenses, markers},
    sessions::Sessions,
    workos::{self, WorkOs},
};

pub const ORIGIN: &str = "https://app.test";
pub const PASSWORD: &str = "a cookie password of 32 characters";
pub const WEBHOOK_SECRET: &str = "whsec_of_this_endpoint";
pub const USERS: usize = 3;
pub const LOCATIONS: usize = 3;
const ISOLATES_PER_LOCATION: usize = 2;

/// How often the network between clients and isolates fails, per mille.
#[derive(Debug, Clone, Default)]
pub struct NetworkBehavior {
    pub loses_requests: u32,
    pub loses_responses: u32,
    /// The client closes the connection while it waits.
    pub closes: u32,
}

pub struct World {
    pub simulation: Simulation,
    pub workos: Arc<WorkOs>,
    pub kv: MemoryKvLocations,
    pub http: Arc<SimulatedHttpClient>,
    pub objects: Vec<SimulatedObjects>,
    pub network: Mutex<NetworkBehavior>,
    isolates: Mutex<BTreeMap<(usize, usize), Isolate>>,
    expenses: Mutex<Expenses>,
    sessions: Mutex<Sessions>,
    violation: Mutex<Option<String>>,
    ticks: AtomicU64,
    steps: AtomicU64,
    by_request: Mutex<BTreeMap<String, u64>>,
    is_over: AtomicBool,
}

/// One isolate: a router with memory of its own, and the tasks that end with it.
struct Isolate {
    router: Router,
    tasks: Arc<Mutex<Vec<TaskId>>>,
}

/// A response with its body, and the interval of its request.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
    pub span: Span,
}

/// From the moment that a client sends a request until it has the response, in ticks of the world.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    pub began: u64,
    pub ended: u64,
    pub began_millis: i64,
}

impl Reply {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    pub fn set_cookies(&self) -> Vec<&str> {
        let values = self.headers.get_all(header::SET_COOKIE).iter();
        values.filter_map(|value| value.to_str().ok()).collect()
    }

    /// Whether the response says that it may lag.
    pub fn is_eventual(&self) -> bool {
        self.header("expenses-consistency") == "eventual"
    }
}

impl World {
    pub fn new(simulation: &Simulation) -> Arc<Self> {
        let workos = Arc::new(WorkOs::new(simulation));
        let server = Arc::clone(&workos);
        let http = SimulatedHttpClient::new(
            simulation,
            HttpBehavior::default(),
            move |request, receipt| server.respond(request, receipt),
        );
        let kv = MemoryKvLocations::in_simulation(simulation, KvBehavior::default());
        let http = Arc::new(http);
        let hosts: Vec<MemoryHost> =
            (0..LOCATIONS).map(|location| host(simulation, &kv, &http, location)).collect();
        let sessions = objects(simulation, &hosts, |host, context| {
            Arc::new(axum_authkit::session_keeper(host, context))
        });
        let ledgers = objects(simulation, &hosts, |host, context| Arc::new(ledger(host, context)));
        Arc::new(Self {
            simulation: simulation.clone(),
            workos,
            kv,
            http,
            objects: vec![sessions, ledgers],
            network: Mutex::default(),
            isolates: Mutex::default(),
            expenses: Mutex::default(),
            sessions: Mutex::default(),
            violation: Mutex::default(),
            ticks: AtomicU64::new(1),
            steps: AtomicU64::new(0),
            by_request: Mutex::default(),
            is_over: AtomicBool::new(false),
        })
    }

    fn host(&self, location: usize) -> MemoryHost {
        let [sessions, ledgers] = &self.objects[..] else { unreachable!("there are two classes") };
        host(&self.simulation, &self.kv, &self.http, location)
            .with_objects("SESSIONS", Arc::new(sessions.clone()))
            .with_objects("LEDGER", Arc::new(ledgers.clone()))
    }

    fn isolate(&self, location: usize) -> (Router, Arc<Mutex<Vec<TaskId>>>) {
        let number = self.simulation.random(|random| random.usize(..ISOLATES_PER_LOCATION));
        let mut isolates = self.isolates.lock().unwrap();
        let isolate = isolates.entry((location, number)).or_insert_with(|| Isolate {
            router: app::build(&self.host(location)).unwrap(),
            tasks: Arc::default(),
        });
        (isolate.router.clone(), Arc::clone(&isolate.tasks))
    }

    /// Ends an isolate with everything that it does.
    pub fn end_isolate(&self) {
        let key = self
            .simulation
            .random(|random| (random.usize(..LOCATIONS), random.usize(..ISOLATES_PER_LOCATION)));
        let isolate = self.isolates.lock().unwrap().remove(&key);
        let Some(isolate) = isolate else { return };
        self.simulation.note_fault("isolate: ended");
        for task in std::mem::take(&mut *isolate.tasks.lock().unwrap()) {
            self.simulation.end(task);
        }
    }

    /// The next tick: events have an order, also within a millisecond.
    pub fn tick(&self) -> u64 {
        self.ticks.fetch_add(1, Ordering::Relaxed)
    }

    /// Sends a request to a location. `None`: the connection broke, and the client does not know the outcome.
    pub async fn send(
        &self,
        client: &str,
        user: usize,
        location: usize,
        mut request: Request<Body>,
    ) -> Option<Reply> {
        let simulation = &self.simulation;
        let (began, began_millis) = (self.tick(), simulation.now_millis());
        let name = format!("{} {}", request.method(), request.uri().path());
        let network = self.network.lock().unwrap().clone();
        let happens = |per_mille, kind| {
            let happens = simulation.chance(per_mille);
            if happens {
                simulation.note_fault(kind);
            }
            happens
        };
        simulation.trace(|| format!("{client} → {name}{}", note(&request)));
        simulation.sleep(simulation.within(1..80)).await;
        if happens(network.loses_requests, "network: request lost") {
            return None;
        }
        let (router, tasks) = self.isolate(location);
        request.extensions_mut().insert({
            let (simulation, tasks) = (simulation.clone(), Arc::clone(&tasks));
            WaitUntil::new(move |work| tasks.lock().unwrap().push(simulation.spawn(work)))
        });
        let ray = format!("ray-{began}");
        request.headers_mut().insert("cf-ray", ray.parse().unwrap());
        let task = simulation.start(async move {
            let response = router.oneshot(request).await.unwrap();
            let (parts, body) = response.into_parts();
            let body = axum::body::to_bytes(body, usize::MAX).await;
            (parts, body.map(|body| String::from_utf8_lossy(&body).into_owned()))
        });
        let id = task.id();
        tasks.lock().unwrap().push(id);
        if happens(network.closes, "network: closed by the client") {
            simulation.sleep(simulation.within(0..3_000)).await;
            // The runtime may end the request, or let it run.
            if simulation.chance(500) {
                simulation.end(id);
            }
            return None;
        }
        let outcome = task.await;
        simulation.sleep(simulation.within(1..80)).await;
        let Some((parts, body)) = outcome else {
            simulation.trace(|| format!("{client} ← {name}: the isolate ended"));
            return None;
        };
        if happens(network.loses_responses, "network: response lost") {
            return None;
        }
        let span = Span { began, ended: self.tick(), began_millis };
        let Ok(body) = body else {
            simulation.trace(|| format!("{client} ← {name}: the body broke off"));
            return None;
        };
        let reply = Reply { status: parts.status, headers: parts.headers, body, span };
        simulation.trace(|| {
            let text: String = match reply.header("content-type") {
                "application/json" => reply.body.chars().take(300).collect(),
                _ => reply.header("location").chars().take(80).collect(),
            };
            format!("{client} ← {name}: {} {text}", reply.status.as_u16())
        });
        self.steps.fetch_add(1, Ordering::Relaxed);
        self.count(&name, reply.status);
        self.check_contract(&name, user, &reply);
        Some(reply)
    }

    fn count(&self, name: &str, status: StatusCode) {
        let mut words = name.split('/');
        let method = words.next().unwrap_or_default();
        let shape: Vec<&str> =
            words.map(|word| if word.len() == 26 { "{id}" } else { word }).collect();
        let name = format!("{method}/{} {}", shape.join("/"), status.as_u16());
        *self.by_request.lock().unwrap().entry(name).or_default() += 1;
    }

    /// The rules for every response.
    fn check_contract(&self, name: &str, user: usize, reply: &Reply) {
        let status = reply.status.as_u16();
        let is_known = matches!(
            status,
            200 | 201 | 204 | 302 | 303 | 401 | 403 | 404 | 409 | 412 | 422 | 429 | 503
        ) || (status == 304 || (status == 400 && name.ends_with("/callback")));
        if !is_known {
            self.violate(format!("invariant 5: {name}: status {status}: {}", reply.body));
        }
        if matches!(status, 429 | 503) && reply.header("retry-after").parse::<u32>().is_err() {
            self.violate(format!("invariant 5: {name}: {status} without Retry-After"));
        }
        if status == 401
            && reply.header("www-authenticate").is_empty()
            && !reply.body.contains("<html")
        {
            self.violate(format!("invariant 5: {name}: 401 without WWW-Authenticate"));
        }
        if let Some((op, other)) = markers(&reply.body).find(|(_, other)| *other != user) {
            self.violate(format!(
                "invariant 4: {name}: user {user} sees write {op} of user {other}"
            ));
        }
        if let Some(violation) = self.workos.violation() {
            self.violate(violation);
        }
    }

    pub fn violate(&self, text: String) {
        self.simulation.trace(|| format!("VIOLATION: {text}"));
        self.violation.lock().unwrap().get_or_insert(text);
    }

    /// Keeps the violation of a check.
    pub fn check(&self, result: Result<(), String>) {
        if let Err(text) = result {
            self.violate(text);
        }
    }

    pub fn violation(&self) -> Option<String> {
        self.violation.lock().unwrap().clone()
    }

    /// Whether clients should stop.
    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed) || self.violation.lock().unwrap().is_some()
    }

    pub fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    pub fn expenses(&self) -> MutexGuard<'_, Expenses> {
        self.expenses.lock().unwrap()
    }

    pub fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap()
    }

    pub fn figures(&self) -> (u64, BTreeMap<String, u64>) {
        (self.steps.load(Ordering::Relaxed), self.by_request.lock().unwrap().clone())
    }

    /// The location that a client reaches: mostly its own.
    pub fn near(&self, location: usize) -> usize {
        if self.simulation.chance(100) {
            return self.simulation.random(|random| random.usize(..LOCATIONS));
        }
        location
    }

    /// Lets a client wait: mostly for moments, sometimes until access tokens have expired.
    pub async fn pause(&self) {
        let simulation = &self.simulation;
        let millis = match simulation.within(0..100) {
            0..50 => simulation.within(0..100),
            50..92 => simulation.within(100..8_000),
            92..97 => simulation.within(8_000..90_000),
            _ => simulation.within(240_000..700_000),
        };
        simulation.sleep(millis).await;
    }
}

/// A location's environment, without the bindings to objects.
fn host(
    simulation: &Simulation,
    kv: &MemoryKvLocations,
    http: &Arc<SimulatedHttpClient>,
    location: usize,
) -> MemoryHost {
    MemoryHost::default()
        .with_var("WORKOS_API_KEY", workos::API_KEY)
        .with_var("WORKOS_CLIENT_ID", workos::CLIENT_ID)
        .with_var("WORKOS_COOKIE_PASSWORD", PASSWORD)
        .with_var("WORKOS_BASE_URL", workos::BASE_URL)
        .with_var("WORKOS_WEBHOOK_SECRET", WEBHOOK_SECRET)
        .with_kv("EXPENSES", Arc::new(kv.location(location)))
        .with_http_client(Arc::clone(http) as _)
        .in_simulation(simulation)
}

/// The objects of a class. Each instance runs in any of the locations.
fn objects(
    simulation: &Simulation,
    hosts: &[MemoryHost],
    class: fn(&MemoryHost, ObjectContext) -> Arc<dyn Object>,
) -> SimulatedObjects {
    let (hosts, chooser, spawner) = (hosts.to_vec(), simulation.clone(), simulation.clone());
    let objects = MemoryObjects::new(
        move |context| {
            let location = chooser.random(|random| random.usize(..LOCATIONS));
            class(&hosts[location], context)
        },
        move |work| {
            spawner.spawn(work);
        },
    );
    SimulatedObjects::new(objects, simulation, ObjectBehavior::default())
}

/// The headers of a request that matter for the trace.
fn note(request: &Request<Body>) -> String {
    let header = |name: &str| {
        let value = request.headers().get(name)?.to_str().ok()?;
        Some(format!(" {name}: {value}"))
    };
    ["idempotency-key", "if-match"].iter().filter_map(|name| header(name)).collect()
}
