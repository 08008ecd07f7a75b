//! gRPC: what is served, the ordered layers before it, and the resilient client. What is offered on it is
//! the domain's.

pub mod client;
pub mod config;
mod services;
mod stack;
pub mod status;

pub use config::GrpcConfig;
pub use services::{Method, Services};
pub use stack::GrpcStack;
