//! The services that are observed, by the names of their traces and lines, which are those of their jobs.

use crate::site;

/// The service itself: its `job` in Prometheus, and its `service.name` in traces and log lines.
pub const SERVICE: &str = site::JOB;

/// Every service that sends telemetry by these conventions.
pub const SERVICES: &[&str] = &[SERVICE, site::CTMS_JOB];
