//! `multipart/form-data` (RFC 7578), as browsers and curl send it. The body is text: the only file that a form here has
//! is a CSV file.

use crate::body::UPLOAD;

/// The most fields: the page's form and the API have about ten.
const FIELDS_MAX: usize = 50;

/// The fields of a form: names and values, in order. `None` if the body is no such form.
pub(super) fn parse<'a>(content_type: &str, body: &'a str) -> Option<Vec<(&'a str, &'a str)>> {
    let boundary = boundary(content_type)?;
    let delimiter = format!("\r\n--{boundary}");
    // Nothing stands before the first part in practice, so that its line break can be missing.
    let mut rest = body.strip_prefix(&delimiter[2..])?;
    let mut fields = Vec::new();
    loop {
        if rest.starts_with("--") {
            return Some(fields);
        }
        let (head, content) = rest.strip_prefix("\r\n")?.split_once("\r\n\r\n")?;
        let (content, next) = content.split_once(&delimiter)?;
        rest = next;
        if fields.len() == FIELDS_MAX {
            return None;
        }
        fields.push((name(head)?, content));
    }
}

fn boundary(content_type: &str) -> Option<&str> {
    let (media_type, parameters) = content_type.split_once(';')?;
    if !media_type.trim().eq_ignore_ascii_case(UPLOAD) {
        return None;
    }
    let boundary = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"'))
    })?;
    (!boundary.is_empty()).then_some(boundary)
}

/// The field's name in the headers of a part.
fn name(head: &str) -> Option<&str> {
    let (_, rest) = head.split_once("; name=\"")?;
    rest.split_once('"').map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=x1";

    #[test]
    fn fields_are_read_in_their_order() {
        let body = "--x1\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a \\\"b.csv\"\r\n\
            Content-Type: text/csv\r\n\r\na,b\r\n1,\"--x1\"\r\n\r\n--x1\r\ncontent-disposition: form-data; \
            name=\"date\"\r\n\r\n\r\n--x1--\r\n";
        let file = "a,b\r\n1,\"--x1\"\r\n";
        assert_eq!(parse(TYPE, body), Some(vec![("file", file), ("date", "")]));
        for content_type in [
            "Multipart/Form-Data;charset=utf-8; Boundary=\"x1\"",
            "multipart/form-data;boundary=x1",
        ] {
            assert_eq!(parse(content_type, body).unwrap().len(), 2, "{content_type}");
        }
        assert_eq!(parse(TYPE, "--x1--"), Some(Vec::new()));
    }

    #[test]
    fn form_has_fifty_fields_at_most() {
        let form = |parts: usize| "--x1\r\n; name=\"a\"\r\n\r\n\r\n".repeat(parts) + "--x1--";
        assert_eq!(parse(TYPE, &form(50)).map(|fields| fields.len()), Some(50));
        assert_eq!(parse(TYPE, &form(51)), None);
    }

    #[test]
    fn incomplete_forms_are_refused() {
        let part = "--x1\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--x1";
        assert_eq!(parse(TYPE, &format!("{part}--")), Some(vec![("a", "1")]));
        for body in [part, "", "--x1", "--x2--", "--x1\r\n\r\n1\r\n--x1--", "--x1\r\nno end"] {
            assert_eq!(parse(TYPE, body), None, "{body:?}");
        }
        let body = format!("{part}--");
        for content_type in ["multipart/form-data", "multipart/form-data; boundary=", "text/csv"] {
            assert_eq!(parse(content_type, &body), None, "{content_type}");
        }
    }
}
