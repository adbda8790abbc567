//! The context of a request: AuthKit, the origin, the client and the session update. The [layer](crate::layer()) makes
//! it; extractors and handlers share it, and the layer writes the `SessionUpdate` into the response's cookies.

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{FromRequestParts, Request};
use edge_host::WaitUntil;
use http::{HeaderValue, StatusCode, Uri, request::Parts, uri::PathAndQuery};

use crate::{
    authkit::AuthKit, error::AppError, origin::RequestOrigin, refusal::login_path,
    rejection::Rejection, session::Session, sign_in::ReturnTo, workos::ClientInfo,
};

edge_host::opaque_debug!(RequestContext);

/// The context of a request.
#[derive(Clone)]
pub struct RequestContext(Arc<Context>);

struct Context {
    authkit: Arc<AuthKit>,
    origin: Option<RequestOrigin>,
    uri: Uri,
    /// The headers that [`ClientInfo`] reads. Clones of URI and values share their bytes.
    client_headers: [Option<HeaderValue>; 2],
    wait_until: WaitUntil,
    session_update: SessionUpdate,
}

impl RequestContext {
    pub(crate) fn new(
        authkit: Arc<AuthKit>,
        origin: Option<RequestOrigin>,
        request: &Request,
    ) -> Self {
        Self(Arc::new(Context {
            origin,
            uri: request.uri().clone(),
            client_headers: ClientInfo::HEADERS.map(|name| request.headers().get(name).cloned()),
            wait_until: request.extensions().get().cloned().unwrap_or_default(),
            session_update: SessionUpdate::default(),
            authkit,
        }))
    }

    /// The application's AuthKit.
    #[must_use]
    pub fn authkit(&self) -> &Arc<AuthKit> {
        &self.0.authkit
    }

    /// The origin that the browser sees.
    ///
    /// # Errors
    ///
    /// [`Rejection::NoHost`].
    pub fn origin(&self) -> Result<&RequestOrigin, Rejection> {
        self.0.origin.as_ref().ok_or(Rejection::NoHost)
    }

    /// The path and query of `/login` that lead a browser back to the URL of this request: for a link on a public page.
    #[must_use]
    pub fn sign_in_path(&self) -> String {
        // Not the URI of the handler's request, which lacks what `Router::nest` has stripped.
        let wanted = self.0.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let origin = self.0.origin.as_ref();
        let return_to = origin.and_then(|origin| ReturnTo::parse(wanted, origin.url()));
        login_path(&return_to.unwrap_or_default())
    }

    /// The path that the client asked for.
    #[must_use]
    pub fn path(&self) -> &str {
        self.0.uri.path()
    }

    /// The client's address and user agent, as WorkOS's audit log shows them.
    #[must_use]
    pub fn client(&self) -> ClientInfo {
        ClientInfo::from_values(self.0.client_headers.each_ref().map(Option::as_ref))
    }

    /// Counts a request of the client's address, for a route that anybody can call. A request without an address,
    /// which did not come through Cloudflare, has no limit.
    ///
    /// # Errors
    ///
    /// [`Rejection::TooManyRequests`] beyond the limit.
    pub async fn check_address_limit(&self) -> Result<(), Rejection> {
        match self.client().network() {
            Some(network) => self.authkit().address_limit.check(&network).await,
            None => Ok(()),
        }
    }

    /// Finishes work that outlives the response.
    #[must_use]
    pub fn wait_until(&self) -> &WaitUntil {
        &self.0.wait_until
    }

    pub(crate) fn session_update(&self) -> &SessionUpdate {
        &self.0.session_update
    }

    /// # Errors
    ///
    /// [`Rejection::MissingLayer`] outside of the layer.
    pub(crate) fn of(parts: &Parts) -> Result<&Self, Rejection> {
        parts.extensions.get().ok_or(Rejection::MissingLayer)
    }
}

impl<S: Sync> FromRequestParts<S> for RequestContext {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Rejection> {
        Self::of(parts).cloned()
    }
}

impl RequestOrigin {
    /// The origin that the layer has determined, or else the origin of the request's URL. `None` for a request without
    /// a host.
    #[must_use]
    pub fn of_parts(parts: &Parts) -> Option<Self> {
        match parts.extensions.get::<RequestContext>() {
            Some(context) => context.origin().ok().cloned(),
            // Without the layer, `PUBLIC_ORIGIN` is unknown and the URL decides.
            None => Self::of_request(&parts.uri, &parts.headers),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for RequestOrigin {
    type Rejection = AppError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, AppError> {
        Self::of_parts(parts)
            .ok_or_else(|| AppError::new(StatusCode::BAD_REQUEST, "The request has no host"))
    }
}

/// The session that the response of a request hands to the browser.
#[derive(Default)]
pub(crate) struct SessionUpdate(Mutex<Option<Update>>);

pub(crate) enum Update {
    Set(Arc<Session>),
    Ended,
}

impl SessionUpdate {
    /// The browser gets `session`, or the newest session that has followed it by then.
    pub fn set(&self, session: Arc<Session>) {
        self.replace(Some(Update::Set(session)));
    }

    /// The session is over: its user has signed out, or WorkOS has ended it.
    pub fn end(&self) {
        self.replace(Some(Update::Ended));
    }

    /// The browser keeps the session that it has.
    pub fn reset(&self) {
        self.replace(None);
    }

    fn replace(&self, update: Option<Update>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = update;
    }

    pub fn take(&self) -> Option<Update> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[cfg(test)]
mod tests {
    use http::header;

    use super::*;

    #[tokio::test]
    async fn origin_comes_from_the_url_or_the_host_header() {
        for (uri, host, expected) in [
            ("https://app.test:8443/x?y", "evil.test", "https://app.test:8443/"),
            ("/x", "app.test", "https://app.test/"),
        ] {
            let request =
                http::Request::builder().uri(uri).header(header::HOST, host).body(()).unwrap();
            let (mut parts, ()) = request.into_parts();
            let origin = RequestOrigin::from_request_parts(&mut parts, &()).await.unwrap();
            assert_eq!(origin.url().as_str(), expected);
        }
    }
}
