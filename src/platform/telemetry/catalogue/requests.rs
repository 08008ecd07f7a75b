//! What is asked of us: HTTP, gRPC, keys, limits, degradation. Calls to others are in `calls.rs`.

use super::{DONE, GRPC_METHOD, Label, Metric, SURFACE, Values, counter, gauge, histogram, names};

const LISTENER: Label = (names::LABEL_LISTENER, Values::Closed(&["http", "grpc", "admin"]));
const METHOD: Label = (
    names::LABEL_METHOD,
    Values::Closed(&[
        "GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT", "TRACE", "OTHER",
    ]),
);
const GRPC_CODE: Label = (names::LABEL_GRPC_CODE, Values::Closed(&names::GRPC_CODES));

pub(super) const METRICS: &[Metric] = &[
    histogram(names::HTTP_REQUEST_DURATION, "HTTP requests until their answer's head is sent.").labels(&[
        METHOD,
        (names::LABEL_ROUTE, Values::Open("the whole template, or unmatched")),
        (names::LABEL_STATUS, Values::Open("")),
    ]),
    gauge(names::HTTP_REQUESTS_IN_FLIGHT, "HTTP requests being answered."),
    gauge(names::HTTP_CONNECTIONS, "Connections that are open, those in a TLS handshake among them.")
        .labels(&[LISTENER]),
    counter(
        names::HTTP_CONNECTIONS_LIMIT_REACHED,
        "How often as many connections were open as are allowed, so that more had to wait.",
    )
    .labels(&[LISTENER]),
    counter(
        names::HTTP_CONNECTIONS_REFUSED,
        "Connections closed at once because their address has half of all that are allowed.",
    )
    .labels(&[LISTENER]),
    counter(
        names::HTTP_CONNECTIONS_TIMED_OUT,
        "Connections closed because their handshake, first bytes or headers were slow.",
    ),
    counter(names::TLS_HANDSHAKES_FAILED, "Connections that did not come to speak TLS with us.")
        .labels(&[LISTENER]),
    gauge(
        names::TLS_CERTIFICATE_EXPIRES,
        "When the served certificate ends, in Unix time; only where TLS is set.",
    )
    .seconds()
    .labels(&[LISTENER]),
    counter(names::TLS_CERTIFICATE_RELOADS, "Changed certificates that were taken, or could not be.")
        .labels(&[LISTENER, DONE]),
    histogram(
        names::GRPC_REQUEST_DURATION,
        "gRPC calls until their status is known, in the trailers as a rule.",
    )
    .labels(&[
        (
            names::LABEL_GRPC_SERVICE,
            Values::Open("its full name, or unmatched, as the method of what is not served"),
        ),
        GRPC_METHOD,
        GRPC_CODE,
        (names::LABEL_SIDE, Values::Closed(&["server", "client"])),
    ]),
    gauge(
        names::GRPC_REGISTRATION_UP,
        "Whether etcd holds this server's registration: 1 or 0; only where one is configured.",
    ),
    counter(
        names::AUTH_REQUESTS,
        "Requests by the key that made them and whether it may; the rate limit aside.",
    )
    .labels(&[
        (names::LABEL_KEY, Values::Open("a configured name, or none")),
        (names::LABEL_OUTCOME, Values::Closed(&["ok", "unknown_key", "forbidden"])),
    ]),
    counter(
        names::AUTH_KEY_FILE_RELOADS,
        "Times that the API key file was read again, or was broken and the keys from before stayed.",
    )
    .labels(&[DONE]),
    counter(names::RATE_LIMIT_DECISIONS, "Requests that the rate limit let through or refused.")
        .labels(&[(names::LABEL_DECISION, Values::Closed(&["allowed", "limited"])), SURFACE]),
    gauge(names::RATE_LIMIT_CLIENTS, "Clients that the rate limit remembers."),
    counter(
        names::RATE_LIMIT_OVERFLOW,
        "Requests of clients that there was no room to remember: they share one bucket.",
    ),
    counter(names::LOAD_SHED, "Requests refused to protect the service, by feature.").labels(&[(
        names::LABEL_FEATURE,
        Values::Closed(&["report_preview", "bulk_notifications", "report_reads"]),
    )]),
    gauge(names::DEGRADATION_LEVEL, "What is shed: features of this level and those below it.")
        .see("Under overload"),
    gauge(names::DEGRADATION_PINNED, "Whether an operator has set the level of degradation: 1 or 0."),
    gauge(names::DEGRADATION_PRESSURE, "What degradation is measured by: from 1 on there is too much.")
        .labels(&[(names::LABEL_SIGNAL, Values::Closed(&["queue_age", "latency", "in_flight"]))]),
];
