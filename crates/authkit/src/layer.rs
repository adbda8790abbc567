//! The layer around a protected application. It gives each request a [`RequestContext`], which the
//! extractors need, and writes the session that a request has renewed or ended into the response's
//! cookies, for every response of the application.
//!
//! A response may be late: by then, another request may have renewed the session that this one would set,
//! or its user may have signed out. So the layer asks the session's keeper for the newest session and sets that
//! one.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
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
    error_layer::{ErrorResponder, RenderError},
    origin::RequestOrigin,
    routes,
    session_kept::confirm_session,
};

impl AuthKit {
    /// Puts an application behind AuthKit: adds the sign-in's routes, and the layers that renew sessions,
    /// redirect plain http and respond to errors. Handlers of `app` can take
    /// [`CurrentUser`](crate::CurrentUser) and the other extractors.
    pub fn protect(self, app: Router) -> Router {
        layer(&Arc::new(self), app.merge(routes::routes()))
    }
}

/// Puts `app` behind AuthKit, without AuthKit's routes: an application that lists all routes itself merges
/// [`routes()`](crate::routes()) into its own. Layers of the application that every response needs go around
/// the result.
pub fn layer(authkit: &Arc<AuthKit>, app: Router) -> Router {
    let app = app.layer(from_fn_with_state(Arc::clone(authkit), carry_session));
    outer_layer(app, authkit.public_origin().cloned(), Arc::clone(&authkit.render_error))
}

/// The layer of an application that serves an error instead of its routes, because its configuration is
/// invalid: the https redirect and the error's page.
pub fn layer_without_authkit(app: Router, render: RenderError) -> Router {
    outer_layer(app, None, render)
}

fn outer_layer(app: Router, public_origin: Option<Url>, render: RenderError) -> Router {
    app.layer(from_fn_with_state(Arc::new((public_origin, render)), handle_request))
}

/// The outer layer: gives the request its [`RequestOrigin`], redirects plain http, and makes responses of
/// errors.
async fn handle_request(
    State(state): State<Arc<(Option<Url>, RenderError)>>,
    mut request: Request,
    next: Next,
) -> Response {
    let (public_origin, render) = &*state;
    let origin = RequestOrigin::settle(&mut request, public_origin.as_ref());
    let errors = ErrorResponder::new(&request);
    let response = match origin.and_then(|origin| refuse_plain_http(&origin, &request)) {
        Some(response) => response,
        None => next.run(request).await,
    };
    errors.respond(response, render)
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
    let Ok(origin) = context.origin() else { return response };
    let cookies = RequestCookies::from_headers(&cookie_headers);
    let cookie = authkit.config.cookie.session_cookie(origin);
    confirm_session(&cookie, origin, &cookies, response.headers_mut());
    let Some(update) = context.session_update().take() else { return response };
    let set_cookies = match update {
        Update::Ended => cookie.remove(&cookies),
        Update::Set(session) => match authkit.session_keepers.newest(session, began).await {
            Some(newest) => cookie
                .write(&newest.seal(&authkit.session_sealer), &cookies)
                .unwrap_or_else(|error| {
                    // The old cookie stays; it leads to the new session.
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

/// The response to plain http, except on this machine: everybody on the way can read and change it. A client
/// that has sent a token gets 403, because a redirect would hide that others may have the token now.
fn refuse_plain_http(origin: &RequestOrigin, request: &Request) -> Option<Response> {
    if !origin.is_exposed() {
        return None;
    }
    if has_bearer(request.headers()) {
        let detail = "The token was sent over plain http, where others can read it: \
                      get another one, and send it to the https address";
        return Some(AppError::new(StatusCode::FORBIDDEN, detail).into_response());
    }
    Some(redirect(StatusCode::PERMANENT_REDIRECT, &origin.by_https(request.uri())))
}
