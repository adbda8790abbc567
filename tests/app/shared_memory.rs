//! An isolate's caches: a busy user does not evict entries of other users.

use axum::body::Body;
use axum_authkit::{
    seal::{Purpose, Sealer},
    session::Session,
};
use chrono::Duration;
use futures_util::FutureExt;
use http::{Method, header};
use serde_json::json;

use crate::support::{
    ADA, Client, GRACE, KvOperation, TestApp,
    app::{PASSWORD, SESSION_COOKIE, request},
    authkit::ACCESS_TOKEN_TTL_SECS,
};

/// More entries than an isolate caches.
const FLOOD: usize = 1_001;

#[tokio::test]
async fn renewals_of_one_user_evict_no_others() {
    let app = TestApp::new();
    let mut grace = app.signed_in(GRACE).await;
    let mut ada = app.signed_in(ADA).await;
    let expired_token = app.authkit.access_token(ADA);
    app.clock.advance(Duration::seconds(ACCESS_TOKEN_TTL_SECS));
    let mut graces_other_tab = grace.clone();
    grace.get("/me").await.expect(200);
    app.clock.advance(Duration::seconds(1));
    let sealer = Sealer::new(Purpose::Session, &PASSWORD.into(), None);
    app.authkit_kv.hold_operation(Some(KvOperation::Get));
    for number in 0..FLOOD {
        let session: Session = serde_json::from_value(json!({
            "access_token": expired_token, "refresh_token": format!("made up {number}"),
            "user": {"id": ADA.id, "email": ADA.email},
        }))
        .unwrap();
        let cookie = format!("{SESSION_COOKIE}={}", session.seal(&sealer));
        let request = request(Method::GET, "/me").header(header::COOKIE, cookie);
        assert!(app.send(request.body(Body::empty()).unwrap()).now_or_never().is_none());
    }
    app.authkit_kv.hold_operation(None);
    ada.get("/me").await.expect(200);
    let refreshes = app.authkit.refresh_count();
    // Only the isolate's memory is left.
    app.authkit_kv.fail(Some(KvOperation::Get));
    graces_other_tab.get("/me").await.expect(200);
    assert_eq!(app.authkit.refresh_count(), refreshes);
}
