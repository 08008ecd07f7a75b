//! What no request to the whole service can show: panics, handlers that never end, a layer of the service's own.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test's helpers may fail it, and its tasks have no span"
)]

mod answers;
mod grpc;
mod support;
