//! The body of a form: the form of a new expense, and then the form that changes it.

use std::collections::BTreeMap;

use authkit_edge::url_encoded::Parameters;
use http::Method;
use url::form_urlencoded;

use super::router::{browser, expect_no_failure, get, run};

/// `Parameters` reads the last thousand pairs; an input of 4 KiB has up to four thousand.
const MAX_PAIRS: usize = 1000;

pub fn check(data: &[u8]) {
    check_parameters(data);
    run(async |app| {
        let added = browser(app, Method::POST, "/expenses", data).await;
        expect_no_failure(&added);
        let list = get(app, "/expenses").await.expect(200).json();
        let listed = list.as_array().unwrap();
        // A form that succeeds adds one expense; every other form adds none.
        assert_eq!(listed.len(), usize::from(added.status == 303), "{added:?}");
        if let [expense] = &listed[..] {
            let path = format!("/expenses/{}", expense["id"].as_str().unwrap());
            expect_no_failure(&browser(app, Method::GET, &path, b"").await.expect(200));
            expect_no_failure(&browser(app, Method::POST, &path, data).await);
            get(app, &path).await.expect(200);
        }
    });
}

/// The parameters of a form or a query are those of a plain implementation, and keep their values when they are
/// written and parsed again.
pub fn check_parameters(data: &[u8]) {
    let parameters = Parameters::parse(data);
    let pairs: Vec<_> = form_urlencoded::parse(data).into_owned().collect();
    let expected: BTreeMap<String, String> =
        pairs.iter().skip(pairs.len().saturating_sub(MAX_PAIRS)).cloned().collect();
    let parsed: BTreeMap<String, String> = parameters.clone().into_iter().collect();
    assert_eq!(parsed, expected);
    assert_eq!(parameters.iter().count(), expected.len());

    let written =
        form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters.iter()).finish();
    assert_eq!(Parameters::parse(written.as_bytes()), parameters);
}
