//! The crate from outside: real sockets, raw bytes, a small service that stacks every layer.

mod answers;
mod callers;
mod connections;
mod grpc;
mod support;
mod tls;
