//! The admin listener: metrics, health and the operator's switches.

pub mod config;
pub mod probe;
