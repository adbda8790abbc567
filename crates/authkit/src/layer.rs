//! The layer around a protected application. It gives each request a [`RequestContext`], which the
//! extractors need, and writes the session that a request has renewed or ended into the response's
//! cookies, for every response of the application.
//!
//! A response may be late: by then, another request may have renewed the session that this one would set,
//! or its user may have signed out. So the layer looks for the newest session and sets that one.

use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    Router,
    extract::{FromRequestParts, Request, State},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
};
use edge_host::WaitUntil;
use http::{HeaderMap, StatusCode, header, request::Parts};
use url::Url;

use crate::{
    AuthKit,
    browser::redirect,
    cookie::RequestCookies,
    current_user::has_bearer,
    error::AppError,
    error_layer::{RenderError, handle_errors},
    origin::RequestOrigin,
    refresh::RefreshError,
    rejection::Rejection,
    session::Session,
    session_kept::confirm_session,
    workos::ClientInfo,
};

/// What AuthKit knows of a request. The layer makes it; extractors and handlers share it.
#[derive(Clone)]
pub struct RequestContext(Arc<Context>);

struct Context {
    authkit: Arc<AuthKit>,
    origin: Option<RequestOrigin>,
    path: Box<str>,
    client: ClientInfo,
    wait_until: WaitUntil,
    session_update: SessionUpdate,
}

impl RequestContext {
    fn new(authkit: Arc<AuthKit>, parts: &Parts) -> Self {
        let origin = parts.extensions.get::<RequestOrigin>().cloned();
        Self(Arc::new(Context {
            origin: origin.or_else(|| RequestOrigin::of_request(parts, authkit.public_origin())),
            path: parts.uri.path().into(),
            client: ClientInfo::from_headers(&parts.headers),
            wait_until: parts.extensions.get().cloned().unwrap_or_default(),
            session_update: SessionUpdate::default(),
            authkit,
        }))
    }

    /// The application's AuthKit.
    #[must_use]
    pub fn authkit(&self) -> &Arc<AuthKit> {
        &self.0.authkit
    }

    /// The origin that the browser sees.
    ///
    /// # Errors
    ///
    /// [`Rejection::NoHost`].
    pub fn origin(&self) -> Result<&RequestOrigin, Rejection> {
        self.0.origin.as_ref().ok_or(Rejection::NoHost)
    }

    /// The path that the client asked for.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// The client's address and user agent, as WorkOS's audit log shows them.
    #[must_use]
    pub fn client(&self) -> &ClientInfo {
        &self.0.client
    }

    /// Finishes work that outlives the response.
    #[must_use]
    pub fn wait_until(&self) -> &WaitUntil {
        &self.0.wait_until
    }

    pub(crate) fn session_update(&self) -> &SessionUpdate {
        &self.0.session_update
    }

    /// # Errors
    ///
    /// [`Rejection::MissingLayer`] outside of the layer.
    pub(crate) fn of(parts: &Parts) -> Result<&Self, Rejection> {
        parts.extensions.get().ok_or(Rejection::MissingLayer)
    }
}

impl<S: Sync> FromRequestParts<S> for RequestContext {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Rejection> {
        Self::of(parts).cloned()
    }
}

/// The session that the response of a request hands to the browser.
#[derive(Default)]
pub(crate) struct SessionUpdate(Mutex<Option<Update>>);

enum Update {
    Set(Arc<Session>),
    Ended,
}

impl SessionUpdate {
    /// The browser gets `session`, or the newest session that has followed it by then.
    pub fn set(&self, session: Arc<Session>) {
        self.replace(Some(Update::Set(session)));
    }

    /// Ends the browser's session where WorkOS has ended it.
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
        self.replace(Some(Update::Ended));
    }

    /// The browser keeps the session that it has.
    pub fn reset(&self) {
        self.replace(None);
    }

    fn replace(&self, update: Option<Update>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = update;
    }

    fn take(&self) -> Option<Update> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Puts `app` behind AuthKit, without AuthKit's routes: an application that lists all routes itself merges
/// [`routes()`](crate::routes()) into its own. Layers of the application that every response needs go around
/// the result.
pub fn layer(authkit: &Arc<AuthKit>, app: Router) -> Router {
    let app = app
        .layer(from_fn_with_state(Arc::clone(authkit), carry_session))
        .layer(from_fn_with_state(Arc::clone(authkit), confirm_session))
        .layer(from_fn(require_https))
        .layer(from_fn_with_state(Arc::clone(&authkit.render_error), handle_errors));
    settle_origin(app, authkit.public_origin().cloned())
}

/// The layers of an application that serves an error instead of its routes, because its configuration is
/// invalid: the https redirect and the error's page.
pub fn layer_without_authkit(app: Router, render: RenderError) -> Router {
    let app = app.layer(from_fn(require_https)).layer(from_fn_with_state(render, handle_errors));
    settle_origin(app, None)
}

/// Adds the layer that gives each request its [`RequestOrigin`]. An application may put it around layers
/// of its own.
pub fn settle_origin(app: Router, public_origin: Option<Url>) -> Router {
    app.layer(from_fn_with_state(Arc::new(public_origin), insert_origin))
}

/// The layer that makes the request's context and carries the session.
async fn carry_session(
    State(authkit): State<Arc<AuthKit>>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let context = RequestContext::new(authkit, &parts);
    parts.extensions.insert(context.clone());
    // Without a cookie there is no session to carry.
    if !parts.headers.contains_key(header::COOKIE) {
        return next.run(Request::from_parts(parts, body)).await;
    }
    let authkit = context.authkit();
    let began = authkit.clock.now();
    let cookie_headers: HeaderMap = parts
        .headers
        .get_all(header::COOKIE)
        .iter()
        .map(|value| (header::COOKIE, value.clone()))
        .collect();

    let mut response = next.run(Request::from_parts(parts, body)).await;
    let (Some(update), Ok(origin)) = (context.session_update().take(), context.origin()) else {
        return response;
    };
    let cookies = RequestCookies::from_headers(&cookie_headers);
    let cookie = authkit.config.cookie.session_cookie(origin);
    let set_cookies = match update {
        Update::Ended => cookie.remove(&cookies),
        Update::Set(session) => match authkit.refresher.newest(session, began).await {
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

/// The layer that serves nothing by plain http except on this machine: everybody on the way reads and
/// changes it. A client that has sent a token is told so, because a redirect would hide that others may
/// have the token now.
async fn require_https(request: Request, next: Next) -> Response {
    let exposed = request.extensions().get::<RequestOrigin>().filter(|origin| origin.is_exposed());
    let Some(origin) = exposed else { return next.run(request).await };
    if has_bearer(request.headers()) {
        let detail = "The token was sent over plain http, where others can read it: \
                      get another one, and send it to the https address";
        return AppError::new(StatusCode::FORBIDDEN, detail).into_response();
    }
    redirect(StatusCode::PERMANENT_REDIRECT, &origin.by_https(request.uri()))
}

async fn insert_origin(
    State(public_origin): State<Arc<Option<Url>>>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    if parts.extensions.get::<RequestOrigin>().is_none()
        && let Some(origin) = RequestOrigin::of_request(&parts, (*public_origin).as_ref())
    {
        parts.extensions.insert(origin);
    }
    next.run(Request::from_parts(parts, body)).await
}
