//! The layer around a protected application: one service around each route. It determines the request's origin,
//! redirects plain http, gives the request a [`RequestContext`], which the extractors need, makes responses of
//! errors, and writes the session that a request has renewed or ended into the response's cookies.
//!
//! A response may be late: by then, another request may have renewed the session that this one would set,
//! or its user may have signed out. So the layer asks the session's keeper for the newest session and sets that
//! one.

use std::{
    convert::Infallible,
    future::ready,
    sync::Arc,
    task::{Context as TaskContext, Poll},
};

use axum::{
    Router,
    extract::Request,
    response::{IntoResponse, Response},
    routing::Route,
};
use chrono::{DateTime, Utc};
use edge_host::{Cause, Emit as _, Scope, Scoped};
use futures_util::{FutureExt, future::BoxFuture};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    authkit::AuthKit,
    bearer::has_bearer,
    browser::redirect,
    context::{RequestContext, Update},
    cookie::RequestCookies,
    error::AppError,
    error_layer::{ErrorResponder, REQUEST_ID_HEADER, RenderError, SetHeaders},
    events::AuthKitEvent,
    observer::{Observer, RequestName},
    origin::{Origins, RequestOrigin},
    routes,
    session_kept::{SignedInMarker, confirm_session},
};

impl AuthKit {
    /// Puts an application behind AuthKit: adds the sign-in's routes, and the layer that renews sessions,
    /// redirects plain http and responds to errors. Handlers of `app` can take
    /// [`CurrentUser`](crate::CurrentUser) and the other extractors.
    ///
    /// # Panics
    ///
    /// If `app` has a route of the sign-in itself, such as `GET /me`.
    pub fn protect(self, app: Router) -> Router {
        layer(&Arc::new(self), app.merge(routes::routes()))
    }
}

/// Puts `app` behind AuthKit, without AuthKit's routes: an application that lists all routes itself merges
/// [`routes()`](crate::routes()) into its own. Layers of the application that every response needs go around
/// the result; [`AuthKit::with_response_headers`] sets headers without a layer.
pub fn layer(authkit: &Arc<AuthKit>, app: Router) -> Router {
    app.layer(ProtectLayer(Arc::new(Protection {
        origins: Origins::new(authkit.public_origin()),
        render: Arc::clone(&authkit.render_error),
        set_headers: authkit.set_headers.clone(),
        observer: authkit.observer.clone(),
        authkit: Some(Arc::clone(authkit)),
    })))
}

/// The layer of an application that serves an error instead of its routes, because its configuration is
/// invalid: the https redirect, the error's page, headers of every response, and the observer of requests.
pub fn layer_without_authkit(
    app: Router,
    render: RenderError,
    set_headers: Option<SetHeaders>,
    observer: Option<Observer>,
) -> Router {
    app.layer(ProtectLayer(Arc::new(Protection {
        origins: Origins::new(None),
        render,
        set_headers,
        observer,
        authkit: None,
    })))
}

/// The state of the layer, which all routes share.
struct Protection {
    origins: Origins,
    render: RenderError,
    set_headers: Option<SetHeaders>,
    observer: Option<Observer>,
    /// `None` while the configuration is invalid.
    authkit: Option<Arc<AuthKit>>,
}

#[derive(Clone)]
struct ProtectLayer(Arc<Protection>);

/// A route behind the layer.
#[derive(Clone)]
struct ProtectedRoute {
    route: Route,
    protection: Arc<Protection>,
}

impl Layer<Route> for ProtectLayer {
    type Service = ProtectedRoute;

    fn layer(&self, route: Route) -> ProtectedRoute {
        ProtectedRoute { route, protection: Arc::clone(&self.0) }
    }
}

impl Service<Request> for ProtectedRoute {
    type Response = Response;
    type Error = Infallible;
    type Future = Scoped<BoxFuture<'static, Result<Response, Infallible>>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        // A route is always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let protection = Arc::clone(&self.protection);
        let scope = Scope::new(request.headers().get(REQUEST_ID_HEADER).cloned());
        let began = protection.observer.as_ref().map(Observer::begin);
        let name = RequestName::of(&request);
        let (facts, refusal) = protection.prepare(&mut request);
        let response = match refusal {
            Some(refusal) => ready(Ok(refusal)).left_future(),
            None => self.route.call(request).right_future(),
        };
        let finished = async move {
            let Ok(response) = response.await;
            let mut response = protection.finish(facts, &name, response).await;
            if let (Some(observer), Some(began)) = (&protection.observer, began) {
                observer.end(began, &name, &mut response);
            }
            Ok(response)
        };
        Scoped::new(scope, Box::pin(finished))
    }
}

