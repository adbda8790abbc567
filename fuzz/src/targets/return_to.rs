//! `return_to`: every accepted path stays on the origin, and parses as the same path again.

use std::sync::LazyLock;

use axum_authkit::sign_in::ReturnTo;
use url::Url;

static BASES: LazyLock<[Url; 3]> = LazyLock::new(|| {
    ["https://app.test/login?x=1", "http://localhost:8787/", "http://[::1]:8787/a/b"]
        .map(|base| Url::parse(base).unwrap())
});

pub fn check(data: &[u8]) {
    let Ok(value) = std::str::from_utf8(data) else { return };
    for base in &*BASES {
        let Some(return_to) = ReturnTo::parse(value, base) else { continue };
        let path = return_to.path().unwrap_or_default();
        assert!(path.starts_with('/') && !path.starts_with("//"), "{path:?}");
        assert!(path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\'), "{path:?}");

        let url = base.join(path).unwrap();
        assert!(url.origin().is_tuple() && url.origin() == base.origin(), "{url}");
        assert!(!["/login", "/logout", "/callback"].contains(&url.path()), "{url}");
        assert_eq!(ReturnTo::parse(path, base), Some(return_to.clone()));
    }
}
