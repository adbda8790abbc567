//! Generates the descriptions of the tools from the API's schemas. Each reference is replaced by its
//! target, because clients require self-contained schemas with an object at the root.
//!
//! Clients pass the input schemas to a model's provider, and each provider supports a part of JSON
//! Schema: OpenAI's strict tools have no `default` and no `oneOf`, Anthropic's no limits of lengths and
//! numbers, and Gemini's declarations few formats and no `exclusiveMinimum`. The input schemas use the
//! keywords that all of them support, and express other limits in the descriptions. An argument has one type,
//! and its description promises no other, which a client that validates by the schema could not send. The API's
//! parsers, not the schemas, validate the arguments: they also accept what the API accepts.
//!
//! The host generates the document. The Worker ships the result, `tools.json`, because this code is larger
//! than the document. `tests/app/mcp_tools.rs` fails and rewrites the file when it is out of date.

use serde_json::{Map, Value, json};
use utoipa::{IntoParams, openapi::OpenApi};

use super::tool::Tool;
use crate::{
    expenses::{idempotency::IdempotencyKey, model::Currency},
    openapi::{
        committed_text,
        schema::{IdempotencyKeyHeader, ListParameters, SummaryParameters},
    },
};

const COMPONENT: &str = "#/components/schemas/";

/// Generates the document from the API's description.
///
/// # Panics
///
/// If a schema's reference has no target, or `pattern_in_words` does not know its pattern.
#[must_use]
pub fn document(openapi: &OpenApi) -> String {
    let components = json!(openapi.components)["schemas"].take();
    let tools: Vec<Value> = Tool::ALL.iter().map(|tool| describe(*tool, &components)).collect();
    committed_text(&Value::Array(tools))
}

fn describe(tool: Tool, components: &Value) -> Value {
    let component = |name: &str| inline(&components[name], components);
    let [title, description] = title_and_description(tool);
    let (input, output) = match tool {
        Tool::List => (arguments::<ListParameters>(), noticed(page(component("Expense")))),
        Tool::Add => (with_key(component("ExpenseRequest")), component("Expense")),
        Tool::Update => (with_id(component("ExpensePatch"), components), component("Expense")),
        Tool::Delete => (with_id(object(json!({}), &[]), components), deleted(components)),
        Tool::Summarize => (arguments::<SummaryParameters>(), noticed(component("Summary"))),
    };
    let is_read_only = matches!(tool, Tool::List | Tool::Summarize);
    json!({
        "name": tool.name(),
        "title": title,
        "description": description,
        "inputSchema": in_words(&input),
        "outputSchema": root(output),
        "annotations": {
            "title": title,
            "readOnlyHint": is_read_only,
            "destructiveHint": matches!(tool, Tool::Update | Tool::Delete),
            // Without a key, two calls add two expenses.
            "idempotentHint": tool != Tool::Add,
            "openWorldHint": false,
        },
    })
}

fn title_and_description(tool: Tool) -> [&'static str; 2] {
    match tool {
        Tool::List => [
            "List expenses",
            "The user's expenses, newest first, in pages: the one added last first, or with sort date the \
             newest day; filter by words, category, currency, amounts and days, limits included. While next_cursor is not null there are more: call again with it as cursor and the same other \
             arguments. With a filter a page may be short, even empty, and not the last. For totals use \
             summarize_expenses.",
        ],
        Tool::Add => [
            "Add an expense",
            "Adds one expense and returns it. Do not guess an amount: ask. Leave currency out if the user \
             names none: the default is USD. Give an idempotency_key to be able to call again after an error \
             or a timeout: the same key with the same arguments adds the expense once in 24 hours.",
        ],
        Tool::Update => [
            "Change an expense",
            "Changes at least one field of an expense and keeps the others. Returns the changed expense. Take \
             the id from list_expenses.",
        ],
        Tool::Delete => [
            "Delete an expense",
            "Deletes one expense. For ten minutes its user can restore it on the page; no tool can. Take the id \
             from list_expenses.",
        ],
        Tool::Summarize => [
            "Add up expenses",
            "Exact totals and counts of the user's expenses, for each currency by category and by month; \
             filter by words, currency, amounts and days, limits included. Do not add amounts of different currencies.",
        ],
    }
}

/// Converts the parameters of a query to an object schema.
fn arguments<P: IntoParams>() -> Value {
    let mut properties = Map::new();
    for parameter in P::into_params(|| None) {
        let parameter = json!(parameter);
        let mut schema = parameter["schema"].clone();
        let name = parameter["name"].as_str().unwrap_or_default();
        schema["description"] = match name {
            "cursor" => {
                json!("The next_cursor of the previous page, with the same other arguments")
            }
            _ => parameter["description"].clone(),
        };
        properties.insert(name.to_owned(), schema);
    }
    object(Value::Object(properties), &[])
}

fn with_key(mut request: Value) -> Value {
    let parameter = json!(IdempotencyKeyHeader::into_params(|| None))[0].take();
    let mut schema = parameter["schema"].clone();
    schema["description"] = json!(
        "Makes it safe to call again: a new key for each expense, such as a UUID, and the same key with \
         the same arguments to try again"
    );
    request["properties"]["idempotency_key"] = schema;
    request
}

