//! The report to an application at the end of each request, for its log and for a header of the response.

use std::sync::Arc;

use axum::{
    extract::{MatchedPath, Request},
    response::Response,
};
use chrono::{DateTime, Utc};
use edge_host::{Clock, Scope, in_current};
use http::{HeaderMap, Method, StatusCode};

edge_host::opaque_debug!(EndedRequest<'a>, Observer);

/// A request whose response is complete, except for a body that is sent in parts.
pub struct EndedRequest<'a> {
    /// The name of the method; `OTHER` for one that HTTP's specifications do not have.
    pub method: &'static str,
    /// The pattern of the route, such as `/orders/{id}`; `None` for a path without a route.
    pub route: Option<&'a str>,
    /// The status.
    pub status: StatusCode,
    /// The milliseconds since the request arrived. On Workers time stands still except for I/O.
    pub millis: u32,
    /// The request's user, and its waits for services.
    pub scope: &'a Scope,
}

type Observe = dyn Fn(&EndedRequest<'_>, &mut HeaderMap) + Send + Sync;

/// Takes each request at its end, with the headers of its response, which it may change.
#[derive(Clone)]
pub struct Observer {
    clock: Arc<dyn Clock>,
    observe: Arc<Observe>,
}

impl Observer {
    /// Calls `observe` for each request, whose time is by `clock`.
    #[must_use]
    pub fn new(
        clock: Arc<dyn Clock>,
        observe: impl Fn(&EndedRequest<'_>, &mut HeaderMap) + Send + Sync + 'static,
    ) -> Self {
        Self { clock, observe: Arc::new(observe) }
    }

    /// A request arrives.
    pub(crate) fn begin(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// A request that began at `began` ends.
    pub(crate) fn end(&self, began: DateTime<Utc>, request: &RequestName, response: &mut Response) {
        let millis = (self.clock.now() - began).num_milliseconds();
        let status = response.status();
        in_current(|scope| {
            let ended = EndedRequest {
                method: request.method(),
                route: request.route(),
                status,
                millis: u32::try_from(millis).unwrap_or(0),
                scope,
            };
            (self.observe)(&ended, response.headers_mut());
        });
    }
}

/// How events name a request: by its method and its route. A path has ids in it, and a query has codes.
#[derive(Clone)]
pub struct RequestName {
    method: Method,
    route: Option<MatchedPath>,
}

impl RequestName {
    pub(crate) fn of(request: &Request) -> Self {
        let route = request.extensions().get::<MatchedPath>().cloned();
        Self { method: request.method().clone(), route }
    }

    pub(crate) fn method(&self) -> &'static str {
        match self.method {
            Method::GET => "GET",
            Method::HEAD => "HEAD",
            Method::POST => "POST",
            Method::PUT => "PUT",
            Method::PATCH => "PATCH",
            Method::DELETE => "DELETE",
            Method::OPTIONS => "OPTIONS",
            _ => "OTHER",
        }
    }

    pub(crate) fn route(&self) -> Option<&str> {
        self.route.as_ref().map(MatchedPath::as_str)
    }
}
