//! Requests to the JSON API, which programs and pages' scripts send, and the checks of their responses.

use std::sync::Arc;

use authkit_edge::expenses::model::ExpenseId;
use edge_host::Clock;
use futures_util::future::join_all;
use http::{Method, Request, header, request::Builder};
use serde_json::{Value, json};

use super::{
    expenses::{Kind, Row, amount, category, description},
    world::{ORIGIN, Reply, Span, World},
};

/// A client that can send requests for one user.
pub trait Caller: Send + Sync {
    fn world(&self) -> &Arc<World>;
    fn user(&self) -> usize;
    /// Sends a request with the caller's credentials.
    fn send(&self, request: Builder, body: String) -> impl Future<Output = Option<Reply>> + Send;
}

/// The most requests of one keyed addition.
const MAX_ATTEMPTS: usize = 6;

pub fn request(method: Method, path: &str) -> Builder {
    let url = if path.starts_with('/') { format!("{ORIGIN}{path}") } else { path.to_owned() };
    Request::builder().method(method).uri(url)
}

fn json_request(method: Method, path: &str) -> Builder {
    request(method, path).header(header::CONTENT_TYPE, "application/json")
}

/// The outcome of one attempt of a write.
pub enum Attempt {
    Done,
    /// The response says that nothing happened.
    Refused,
    /// It may have happened, or may happen later.
    Unknown,
}

/// Whether a response refuses a write for a reason that does not depend on the expense.
pub fn is_refusal(reply: &Reply) -> bool {
    matches!(reply.status.as_u16(), 401 | 429)
        || (reply.status == 302 && reply.header("location").starts_with("/login"))
}

/// Whether a 403 is the contract's: only for a user who was deleted.
fn is_erased<C: Caller>(caller: &C, reply: &Reply) -> bool {
    reply.status == 403 && caller.world().expenses().has_erasure(caller.user())
}

fn unexpected<C: Caller>(caller: &C, what: &str, reply: &Reply) {
    let status = reply.status.as_u16();
    caller.world().violate(format!("invariant 5: {what}: status {status}: {}", reply.body));
}

/// One action of a program.
pub async fn act<C: Caller>(caller: &C) {
    match caller.world().simulation.within(0..100) {
        0..24 => add(caller, true).await,
        24..28 => add(caller, false).await,
        28..44 => list(caller).await,
        44..50 => page_through(caller).await,
        50..58 => show(caller, None).await.map(drop).unwrap_or_default(),
        58..70 => change(caller, None).await,
        70..76 => change_together(caller).await,
        76..81 => remove(caller).await,
        81..83 => import(caller).await,
        83..84 => restore(caller, None).await,
        84..92 => summarize(caller).await,
        _ => download(caller).await,
    }
}

/// The body of a new expense.
pub fn body(op: usize, user: usize) -> Value {
    json!({"description": description(op, user), "amount": amount(op), "category": category(op)})
}

/// Adds an expense; with an `Idempotency-Key` until the outcome is known.
async fn add<C: Caller>(caller: &C, is_keyed: bool) {
    let (world, user) = (caller.world(), caller.user());
    let op = world.expenses().begin(user, Kind::Add, None, world.tick());
    let mut may_have_happened = false;
    for attempt in 0..MAX_ATTEMPTS {
        let mut request = json_request(Method::POST, "/expenses");
        if is_keyed {
            request = request.header("idempotency-key", format!("key-{op}"));
        }
        let reply = caller.send(request, body(op, user).to_string()).await;
        match reply.map_or(Attempt::Unknown, |reply| added(caller, op, &reply, may_have_happened)) {
            Attempt::Done => return,
            Attempt::Refused => {}
            Attempt::Unknown => may_have_happened = true,
        }
        if !is_keyed || attempt + 1 == MAX_ATTEMPTS || world.is_over() {
            break;
        }
        world.simulation.sleep(world.simulation.within(50..4_000)).await;
    }
    if !may_have_happened {
        world.expenses().fail(op);
    }
}

