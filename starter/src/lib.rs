//! The service: everything that you edit. Read [`app`] first, then [`http`] for the routes and [`jobs`] for the jobs.

pub mod app;
pub mod backup;
pub mod config;
pub mod error;
pub mod example;
pub mod http;
pub mod jobs;
pub mod metrics;
