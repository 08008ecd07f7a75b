//! Every metric, label, log-field and span-attribute name, and every histogram's buckets, once.
//!
//! The only file of the platform that knows names of the domain: dashboards and alerts are checked
//! against it. What each metric means stands in `catalogue`.

/// The version of OpenTelemetry's semantic conventions that the attribute names below follow.
pub const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.42.0";

// Metrics: requests.
pub const HTTP_REQUEST_DURATION: &str = "http_request_duration_seconds";
pub const HTTP_REQUESTS_IN_FLIGHT: &str = "http_requests_in_flight";
pub const GRPC_REQUEST_DURATION: &str = "grpc_request_duration_seconds";
/// Whether the registry of endpoints holds this server.
pub const GRPC_REGISTRATION_UP: &str = "grpc_registration_up";
pub const AUTH_REQUESTS: &str = "auth_requests_total";
pub const AUTH_KEY_FILE_RELOADS: &str = "auth_key_file_reloads_total";
/// Clients whose buckets are not full.
pub const RATE_LIMIT_CLIENTS: &str = "rate_limit_clients";
pub const RATE_LIMIT_DECISIONS: &str = "rate_limit_decisions_total";
/// Requests counted in the one bucket of the clients that there is no room for.
pub const RATE_LIMIT_OVERFLOW: &str = "rate_limit_overflow_total";
pub const LOAD_SHED: &str = "load_shed_total";
pub const DEGRADATION_LEVEL: &str = "degradation_level";
pub const DEGRADATION_PINNED: &str = "degradation_pinned";
/// Of what is allowed: from 1 on there is too much.
pub const DEGRADATION_PRESSURE: &str = "degradation_pressure";

// Metrics: notifications and reports.
pub const NOTIFICATION_ACCEPTED: &str = "notification_accepted_total";
pub const NOTIFICATION_REFUSED: &str = "notification_refused_total";
pub const NOTIFICATION_FINISHED: &str = "notification_finished_total";
pub const NOTIFICATION_ATTEMPTS: &str = "notification_attempts_total";
pub const NOTIFICATION_ATTEMPT_DURATION: &str = "notification_attempt_duration_seconds";
pub const NOTIFICATION_END_TO_END_DURATION: &str = "notification_end_to_end_duration_seconds";
pub const NOTIFICATION_LEDGER_JOBS: &str = "notification_ledger_jobs";
/// Receipts of reports that were kept: queued with them, or why not.
/// Drawing alone, without the wait for it.
pub const REPORT_PREVIEW_DURATION: &str = "report_preview_duration_seconds";
pub const REPORT_RECEIPTS: &str = "epro_report_receipts_total";
pub const REPORT_SUBMISSION: &str = "epro_report_submission_total";

// Metrics: the trial management service.
pub const CTMS_CACHE_BYTES: &str = "ctms_cache_bytes";
pub const CTMS_CACHE_ENTRIES: &str = "ctms_cache_entries";
pub const CTMS_CACHE_EVICTIONS: &str = "ctms_cache_evictions_total";
pub const CTMS_REPORT_ANSWERS: &str = "ctms_report_answers_total";

// Metrics: store, queue, workers.
pub const QUEUE_BATCH_JOBS_PENDING: &str = "queue_batch_jobs_pending";
pub const QUEUE_JOBS: &str = "queue_jobs";
pub const QUEUE_OLDEST_JOB_AGE: &str = "queue_oldest_job_age_seconds";
pub const QUEUE_COMMIT_DURATION: &str = "queue_commit_duration_seconds";
pub const QUEUE_COMMIT_ROWS: &str = "queue_commit_rows";
pub const QUEUE_RECOVERED_JOBS: &str = "queue_recovered_jobs_total";
pub const STORE_FREE_BYTES: &str = "store_free_bytes";
pub const STORE_LOOKUPS: &str = "store_lookups_total";
pub const STORE_UP: &str = "store_up";
pub const WORKERS: &str = "workers";
pub const WORKERS_BUSY: &str = "workers_busy";

// Metrics: calls to others.
pub const CIRCUIT_BREAKER_STATE: &str = "circuit_breaker_state";
pub const CIRCUIT_BREAKER_TRANSITIONS: &str = "circuit_breaker_transitions_total";
pub const RPC_CLIENT_KEY_RELOADS: &str = "rpc_client_key_reloads_total";
pub const RPC_CLIENT_REFUSED: &str = "rpc_client_refused_total";
/// A target's endpoints by whether they are healthy.
pub const RPC_CLIENT_ENDPOINTS: &str = "rpc_client_endpoints";
/// Times that a target's endpoints were looked for.
pub const RPC_CLIENT_LOOKUPS: &str = "rpc_client_lookups_total";
pub const RPC_CLIENT_RETRIES: &str = "rpc_client_retries_total";
pub const RPC_CLIENT_RETRIES_WITHHELD: &str = "rpc_client_retries_withheld_total";
pub const RPC_CLIENT_THROTTLED: &str = "rpc_client_throttled_total";

