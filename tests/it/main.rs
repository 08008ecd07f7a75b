//! The hermetic tests, in one binary: no network, no root, no other program.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at what it did not expect")]

mod config;
mod file_shape;
mod import_rule;
mod queue;
mod source;
mod support;
