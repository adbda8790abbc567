//! The environment of an application.

use std::sync::Arc;

use http::HeaderName;

use crate::{Clock, HttpClient, KvNamespace, ObjectNamespace, RateLimit, SignatureVerifier};

/// The environment of an application: its configuration, and the services that it uses.
pub trait Host {
    /// The value of a variable or a secret; `None` where it is not set.
    fn var(&self, name: &str) -> Option<String>;

    /// The key-value namespace that is bound to a name; `None` where there is no such binding.
    fn kv(&self, binding: &str) -> Option<Arc<dyn KvNamespace>>;

    /// The Durable Objects that are bound to a name; `None` where there is no such binding. On Workers they are those
    /// in the jurisdiction that [`JURISDICTION_VARIABLE`](crate::JURISDICTION_VARIABLE) names, and `None` where the
    /// runtime does not have it.
    fn objects(&self, binding: &str) -> Option<Arc<dyn ObjectNamespace>>;

    /// The rate limit that is bound to a name; `None` where there is no such binding, which is no limit.
    fn rate_limit(&self, binding: &str) -> Option<Arc<dyn RateLimit>>;

    /// The wall clock.
    fn clock(&self) -> Arc<dyn Clock>;

    /// The client for outgoing requests.
    fn http_client(&self) -> Arc<dyn HttpClient>;

    /// Names the headers of requests that handlers and layers read; they see no others. Those in `with_body` are read
    /// only from requests with a body. On Workers each header costs, and browsers send twenty. Without this call
    /// handlers see all, or none where the feature `all-headers` is off.
    ///
    /// # Security
    ///
    /// A check that reads a header which is not named here finds it absent. So name the headers that libraries read
    /// too; a library lists them as a constant.
    fn limit_request_headers(&self, always: &[HeaderName], with_body: &[HeaderName]) {
        let _ = (always, with_body);
    }

    /// The verification of signatures.
    fn signature_verifier(&self) -> Arc<dyn SignatureVerifier>;
}

/// The application of a host that lacks something: a router that says so to every request. A function for
/// [`serve!`](crate::serve) returns it as the error.
#[derive(Debug)]
pub struct Misconfigured<Router>(pub Router);
