//! A stored record of an expense: the first line is KV's value, the second one KV's metadata as JSON.

use http::{HeaderMap, Method};
use serde::Deserialize;
use serde_json::Value;

use super::{
    router::{api, browser, content, copy, get, run},
    support::ADA,
};

const ID: &str = "7YBQVVJ0FZEJBQG1MD1B4CVFW9";

/// The record of versions without rows, as serde_json reads it.
#[derive(Deserialize)]
struct Record {
    description: String,
    amount: String,
    currency: String,
    category: String,
    date: String,
    row: Option<String>,
}

pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (record, metadata) = text.split_once('\n').unwrap_or((text, ""));
    run(async |app| {
        let key = format!("expense:{}:{ID}", ADA.id);
        app.kv.insert_raw(&key, record, serde_json::from_str(metadata).ok());
        let path = format!("/expenses/{ID}");
        let one = get(app, &path).await;
        if one.status == 200 {
            let expense = one.json();
            assert_eq!(expense["id"], ID);
            check_record(record, &expense);
            check_expense(app, &expense).await;
        } else {
            assert!(one.status == 500 && one.detail().contains("cannot be read"), "{one:?}");
        }
        // One record that cannot be read does not fail the lists, the summary or the pages.
        for path in ["/expenses", "/expenses?category=meals&from=2026-01-01"] {
            let list = copy(app, Method::GET, path, b"").await.expect(200);
            match serde_json::from_str::<Vec<Value>>(&list.body) {
                Ok(list) => list.iter().for_each(|expense| assert_eq!(expense["id"], ID)),
                // A list copies the row in the metadata.
                Err(error) => assert!(metadata.contains("1:{"), "{error}: {}", list.body),
            }
        }
        get(app, "/expenses/summary").await.expect(200);
        get(app, "/expenses.csv").await.expect(200);
        browser(app, Method::GET, "/expenses", b"").await.expect(200);
        let page = browser(app, Method::GET, &path, b"").await;
        assert_eq!(page.status, one.status);
        // A client can replace every record, and delete it.
        let body = br#"{"description":"Mended","amount":7}"#;
        api(app, Method::PUT, &path, &HeaderMap::new(), body).await.expect(200);
        assert_eq!(get(app, &path).await.expect(200).json()["description"], "Mended");
        api(app, Method::DELETE, &path, &HeaderMap::new(), b"").await.expect(204);
        get(app, &path).await.expect(404);
    });
}

/// The fast reader and serde_json agree about a record without a row.
fn check_record(record: &str, expense: &Value) {
    let Ok(record) = serde_json::from_str::<Record>(record) else { return };
    if record.row.is_some() {
        return;
    }
    assert_eq!(expense["description"], record.description.trim());
    assert_eq!(expense["currency"], record.currency);
    assert_eq!(expense["category"], record.category.trim());
    assert_eq!(expense["amount"].to_string().parse::<f64>(), record.amount.parse::<f64>());
    assert!(expense["date"].as_str().unwrap() == record.date);
}

/// An expense that was read is one that a client could have sent, but for the places of its amount: earlier versions
/// stored two whatever the currency.
async fn check_expense(app: &super::support::TestApp, expense: &Value) {
    let body = content(expense).to_string();
    let sent = api(app, Method::POST, "/expenses", &HeaderMap::new(), body.as_bytes()).await;
    if sent.status == 422 {
        let detail = &sent.json()["detail"];
        assert_eq!(detail.as_array().unwrap().len(), 1, "{sent:?}");
        assert_eq!(detail[0]["type"], "decimal_max_places");
        assert!(has_more_places(expense, &detail[0]["ctx"]["decimal_places"]), "{sent:?}");
        return;
    }
    let sent = sent.expect(201);
    assert_eq!(by_value(&sent.json()), by_value(expense));
    api(app, Method::DELETE, sent.header("location"), &HeaderMap::new(), b"").await.expect(204);
}

/// Whether the amount of an expense has digits other than zero after that many places.
fn has_more_places(expense: &Value, places: &Value) -> bool {
    let amount = expense["amount"].to_string();
    let (_, fraction) = amount.split_once('.').unwrap_or((&amount, ""));
    fraction.trim_end_matches('0').len() > usize::try_from(places.as_u64().unwrap()).unwrap()
}

/// The content of an expense, with 4.250 as 4.25.
fn by_value(expense: &Value) -> Value {
    let mut content = content(expense);
    content["amount"] = content["amount"].as_f64().into();
    content
}
