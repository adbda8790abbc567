//! One run: the world of a seed, its clients, and the checks at the end.

use std::{collections::BTreeMap, sync::Arc};

use authkit_edge::expenses::model::ExpenseId;
use edge_host::{Clock, KvNamespace, KvPut, memory::Simulation};
use serde_json::{Value, json};

use super::{
    actions::{self, Caller},
    api_client::{ApiClient, begin_later},
    browser::Tab,
    chaos::{self, Behavior},
    expenses::{Kind, Row, amount, category, description},
    mcp_client::McpClient,
    workos::user_id,
    world::{LOCATIONS, Span, USERS, World},
};

/// The expenses that each user has at first.
const OLD_EXPENSES: usize = 3;
/// More polls than any run needs.
const MAX_POLLS: u64 = 3_000_000;
/// The time after which KV has everything: an entry stays in the log for ten minutes, twice after an uncertain
/// write, and a failed write is tried again after five minutes at most.
const SETTLING_MILLIS: u32 = 45 * 60 * 1000;

/// The figures of a run.
pub struct Outcome {
    pub seed: u64,
    pub violation: Option<String>,
    pub trace: Vec<String>,
    pub fingerprint: u64,
    pub steps: u64,
    pub by_request: BTreeMap<String, u64>,
    pub faults: BTreeMap<&'static str, u64>,
}

pub fn run(seed: u64) -> Outcome {
    let simulation = Simulation::new(seed);
    let world = World::new(&simulation);
    let end = simulation.run(MAX_POLLS, live(Arc::clone(&world)));
    if let Err(stalled) = end {
        world.violate(format!("the run stalls: {stalled:?}"));
    }
    let (steps, by_request) = world.figures();
    Outcome {
        seed,
        violation: world.violation(),
        trace: simulation.trace_lines(),
        fingerprint: simulation.fingerprint(),
        steps,
        by_request,
        faults: simulation.faults(),
    }
}

async fn live(world: Arc<World>) {
    let simulation = world.simulation.clone();
    let behavior = Behavior::choose(&simulation);
    simulation.trace(|| format!("{behavior:?}"));
    for user in 0..USERS {
        store_old_expenses(&world, user).await;
    }
    // Every location shows them.
    simulation.sleep(90_000).await;
    behavior.apply(&world);
    let chaos = simulation.spawn(chaos::run(Arc::clone(&world), behavior));

    let mut clients = Vec::new();
    for user in 0..USERS {
        let location = || simulation.random(|random| random.usize(..LOCATIONS));
        if user < 2 {
            let tab = Tab::new(&world, &format!("browser {user}, tab 1"), user, location());
            let other = tab.beside(&format!("browser {user}, tab 2"));
            clients.push(simulation.start(tab.run(12)));
            clients.push(simulation.start(other.run(12)));
        }
        let client = ApiClient::new(&world, &format!("program {user}"), user, location());
        clients.push(simulation.start(after_a_moment(Arc::clone(&world), client.run(16))));
        let agent = McpClient(ApiClient::new(&world, &format!("agent {user}"), user, location()));
        clients.push(simulation.start(after_a_moment(Arc::clone(&world), agent.run(6))));
    }
    if simulation.chance(300) {
        let deletion = chaos::delete_user(Arc::clone(&world), USERS - 1);
        clients.push(simulation.start(deletion));
    }
    for client in clients {
        client.await;
    }
    world.end();
    if world.violation().is_some() {
        return;
    }

    simulation.end(chaos);
    simulation.trace(|| "every fault ends".to_owned());
    Behavior::healed().apply(&world);
    simulation.sleep(SETTLING_MILLIS).await;
    let revoked = world.sessions().check_revoked(&world.workos);
    world.check(revoked);
    for user in 0..USERS {
        let client = ApiClient::new(&world, &format!("reader {user}"), user, user % LOCATIONS);
        actions::list(&client).await;
        check_kv(&client);
    }
}

/// Writes expenses to KV as versions of the Worker without a ledger did.
async fn store_old_expenses(world: &World, user: usize) {
    let kv = world.kv.location(0);
    for _ in 0..OLD_EXPENSES {
        let began = world.tick();
        let op = world.expenses().begin(user, Kind::Add, None, began);
        let now = world.simulation.now();
        let id = ExpenseId::new(now).to_string();
        let record = json!({
            "description": description(op, user), "amount": amount(op), "currency": "USD",
            "category": category(op), "date": "2026-11-22",
            "created_at": now.timestamp(), "updated_at": now.timestamp(),
        })
        .to_string();
        let options = KvPut { metadata: Some(&record), expiration_ttl_secs: None };
        kv.put(&format!("expense:{}:{id}", user_id(user)), &record, options).await.unwrap();
        let span = Span { began, ended: world.tick(), began_millis: world.simulation.now_millis() };
        let mut expenses = world.expenses();
        let result = expenses.bind(op, &id).and_then(|()| expenses.acknowledge(op, span));
        drop(expenses);
        world.check(result);
    }
}

async fn after_a_moment(world: Arc<World>, work: impl Future<Output = ()> + Send + 'static) {
    begin_later(&world).await;
    work.await;
}

/// The JSON of a stored row of version 1, which has `"` and `'` exchanged.
fn shown(row: &Value) -> Value {
    let json: String = row
        .as_str()
        .and_then(|row| row.strip_prefix("1:"))
        .unwrap_or_default()
        .chars()
        .map(|character| match character {
            '"' => '\'',
            '\'' => '"',
            other => other,
        })
        .collect();
    serde_json::from_str(&json).unwrap_or_default()
}

/// KV alone holds the state of the model.
fn check_kv(client: &ApiClient) {
    let (world, user) = (client.world(), client.user());
    let prefix = format!("expense:{}:", user_id(user));
    let mut rows = Vec::new();
    for (key, (value, written)) in world.kv.entries() {
        let Some(id) = key.strip_prefix(&prefix) else { continue };
        let mut record: Value = serde_json::from_str(&value).unwrap_or_default();
        let row = record.as_object_mut().and_then(|record| record.shift_remove("row"));
        // Versions without rows have written the record as metadata too.
        if written.metadata.as_ref() != Some(row.as_ref().unwrap_or(&record)) {
            world.violate(format!("the metadata of {key} is not its row or record"));
        }
        record["id"] = id.into();
        let of_record = Row::of_json(&record);
        if row.is_some_and(|row| Row::of_json(&shown(&row)) != of_record) {
            world.violate(format!("the row of {key} is not its record's"));
        }
        rows.extend(of_record);
    }
    let began = world.tick();
    let span = Span { began, ended: world.tick(), began_millis: world.simulation.now_millis() };
    world.simulation.trace(|| format!("the check of KV alone, user {user}: {} rows", rows.len()));
    actions::check_all(client, &rows, span);
}
