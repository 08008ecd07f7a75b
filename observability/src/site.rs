//! Where this installation has what alerts link to, and what its Prometheus calls our jobs. The only place
//! to change when the rules move from the compose file to another home.

/// What runbooks are served under: `deploy/runbooks`, one page a file.
pub const RUNBOOKS: &str = "http://localhost:8090";

/// Grafana.
pub const GRAFANA: &str = "http://localhost:3000";

/// The jobs of Prometheus' scrape configuration.
pub const JOB: &str = "epro-notify";
pub const CTMS_JOB: &str = "ctms";

/// `APP_QUEUE__MAX_BACKLOG`, which no metric tells.
pub const MAX_BACKLOG: u32 = 100_000;
