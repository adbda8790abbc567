//! The response to an [`AppError`]: the outer layer makes it. It reports the cause once, with the request's ID;
//! an unexpected failure shows that ID and no internals; a browser gets a page, other clients JSON.

use std::sync::Arc;

use axum::{
    extract::Request,
    response::{IntoResponse, Response},
};
use edge_host::{Cause, Emit as _, in_current, name_request, random_bytes};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header, uri::PathAndQuery,
};
use serde_json::Value;

use crate::{
    browser::{escape_html, wants_html},
    error::AppError,
    events::AuthKitEvent,
    observer::RequestName,
    origin::RequestOrigin,
};

/// Longest address that a page links to for another try: URLs of up to 2,000 characters work everywhere.
const RETRY_LINK_MAX_BYTES: usize = 2000;
/// The header with the ID that Cloudflare gives the request.
pub(crate) const REQUEST_ID_HEADER: HeaderName = HeaderName::from_static("cf-ray");

/// The content of an error's page.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct ErrorPage<'a> {
    /// The error: its status, and its `detail` for people.
    pub error: &'a AppError,
    /// The request's ID, which the log has too.
    pub request_id: Option<&'a str>,
    /// The address that was asked for, where asking again may help.
    pub retry: Option<&'a str>,
}

/// Renders the HTML document of an error.
pub type RenderError = Arc<dyn Fn(&ErrorPage<'_>) -> String + Send + Sync>;

/// Sets headers of a response, for the origin of its request.
pub type SetHeaders = Arc<dyn Fn(&mut HeaderMap, Option<&RequestOrigin>) + Send + Sync>;

/// The facts of a request that the response to an error needs.
pub(crate) struct ErrorResponder {
    method: Method,
    uri: Uri,
    /// The values of `Accept`, which only an error parses.
    accept: Vec<HeaderValue>,
}

impl ErrorResponder {
    pub fn new(request: &Request) -> Self {
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            accept: request.headers().get_all(header::ACCEPT).iter().cloned().collect(),
        }
    }

    /// The response to the client: `response` itself unless it carries an [`AppError`].
    pub fn respond(
        self,
        mut response: Response,
        name: &RequestName,
        render: &RenderError,
    ) -> Response {
        match response.extensions_mut().remove::<AppError>() {
            Some(error) => self.respond_to(error, &response, name, render),
            None => response,
        }
    }

    #[cold]
    #[inline(never)]
    fn respond_to(
        self,
        mut error: AppError,
        response: &Response,
        name: &RequestName,
        render: &RenderError,
    ) -> Response {
        let Self { method, uri, accept } = self;
        let wants_html =
            wants_html(&accept.into_iter().map(|value| (header::ACCEPT, value)).collect());
        let mut request_id = in_current(|scope| scope.request_id().map(str::to_owned)).flatten();
        if let Some(cause) = &error.internal.cause {
            let request_id = request_id.get_or_insert_with(new_request_id);
            AuthKitEvent::RequestFailed {
                method: name.method(),
                route: name.route(),
                status: error.status.as_u16().into(),
                cause: Cause(cause),
            }
            .emit();
            if error.status == StatusCode::INTERNAL_SERVER_ERROR {
                error.detail = format!(
                    "Something went wrong on our side. If it happens again, report request {request_id}"
                )
                .into();
            }
        }
        // The headers that inner layers have added stay; the body is another.
        let mut headers = response.headers().clone();
        headers.remove(header::CONTENT_LENGTH);
        let mut response = if wants_html {
            let address = uri.path_and_query().map(PathAndQuery::as_str);
            let retry = address.filter(|address| {
                method.is_safe()
                    && error.status.is_server_error()
                    && address.len() <= RETRY_LINK_MAX_BYTES
            });
            let page = match &error.internal.page {
                Some(page) => page.to_string(),
                None => {
                    render(&ErrorPage { error: &error, request_id: request_id.as_deref(), retry })
                }
            };
            let content_type = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
            (error.status, content_type, page).into_response()
        } else {
            error.into_response()
        };
        for (name, value) in &headers {
            if !response.headers().contains_key(name) || name == header::SET_COOKIE {
                response.headers_mut().append(name, value.clone());
            }
        }
        response
    }
}

/// The ID that Cloudflare gives the request, in the `cf-ray` header.
#[must_use]
pub fn request_id(headers: &HeaderMap) -> Option<String> {
    headers.get(REQUEST_ID_HEADER).and_then(|value| value.to_str().ok().map(str::to_owned))
}

/// Gives an ID to a request that did not come through Cloudflare.
fn new_request_id() -> String {
    let id = format!("{:016x}", u64::from_ne_bytes(random_bytes()));
    if let Ok(id) = HeaderValue::from_str(&id) {
        name_request(id);
    }
    id
}

/// The page of an application that does not style its own.
#[must_use]
pub fn plain_page(page: &ErrorPage<'_>) -> String {
    let status = page.error.status;
    let title = escape_html(status.canonical_reason().unwrap_or("Error"));
    let detail = match &page.error.detail {
        Value::String(text) => escape_html(text),
        other => escape_html(&edge_host::json::write(other)),
    };
    let link = |href: &str, label: &str| {
        format!("<p><a href=\"{}\">{}</a></p>", escape_html(href), escape_html(label))
    };
    let action = page.error.internal.action.as_ref().map(|(label, href)| link(href, label));
    let retry = page.retry.map(|address| link(address, "Try again"));
    let request_id = page.request_id.map(|id| format!("<p>Request ID: {}</p>", escape_html(id)));
    let links: String = [action, retry, request_id].into_iter().flatten().collect();
    format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title></head>\
         <body><h1>{title}</h1><p>{detail}</p>{links}</body></html>"
    )
}
