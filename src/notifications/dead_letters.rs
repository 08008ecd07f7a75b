//! Dead letters: the jobs that wait for a person. They are listed, and queued again.

use super::{
    Notifications,
    model::Channel,
    view::{DeadLetter, Receipt, Status},
};
use crate::{
    error::{ApiError, Conflict, NotFound},
    http::PathId,
    model::{Moment, ensure, word_if_any},
};
use axum::{
    Json,
    extract::{Query, State},
    http::StatusCode,
};
use chassis_http::Valid;
use chassis_queue::{Filter, JobId, JobState};
use garde::Validate;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// Which dead letters.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Which {
    /// Failed for good.
    #[default]
    Dead,
    /// Nobody knows whether it was delivered.
    Unknown,
}

#[derive(Debug, Deserialize, Validate, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Page {
    /// Which dead letters, `dead` by default.
    #[garde(skip)]
    #[serde(default)]
    #[param(inline, required = false)]
    status: Which,
    /// Items of a page, 50 by default.
    #[garde(range(min = 1, max = 500))]
    #[serde(default = "usual_limit")]
    #[param(minimum = 1, maximum = 500, required = false)]
    limit: usize,
    /// The `nextCursor` of the page before.
    #[garde(skip)]
    cursor: Option<JobId>,
}

const fn usual_limit() -> usize {
    50
}

/// A page, newest first.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetters {
    items: Vec<DeadLetter>,
    /// The `cursor` of the next page; null on the last one.
    next_cursor: Option<JobId>,
}

/// Lists what waits for a person, newest first.
#[utoipa::path(
    get, path = "/api/v1/dead-letters", tag = "dead letters", operation_id = "listDeadLetters",
    params(Page),
    responses((status = OK, body = DeadLetters))
)]
pub async fn list_dead_letters(
    State(app): State<Arc<Notifications>>,
    Valid(Query(Page { status, limit, cursor })): Valid<Query<Page>>,
) -> Result<Json<DeadLetters>, ApiError> {
    let which = match status {
        Which::Dead => JobState::Failed,
        Which::Unknown => JobState::Unknown,
    };
    // One more than asked for tells whether there is a next page.
    let mut jobs = app.queue.dead_letters(which, cursor, limit + 1).await?;
    let has_more = jobs.len() > limit;
    jobs.truncate(limit);
    let next_cursor = jobs.last().filter(|_| has_more).map(|last| last.id);
    Ok(Json(DeadLetters { items: jobs.iter().map(DeadLetter::from).collect(), next_cursor }))
}

/// Queues a dead or unknown job again.
///
/// It has all its attempts again, and a deadline as long as its first; its history stays.
#[utoipa::path(
    post, path = "/api/v1/dead-letters/{id}/replay", tag = "dead letters", operation_id = "replayDeadLetter",
    params(PathId),
    responses((status = ACCEPTED, body = Receipt), NotFound, Conflict)
)]
pub async fn replay_dead_letter(
    State(app): State<Arc<Notifications>>,
    PathId(id): PathId,
) -> Result<(StatusCode, Json<Receipt>), ApiError> {
    let found = app.queue.replay(id).await?;
    match found.ok_or(ApiError::NotFound("There is no dead letter of this id."))? {
        Ok(()) => {
            Ok((StatusCode::ACCEPTED, Json(Receipt { id, status: Status::Accepted, jobs: Vec::new() })))
        }
        Err(_) => {
            let detail = "Only what is dead or unknown can be replayed.";
            Err(ApiError::Conflict { slug: "not-a-dead-letter", detail })
        }
    }
}

/// Which dead letters to replay; all of them if nothing is given.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// A reason as `GET /dead-letters` shows it.
    #[garde(custom(is_reason))]
    #[schema(pattern = "^[a-z0-9_]{1,64}$")]
    reason: Option<String>,
    #[garde(skip)]
    #[serde(default, deserialize_with = "word_if_any")]
    channel: Option<Channel>,
    /// Those that died at this time or later.
    #[garde(skip)]
    since: Option<Moment>,
    /// Those that died before this time.
    #[garde(skip)]
    until: Option<Moment>,
    #[garde(range(min = 1, max = 1_000_000))]
    #[schema(minimum = 1, maximum = 1_000_000)]
    limit: Option<usize>,
}

fn is_reason(reason: &Option<String>, _: &()) -> garde::Result {
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let fits = |reason: &String| (1..=64).contains(&reason.len()) && reason.bytes().all(word);
    ensure(reason.as_ref().is_none_or(fits), "must be 1 to 64 of a-z, 0-9 and _")
}

#[derive(Serialize, ToSchema)]
pub struct Replayed {
    replayed: usize,
}

/// Queues all dead letters again that match.
#[utoipa::path(
    post, path = "/api/v1/dead-letters/replay", tag = "dead letters", operation_id = "replayDeadLetters",
    request_body = Replay,
    responses((status = OK, body = Replayed))
)]
pub async fn replay_dead_letters(
    State(app): State<Arc<Notifications>>,
    Valid(Json(Replay { reason, channel, since, until, limit })): Valid<Json<Replay>>,
) -> Result<Json<Replayed>, ApiError> {
    let filter = Filter {
        reason,
        channel: channel.map(|channel| channel.as_str().to_owned()),
        since: since.map(Moment::unix_ms),
        until: until.map(Moment::unix_ms),
        limit,
    };
    Ok(Json(Replayed { replayed: app.queue.replay_where(&filter).await? }))
}
