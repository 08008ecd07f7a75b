//! The example endpoint.

use super::{CHANNEL, Example, metrics::CHARACTERS};
use crate::{
    error::ApiError,
    http::{Accepted, Api},
    jobs::Job,
};
use axum::{Json, extract::State, response::Response};
use chassis_http::{Idempotent, Valid};
use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;

/// A request: what is parsed, checked and documented is this type.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct NewExample {
    /// What the job works on.
    #[garde(length(chars, min = 1, max = 200))]
    #[schema(min_length = 1, max_length = 200)]
    text: String,
}

/// Accepts an example.
///
/// It is answered once the job is committed and synced.
#[utoipa::path(
    post, path = "/api/v1/examples", tag = "examples", operation_id = "acceptExample",
    request_body = NewExample, responses((status = ACCEPTED, body = Accepted))
)]
pub async fn accept(
    State(api): State<Api>,
    Idempotent { key, body: Valid(Json(NewExample { text })) }: Idempotent<Valid<Json<NewExample>>>,
) -> Result<Response, ApiError> {
    let characters = text.chars().count();
    let response = api.enqueue(CHANNEL, Job::Example(Example { text }), key).await?;
    metrics::counter!(CHARACTERS.name).increment(characters as u64);
    Ok(response)
}
