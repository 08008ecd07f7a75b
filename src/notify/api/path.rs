//! Extractors of what stands in a path. A path's text is never repeated in an answer.

use crate::{
    notify::model::{Invalid, PatientId, StudyId},
    platform::{http::Problem, queue::JobId},
};
use axum::{
    extract::{FromRequestParts, Path},
    http::request::Parts,
};
use serde::de::DeserializeOwned;
use std::str::FromStr;

/// The id of a notification or a job. A text that is none names nothing: 404.
pub struct IdInPath(pub JobId);

/// The id of a batch. A text that is none names nothing: 404.
pub struct BatchInPath(pub JobId);

/// A patient in a study; 422 if a text can be none.
pub struct EnrolmentInPath {
    pub study: StudyId,
    pub patient: PatientId,
}

/// The study that a path names; 422 if the text can be none.
pub struct StudyInPath(pub StudyId);

/// The patient that a path names; 422 if the text can be no patient's.
pub struct PatientInPath(pub PatientId);

impl<S: Send + Sync> FromRequestParts<S> for IdInPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let id = of_path::<String, S>(parts, state).await?.parse();
        id.map(Self).map_err(|_| super::problems::no_such_notification())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for BatchInPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let id = of_path::<String, S>(parts, state).await?.parse();
        id.map(Self).map_err(|_| super::problems::no_such_batch())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PatientInPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        identifier("patientId", &of_path::<String, S>(parts, state).await?).map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for StudyInPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        identifier("studyId", &of_path::<String, S>(parts, state).await?).map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for EnrolmentInPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let (study, patient) = of_path::<(String, String), S>(parts, state).await?;
        Ok(Self { study: identifier("studyId", &study)?, patient: identifier("patientId", &patient)? })
    }
}

fn identifier<T: FromStr<Err = Invalid>>(name: &str, text: &str) -> Result<T, Problem> {
    let invalid = |rule| Problem::invalid(Vec::new()).detail(format!("The {name} in the path {rule}."));
    text.parse().map_err(invalid)
}

async fn of_path<T, S>(parts: &mut Parts, state: &S) -> Result<T, Problem>
where
    T: DeserializeOwned + Send,
    S: Send + Sync,
{
    // Only a path that is no UTF-8 once decoded gets here.
    let unreadable = |_| Problem::bad_request("The path cannot be read.");
    let Path(found) = Path::<T>::from_request_parts(parts, state).await.map_err(unreadable)?;
    Ok(found)
}
