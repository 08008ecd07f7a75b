//! What every HTTP and gRPC surface of a service shares, as ordinary tower layers and axum extractors.
#![doc = include_str!("../README.md")]

pub mod auth;
mod client;
mod config;
mod gate;
pub mod grpc;
mod host;
mod idempotency;
pub mod layers;
mod limits;
mod metrics;
pub mod openapi;
mod problem;
pub mod server;
mod tls;
mod valid;
mod watch;

pub use auth::{Caller, Key, KeyName, Keys, Scope, Scopes, identify, require, require_key_to_change};
pub use client::Client;
pub use config::{AuthConfig, LimitsConfig, Origin, PerClient, ServerConfig};
pub use gate::{Around, Decide, Gate};
pub use host::host_check;
pub use idempotency::{Idempotent, RequestKey};
pub use limits::Limits;
pub use metrics::METRICS;
pub use problem::{Fault, Problem, ProblemBody};
pub use tls::{TlsConfig, TlsFault};
pub use valid::{NoBody, Valid};
