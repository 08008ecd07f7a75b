//! The hermetic tests, in one binary: no network, no root, no other program.

mod admin;
mod http_answers;
mod http_connections;
mod http_shutdown;
mod support;
