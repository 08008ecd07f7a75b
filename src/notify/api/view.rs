//! What is shown of stored notifications and jobs: never a patient's value, which is not even read.

use crate::{
    notify::model::Moment,
    platform::queue::{AttemptRecord, BatchRecord, JobId, JobRecord, Status},
};
use serde::Serialize;
use serde_json::{Value, json};

/// Where a notification is shown.
pub fn location(id: JobId) -> String {
    format!("/api/v1/notifications/{id}")
}

/// From the one that hides every other to the one that any other hides.
const WORST_FIRST: [Status; 7] = [
    Status::Unknown,
    Status::Dead,
    Status::Expired,
    Status::Cancelled,
    Status::Retrying,
    Status::Sending,
    Status::Accepted,
];

/// A notification's status out of its jobs': delivered if any is, else the worst.
pub fn overall(statuses: &[Status]) -> Status {
    if statuses.contains(&Status::Delivered) {
        return Status::Delivered;
    }
    WORST_FIRST.into_iter().find(|status| statuses.contains(status)).unwrap_or(Status::Unknown)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Attempt<'a> {
    at: Option<String>,
    outcome: &'a str,
    provider: &'a str,
    duration_ms: i64,
}

/// A notification as `GET /notifications/{id}` shows it; `None` without jobs.
pub fn notification(jobs: &[JobRecord]) -> Option<Value> {
    let first = jobs.first()?;
    let statuses: Vec<Status> = jobs.iter().map(|job| job.status).collect();
    let status = overall(&statuses);
    let mut shown = json!({
        "id": first.notification.to_string(),
        "status": status.as_str(),
        "channel": first.channel,
        "priority": first.priority.as_str(),
        "acceptedAt": time(first.notification.made_at()),
        "dueAt": time(first.first_due),
        "notAfter": time(first.not_after),
        "attempts": attempts(jobs.iter().flat_map(|job| &job.attempts).collect()),
        "traceId": first.trace.trace_id(),
    });
    // The reason of a job that the status came from.
    let reason = jobs.iter().find(|job| job.status == status).and_then(|job| job.reason.as_deref());
    insert(&mut shown, "reason", reason.map(Value::from));
    insert(&mut shown, "nextAttemptAt", next_attempt(jobs).and_then(time));
    if first.channel == "push" {
        insert(&mut shown, "jobs", Some(jobs.iter().map(part).collect()));
    }
    Some(shown)
}

/// A batch as `GET /batches/{batchId}` shows it: every status with its count, also where that is 0.
pub fn batch(batch: &BatchRecord) -> Value {
    let count = |of: Status| -> usize {
        batch.counts.iter().filter(|(status, _)| *status == of).map(|(_, count)| count).sum()
    };
    let counts = Status::ALL.map(|status| (status.as_str().to_owned(), Value::from(count(status))));
    let runs =
        [Status::Accepted, Status::Sending, Status::Retrying].into_iter().map(count).sum::<usize>() > 0;
    json!({
        "batchId": batch.id.to_string(),
        "status": if runs { "running" } else { "finished" },
        "channel": batch.channel,
        "priority": batch.priority.as_str(),
        "acceptedAt": time(batch.id.made_at()),
        "dueAt": time(batch.first_due),
        "notAfter": time(batch.not_after),
        "accepted": batch.accepted,
        "skipped": batch.skipped,
        "counts": counts.into_iter().collect::<serde_json::Map<_, _>>(),
        "traceId": batch.trace.trace_id(),
    })
}

/// A job as `GET /dead-letters` lists it.
pub fn dead_letter(job: &JobRecord) -> Value {
    json!({
        "id": job.id.to_string(),
        "notificationId": job.notification.to_string(),
        "status": job.status.as_str(),
        "reason": job.reason,
        "channel": job.channel,
        "priority": job.priority.as_str(),
        "acceptedAt": time(job.notification.made_at()),
        "finishedAt": time(job.at),
        "attempts": attempts(job.attempts.iter().collect()),
        "traceId": job.trace.trace_id(),
    })
}

/// One job of a push notification.
fn part(job: &JobRecord) -> Value {
    let attempts = attempts(job.attempts.iter().collect());
    let mut shown = json!({ "id": job.id.to_string(), "status": job.status.as_str(), "attempts": attempts });
    insert(&mut shown, "reason", job.reason.as_deref().map(Value::from));
    shown
}

fn next_attempt(jobs: &[JobRecord]) -> Option<i64> {
    let waits = |job: &&JobRecord| matches!(job.status, Status::Accepted | Status::Retrying);
    jobs.iter().filter(waits).map(|job| job.at).min()
}

fn attempts(mut records: Vec<&AttemptRecord>) -> Value {
    records.sort_by_key(|record| record.at);
    let shown = records.into_iter().map(|record| {
        json!(Attempt {
            at: Moment::from_unix_ms(record.at).map(|at| at.to_string()),
            outcome: &record.outcome,
            provider: &record.provider,
            duration_ms: record.duration_ms,
        })
    });
    shown.collect()
}

fn time(unix_ms: i64) -> Option<Value> {
    Moment::from_unix_ms(unix_ms).map(|moment| moment.to_string().into())
}

fn insert(object: &mut Value, name: &str, value: Option<Value>) {
    if let (Some(object), Some(value)) = (object.as_object_mut(), value) {
        object.insert(name.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn statuses() -> impl Strategy<Value = Vec<Status>> {
        let any = prop::sample::select([&WORST_FIRST[..], &[Status::Delivered]].concat());
        prop::collection::vec(any, 1..6)
    }

    proptest! {
        #[test]
        fn it_is_delivered_if_any_job_is_and_else_the_worst_of_them(statuses in statuses()) {
            let overall = overall(&statuses);
            prop_assert!(statuses.contains(&overall));
            prop_assert_eq!(overall == Status::Delivered, statuses.contains(&Status::Delivered));
            if overall != Status::Delivered && statuses.contains(&Status::Unknown) {
                prop_assert_eq!(overall, Status::Unknown);
            }
        }
    }
}
