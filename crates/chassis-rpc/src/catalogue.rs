//! The metrics of this crate. The latency of calls is `grpc_request_duration_seconds` with `side="client"`, which
//! chassis-telemetry describes.

use chassis_telemetry::catalogue::{Label, Metric, Values, counter, gauge};

const TARGET: Label = ("target", Values::Open("a configured name"));
const GRPC_METHOD: Label = ("grpc_method", Values::Open("a listed method"));
const OUTCOME: Label = ("outcome", Values::Closed(&["ok", "failed"]));

pub(crate) const ENDPOINTS: Metric = gauge(
    "rpc_client_endpoints",
    "Endpoints of another service: not probed yet, up (they take calls), or down.",
)
.labels(&[TARGET, ("state", Values::Closed(&["new", "up", "down"]))]);
pub(crate) const LOOKUPS: Metric =
    counter("rpc_client_lookups_total", "Endpoint look-ups; after a failed one the known endpoints stay.")
        .labels(&[TARGET, OUTCOME]);
pub(crate) const KEY_RELOADS: Metric = counter(
    "rpc_client_key_reloads_total",
    "Reloads of the API key for another service, or of a broken key file.",
)
.labels(&[TARGET, OUTCOME]);
pub(crate) const REFUSED: Metric = counter(
    "rpc_client_refused_total",
    "Calls not made: the breaker was open, no time was left, or no endpoint was up.",
)
.labels(&[GRPC_METHOD, ("reason", Values::Closed(&["breaker_open", "deadline", "no_endpoint"]))]);
pub(crate) const THROTTLED: Metric = counter(
    "rpc_client_throttled_total",
    "Calls not made because the service rejected most of the recent ones.",
)
.labels(&[GRPC_METHOD]);
pub(crate) const RETRIES: Metric = counter("rpc_client_retries_total", "Retries of calls to other services.")
    .labels(&[GRPC_METHOD, ("reason", Values::Closed(&["not_sent", "unavailable", "other_endpoint"]))]);
pub(crate) const RETRIES_WITHHELD: Metric =
    counter("rpc_client_retries_withheld_total", "Failed calls that could have been retried but were not.")
        .labels(&[
            GRPC_METHOD,
            ("reason", Values::Closed(&["attempts", "breaker_open", "budget", "deadline"])),
        ]);
pub(crate) const REGISTRATION_UP: Metric = gauge(
    "grpc_registration_up",
    "Whether etcd holds the registration of this server: 1 or 0; only where one is configured.",
);

/// Every metric of this crate.
pub const METRICS: &[Metric] =
    &[ENDPOINTS, LOOKUPS, KEY_RELOADS, REFUSED, THROTTLED, RETRIES, RETRIES_WITHHELD, REGISTRATION_UP];
