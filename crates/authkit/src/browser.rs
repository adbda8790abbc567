//! Content negotiation (RFC 9110, section 12) and redirects.

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

/// `text/html`.
pub const HTML: &str = "text/html";
/// `application/json`.
pub const JSON: &str = "application/json";
/// `text/csv`.
pub const CSV: &str = "text/csv";

/// Whether the client prefers HTML to JSON, as every browser's navigation does.
#[must_use]
pub fn wants_html(headers: &HeaderMap) -> bool {
    prefers(headers, HTML, JSON)
}

/// Whether `Accept` gives `media_type` more weight than `other`, or names it and gives both the same.
#[must_use]
pub fn prefers(headers: &HeaderMap, media_type: &str, other: &str) -> bool {
    // What programs send: every type is as good.
    if headers.get_all(header::ACCEPT).iter().all(|accept| accept == "*/*") {
        return false;
    }
    let [preferred, other] = Preference::of(headers, [media_type, other]);
    preferred.weight > 0 && (preferred > other || (preferred == other && preferred.is_named))
}

/// Whether `Accept` allows `media_type`. A request without the header allows every type.
#[must_use]
pub fn is_acceptable(headers: &HeaderMap, media_type: &str) -> bool {
    let [preference] = Preference::of(headers, [media_type]);
    preference.weight > 0
}

/// The preference of `Accept` for one media type (RFC 9110, section 12.5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Preference {
    weight: u16,
    /// Whether a range names the type. `text/*` and `*/*`, which curl sends, name no type.
    is_named: bool,
}

impl Preference {
    /// The preferences for several media types. The most specific range that matches counts; of equally specific
    /// ranges, the heaviest. A range's own parameters, such as `charset`, are ignored.
    fn of<const N: usize>(headers: &HeaderMap, media_types: [&str; N]) -> [Self; N] {
        let mut names_no_range = true;
        let mut best: [Option<(u8, u16)>; N] = [None; N];
        for range in weighted(headers, &header::ACCEPT) {
            names_no_range = false;
            for (best, media_type) in best.iter_mut().zip(media_types) {
                let specificity = specificity(range.value, media_type);
                *best = (*best).max(specificity.map(|specificity| (specificity, range.weight)));
            }
        }
        best.map(|best| match best {
            Some((specificity, weight)) => Self { weight, is_named: specificity == 2 },
            None => Self { weight: if names_no_range { 1000 } else { 0 }, is_named: false },
        })
    }
}

/// How specifically a media range matches a media type: 2 by its name, 1 as `type/*`, 0 as `*/*`; `None` if not.
fn specificity(range: &str, media_type: &str) -> Option<u8> {
    if range.eq_ignore_ascii_case(media_type) {
        return Some(2);
    }
    match (range.split_once('/')?, media_type.split_once('/')?) {
        (("*", "*"), _) => Some(0),
        ((name, "*"), (of_type, _)) if name.eq_ignore_ascii_case(of_type) => Some(1),
        _ => None,
    }
}

/// An element of `Accept` or `Accept-Language`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weighted<'a> {
    /// The media range or language range, without parameters.
    pub value: &'a str,
    /// Thousandths, from 0, which refuses the value, to 1000.
    pub weight: u16,
}

/// The elements of a header that is a list with weights (RFC 9110, section 12.4.2). Elements with a
/// malformed weight are left out.
pub fn weighted<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = Weighted<'a>> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| split_unquoted(value, ','))
        .filter_map(|element| {
            let mut parts = split_unquoted(element, ';').map(str::trim);
            let value = parts.next().filter(|value| !value.is_empty())?;
            let weight = parts.find_map(|parameter| {
                let (name, weight) = parameter.split_once('=')?;
                name.trim().eq_ignore_ascii_case("q").then(|| weight.trim())
            });
            Some(Weighted { value, weight: weight.map_or(Some(1000), parse_weight)? })
        })
}

