//! Studies: enrolment, and messages to every patient of a study.

use super::{
    BULK, Delivery, Notifications,
    api::{Body, json, queue_key, replay, respond},
    model::{Channel, Message, Schedule, StudyId, StudyMessage, Title},
    view::BatchView,
};
use crate::{
    error::{ApiError, NotFound},
    http::{IdempotencyKey, PathId},
    model::{Moment, PatientId},
};
use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use chassis_http::{Idempotent, NoBody, Problem, RequestKey, Valid};
use chassis_queue::{Answer, Batch, Enqueue, Enqueued, JobId, Members, Migration, Priority};
use futures_util::TryStreamExt as _;
use garde::Validate;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::sync::Arc;
use utoipa::ToSchema;

pub const TABLE: Migration = Migration {
    min_reader: 1,
    sql: "CREATE TABLE enrolments (
        study TEXT NOT NULL,
        patient TEXT NOT NULL,
        enrolled_at BIGINT NOT NULL,
        PRIMARY KEY (study, patient)
    )",
};

/// Patient, whether it can be reached, and a device (the JSON of [`super::model::Device`]).
const ENROLLED_WITH_PHONE: &str = "SELECT e.patient, coalesce(p.has_phone, 0), NULL FROM enrolments e
    LEFT JOIN patients p ON p.id = e.patient WHERE e.study = $1 ORDER BY e.patient";
const ENROLLED_WITH_DEVICES: &str = "SELECT e.patient, CASE WHEN d.device IS NULL THEN 0 ELSE 1 END, d.device
    FROM enrolments e LEFT JOIN devices d ON d.patient = e.patient WHERE e.study = $1
    ORDER BY e.patient, d.position";

#[derive(Deserialize, Validate, utoipa::IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Path)]
pub struct StudyPath {
    /// The caller's own identifier of the study.
    #[garde(dive)]
    study_id: StudyId,
}

#[derive(Deserialize, Validate, utoipa::IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Path)]
pub struct EnrolmentPath {
    /// The caller's own identifier of the study.
    #[garde(dive)]
    study_id: StudyId,
    /// The caller's own identifier of the patient.
    #[garde(dive)]
    patient_id: PatientId,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Enrolment {
    enrolled_at: Moment,
}

/// Enrols a patient.
///
/// The patient need not be in the directory; a message to the study skips patients who cannot be reached.
#[utoipa::path(
    put, path = "/api/v1/studies/{studyId}/patients/{patientId}", tag = "studies", operation_id = "enrolPatient",
    params(EnrolmentPath),
    responses(
        (status = OK, body = Enrolment, description = "The patient was enrolled already."),
        (status = CREATED, body = Enrolment, description = "The patient is enrolled now."),
    )
)]
pub async fn enrol_patient(
    State(app): State<Arc<Notifications>>,
    Valid(Path(EnrolmentPath { study_id, patient_id })): Valid<Path<EnrolmentPath>>,
    _: NoBody,
) -> Result<(StatusCode, Json<Enrolment>), ApiError> {
    let store = app.queue.store();
    let mut tx = store.begin().await?;
    let inserted = sqlx::query(
        "INSERT INTO enrolments (study, patient, enrolled_at) VALUES ($1, $2, $3)
         ON CONFLICT (study, patient) DO NOTHING",
    )
    .bind(study_id.as_str())
    .bind(patient_id.as_str())
    .bind(store.now_ms())
    .execute(&mut *tx)
    .await?
    .rows_affected();
    let since = sqlx::query_scalar("SELECT enrolled_at FROM enrolments WHERE study = $1 AND patient = $2")
        .bind(study_id.as_str())
        .bind(patient_id.as_str())
        .fetch_one(&mut *tx)
        .await?;
    tx.commit().await?;
    let status = if inserted > 0 { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(Enrolment { enrolled_at: Moment::from_unix_ms(since) })))
}

/// Ends an enrolment.
#[utoipa::path(
    delete, path = "/api/v1/studies/{studyId}/patients/{patientId}", tag = "studies", operation_id = "withdrawPatient",
    params(EnrolmentPath),
    responses((status = NO_CONTENT), NotFound)
)]
pub async fn withdraw_patient(
    State(app): State<Arc<Notifications>>,
    Valid(Path(EnrolmentPath { study_id, patient_id })): Valid<Path<EnrolmentPath>>,
) -> Result<StatusCode, ApiError> {
    let mut tx = app.queue.store().begin().await?;
    let deleted = sqlx::query("DELETE FROM enrolments WHERE study = $1 AND patient = $2")
        .bind(study_id.as_str())
        .bind(patient_id.as_str())
        .execute(&mut *tx)
        .await?
        .rows_affected();
    tx.commit().await?;
    if deleted == 0 {
        return Err(ApiError::NotFound("The patient is not enrolled in this study."));
    }
    Ok(StatusCode::NO_CONTENT)
}

/// The answer to an accepted message to a study.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BatchReceipt {
    batch_id: JobId,
    /// Patients who get it.
    accepted: usize,
    /// Patients who are enrolled and cannot be reached on this channel.
    skipped: usize,
}

