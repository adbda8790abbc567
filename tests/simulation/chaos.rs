//! The faults of a run. Each seed chooses which kinds of faults there are, and how many.

use std::sync::Arc;

use edge_host::{
    Clock,
    memory::{DailyQuota, HttpBehavior, KvBehavior, ObjectBehavior, Simulation},
};
use hmac::{Hmac, Mac};
use http::{Method, header};
use serde_json::json;
use sha2::Sha256;

use super::{
    actions::request,
    workos::user_id,
    world::{LOCATIONS, NetworkBehavior, WEBHOOK_SECRET, World},
};

/// How a seed's world behaves.
#[derive(Debug, Clone)]
pub struct Behavior {
    pub kv: KvBehavior,
    pub objects: ObjectBehavior,
    pub http: HttpBehavior,
    pub network: NetworkBehavior,
    /// Failures of WorkOS before and after the exchange.
    pub workos: (u32, u32),
}

impl Behavior {
    /// A third of the kinds of faults in a world that lags, each rare or frequent.
    pub fn choose(simulation: &Simulation) -> Self {
        let choose = |frequent: u32| match simulation.within(0..6) {
            0 => frequent,
            1 => frequent / 5,
            _ => 0,
        };
        let quota = DailyQuota { reads: 100_000, writes: 20, deletes: 3, lists: 100_000 };
        Self {
            kv: KvBehavior {
                max_lag_millis: if simulation.chance(800) { 70_000 } else { 0 },
                sees_own_writes: simulation.chance(700),
                limits_writes_per_second: true,
                daily_quota: simulation.chance(60).then_some(quota),
                is_down: false,
                fails_before: choose(200),
                fails_after: choose(200),
                is_slow: choose(100),
                lands_late: choose(100),
                late_max_millis: 300_000,
            },
            objects: ObjectBehavior {
                is_unreachable: false,
                loses_messages: choose(80),
                loses_responses: choose(80),
                evicts: choose(100),
                is_slow: choose(50),
                overloads: choose(50),
                delays_alarms: choose(300),
            },
            http: HttpBehavior {
                loses_requests: choose(100),
                loses_responses: choose(60),
                is_slow: choose(200),
            },
            network: NetworkBehavior {
                loses_requests: choose(50),
                loses_responses: choose(80),
                closes: choose(60),
            },
            workos: (choose(100), choose(60)),
        }
    }

    /// A world without failures. KV lags.
    pub fn healed() -> Self {
        Self {
            kv: KvBehavior::default(),
            objects: ObjectBehavior::default(),
            http: HttpBehavior::default(),
            network: NetworkBehavior::default(),
            workos: (0, 0),
        }
    }

    pub fn apply(&self, world: &World) {
        world.kv.behave(self.kv.clone());
        for objects in &world.objects {
            objects.behave(self.objects.clone());
        }
        world.http.behave(self.http.clone());
        *world.network.lock().unwrap() = self.network.clone();
        world.workos.fail(self.workos.0, self.workos.1);
    }
}

/// Ends isolates, takes services down and up, and revokes sessions, until the run is over.
pub async fn run(world: Arc<World>, behavior: Behavior) {
    let simulation = world.simulation.clone();
    let ends_isolates = simulation.chance(500);
    let (takes_kv_down, takes_objects_down) = (simulation.chance(200), simulation.chance(200));
    let revokes = simulation.chance(400);
    while !world.is_over() {
        simulation.sleep(simulation.within(200..60_000)).await;
        match simulation.within(0..6) {
            0 | 1 if ends_isolates => world.end_isolate(),
            2 if takes_kv_down => {
                simulation.trace(|| "kv goes down".to_owned());
                world.kv.behave(KvBehavior { is_down: true, ..behavior.kv.clone() });
                simulation.sleep(simulation.within(1_000..400_000)).await;
                simulation.trace(|| "kv is up again".to_owned());
                world.kv.behave(behavior.kv.clone());
            }
            3 if takes_objects_down => {
                for objects in &world.objects {
                    objects.behave(ObjectBehavior {
                        is_unreachable: true,
                        ..behavior.objects.clone()
                    });
                }
                simulation.sleep(simulation.within(1_000..30_000)).await;
                for objects in &world.objects {
                    objects.behave(behavior.objects.clone());
                }
            }
            4 if revokes => {
                let user = simulation.random(|random| random.usize(..super::world::USERS));
                let sessions = world.workos.sessions_of(user);
                let id = simulation
                    .random(|random| sessions.get(random.usize(..sessions.len().max(1))).cloned());
                if let Some(id) = id {
                    simulation.trace(|| format!("workos: an administrator ends {id}"));
                    simulation.note_fault("workos: session revoked");
                    world.workos.end_session(&id);
                }
            }
            _ => {
                for objects in &world.objects {
                    if behavior.objects.evicts > 0 {
                        simulation.note_fault("object: all evicted");
                        objects.objects().evict_all();
                    }
                }
            }
        }
    }
}

/// WorkOS deletes a user, and delivers the event until it is accepted, sometimes twice.
pub async fn delete_user(world: Arc<World>, user: usize) {
    let simulation = world.simulation.clone();
    simulation.sleep(simulation.within(5_000..600_000)).await;
    if world.is_over() {
        return;
    }
    world.expenses().begin_erasure(user, world.tick());
    world.workos.end_sessions_of(user);
    let event = json!({
        "id": "event_01", "event": "user.deleted", "created_at": "2026-11-23T12:00:00.000Z",
        "data": {"object": "user", "id": user_id(user), "email": "user@example.com"},
    })
    .to_string();
    loop {
        let millis = simulation.now_millis();
        let mut mac = Hmac::<Sha256>::new_from_slice(WEBHOOK_SECRET.as_bytes()).unwrap();
        mac.update(format!("{millis}.{event}").as_bytes());
        let hex: String =
            mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let request = request(Method::POST, "/webhooks/workos")
            .header(header::CONTENT_TYPE, "application/json")
            .header("workos-signature", format!("t={millis}, v1={hex}"))
            .body(event.clone().into())
            .unwrap();
        let location = simulation.random(|random| random.usize(..LOCATIONS));
        if let Some(reply) = world.send("workos", user, location, request).await {
            match reply.status.as_u16() {
                200 => {
                    world.expenses().acknowledge_erasure(user, reply.span);
                    if simulation.chance(800) {
                        return;
                    }
                }
                429 | 503 => {}
                status => {
                    world.violate(format!("invariant 5: webhook: {status}: {}", reply.body));
                    return;
                }
            }
        }
        simulation.sleep(simulation.within(1_000..60_000)).await;
    }
}
