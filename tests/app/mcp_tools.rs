//! `tools.json`: that it is what the code says, stands for itself, and allows what is accepted.

use authkit_edge::mcp::{schema, tools};
use serde_json::{Value, json};

const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/mcp/tools.json");

#[test]
fn the_committed_tools_are_what_the_code_says() {
    let document = schema::document();
    if document != tools::DOCUMENT {
        std::fs::write(COMMITTED, document).unwrap();
        panic!("src/mcp/tools.json was out of date and is written anew: look at it, commit it");
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
fn every_schema_is_an_object_that_refers_to_nothing() {
    for tool in tools::list().as_array().unwrap() {
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

#[test]
fn each_tool_says_what_it_does_to_what_there_is() {
    let hints = |name: &str| {
        let tools = tools::list().as_array().unwrap();
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
fn a_change_has_no_defaults_that_a_client_could_fill_in() {
    let tools = tools::list().as_array().unwrap();
    let update = tools.iter().find(|tool| tool["name"] == "update_expense").unwrap();
    visit(&update["inputSchema"], &mut |name, _| assert_ne!(name, "default", "{update}"));
}