fn added<C: Caller>(caller: &C, op: usize, reply: &Reply, is_retry: bool) -> Attempt {
    let (world, user) = (caller.world(), caller.user());
    match reply.status.as_u16() {
        201 => {
            let Some(row) = Row::of_json(&reply.json()) else {
                unexpected(caller, "POST /expenses without an expense", reply);
                return Attempt::Unknown;
            };
            if row.description != description(op, user) {
                world.violate(format!("invariant 2: write {op} is answered with {row:?}"));
            }
            let mut expenses = world.expenses();
            let bound = expenses.bind(op, &row.id);
            let acknowledged = expenses.acknowledge(op, reply.span);
            drop(expenses);
            world.check(bound.and(acknowledged));
            Attempt::Done
        }
        // The first request may still be in process.
        409 if is_retry => Attempt::Unknown,
        403 if is_erased(caller, reply) => Attempt::Refused,
        503 => Attempt::Unknown,
        _ if is_refusal(reply) => Attempt::Refused,
        _ => {
            unexpected(caller, "POST /expenses", reply);
            Attempt::Unknown
        }
    }
}

/// The most rows of an imported file.
const MAX_ROWS: u32 = 5;

/// Imports a file with new expenses once: all of them are there afterwards, or none.
async fn import<C: Caller>(caller: &C) {
    let (world, user) = (caller.world(), caller.user());
    let rows = 1 + world.simulation.within(0..MAX_ROWS);
    let mut file =
        "id,date,description,category,amount,currency,created_at,updated_at\r\n".to_owned();
    let mut added = Vec::new();
    for _ in 0..rows {
        let op = world.expenses().begin(user, Kind::Add, None, world.tick());
        let id = ExpenseId::new(world.simulation.now()).to_string();
        let (description, category, amount) = (description(op, user), category(op), amount(op));
        let time = "2026-11-23T12:00:00Z";
        let line =
            format!("{id},2026-11-23,{description},{category},{amount},USD,{time},{time}\r\n");
        file.push_str(&line);
        added.push((op, id));
    }
    let request =
        request(Method::POST, "/expenses/import").header(header::CONTENT_TYPE, "text/csv");
    let Some(reply) = caller.send(request, file).await else { return };
    match reply.status.as_u16() {
        200 => {
            let counts = json!({"added": rows, "unchanged": 0, "skipped": 0});
            if reply.json() != counts {
                world.violate(format!("invariant 2: {rows} new rows are {}", reply.body));
            }
            for (op, id) in &added {
                let mut expenses = world.expenses();
                let bound = expenses.bind(*op, id);
                let acknowledged = expenses.acknowledge(*op, reply.span);
                drop(expenses);
                world.check(bound.and(acknowledged));
            }
        }
        503 => {}
        403 if is_erased(caller, &reply) => fail_all(caller, &added),
        _ if is_refusal(&reply) => fail_all(caller, &added),
        _ => unexpected(caller, "POST /expenses/import", &reply),
    }
}

fn fail_all<C: Caller>(caller: &C, added: &[(usize, String)]) {
    added.iter().for_each(|(op, _)| caller.world().expenses().fail(*op));
}

/// Whether the rows of a response must be fresh; its contract is checked in any case.
fn is_strong<C: Caller>(caller: &C, what: &str, reply: &Reply) -> bool {
    match reply.status.as_u16() {
        200 => !reply.is_eventual(),
        503 => false,
        403 if is_erased(caller, reply) => false,
        _ if is_refusal(reply) => false,
        _ => {
            unexpected(caller, what, reply);
            false
        }
    }
}

fn check_rows<C: Caller>(caller: &C, rows: &[Row], span: Span) {
    let (world, user) = (caller.world(), caller.user());
    for row in rows {
        let result = world.expenses().check_row(user, row, span);
        world.check(result);
    }
}

