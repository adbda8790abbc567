//! `multipart/form-data` (RFC 7578), as browsers, curl and .NET send it. The body is text: the only file that a form
//! here has is a CSV file.

use axum_authkit::browser::split_unquoted;

/// The most fields: the page's form and the API have about ten.
const FIELDS_MAX: usize = 50;

/// The fields of a form: names and values, in order. `None` if the body is no such form.
pub(super) fn parse<'a>(content_type: &str, body: &'a str) -> Option<Vec<(&'a str, &'a str)>> {
    let boundary = parameter(content_type, "boundary").filter(|boundary| !boundary.is_empty())?;
    let delimiter = format!("\r\n--{boundary}");
    // The line break of the first one belongs to what stands before it, which is mostly nothing.
    let begins = body.strip_prefix(&delimiter[2..]);
    let mut rest = begins.or_else(|| Some(body.split_once(&delimiter)?.1))?;
    let mut fields = Vec::new();
    loop {
        if rest.starts_with("--") {
            return Some(fields);
        }
        let part = rest.trim_start_matches([' ', '\t']).strip_prefix("\r\n")?;
        let (head, content) = part.split_once("\r\n\r\n")?;
        let (content, next) = content.split_once(&delimiter)?;
        rest = next;
        if fields.len() == FIELDS_MAX {
            return None;
        }
        fields.push((name(head)?, content));
    }
}

/// The field's name in the headers of a part: in its `Content-Disposition` (RFC 2183).
fn name(head: &str) -> Option<&str> {
    let disposition = head.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-disposition").then_some(value)
    });
    parameter(disposition?, "name")
}

/// The value of a header's parameter: a token, or a quoted text without its quotes.
fn parameter<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    split_unquoted(header, ';').skip(1).find_map(|parameter| {
        let (known, value) = parameter.split_once('=')?;
        known.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"'))
    })
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
    fn forms_of_every_client_are_read() {
        for head in [
            "Content-Disposition: form-data; name=file; filename=a.csv; filename*=utf-8''a.csv",
            "Content-Type: text/csv; name=\"a.csv\"\r\nContent-Disposition: form-data; name=\"file\"",
            "CONTENT-DISPOSITION:form-data;filename=\"a; name=b\";Name = \"file\"",
        ] {
            for begin in ["--x1", "\r\n--x1", "This is a form.\r\n--x1 \t"] {
                let body = format!("{begin}\r\n{head}\r\n\r\na,b\r\n--x1--\r\n");
                assert_eq!(parse(TYPE, &body), Some(vec![("file", "a,b")]), "{body}");
            }
        }
        let body = "--x1\r\nX: form-data; name=file\r\n\r\na\r\n--x1--";
        assert_eq!(parse(TYPE, body), None, "no disposition");
    }

    #[test]
    fn form_has_fifty_fields_at_most() {
        let part = "--x1\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n";
        let form = |parts: usize| part.repeat(parts) + "--x1--";
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