/// Splits at a separator outside of quoted strings (RFC 9110, section 5.6.4).
pub fn split_unquoted(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.split(move |character| {
        if std::mem::take(&mut is_escaped) {
            return false;
        }
        match character {
            '\\' => is_escaped = is_quoted,
            '"' => is_quoted = !is_quoted,
            _ => {}
        }
        !is_quoted && character == separator
    })
}

/// A weight in thousandths: `1`, `0.8`. Decimal places past the third are cut off.
fn parse_weight(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let thousandths: u16 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    let weight = whole.parse::<u16>().ok()?.checked_mul(1000)?.checked_add(thousandths)?;
    Some(weight.min(1000))
}

/// An empty redirect to `location`, or to `/` if `location` is not a valid header value.
#[must_use]
pub fn redirect(status: StatusCode, location: &str) -> Response {
    let location = HeaderValue::from_str(location).unwrap_or(HeaderValue::from_static("/"));
    (status, [(header::LOCATION, location)]).into_response()
}

/// A page that opens `path` of this origin with a meta refresh. The navigation begins at this origin, so
/// that browsers send `SameSite=Strict` cookies with it.
#[must_use]
pub fn meta_refresh_page(path: &str) -> Response {
    let href = escape_html(path);
    let page = format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"refresh\" content=\"0;url={href}\"><title>Signed in</title></head>\
         <body><p><a href=\"{href}\">Continue</a></p></body></html>"
    );
    let content_type = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
    (content_type, page).into_response()
}

/// Escapes a text for HTML content and attributes.
pub(crate) fn escape_html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(accept: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))])
    }

    #[test]
    fn html_is_wanted_if_its_weight_exceeds_jsons() {
        for (accept, is_wanted) in [
            ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", true),
            ("text/html", true),
            ("TEXT/HTML", true),
            ("text/html, */*; q=0.01", true),
            ("text/html;q=0.5, */*;q=0.5", true),
            ("application/json, text/html", true),
            ("application/json;q=0.9, text/html", true),
            ("text/html;level=\"1,2;q=0\"", true),
            ("text/*", true),
            ("application/json, text/html;q=0.1", false),
            ("application/json, text/html;q=0.999", false),
            ("text/html;q=0.5, */*", false),
            ("text/html;q=0", false),
            ("text/html;q=0.000", false),
            ("text/html;Q=0", false),
            ("text/html; q=0, */*", false),
            ("text/*, text/html;q=0", false),
            ("*/*", false),
            ("application/json", false),
            ("text/htmlx", false),
            ("", false),
        ] {
            assert_eq!(wants_html(&headers(accept)), is_wanted, "{accept}");
        }
        assert!(!wants_html(&HeaderMap::new()));
    }

    #[test]
    fn most_specific_range_decides_acceptability() {
        for (accept, is_allowed) in [
            ("application/json, text/event-stream", true),
            ("application/*", true),
            ("*/*;q=0.1", true),
            ("application/json;charset=utf-8", true),
            ("", true),
            ("application/*;q=0, application/json", true),
            ("*/*, application/json;q=0", false),
            ("*/*, application/*;q=0.000", false),
            ("text/html", false),
            ("application/json;q=nonsense", true),
        ] {
            assert_eq!(is_acceptable(&headers(accept), JSON), is_allowed, "{accept}");
        }
        assert!(is_acceptable(&HeaderMap::new(), JSON));
    }

    #[test]
    fn weights_are_not_read_from_quoted_strings() {
        let headers = headers(r#"a/b;x="\",;q=0.1";q=0.25, c/d ; Q=1.5,,e/f;q=-1, g/h;q=0.12345"#);
        let read: Vec<(&str, u16)> = weighted(&headers, &header::ACCEPT)
            .map(|element| (element.value, element.weight))
            .collect();
        assert_eq!(read, [("a/b", 250), ("c/d", 1000), ("g/h", 123)]);
    }
}
