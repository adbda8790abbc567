//! The most frequent messages and responses as texts: [`Command::Get`](super::messages::Command::Get) with its response
//! for an expense that the log does not have, [`Command::Add`](super::messages::Command::Add) without an idempotency key,
//! and the response to every write that leaves an expense. They are what `super::messages` writes, so that these requests
//! run little of the code that writes and parses JSON. What differs from them is left to the parser: another version's
//! form, and an expense whose texts have a character that JSON escapes.

use edge_host::json;

use crate::expenses::{keys::Owner, model::ExpenseId, record::ExpenseRecord, row::push_string};

const BEFORE_OWNER: &str = r#"{"v":1,"owner":""#;
const BEFORE_REQUEST: &str = r#"","request":""#;
const BEFORE_ID: &str = r#"","reads_rows":true,"command":{"get":{"id":""#;
const AFTER_ID: &str = r#""}}}"#;
const BEFORE_ADDED: &str = r#"","reads_rows":true,"command":{"add":{"id":""#;
const BEFORE_RECORD: &str = r#"","record":"#;
const AFTER_RECORD: &str = r#","key":null}}}"#;

/// The response for an expense that the log does not have.
pub(super) const NO_ENTRY: &str = r#"{"v":1,"outcome":{"row":{"entry":null}}}"#;

const BEFORE_SAVED: &str = r#"{"v":1,"outcome":{"saved_row":{"id":""#;
const BEFORE_ROW: &str = r#"","row":"#;
const AFTER_ROW: &str = "}}}";

/// The message that gets the entry of an expense.
pub(super) fn get(owner: &Owner, id: ExpenseId) -> String {
    // An owner has no character that JSON escapes.
    let owner = owner.as_str();
    [BEFORE_OWNER, owner, BEFORE_REQUEST, BEFORE_ID, id.encode().as_str(), AFTER_ID].concat()
}

/// The message that adds an expense without an idempotency key. The expense's id, which is random, is the request's too.
pub(super) fn add(owner: &Owner, id: &str, record: &ExpenseRecord<'_>) -> String {
    let (owner, record) = (owner.as_str(), json::write(record));
    [
        BEFORE_OWNER,
        owner,
        BEFORE_REQUEST,
        id,
        BEFORE_ADDED,
        id,
        BEFORE_RECORD,
        &record,
        AFTER_RECORD,
    ]
    .concat()
}

/// A message that is sent as a text.
pub(super) enum Frequent<'a> {
    /// That of [`get`].
    Get(ExpenseId),
    /// That of [`add`].
    Add(ExpenseId, ExpenseRecord<'a>),
}

/// The owner and the content of a text of [`get`] or [`add`]; `None` for any other message, and for the same one in
/// another form. The record alone may have any form that JSON allows.
#[inline(never)]
pub(super) fn read(message: &str) -> Option<(Owner, Frequent<'_>)> {
    let rest = message.strip_prefix(BEFORE_OWNER)?;
    let (end, has_escapes) = json::string_end(rest.as_bytes())?;
    let (owner, rest) = rest.split_at_checked(end)?;
    let rest = rest.strip_prefix(BEFORE_REQUEST)?;
    let frequent = match rest.strip_prefix(BEFORE_ID) {
        Some(id) => Frequent::Get(ExpenseId::parse(id.strip_suffix(AFTER_ID)?).ok()?),
        None => read_add(rest.strip_suffix(AFTER_RECORD)?)?,
    };
    (!has_escapes).then(|| (Owner::from_stored(owner.to_owned()), frequent))
}

/// A text of [`add`] from the request's id to the end of the record. In a function of its own: reads do not run it.
#[inline(never)]
fn read_add(text: &str) -> Option<Frequent<'_>> {
    let (id, record) = read_id(text)?;
    let record = record.strip_prefix(BEFORE_ADDED)?.strip_prefix(id.encode().as_str())?;
    let record = json::read(record.strip_prefix(BEFORE_RECORD)?).ok()?;
    Some(Frequent::Add(id, record))
}

