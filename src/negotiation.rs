//! Handlers with two representations: JSON for programs, HTML for browsers.
//!
//! [`by_accept`], [`by_form`] and [`by_upload`] combine the two handlers of one method and path into one. They choose
//! before either handler's extractors run, so that credentials are checked once and a body is read once.

use axum::{body::Body, extract::Request, handler::Handler};
use http::{HeaderMap, HeaderValue, header, request::Parts};

use crate::{
    body::{is_form, is_upload, read_body, read_json},
    fastapi::Fields,
};
use axum_authkit::{
    AppError,
    browser::{CSV, HTML, prefers, wants_html},
    has_bearer,
    origin::RequestOrigin,
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

/// `html` responds to forms with a file of this site's own pages, `api` to other requests.
#[must_use]
pub fn by_upload<A, H>(api: A, html: H) -> Negotiated<A, H> {
    Negotiated { api, html, choice: Choice::Upload }
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
    Upload,
}

impl Choice {
    fn is_html(self, parts: &Parts) -> bool {
        match self {
            Self::Accept => wants_html(&parts.headers) && !prefers(&parts.headers, CSV, HTML),
            Self::Form | Self::Upload => {
                let origin = RequestOrigin::of_parts(parts);
                let is_type = if matches!(self, Self::Form) { is_form } else { is_upload };
                origin.is_some_and(|origin| is_own(&parts.headers, &origin, is_type))
            }
        }
    }
}

impl<A, H, T, U, S> Handler<(T, U), S> for Negotiated<A, H>
where
    A: Handler<T, S>,
    H: Handler<U, S, Future = A::Future>,
    S: Send + 'static,
{
    type Future = A::Future;

    fn call(self, request: Request<Body>, state: S) -> Self::Future {
        let (parts, body) = request.into_parts();
        let is_html = self.choice.is_html(&parts);
        let request = Request::from_parts(parts, body);
        if is_html { self.html.call(request, state) } else { self.api.call(request, state) }
    }
}

/// Whether a page of this origin sent this form, without a bearer token: the session cookie counts for
/// no other site's form (CSRF).
#[must_use]
pub fn is_own_form(headers: &HeaderMap, origin: &RequestOrigin) -> bool {
    is_own(headers, origin, is_form)
}

/// The fields of a JSON body or of a form, and whether one of this site's own pages has sent the form.
///
/// # Errors
///
/// 400, 413, 415 and 422; a form of another client is 415.
pub(crate) async fn read_fields(
    origin: &RequestOrigin,
    request: Request,
) -> Result<(Fields, bool), AppError> {
    let (parts, body) = request.into_parts();
    let is_own_form = is_own_form(&parts.headers, origin);
    let fields = if is_own_form {
        Fields::of_form(&read_body(body).await?)
    } else {
        Fields::of(read_json(&parts.headers, body).await?)?
    };
    Ok((fields, is_own_form))
}

/// [`is_own_form`] for a form of some media type.
fn is_own(headers: &HeaderMap, origin: &RequestOrigin, is_type: fn(&HeaderValue) -> bool) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(is_type)
        && !has_bearer(headers)
        && origin.is_same_origin_form(headers)
}

#[cfg(test)]
mod tests {
    use axum::routing::{MethodRouter, get, post};
    use http::{Method, StatusCode};
    use tower::ServiceExt as _;

    use super::*;

    async fn send(handlers: MethodRouter, request: http::request::Builder) -> (StatusCode, String) {
        let request = request.uri("https://app.test/").body(Body::from("body")).unwrap();
        let response = handlers.oneshot(request).await.unwrap();
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 100).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn by_accept_chooses_html_over_json_and_csv() {
        for (accept, expected) in [
            ("text/html", "html"),
            ("text/html, text/csv;q=0.5", "html"),
            ("text/html, text/csv", "api"),
            ("application/json, text/html;q=0.1", "api"),
            ("*/*", "api"),
        ] {
            for method in [Method::GET, Method::HEAD] {
                let handlers = get(by_accept(async || (), async || StatusCode::IM_A_TEAPOT));
                let request = http::Request::builder().method(method).header("accept", accept);
                let (status, _) = send(handlers, request).await;
                assert_eq!(status == StatusCode::IM_A_TEAPOT, expected == "html", "{accept}");
            }
        }
    }

    #[tokio::test]
    async fn by_form_chooses_forms_of_this_origin() {
        let form = "application/x-www-form-urlencoded";
        for (headers, expected) in [
            (&[("content-type", form), ("sec-fetch-site", "same-origin")][..], "html: body"),
            (&[("content-type", form), ("sec-fetch-site", "cross-site")], "api: body"),
            (&[("content-type", form)], "api: body"),
            (
                &[("content-type", "application/json"), ("sec-fetch-site", "same-origin")],
                "api: body",
            ),
            (
                &[
                    ("content-type", form),
                    ("sec-fetch-site", "same-origin"),
                    ("authorization", "Bearer x"),
                ],
                "api: body",
            ),
        ] {
            let handlers = post(by_form(
                async |body: String| format!("api: {body}"),
                async |body: String| format!("html: {body}"),
            ));
            let request = headers
                .iter()
                .fold(http::Request::builder().method(Method::POST), |request, (name, value)| {
                    request.header(*name, *value)
                });
            assert_eq!(send(handlers, request).await.1, expected, "{headers:?}");
        }
    }
}
