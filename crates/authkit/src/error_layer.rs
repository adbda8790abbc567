//! The response to an [`AppError`]: what the outer layer makes of it. It logs the cause once, with the request's ID;
//! an unexpected failure shows that ID and no internals; a browser gets a page, other clients JSON.

use std::sync::Arc;

use axum::{
    extract::Request,
    response::{IntoResponse, Response},
};
use edge_host::random_bytes;
use http::{HeaderMap, Method, StatusCode, header};
use serde_json::Value;

use crate::{
    browser::{escape_html, wants_html},
    error::AppError,
};

/// Longest address that a page links to for another try: URLs of up to 2,000 characters work everywhere.
const RETRY_LINK_MAX_BYTES: usize = 2000;

/// What an error's page shows.
#[derive(Debug, Clone, Copy)]
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

/// The facts of a request that the response to an error needs.
pub(crate) struct ErrorResponder {
    request_id: Option<String>,
    method: Method,
    path: String,
    /// The address to try again; `None` for one that is too long for a link.
    address: Option<String>,
    wants_html: bool,
}

impl ErrorResponder {
    pub fn new(request: &Request) -> Self {
        let address = request.uri().path_and_query().map(ToString::to_string);
        Self {
            request_id: request_id(request.headers()),
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            address: address.filter(|address| address.len() <= RETRY_LINK_MAX_BYTES),
            wants_html: wants_html(request.headers()),
        }
    }

    /// The response to the client: `response` itself unless it carries an [`AppError`].
    pub fn respond(self, mut response: Response, render: &RenderError) -> Response {
        let Some(mut error) = response.extensions_mut().remove::<AppError>() else {
            return response;
        };
        let Self { mut request_id, method, path, address, wants_html } = self;
        if let Some(cause) = &error.internal.cause {
            let request_id = request_id.get_or_insert_with(new_request_id);
            log::error!("{request_id} {method} {path} {}: {cause}", error.status.as_u16());
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
            let retry = address.filter(|_| method.is_safe() && error.status.is_server_error());
            let page = match &error.internal.page {
                Some(page) => page.to_string(),
                None => render(&ErrorPage {
                    error: &error,
                    request_id: request_id.as_deref(),
                    retry: retry.as_deref(),
                }),
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
    headers.get("cf-ray").and_then(|ray| ray.to_str().ok()).map(str::to_owned)
}

/// The ID of a request that did not come through Cloudflare.
fn new_request_id() -> String {
    format!("{:016x}", u64::from_ne_bytes(random_bytes()))
}

/// The page of an application that does not style its own.
#[must_use]
pub fn plain_page(page: &ErrorPage<'_>) -> String {
    let status = page.error.status;
    let title = escape_html(status.canonical_reason().unwrap_or("Error"));
    let detail = match &page.error.detail {
        Value::String(text) => escape_html(text),
        other => escape_html(&other.to_string()),
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
