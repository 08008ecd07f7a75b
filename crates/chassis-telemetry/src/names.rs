//! Names of this crate's metrics, and of labels and span attributes that more than one crate sets at run time.
//!
//! A name that stands once, in a macro or a catalogue, is not repeated here.

/// The version of OpenTelemetry's semantic conventions that the attribute names follow.
pub const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.42.0";

// Metrics of the HTTP and gRPC layers.
pub const HTTP_REQUEST_DURATION: &str = "http_request_duration_seconds";
pub const HTTP_REQUESTS_IN_FLIGHT: &str = "http_requests_in_flight";
pub const GRPC_REQUEST_DURATION: &str = "grpc_request_duration_seconds";

// Metrics of telemetry itself.
pub const SPANS_ENDED: &str = "telemetry_spans_ended_total";
pub const SPANS: &str = "telemetry_spans_total";
pub const SPANS_QUEUED: &str = "telemetry_spans_queued";
pub const LOG_LINES: &str = "telemetry_log_lines_total";
pub const LATE_PARENTS: &str = "telemetry_late_parents_total";
pub const BUILD_INFO: &str = "build_info";

// Metric labels.
pub const LABEL_CHANNEL: &str = "channel";
pub const LABEL_GRPC_CODE: &str = "grpc_code";
pub const LABEL_GRPC_METHOD: &str = "grpc_method";
pub const LABEL_GRPC_SERVICE: &str = "grpc_service";
pub const LABEL_LISTENER: &str = "listener";
pub const LABEL_OPERATION: &str = "operation";
pub const LABEL_OUTCOME: &str = "outcome";
pub const LABEL_PRIORITY: &str = "priority";
pub const LABEL_REASON: &str = "reason";
pub const LABEL_ROUTE: &str = "route";
pub const LABEL_SIDE: &str = "side";
pub const LABEL_STATE: &str = "state";
pub const LABEL_STORE: &str = "store";
pub const LABEL_TASK: &str = "task";

// Span attributes, by OpenTelemetry's conventions and our own.
pub const COMMITTED_MS: &str = "committed_ms";
pub const ERROR_TYPE: &str = "error.type";
pub const HTTP_RESPONSE_STATUS_CODE: &str = "http.response.status_code";
pub const OTEL_STATUS_CODE: &str = "otel.status_code";
pub const OUTCOME: &str = "outcome";
pub const REASON: &str = "reason";
pub const RPC_RESPONSE_STATUS_CODE: &str = "rpc.response.status_code";
pub const SERVER_ADDRESS: &str = "server.address";
pub const SERVER_PORT: &str = "server.port";
/// The name of the key that a caller presented.
pub const USER_NAME: &str = "user.name";
pub const WAITED_MS: &str = "waited_ms";

/// Every gRPC code, in the order of their numbers (<https://grpc.github.io/grpc/core/md_doc_statuscodes.html>).
#[rustfmt::skip]
pub const GRPC_CODES: [&str; 17] = [
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
];