/// The facts of a request that its response needs.
struct RequestFacts {
    origin: Option<RequestOrigin>,
    errors: ErrorResponder,
    session: Option<CarriedSession>,
}

/// The cookies of a request, whose session the response may change.
struct CarriedSession {
    authkit: Arc<AuthKit>,
    context: RequestContext,
    /// The values of the `Cookie` headers.
    cookies: Vec<HeaderValue>,
    began: DateTime<Utc>,
}

impl Protection {
    /// Prepares a request for its route, or refuses it.
    fn prepare(&self, request: &mut Request) -> (RequestFacts, Option<Response>) {
        let origin = self.origins.of_request(request);
        let refusal = origin.as_ref().and_then(|origin| refuse_plain_http(origin, request));
        let errors = ErrorResponder::new(request);
        let session = match (&self.authkit, &refusal) {
            (Some(authkit), None) => {
                let context = RequestContext::new(Arc::clone(authkit), origin.clone(), request);
                let session = CarriedSession::new(authkit, &context, request.headers());
                request.extensions_mut().insert(context);
                session
            }
            _ => None,
        };
        (RequestFacts { origin, errors, session }, refusal)
    }

    /// Makes the client's response of a route's.
    async fn finish(
        &self,
        facts: RequestFacts,
        name: &RequestName,
        mut response: Response,
    ) -> Response {
        let RequestFacts { origin, errors, session } = facts;
        if let Some(session) = session {
            session.set_cookies(response.headers_mut()).await;
        }
        let mut response = errors.respond(response, name, &self.render);
        if let Some(set_headers) = &self.set_headers {
            set_headers(response.headers_mut(), origin.as_ref());
        }
        response
    }
}

impl CarriedSession {
    /// `None` for a request without a cookie, which has no session to carry.
    fn new(authkit: &Arc<AuthKit>, context: &RequestContext, headers: &HeaderMap) -> Option<Self> {
        let cookies: Vec<_> = headers.get_all(header::COOKIE).iter().cloned().collect();
        (!cookies.is_empty()).then(|| Self {
            authkit: Arc::clone(authkit),
            context: context.clone(),
            cookies,
            began: authkit.clock.now(),
        })
    }

    /// Writes the session that the request has renewed or ended into the response's cookies.
    async fn set_cookies(self, response: &mut HeaderMap) {
        let update = self.context.session_update().take();
        if update.is_some() || self.cookies.iter().any(SignedInMarker::may_be_in) {
            self.write_cookies(update, response).await;
        }
    }

    /// Confirms the session of a sign-in, and writes the update. In a box, because it is rare, and every request's future
    /// would otherwise be larger.
    fn write_cookies(self, update: Option<Update>, response: &mut HeaderMap) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let Self { authkit, context, cookies, began } = self;
            let Ok(origin) = context.origin() else { return };
            let cookies = RequestCookies::from_values(&cookies);
            let cookie = authkit.config.cookie.session_cookie(origin);
            confirm_session(&cookie, origin, &cookies, response);
            let set_cookies = match update {
                None => return,
                Some(Update::Ended) => {
                    // A sign-in may have followed the request, and its cookie would go too.
                    let sessions = cookie.read(&cookies, |sealed| authkit.open_session(sealed));
                    for known in sessions {
                        if authkit.session_keepers.is_replaced(&known.session, began).await {
                            return;
                        }
                    }
                    cookie.remove(&cookies)
                }
                Some(Update::Set(session)) => {
                    match authkit.session_keepers.newest(session, began).await {
                        Some(newest) => cookie
                            .write(&newest.seal(&authkit.session_sealer), &cookies)
                            .unwrap_or_else(|error| {
                                // The old cookie stays; it leads to the new session.
                                AuthKitEvent::SessionNotSet { cause: Cause(&error) }.emit();
                                Vec::new()
                            }),
                        None => Vec::new(),
                    }
                }
            };
            for value in set_cookies {
                response.append(header::SET_COOKIE, value);
            }
        })
    }
}

/// The response to plain http, except on this machine: everybody on the way can read and change it. A client
/// that has sent a token gets 403, because a redirect would hide that others may have the token now.
fn refuse_plain_http(origin: &RequestOrigin, request: &Request) -> Option<Response> {
    origin.is_exposed().then(|| plain_http_refusal(origin, request))
}

#[cold]
#[inline(never)]
fn plain_http_refusal(origin: &RequestOrigin, request: &Request) -> Response {
    if has_bearer(request.headers()) {
        let detail = "The token was sent over plain http, where others can read it: \
                      get another one, and send it to the https address";
        return AppError::new(StatusCode::FORBIDDEN, detail).into_response();
    }
    redirect(StatusCode::PERMANENT_REDIRECT, &origin.by_https(request.uri()))
}
