//! Agents that call tools.

use http::{Method, header};
use serde_json::{Value, json};

use super::{
    actions::{self, Caller, request},
    api_client::ApiClient,
    expenses::{Kind, Row, amount, category, description},
    world::Reply,
};

pub struct McpClient(pub ApiClient);

/// The result of a tool.
enum ToolResult {
    Output(Value, Reply),
    /// The text that the model reads.
    Complaint(String, Reply),
    /// The HTTP response refuses the message.
    Refused,
    Unknown,
}

impl McpClient {
    pub async fn run(self, actions: usize) {
        for _ in 0..actions {
            if self.0.world().is_over() {
                return;
            }
            match self.0.world().simulation.within(0..10) {
                0..4 => self.add().await,
                4..7 => self.list().await,
                7 => self.update().await,
                8 => self.delete().await,
                _ => self.summarize().await,
            }
            self.0.world().pause().await;
        }
    }

    async fn call(&self, name: &str, arguments: Value) -> ToolResult {
        let params = json!({"name": name, "arguments": arguments});
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
        let request = request(Method::POST, "/mcp")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json, text/event-stream");
        let Some(reply) = self.0.send(request, message.to_string()).await else {
            return ToolResult::Unknown;
        };
        let world = self.0.world();
        match reply.status.as_u16() {
            200 => {}
            503 => return ToolResult::Unknown,
            _ if actions::is_refusal(&reply) => return ToolResult::Refused,
            status => {
                world.violate(format!("invariant 5: {name}: status {status}: {}", reply.body));
                return ToolResult::Unknown;
            }
        }
        let result = reply.json()["result"].clone();
        if result["isError"] == true {
            let text = result["content"][0]["text"].as_str().unwrap_or_default().to_owned();
            return ToolResult::Complaint(text, reply);
        }
        if result["structuredContent"].is_null() {
            world.violate(format!("invariant 5: {name}: {}", reply.body));
        }
        ToolResult::Output(result["structuredContent"].clone(), reply)
    }

    /// Whether the result says that it may lag.
    fn may_lag(reply: &Reply) -> bool {
        reply.is_eventual() || reply.json()["result"]["structuredContent"].get("notice").is_some()
    }

    /// Whether a complaint says that the outcome of a write is not known.
    fn is_unknown(text: &str) -> bool {
        text.contains("may or may not") || text.contains("cannot be reached")
    }

    async fn add(&self) {
        let (world, user) = (self.0.world(), self.0.user());
        let op = world.expenses().begin(user, Kind::Add, None, world.tick());
        let arguments = json!({
            "description": description(op, user), "amount": amount(op), "category": category(op),
            "idempotency_key": format!("mcp-{op}"),
        });
        let mut may_have_happened = false;
        for _ in 0..4 {
            match self.call("add_expense", arguments.clone()).await {
                ToolResult::Output(output, reply) => {
                    let Some(row) = Row::of_json(&output) else {
                        world.violate(format!("invariant 5: add_expense: {output}"));
                        return;
                    };
                    let mut expenses = world.expenses();
                    let bound = expenses.bind(op, &row.id);
                    let acknowledged = expenses.acknowledge(op, reply.span);
                    drop(expenses);
                    world.check(bound.and(acknowledged));
                    return;
                }
                ToolResult::Complaint(text, _) if !Self::is_unknown(&text) => {
                    if text.contains("not valid") {
                        world.violate(format!("invariant 5: add_expense: {text}"));
                    }
                }
                ToolResult::Refused => {}
                ToolResult::Complaint(..) | ToolResult::Unknown => may_have_happened = true,
            }
            self.0.world().pause().await;
        }
        if !may_have_happened {
            world.expenses().fail(op);
        }
    }

    async fn list(&self) {
        if let ToolResult::Output(output, reply) =
            self.call("list_expenses", json!({"limit": 1000})).await
            && !Self::may_lag(&reply)
        {
            let rows = output["expenses"].as_array();
            let rows: Vec<Row> = rows.into_iter().flatten().filter_map(Row::of_json).collect();
            actions::check_all(&self.0, &rows, reply.span);
        }
    }

    fn choose(&self) -> Option<String> {
        let world = self.0.world();
        let ids = world.expenses().ids(self.0.user());
        world
            .simulation
            .random(|random| (!ids.is_empty()).then(|| ids[random.usize(..ids.len())].clone()))
    }

    async fn update(&self) {
        let (world, user) = (self.0.world(), self.0.user());
        let Some(id) = self.choose() else { return };
        let kind = Kind::Change { description: false, category: true };
        let op = world.expenses().begin(user, kind, Some(&id), world.tick());
        match self.call("update_expense", json!({"id": id, "category": category(op)})).await {
            ToolResult::Output(output, reply) => {
                let mut expenses = world.expenses();
                let mut result = expenses.acknowledge(op, reply.span);
                if let Some(row) = Row::of_json(&output) {
                    result = result.and_then(|()| expenses.check_row(user, &row, reply.span));
                }
                drop(expenses);
                world.check(result);
            }
            other => self.not_done(op, &id, &other),
        }
    }

    async fn delete(&self) {
        let (world, user) = (self.0.world(), self.0.user());
        let Some(id) = self.choose() else { return };
        let op = world.expenses().begin(user, Kind::Remove, Some(&id), world.tick());
        match self.call("delete_expense", json!({"id": id})).await {
            ToolResult::Output(_, reply) => {
                let result = world.expenses().acknowledge(op, reply.span);
                world.check(result);
            }
            other => self.not_done(op, &id, &other),
        }
    }

    /// Checks a change or a removal that has no output.
    fn not_done(&self, op: usize, id: &str, result: &ToolResult) {
        let (world, user) = (self.0.world(), self.0.user());
        match result {
            ToolResult::Complaint(text, reply) if !Self::is_unknown(text) => {
                world.expenses().fail(op);
                if text.contains("There is no expense") {
                    let result = world.expenses().check_absent(user, id, reply.span);
                    world.check(result);
                }
            }
            ToolResult::Refused => world.expenses().fail(op),
            _ => {}
        }
    }

    async fn summarize(&self) {
        if let ToolResult::Output(output, reply) = self.call("summarize_expenses", json!({})).await
            && !Self::may_lag(&reply)
        {
            actions::check_summary(&self.0, &output, reply.span);
        }
    }
}
