//! What each metric means: the HELP text of all of them.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

use crate::platform::telemetry::names;

/// Describes every metric of ours to the recorder in place.
pub(super) fn describe() {
    for (name, unit, help) in COUNTERS {
        describe_counter!(*name, *unit, *help);
    }
    for (name, unit, help) in GAUGES {
        describe_gauge!(*name, *unit, *help);
    }
    for (name, unit, help) in HISTOGRAMS {
        describe_histogram!(*name, *unit, *help);
    }
}

type Entry = (&'static str, Unit, &'static str);

const COUNTERS: &[Entry] = &[
    (
        names::AUTH_KEY_FILE_RELOADS,
        Unit::Count,
        "Times that the API key file was read again, or was broken and the keys from before stayed.",
    ),
    (names::AUTH_REQUESTS, Unit::Count, "Requests by the key that made them and whether it may."),
    (names::CIRCUIT_BREAKER_TRANSITIONS, Unit::Count, "Changes of a circuit breaker's state."),
    (names::CTMS_CACHE_EVICTIONS, Unit::Count, "Remembered reports that had to make room for others."),
    (
        names::CTMS_REPORT_ANSWERS,
        Unit::Count,
        "Questions for a patient's latest report, by where the answer came from and why.",
    ),
    (
        names::HTTP_CONNECTIONS_LIMIT_REACHED,
        Unit::Count,
        "How often as many connections were open as are allowed, so that more had to wait.",
    ),
    (
        names::HTTP_CONNECTIONS_REFUSED,
        Unit::Count,
        "Connections closed at once because their address has half of all that are allowed.",
    ),
    (
        names::HTTP_CONNECTIONS_TIMED_OUT,
        Unit::Count,
        "Connections closed because their first bytes or headers were slow.",
    ),
    (
        names::LATE_PARENTS,
        Unit::Count,
        "Spans that started before their parent was set, and so lost their trace. Always 0.",
    ),
    (names::LOAD_SHED, Unit::Count, "Requests refused to protect the service, by feature."),
    (
        names::LOG_LINES,
        Unit::Count,
        "Log lines that were written, or dropped because stdout did not take them.",
    ),
    (names::NOTIFICATION_ACCEPTED, Unit::Count, "Jobs whose acceptance is committed."),
    (names::NOTIFICATION_ATTEMPTS, Unit::Count, "Finished attempts to deliver, by outcome."),
    (names::NOTIFICATION_FINISHED, Unit::Count, "Jobs that reached their last state."),
    (names::NOTIFICATION_REFUSED, Unit::Count, "Notifications that were not accepted, by reason."),
    (names::QUEUE_RECOVERED_JOBS, Unit::Count, "Jobs found at start in an attempt that a crash had cut off."),
    (names::RATE_LIMIT_DECISIONS, Unit::Count, "Requests that the rate limit let through or refused."),
    (
        names::RATE_LIMIT_OVERFLOW,
        Unit::Count,
        "Requests of clients that there was no room to remember: they share one bucket.",
    ),
    (names::REPORT_RECEIPTS, Unit::Count, "Receipts of stored reports: queued with them, or why not."),
    (names::REPORT_SUBMISSION, Unit::Count, "Reports that were stored, or rejected by handler or store."),
    (
        names::RPC_CLIENT_KEY_RELOADS,
        Unit::Count,
        "Times that the key for another service was read again, or its file was broken.",
    ),
    (names::RPC_CLIENT_REFUSED, Unit::Count, "Calls to other services that were not made, by reason."),
    (
        names::RPC_CLIENT_LOOKUPS,
        Unit::Count,
        "Look-ups of another service's endpoints; after a failed one those that are known stay.",
    ),
    (names::RPC_CLIENT_RETRIES, Unit::Count, "Calls to other services that were made again."),
    (
        names::RPC_CLIENT_RETRIES_WITHHELD,
        Unit::Count,
        "Failed calls to other services that were not made again though they could have been, by reason.",
    ),
    (names::RPC_CLIENT_THROTTLED, Unit::Count, "Calls to other services that were not made, to spare them."),
    (names::SPANS, Unit::Count, "Ended spans by what became of them; with the queued ones, all that ended."),
    (names::SPANS_ENDED, Unit::Count, "Recorded spans that ended."),
    (names::TASK_PANICS, Unit::Count, "Background tasks that panicked."),
    (names::TLS_CERTIFICATE_RELOADS, Unit::Count, "Changed certificates that were taken, or could not be."),
    (names::TLS_HANDSHAKES_FAILED, Unit::Count, "Connections that did not come to speak TLS with us."),
];