// Metrics: the process's own parts.
/// Connections closed because their first bytes or headers were slow.
pub const HTTP_CONNECTIONS_TIMED_OUT: &str = "http_connections_timed_out_total";
/// Connections that are open, those in their TLS handshake among them.
pub const HTTP_CONNECTIONS: &str = "http_connections";
pub const HTTP_CONNECTIONS_LIMIT_REACHED: &str = "http_connections_limit_reached_total";
pub const HTTP_CONNECTIONS_REFUSED: &str = "http_connections_refused_total";
pub const TLS_CERTIFICATE_EXPIRES: &str = "tls_certificate_expires_timestamp_seconds";
pub const TLS_CERTIFICATE_RELOADS: &str = "tls_certificate_reloads_total";
pub const TLS_HANDSHAKES_FAILED: &str = "tls_handshakes_failed_total";
pub const TASK_PANICS: &str = "task_panics_total";

// Metrics: telemetry about itself, and the process.
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
pub const LABEL_SURFACE: &str = "surface";
pub const LABEL_TASK: &str = "task";
pub const LABEL_TARGET: &str = "target";
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
/// The name of the key that was presented: the caller's, as far as it is known here.
pub const USER_NAME: &str = "user.name";

// Span fields that are no attributes (names as in `tracing-opentelemetry`).
pub const OTEL_KIND: &str = "otel.kind";
pub const OTEL_NAME: &str = "otel.name";
pub const OTEL_STATUS_CODE: &str = "otel.status_code";

// Span attributes and log fields of our own.
pub const ATTEMPT: &str = "attempt";
pub const BATCH_ID: &str = "batch_id";
pub const CHANNEL: &str = "channel";
/// Milliseconds from the batch's begin until it was synced.
pub const COMMITTED_MS: &str = "committed_ms";
pub const DURATION_MS: &str = "duration_ms";
pub const ERROR_KIND: &str = "error_kind";
pub const GRPC_CODE: &str = "grpc_code";
pub const LOCATION: &str = "location";
pub const METHOD: &str = "method";
pub const NOTIFICATION_ID: &str = "notification_id";
pub const OUTCOME: &str = "outcome";
pub const PRIORITY: &str = "priority";
pub const PROVIDER: &str = "provider";
pub const REASON: &str = "reason";
pub const ROUTE: &str = "route";
pub const SOURCE: &str = "source";
pub const STATUS: &str = "status";
/// Milliseconds from the call until its batch began.
pub const WAITED_MS: &str = "waited_ms";

/// Every code of gRPC, in the order of their numbers
/// (<https://grpc.github.io/grpc/core/md_doc_statuscodes.html>).
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

/// The keys of every line, sorted.
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

/// The queue as messaging spans name it.
pub const QUEUE_SYSTEM: &str = "epro-notify";
pub const QUEUE_DESTINATION: &str = "notifications";

/// Seconds, for calls whose threshold is the accept's 0.1 s; finer below, where an accept belongs.
pub const REQUEST_BUCKETS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    30.0,
];
/// Seconds of one commit: an fsync takes from 0.1 ms to seconds.
pub const COMMIT_BUCKETS: &[f64] = &[
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0,
];
/// Rows of one commit, by powers of two.
pub const ROWS_BUCKETS: &[f64] =
    &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0];
/// Seconds of one call to a gateway.
pub const ATTEMPT_BUCKETS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 30.0];
/// Seconds from due to delivered: 0.1 s to 6 h with edges on the thresholds of 60 s and 300 s.
pub const END_TO_END_BUCKETS: &[f64] =
    &[0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 21600.0];

/// The buckets of each histogram. A histogram that is not here would render as a summary.
pub const HISTOGRAMS: &[(&str, &[f64])] = &[
    (HTTP_REQUEST_DURATION, REQUEST_BUCKETS),
    (GRPC_REQUEST_DURATION, REQUEST_BUCKETS),
    (QUEUE_COMMIT_DURATION, COMMIT_BUCKETS),
    (QUEUE_COMMIT_ROWS, ROWS_BUCKETS),
    (NOTIFICATION_ATTEMPT_DURATION, ATTEMPT_BUCKETS),
    (REPORT_PREVIEW_DURATION, REQUEST_BUCKETS),
    (NOTIFICATION_END_TO_END_DURATION, END_TO_END_BUCKETS),
];
