//! The layer around the whole router that every [`AppError`] passes on its way out: it is logged
//! once, with the request's id; an unexpected failure shows that id and nothing of the inside; a
//! browser gets a page.

use axum::{
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};

use crate::{browser::wants_html, error::AppError, pages, runtime::random_bytes};

/// The layer.
pub async fn report(request: Request, next: Next) -> Response {
    let request_id =
        request.headers().get("cf-ray").and_then(|ray| ray.to_str().ok()).map(str::to_owned);
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let wants_html = wants_html(request.headers());

    let mut response = next.run(request).await;
    let Some(mut error) = response.extensions_mut().remove::<AppError>() else {
        return response;
    };
    if let Some(cause) = &error.cause {
        let request_id = request_id.unwrap_or_else(|| hex(&random_bytes::<8>()));
        log::error!("{request_id} {method} {path} {}: {cause}", error.status.as_u16());
        if error.status == StatusCode::INTERNAL_SERVER_ERROR {
            error.detail = format!(
                "Something went wrong on our side. If it happens again, report request {request_id}"
            )
            .into();
        }
    }
    // Headers that a layer inside of this one has added are kept.
    let headers = response.headers().clone();
    let mut response =
        if wants_html { pages::error(error.status, &error.detail) } else { error.into_response() };
    for (name, value) in &headers {
        if !response.headers().contains_key(name) || name == header::SET_COOKIE {
            response.headers_mut().append(name, value.clone());
        }
    }
    response
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
