//! Extractors of what stands in a path. A path's text is never repeated in an answer.

use crate::{
    notify::model::PatientId,
    platform::{http::Problem, queue::JobId},
};
use axum::{
    extract::{FromRequestParts, Path},
    http::request::Parts,
};
use std::str::FromStr;

/// The id of a notification or a job. A text that is none names nothing: 404.
pub struct IdInPath(pub JobId);

/// The patient that a path names; 422 if the text can be no patient's.
pub struct PatientInPath(pub PatientId);

impl<S: Send + Sync> FromRequestParts<S> for IdInPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let id = last::<JobId, S>(parts, state).await?;
        id.map(Self).map_err(|_| super::problems::no_such_notification())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PatientInPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let patient = last::<PatientId, S>(parts, state).await?;
        patient
            .map(Self)
            .map_err(|rule| Problem::invalid(Vec::new()).detail(format!("The patientId in the path {rule}.")))
    }
}

async fn last<T: FromStr, S: Send + Sync>(
    parts: &mut Parts,
    state: &S,
) -> Result<Result<T, T::Err>, Problem> {
    // Only a path that is no UTF-8 once decoded gets here.
    let unreadable = |_| Problem::bad_request("The path cannot be read.");
    let Path(text) = Path::<String>::from_request_parts(parts, state).await.map_err(unreadable)?;
    Ok(text.parse())
}
