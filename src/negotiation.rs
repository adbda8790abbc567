//! Handlers with two representations: JSON for programs, HTML for browsers.
//!
//! [`by_accept`] and [`by_form`] combine the two handlers of one method and path into one. They choose
//! before either handler's extractors run, so that credentials are checked once and a body is read once.

use std::pin::Pin;

use axum::{
    body::Body,
    extract::{FromRequestParts, Request},
    handler::Handler,
    response::Response,
};
use http::{HeaderMap, header, request::Parts};

use crate::{
    authkit::{has_bearer, origin::RequestOrigin},
    body::is_form,
    browser::{CSV, HTML, prefers, wants_html},
};

/// `html` responds to requests that prefer HTML to JSON and to CSV (`Accept`), `api` to the others.
#[must_use]
pub fn by_accept<A, H>(api: A, html: H) -> Negotiated<A, H> {
    Negotiated { api, html, choice: Choice::Accept }
}

/// `html` responds to forms of this site's own pages, `api` to other requests.
#[must_use]
pub fn by_form<A, H>(api: A, html: H) -> Negotiated<A, H> {
    Negotiated { api, html, choice: Choice::Form }
}

/// A handler that responds with one of two others.
#[derive(Debug, Clone, Copy)]
pub struct Negotiated<A, H> {
    api: A,
    html: H,
    choice: Choice,
}

#[derive(Debug, Clone, Copy)]
enum Choice {
    Accept,
    Form,
}

impl Choice {
    async fn is_html(self, parts: &mut Parts) -> bool {
        match self {
            Self::Accept => wants_html(&parts.headers) && !prefers(&parts.headers, CSV, HTML),
            Self::Form => {
                let origin = RequestOrigin::from_request_parts(parts, &()).await;
                origin.is_ok_and(|origin| is_own_form(&parts.headers, &origin))
            }
        }
    }
}

impl<A, H, T, U, S> Handler<(T, U), S> for Negotiated<A, H>
where
    A: Handler<T, S> + Sync,
    H: Handler<U, S> + Sync,
    S: Send + 'static,
{
    type Future = Pin<Box<dyn Future<Output = Response> + Send>>;

    fn call(self, request: Request<Body>, state: S) -> Self::Future {
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            let is_html = self.choice.is_html(&mut parts).await;
            let request = Request::from_parts(parts, body);
            if is_html {
                self.html.call(request, state).await
            } else {
                self.api.call(request, state).await
            }
        })
    }
}

/// Whether a page of this origin sent this form, without a bearer token: the session cookie counts for
/// no other site's form (CSRF).
#[must_use]
pub fn is_own_form(headers: &HeaderMap, origin: &RequestOrigin) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(is_form)
        && !has_bearer(headers)
        && origin.is_same_origin_form(headers)
}
