//! A batch: what became of a message to a study, counted.

use super::{
    Api,
    notifications::about,
    path::BatchInPath,
    problems,
    view::{self, overall},
};
use crate::platform::http::Problem;
use axum::{extract::State, http::StatusCode, response::Response};
use std::sync::Arc;

pub async fn show(api: State<Arc<Api>>, BatchInPath(id): BatchInPath) -> Result<Response, Problem> {
    let found = api.queue.batch(id, overall).await.map_err(|error| problems::unread(&error))?;
    let batch = found.ok_or_else(problems::no_such_batch)?;
    Ok(about(id, StatusCode::OK, &view::batch(&batch)))
}
