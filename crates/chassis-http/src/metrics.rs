//! The metrics of this crate.

use chassis_telemetry::catalogue::{Label, Metric, Values, counter, gauge};

pub(crate) const AUTH_REQUESTS: &str = "auth_requests_total";
pub(crate) const AUTH_KEY_FILE_RELOADS: &str = "auth_key_file_reloads_total";
pub(crate) const RATE_LIMIT_DECISIONS: &str = "rate_limit_decisions_total";
pub(crate) const RATE_LIMIT_CLIENTS: &str = "rate_limit_clients";
pub(crate) const CONNECTIONS: &str = "http_connections";
pub(crate) const CONNECTIONS_TIMED_OUT: &str = "http_connections_timed_out_total";
pub(crate) const CONNECTIONS_LIMIT_REACHED: &str = "http_connections_limit_reached_total";
pub(crate) const TLS_HANDSHAKES_FAILED: &str = "tls_handshakes_failed_total";
pub(crate) const TLS_CERTIFICATE_RELOADS: &str = "tls_certificate_reloads_total";
pub(crate) const TLS_CERTIFICATE_EXPIRES: &str = "tls_certificate_expires_timestamp_seconds";

const LISTENER: Label = ("listener", Values::Open("listeners of the service"));
const RELOADED: Label = ("outcome", Values::Closed(&["ok", "failed"]));

/// For the `metrics` of telemetry's `Setup`.
pub const METRICS: &[Metric] = &[
    counter(AUTH_REQUESTS, "Requests by the key that was presented and whether it allowed the call").labels(
        &[
            ("key", Values::Open("names of keys, or none")),
            ("outcome", Values::Closed(&["ok", "unknown_key", "forbidden"])),
        ],
    ),
    counter(AUTH_KEY_FILE_RELOADS, "Reloads of the API key file; a failed one keeps the old keys")
        .labels(&[RELOADED])
        .from_zero(),
    counter(RATE_LIMIT_DECISIONS, "Requests that the rate limit let on or refused")
        .labels(&[
            ("decision", Values::Closed(&["allowed", "limited"])),
            ("surface", Values::Closed(&["http", "grpc"])),
        ])
        .from_zero(),
    gauge(RATE_LIMIT_CLIENTS, "Clients that the rate limit remembers").count(),
    gauge(CONNECTIONS, "Open connections").count().labels(&[LISTENER]),
    counter(CONNECTIONS_TIMED_OUT, "Connections closed because their first bytes or headers were slow")
        .from_zero(),
    counter(
        CONNECTIONS_LIMIT_REACHED,
        "Times that a connection had to wait since as many were open as are allowed, again each second",
    )
    .labels(&[LISTENER]),
    counter(TLS_HANDSHAKES_FAILED, "TLS handshakes that failed, other than by time").labels(&[LISTENER]),
    counter(TLS_CERTIFICATE_RELOADS, "Reloads of a certificate; a failed one keeps the old certificate")
        .labels(&[LISTENER, RELOADED]),
    gauge(TLS_CERTIFICATE_EXPIRES, "When the served certificate expires, in Unix seconds")
        .seconds()
        .labels(&[LISTENER]),
];
