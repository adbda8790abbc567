//! `Idempotency-Key`: one key creates one expense, whichever requests repeat it and whichever write fails.

use std::{pin::pin, sync::Arc};

use chrono::Duration;
use edge_host::ObjectStorage;
use futures_util::{FutureExt, future::join_all};
use serde_json::json;

use crate::support::{
    ADA, Client, GRACE, KvOperation, TestApp,
    app::TestResponse,
    objects::{Fault, FaultyObjects},
};

const LUNCH: &str = r#"{"description": " Team lunch ", "amount": 42.5, "category": "meals"}"#;
const DINNER: &str = r#"{"description": "Dinner", "amount": 7}"#;

async fn create(app: &TestApp, body: &'static str) -> TestResponse {
    app.create_with_key(ADA, "key", body).await
}

/// Checks for the 422 that FastAPI gives for an invalid header.
#[track_caller]
fn key_reused(response: &TestResponse) {
    assert_eq!(response.status, 422, "{response:?}");
    let problem = json!({
        "type": "value_error",
        "loc": ["header", "idempotency-key"],
        "msg": "Value error, this key was used with another body: use a new key for a new expense",
        "input": "key",
    });
    assert_eq!(response.json(), json!({"detail": [problem]}));
    assert_eq!(response.header("retry-after"), "");
}

/// The number of rows of the ledger whose names begin with this.
fn rows(app: &TestApp, prefix: &str) -> usize {
    app.ledgers.storage(ADA.id).list(prefix).unwrap().len()
}

#[tokio::test]
async fn many_keys_are_removed_a_day_later() {
    let app = TestApp::new();
    for number in 0..600 {
        app.create_with_key(ADA, &number.to_string(), DINNER).await.expect(201);
    }
    app.ledgers.evict_all();
    app.pass(Duration::hours(20)).await;
    assert_eq!((rows(&app, "key:"), rows(&app, "keys")), (600, 1));
    create(&app, LUNCH).await.expect(201);
    app.ledgers.evict_all();
    app.pass(Duration::hours(6)).await;
    assert_eq!((rows(&app, "key:"), rows(&app, "keys")), (1, 1));
    app.pass(Duration::hours(20)).await;
    assert_eq!((rows(&app, "key:"), rows(&app, "keys")), (0, 0));
}

#[tokio::test]
async fn keys_of_an_earlier_version_are_removed_too() {
    let app = TestApp::new();
    create(&app, LUNCH).await.expect(201);
    app.pass(Duration::hours(1)).await;
    // Earlier versions do not write this row.
    app.ledgers.storage(ADA.id).delete("keys").unwrap();
    app.ledgers.evict_all();
    app.pass(Duration::hours(26)).await;
    assert_eq!((rows(&app, "key:"), rows(&app, "keys")), (0, 0));
}

#[tokio::test]
async fn key_creates_one_expense() {
    let app = TestApp::new();
    let first = create(&app, LUNCH).await.expect(201);
    // The same values, written differently.
    let again = r#"{"category":"meals","amount":42.5,"description":" Team lunch "}"#;
    for minutes in [0, 5, 60, 22 * 60] {
        app.clock.advance(Duration::minutes(minutes));
        for isolate in [&app, &app.isolate()] {
            let second = create(isolate, again).await.expect(201);
            assert_eq!(second.body, first.body);
            assert_eq!(second.header("location"), first.header("location"));
            key_reused(&create(isolate, DINNER).await);
        }
    }
    app.create_with_key(ADA, "another", DINNER).await.expect(201);
    assert_eq!(app.expenses_of(ADA).await.len(), 2);
    assert!(app.kv.keys().iter().all(|key| key.starts_with("expense:")));
}

#[tokio::test]
async fn key_belongs_to_one_user() {
    let app = TestApp::new();
    create(&app, LUNCH).await.expect(201);
    app.create_with_key(GRACE, "key", DINNER).await.expect(201);
    app.create_with_key(GRACE, "other", LUNCH).await.expect(201);
    assert_eq!(app.expenses_of(GRACE).await.len(), 2);
    assert_eq!(app.expenses_of(ADA).await.len(), 1);
}

#[tokio::test]
async fn concurrent_requests_of_isolates_create_one_expense() {
    let app = TestApp::new();
    let isolates: Vec<TestApp> = (0..5).map(|_| app.isolate()).collect();
    let made = join_all(isolates.iter().map(|isolate| create(isolate, LUNCH))).await;
    let first = made[0].clone().expect(201);
    assert!(made.iter().all(|made| made.status == 201 && made.body == first.body), "{made:?}");
    assert_eq!(app.kv.take_operations(), [KvOperation::Put]);
    assert_eq!(app.expenses_of(ADA).await.len(), 1);
}

