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

use axum::{extract::Request, handler::Handler, response::Response};

#[cfg(target_arch = "wasm32")]
pub use undescribed::OpenApiRouter;
#[cfg(target_arch = "wasm32")]
pub(crate) use undescribed::routes;

/// Items that the expansion of [`routes!`](routes) names.
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod private {
    pub use super::any_handler;
    pub use axum::routing::MethodRouter;
    pub use utoipa::Path;
    pub use utoipa_axum::{PathItemExt, paste};
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

#[cfg(target_arch = "wasm32")]
mod undescribed {
    use axum::{Router, routing::MethodRouter};

    /// `utoipa_axum::router::OpenApiRouter`, without the description.
    #[derive(Debug)]
    pub struct OpenApiRouter<S>(Router<S>);

    impl<S: Clone + Send + Sync + 'static> Default for OpenApiRouter<S> {
        fn default() -> Self {
            Self(Router::new())
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
        pub fn routes(self, (path, handlers): (String, MethodRouter<S>)) -> Self {
            self.route(&path, handlers)
        }

        /// Adds handlers that have no description.
        #[must_use]
        #[allow(clippy::disallowed_methods, reason = "described routes use this method")]
        pub fn route(self, path: &str, handlers: MethodRouter<S>) -> Self {
            Self(self.0.route(path, handlers))
        }

        /// Adds the routes of another router.
        #[must_use]
        pub fn merge(self, other: Self) -> Self {
            Self(self.0.merge(other.0))
        }
    }

    impl<S> From<OpenApiRouter<S>> for Router<S> {
        fn from(router: OpenApiRouter<S>) -> Self {
            router.0
        }
    }

    /// Reads the path and the methods from the handlers' `#[utoipa::path]`. All handlers share one path.
    macro_rules! routes {
        ($first:ident $(, $handler:ident)* $(,)?) => {
            $crate::routing::private::paste! {{
                use $crate::routing::private::Path as _;
                use $crate::routing::private::PathItemExt as _;

                let handlers = $crate::routing::private::MethodRouter::new();
                let handlers = [<__path_ $first>]::methods()
                    .iter()
                    .fold(handlers, |handlers, method| {
                        handlers.on(method.to_method_filter(), $crate::routing::private::any_handler($first))
                    });
                $(let handlers = [<__path_ $handler>]::methods()
                    .iter()
                    .fold(handlers, |handlers, method| {
                        handlers.on(method.to_method_filter(), $crate::routing::private::any_handler($handler))
                    });)*
                ([<__path_ $first>]::path(), handlers)
            }}
        };
    }
    pub(crate) use routes;
}
