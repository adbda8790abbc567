//! The most frequent message, [`Command::Get`](super::messages::Command::Get), and its most frequent response, as
//! texts. They are what `super::messages` writes. With them a read of an expense that the log does not have runs none of
//! the code that writes and parses JSON.

use edge_host::json;

use crate::expenses::{keys::Owner, model::ExpenseId};

const BEFORE_OWNER: &str = r#"{"v":1,"owner":""#;
const BEFORE_ID: &str = r#"","request":"","reads_rows":true,"command":{"get":{"id":""#;
const AFTER_ID: &str = r#""}}}"#;

/// The response for an expense that the log does not have.
pub(super) const NO_ENTRY: &str = r#"{"v":1,"outcome":{"row":{"entry":null}}}"#;

/// The message that gets the entry of an expense.
pub(super) fn message(owner: &Owner, id: ExpenseId) -> String {
    // An owner has no character that JSON escapes.
    [BEFORE_OWNER, owner.as_str(), BEFORE_ID, id.encode().as_str(), AFTER_ID].concat()
}

/// The owner and the id in a text of [`message`]; `None` for any other message, and for the same one in another form.
pub(super) fn read(message: &str) -> Option<(Owner, ExpenseId)> {
    let rest = message.strip_prefix(BEFORE_OWNER)?;
    let (owner_end, has_escapes) = json::string_end(rest.as_bytes())?;
    let (owner, rest) = rest.split_at_checked(owner_end)?;
    let id = rest.strip_prefix(BEFORE_ID)?.strip_suffix(AFTER_ID)?;
    let id = ExpenseId::parse(id).ok()?;
    (!has_escapes).then(|| (Owner::from_stored(owner.to_owned()), id))
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::expenses::ledger::messages::{Command, Message, Outcome, Response, VERSION};

    /// The message as `messages` writes it.
    fn written(owner: &Owner, id: ExpenseId) -> String {
        json::write(&Message {
            v: VERSION,
            owner: owner.as_str().into(),
            request: "".into(),
            reads_rows: true,
            command: Command::Get { id: id.to_string() },
        })
    }

    #[test]
    fn texts_are_the_json_of_the_messages() {
        let id = ExpenseId::new(DateTime::UNIX_EPOCH);
        let long = "user".repeat(200);
        for sub in ["user_ada", "a\"b\\c\n'é🧾", "", &long] {
            let owner = Owner::new(sub);
            let message = message(&owner, id);
            assert_eq!(message, written(&owner, id));
            assert_eq!(read(&message), Some((owner, id)));
        }
        let outcome = Outcome::Row { entry: None };
        assert_eq!(json::write(&Response { v: VERSION, outcome }), NO_ENTRY);
    }

    #[test]
    fn every_other_message_is_left_to_the_parser() {
        let id = ExpenseId::new(DateTime::UNIX_EPOCH);
        let get = message(&Owner::new("user_ada"), id);
        let other_id = id.to_string().to_lowercase();
        for (part, other) in [
            ("\"v\":1", "\"v\":2"),
            ("{\"v\"", "{ \"v\""),
            ("user_ada", "user\\u005fada"),
            ("user_ada", "user_ada\n"),
            ("user_ada", "user_ada\",\"owner\":\"user_grace"),
            ("\"request\":\"\"", "\"request\":\"1\""),
            ("true", "false"),
            ("\"get\"", "\"list\""),
            (&*id.to_string(), &*other_id),
            (&*id.to_string(), ""),
            ("}}}", "}}"),
            ("}}}", "}}} "),
            ("}}}", ",\"until\":1}}}"),
        ] {
            assert!(get.contains(part), "{part}");
            let message = get.replace(part, other);
            assert!(read(&message).is_none(), "{message}");
        }
    }
}
