// Requests through the router that its `build` returns.
{
    use std::sync::Arc;

    use axum::body::Body;
    use edge_host::memory::{MemoryHost, MemoryKv, MemoryObjects};
    use http::{Request, StatusCode, header};
    use tower::ServiceExt;

    let host = MemoryHost::default();
    let error = build(&host).unwrap_err().to_string();
    for name in [
        "WORKOS_API_KEY",
        "WORKOS_CLIENT_ID",
        "WORKOS_COOKIE_PASSWORD",
        AuthKit::KV_BINDING,
        AuthKit::SESSIONS_BINDING,
    ] {
        assert!(error.contains(name), "{name} is not in: {error}");
    }
    let host = host
        .with_var("WORKOS_API_KEY", "sk_test_1")
        .with_var("WORKOS_CLIENT_ID", "client_1")
        .with_var("WORKOS_COOKIE_PASSWORD", "0123456789abcdef0123456789abcdef")
        .with_kv(AuthKit::KV_BINDING, Arc::new(MemoryKv::default()));
    let keepers_host = host.clone();
    let keeper = move |context| Arc::new(axum_authkit::session_keeper(&keepers_host, context)) as _;
    let sessions = MemoryObjects::new(keeper, drop);
    let host = host.with_objects(AuthKit::SESSIONS_BINDING, Arc::new(sessions));
    let app = build(&host).unwrap();
    let response = |accept| {
        let request = Request::get("https://app.test/secret").header(header::ACCEPT, accept);
        app.clone().oneshot(request.body(Body::empty()).unwrap())
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let refused = runtime.block_on(response("*/*")).unwrap();
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(refused.headers()[header::WWW_AUTHENTICATE], "Bearer");
    let redirect = runtime.block_on(response("text/html")).unwrap();
    assert_eq!(redirect.status(), StatusCode::FOUND);
    assert_eq!(redirect.headers()[header::LOCATION], "/login?return_to=%2Fsecret");
}
