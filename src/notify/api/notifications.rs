//! One notification: shown, cancelled, and judged by a person.

use super::{Api, json_response, path::IdInPath, problems, view};
use crate::platform::{
    http::{JsonBody, Problem, ResourceId},
    queue::{JobId, JobRecord, Verdict},
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
        return Err(Problem::conflict(
            "not-cancellable",
            "Only what is accepted or retrying can be cancelled.",
        ));
    }
    shown(id, &jobs)
}

/// A person's verdict on an unknown notification, or on one unknown job of it.
pub async fn resolve(
    api: State<Arc<Api>>,
    IdInPath(id): IdInPath,
    body: JsonBody,
) -> Result<Response, Problem> {
    let mut fields = body.fields()?;
    let status = fields.required::<Verdict>("status");
    let (verdict,) = fields.finish_with((status,))?;
    match api.queue.resolve(id, verdict).await.map_err(|error| problems::unwritten(&error))? {
        None => Err(problems::no_such_notification()),
        Some(Err(_)) => Err(Problem::conflict("not-unknown", "Only what is unknown can be resolved.")),
        Some(Ok(())) => {
            let status = match verdict {
                Verdict::Delivered => "delivered",
                Verdict::Dead => "dead",
            };
            Ok(about(id, StatusCode::OK, &json!({ "id": id.to_string(), "status": status })))
        }
    }
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
