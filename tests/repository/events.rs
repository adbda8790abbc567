//! `docs/events.md` lists every event with its fields, as the types have them.

use std::fmt::Write as _;

use edge_host::{EventDescription, HostEvent, Level};

use super::source::{ROOT, read};
use authkit_edge::{events::AppEvent, expenses::events::ExpensesEvent};
use axum_authkit::AuthKitEvent;

const DOCUMENT: &str = "docs/events.md";
/// Everything after this line is made of the types.
const MARK: &str = "<!-- Made by tests/repository/events.rs of the types. -->\n";

/// The lines of a description as one.
fn joined(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

/// The column of each field in a data point of Workers Analytics Engine: the first two blobs are the name and the
/// version. A cause has none.
fn columns(event: &EventDescription) -> Vec<String> {
    let (mut blobs, mut doubles) = (2, 0);
    let column = |field: &edge_host::FieldDescription| match field.kind {
        _ if ["cause", "location"].contains(&field.name) => "–".to_owned(),
        "text" | "user" => {
            blobs += 1;
            format!("`blob{blobs}`")
        }
        _ => {
            doubles += 1;
            format!("`double{doubles}`")
        }
    };
    event.fields.iter().map(column).collect()
}

fn describe(title: &str, events: &[EventDescription]) -> String {
    let mut text = format!("\n## {title}\n");
    for event in events {
        let level = match event.level {
            Level::Info => "information",
            Level::Warn => "warning",
            Level::Error => "error",
        };
        let _ = write!(text, "\n### `{}` ({level})\n\n{}\n", event.name, joined(event.about));
        if event.fields.is_empty() {
            continue;
        }
        text.push_str("\n| field | type | column | what |\n| --- | --- | --- | --- |\n");
        for (field, column) in event.fields.iter().zip(columns(event)) {
            let (name, kind, about) = (field.name, field.kind, joined(field.about));
            let _ = writeln!(text, "| `{name}` | {kind} | {column} | {about} |");
        }
    }
    text
}

#[test]
fn document_lists_every_event() {
    let document = read(DOCUMENT);
    let (introduction, _) = document.split_once(MARK).expect("the document has the mark");
    let expected = [
        introduction,
        MARK,
        &describe("Requests and interfaces", AppEvent::TABLE),
        &describe("Sign-in, sessions and tokens", AuthKitEvent::TABLE),
        &describe("Expenses and ledgers", ExpensesEvent::TABLE),
        &describe("Services and the host", HostEvent::TABLE),
    ]
    .concat();
    if document != expected {
        std::fs::write(format!("{ROOT}/{DOCUMENT}"), expected).unwrap();
        panic!("{DOCUMENT} was not up to date: it is written anew. Check the diff and commit it");
    }
}

#[test]
fn only_events_are_logged() {
    use super::source::{files, tokens_of};
    let folders = ["src", "crates/edge/src", "crates/authkit/src"];
    for file in folders.into_iter().flat_map(|folder| files(folder, ".rs")) {
        let tokens = tokens_of(&file);
        for pair in tokens.windows(2) {
            let is_text = ["println", "eprintln", "print", "eprint", "dbg", "console_log"]
                .iter()
                .any(|name| pair[0].is(name));
            assert!(
                !(is_text && pair[1].is("!")),
                "{file}:{}: report an event instead of text",
                pair[0].line
            );
        }
    }
}
