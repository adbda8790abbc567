//! The `routes!` macro: the handlers of one path, with their descriptions. A handler without
//! `#[utoipa::path]` does not compile in it.
//!
//! ```text
//! routes!(api::list => by_accept(web::list), api::create, web::change)
//! ```
//!
//! Path and methods are those of the handlers' `#[utoipa::path]`. `a => f(b)` registers `f(a, b)` with the
//! description of `a`.
//!
//! On the host an [`OpenApiRouter`] is `utoipa-axum`'s and collects the descriptions. In the Worker the same
//! names make the same routes without descriptions: the code that builds them is a fifth of a bundle, and
//! its result is a file (see [`super::DOCUMENT`]).

pub use axum_authkit::routing::OpenApiRouter;

/// The type that `#[utoipa::path]` declares beside a handler.
macro_rules! operation {
    ($handler:ident) => {
        utoipa_axum::paste! { [<__path_ $handler>] }
    };
    ($module:ident :: $handler:ident) => {
        utoipa_axum::paste! { $module::[<__path_ $handler>] }
    };
}

/// The handlers of one path, by method.
macro_rules! method_router {
    (@handler $($handler:ident)::+) => { $($handler)::+ };
    (@handler $($handler:ident)::+ => $combine:ident($($other:ident)::+)) => {
        $combine($($handler)::+, $($other)::+)
    };
    ($($($handler:ident)::+ $(=> $combine:ident($($other:ident)::+))?),+ $(,)?) => {{
        use axum_authkit::routing::{any_handler, on_methods};
        use $crate::openapi::routing::{method_router, operation};

        let handlers = axum::routing::MethodRouter::new();
        $(let handlers = on_methods(
            handlers,
            &<operation!($($handler)::+) as utoipa::Path>::methods(),
            any_handler(method_router!(@handler $($handler)::+ $(=> $combine($($other)::+))?)),
        );)+
        handlers
    }};
}

#[cfg(not(target_arch = "wasm32"))]
macro_rules! routes {
    ($($($handler:ident)::+ $(=> $combine:ident($($other:ident)::+))?),+ $(,)?) => {
        $crate::openapi::routing::described(
            utoipa_axum::routes!($($($handler)::+),+),
            $crate::openapi::routing::method_router!(
                $($($handler)::+ $(=> $combine($($other)::+))?),+
            ),
        )
    };
}

#[cfg(target_arch = "wasm32")]
macro_rules! routes {
    ($($first:ident)::+ $(=> $combine:ident($($other:ident)::+))? $(, $($rest:tt)*)?) => {
        (
            <$crate::openapi::routing::operation!($($first)::+) as utoipa::Path>::path(),
            $crate::openapi::routing::method_router!(
                $($first)::+ $(=> $combine($($other)::+))? $(, $($rest)*)?
            ),
        )
    };
}

pub(crate) use {method_router, operation, routes};

/// The descriptions of `operations`, with `handlers` in place of theirs.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn described<S>(
    operations: utoipa_axum::router::UtoipaMethodRouter<S>,
    handlers: axum::routing::MethodRouter<S>,
) -> utoipa_axum::router::UtoipaMethodRouter<S> {
    let (schemas, paths, _) = operations;
    (schemas, paths, handlers)
}
