//! Dashboards of the sample: a fork replaces them.

pub mod epro_rpc;
pub mod notifications;
