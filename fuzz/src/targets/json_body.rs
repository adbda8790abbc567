//! The JSON body of a new expense.

use authkit_edge::json;
use http::{HeaderMap, Method};
use serde_json::Value;

use super::router::{api, content, expect_no_failure, get, json as json_of, run};

/// serde_json reads an object with this member as a number: `src/json/read.rs`.
const NUMBER_KEY: &[u8] = b"serde_json::private";

pub fn check(data: &[u8]) {
    let is_valid = check_parser(data);
    run(async |app| {
        let added = api(app, Method::POST, "/expenses", &HeaderMap::new(), data).await;
        expect_no_failure(&added);
        if added.status == 201 {
            assert!(is_valid);
            let expense = added.json();
            let path = added.header("location");
            assert_eq!(get(app, path).await.expect(200).json(), expense);
            assert_eq!(
                get(app, "/expenses").await.expect(200).json(),
                Value::from(vec![expense.clone()])
            );

            // The response is a body, of an equal expense.
            let body = content(&expense).to_string();
            let again =
                api(app, Method::POST, "/expenses", &HeaderMap::new(), body.as_bytes()).await;
            assert_eq!(content(&again.expect(201).json()), content(&expense));
        } else {
            assert_eq!(added.status, 422, "{added:?}");
            assert_ne!(json_of(&added)["detail"].as_array().unwrap().len(), 0);
            get(app, "/expenses").await.expect(200);
        }
    });
}

/// Whether the text is JSON. The application's parser and serde_json agree about that, and about the value.
pub fn check_parser(data: &[u8]) -> bool {
    let text = json::without_byte_order_mark(data);
    let ours = json::parse(text).ok();
    if text.windows(NUMBER_KEY.len()).any(|part| part == NUMBER_KEY) || text.contains(&b'\\') {
        // The name of a member may be this key.
        return ours.is_some();
    }
    assert_eq!(ours, serde_json::from_slice::<Value>(text).ok());
    // Written and parsed again, the value is the same.
    if let Some(value) = &ours {
        assert_eq!(json::parse(value.to_string().as_bytes()).ok().as_ref(), Some(value));
    }
    ours.is_some()
}
