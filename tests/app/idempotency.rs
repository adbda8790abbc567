//! `Idempotency-Key`: one key creates one expense, whichever requests repeat it and whichever write fails.

use chrono::Duration;
use edge_host::WaitUntil;
use futures_util::FutureExt;
use http::{Method, header};
use serde_json::json;

use crate::support::{
    ADA, Client, GRACE, KvOperation, TestApp,
    app::{TestResponse, request},
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

/// Polls both until one of them waits for KV.
macro_rules! until_kv_is_asked {
    ($app:expr, $($request:expr),+) => {
        while !$app.kv.is_waiting() {
            $(assert!((&mut $request).now_or_never().is_none());)+
        }
    };
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
    let key = app.kv.keys().into_iter().find(|key| key.starts_with("idem")).unwrap();
    assert_eq!(app.kv.entry(&key).unwrap().1.expiration_ttl_secs, Some(86_400));
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
async fn isolate_repeats_its_own_response_without_kv() {
    let app = TestApp::new();
    create(&app, LUNCH).await.expect(201);
    assert_eq!(app.kv.take_operations(), [KvOperation::Get, KvOperation::Put, KvOperation::Put]);
    create(&app, LUNCH).await.expect(201);
    assert_eq!(app.kv.take_operations(), []);
    create(&app.isolate(), LUNCH).await.expect(201);
    assert_eq!(app.kv.take_operations(), [KvOperation::Get, KvOperation::Get]);
}

#[tokio::test]
async fn concurrent_requests_with_one_key_create_one_expense() {
    for operation in [KvOperation::Get, KvOperation::Put] {
        let app = TestApp::new();
        app.kv.hold_operation(Some(operation));
        let mut first = Box::pin(create(&app, LUNCH));
        let mut second = Box::pin(create(&app, LUNCH));
        until_kv_is_asked!(app, first, second);
        let mut other = Box::pin(create(&app, DINNER));
        let refused = (&mut other).now_or_never().unwrap();
        key_reused(&refused);
        app.kv.hold_operation(None);
        let (first, second) = tokio::join!(first, second);
        assert_eq!(first.expect(201).body, second.expect(201).body);
        assert_eq!(
            app.kv.take_operations(),
            [KvOperation::Get, KvOperation::Put, KvOperation::Put]
        );
        assert_eq!(app.expenses_of(ADA).await.len(), 1);
    }
}

#[tokio::test]
async fn request_is_409_after_waiting_for_another() {
    let app = TestApp::new();
    app.kv.hold_operation(Some(KvOperation::Put));
    let mut first = Box::pin(create(&app, LUNCH));
    until_kv_is_asked!(app, first);
    let second = create(&app, LUNCH).await.expect(409);
    assert_eq!(second.header("retry-after"), "1");
    assert!(second.detail().contains("still being answered"), "{}", second.detail());
    app.kv.hold_operation(None);
    let first = first.await.expect(201);
    assert_eq!(create(&app, LUNCH).await.expect(201).body, first.body);
}

#[tokio::test]
async fn cancelled_request_does_not_block_its_key() {
    let app = TestApp::new();
    app.kv.hold_operation(Some(KvOperation::Put));
    let mut first = Box::pin(create(&app, LUNCH));
    until_kv_is_asked!(app, first);
    // The runtime cancels the request.
    drop(first);
    app.kv.hold_operation(None);
    app.clock.advance(Duration::seconds(30));
    create(&app, LUNCH).await.expect(201);
    assert_eq!(app.expenses_of(ADA).await.len(), 1);
}

#[tokio::test]
async fn creation_finishes_after_the_client_disconnects() {
    let app = TestApp::new();
    app.kv.hold_operation(Some(KvOperation::Put));
    let request = request(Method::POST, "/expenses")
        .header(header::AUTHORIZATION, format!("Bearer {}", app.authkit.access_token(ADA)))
        .header(header::CONTENT_TYPE, "application/json")
        .header("idempotency-key", "key")
        .extension(WaitUntil::new(|work| drop(tokio::spawn(work))));
    let mut first = Box::pin(app.send(request.body(LUNCH.into()).unwrap()));
    until_kv_is_asked!(app, first);
    drop(first);
    app.kv.hold_operation(None);
    create(&app, LUNCH).await.expect(201);
    assert_eq!(app.kv.take_operations(), [KvOperation::Get, KvOperation::Put, KvOperation::Put]);
    assert_eq!(app.expenses_of(ADA).await.len(), 1);
}

#[tokio::test]
async fn concurrent_isolates_never_overwrite_each_others_expense() {
    let app = TestApp::new();
    let elsewhere = app.isolate();
    app.kv.hold_operation(Some(KvOperation::Put));
    let mut first = Box::pin(create(&app, LUNCH));
    let mut second = Box::pin(create(&elsewhere, DINNER));
    until_kv_is_asked!(app, first);
    assert!((&mut second).now_or_never().is_none());
    app.kv.hold_operation(None);
    let (first, second) = tokio::join!(first, second);
    let (first, second) = (first.expect(201).json(), second.expect(201).json());
    let kept = app.expenses_of(ADA).await;
    assert!(kept.len() == 2 && kept.contains(&first) && kept.contains(&second), "{kept:?}");
}

#[tokio::test]
async fn retry_after_any_failed_write_leaves_one_expense() {
    for successes in [0, 1] {
        for loses_answers in [false, true] {
            for is_elsewhere in [false, true] {
                let case = format!("{successes} {loses_answers} {is_elsewhere}");
                let app = TestApp::new();
                app.kv.fail_after(Some(KvOperation::Put), successes);
                app.kv.lose_responses(loses_answers);
                let failed = create(&app, LUNCH).await.expect(503);
                assert_eq!(failed.header("retry-after"), "2");
                assert!(failed.detail().contains("may or may not have been saved"), "{failed:?}");
                assert!(failed.detail().contains("same Idempotency-Key"), "{failed:?}");
                app.kv.fail(None);
                app.clock.advance(Duration::seconds(2));
                let next = if is_elsewhere { app.isolate() } else { app.clone() };
                let made = create(&next, LUNCH).await.expect(201).json();
                assert_eq!(app.expenses_of(ADA).await, std::slice::from_ref(&made), "{case}");
                assert_eq!(create(&app, LUNCH).await.expect(201).json(), made, "{case}");
                assert_eq!(create(&app.isolate(), LUNCH).await.expect(201).json(), made, "{case}");
                assert_eq!(app.expenses_of(ADA).await.len(), 1, "{case}");
            }
        }
    }
}

#[tokio::test]
async fn late_write_creates_no_second_expense() {
    let app = TestApp::new();
    app.kv.fail(Some(KvOperation::Put));
    app.kv.lose_responses(true);
    create(&app, LUNCH).await.expect(503);
    let late = app.kv.keys().pop().unwrap();
    let (late_value, _) = app.kv.entry(&late).unwrap();
    app.kv.remove_raw(&late);
    app.kv.fail(None);
    app.clock.advance(Duration::seconds(2));
    let made = create(&app, LUNCH).await.expect(201).json();
    app.kv.insert_raw(&late, &late_value, None);
    assert_eq!(create(&app.isolate(), LUNCH).await.expect(201).json(), made);
    assert_eq!(app.expenses_of(ADA).await, [made]);
}

#[tokio::test]
async fn failed_record_lookup_writes_nothing() {
    let app = TestApp::new();
    app.kv.fail(Some(KvOperation::Get));
    let failed = create(&app, LUNCH).await.expect(503);
    assert!(!failed.detail().contains("saved"), "{}", failed.detail());
    assert_eq!(app.kv.keys(), [""; 0]);
    app.kv.fail(None);
    // Another body is accepted: the first request has created nothing.
    let dinner = create(&app, DINNER).await.expect(201).json();
    assert_eq!(dinner["description"], "Dinner");
    assert_eq!(app.expenses_of(ADA).await, [dinner]);
}

#[tokio::test]
async fn retry_finishes_an_interrupted_creation() {
    let app = TestApp::new();
    let first = create(&app, LUNCH).await.expect(201).json();
    // The state after a Worker stopped between the two writes.
    app.kv.remove_raw(&format!("expense:user_ada:{}", first["id"].as_str().unwrap()));
    app.clock.advance(Duration::minutes(9));
    assert_eq!(create(&app.isolate(), LUNCH).await.expect(201).json(), first);
    assert_eq!(app.expenses_of(ADA).await, [first]);
}

#[tokio::test]
async fn repeated_key_does_not_restore_a_deleted_expense() {
    let app = TestApp::new();
    let first = create(&app, LUNCH).await.expect(201).json();
    let token = app.authkit.access_token(ADA);
    let path = format!("/expenses/{}", first["id"].as_str().unwrap());
    app.bearer(&token).delete(&path).await.expect(204);
    app.clock.advance(Duration::minutes(10));
    for isolate in [&app, &app.isolate()] {
        assert_eq!(create(isolate, LUNCH).await.expect(201).json(), first);
    }
    assert_eq!(app.expenses_of(ADA).await, [json!(null); 0]);
}

#[tokio::test]
async fn isolate_forgets_a_key_after_24_hours() {
    let app = TestApp::new();
    create(&app, LUNCH).await.expect(201);
    app.clock.advance(Duration::hours(24) - Duration::minutes(1));
    create(&app, LUNCH).await.expect(201);
    key_reused(&create(&app, DINNER).await);
    app.clock.advance(Duration::minutes(1));
    // KV expires its record at the same time.
    for key in app.kv.keys().iter().filter(|key| key.starts_with("idempotency:")) {
        app.kv.remove_raw(key);
    }
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
