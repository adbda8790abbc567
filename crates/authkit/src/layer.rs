//! Carrying the session: when a request has renewed or ended its session, its answer tells the
//! browser, whatever else the answer says.
//!
//! The [`carry_session`] layer puts a [`SessionUpdate`] into the request; the extractor writes into
//! it, and the layer sets the cookies of the answer by it.
//!
//! An answer may be late: by the time it is there, another request may have spent the session that
//! it would set, or signed out. So the layer asks what has come after it, and sets that.

use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    extract::{FromRequestParts, Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, header};

use super::{
    AuthKit, cookie::RequestCookies, origin::RequestOrigin, refresh::RefreshError, session::Session,
};

/// What became of a request's session. Shared by the request and the layer around it.
#[derive(Clone, Default)]
pub struct SessionUpdate(Arc<Mutex<Option<Change>>>);

#[derive(Clone)]
enum Change {
    Set(Arc<Session>),
    Ended,
}

impl SessionUpdate {
    /// The browser is to have `session`, or what comes after it by then.
    pub fn set(&self, session: Arc<Session>) {
        self.replace(Change::Set(session));
    }

    /// Where WorkOS has ended the session, the browser's is over too.
    ///
    /// # Errors
    ///
    /// `renewed`'s own.
    pub fn end_if_ended<T>(&self, renewed: Result<T, RefreshError>) -> Result<T, RefreshError> {
        renewed.inspect_err(|error| {
            if *error == RefreshError::Ended {
                self.end();
            }
        })
    }

    /// The session is over: its user has signed out, or WorkOS has ended it.
    pub fn end(&self) {
        self.replace(Change::Ended);
    }

    /// Nothing has become of the session.
    pub fn reset(&self) {
        self.take();
    }

    fn replace(&self, change: Change) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(change);
    }

    fn take(&self) -> Option<Change> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The layer; it goes around every route whose handler asks who is calling.
pub async fn carry_session(
    State(authkit): State<Arc<AuthKit>>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    // Without a cookie there is no session to carry.
    if !parts.headers.contains_key(header::COOKIE) {
        return next.run(Request::from_parts(parts, body)).await;
    }
    let change = SessionUpdate::default();
    let began = authkit.clock.now();
    parts.extensions.insert(change.clone());
    let origin = RequestOrigin::from_request_parts(&mut parts, &()).await;
    let cookie_headers: HeaderMap = parts
        .headers
        .get_all(header::COOKIE)
        .iter()
        .map(|value| (header::COOKIE, value.clone()))
        .collect();

    let mut response = next.run(Request::from_parts(parts, body)).await;
    let (Some(change), Ok(origin)) = (change.take(), origin) else { return response };
    let cookies = RequestCookies::from_headers(&cookie_headers);
    let cookie = authkit.config.cookie.session_cookie(&origin);
    let set_cookies = match change {
        Change::Ended => cookie.remove(&cookies),
        Change::Set(session) => match authkit.refresher.newest(session, began).await {
            Some(newest) => cookie
                .write(&newest.seal(&authkit.session_sealer), &cookies)
                .unwrap_or_else(|error| {
                    // The old cookie stays; it leads to the new session for a while.
                    log::error!("a renewed session cannot be set: {error}");
                    Vec::new()
                }),
            None => Vec::new(),
        },
    };
    for value in set_cookies {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    response
}
