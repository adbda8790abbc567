//! The Worker reports what is wrong with its configuration. `local/deployment/deployment.test.mjs` holds the check of a
//! deployment to the same table.

use std::collections::BTreeMap;

use axum_authkit::AuthKitConfig;
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    variables: BTreeMap<String, String>,
    problems: Vec<String>,
}

#[test]
fn configuration_error_lists_the_problems_of_the_table() {
    let cases: Vec<Case> =
        serde_json::from_str(include_str!("../vectors/configurations.json")).unwrap();
    for Case { variables, problems } in cases {
        let defaults = [
            ("WORKOS_API_KEY", "sk_test_1"),
            ("WORKOS_CLIENT_ID", "client_1"),
            ("WORKOS_COOKIE_PASSWORD", "a password of at least 32 characters"),
        ];
        let result = AuthKitConfig::from_lookup(|name| {
            let default = defaults.iter().find(|(key, _)| *key == name);
            let default = default.map(|(_, value)| (*value).to_owned());
            variables.get(name).cloned().or(default)
        });
        let error = result.err().map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(error, problems.join("; "), "{variables:?}");
    }
}
