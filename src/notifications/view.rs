//! What callers see of notifications, jobs and batches: never a patient's value, but a device that is gone.

use super::{
    delivery::Delivery,
    model::{Channel, Device},
};
use crate::model::Moment;
use chassis_queue::{AttemptOutcome, AttemptRecord, BatchRecord, JobId, JobRecord, JobState, Priority};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Where a notification is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Accepted,
    Sending,
    Retrying,
    Delivered,
    Dead,
    Expired,
    Cancelled,
    Unknown,
}

impl Status {
    pub const ALL: [Self; 8] = [
        Self::Accepted,
        Self::Sending,
        Self::Retrying,
        Self::Delivered,
        Self::Dead,
        Self::Expired,
        Self::Cancelled,
        Self::Unknown,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Sending => "sending",
            Self::Retrying => "retrying",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
        }
    }
}

impl From<JobState> for Status {
    fn from(state: JobState) -> Self {
        match state {
            JobState::Accepted => Self::Accepted,
            JobState::Running => Self::Sending,
            JobState::Retrying => Self::Retrying,
            JobState::Completed => Self::Delivered,
            JobState::Failed => Self::Dead,
            JobState::Expired => Self::Expired,
            JobState::Cancelled => Self::Cancelled,
            JobState::Unknown => Self::Unknown,
        }
    }
}

/// The state of a notification out of those of its jobs: completed if any is, else the worst.
pub fn overall(states: &[JobState]) -> JobState {
    const BEST_FIRST: [JobState; 8] = [
        JobState::Completed,
        JobState::Unknown,
        JobState::Failed,
        JobState::Expired,
        JobState::Cancelled,
        JobState::Retrying,
        JobState::Running,
        JobState::Accepted,
    ];
    BEST_FIRST.into_iter().find(|state| states.contains(state)).unwrap_or(JobState::Unknown)
}

/// The word for an attempt's outcome, or for what a person did in between.
pub const fn outcome_word(outcome: AttemptOutcome) -> &'static str {
    match outcome {
        AttemptOutcome::Completed => "delivered",
        AttemptOutcome::Retry => "retry",
        AttemptOutcome::Snoozed => "parked",
        AttemptOutcome::Failed => "dead",
        AttemptOutcome::Unknown => "unknown",
        AttemptOutcome::Replayed => "replayed",
        AttemptOutcome::ResolvedCompleted => "resolved_delivered",
        AttemptOutcome::ResolvedFailed => "resolved_dead",
    }
}

/// The answer to an accepted or delivered notification.
#[derive(Serialize, ToSchema)]
pub struct Receipt {
    pub id: JobId,
    pub status: Status,
    /// For push: a job for each device.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub jobs: Vec<ReceiptJob>,
}

#[derive(Serialize, ToSchema)]
pub struct ReceiptJob {
    pub id: JobId,
    pub status: Status,
}

impl Receipt {
    pub fn new(id: JobId, channel: Channel, states: &[JobState]) -> Self {
        let job =
            |(part, state): (usize, &JobState)| ReceiptJob { id: id.part(part), status: (*state).into() };
        let jobs = match channel {
            Channel::Sms => Vec::new(),
            Channel::Push => states.iter().enumerate().map(job).collect(),
        };
        Self { id, status: overall(states).into(), jobs }
    }
}

/// A problem about a synchronous attempt, which was stored.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Undelivered {
    /// `/problems/notification-dead` or `/problems/notification-unknown`.
    #[schema(value_type = String)]
    pub r#type: &'static str,
    #[schema(value_type = String)]
    pub title: &'static str,
    pub status: u16,
    #[schema(value_type = String)]
    pub detail: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    pub id: JobId,
    /// `dead` or `unknown`.
    pub outcome: Status,
    /// For push: a job for each device.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub jobs: Vec<ReceiptJob>,
}

/// A notification and what became of it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NotificationView {
    pub id: JobId,
    /// For push `delivered` if any job is, else the worst.
    pub status: Status,
    pub channel: Channel,
    pub priority: Priority,
    pub accepted_at: Moment,
    pub due_at: Moment,
    pub not_after: Moment,
    /// When the next attempt is due, while there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Moment>,
    /// Why it is dead or unknown, or why it waits: a word of a closed set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub attempts: Vec<AttemptView>,
    /// For push: a job for each device.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub jobs: Vec<JobView>,
    pub trace_id: String,
}

/// One job of a push notification.
#[derive(Serialize, ToSchema)]
pub struct JobView {
    pub id: JobId,
    pub status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The device whose token is gone, which has been removed from the directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<Device>,
    pub attempts: Vec<AttemptView>,
}

/// An attempt, or what a person did in between.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttemptView {
    pub at: Moment,
    /// `delivered`, `retry`, `parked`, `dead`, `unknown`, `replayed`, `resolved_delivered` or `resolved_dead`.
    #[schema(value_type = String)]
    pub outcome: &'static str,
    /// The provider that was called; `operator` for a person, `none` where nobody was called.
    pub provider: String,
    pub duration_ms: i64,
    /// The gateway's own id of the message, if it gave one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
}

/// A job that waits for a person.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    pub id: JobId,
    pub notification_id: JobId,
    pub status: Status,
    pub reason: Option<String>,
    pub channel: Channel,
    pub priority: Priority,
    pub accepted_at: Moment,
    pub finished_at: Moment,
    pub attempts: Vec<AttemptView>,
    pub trace_id: String,
}

