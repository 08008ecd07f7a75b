//! The calls about single notifications: sent later or at once, shown, cancelled, and judged by a person.

use super::{
    Addressed, BULK, Delivery, Notifications, metrics,
    model::{Channel, Message, PushLater, PushNow, Schedule, SmsLater, SmsNow, Title},
    view::{NotificationView, Receipt, Status, Undelivered, overall},
};
use crate::{
    error::{ApiError, Conflict, NotFound, Refusal},
    http::{IdempotencyKey, PathId},
    model::{Moment, PatientId, word},
};
use axum::{
    Json,
    extract::State,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use chassis_http::{Idempotent, Problem, ProblemBody, RequestKey, Valid};
use chassis_queue::{Answer, Enqueue, Enqueued, Finished, JobId, JobState, Key, Priority, Verdict};
use chassis_telemetry::{TraceContext, http::ResourceId};
use garde::Validate;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

const NO_NOTIFICATION: ApiError = ApiError::NotFound("There is no notification of this id.");
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// A body that may be refused by now although it was accepted before.
pub(super) type Body<T> = Idempotent<Result<Valid<Json<T>>, Problem>>;

/// Sends an SMS later.
///
/// It is answered once the job is committed and synced.
#[utoipa::path(
    post, path = "/api/v1/notifications/sms/async", tag = "send", operation_id = "sendSmsLater",
    params(IdempotencyKey), request_body = SmsLater,
    responses((status = ACCEPTED, body = Receipt, headers(("Location" = String))))
)]
pub async fn send_sms_later(
    State(app): State<Arc<Notifications>>,
    Idempotent { key, body }: Body<SmsLater>,
) -> Result<Response, ApiError> {
    let draft = |Valid(Json(sms)): Valid<Json<SmsLater>>| Draft {
        channel: Channel::Sms,
        patient_id: sms.patient_id,
        title: None,
        message: sms.message,
        priority: sms.priority,
        schedule: Schedule::new(sms.send_at, sms.not_after),
    };
    app.accept(body.map(draft), key).await
}

/// Sends a push notification later.
///
/// Each of the patient's devices gets a job of its own. It is answered once the jobs are committed and synced.
#[utoipa::path(
    post, path = "/api/v1/notifications/push/async", tag = "send", operation_id = "sendPushLater",
    params(IdempotencyKey), request_body = PushLater,
    responses((status = ACCEPTED, body = Receipt, headers(("Location" = String))))
)]
pub async fn send_push_later(
    State(app): State<Arc<Notifications>>,
    Idempotent { key, body }: Body<PushLater>,
) -> Result<Response, ApiError> {
    let draft = |Valid(Json(push)): Valid<Json<PushLater>>| Draft {
        channel: Channel::Push,
        patient_id: push.patient_id,
        title: Some(push.title),
        message: push.message,
        priority: push.priority,
        schedule: Schedule::new(push.send_at, push.not_after),
    };
    app.accept(body.map(draft), key).await
}

/// Sends an SMS and waits for it.
///
/// One attempt is made, and it is never repeated. Job and key are committed before it; when the caller leaves, it is made
/// all the same.
#[utoipa::path(
    post, path = "/api/v1/notifications/sms", tag = "send", operation_id = "sendSmsNow",
    params(IdempotencyKey), request_body = SmsNow,
    responses(
        (status = OK, body = Receipt, description = "The gateway took it."),
        (status = BAD_GATEWAY, body = Undelivered, content_type = "application/problem+json",
            description = "The gateway did not take it."),
        (status = GATEWAY_TIMEOUT, body = Undelivered, content_type = "application/problem+json",
            description = "Nobody knows whether it was delivered."),
        (status = CONFLICT, body = ProblemBody, content_type = "application/problem+json",
            description = "The first request with this key is still being delivered."),
    )
)]
pub async fn send_sms_now(
    State(app): State<Arc<Notifications>>,
    Idempotent { key, body }: Body<SmsNow>,
) -> Result<Response, ApiError> {
    let draft =
        |Valid(Json(sms)): Valid<Json<SmsNow>>| Draft::now(Channel::Sms, sms.patient_id, None, sms.message);
    app.attempt(Channel::Sms, body.map(draft), key).await
}

