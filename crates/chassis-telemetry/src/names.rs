//! Names of labels and span attributes that more than one crate sets at run time.
//!
//! A name that stands once, in a macro or a catalogue, is not repeated here.

// Metric labels.
pub const LABEL_CHANNEL: &str = "channel";
pub const LABEL_GRPC_METHOD: &str = "grpc_method";
pub const LABEL_OPERATION: &str = "operation";
pub const LABEL_PRIORITY: &str = "priority";
pub const LABEL_REASON: &str = "reason";
pub const LABEL_STATE: &str = "state";
pub const LABEL_STORE: &str = "store";

// Span attributes, by OpenTelemetry's conventions and our own.
pub const ERROR_TYPE: &str = "error.type";
pub const OTEL_STATUS_CODE: &str = "otel.status_code";
pub const OUTCOME: &str = "outcome";
pub const REASON: &str = "reason";
pub const RPC_RESPONSE_STATUS_CODE: &str = "rpc.response.status_code";
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
