//! Studies: enrolment, and messages to everybody who is enrolled.

use super::{
    Api,
    accept::repeated,
    answer, json_response,
    path::{EnrolmentInPath, StudyInPath},
    problems,
    submission::read_schedule,
};
use crate::{
    notify::{
        batch::Template,
        metrics::Refusal,
        model::{Channel, Moment, Schedule, StudyId},
        studies::Audience,
    },
    platform::{
        admission::Caller,
        http::{IdempotencyHeader, JsonBody, NoBody, Problem},
        queue::{Batch, IdempotencyKey, Priority, Refused, Submitted},
        telemetry::names,
        time::now_ms,
    },
};
use axum::{
    Extension,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::json;
use std::sync::Arc;
use tracing::field::Empty;

pub const SEND: &str = "/api/v1/studies/{studyId}/notifications";

/// Enrols a patient: 201, or 200 if it is enrolled already.
pub async fn enrol(api: State<Arc<Api>>, enrolment: EnrolmentInPath, _: NoBody) -> Result<Response, Problem> {
    let EnrolmentInPath { study, patient } = enrolment;
    let enrolled = api.studies.enrol(study, patient).await;
    let (since, new) = enrolled.map_err(|error| problems::unwritten(&error))?;
    let status = if new { StatusCode::CREATED } else { StatusCode::OK };
    let since = Moment::from_unix_ms(since).map(|at| at.to_string());
    Ok(json_response(status, &json!({ "enrolledAt": since })))
}

pub async fn withdraw(api: State<Arc<Api>>, enrolment: EnrolmentInPath) -> Result<Response, Problem> {
    let EnrolmentInPath { study, patient } = enrolment;
    let found = api.studies.withdraw(study, patient).await.map_err(|error| problems::unwritten(&error))?;
    if found { Ok(StatusCode::NO_CONTENT.into_response()) } else { Err(not_enrolled()) }
}

/// Accepts a message to everybody who is enrolled, all or nothing.
pub async fn send(
    api: State<Arc<Api>>,
    caller: Extension<Caller>,
    StudyInPath(study): StudyInPath,
    key: Result<IdempotencyHeader, Problem>,
    body: Result<JsonBody, Problem>,
) -> Result<Response, Problem> {
    let invalid = |problem| api.refuse(Refusal::Invalid, problem);
    let IdempotencyHeader(key) = key.map_err(invalid)?;
    let body = body.map_err(invalid)?;
    let key = key.map(|key| scoped(&caller, &study, &key, &body));
    let wanted = Wanted::read(&body, now_ms());
    if let Some(key) = key.clone() {
        // Asked before anything that may have changed since, and before a long read for nothing.
        let channel = wanted.as_ref().map_or(Channel::Sms, |wanted| wanted.channel);
        if let Some(before) = api.queue.repeated(key, None).await.transpose() {
            return repeated(before, &api, channel);
        }
    }
    let wanted = wanted.map_err(invalid)?;
    api.admit(wanted.priority).map_err(|(reason, problem)| api.refuse(reason, problem))?;
    let found = api.studies.audience(study, wanted.channel, api.needs_contact(wanted.channel)).await;
    let audience = found.map_err(|error| api.unread(&error))?.ok_or_else(|| invalid(no_such_study()))?;
    wanted.submit(&api, audience, key).await
}

pub fn not_enrolled() -> Problem {
    Problem::not_found("The patient is not enrolled in this study.")
}

pub fn no_such_study() -> Problem {
    Problem::not_found("Nobody is enrolled in this study.")
}

/// The study stands in the path, and is as much a part of what is asked as the body: the same key for
/// another study is a key that was used for something else.
fn scoped(caller: &Caller, study: &StudyId, key: &str, body: &JsonBody) -> IdempotencyKey {
    let asked = [study.as_str().as_bytes(), b"\n", body.bytes()].concat();
    IdempotencyKey::new(&caller.client.to_string(), "POST", SEND, key, &asked)
}

/// A body that was understood.
struct Wanted {
    channel: Channel,
    template: Template,
    priority: Priority,
    schedule: Schedule,
}

impl Wanted {
    /// `now` in Unix milliseconds.
    fn read(body: &JsonBody, now: i64) -> Result<Self, Problem> {
        let mut fields = body.fields()?;
        let channel = fields.required("channel");
        // Of a channel that is not known it is not known either whether it has titles.
        let title = match channel {
            Some(Channel::Sms) => None,
            Some(Channel::Push) => fields.required("title"),
            None => fields.optional("title"),
        };
        let message = fields.required("message");
        let priority = fields.optional("priority").unwrap_or(Priority::Bulk);
        let schedule = read_schedule(&mut fields, now);
        let (channel, message, schedule) = fields.finish_with((channel, message, schedule))?;
        let template = match title {
            Some(title) => Template::Push { title, message },
            None => Template::Sms { message },
        };
        Ok(Self { channel, template, priority, schedule })
    }

    async fn submit(
        self,
        api: &Api,
        audience: Audience,
        idempotency: Option<IdempotencyKey>,
    ) -> Result<Response, Problem> {
        let Audience { members, skipped } = audience;
        let id = api.queue.allocate(members.jobs() + 1);
        let answer = answer::batch_accepted(id, members.notifications(), skipped);
        let batch = Batch {
            id,
            channel: self.channel.as_str(),
            priority: self.priority,
            send_at: self.schedule.send_at,
            not_after: self.schedule.not_after,
            template: self.template.encode(),
            members,
            skipped,
            idempotency,
            answer: answer.clone(),
        };
        match submit(api, batch).await {
            Ok(Submitted::Accepted) => Ok(answer::respond(id, answer)),
            before => repeated(before, api, self.channel),
        }
    }
}

/// Hands it to the queue under a PRODUCER span, which its notifications' traces are linked to.
async fn submit(api: &Api, batch: Batch) -> Result<Submitted, Refused> {
    let span = tracing::info_span!(
        "send notifications",
        otel.kind = "producer",
        otel.status_code = Empty,
        messaging.system = names::QUEUE_SYSTEM,
        messaging.operation.name = "send",
        messaging.operation.type = "send",
        messaging.destination.name = names::QUEUE_DESTINATION,
        messaging.batch.message_count = batch.members.notifications() as i64,
        batch_id = %batch.id,
        waited_ms = Empty,
        committed_ms = Empty,
    );
    let submitted = api.queue.submit_batch(batch, &span).await;
    if let Err(Refused::StoreUnavailable | Refused::CommitUnknown) = &submitted {
        span.record(names::OTEL_STATUS_CODE, "ERROR");
    }
    submitted
}