/// Sends a push notification and waits for it.
///
/// As an SMS, with one attempt for each of the patient's devices; 200 if any was delivered.
#[utoipa::path(
    post, path = "/api/v1/notifications/push", tag = "send", operation_id = "sendPushNow",
    params(IdempotencyKey), request_body = PushNow,
    responses(
        (status = OK, body = Receipt, description = "The gateway took it, for one device at least."),
        (status = BAD_GATEWAY, body = Undelivered, content_type = "application/problem+json",
            description = "The gateway did not take it."),
        (status = GATEWAY_TIMEOUT, body = Undelivered, content_type = "application/problem+json",
            description = "Nobody knows whether it was delivered."),
        (status = CONFLICT, body = ProblemBody, content_type = "application/problem+json",
            description = "The first request with this key is still being delivered."),
    )
)]
pub async fn send_push_now(
    State(app): State<Arc<Notifications>>,
    Idempotent { key, body }: Body<PushNow>,
) -> Result<Response, ApiError> {
    let draft = |Valid(Json(push)): Valid<Json<PushNow>>| {
        Draft::now(Channel::Push, push.patient_id, Some(push.title), push.message)
    };
    app.attempt(Channel::Push, body.map(draft), key).await
}

/// Shows what became of a notification.
#[utoipa::path(
    get, path = "/api/v1/notifications/{id}", tag = "notifications", operation_id = "getNotification",
    params(PathId),
    responses((status = OK, body = NotificationView), NotFound)
)]
pub async fn get_notification(
    State(app): State<Arc<Notifications>>,
    PathId(id): PathId,
) -> Result<Json<NotificationView>, ApiError> {
    let jobs = app.queue.find(id).await?.unwrap_or_default();
    NotificationView::new(&jobs).map(Json).ok_or(NO_NOTIFICATION)
}

/// Cancels a notification.
///
/// Cancels those of its jobs that are `accepted` or `retrying`; 409 if there is none.
#[utoipa::path(
    delete, path = "/api/v1/notifications/{id}", tag = "notifications", operation_id = "cancelNotification",
    params(PathId),
    responses(
        (status = OK, body = NotificationView, description = "The notification as it is now."),
        NotFound,
        Conflict,
    )
)]
pub async fn cancel_notification(
    State(app): State<Arc<Notifications>>,
    PathId(id): PathId,
) -> Result<Json<NotificationView>, ApiError> {
    let (cancelled, jobs) = app.queue.cancel(id).await?.ok_or(NO_NOTIFICATION)?;
    if cancelled == 0 {
        let detail = "Only what is accepted or retrying can be cancelled.";
        return Err(ApiError::Conflict { slug: "not-cancellable", detail });
    }
    NotificationView::new(&jobs).map(Json).ok_or(NO_NOTIFICATION)
}

/// A person's verdict.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Judgement {
    Delivered,
    Dead,
}

#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Resolve {
    #[garde(skip)]
    #[serde(deserialize_with = "word")]
    status: Judgement,
}

#[derive(Serialize, ToSchema)]
pub struct Resolved {
    id: JobId,
    status: Judgement,
}

/// Judges an unknown notification.
///
/// The verdict is for all unknown jobs of a notification, or for one of them by its own id; 409 if none is unknown.
#[utoipa::path(
    post, path = "/api/v1/notifications/{id}/resolve", tag = "notifications", operation_id = "resolveNotification",
    params(PathId), request_body = Resolve,
    responses((status = OK, body = Resolved), NotFound, Conflict)
)]
pub async fn resolve_notification(
    State(app): State<Arc<Notifications>>,
    PathId(id): PathId,
    Valid(Json(Resolve { status })): Valid<Json<Resolve>>,
) -> Result<Json<Resolved>, ApiError> {
    let verdict = match status {
        Judgement::Delivered => Verdict::Completed,
        Judgement::Dead => Verdict::Failed,
    };
    match app.queue.resolve(id, verdict).await?.ok_or(NO_NOTIFICATION)? {
        Ok(()) => Ok(Json(Resolved { id, status })),
        Err(_) => {
            Err(ApiError::Conflict { slug: "not-unknown", detail: "Only what is unknown can be resolved." })
        }
    }
}

