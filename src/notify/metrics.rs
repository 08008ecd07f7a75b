//! The domain's metric series, with their handles made once: no label is looked up on the hot path.

use super::model::Channel;
use crate::platform::{
    queue::{Fact, Priority, Status},
    telemetry::names,
};
use metrics::{Counter, Histogram, counter, histogram};
use std::{collections::HashMap, sync::OnceLock, time::Duration};

/// Why a submission was refused: the label's closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    Invalid,
    NoContact,
    BacklogFull,
    StoreUnavailable,
    Shed,
}

impl Refusal {
    const ALL: [Self; 5] =
        [Self::Invalid, Self::NoContact, Self::BacklogFull, Self::StoreUnavailable, Self::Shed];

    fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::NoContact => "no_contact",
            Self::BacklogFull => "backlog_full",
            Self::StoreUnavailable => "store_unavailable",
            Self::Shed => "shed",
        }
    }
}

/// The ends that are counted; the other statuses are on the way.
const ENDS: [Status; 5] =
    [Status::Delivered, Status::Dead, Status::Expired, Status::Cancelled, Status::Unknown];
const ATTEMPT_OUTCOMES: [&str; 5] = ["delivered", "retry", "parked", "dead", "unknown"];

/// One channel's and one priority's series.
struct Ended {
    accepted: Counter,
    finished: [Counter; ENDS.len()],
    end_to_end: OnceLock<Histogram>,
}

/// One channel's attempts at one provider.
struct Attempted {
    outcomes: [Counter; ATTEMPT_OUTCOMES.len()],
    duration: OnceLock<Histogram>,
}

/// Counts what has happened to notifications. Counters are there with 0 from the start.
pub struct Metrics {
    refused: HashMap<Refusal, Counter>,
    ended: HashMap<(Channel, Priority), Ended>,
    attempted: HashMap<(Channel, &'static str), Attempted>,
}

impl Metrics {
    /// Call once metrics are recorded, or the handles lead nowhere. `providers`: the configured ones.
    pub fn new(providers: &[(Channel, &'static str)]) -> Self {
        let refused = Refusal::ALL.map(|reason| {
            (reason, counter!(names::NOTIFICATION_REFUSED, names::LABEL_REASON => reason.as_str()))
        });
        let pairs =
            Channel::ALL.into_iter().flat_map(|channel| Priority::ALL.map(|priority| (channel, priority)));
        let attempted = providers
            .iter()
            .map(|(channel, provider)| ((*channel, *provider), Attempted::new(*channel, provider)));
        Self {
            refused: refused.into(),
            ended: pairs
                .map(|(channel, priority)| ((channel, priority), Ended::new(channel, priority)))
                .collect(),
            attempted: attempted.collect(),
        }
    }

    pub fn refused(&self, reason: Refusal) {
        if let Some(counter) = self.refused.get(&reason) {
            counter.increment(1);
        }
    }

    /// Counts what has been committed.
    pub fn observe(&self, fact: &Fact) {
        match *fact {
            Fact::Accepted { channel, priority, jobs } => {
                if let Some(ended) = self.ended(channel, priority) {
                    ended.accepted.increment(jobs as u64);
                }
            }
            Fact::Attempted { channel, provider, outcome, took } => {
                self.attempted(channel, provider, outcome, took);
            }
            Fact::Finished { channel, priority, status, end_to_end } => {
                let Some(ended) = self.ended(channel, priority) else { return };
                if let Some(at) = ENDS.iter().position(|end| *end == status) {
                    ended.finished[at].increment(1);
                }
                if let Some(took) = end_to_end {
                    ended.record(channel, priority, took);
                }
            }
        }
    }

    fn ended(&self, channel: &str, priority: Priority) -> Option<&Ended> {
        self.ended.get(&(Channel::of(channel)?, priority))
    }

    fn attempted(
        &self,
        channel: &'static str,
        provider: &'static str,
        outcome: &'static str,
        took: Duration,
    ) {
        let known = Channel::of(channel).and_then(|channel| self.attempted.get(&(channel, provider)));
        let Some(known) = known else { return };
        if let Some(at) = ATTEMPT_OUTCOMES.iter().position(|known| *known == outcome) {
            known.outcomes[at].increment(1);
        }
        let duration = known.duration.get_or_init(|| {
            histogram!(
                names::NOTIFICATION_ATTEMPT_DURATION,
                names::LABEL_CHANNEL => channel,
                names::LABEL_PROVIDER => provider,
            )
        });
        duration.record(took);
    }
}

impl Ended {
    fn new(channel: Channel, priority: Priority) -> Self {
        let (channel, priority) = (channel.as_str(), priority.as_str());
        Self {
            accepted: counter!(
                names::NOTIFICATION_ACCEPTED,
                names::LABEL_CHANNEL => channel,
                names::LABEL_PRIORITY => priority,
            ),
            finished: ENDS.map(|end| {
                counter!(
                    names::NOTIFICATION_FINISHED,
                    names::LABEL_CHANNEL => channel,
                    names::LABEL_PRIORITY => priority,
                    names::LABEL_OUTCOME => end.as_str(),
                )
            }),
            end_to_end: OnceLock::new(),
        }
    }

    fn record(&self, channel: &'static str, priority: Priority, took: Duration) {
        let histogram = self.end_to_end.get_or_init(|| {
            histogram!(
                names::NOTIFICATION_END_TO_END_DURATION,
                names::LABEL_CHANNEL => channel,
                names::LABEL_PRIORITY => priority.as_str(),
            )
        });
        histogram.record(took);
    }
}

impl Attempted {
    fn new(channel: Channel, provider: &'static str) -> Self {
        let outcomes = ATTEMPT_OUTCOMES.map(|outcome| {
            counter!(
                names::NOTIFICATION_ATTEMPTS,
                names::LABEL_CHANNEL => channel.as_str(),
                names::LABEL_PROVIDER => provider,
                names::LABEL_OUTCOME => outcome,
            )
        });
        Self { outcomes, duration: OnceLock::new() }
    }
}