#[tokio::test]
async fn creation_finishes_after_the_client_disconnects() {
    let app = TestApp::new();
    let objects = Arc::new(FaultyObjects::new(&app.ledgers));
    let isolate =
        app.isolate_with_objects(Arc::new(app.sessions.clone()), Arc::clone(&objects) as _);
    objects.add(Fault::DelaysResponse);
    {
        let mut creation = pin!(create(&isolate, LUNCH));
        while !objects.is_spent() {
            assert!(creation.as_mut().now_or_never().is_none());
        }
    }
    let [made] = &app.expenses_of(ADA).await[..] else { panic!("one expense") };
    // The client that tries again gets the same expense.
    assert_eq!(create(&app, LUNCH).await.expect(201).json(), *made);
    assert_eq!(app.expenses_of(ADA).await.len(), 1);
}

#[tokio::test]
async fn retry_after_a_lost_response_leaves_one_expense() {
    for evicts in [false, true] {
        let app = TestApp::new();
        app.ledgers.lose_responses(true);
        let failed = create(&app, LUNCH).await.expect(503);
        assert_eq!(failed.header("retry-after"), "2");
        assert!(failed.detail().contains("may or may not have been saved"), "{failed:?}");
        assert!(failed.detail().contains("same Idempotency-Key"), "{failed:?}");
        app.ledgers.lose_responses(false);
        if evicts {
            app.ledgers.evict_all();
        }
        let made = create(&app.isolate(), LUNCH).await.expect(201).json();
        assert_eq!(app.expenses_of(ADA).await, std::slice::from_ref(&made));
        assert_eq!(create(&app, LUNCH).await.expect(201).json(), made);
        key_reused(&create(&app, DINNER).await);
    }
}

#[tokio::test]
async fn unreachable_ledger_creates_nothing() {
    let app = TestApp::new();
    app.ledgers.set_unreachable(true);
    create(&app, LUNCH).await.expect(503);
    app.ledgers.set_unreachable(false);
    // Another body is accepted: the first request has created nothing.
    create(&app, DINNER).await.expect(201);
    assert_eq!(app.expenses_of(ADA).await.len(), 1);
}

#[tokio::test]
async fn repeated_key_does_not_restore_a_deleted_expense() {
    let app = TestApp::new();
    let first = create(&app, LUNCH).await.expect(201).json();
    let token = app.authkit.access_token(ADA);
    let path = format!("/expenses/{}", first["id"].as_str().unwrap());
    app.bearer(&token).delete(&path).await.expect(204);
    // The log has forgotten the expense.
    app.pass(Duration::minutes(15)).await;
    assert_eq!((rows(&app, "log:"), rows(&app, "key:")), (0, 1));
    for isolate in [&app, &app.isolate()] {
        assert_eq!(create(isolate, LUNCH).await.expect(201).json(), first);
    }
    assert_eq!(app.expenses_of(ADA).await, [json!(null); 0]);
}

#[tokio::test]
async fn ledger_forgets_a_key_after_24_hours() {
    let app = TestApp::new();
    create(&app, LUNCH).await.expect(201);
    app.clock.advance(Duration::hours(24) - Duration::minutes(1));
    create(&app, LUNCH).await.expect(201);
    key_reused(&create(&app, DINNER).await);
    app.clock.advance(Duration::minutes(1));
    create(&app, DINNER).await.expect(201);
    assert_eq!(app.expenses_of(ADA).await.len(), 2);
}

#[tokio::test]
async fn invalid_idempotency_key_is_422() {
    let app = TestApp::new();
    let long = "k".repeat(256);
    for (key, kind) in [
        ("", "string_too_short"),
        (long.as_str(), "string_too_long"),
        ("schlüssel", "string_pattern_mismatch"),
        ("a\tb", "string_pattern_mismatch"),
    ] {
        let response = app.create_with_key(ADA, key, LUNCH).await.expect(422);
        let problem = &response.json()["detail"][0];
        assert_eq!(problem["type"], kind, "{key}");
        assert_eq!(problem["loc"], json!(["header", "idempotency-key"]));
    }
    app.create_with_key(ADA, &"k".repeat(255), LUNCH).await.expect(201);
}