/// The response to a write that has left an expense with this stored row.
pub(super) fn saved(id: ExpenseId, row: &str) -> String {
    let mut response = [BEFORE_SAVED, id.encode().as_str(), BEFORE_ROW].concat();
    push_string(&mut response, row);
    response.push_str(AFTER_ROW);
    response
}

/// The id and the row in a text of [`saved`]; `None` for a row with escapes, for any other response, and for the same one
/// in another form.
pub(super) fn read_saved(response: &str) -> Option<(ExpenseId, &str)> {
    let (id, rest) = read_id(response.strip_prefix(BEFORE_SAVED)?)?;
    let row = rest.strip_prefix(BEFORE_ROW)?.strip_suffix(AFTER_ROW)?;
    let row = row.strip_prefix('"')?.strip_suffix('"')?;
    json::first_to_escape(row.as_bytes()).is_none().then_some((id, row))
}

/// The id that a text begins with, and the rest.
fn read_id(text: &str) -> Option<(ExpenseId, &str)> {
    let (id, rest) = text.split_at_checked(ExpenseId::LENGTH)?;
    Some((ExpenseId::parse(id).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::expenses::{
        ledger::messages::{
            AddMessage, Command, Message, Outcome, Response, SavedRowMessage, VERSION, parse,
        },
        model::Expense,
        row::Row,
    };

    const TEXTS: [&str; 5] = ["Lunch", "it's", "a\"b\\c\n'é🧾", "{}", "\",\"key\":null}}}"];

    /// The message as `messages` writes it.
    fn message(owner: &Owner, request: &str, command: Command<'_>) -> String {
        let (owner, request) = (owner.as_str().into(), request.into());
        json::write(&Message { v: VERSION, owner, request, reads_rows: true, command })
    }

    fn expense(text: &str) -> Expense {
        let record = ExpenseRecord {
            description: text.into(),
            amount: "1.20".into(),
            currency: "EUR".into(),
            category: "meals".into(),
            date: "2026-11-20".into(),
            created_at: 1,
            updated_at: 2,
            row: None,
        };
        record.into_expense(ExpenseId::new(DateTime::UNIX_EPOCH)).unwrap()
    }

    /// The text with `other` in the first place of `part`.
    fn changed(text: &str, part: &str, other: &str) -> String {
        assert!(text.contains(part), "{part}");
        text.replacen(part, other, 1)
    }

    #[test]
    fn texts_are_the_json_of_the_messages() {
        let long = "user".repeat(200);
        for text in TEXTS {
            for sub in ["user_ada", text, "", &long] {
                let (owner, expense) = (Owner::new(sub), expense(text));
                let id = expense.id.to_string();
                let get = get(&owner, expense.id);
                assert_eq!(get, message(&owner, "", Command::Get { id: id.clone() }));
                match read(&get) {
                    Some((read_owner, Frequent::Get(read_id))) => {
                        assert_eq!((read_owner, read_id), (owner.clone(), expense.id));
                    }
                    _ => panic!("{get}"),
                }

                let record = ExpenseRecord::from(&expense);
                let command = Command::Add(AddMessage { id: id.clone(), record, key: None });
                let add = add(&owner, &id, &ExpenseRecord::from(&expense));
                assert_eq!(add, message(&owner, &id, command));
                match read(&add) {
                    Some((read_owner, Frequent::Add(read_id, record))) => {
                        assert_eq!((read_owner, read_id), (owner, expense.id));
                        assert_eq!(record.into_expense(read_id), Some(expense));
                    }
                    _ => panic!("{add}"),
                }
            }
        }
    }

    #[test]
    fn texts_are_the_json_of_the_responses() {
        fn response(outcome: Outcome<'_>) -> String {
            json::write(&Response { v: VERSION, outcome })
        }
        assert_eq!(response(Outcome::Row { entry: None }), NO_ENTRY);
        for text in TEXTS {
            let expense = expense(text);
            let (id, row) = (expense.id, Row::from(&expense).stored());
            let message = SavedRowMessage { id: id.to_string().into(), row: (&*row).into() };
            let saved = saved(id, &row);
            assert_eq!(saved, response(Outcome::SavedRow(message)));
            let is_plain = !text.contains(['"', '\'', '\\']);
            assert_eq!(read_saved(&saved), is_plain.then_some((id, &*row)));
        }
    }

    #[test]
    fn every_other_message_is_left_to_the_parser() {
        let expense = expense("Lunch");
        let id = expense.id.to_string();
        let get = get(&Owner::new("user_ada"), expense.id);
        let add = add(&Owner::new("user_ada"), &id, &ExpenseRecord::from(&expense));
        let (other_id, id_and_more) = (id.to_lowercase(), [&id, "\",\"key\":\"1"].concat());
        for (part, other) in [
            ("\"v\":1", "\"v\":2"),
            ("{\"v\"", "{ \"v\""),
            ("user_ada", "user\\u005fada"),
            ("user_ada", "user_ada\n"),
            ("user_ada", "user_ada\",\"owner\":\"user_grace"),
            ("\"request\":\"", "\"request\":\"1"),
            ("true", "false"),
            ("\"command\":{\"", "\"command\":{\"un"),
            (&*id, &*other_id),
            (&*id, ""),
            (&*id, &*id_and_more),
            ("}}}", "}}"),
            ("}}}", "}}} "),
            ("}}}", ",\"until\":1}}}"),
        ] {
            for text in [&get, &add] {
                assert!(text.contains(part), "{part}");
                let message = text.replace(part, other);
                assert!(read(&message).is_none(), "{message}");
            }
        }
        let other = ExpenseId::new(DateTime::UNIX_EPOCH).to_string();
        for (part, other) in [
            (&*id, &*other),
            ("null", "{\"hash\":\"h\",\"body_hash\":\"b\"}"),
            ("\"record\":", "\"record\":{},\"record\":"),
            ("\"updated_at\":2", "\"updated_at\":2,\"updated_at\":3"),
            ("\"updated_at\":2", ""),
            ("}}}", "},\"until\":{}}}"),
        ] {
            let message = changed(&add, part, other);
            assert!(read(&message).is_none(), "{message}");
        }
    }

    #[test]
    fn record_of_an_addition_may_have_any_form() {
        let expense = expense("Lunch");
        let add =
            add(&Owner::new("user_ada"), &expense.id.to_string(), &ExpenseRecord::from(&expense));
        for (part, other) in [
            ("\"Lunch\"", " \"\\u004cunch\""),
            ("{\"description\"", "{\"since\":[\"later\"],\"description\""),
            ("\"updated_at\":2}", "\"updated_at\":2 }"),
        ] {
            let text = changed(&add, part, other);
            let message: Message<'_> = parse("message", &text).unwrap();
            let Command::Add(AddMessage { record: parsed, .. }) = message.command else {
                panic!("{text}");
            };
            let Some((_, Frequent::Add(id, record))) = read(&text) else { panic!("{text}") };
            assert_eq!(parsed.into_expense(id).as_ref(), Some(&expense));
            assert_eq!(record.into_expense(id).as_ref(), Some(&expense));
        }
    }

    #[test]
    fn every_other_response_is_left_to_the_parser() {
        let expense = expense("Lunch");
        let id = expense.id.to_string();
        let response = saved(expense.id, &Row::from(&expense).stored());
        let other_id = id.to_lowercase();
        for (part, other) in [
            ("\"v\":1", "\"v\":2"),
            ("saved_row", "row"),
            (&*id, &*other_id),
            (&*id, ""),
            ("Lunch", "\\u004cunch"),
            ("Lunch", "Lunch\",\"row\":\""),
            ("Lunch", "\t"),
            ("}}}", "}}"),
            ("}}}", ",\"until\":1}}}"),
        ] {
            let response = changed(&response, part, other);
            assert!(read_saved(&response).is_none(), "{response}");
        }
    }
}
