//! Routes with their OpenAPI description. `routes!` does not compile for a handler without
//! `#[utoipa::path]`.
//!
//! On the host the names come from `utoipa-axum`. In the Worker the same names build the same routes
//! without descriptions: the code that builds the descriptions takes a fifth of the bundle, and the
//! application ships the finished document instead.

#[cfg(not(target_arch = "wasm32"))]
pub use utoipa_axum::router::OpenApiRouter;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use utoipa_axum::routes;

use std::{pin::Pin, sync::Arc};

use axum::{Router, extract::Request, handler::Handler, response::Response, routing::MethodRouter};
use utoipa::openapi::HttpMethod;
use utoipa_axum::PathItemExt as _;

#[cfg(target_arch = "wasm32")]
pub use undescribed::OpenApiRouter;
#[cfg(target_arch = "wasm32")]
pub(crate) use undescribed::routes;

/// Items that the expansion of [`routes!`](routes) names.
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod private {
    pub use super::{any_handler, on_methods};
    pub use axum::routing::MethodRouter;
    pub use utoipa::Path;
    pub use utoipa_axum::paste;
}

/// The future of a handler that is a function: axum boxes it.
pub type HandlerFuture = Pin<Box<dyn Future<Output = Response> + Send>>;

/// A handler whose type does not name the function behind it. axum compiles a dozen functions for each type of handler.
pub struct AnyHandler<S>(Arc<dyn Fn(Request, S) -> HandlerFuture + Send + Sync>);

/// Makes a handler an [`AnyHandler`].
pub fn any_handler<H, T, S>(handler: H) -> AnyHandler<S>
where
    H: Handler<T, S, Future = HandlerFuture>,
{
    AnyHandler(Arc::new(move |request, state| handler.clone().call(request, state)))
}

impl<S> Clone for AnyHandler<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S> std::fmt::Debug for AnyHandler<S> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("AnyHandler")
    }
}

impl<S: 'static> Handler<(), S> for AnyHandler<S> {
    type Future = HandlerFuture;

    fn call(self, request: Request, state: S) -> HandlerFuture {
        (self.0)(request, state)
    }
}

/// Adds a handler for these methods.
pub fn on_methods<S: Clone + Send + Sync + 'static>(
    handlers: MethodRouter<S>,
    methods: &[HttpMethod],
    handler: AnyHandler<S>,
) -> MethodRouter<S> {
    methods
        .iter()
        .fold(handlers, |handlers, method| handlers.on(method.to_method_filter(), handler.clone()))
}

/// The router of an application with its state.
pub fn with_state<S: Clone + Send + Sync + 'static>(routes: OpenApiRouter<S>, state: S) -> Router {
    #[cfg(not(target_arch = "wasm32"))]
    return Router::from(routes).with_state(state);
    #[cfg(target_arch = "wasm32")]
    routes.with_state(state)
}

#[cfg(target_arch = "wasm32")]
mod undescribed {
    use axum::{Router, routing::MethodRouter};

    /// `utoipa_axum::router::OpenApiRouter`, without the description. It is a list, because axum's router is compiled
    /// once more for another state.
    #[derive(Debug)]
    pub struct OpenApiRouter<S>(Vec<(String, MethodRouter<S>)>);

    impl<S> Default for OpenApiRouter<S> {
        fn default() -> Self {
            Self(Vec::new())
        }
    }

    impl<S: Clone + Send + Sync + 'static> OpenApiRouter<S> {
        /// A router without routes.
        #[must_use]
        pub fn new() -> Self {
            Self::default()
        }

        /// Adds the handlers of one path.
        #[must_use]
        pub fn routes(mut self, route: (String, MethodRouter<S>)) -> Self {
            self.0.push(route);
            self
        }

        /// Adds handlers that have no description.
        #[must_use]
        pub fn route(self, path: &str, handlers: MethodRouter<S>) -> Self {
            self.routes((path.to_owned(), handlers))
        }

        /// Adds the routes of another router.
        #[must_use]
        pub fn merge(mut self, other: Self) -> Self {
            self.0.extend(other.0);
            self
        }

        pub(super) fn with_state(self, state: S) -> Router {
            self.fold(|handlers| handlers.with_state(state.clone()))
        }

        #[allow(
            clippy::disallowed_methods,
            reason = "the routes have their descriptions on the host"
        )]
        fn fold<T: Clone + Send + Sync + 'static>(
            self,
            map: impl Fn(MethodRouter<S>) -> MethodRouter<T>,
        ) -> Router<T> {
            self.0
                .into_iter()
                .fold(Router::new(), |router, (path, handlers)| router.route(&path, map(handlers)))
        }
    }

    impl<S: Clone + Send + Sync + 'static> From<OpenApiRouter<S>> for Router<S> {
        fn from(routes: OpenApiRouter<S>) -> Self {
            routes.fold(|handlers| handlers)
        }
    }

    /// Reads the path and the methods from the handlers' `#[utoipa::path]`. All handlers share one path.
    macro_rules! routes {
        ($first:ident $(, $handler:ident)* $(,)?) => {
            $crate::routing::private::paste! {{
                use $crate::routing::private::{MethodRouter, Path as _, any_handler, on_methods};

                let handlers = MethodRouter::new();
                let handlers =
                    on_methods(handlers, &[<__path_ $first>]::methods(), any_handler($first));
                $(let handlers =
                    on_methods(handlers, &[<__path_ $handler>]::methods(), any_handler($handler));)*
                ([<__path_ $first>]::path(), handlers)
            }}
        };
    }
    pub(crate) use routes;
}
