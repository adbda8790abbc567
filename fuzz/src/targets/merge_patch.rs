//! A merge patch (RFC 7396) for an expense.

use http::{HeaderMap, HeaderValue, Method, header};
use serde_json::{Value, json};

use super::{
    json_body::check_parser,
    router::{api, expect_no_failure, get, run},
    support::ADA,
};

pub fn check(data: &[u8]) {
    let is_valid = check_parser(data);
    run(async |app| {
        let path = format!("/expenses/{}", app.store_expense(ADA, "Lunch"));
        let before = get(app, &path).await.expect(200).json();
        let mut headers = HeaderMap::new();
        headers
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/merge-patch+json"));
        let patched = api(app, Method::PATCH, &path, &headers, data).await;
        expect_no_failure(&patched);
        let after = get(app, &path).await.expect(200).json();
        if patched.status != 200 {
            assert_eq!(patched.status, 422, "{patched:?}");
            assert_eq!(after, before);
            return;
        }
        assert!(is_valid);
        assert_eq!(patched.json(), after);
        check_members(data, &before, &after);
        // A second time changes nothing.
        let again = api(app, Method::PATCH, &path, &headers, data).await.expect(200);
        assert_eq!(again.json(), after);
    });
}

/// An absent member stays, `null` resets it, and a text is set without the spaces around it.
fn check_members(data: &[u8], before: &Value, after: &Value) {
    let patch = authkit_edge::json::parse(authkit_edge::json::without_byte_order_mark(data));
    let patch = patch.unwrap();
    for (name, default) in
        [("description", None), ("category", Some("other")), ("currency", Some("USD"))]
    {
        match (patch.get(name), default) {
            (None, _) => assert_eq!(after[name], before[name], "{name}"),
            (Some(Value::Null), Some(default)) => assert_eq!(after[name], json!(default), "{name}"),
            (Some(Value::String(text)), _) => {
                assert!(text.contains(after[name].as_str().unwrap()), "{name}");
            }
            (Some(other), _) => panic!("{name} is set to {other}"),
        }
    }
    assert_eq!((&after["id"], &after["created_at"]), (&before["id"], &before["created_at"]));
}
