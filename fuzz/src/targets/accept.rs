//! `Accept` and `Accept-Language` headers, one to a line.

use authkit_edge::typed::Locale;
use axum_authkit::browser::{CSV, HTML, JSON, is_acceptable, prefers, weighted};
use http::{HeaderMap, HeaderValue, header};

pub fn check(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(header::ACCEPT, value.clone());
            headers.append(header::ACCEPT_LANGUAGE, value);
        }
    }
    let ranges: Vec<(String, u16)> = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(elements)
        .collect();
    let found: Vec<(String, u16)> = weighted(&headers, &header::ACCEPT)
        .map(|element| (element.value.to_owned(), element.weight))
        .collect();
    assert_eq!(found, ranges);

    let types = [HTML, JSON, CSV];
    for one in types {
        let (weight, _) = preference(&ranges, one);
        assert_eq!(is_acceptable(&headers, one), weight > 0, "{one}");
        for other in types {
            let (own, others) = (preference(&ranges, one), preference(&ranges, other));
            let expected = own.0 > 0 && (own > others || own == others && own.1);
            assert_eq!(prefers(&headers, one, other), expected, "{one} to {other}");
            // Of two types, one at most is preferred, unless the client names both with the same weight.
            if one != other && prefers(&headers, one, other) && prefers(&headers, other, one) {
                assert_eq!(own, others);
            }
        }
    }
    let _ = format!("{:?}", Locale::from_headers(&headers));
}

/// The weight of a media type, and whether a range names it: a plain reading of RFC 9110, section 12.5.1.
fn preference(ranges: &[(String, u16)], media_type: &str) -> (u16, bool) {
    if ranges.is_empty() {
        return (1000, false);
    }
    let (kind, _) = media_type.split_once('/').unwrap();
    let of = |wanted: &str| {
        let matching = ranges.iter().filter(|(range, _)| range.eq_ignore_ascii_case(wanted));
        matching.map(|(_, weight)| *weight).max()
    };
    if let Some(weight) = of(media_type) {
        return (weight, true);
    }
    (of(&format!("{kind}/*")).or_else(|| of("*/*")).unwrap_or(0), false)
}

/// The elements of a list with their weights in thousandths, character by character.
fn elements(value: &str) -> Vec<(String, u16)> {
    let mut elements = vec![vec![String::new()]];
    let (mut is_quoted, mut is_escaped) = (false, false);
    for character in value.chars() {
        let is_plain = !is_quoted && !is_escaped;
        if is_plain && character == ',' {
            elements.push(vec![String::new()]);
            continue;
        }
        let element = elements.last_mut().unwrap();
        if is_plain && character == ';' {
            element.push(String::new());
            continue;
        }
        element.last_mut().unwrap().push(character);
        if is_escaped {
            is_escaped = false;
        } else if character == '"' {
            is_quoted = !is_quoted;
        } else if character == '\\' && is_quoted {
            is_escaped = true;
        }
    }
    let element = |parts: Vec<String>| {
        let (value, parameters) = parts.split_first()?;
        let value = value.trim();
        let q = parameters.iter().find_map(|parameter| {
            let (name, weight) = parameter.split_once('=')?;
            name.trim().eq_ignore_ascii_case("q").then(|| weight.trim().to_owned())
        });
        let weight = q.map_or(Some(1000), |q| thousandths(&q))?;
        (!value.is_empty()).then(|| (value.to_owned(), weight))
    };
    elements.into_iter().filter_map(element).collect()
}

fn thousandths(q: &str) -> Option<u16> {
    let (whole, fraction) = q.split_once('.').unwrap_or((q, ""));
    let is_number = |text: &str| text.chars().all(|character| character.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) || whole.is_empty() {
        return None;
    }
    // More than 65.535 is no weight.
    let places: String = fraction.chars().chain("000".chars()).take(3).collect();
    let thousandths: u32 =
        whole.parse::<u16>().ok().map(u32::from)? * 1000 + places.parse::<u32>().ok()?;
    u16::try_from(thousandths).ok().map(|thousandths| thousandths.min(1000))
}
