//! What the service is for: notifications, reports, the second service. A fork replaces this list.

use super::{CHANNEL, Label, Metric, PRIORITY, PROVIDER, SURFACE, Values, counter, gauge, histogram, names};

const fn outcome(values: &'static [&'static str]) -> Label {
    (names::LABEL_OUTCOME, Values::Closed(values))
}

const FINISHED: Label = outcome(&["delivered", "dead", "expired", "cancelled", "unknown"]);
const ATTEMPTED: Label = outcome(&["delivered", "retry", "parked", "dead", "unknown"]);
const SUBMITTED: Label = outcome(&["success", "failure"]);
const RECEIPT: Label = outcome(&["queued", "no_contact", "backlog_full", "shed", "store_unavailable"]);
/// Where a report came in; elsewhere `source` says where an answer came from.
const REPORTED_BY: Label = (names::LABEL_SOURCE, SURFACE.1);

pub(super) const METRICS: &[Metric] = &[
    counter(names::NOTIFICATION_ACCEPTED, "Jobs whose acceptance is committed.").labels(&[CHANNEL, PRIORITY]),
    counter(names::NOTIFICATION_REFUSED, "Notifications that were not accepted, by reason.").labels(&[(
        names::LABEL_REASON,
        Values::Closed(&["invalid", "no_contact", "backlog_full", "store_unavailable", "shed"]),
    )]),
    counter(names::NOTIFICATION_FINISHED, "Jobs that reached their last state.")
        .labels(&[CHANNEL, PRIORITY, FINISHED]),
    counter(names::NOTIFICATION_ATTEMPTS, "Finished attempts to deliver, by outcome.")
        .labels(&[CHANNEL, PROVIDER, ATTEMPTED]),
    histogram(names::NOTIFICATION_ATTEMPT_DURATION, "Calls to a gateway.").labels(&[CHANNEL, PROVIDER]),
    histogram(
        names::NOTIFICATION_END_TO_END_DURATION,
        "From the later of accept and sendAt to delivered; 0.1 s to 6 h.",
    )
    .labels(&[CHANNEL, PRIORITY]),
    gauge(names::NOTIFICATION_LEDGER_JOBS, "All jobs ever accepted, by state.")
        .labels(&[(
            names::LABEL_STATE,
            Values::Closed(&["accepted", "delivered", "dead", "expired", "cancelled", "unknown", "queued"]),
        )])
        .store_wide()
        .see("Guarantees"),
    counter(
        names::REPORT_SUBMISSION,
        "Reports that were stored, or rejected by the handler or the store (not 401, 403, 413, 429); a repeat is \
         neither.",
    )
    .labels(&[SUBMITTED, REPORTED_BY]),
    counter(names::REPORT_RECEIPTS, "Receipts of stored reports: queued with them, or why not.")
        .labels(&[RECEIPT]),
    histogram(names::REPORT_PREVIEW_DURATION, "Drawing a report as PDF, without the wait for it."),
    counter(
        names::CTMS_REPORT_ANSWERS,
        "Questions for a patient's latest report: answered by the ePRO service, from memory (a hit) or not at all \
         (a miss), and why.",
    )
    .labels(&[
        (names::LABEL_SOURCE, Values::Closed(&["live", "cache", "none"])),
        (
            names::LABEL_REASON,
            Values::Closed(&[
                "found",
                "not_found",
                "breaker_open",
                "throttled",
                "deadline",
                "unavailable",
                "refused",
                "failed",
                "misconfigured",
            ]),
        ),
    ]),
    gauge(names::CTMS_CACHE_ENTRIES, "Patients whose latest report is remembered."),
    gauge(names::CTMS_CACHE_BYTES, "What the remembered reports take, 64 MiB at most.").bytes(),
    counter(names::CTMS_CACHE_EVICTIONS, "Remembered reports that had to make room for others."),
];
