//! Messages to the ledger of a user, one to a line, and the same lines as responses of a ledger.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use edge_host::{ObjectError, ObjectNamespace};
use http::{HeaderMap, Method};
use serde_json::Value;

use super::{
    router::{api, copy, get, run},
    support::ADA,
};

/// The messages of one input.
const MAX_MESSAGES: usize = 8;

pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let lines: Vec<&str> = text.lines().take(MAX_MESSAGES).collect();
    run(async |app| {
        app.store_expense(ADA, "Lunch");
        // The first request shows the name of Ada's object.
        api(
            app,
            Method::POST,
            "/expenses",
            &HeaderMap::new(),
            br#"{"description":"Tea","amount":1}"#,
        )
        .await
        .expect(201);
        let names = app.ledgers.names();
        let [name] = &names[..] else { panic!("{names:?}") };
        for line in &lines {
            // An error is the response to a message of another form or version.
            if let Ok(response) = app.ledgers.send(name, line).await {
                let response: Value = serde_json::from_str(&response).unwrap();
                assert_eq!(response["v"], 1);
                assert!(!response["outcome"].is_null());
                // The same message has the same effect once more, and does not fail.
                assert!(app.ledgers.send(name, line).await.is_ok());
            }
            app.ledgers.evict_all();
        }
        app.settle();
        get(app, "/expenses").await.expect(200);
        get(app, "/expenses/summary").await.expect(200);
    });
    run(async |app| {
        let responses = lines.iter().map(|line| (*line).to_owned()).collect();
        let ledger = Arc::new(Responses { responses, next: AtomicUsize::new(0) });
        let app = app.isolate_with_objects(Arc::new(app.sessions.clone()), ledger);
        let path = format!("/expenses/{}", app.store_expense(ADA, "Lunch"));
        let body = br#"{"description":"Tea","amount":1}"#;
        for (method, path) in [
            (Method::GET, "/expenses"),
            (Method::GET, &path),
            (Method::POST, "/expenses"),
            (Method::PUT, &path),
            (Method::PATCH, &path),
            (Method::DELETE, &path),
        ] {
            copy(&app, method, path, body).await;
        }
    });
}

/// A ledger that responds with these texts in turn.
struct Responses {
    responses: Vec<String>,
    next: AtomicUsize,
}

#[async_trait]
impl ObjectNamespace for Responses {
    async fn send(&self, _: &str, _: &str) -> Result<String, ObjectError> {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        Ok(self.responses.get(next % self.responses.len().max(1)).cloned().unwrap_or_default())
    }
}
