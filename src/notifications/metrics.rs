//! The metrics of notifications.

use super::{
    model::Channel,
    view::{Status, outcome_word},
};
use chassis_queue::{Fact, ledger_metric};
use chassis_telemetry::Handles;
use chassis_telemetry::catalogue::{Label, Metric, Values, counter, histogram};
use metrics::{Counter, Histogram};

const CHANNEL: Label = ("channel", Values::Closed(Channel::NAMES));
const PRIORITY: Label = ("priority", Values::Closed(&["urgent", "normal", "bulk"]));
const PROVIDER: Label =
    ("provider", Values::Open("the configured one, or none for an attempt that a crash cut off"));
const STORE: Label = ("store", Values::Open("a short id that is kept in the store"));
const LEDGER: Label = (
    "state",
    Values::Closed(&["accepted", "delivered", "dead", "expired", "cancelled", "unknown", "queued"]),
);
const ENDS: &[&str] = &["delivered", "dead", "expired", "cancelled", "unknown"];
const ATTEMPTS: &[&str] = &["delivered", "retry", "parked", "dead", "unknown"];
const REASONS: &[&str] = &["invalid", "no_contact", "backlog_full", "store_unavailable", "shed"];

/// 0.1 s to 6 h, with an edge on each service level objective.
const END_TO_END: &[f64] =
    &[0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 21600.0];

const ACCEPTED: Metric =
    counter("notification_accepted_total", "Accepted jobs, counted once they are committed.")
        .labels(&[CHANNEL, PRIORITY])
        .from_zero();
const REFUSED: Metric = counter("notification_refused_total", "Notifications that were not accepted.")
    .labels(&[("reason", Values::Closed(REASONS))])
    .from_zero();
const FINISHED: Metric = counter("notification_finished_total", "Jobs that reached their last state.")
    .labels(&[CHANNEL, PRIORITY, ("outcome", Values::Closed(ENDS))])
    .from_zero();
const ATTEMPTED: Metric = counter("notification_attempts_total", "Finished attempts to deliver.").labels(&[
    CHANNEL,
    PROVIDER,
    ("outcome", Values::Closed(ATTEMPTS)),
]);
const ATTEMPT_DURATION: Metric =
    histogram("notification_attempt_duration_seconds", "Latency of attempts to deliver.")
        .labels(&[CHANNEL, PROVIDER]);
const END_TO_END_DURATION: Metric = histogram(
    "notification_end_to_end_duration_seconds",
    "Latency from the later of accept and sendAt until delivered.",
)
.labels(&[CHANNEL, PRIORITY])
.buckets(END_TO_END);

pub const METRICS: &[Metric] = &[
    ACCEPTED,
    REFUSED,
    FINISHED,
    ATTEMPTED,
    ATTEMPT_DURATION,
    END_TO_END_DURATION,
    ledger_metric(super::NAMES.ledger_metric, &[STORE, LEDGER]),
];

/// Shows the attempts of a configured provider with 0.
pub fn provider(channel: Channel, provider: &'static str) {
    for outcome in ATTEMPTS {
        attempts(channel.as_str(), provider, outcome).increment(0);
    }
}

/// Counts a notification that was not accepted.
pub fn refused(reason: &'static str) {
    metrics::counter!(REFUSED.name, "reason" => reason).increment(1);
}

/// Counts what has been committed.
#[derive(Default)]
pub struct Facts {
    accepted: Handles<[&'static str; 2], Counter>,
    attempted: Handles<[&'static str; 3], (Counter, Histogram)>,
    finished: Handles<[&'static str; 3], Counter>,
    end_to_end: Handles<[&'static str; 2], Histogram>,
}

impl Facts {
    pub fn observe(&self, fact: &Fact) {
        match *fact {
            Fact::Accepted { channel, priority, jobs } => {
                let priority = priority.as_str();
                let make = || metrics::counter!(ACCEPTED.name, "channel" => channel, "priority" => priority);
                self.accepted.get([channel, priority], make).increment(jobs as u64);
            }
            Fact::Attempted { channel, provider, outcome, took } => {
                let outcome = outcome_word(outcome);
                let (count, duration) = self.attempted.get([channel, provider, outcome], || {
                    let labels = [("channel", channel), ("provider", provider)];
                    (
                        attempts(channel, provider, outcome),
                        metrics::histogram!(ATTEMPT_DURATION.name, &labels),
                    )
                });
                count.increment(1);
                duration.record(took);
            }
            Fact::Finished { channel, priority, state, end_to_end } => {
                let (priority, outcome) = (priority.as_str(), Status::from(state).as_str());
                let make = || {
                    let labels = [("channel", channel), ("priority", priority), ("outcome", outcome)];
                    metrics::counter!(FINISHED.name, &labels)
                };
                self.finished.get([channel, priority, outcome], make).increment(1);
                if let Some(took) = end_to_end {
                    let labels = [("channel", channel), ("priority", priority)];
                    let make = || metrics::histogram!(END_TO_END_DURATION.name, &labels);
                    self.end_to_end.get([channel, priority], make).record(took);
                }
            }
        }
    }
}

fn attempts(channel: &'static str, provider: &'static str, outcome: &'static str) -> Counter {
    metrics::counter!(
        ATTEMPTED.name, "channel" => channel, "provider" => provider, "outcome" => outcome
    )
}
