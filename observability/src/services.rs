//! The services that are observed: a fork writes its own names here.

/// The service itself: its `job` in Prometheus, and its `service.name` in traces and log lines.
pub const SERVICE: &str = "epro-notify";

/// Every service that sends telemetry by these conventions.
pub const SERVICES: &[&str] = &[SERVICE, "ctms"];