fn rows_of(value: &Value) -> Vec<Row> {
    value.as_array().map(|rows| rows.iter().filter_map(Row::of_json).collect()).unwrap_or_default()
}

pub async fn list<C: Caller>(caller: &C) {
    let request = request(Method::GET, "/expenses?limit=1000");
    let Some(reply) = caller.send(request, String::new()).await else { return };
    if is_strong(caller, "GET /expenses", &reply) {
        check_all(caller, &rows_of(&reply.json()), reply.span);
    }
}

/// Checks all rows of a user, as one response or as pages.
pub fn check_all<C: Caller>(caller: &C, rows: &[Row], span: Span) {
    check_rows(caller, rows, span);
    let world = caller.world();
    let result = world.expenses().check_list(caller.user(), rows, span);
    world.check(result);
}

/// Reads all pages, with other requests in between.
async fn page_through<C: Caller>(caller: &C) {
    let world = caller.world();
    let limit = world.simulation.within(1..5);
    let mut next = Some(format!("/expenses?limit={limit}"));
    let (mut rows, mut whole) = (Vec::new(), None::<Span>);
    while let Some(path) = next {
        let Some(reply) = caller.send(request(Method::GET, &path), String::new()).await else {
            return;
        };
        if !is_strong(caller, "GET /expenses?limit&cursor", &reply) {
            return;
        }
        let page = rows_of(&reply.json());
        check_rows(caller, &page, reply.span);
        rows.extend(page);
        let span = whole.get_or_insert(reply.span);
        span.ended = reply.span.ended;
        let link = reply.header("link").strip_prefix('<').and_then(|link| link.split_once('>'));
        next = link.map(|(path, _)| path.to_owned());
        if world.simulation.chance(300) {
            world.simulation.sleep(world.simulation.within(0..3_000)).await;
        }
    }
    if let Some(span) = whole {
        let result = world.expenses().check_list(caller.user(), &rows, span);
        world.check(result);
    }
}

/// An expense of the caller.
fn choose<C: Caller>(caller: &C) -> Option<String> {
    let world = caller.world();
    let ids = world.expenses().ids(caller.user());
    world
        .simulation
        .random(|random| (!ids.is_empty()).then(|| ids[random.usize(..ids.len())].clone()))
}

/// Reads one expense: its id, its `ETag`, and the interval of the request.
async fn show<C: Caller>(
    caller: &C,
    chosen: Option<&str>,
) -> Option<(String, Option<String>, Span)> {
    let id = chosen.map(str::to_owned).or_else(|| choose(caller))?;
    let reply =
        caller.send(request(Method::GET, &format!("/expenses/{id}")), String::new()).await?;
    let (world, user) = (caller.world(), caller.user());
    if reply.status == 404 {
        if !reply.is_eventual() {
            let result = world.expenses().check_absent(user, &id, reply.span);
            world.check(result);
        }
        return None;
    }
    if !is_strong(caller, "GET /expenses/{id}", &reply) {
        return None;
    }
    check_rows(caller, &Row::of_json(&reply.json()).into_iter().collect::<Vec<_>>(), reply.span);
    let etag = Some(reply.header("etag").to_owned()).filter(|etag| !etag.is_empty());
    Some((id, etag, reply.span))
}

/// Changes one expense by several requests at the same time.
async fn change_together<C: Caller>(caller: &C) {
    if let Some(id) = choose(caller) {
        join_all((0..3).map(|_| change(caller, Some(&id)))).await;
    }
}

