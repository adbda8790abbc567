//! Conditional requests (RFC 9110, section 13): `ETag`, `If-Match` and `If-None-Match` of a single expense as JSON; and
//! the header that says how current a response is.

use std::convert::Infallible;

use axum::{
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts};

use crate::{
    expenses::{
        ledger::overlay::{Consistency, Reading},
        row::Row,
        version::{Condition, Version, Versions},
    },
    json::JsonText,
};
use axum_authkit::AppError;

/// Says that a response shows KV alone, which can show writes late.
pub(crate) const CONSISTENCY: HeaderName = HeaderName::from_static("expenses-consistency");
const EVENTUAL: HeaderValue = HeaderValue::from_static("eventual");

/// Cloudflare compresses JSON, and makes the entity tag of what it compresses a weak one, which `If-Match` never
/// matches.
/// <https://developers.cloudflare.com/speed/optimization/content/compression/>
const NO_TRANSFORM: HeaderValue = HeaderValue::from_static("no-store, no-transform");

/// The detail of a 412.
pub(crate) const CHANGED: &str = "The expense was changed by another request: read it again, and send the request with the \
    ETag of that response, or without If-Match and If-None-Match";

/// The conditions of a request's `If-Match` and `If-None-Match`.
impl<S: Sync> FromRequestParts<S> for Condition {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self {
            is_one_of: tags(&parts.headers, &header::IF_MATCH, Comparison::Strong),
            is_none_of: tags(&parts.headers, &header::IF_NONE_MATCH, Comparison::Weak),
        })
    }
}

/// 412: the expense does not meet the conditions.
pub(crate) fn condition_not_met() -> AppError {
    AppError::new(StatusCode::PRECONDITION_FAILED, CHANGED)
}

/// The response with an expense and its `ETag`.
pub(crate) fn with_etag(status: StatusCode, row: Row) -> Response {
    let version = Version::of_row(&row);
    with_etag_of(&version, status, row)
}

fn with_etag_of(version: &Version, status: StatusCode, row: Row) -> Response {
    let headers = [(header::ETAG, etag(version)), (header::CACHE_CONTROL, NO_TRANSFORM)];
    (status, headers, JsonText(row.into_json())).into_response()
}

/// The response to `GET` or `HEAD`: 200, 304 where the client has the expense, or 412. `If-Match` comes first
/// (RFC 9110, section 13.2.2).
pub(crate) fn respond_if_changed(condition: &Condition, row: Row) -> Result<Response, AppError> {
    let Condition { is_one_of, is_none_of } = condition;
    let version = Version::of_row(&row);
    if is_one_of.as_ref().is_some_and(|versions| !versions.contain(Some(&version))) {
        return Err(condition_not_met());
    }
    if is_none_of.as_ref().is_some_and(|versions| versions.contain(Some(&version))) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, etag(&version))]).into_response());
    }
    Ok(with_etag_of(&version, StatusCode::OK, row))
}

/// Adds the header that says that a read may lag.
pub(crate) fn with_consistency(mut response: Response, consistency: Consistency) -> Response {
    if consistency == Consistency::Eventual {
        response.headers_mut().insert(CONSISTENCY, EVENTUAL);
    }
    response
}

/// The response that `respond` makes of a reading, with the header of its consistency, errors included.
pub(crate) fn respond_to_reading<T>(
    reading: Reading<T>,
    respond: impl FnOnce(T) -> Result<Response, AppError>,
) -> Result<Response, AppError> {
    let Reading { value, consistency } = reading;
    match respond(value) {
        Ok(response) => Ok(with_consistency(response, consistency)),
        Err(error) if consistency == Consistency::Eventual => {
            Err(error.with_header(CONSISTENCY, EVENTUAL))
        }
        Err(error) => Err(error),
    }
}

fn etag(version: &Version) -> HeaderValue {
    let etag = ["\"", version.as_str(), "\""].concat();
    // A version is hexadecimal.
    HeaderValue::try_from(etag).unwrap_or(HeaderValue::from_static("\"\""))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    /// A weak tag matches nothing.
    Strong,
    Weak,
}

/// The most tags of a request that are compared.
const TAGS_MAX: usize = 100;

/// The entity tags of a header, `*` or a list; `None` if the request lacks the header. An invalid tag matches
/// nothing.
fn tags(headers: &HeaderMap, name: &HeaderName, comparison: Comparison) -> Option<Versions> {
    if !headers.contains_key(name) {
        return None;
    }
    let mut listed = Vec::new();
    for value in headers.get_all(name) {
        let value = String::from_utf8_lossy(value.as_bytes());
        let mut rest = &*value;
        if rest.trim() == "*" {
            return Some(Versions::Any);
        }
        // A tag may contain a comma: only quotes end it.
        while let Some(start) = rest.find('"') {
            let is_weak = rest[..start].ends_with("W/");
            let Some(length) = rest[start + 1..].find('"') else { break };
            let end = start + 1 + length;
            if listed.len() == TAGS_MAX {
                break;
            }
            if !is_weak || comparison == Comparison::Weak {
                listed.push(rest[start + 1..end].to_owned());
            }
            rest = &rest[end + 1..];
        }
    }
    Some(Versions::Listed(listed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &'static str, comparison: Comparison) -> Option<Versions> {
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_MATCH, HeaderValue::from_static(value));
        tags(&headers, &header::IF_MATCH, comparison)
    }

    #[test]
    fn tags_are_read_from_lists() {
        let listed = |tags: &[&str]| {
            Some(Versions::Listed(tags.iter().map(|tag| (*tag).to_owned()).collect()))
        };
        for (value, strong, weak) in [
            ("\"a\"", listed(&["a"]), listed(&["a"])),
            ("\"a\", W/\"b\" ,\"c,d\"", listed(&["a", "c,d"]), listed(&["a", "b", "c,d"])),
            (" * ", Some(Versions::Any), Some(Versions::Any)),
            ("a", listed(&[]), listed(&[])),
            ("", listed(&[]), listed(&[])),
            ("\"a", listed(&[]), listed(&[])),
        ] {
            assert_eq!(read(value, Comparison::Strong), strong, "{value}");
            assert_eq!(read(value, Comparison::Weak), weak, "{value}");
        }
        assert_eq!(tags(&HeaderMap::new(), &header::IF_MATCH, Comparison::Strong), None);
        let mut many = HeaderMap::new();
        many.insert(header::IF_MATCH, HeaderValue::try_from("\"a\",".repeat(60_000)).unwrap());
        let read = tags(&many, &header::IF_MATCH, Comparison::Strong);
        assert_eq!(
            read,
            listed(&["a"; TAGS_MAX]),
            "the first ones, without a copy of the rest for each"
        );
    }
}
