//! One notification: shown, cancelled, and judged by a person.

use super::{Api, json_response, path::IdInPath, problems, view};
use crate::platform::{
    http::{JsonBody, Problem, ResourceId},
    queue::{JobId, JobRecord, Status, Verdict},
};
use axum::{extract::State, http::StatusCode, response::Response};
use serde_json::{Value, json};
use std::sync::Arc;

pub async fn show(api: State<Arc<Api>>, IdInPath(id): IdInPath) -> Result<Response, Problem> {
    let jobs = api.queue.find(id).await.map_err(|error| problems::unread(&error))?;
    shown(id, &jobs)
}

/// Cancels those jobs that have not begun; 409 if there was none.
pub async fn cancel(api: State<Arc<Api>>, IdInPath(id): IdInPath) -> Result<Response, Problem> {
    let (cancelled, jobs) = api.queue.cancel(id).await.map_err(|error| problems::unwritten(&error))?;
    if cancelled == 0 && !jobs.is_empty() {
        return Err(not_cancellable());
    }
    shown(id, &jobs)
}

/// A person's verdict on all of a notification's jobs that are unknown, or on one of them by its own id.
pub async fn resolve(
    api: State<Arc<Api>>,
    IdInPath(id): IdInPath,
    body: JsonBody,
) -> Result<Response, Problem> {
    let mut fields = body.fields()?;
    let status = fields.required::<Verdict>("status");
    let (verdict,) = fields.finish_with((status,))?;
    let jobs = api.queue.find(id).await.map_err(|error| problems::unread(&error))?;
    let mut unknown: Vec<_> =
        jobs.iter().filter(|job| job.status == Status::Unknown).map(|job| job.id).collect();
    if unknown.is_empty() {
        unknown.push(id);
    }
    for job in unknown {
        match api.queue.resolve(job, verdict).await.map_err(|error| problems::unwritten(&error))? {
            Some(Ok(())) => {}
            None => return Err(problems::no_such_notification()),
            Some(Err(_)) => return Err(not_unknown()),
        }
    }
    let status = match verdict {
        Verdict::Delivered => Status::Delivered,
        Verdict::Dead => Status::Dead,
    };
    Ok(about(id, StatusCode::OK, &json!({ "id": id.to_string(), "status": status.as_str() })))
}

pub fn not_cancellable() -> Problem {
    Problem::conflict("not-cancellable", "Only what is accepted or retrying can be cancelled.")
}

pub fn not_unknown() -> Problem {
    Problem::conflict("not-unknown", "Only what is unknown can be resolved.")
}

fn shown(id: JobId, jobs: &[JobRecord]) -> Result<Response, Problem> {
    let shown = view::notification(jobs).ok_or_else(problems::no_such_notification)?;
    Ok(about(id, StatusCode::OK, &shown))
}

/// An answer whose access line names the id.
pub fn about(id: JobId, status: StatusCode, body: &Value) -> Response {
    let mut response = json_response(status, body);
    response.extensions_mut().insert(ResourceId(id.to_string()));
    response
}
