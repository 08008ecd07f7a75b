//! One notification: shown, cancelled, judged.

use super::{
    ACCEPTED, ID, NOTIFICATIONS, TRACE, about_one,
    bodies::{Judged, Judgement, Notification},
    example,
};
use crate::{
    notify::api::{NOTIFICATION, RESOLVE, notifications, problems, view},
    platform::{
        http::openapi::Operation,
        queue::{AttemptRecord, JobRecord, Priority, Status},
        telemetry::TraceContext,
    },
};
use axum::http::Method;
use serde_json::{Value, json};

pub fn operations() -> Vec<Operation> {
    let of = |method, path, id, summary| {
        let operation = about_one(Operation::new(method, path, id, NOTIFICATIONS, summary));
        operation.problems([problems::no_such_notification(), problems::store_unavailable()])
    };
    vec![
        of(Method::GET, NOTIFICATION, "getNotification", "See what became of a notification")
            .answers::<Notification>(200, "The notification.", shown(Status::Delivered))
            .link(200, "resolveNotification", "id", "id"),
        of(Method::DELETE, NOTIFICATION, "cancelNotification", "Cancel a notification")
            .about("Cancels those of its jobs that are `accepted` or `retrying`.")
            .answers::<Notification>(200, "The notification as it is now.", shown(Status::Cancelled))
            .problems([notifications::not_cancellable(), problems::commit_unknown()]),
        of(Method::POST, RESOLVE, "resolveNotification", "Judge an unknown notification")
            .about(
                "A person's verdict on all unknown jobs of a notification, or on one of them by its own id.",
            )
            .body::<Judgement>("The verdict.", &[("delivered", json!({ "status": "delivered" }))])
            .answers::<Judged>(200, "The verdict is stored.", json!({ "id": ID, "status": "delivered" }))
            .problems([notifications::not_unknown(), problems::commit_unknown()]),
    ]
}

fn shown(status: Status) -> Value {
    view::notification(&[job(status)]).unwrap_or_default()
}

/// A job with one attempt, unless it was cancelled before.
pub fn job(status: Status) -> JobRecord {
    let attempt = AttemptRecord {
        at: ACCEPTED + 19,
        outcome: status.as_str().to_owned(),
        provider: "http".to_owned(),
        duration_ms: 27,
    };
    JobRecord {
        id: example(ID),
        notification: example(ID),
        channel: "sms",
        priority: Priority::Normal,
        status,
        first_due: ACCEPTED,
        at: ACCEPTED + 46,
        not_after: ACCEPTED + 24 * 60 * 60 * 1000,
        trace: TraceContext::parse(TRACE).unwrap_or_else(TraceContext::new_root),
        reason: (status == Status::Dead).then(|| "status_400".to_owned()),
        attempts: if status == Status::Cancelled { Vec::new() } else { vec![attempt] },
    }
}
