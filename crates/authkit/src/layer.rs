//! The layer around a protected application. It gives each request a [`RequestContext`], which the
//! extractors need, and writes the session that a request has renewed or ended into the response's
//! cookies, for every response of the application.
//!
//! A response may be late: by then, another request may have renewed the session that this one would set,
//! or its user may have signed out. So the layer looks for the newest session and sets that one.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header};
use url::Url;

use crate::{
    authkit::AuthKit,
    browser::redirect,
    context::{RequestContext, Update},
    cookie::RequestCookies,
    current_user::has_bearer,
    error::AppError,
    error_layer::{RenderError, handle_errors},
    origin::RequestOrigin,
    routes,
    session_kept::confirm_session,
};

impl AuthKit {
    /// Puts an application behind AuthKit: adds the sign-in's routes, and the layers that renew sessions,
    /// redirect plain http and respond to errors. Handlers of `app` can take [`CurrentUser`] and the other
    /// extractors.
    #[must_use]
    pub fn protect(self, app: Router) -> Router {
        layer(&Arc::new(self), app.merge(routes::routes()))
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
