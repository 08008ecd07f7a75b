//! Dashboards of what every fork keeps.

pub mod limits;
pub mod overview;
pub mod runtime;

use crate::{names, query::rate};

/// What `runtime-telemetry` and others ask of the usual collectors, which name their metrics themselves.
mod collectors {
    pub const CPU_SECONDS: &str = "process_cpu_seconds_total";
    pub const MAX_FDS: &str = "process_max_fds";
    pub const OPEN_FDS: &str = "process_open_fds";
    pub const RESIDENT_BYTES: &str = "process_resident_memory_bytes";
    pub const SCRAPE_DURATION: &str = "scrape_duration_seconds";
    pub const START_TIME: &str = "process_start_time_seconds";
    pub const THREADS: &str = "process_threads";
    pub const UP: &str = "up";
    pub const TOKIO_BUSY_RATIO: &str = "tokio_busy_ratio";
    pub const TOKIO_GLOBAL_QUEUE_DEPTH: &str = "tokio_global_queue_depth";
    pub const TOKIO_LIVE_TASKS: &str = "tokio_live_tasks_count";
    pub const TOKIO_WORKERS: &str = "tokio_workers_count";
}

/// gRPC codes that are our fault, as the objectives count them.
const GRPC_FAILURES: &str = r#"grpc_code=~"UNKNOWN|DEADLINE_EXCEEDED|INTERNAL|UNAVAILABLE|DATA_LOSS""#;
/// gRPC codes by which a caller is turned away.
const GRPC_REFUSALS: &str = r#"grpc_code=~"UNAUTHENTICATED|PERMISSION_DENIED|RESOURCE_EXHAUSTED""#;
/// Calls that are somebody's, unlike health checks and reflection.
const GRPC_CALLS: &str = r#"side="server",grpc_service!~"grpc[.].+""#;

/// HTTP requests a second.
fn http(matchers: &str) -> String {
    rate(&format!("{}_count", names::HTTP_REQUEST_DURATION), matchers)
}

/// gRPC calls a second that this side answered.
fn grpc(matchers: &str) -> String {
    let comma = if matchers.is_empty() { "" } else { "," };
    rate(&format!("{}_count", names::GRPC_REQUEST_DURATION), &format!("{GRPC_CALLS}{comma}{matchers}"))
}

/// Requests and calls a second of both, to be aggregated: their series have different labels.
fn both(http_matchers: &str, grpc_matchers: &str) -> String {
    format!("{} or {}", http(http_matchers), grpc(grpc_matchers))
}