/// Counts the refused among the answers to calls that make notifications.
pub fn count_refusals(response: Response) -> Response {
    let reason = match response.extensions().get() {
        Some(Refusal(reason)) => Some(*reason),
        // By an extractor.
        None if matches!(response.status().as_u16(), 400 | 408 | 413 | 415 | 422) => Some("invalid"),
        None => None,
    };
    if let Some(reason) = reason {
        metrics::refused(reason);
    }
    response
}

/// A message to one patient that is not enqueued yet.
struct Draft {
    channel: Channel,
    patient_id: PatientId,
    title: Option<Title>,
    message: Message,
    priority: Priority,
    schedule: Schedule,
}

impl Draft {
    fn now(channel: Channel, patient_id: PatientId, title: Option<Title>, message: Message) -> Self {
        Self { channel, patient_id, title, message, priority: Priority::Normal, schedule: Schedule::now() }
    }
}

impl Notifications {
    /// Commits a message to be delivered later.
    async fn accept(
        &self,
        draft: Result<Draft, Problem>,
        key: Option<RequestKey>,
    ) -> Result<Response, ApiError> {
        let enqueue = match self.prepare(draft, key).await {
            Ok(enqueue) => enqueue,
            Err(refused) => return self.first_answer(key, refused).await,
        };
        let (id, answer) = (enqueue.id, enqueue.answer.clone());
        match self.queue.enqueue(enqueue).await? {
            Enqueued::New => Ok(respond(id, answer)),
            Enqueued::Replayed(first) => Ok(replay(first)),
        }
    }

    /// Makes one attempt to deliver a message while the caller waits.
    async fn attempt(
        &self,
        channel: Channel,
        draft: Result<Draft, Problem>,
        key: Option<RequestKey>,
    ) -> Result<Response, ApiError> {
        let prepared = self.prepare(draft, key).await.and_then(|enqueue| {
            let ready = self.queue.worker().gateway(channel).ready(enqueue.jobs.len());
            ready.map(|()| enqueue).map_err(|retry_after| ApiError::GatewayUnavailable { retry_after })
        });
        let enqueue = match prepared {
            Ok(enqueue) => enqueue,
            Err(refused) => return self.first_answer(key, refused).await,
        };
        let id = enqueue.id;
        match self.queue.run_now(enqueue, move |id, states| attempted(id, channel, states)).await? {
            Finished::States(states) => Ok(respond(id, attempted(id, channel, &states))),
            Finished::Replayed(first) => Ok(replay(first)),
        }
    }

    async fn prepare(
        &self,
        draft: Result<Draft, Problem>,
        key: Option<RequestKey>,
    ) -> Result<Enqueue<Delivery>, ApiError> {
        let Draft { channel, patient_id, title, message, priority, schedule } = draft?;
        if priority == Priority::Bulk {
            self.degradation.admit(BULK)?;
        }
        let Addressed { id, jobs, guard } = self.address(channel, &patient_id, title, message).await?;
        let answer = Answer {
            status: StatusCode::ACCEPTED.as_u16(),
            body: json(&Receipt::new(id, channel, &vec![JobState::Accepted; jobs.len()])),
            location: Some(format!("/api/v1/notifications/{id}")),
        };
        Ok(Enqueue {
            id,
            channel: channel.as_str(),
            priority,
            run_at: schedule.send_at.map(Moment::unix_ms),
            not_after: schedule.not_after.unix_ms(),
            jobs,
            key: key.map(queue_key),
            answer,
            guard,
            writes: Vec::new(),
        })
    }

