//! The answers of the POSTs that create, in the form that is kept under the caller's key.

use super::view::{self, overall};
use crate::platform::{
    http::ResourceId,
    queue::{Answer, JobId, Status},
    telemetry::TraceContext,
};
use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};

const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

pub fn sms_accepted(id: JobId, _statuses: &[Status]) -> Answer {
    // Written by hand: it is the answer of the hottest path, and an id needs no escaping.
    let body = format!(r#"{{"id":"{id}","status":"accepted"}}"#).into_bytes();
    Answer { status: 202, body, location: Some(view::location(id)) }
}

pub fn push_accepted(id: JobId, statuses: &[Status]) -> Answer {
    let body = json!({ "id": id.to_string(), "status": "accepted", "jobs": jobs(id, statuses) });
    Answer { status: 202, body: body.to_string().into_bytes(), location: Some(view::location(id)) }
}

pub fn sms_attempted(id: JobId, statuses: &[Status]) -> Answer {
    attempted(id, overall(statuses), None)
}

pub fn push_attempted(id: JobId, statuses: &[Status]) -> Answer {
    attempted(id, overall(statuses), Some(jobs(id, statuses)))
}

pub fn batch_accepted(id: JobId, accepted: usize, skipped: usize) -> Answer {
    let body = json!({ "batchId": id.to_string(), "accepted": accepted, "skipped": skipped });
    Answer {
        status: 202,
        body: body.to_string().into_bytes(),
        location: Some(format!("/api/v1/batches/{id}")),
    }
}

/// 200 for a delivery. Anything else is an error, so it is a problem, with the id and what became of
/// the notification under names that a problem does not use itself.
fn attempted(id: JobId, status: Status, jobs: Option<Value>) -> Answer {
    let (code, mut body) = match status {
        Status::Delivered => (200, json!({ "id": id.to_string(), "status": "delivered" })),
        Status::Unknown => {
            (504, problem(id, 504, status, "The gateway did not say whether it was delivered"))
        }
        _ => (502, problem(id, 502, Status::Dead, "The gateway did not deliver it")),
    };
    if let (Some(jobs), Some(body)) = (jobs, body.as_object_mut()) {
        body.insert("jobs".to_owned(), jobs);
    }
    Answer { status: code, body: body.to_string().into_bytes(), location: None }
}

fn problem(id: JobId, code: u16, status: Status, title: &str) -> Value {
    json!({
        "type": format!("/problems/notification-{}", status.as_str()),
        "title": title,
        "status": code,
        "detail": "It was attempted once and is not retried.",
        "id": id.to_string(),
        "outcome": status.as_str(),
    })
}

/// A notification's jobs with their ids, which follow the notification's own.
fn jobs(id: JobId, statuses: &[Status]) -> Value {
    let job = |(part, status): (usize, &Status)| json!({ "id": id.part(part).to_string(), "status": status.as_str() });
    statuses.iter().enumerate().map(job).collect()
}

/// An answer to the request that it belongs to.
pub fn respond(id: JobId, answer: Answer) -> Response {
    let mut response = replay(answer);
    response.extensions_mut().insert(ResourceId(id.to_string()));
    response
}

/// A repeat's answer: the first one's, and said to be so.
pub fn replayed(answer: Answer) -> Response {
    let mut response = replay(answer);
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}

fn replay(answer: Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let (kind, body) = if status.is_success() {
        ("application/json", answer.body)
    } else {
        ("application/problem+json", with_trace_id(answer.body))
    };
    let mut response =
        (status, [(header::CONTENT_TYPE, HeaderValue::from_static(kind))], body).into_response();
    if let Some(location) = answer.location.and_then(|location| HeaderValue::from_maybe_shared(location).ok())
    {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// A problem names the trace of the request that it answers, which is known only now.
fn with_trace_id(body: Vec<u8>) -> Vec<u8> {
    let (Ok(mut problem), Some(context)) =
        (serde_json::from_slice::<Map<String, Value>>(&body), TraceContext::current())
    else {
        return body;
    };
    problem.insert("traceId".to_owned(), context.trace_id().into());
    Value::Object(problem).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> JobId {
        "0000000000010".parse().unwrap()
    }

    fn body(answer: &Answer) -> Value {
        serde_json::from_slice(&answer.body).unwrap()
    }

    #[test]
    fn an_accepted_sms_is_answered_with_its_id_and_place() {
        let answer = sms_accepted(id(), &[Status::Accepted]);
        assert_eq!(body(&answer), json!({ "id": "0000000000010", "status": "accepted" }));
        assert_eq!(
            (answer.status, answer.location.as_deref()),
            (202, Some("/api/v1/notifications/0000000000010"))
        );
    }

    #[test]
    fn who_waited_gets_200_504_or_502() {
        for (statuses, code) in [
            (vec![Status::Delivered], 200),
            (vec![Status::Dead, Status::Delivered, Status::Unknown], 200),
            (vec![Status::Dead, Status::Unknown], 504),
            (vec![Status::Dead, Status::Dead], 502),
            (vec![Status::Expired], 502),
        ] {
            assert_eq!(push_attempted(id(), &statuses).status, code, "{statuses:?}");
        }
        assert_eq!(
            body(&sms_attempted(id(), &[Status::Delivered])),
            json!({ "id": "0000000000010", "status": "delivered" })
        );
    }

    #[test]
    fn a_jobs_id_follows_its_notifications() {
        let jobs = &body(&push_accepted(id(), &[Status::Accepted; 2]))["jobs"];
        assert_eq!((&jobs[0]["id"], &jobs[1]["id"]), (&json!("0000000000010"), &json!("0000000000011")));
    }
}