/// Changes an expense, sometimes only if it is as read before.
async fn change<C: Caller>(caller: &C, chosen: Option<&str>) {
    let (world, user) = (caller.world(), caller.user());
    let read = if world.simulation.chance(400) { show(caller, chosen).await } else { None };
    if read.is_some() && world.simulation.chance(500) {
        world.simulation.sleep(world.simulation.within(0..6_000)).await;
    }
    let chosen = chosen.map(str::to_owned);
    let Some(id) = read.as_ref().map(|(id, ..)| id.clone()).or(chosen).or_else(|| choose(caller))
    else {
        return;
    };
    let shape = world.simulation.within(0..4);
    let kind = Kind::Change { description: shape != 0, category: shape == 0 || shape == 3 };
    let op = world.expenses().begin(user, kind, Some(&id), world.tick());
    let path = format!("/expenses/{id}");
    let (mut request, body) = match shape {
        0 => (json_request(Method::PATCH, &path), json!({"category": category(op)})),
        3 => (json_request(Method::PUT, &path), body(op, user)),
        _ => (
            json_request(Method::PATCH, &path),
            json!({"description": description(op, user), "amount": amount(op)}),
        ),
    };
    let condition = read.as_ref().and_then(|(_, etag, span)| Some((etag.clone()?, *span)));
    if let Some((etag, _)) = &condition {
        request = request.header("if-match", etag);
    }
    let began = world.tick();
    let Some(reply) = caller.send(request, body.to_string()).await else { return };
    let span = reply.span;
    let fail = || world.expenses().fail(op);
    match (reply.status.as_u16(), &condition) {
        (200, _) => {
            if let Some((_, read)) = &condition {
                let certain = world.expenses().certain_change(&id, read.ended, began);
                if let Some(other) = certain {
                    world.violate(format!(
                        "invariant 2: write {op} overwrites write {other} in spite of If-Match"
                    ));
                }
            }
            let result = world.expenses().acknowledge(op, span);
            world.check(result);
            check_rows(caller, &Row::of_json(&reply.json()).into_iter().collect::<Vec<_>>(), span);
        }
        (412, Some((_, read))) => {
            if !world.expenses().may_have_changed(&id, op, read.began, span.ended) {
                world.violate(format!("invariant 5: write {op}: 412, and nobody changed {id}"));
            }
            fail();
        }
        (404, _) => {
            fail();
            let result = world.expenses().check_absent(user, &id, span);
            world.check(result);
        }
        (403, _) if is_erased(caller, &reply) => fail(),
        (503, _) => {}
        _ if is_refusal(&reply) => fail(),
        _ => unexpected(caller, "PATCH or PUT /expenses/{id}", &reply),
    }
}

async fn remove<C: Caller>(caller: &C) {
    let (world, user) = (caller.world(), caller.user());
    let Some(id) = choose(caller) else { return };
    let op = world.expenses().begin(user, Kind::Remove, Some(&id), world.tick());
    let path = format!("/expenses/{id}");
    let Some(reply) = caller.send(request(Method::DELETE, &path), String::new()).await else {
        return;
    };
    removed(caller, op, &id, &reply);
    if world.simulation.chance(400) {
        world.simulation.sleep(world.simulation.within(0..4_000)).await;
        restore(caller, Some(id)).await;
    }
}

/// Restores an expense, removed or not.
async fn restore<C: Caller>(caller: &C, chosen: Option<String>) {
    let (world, user) = (caller.world(), caller.user());
    let Some(id) = chosen.or_else(|| choose(caller)) else { return };
    let op = world.expenses().begin(user, Kind::Restore, Some(&id), world.tick());
    let path = format!("/expenses/{id}/restore");
    let Some(reply) = caller.send(request(Method::POST, &path), String::new()).await else {
        return;
    };
    let fail = || world.expenses().fail(op);
    match reply.status.as_u16() {
        200 => {
            let result = world.expenses().acknowledge(op, reply.span);
            world.check(result);
            let rows: Vec<Row> = Row::of_json(&reply.json()).into_iter().collect();
            check_rows(caller, &rows, reply.span);
        }
        404 => {
            fail();
            let result = world.expenses().check_absent(user, &id, reply.span);
            world.check(result);
        }
        403 if is_erased(caller, &reply) => fail(),
        503 => {}
        _ if is_refusal(&reply) => fail(),
        _ => unexpected(caller, "restoration of an expense", &reply),
    }
}