const GAUGES: &[Entry] = &[
    (names::BUILD_INFO, Unit::Count, "1, labelled with what was built."),
    (names::CIRCUIT_BREAKER_STATE, Unit::Count, "A circuit breaker's state: 0 closed, 1 half-open, 2 open."),
    (names::CTMS_CACHE_BYTES, Unit::Bytes, "What the remembered reports take."),
    (names::CTMS_CACHE_ENTRIES, Unit::Count, "Patients whose latest report is remembered."),
    (names::DEGRADATION_LEVEL, Unit::Count, "What is shed: features of this level and those below it."),
    (names::DEGRADATION_PINNED, Unit::Count, "Whether an operator has set the level of degradation: 1 or 0."),
    (
        names::DEGRADATION_PRESSURE,
        Unit::Count,
        "What degradation is measured by: from 1 on there is too much.",
    ),
    (
        names::GRPC_REGISTRATION_UP,
        Unit::Count,
        "Whether etcd holds this server's registration: 1 or 0; only where one is configured.",
    ),
    (names::HTTP_CONNECTIONS, Unit::Count, "Connections that are open, those in a TLS handshake among them."),
    (names::HTTP_REQUESTS_IN_FLIGHT, Unit::Count, "HTTP requests being answered."),
    (
        names::NOTIFICATION_LEDGER_JOBS,
        Unit::Count,
        "All jobs ever accepted, by state. Store-wide: take max, never sum.",
    ),
    (
        names::QUEUE_BATCH_JOBS_PENDING,
        Unit::Count,
        "Jobs of accepted batches that are still to be made. Store-wide: take max, never sum.",
    ),
    (names::QUEUE_JOBS, Unit::Count, "Unfinished jobs. Store-wide: take max, never sum."),
    (
        names::QUEUE_OLDEST_JOB_AGE,
        Unit::Seconds,
        "Time since the longest-due job was due. Store-wide: take max.",
    ),
    (names::RATE_LIMIT_CLIENTS, Unit::Count, "Clients that the rate limit remembers."),
    (
        names::RPC_CLIENT_ENDPOINTS,
        Unit::Count,
        "Another service's endpoints: not probed yet, up (they take calls), or down.",
    ),
    (names::SPANS_QUEUED, Unit::Count, "Ended spans on their way to the collector."),
    (names::STORE_FREE_BYTES, Unit::Bytes, "Free space where the store lives."),
    (names::STORE_UP, Unit::Count, "Whether the store can commit: 1 or 0."),
    (
        names::TLS_CERTIFICATE_EXPIRES,
        Unit::Seconds,
        "When the served certificate ends, in Unix time; only where TLS is set.",
    ),
    (names::WORKERS, Unit::Count, "Deliveries that may be in flight at once."),
    (names::WORKERS_BUSY, Unit::Count, "Deliveries in flight."),
];

const HISTOGRAMS: &[Entry] = &[
    (names::GRPC_REQUEST_DURATION, Unit::Seconds, "gRPC calls until their status is known."),
    (names::HTTP_REQUEST_DURATION, Unit::Seconds, "HTTP requests until their answer's head is sent."),
    (names::NOTIFICATION_ATTEMPT_DURATION, Unit::Seconds, "Calls to a gateway."),
    (
        names::NOTIFICATION_END_TO_END_DURATION,
        Unit::Seconds,
        "From the later of accept and sendAt to delivered.",
    ),
    (names::QUEUE_COMMIT_DURATION, Unit::Seconds, "Commits with their sync, by what they are for."),
    (names::QUEUE_COMMIT_ROWS, Unit::Count, "Writes in one commit, by what they are for."),
    (names::REPORT_PREVIEW_DURATION, Unit::Seconds, "Drawing a report as PDF, without the wait for it."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_describes_exactly_the_histograms_that_have_buckets() {
        let mut described: Vec<_> = HISTOGRAMS.iter().map(|(name, ..)| *name).collect();
        let mut bucketed: Vec<_> = names::HISTOGRAMS.iter().map(|(name, _)| *name).collect();
        described.sort_unstable();
        bucketed.sort_unstable();
        assert_eq!(described, bucketed);
    }

    #[test]
    fn counters_alone_end_in_total() {
        assert!(COUNTERS.iter().all(|(name, ..)| name.ends_with("_total")));
        assert!(GAUGES.iter().chain(HISTOGRAMS).all(|(name, ..)| !name.ends_with("_total")));
    }
}