/// A message to a study and what became of it, counted in notifications.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BatchView {
    pub batch_id: JobId,
    /// `running` while any of its notifications is `accepted`, `sending` or `retrying`; then `finished`.
    #[schema(value_type = String)]
    pub status: &'static str,
    pub channel: Channel,
    pub priority: Priority,
    pub accepted_at: Moment,
    pub due_at: Moment,
    pub not_after: Moment,
    pub accepted: usize,
    pub skipped: usize,
    /// The notifications that are still kept, by status.
    pub counts: BTreeMap<&'static str, usize>,
    pub trace_id: String,
}

impl NotificationView {
    /// `None` without jobs.
    pub fn new(jobs: &[JobRecord]) -> Option<Self> {
        let first = jobs.first()?;
        let states: Vec<_> = jobs.iter().map(|job| job.state).collect();
        let state = overall(&states);
        let channel = Channel::of(first.channel);
        let waits = jobs.iter().filter(|job| matches!(job.state, JobState::Accepted | JobState::Retrying));
        let mut attempts: Vec<_> = jobs.iter().flat_map(|job| &job.attempts).map(AttemptView::from).collect();
        attempts.sort_by_key(|attempt| attempt.at);
        Some(Self {
            id: first.group,
            status: state.into(),
            channel,
            priority: first.priority,
            accepted_at: Moment::from_unix_ms(first.accepted_at),
            due_at: Moment::from_unix_ms(first.first_due),
            not_after: Moment::from_unix_ms(first.not_after),
            next_attempt_at: waits.map(|job| job.at).min().map(Moment::from_unix_ms),
            // That of a job which the status comes from.
            reason: jobs.iter().find(|job| job.state == state).and_then(reason),
            attempts,
            jobs: if channel == Channel::Push {
                jobs.iter().map(JobView::from).collect()
            } else {
                Vec::new()
            },
            trace_id: first.trace.trace_id(),
        })
    }
}

/// Why a job is not delivered: what delayed one that is delivered stands in its history.
fn reason(job: &JobRecord) -> Option<String> {
    job.reason.clone().filter(|_| job.state != JobState::Completed)
}

impl From<&JobRecord> for JobView {
    fn from(job: &JobRecord) -> Self {
        let is_gone = job.reason.as_deref() == Some("token_gone");
        let delivery = is_gone.then(|| serde_json::from_str::<Delivery>(&job.payload).ok()).flatten();
        Self {
            id: job.id,
            status: job.state.into(),
            reason: reason(job),
            device: delivery.and_then(|delivery| delivery.device),
            attempts: job.attempts.iter().map(AttemptView::from).collect(),
        }
    }
}

impl From<&AttemptRecord> for AttemptView {
    fn from(record: &AttemptRecord) -> Self {
        Self {
            at: Moment::from_unix_ms(record.at),
            outcome: outcome_word(record.outcome),
            provider: record.provider.clone(),
            duration_ms: record.duration_ms,
            message_id: record.receipt.clone(),
        }
    }
}

impl From<&JobRecord> for DeadLetter {
    fn from(job: &JobRecord) -> Self {
        Self {
            id: job.id,
            notification_id: job.group,
            status: job.state.into(),
            reason: job.reason.clone(),
            channel: Channel::of(job.channel),
            priority: job.priority,
            accepted_at: Moment::from_unix_ms(job.accepted_at),
            finished_at: Moment::from_unix_ms(job.at),
            attempts: job.attempts.iter().map(AttemptView::from).collect(),
            trace_id: job.trace.trace_id(),
        }
    }
}

impl From<&BatchRecord> for BatchView {
    fn from(BatchRecord { id, info, counts: by_state }: &BatchRecord) -> Self {
        let mut counts = BTreeMap::from(Status::ALL.map(|status| (status.as_str(), 0)));
        for (state, count) in by_state {
            *counts.entry(Status::from(*state).as_str()).or_default() += count;
        }
        let runs = ["accepted", "sending", "retrying"].iter().any(|status| counts.get(status) > Some(&0));
        Self {
            batch_id: *id,
            status: if runs { "running" } else { "finished" },
            channel: Channel::of(&info.channel),
            priority: info.priority,
            accepted_at: Moment::from_unix_ms(info.accepted_at),
            due_at: Moment::from_unix_ms(info.first_due),
            not_after: Moment::from_unix_ms(info.not_after),
            accepted: info.groups,
            skipped: info.skipped,
            counts,
            trace_id: info.trace().trace_id(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_notification_is_delivered_if_any_job_is_and_else_the_worst(
            states in prop::collection::vec(prop::sample::select(vec![
                JobState::Accepted, JobState::Running, JobState::Retrying, JobState::Completed,
                JobState::Failed, JobState::Expired, JobState::Cancelled, JobState::Unknown,
            ]), 1..6),
        ) {
            let overall = overall(&states);
            prop_assert!(states.contains(&overall));
            prop_assert_eq!(overall == JobState::Completed, states.contains(&JobState::Completed));
            if overall != JobState::Completed && states.contains(&JobState::Unknown) {
                prop_assert_eq!(overall, JobState::Unknown);
            }
        }
    }
}