fn with_id(mut schema: Value, components: &Value) -> Value {
    let mut properties = Map::new();
    let mut id = inline(&components["ExpenseId"], components);
    id["description"] = json!("The expense's id, as in list_expenses");
    // A model might use the example as the id of an expense.
    id.as_object_mut().and_then(|id| id.shift_remove("examples"));
    properties.insert("id".to_owned(), id);
    properties.extend(schema["properties"].as_object().cloned().unwrap_or_default());
    schema["properties"] = Value::Object(properties);
    schema["required"] = json!(["id"]);
    schema
}

fn page(expense: Value) -> Value {
    let next_cursor = json!({
        "type": ["string", "null"],
        "description": "The cursor of the next page; null on the last",
    });
    let expenses = json!({"type": "array", "items": expense});
    let properties = json!({"expenses": expenses, "next_cursor": next_cursor});
    object(properties, &["expenses", "next_cursor"])
}

/// With a member that says when the output may lag.
fn noticed(mut output: Value) -> Value {
    output["properties"]["notice"] = json!({
        "type": "string",
        "description": "Only where the result may lack the newest changes: says so",
    });
    output
}

fn deleted(components: &Value) -> Value {
    let id = inline(&components["ExpenseId"], components);
    let properties = json!({"id": id, "deleted": {"type": "boolean", "const": true}});
    object(properties, &["id", "deleted"])
}

fn object(properties: Value, required: &[&str]) -> Value {
    let mut object =
        json!({"type": "object", "properties": properties, "additionalProperties": false});
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    object
}

/// Reduces an input schema to the keywords that every provider supports.
fn in_words(schema: &Value) -> Value {
    let properties: Map<String, Value> = schema["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, property)| (name.clone(), argument_in_words(name, property)))
        .collect();
    let required = schema["required"].as_array().into_iter().flatten();
    let required: Vec<&str> = required.filter_map(Value::as_str).collect();
    object(Value::Object(properties), &required)
}

/// An argument's type, the first of several, and the other keywords of its schema in words.
fn argument_in_words(name: &str, schema: &Value) -> Value {
    let choices = schema["oneOf"].as_array();
    let first = choices.map_or(schema, |choices| {
        choices.iter().find(|choice| choice["type"] != "null").unwrap_or(schema)
    });
    let is_nullable = choices.is_some_and(|all| all.iter().any(|choice| choice["type"] == "null"));
    let described = schema.get("description").or_else(|| first.get("description"));
    let mut words = described.and_then(Value::as_str).unwrap_or_default().to_owned();
    let say = |words: &mut String, more: String| {
        if !words.to_lowercase().contains(&more.to_lowercase()) {
            *words = format!("{words}; {more}");
        }
    };
    if let (Some(min), Some(max)) = (first.get("minLength"), first.get("maxLength")) {
        say(&mut words, format!("{min} to {max} characters"));
    }
    if let (Some(min), Some(max)) = (first.get("minimum"), first.get("maximum")) {
        say(&mut words, format!("{min} to {max}"));
    }
    if let Some(pattern) = first["pattern"].as_str() {
        say(&mut words, pattern_in_words(pattern).to_owned());
    }
    if first["format"] == "date" {
        say(&mut words, "YYYY-MM-DD".to_owned());
    }
    if let Some(values) = first["enum"].as_array() {
        let values: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
        say(&mut words, values.join(" or "));
    }
    match &first["examples"][0] {
        Value::Null => {}
        Value::String(text) => words = format!("{words}, such as {text}"),
        example => words = format!("{words}, such as {example}"),
    }
    let default = match first.get("default") {
        Some(Value::String(default)) => Some(default.clone()),
        Some(default) => Some(default.to_string()),
        None if name == "date" => Some("today (UTC)".to_owned()),
        None => None,
    };
    if let Some(default) = default {
        let if_absent = format!("{default} if absent");
        // A patch keeps what is absent.
        if is_nullable {
            words = words.replace(&format!("; {if_absent}"), "");
        } else {
            say(&mut words, if_absent);
        }
    }
    json!({"type": first["type"], "description": words})
}

fn pattern_in_words(pattern: &str) -> &'static str {
    match pattern {
        Currency::PATTERN => "three capital letters",
        IdempotencyKey::PATTERN => "printable ASCII",
        "^[0-9A-HJKMNP-TV-Z]{26}$" => "26 letters and digits",
        pattern => panic!("the pattern {pattern} is unknown: describe it here"),
    }
}

/// Removes the members that the tool itself has.
fn root(mut schema: Value) -> Value {
    for name in ["description", "examples"] {
        schema.as_object_mut().and_then(|schema| schema.shift_remove(name));
    }
    schema
}

/// Replaces every `$ref` by its target.
fn inline(schema: &Value, components: &Value) -> Value {
    let members = match schema {
        Value::Object(members) => members,
        Value::Array(items) => return items.iter().map(|item| inline(item, components)).collect(),
        other => return other.clone(),
    };
    let mut inlined: Map<String, Value> = members
        .iter()
        .filter(|(name, _)| *name != "$ref")
        .map(|(name, member)| (name.clone(), inline(member, components)))
        .collect();
    if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
        let name = reference.strip_prefix(COMPONENT).unwrap_or_default();
        assert!(components.get(name).is_some(), "the schema {reference} does not exist");
        let referred = inline(&components[name], components);
        // Members beside the reference override those of its target.
        for (name, member) in referred.as_object().cloned().unwrap_or_default() {
            inlined.entry(name).or_insert(member);
        }
    }
    Value::Object(inlined)
}
