//! The hermetic tests, in one binary: no network, no root, no other program.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]
#![expect(clippy::disallowed_methods, reason = "no span is lost here, and another process can't be awaited")]

mod admin;
mod auth;
mod calls;
mod config;
mod contract;
mod ctms;
mod degradation;
mod endpoints;
mod file_shape;
mod fuzz;
mod grpc_answers;
mod grpc_connections;
mod grpc_health;
mod grpc_traces;
mod hostile_connections;
mod hostile_http1;
mod hostile_http2;
mod http_answers;
mod http_connections;
mod http_door;
mod http_inputs;
mod http_shutdown;
mod http_traces;
mod import_rule;
mod limits;
mod limits_answers;
mod limits_keys;
mod manners;
mod notify_accept;
mod notify_deliver;
mod notify_directory;
mod notify_people;
mod notify_telemetry;
mod openapi;
mod process;
mod process_telemetry;
mod queue_accept;
mod queue_batch;
mod queue_deliver;
mod queue_keys;
mod random;
mod readme;
mod reports;
mod shutdown;
mod source;
mod studies;
mod support;
mod telemetry_exemplars;
mod telemetry_flood;
mod telemetry_http;
mod telemetry_lines;
mod telemetry_process;
mod telemetry_said;
mod telemetry_spans;
mod tls;
mod tls_files;
