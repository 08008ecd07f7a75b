//! The four POSTs that make notifications.

use super::{
    ID, SEND,
    bodies::{Accepted, Delivered, PushAccepted, PushLater, PushNow, SmsLater, SmsNow, Undelivered},
    example,
};
use crate::{
    notify::{
        BULK,
        api::{accept::Route, answer, problems},
        model::Channel,
    },
    platform::{
        http::{Problem, openapi::Operation},
        queue::{Answer, JobId, Refused, Status},
        resilience::Shed,
    },
};
use axum::http::Method;
use serde_json::{Value, json};
use std::time::Duration;

const LATER: &str = "Answered once it is committed and synced, and delivered afterwards: retried until it is \
delivered, refused for good, or too late.";
const NOW: &str = "One attempt while the caller waits, and never another. The job is committed before the \
attempt; when the caller leaves, it is made all the same.";
const DEVICES: &str = "A push is one job for each of the patient's devices.";

pub fn operations() -> Vec<Operation> {
    vec![sms_later(), sms_now(), push_later(), push_now()]
}

fn sms_later() -> Operation {
    let plain = json!({ "patientId": "p-17", "message": "Please fill in your diary." });
    let mut planned = plain.clone();
    planned["priority"] = json!("urgent");
    planned["notAfter"] = json!("2099-12-31T18:00:00Z");
    let post = post(Route::SmsLater, "sendSmsLater", "Send an SMS later")
        .about(LATER)
        .body::<SmsLater>("What to send.", &[("plain", plain), ("planned", planned)]);
    let accepted = shown(answer::sms_accepted(id(), &[Status::Accepted]));
    let post = post.answers::<Accepted>(202, "It is committed and synced.", accepted);
    to_patient(placed(post), Channel::Sms)
}

fn push_later() -> Operation {
    let plain = json!({ "patientId": "p-17", "title": "Diary", "message": "Please fill in your diary." });
    let post = post(Route::PushLater, "sendPushLater", "Send a push notification later")
        .about(DEVICES)
        .body::<PushLater>("What to send.", &[("plain", plain)]);
    let accepted = shown(answer::push_accepted(id(), &[Status::Accepted; 2]));
    let post = post.answers::<PushAccepted>(202, "It is committed and synced.", accepted);
    to_patient(placed(post), Channel::Push)
}

fn sms_now() -> Operation {
    let plain = json!({ "patientId": "p-17", "message": "Your code is 4711." });
    let post = post(Route::SmsNow, "sendSmsNow", "Send an SMS and wait for it")
        .about(NOW)
        .body::<SmsNow>("What to send.", &[("plain", plain)]);
    at_once(post, Channel::Sms, answer::sms_attempted)
}

fn push_now() -> Operation {
    let plain = json!({ "patientId": "p-17", "title": "Code", "message": "Your code is 4711." });
    let post = post(Route::PushNow, "sendPushNow", "Send a push notification and wait for it")
        .about("As an SMS, with one attempt for each of the patient's devices; 200 if any was delivered.")
        .body::<PushNow>("What to send.", &[("plain", plain)]);
    at_once(post, Channel::Push, answer::push_attempted)
}

fn post(route: Route, id: &str, summary: &str) -> Operation {
    Operation::new(Method::POST, route.template(), id, SEND, summary)
}

/// The answers of one attempt, which are kept under the key.
fn at_once(post: Operation, channel: Channel, answer: fn(JobId, &[Status]) -> Answer) -> Operation {
    let problem = "application/problem+json";
    let of = |status| shown(answer(id(), &[status]));
    let post = post
        .answers::<Delivered>(200, "The gateway took it.", of(Status::Delivered))
        .answers_with::<Undelivered>(502, "The gateway did not take it.", problem, of(Status::Dead))
        .answers_with::<Undelivered>(
            504,
            "Nobody knows whether it was delivered.",
            problem,
            of(Status::Unknown),
        )
        .link(200, "getNotification", "id", "id");
    let down = problems::gateway_unavailable(Duration::from_secs(3));
    to_patient(post.problems([problems::in_flight(), down]), channel)
}

fn placed(post: Operation) -> Operation {
    post.problems([shed()]).header(202, "Location").link(202, "getNotification", "id", "id").link(
        202,
        "cancelNotification",
        "id",
        "id",
    )
}

fn to_patient(post: Operation, channel: Channel) -> Operation {
    creating(post, channel).problems([problems::no_contact(channel)])
}

/// What all that create have in common.
pub fn creating(post: Operation, channel: Channel) -> Operation {
    let refused = |refused| problems::refused(&refused, channel);
    post.idempotent().problems([
        Problem::bad_request("Idempotency-Key must be 1 to 255 visible ASCII characters."),
        refused(Refused::KeyReused),
        refused(Refused::BacklogFull { retry_after: Duration::from_secs(1) }),
        refused(Refused::StoreUnavailable),
        refused(Refused::CommitUnknown),
    ])
}

/// What is of priority `bulk` gets while there is too much to do.
pub fn shed() -> Problem {
    Shed { feature: BULK, retry_after: Duration::from_secs(7) }.into()
}

pub fn id() -> JobId {
    example(ID)
}

/// The body of an answer as a caller gets it.
pub fn shown(answer: Answer) -> Value {
    let mut body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    if answer.status >= 400 {
        body["traceId"] = json!("44d1b382a0661d0fefc239c0bffbb70f");
    }
    body
}
