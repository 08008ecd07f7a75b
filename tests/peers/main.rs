//! Tests that need a program of somebody else's: apart from `cargo test`, which is hermetic.
//!
//! `cargo xtask test` runs each module when its program is there; by hand it is
//! `cargo test --test peers -- system_calls::`.

mod metrics_page;
mod service;
mod system_calls;
mod trace;
