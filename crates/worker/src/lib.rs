//! The Worker: the crate `authkit-edge` as the module that Workers run.
//!
//! It is a crate of its own because its only type is `cdylib`. In a crate that is an `rlib` too, link-time optimization
//! keeps the public functions of every dependency as they are, and the bundle is 4 % larger.

edge_host::serve!(
    authkit_edge::app::build,
    SessionKeeper = axum_authkit::session_keeper,
    Ledger = authkit_edge::ledger,
);
