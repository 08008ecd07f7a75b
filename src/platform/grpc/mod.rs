//! gRPC: so far only its settings.

pub mod config;
