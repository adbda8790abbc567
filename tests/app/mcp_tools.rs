//! `tools.json`: it matches the code, is self-contained, and allows every accepted argument.

use authkit_edge::{
    app,
    mcp::{schema, tool},
};
use serde_json::{Value, json};

const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/mcp/tools.json");

#[test]
fn committed_tools_match_the_code() {
    let document = schema::document(&app::routes().into_openapi());
    if document != tool::DOCUMENT {
        std::fs::write(COMMITTED, document).unwrap();
        panic!("src/mcp/tools.json did not match the code and was rewritten: review and commit it");
    }
}

fn visit(value: &Value, see: &mut impl FnMut(&str, &Value)) {
    match value {
        Value::Object(members) => members.iter().for_each(|(name, member)| {
            see(name, member);
            visit(member, see);
        }),
        Value::Array(items) => items.iter().for_each(|item| visit(item, see)),
        _ => {}
    }
}

#[test]
fn schemas_are_objects_without_references() {
    for tool in tool::list().as_array().unwrap() {
        for schema in [&tool["inputSchema"], &tool["outputSchema"]] {
            assert_eq!(schema["type"], "object", "{tool}");
            assert!(schema["properties"].is_object(), "{tool}");
            visit(schema, &mut |name, value| {
                assert!(!value.is_null(), "{name}: {tool}");
                assert!(!["$ref", "allOf", "$schema"].contains(&name), "{name}: {tool}");
            });
        }
        assert_eq!(tool["inputSchema"]["additionalProperties"], json!(false), "{tool}");
    }
}

/// Calls `see` for every keyword of a schema and of its properties and items.
fn keywords(schema: &Value, see: &mut impl FnMut(&str)) {
    for (keyword, value) in schema.as_object().unwrap() {
        see(keyword);
        match keyword.as_str() {
            "properties" => value.as_object().unwrap().values().for_each(|it| keywords(it, see)),
            "items" => keywords(value, see),
            _ => {}
        }
    }
}

#[test]
fn input_schemas_use_keywords_that_every_provider_accepts() {
    // Keywords that OpenAI's strict tools, Anthropic's strict tools and Gemini's function declarations share.
    let allowed =
        ["type", "description", "properties", "required", "items", "enum", "additionalProperties"];
    for tool in tool::list().as_array().unwrap() {
        keywords(&tool["inputSchema"], &mut |keyword| {
            assert!(allowed.contains(&keyword), "{keyword}: {tool}");
        });
        for (name, property) in tool["inputSchema"]["properties"].as_object().unwrap() {
            assert!(property["type"].is_string(), "{name}: {tool}");
        }
    }
}

#[test]
fn descriptions_name_limits_that_schemas_cannot() {
    let description = |tool: &str, argument: &str| {
        let tools = tool::list().as_array().unwrap();
        let tool = tools.iter().find(|described| described["name"] == tool).unwrap();
        tool["inputSchema"]["properties"][argument]["description"].as_str().unwrap().to_owned()
    };
    for (tool, argument, words) in [
        ("list_expenses", "limit", &["1 to 1000", "100 if absent"][..]),
        ("list_expenses", "category", &["1 to 50 characters", "such as meals"]),
        ("list_expenses", "from", &["YYYY-MM-DD", "such as 2026-11-23"]),
        ("list_expenses", "to", &["not earlier than from"]),
        ("add_expense", "amount", &["More than zero", "2 decimal places", "such as 42.5"]),
        ("add_expense", "description", &["1 to 200 characters", "such as Team lunch"]),
        ("add_expense", "currency", &["Three capital letters", "USD if absent"]),
        ("add_expense", "category", &["1 to 50 characters", "other if absent"]),
        ("add_expense", "date", &["YYYY-MM-DD", "today (UTC) if absent"]),
        ("add_expense", "idempotency_key", &["1 to 255 characters", "printable ASCII"]),
        ("update_expense", "id", &["in list_expenses", "26 letters and digits"]),
        ("update_expense", "currency", &["Three capital letters", "such as USD"]),
        ("update_expense", "category", &["1 to 50 characters"]),
        ("update_expense", "date", &["YYYY-MM-DD"]),
        ("delete_expense", "id", &["26 letters and digits"]),
        ("summarize_expenses", "currency", &["three capital letters"]),
    ] {
        let description = description(tool, argument);
        for words in words {
            assert!(description.contains(words), "{tool} {argument} {words}: {description}");
        }
    }
    // An argument has one type, and its description promises no other.
    for (tool, argument) in [("add_expense", "amount"), ("update_expense", "amount")] {
        assert!(!description(tool, argument).contains("string"), "{tool}");
    }
    for argument in ["currency", "category", "date"] {
        assert!(!description("update_expense", argument).contains("null"), "{argument}");
    }
    // Updates have no defaults: absent arguments stay unchanged.
    for argument in ["currency", "category", "date"] {
        assert!(!description("update_expense", argument).contains("if absent"), "{argument}");
    }
}

#[test]
fn add_expense_description_advises_to_leave_currency_out() {
    let tools = tool::list().as_array().unwrap();
    let add = tools.iter().find(|tool| tool["name"] == "add_expense").unwrap();
    let description = add["description"].as_str().unwrap();
    assert!(description.contains("Do not guess an amount: ask."), "{description}");
    assert!(description.contains("Leave currency out"), "{description}");
    assert_eq!(add["inputSchema"]["required"], json!(["description", "amount"]));
}

#[test]
fn annotations_state_the_effect_of_each_tool() {
    let hints = |name: &str| {
        let tools = tool::list().as_array().unwrap();
        let tool = tools.iter().find(|tool| tool["name"] == name).unwrap();
        let hints = &tool["annotations"];
        assert_eq!((&hints["title"], &hints["openWorldHint"]), (&tool["title"], &json!(false)));
        ["readOnlyHint", "destructiveHint", "idempotentHint"].map(|hint| hints[hint] == json!(true))
    };
    assert_eq!(hints("list_expenses"), [true, false, true]);
    assert_eq!(hints("add_expense"), [false, false, false]);
    assert_eq!(hints("update_expense"), [false, true, true]);
    assert_eq!(hints("delete_expense"), [false, true, true]);
    assert_eq!(hints("summarize_expenses"), [true, false, true]);
}

#[test]
fn update_schema_has_no_defaults() {
    let tools = tool::list().as_array().unwrap();
    let update = tools.iter().find(|tool| tool["name"] == "update_expense").unwrap();
    visit(&update["inputSchema"], &mut |name, _| assert_ne!(name, "default", "{update}"));
}
