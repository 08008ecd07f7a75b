//! Names of metrics, labels, log fields and span attributes that more than one crate uses, and of this crate's own metrics.
//!
//! A crate with metrics of its own keeps their names in its catalogue.

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
pub const LABEL_COMMIT: &str = "commit";
pub const LABEL_DECISION: &str = "decision";
pub const LABEL_FEATURE: &str = "feature";
pub const LABEL_GRPC_CODE: &str = "grpc_code";
pub const LABEL_GRPC_METHOD: &str = "grpc_method";
pub const LABEL_GRPC_SERVICE: &str = "grpc_service";
pub const LABEL_KEY: &str = "key";
pub const LABEL_LISTENER: &str = "listener";
pub const LABEL_METHOD: &str = "method";
pub const LABEL_OPERATION: &str = "operation";
pub const LABEL_OUTCOME: &str = "outcome";
pub const LABEL_PLATFORM_VERSION: &str = "platform_version";
pub const LABEL_PRIORITY: &str = "priority";
pub const LABEL_PROVIDER: &str = "provider";
pub const LABEL_REASON: &str = "reason";
pub const LABEL_ROUTE: &str = "route";
pub const LABEL_RUSTC: &str = "rustc";
pub const LABEL_SIDE: &str = "side";
pub const LABEL_SIGNAL: &str = "signal";
pub const LABEL_SOURCE: &str = "source";
pub const LABEL_STATE: &str = "state";
pub const LABEL_STATUS: &str = "status";
pub const LABEL_STORE: &str = "store";
pub const LABEL_SURFACE: &str = "surface";
pub const LABEL_TARGET: &str = "target";
pub const LABEL_TASK: &str = "task";
pub const LABEL_TO: &str = "to";
pub const LABEL_VERSION: &str = "version";

// Span attributes of OpenTelemetry's semantic conventions.
pub const DB_NAMESPACE: &str = "db.namespace";
pub const DB_OPERATION_BATCH_SIZE: &str = "db.operation.batch.size";
pub const DB_OPERATION_NAME: &str = "db.operation.name";
pub const DB_SYSTEM_NAME: &str = "db.system.name";
pub const ERROR_TYPE: &str = "error.type";
pub const HTTP_REQUEST_METHOD: &str = "http.request.method";
pub const HTTP_RESPONSE_STATUS_CODE: &str = "http.response.status_code";
pub const HTTP_ROUTE: &str = "http.route";
pub const MESSAGING_BATCH_MESSAGE_COUNT: &str = "messaging.batch.message_count";
pub const MESSAGING_DESTINATION_NAME: &str = "messaging.destination.name";
pub const MESSAGING_MESSAGE_ID: &str = "messaging.message.id";
pub const MESSAGING_OPERATION_NAME: &str = "messaging.operation.name";
pub const MESSAGING_OPERATION_TYPE: &str = "messaging.operation.type";
pub const MESSAGING_SYSTEM: &str = "messaging.system";
pub const NETWORK_PROTOCOL_VERSION: &str = "network.protocol.version";
pub const RPC_METHOD: &str = "rpc.method";
pub const RPC_RESPONSE_STATUS_CODE: &str = "rpc.response.status_code";
pub const RPC_SYSTEM_NAME: &str = "rpc.system.name";
pub const SERVER_ADDRESS: &str = "server.address";
pub const SERVER_PORT: &str = "server.port";
pub const SERVICE_INSTANCE_ID: &str = "service.instance.id";
pub const SERVICE_NAME: &str = "service.name";
pub const SERVICE_VERSION: &str = "service.version";
pub const URL_SCHEME: &str = "url.scheme";
/// The name of the key that a caller presented.
pub const USER_NAME: &str = "user.name";

// Fields of a span that tracing-opentelemetry takes for itself.
pub const OTEL_KIND: &str = "otel.kind";
pub const OTEL_NAME: &str = "otel.name";
pub const OTEL_STATUS_CODE: &str = "otel.status_code";

// Attributes and log fields of our own.
pub const ATTEMPT: &str = "attempt";
pub const CHANNEL: &str = "channel";
/// Milliseconds from a commit's start until it was synced.
pub const COMMITTED_MS: &str = "committed_ms";
pub const DURATION_MS: &str = "duration_ms";
pub const ERROR_KIND: &str = "error_kind";
pub const GRPC_CODE: &str = "grpc_code";
pub const LOCATION: &str = "location";
pub const METHOD: &str = "method";
pub const OUTCOME: &str = "outcome";
pub const PRIORITY: &str = "priority";
pub const PROVIDER: &str = "provider";
pub const REASON: &str = "reason";
pub const ROUTE: &str = "route";
pub const SOURCE: &str = "source";
pub const STATUS: &str = "status";
/// Milliseconds that a call waited for its commit to start.
pub const WAITED_MS: &str = "waited_ms";

/// The keys of every JSON line, sorted.
pub const LINE_KEYS: [&str; 10] = [
    "fields",
    "level",
    "message",
    "service",
    "span_id",
    "target",
    "timestamp",
    "trace_flags",
    "trace_id",
    "version",
];

/// Every gRPC code, in the order of their numbers (<https://grpc.github.io/grpc/core/md_doc_statuscodes.html>).
pub const GRPC_CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];