/// Checks the response to a removal; 303 is a form's.
pub fn removed<C: Caller>(caller: &C, op: usize, id: &str, reply: &Reply) {
    let (world, user) = (caller.world(), caller.user());
    let fail = || world.expenses().fail(op);
    match reply.status.as_u16() {
        204 | 303 => {
            let result = world.expenses().acknowledge(op, reply.span);
            world.check(result);
        }
        404 => {
            fail();
            let result = world.expenses().check_absent(user, id, reply.span);
            world.check(result);
        }
        403 if is_erased(caller, reply) => fail(),
        503 => {}
        _ if is_refusal(reply) => fail(),
        _ => unexpected(caller, "removal of an expense", reply),
    }
}

async fn summarize<C: Caller>(caller: &C) {
    let request = request(Method::GET, "/expenses/summary");
    let Some(reply) = caller.send(request, String::new()).await else { return };
    if is_strong(caller, "GET /expenses/summary", &reply) {
        check_summary(caller, &reply.json(), reply.span);
    }
}

/// Checks sums: the count is one that the model allows, and the total is a sum of so many amounts, each of which
/// ends with 25 cents.
pub fn check_summary<C: Caller>(caller: &C, summary: &Value, span: Span) {
    let world = caller.world();
    let cents = |total: &Value| total.to_string().replace(['.', '"'], "").parse::<u64>();
    let (mut count, mut by_category) = (0, 0);
    for currency in summary["currencies"].as_array().into_iter().flatten() {
        let currency_count = currency["count"].as_u64().unwrap_or_default();
        count += currency_count;
        let total = currency["total"].to_string();
        let total = if total.contains('.') { total } else { format!("{total}.00") };
        let total =
            if total.trim_matches('"').split('.').nth(1).is_some_and(|cents| cents.len() == 1) {
                format!("{}0", total.trim_matches('"'))
            } else {
                total
            };
        if cents(&Value::String(total.clone()))
            .is_ok_and(|cents| cents % 100 != currency_count * 25 % 100)
        {
            world.violate(format!("invariant 3: {currency_count} expenses have the total {total}"));
        }
        for category in currency["by_category"].as_array().into_iter().flatten() {
            by_category += category["count"].as_u64().unwrap_or_default();
        }
    }
    check_count(caller, "the sums", count, span);
    if count != by_category {
        world.violate(format!("invariant 3: {count} expenses, {by_category} by category"));
    }
}

fn check_count<C: Caller>(caller: &C, what: &str, count: u64, span: Span) {
    let world = caller.world();
    let (min, max) = world.expenses().count_bounds(caller.user(), span);
    let count = usize::try_from(count).unwrap();
    if !(min..=max).contains(&count) {
        world.violate(format!(
            "invariant 3: {what} of user {} count {count} expenses, and there are {min} to {max}",
            caller.user()
        ));
    }
}

async fn download<C: Caller>(caller: &C) {
    let request = request(Method::GET, "/expenses.csv").header(header::ACCEPT, "text/csv");
    let Some(reply) = caller.send(request, String::new()).await else { return };
    if !is_strong(caller, "GET /expenses.csv", &reply) || reply.body.contains("\"INCOMPLETE: ") {
        return;
    }
    let rows: Vec<Row> = reply
        .body
        .lines()
        .skip(1)
        .filter_map(|line| {
            let cells: Vec<&str> = line.split(',').map(|cell| cell.trim_matches('"')).collect();
            let [id, _, description, category, amount, ..] = cells[..] else { return None };
            let own = |text: &str| text.to_owned();
            Some(Row {
                id: own(id),
                description: own(description),
                category: own(category),
                amount: own(amount),
            })
        })
        .collect();
    check_all(caller, &rows, reply.span);
}
