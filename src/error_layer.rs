//! The layer around the whole router that every [`AppError`] passes on its way out: it is logged
//! once, with the request's id; an unexpected failure shows that id and nothing of the inside; a
//! browser gets a page.

use axum::{
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use maud::PreEscaped;

use crate::{
    browser::wants_html,
    error::AppError,
    request_id::request_id,
    runtime::random_bytes,
    web::views::{
        self,
        error::{self as view, Failure},
    },
};

/// Longest address that a page links to for another try; no page's own is half as long.
const RETRY_LINK_MAX_BYTES: usize = 2000;

/// The layer.
pub async fn report(request: Request, next: Next) -> Response {
    let mut request_id = request_id(request.headers());
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let asked = request.uri().path_and_query().map(ToString::to_string);
    let asked = asked.filter(|asked| asked.len() <= RETRY_LINK_MAX_BYTES);
    let wants_html = wants_html(request.headers());

    let mut response = next.run(request).await;
    let Some(mut error) = response.extensions_mut().remove::<AppError>() else {
        return response;
    };
    if let Some(cause) = &error.aside.cause {
        let request_id = request_id.get_or_insert_with(|| hex(&random_bytes::<8>()));
        log::error!("{request_id} {method} {path} {}: {cause}", error.status.as_u16());
        if error.status == StatusCode::INTERNAL_SERVER_ERROR {
            error.detail = format!(
                "Something went wrong on our side. If it happens again, report request {request_id}"
            )
            .into();
        }
    }
    // Headers that a layer inside of this one has added are kept; the body is another.
    let mut headers = response.headers().clone();
    headers.remove(header::CONTENT_LENGTH);
    let mut response = if wants_html {
        let retry = asked.filter(|_| method.is_safe() && error.status.is_server_error());
        page(&error, request_id.as_deref(), retry.as_deref())
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

fn page(error: &AppError, request_id: Option<&str>, retry: Option<&str>) -> Response {
    let page = error.aside.page.clone().map(|page| PreEscaped(page.into())).unwrap_or_else(|| {
        view::page(&Failure {
            status: error.status,
            detail: &error.detail,
            request_id,
            retry,
            way_on: error.aside.way_on.as_ref().map(|(label, href)| (*label, href.as_str())),
        })
    });
    views::respond(error.status, page)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
