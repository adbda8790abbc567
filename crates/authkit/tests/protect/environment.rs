//! `AuthKit::from_env`.

use std::sync::Arc;

use axum_authkit::{AuthKit, ConfigError, session_keeper};
use edge_host::memory::{MemoryHost, MemoryKv, MemoryObjects};

use crate::site::Site;

fn sessions() -> Arc<MemoryObjects> {
    let class = |context| Arc::new(session_keeper(&MemoryHost::default(), context)) as _;
    Arc::new(MemoryObjects::new(class, drop))
}

fn error(host: &MemoryHost) -> ConfigError {
    AuthKit::from_env(host).expect_err("an error")
}

#[test]
fn error_names_every_missing_variable_and_binding() {
    let mut expected = ConfigError::default();
    for name in ["WORKOS_API_KEY", "WORKOS_CLIENT_ID", "WORKOS_COOKIE_PASSWORD"] {
        expected.add(name, "is missing");
    }
    let kv = Arc::new(MemoryKv::default());
    let bound = MemoryHost::default().with_kv("AUTHKIT", kv).with_objects("SESSIONS", sessions());
    assert_eq!(error(&bound), expected);
    expected.add("AUTHKIT", "is not bound to a KV namespace");
    expected.add("SESSIONS", "is not bound to a Durable Object class");
    assert_eq!(error(&MemoryHost::default()), expected);
    assert_eq!(
        expected.to_string(),
        "WORKOS_API_KEY is missing; WORKOS_CLIENT_ID is missing; \
         WORKOS_COOKIE_PASSWORD is missing; AUTHKIT is not bound to a KV namespace; \
         SESSIONS is not bound to a Durable Object class"
    );
}

#[test]
fn error_names_binding_alone_where_variables_are_sound() {
    let host = [
        ("WORKOS_API_KEY", "sk_test_apikey"),
        ("WORKOS_CLIENT_ID", "client_test"),
        ("WORKOS_COOKIE_PASSWORD", "a password of at least 32 characters"),
    ];
    let host =
        host.iter().fold(MemoryHost::default(), |host, (name, value)| host.with_var(name, value));
    let host = host.with_objects("SESSIONS", sessions());
    assert_eq!(error(&host).to_string(), "AUTHKIT is not bound to a KV namespace");

    // A namespace that the application shares.
    let host = host.with_kv("SHARED", Arc::new(MemoryKv::default()));
    assert!(AuthKit::from_env_with_kv(&host, "SHARED").is_ok());
    let error = AuthKit::from_env_with_kv(&host, "OTHER").err().unwrap();
    assert_eq!(error.to_string(), "OTHER is not bound to a KV namespace");
}

#[test]
fn error_shows_no_value() {
    let host = Site::new().host.with_var("WORKOS_COOKIE_PASSWORD", "sesame");
    let error = error(&host).to_string();
    assert!(error.starts_with("WORKOS_COOKIE_PASSWORD is shorter than 32"), "{error}");
    assert!(!error.contains("sesame"), "{error}");
}
