//! The service: everything a fork edits. Read [`app`] first, then [`http`] for the routes.

pub mod app;
pub mod backup;
pub mod config;
pub mod ctms;
pub mod error;
pub mod grpc;
pub mod http;
pub mod lookup;
pub mod metrics;
pub mod model;
pub mod notifications;
pub mod proto;
pub mod reports;
