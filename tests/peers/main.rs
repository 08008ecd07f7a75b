//! Tests that need a program of somebody else's: apart from `cargo test`, which is hermetic.
//!
//! `cargo xtask test` runs each module when its program is there; by hand it is
//! `cargo test --test peers -- system_calls::`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at what it did not expect")]
#![expect(clippy::disallowed_methods, reason = "no span is lost here, and another process can't be awaited")]

mod metrics_page;
mod service;
mod system_calls;
