//! The HTML interface of the expense tracker.

pub mod views;
