//! The service under attack, over sockets of its own.

mod connections;
mod http1;
mod http2;