    /// The answer to a request that is refused now: a repeat of one that was accepted, before its `notAfter` passed or its
    /// patient was deleted, still gets the first answer.
    pub(super) async fn first_answer(
        &self,
        key: Option<RequestKey>,
        refused: ApiError,
    ) -> Result<Response, ApiError> {
        let Some(key) = key else { return Err(refused) };
        match self.queue.repeated(&queue_key(key)).await? {
            Some(first) => Ok(replay(first)),
            None => Err(refused),
        }
    }
}

/// The answer to a synchronous call. What is not delivered is an error, so it is a problem.
fn attempted(id: JobId, channel: Channel, states: &[JobState]) -> Answer {
    let receipt = Receipt::new(id, channel, states);
    let (status, outcome, r#type, title) = match overall(states) {
        JobState::Completed => return Answer { status: 200, body: json(&receipt), location: None },
        JobState::Unknown => (
            504,
            Status::Unknown,
            "/problems/notification-unknown",
            "The gateway did not say whether it was delivered",
        ),
        _ => (502, Status::Dead, "/problems/notification-dead", "The gateway did not deliver it"),
    };
    let detail = "It was attempted once and is not retried.";
    let problem =
        Undelivered { r#type, title, status, detail, trace_id: None, id, outcome, jobs: receipt.jobs };
    Answer { status, body: json(&problem), location: None }
}

/// Strings, numbers and closed enums: serialising them cannot fail.
pub(super) fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// The key as the queue takes it.
pub fn queue_key(key: RequestKey) -> Key {
    Key { scope: key.scope, digest: key.digest }
}

/// The answer to a request with a key that was used before.
pub(super) fn replay(answer: Answer) -> Response {
    let mut response = answer_with(answer);
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}

/// The answer to a request that created something; the line of the request names the id.
pub(super) fn respond(id: JobId, answer: Answer) -> Response {
    let mut response = answer_with(answer);
    response.extensions_mut().insert(ResourceId(id.to_string()));
    response
}

fn answer_with(Answer { status, body, location }: Answer) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let (kind, body) = if status.is_success() {
        ("application/json", body)
    } else {
        ("application/problem+json", with_trace_id(body))
    };
    let mut response = (status, [(header::CONTENT_TYPE, kind)], body).into_response();
    if let Some(location) = location.and_then(|location| HeaderValue::try_from(location).ok()) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// A problem names the trace of the request that it answers, which for a repeat is not the first one's.
fn with_trace_id(body: Vec<u8>) -> Vec<u8> {
    let problem = serde_json::from_slice::<serde_json::Map<_, _>>(&body);
    let (Ok(mut problem), Some(context)) = (problem, TraceContext::current()) else { return body };
    problem.insert("traceId".to_owned(), context.trace_id().into());
    json(&problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_who_waited_gets_200_504_or_502() {
        use JobState::{Completed, Expired, Failed, Unknown};
        for (states, status) in [
            (&[Completed][..], 200),
            (&[Failed, Completed, Unknown], 200),
            (&[Failed, Unknown], 504),
            (&[Failed, Failed], 502),
            (&[Expired], 502),
        ] {
            let answer = attempted(JobId::from_number(32), Channel::Push, states);
            assert_eq!(answer.status, status, "{states:?}");
        }
    }

    #[test]
    fn a_receipt_lists_the_jobs_of_a_push_with_ids_that_follow_its_own() {
        let id = JobId::from_number(32);
        let body =
            |channel| String::from_utf8(json(&Receipt::new(id, channel, &[JobState::Accepted; 2]))).unwrap();
        assert_eq!(body(Channel::Sms), r#"{"id":"0000000000010","status":"accepted"}"#);
        let jobs =
            r#"[{"id":"0000000000010","status":"accepted"},{"id":"0000000000011","status":"accepted"}]"#;
        assert_eq!(
            body(Channel::Push),
            format!(r#"{{"id":"0000000000010","status":"accepted","jobs":{jobs}}}"#)
        );
    }
}
