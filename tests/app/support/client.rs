//! The clients of the Worker and their common trait: [`Anonymous`], [`Bearer`] and [`Browser`].

use axum::body::Body;
use http::{Method, header, request::Builder};

use super::{
    TestApp,
    app::{Browser, TestResponse, request},
};

/// A client of the Worker. Clients differ in the credentials of their requests.
pub trait Client {
    /// A request with the client's own headers.
    fn request(&self, method: Method, path: &str) -> Builder;

    async fn send(&mut self, request: Builder, body: Body) -> TestResponse;

    /// Sends a request without a body.
    async fn fetch(&mut self, method: Method, path: &str) -> TestResponse {
        let request = self.request(method, path);
        self.send(request, Body::empty()).await
    }

    async fn get(&mut self, path: &str) -> TestResponse {
        self.fetch(Method::GET, path).await
    }

    async fn delete(&mut self, path: &str) -> TestResponse {
        self.fetch(Method::DELETE, path).await
    }

    /// Sends a JSON body.
    async fn send_json(
        &mut self,
        method: Method,
        path: &str,
        body: impl Into<Body>,
    ) -> TestResponse {
        let request = self.request(method, path).header(header::CONTENT_TYPE, "application/json");
        self.send(request, body.into()).await
    }

    /// Posts a JSON body.
    async fn post(&mut self, path: &str, body: impl Into<Body>) -> TestResponse {
        self.send_json(Method::POST, path, body).await
    }
}

/// A client without credentials, such as curl.
pub struct Anonymous<'a> {
    pub app: &'a TestApp,
}

impl Client for Anonymous<'_> {
    fn request(&self, method: Method, path: &str) -> Builder {
        request(method, path)
    }

    async fn send(&mut self, request: Builder, body: Body) -> TestResponse {
        self.app.send(request.body(body).unwrap()).await
    }
}

/// A client with an access token in `Authorization: Bearer`.
pub struct Bearer<'a> {
    pub app: &'a TestApp,
    pub token: String,
}

impl Client for Bearer<'_> {
    fn request(&self, method: Method, path: &str) -> Builder {
        request(method, path).header(header::AUTHORIZATION, format!("Bearer {}", self.token))
    }

    async fn send(&mut self, request: Builder, body: Body) -> TestResponse {
        self.app.send(request.body(body).unwrap()).await
    }
}

/// `fetch()` from one of this Worker's own pages.
impl Client for Browser {
    fn request(&self, method: Method, path: &str) -> Builder {
        request(method, path).header("sec-fetch-site", "same-origin")
    }

    /// Sends the cookies for the request's path, and stores the cookies that the response sets.
    async fn send(&mut self, request: Builder, body: Body) -> TestResponse {
        let path = request.uri_ref().unwrap().path().to_owned();
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .filter(|cookie| path.starts_with(&cookie.path))
            .map(|cookie| format!("{}={}", cookie.name, cookie.value))
            .collect();
        let request = if cookies.is_empty() {
            request
        } else {
            request.header(header::COOKIE, cookies.join("; "))
        };
        let response = self.app.send(request.body(body).unwrap()).await;
        self.keep_cookies(&response);
        response
    }
}
