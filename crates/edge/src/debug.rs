//! `Debug` for types whose fields have no use in a log, or are secret.

/// Implements `Debug` that shows the name of the type alone.
#[doc(hidden)]
#[macro_export]
macro_rules! opaque_debug {
    ($($name:ident$(<$($parameter:tt),+>)?),+ $(,)?) => {
        $(
            impl$(<$($parameter),+>)? ::core::fmt::Debug for $name$(<$($parameter),+>)? {
                fn fmt(&self, formatter: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                    formatter.debug_struct(stringify!($name)).finish_non_exhaustive()
                }
            }
        )+
    };
}
