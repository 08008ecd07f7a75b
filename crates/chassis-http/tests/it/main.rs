//! The crate from outside: real sockets, raw bytes, a small service that stacks every layer.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test's helpers may fail it, and its tasks have no span"
)]

mod answers;
mod callers;
mod connections;
mod grpc;
mod support;
mod tls;
