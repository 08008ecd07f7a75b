//! gRPC: what is served, the ordered layers before it, and the resilient client. What is offered on it is
//! the domain's.

mod answer;
pub mod client;
pub mod codes;
pub mod config;
mod deadline;
mod endpoint;
#[cfg(feature = "etcd")]
mod etcd;
mod foreign;
mod observe;
mod probe;
mod reflect;
mod register;
mod request;
mod services;
mod stack;
pub mod status;

pub use config::GrpcConfig;
pub use deadline::Deadline;
pub use reflect::Unreadable;
pub use register::{RegisterConfig, Registration};
pub use services::{LARGEST_MESSAGE, Method, Services};
pub use stack::GrpcStack;