/// Sends a message to every patient of a study.
///
/// To those who are enrolled now, all or nothing. It is answered once the batch and its members are committed; its
/// notifications are made afterwards, and delivered as any other.
#[utoipa::path(
    post, path = "/api/v1/studies/{studyId}/notifications", tag = "studies", operation_id = "sendToStudy",
    params(StudyPath, IdempotencyKey), request_body = StudyMessage,
    responses(
        (status = ACCEPTED, body = BatchReceipt, headers(("Location" = String))),
        NotFound,
    )
)]
pub async fn send_to_study(
    State(app): State<Arc<Notifications>>,
    Valid(Path(StudyPath { study_id })): Valid<Path<StudyPath>>,
    Idempotent { key, body }: Body<StudyMessage>,
) -> Result<Response, ApiError> {
    let batch = match app.prepare_batch(&study_id, body, key).await {
        Ok(batch) => batch,
        Err(refused) => return app.first_answer(key, refused).await,
    };
    let (id, answer) = (batch.enqueue.id, batch.enqueue.answer.clone());
    match app.queue.enqueue_batch(batch).await? {
        Enqueued::New => Ok(respond(id, answer)),
        Enqueued::Replayed(first) => Ok(replay(first)),
    }
}

/// Shows what became of a message to a study.
#[utoipa::path(
    get, path = "/api/v1/batches/{batchId}", tag = "studies", operation_id = "getBatch",
    params(("batchId" = JobId, Path, description = "The id of a batch.")),
    responses((status = OK, body = BatchView), NotFound)
)]
pub async fn get_batch(
    State(app): State<Arc<Notifications>>,
    PathId(id): PathId,
) -> Result<Json<BatchView>, ApiError> {
    let batch = app.queue.batch(id, super::view::overall).await?;
    let batch = batch.ok_or(ApiError::NotFound("There is no batch of this id."))?;
    Ok(Json(BatchView::from(&batch)))
}

/// What all jobs of a batch share: with a [`Member`] it is a [`super::Delivery`].
#[derive(Serialize)]
struct Template {
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<Title>,
    message: Message,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Member {
    patient_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<Box<RawValue>>,
}

impl Notifications {
    async fn prepare_batch(
        &self,
        study: &StudyId,
        body: Result<Valid<Json<StudyMessage>>, Problem>,
        key: Option<RequestKey>,
    ) -> Result<Batch<Delivery>, ApiError> {
        let Valid(Json(StudyMessage { channel, title, message, priority, send_at, not_after })) = body?;
        let Schedule { send_at, not_after } = Schedule::new(send_at, not_after);
        if priority == Priority::Bulk {
            self.degradation.admit(BULK)?;
        }
        let (members, skipped) = self.audience(study, channel).await?;
        if members.groups + skipped == 0 {
            return Err(ApiError::NotFound("Nobody is enrolled in this study."));
        }
        let id = self.queue.new_id(1);
        let receipt = BatchReceipt { batch_id: id, accepted: members.groups, skipped };
        let enqueue = Enqueue {
            priority,
            run_at: send_at.map(Moment::unix_ms),
            not_after: not_after.unix_ms(),
            key: key.map(queue_key),
            answer: Answer {
                status: StatusCode::ACCEPTED.as_u16(),
                body: json(&receipt),
                location: Some(format!("/api/v1/batches/{id}")),
            },
            ..Enqueue::new(id, channel.as_str(), Vec::new())
        };
        let template = serde_json::to_string(&Template { title, message }).map_err(unwritable)?;
        Ok(Batch { enqueue, template, members, skipped })
    }

    /// The patients that a message reaches now, and how many cannot be reached.
    async fn audience(&self, study: &StudyId, channel: Channel) -> Result<(Members, usize), ApiError> {
        let needs_contact = self.queue.worker().gateway(channel).needs_contact();
        let sql = match channel {
            Channel::Sms => ENROLLED_WITH_PHONE,
            Channel::Push => ENROLLED_WITH_DEVICES,
        };
        let mut reader = self.queue.store().read("read enrolment").await?;
        let mut rows =
            sqlx::query_as::<_, (String, i64, Option<String>)>(sql).bind(study.as_str()).fetch(&mut *reader);
        let (mut members, mut skipped, mut group) = (Members::default(), 0, Vec::<Member>::new());
        while let Some((patient_id, is_reachable, device)) = rows.try_next().await? {
            // The devices of a patient are in consecutive rows.
            if group.last().is_some_and(|last| last.patient_id != patient_id) {
                members.push(&std::mem::take(&mut group)).map_err(unwritable)?;
            }
            if needs_contact && is_reachable == 0 {
                skipped += 1;
                continue;
            }
            let device = device.map(RawValue::from_string).transpose().map_err(unwritable)?;
            group.push(Member { patient_id, device });
        }
        if !group.is_empty() {
            members.push(&group).map_err(unwritable)?;
        }
        Ok((members, skipped))
    }
}

/// Strings alone: writing them as JSON cannot fail.
fn unwritable(_: serde_json::Error) -> ApiError {
    ApiError::Internal
}
