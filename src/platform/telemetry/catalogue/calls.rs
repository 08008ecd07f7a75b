//! What we ask of others: circuit breakers and the client of another service.

use super::{DONE, GRPC_METHOD, Label, Metric, Values, counter, gauge, names};

const BREAKER: Label = (names::LABEL_TARGET, Values::Open("a channel, or another service"));
const TARGET: Label = (names::LABEL_TARGET, Values::Open(""));

const fn reason(values: &'static [&'static str]) -> Label {
    (names::LABEL_REASON, Values::Closed(values))
}

const REFUSED: Label = reason(&["breaker_open", "deadline"]);
const RETRIED: Label = reason(&["not_sent", "unavailable"]);
const WITHHELD: Label = reason(&["attempts", "breaker_open", "budget", "deadline"]);

pub(super) const METRICS: &[Metric] = &[
    gauge(names::CIRCUIT_BREAKER_STATE, "A circuit breaker's state: 0 closed, 1 half-open, 2 open.")
        .labels(&[BREAKER])
        .see("Calling others"),
    counter(names::CIRCUIT_BREAKER_TRANSITIONS, "Changes of a circuit breaker's state.")
        .labels(&[BREAKER, (names::LABEL_TO, Values::Closed(&["closed", "half_open", "open"]))]),
    gauge(
        names::RPC_CLIENT_ENDPOINTS,
        "Another service's endpoints: not probed yet, up (they take calls), or down.",
    )
    .labels(&[TARGET, (names::LABEL_STATE, Values::Closed(&["new", "up", "down"]))]),
    counter(
        names::RPC_CLIENT_LOOKUPS,
        "Look-ups of another service's endpoints; after a failed one those that are known stay.",
    )
    .labels(&[TARGET, DONE]),
    counter(
        names::RPC_CLIENT_KEY_RELOADS,
        "Times that the key for another service was read again, or its file was broken.",
    )
    .labels(&[TARGET, DONE]),
    counter(
        names::RPC_CLIENT_REFUSED,
        "Calls to other services that were not made: the breaker was open, or no time was left.",
    )
    .labels(&[GRPC_METHOD, REFUSED]),
    counter(names::RPC_CLIENT_RETRIES, "Calls to other services that were made again.")
        .labels(&[GRPC_METHOD, RETRIED]),
    counter(
        names::RPC_CLIENT_RETRIES_WITHHELD,
        "Failed calls to other services that were not made again though they could have been, by reason.",
    )
    .labels(&[GRPC_METHOD, WITHHELD]),
    counter(
        names::RPC_CLIENT_THROTTLED,
        "Calls to other services that were not made, since most were turned away of late.",
    )
    .labels(&[GRPC_METHOD]),
];
