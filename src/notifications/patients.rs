//! The contact directory: its handlers and its SQL.

use super::{
    Notifications,
    model::{Contact, Device},
};
use crate::{error::ApiError, model::PatientId};
use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use chassis_http::{ProblemBody, Valid};
use chassis_queue::{Migration, Store, StoreError};
use garde::Validate;
use serde::Deserialize;
use sqlx::AnyConnection;
use std::sync::Arc;
use utoipa::IntoParams;

/// The contact is kept as the JSON of [`Contact`].
pub const TABLE: Migration = Migration {
    min_reader: 1,
    sql: "CREATE TABLE patients (
        id TEXT PRIMARY KEY NOT NULL,
        has_phone BIGINT NOT NULL,
        contact TEXT NOT NULL,
        changed_at BIGINT NOT NULL
    )",
};

const NO_PATIENT: ApiError = ApiError::NotFound("The directory has no such patient.");

#[derive(Deserialize, Validate, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Path)]
pub struct PatientPath {
    #[garde(dive)]
    pub patient_id: PatientId,
}

/// Makes or replaces a contact.
///
/// What is left out is not there. Provider `console` needs no contact; any other refuses patients who have none.
#[utoipa::path(put, path = "/api/v1/patients/{patientId}", tag = "patients", params(PatientPath), request_body = Contact,
    responses(
        (status = OK, body = Contact, description = "It replaced one."),
        (status = CREATED, body = Contact, description = "It is new."),
    ))]
pub async fn put_patient(
    State(app): State<Arc<Notifications>>,
    Valid(Path(PatientPath { patient_id })): Valid<Path<PatientPath>>,
    Valid(Json(contact)): Valid<Json<Contact>>,
) -> Result<(StatusCode, Json<Contact>), ApiError> {
    let store = app.queue.store();
    let mut tx = store.begin().await?;
    let is_new = load(&mut tx, &patient_id).await?.is_none();
    save(&mut tx, &patient_id, &contact, store.now_ms()).await?;
    tx.commit().await?;
    Ok((if is_new { StatusCode::CREATED } else { StatusCode::OK }, Json(contact)))
}

/// Shows a contact.
#[utoipa::path(get, path = "/api/v1/patients/{patientId}", tag = "patients", params(PatientPath), responses(
    (status = OK, body = Contact),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn get_patient(
    State(app): State<Arc<Notifications>>,
    Valid(Path(PatientPath { patient_id })): Valid<Path<PatientPath>>,
) -> Result<Json<Contact>, ApiError> {
    find(app.queue.store(), &patient_id).await?.map(Json).ok_or(NO_PATIENT)
}

/// Deletes a contact.
#[utoipa::path(delete, path = "/api/v1/patients/{patientId}", tag = "patients", params(PatientPath), responses(
    (status = NO_CONTENT),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn delete_patient(
    State(app): State<Arc<Notifications>>,
    Valid(Path(PatientPath { patient_id })): Valid<Path<PatientPath>>,
) -> Result<StatusCode, ApiError> {
    let mut tx = app.queue.store().begin().await?;
    let deleted = sqlx::query("DELETE FROM patients WHERE id = $1")
        .bind(patient_id.as_str())
        .execute(&mut *tx)
        .await?
        .rows_affected();
    tx.commit().await?;
    if deleted == 0 { Err(NO_PATIENT) } else { Ok(StatusCode::NO_CONTENT) }
}

/// Finds a patient's contact.
///
/// # Errors
/// The store cannot be read.
pub async fn find(store: &Store, patient: &PatientId) -> Result<Option<Contact>, StoreError> {
    let mut reader = store.read("find contact").await?;
    load(&mut reader, patient).await
}

/// Removes a device whose token the push service no longer knows.
///
/// # Errors
/// The store cannot be written.
pub async fn forget_device(store: &Store, patient: &PatientId, device: &Device) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    if let Some(mut contact) = load(&mut tx, patient).await? {
        contact.push_tokens.retain(|known| known != device);
        save(&mut tx, patient, &contact, store.now_ms()).await?;
        tx.commit().await?;
    }
    Ok(())
}

async fn load(connection: &mut AnyConnection, patient: &PatientId) -> Result<Option<Contact>, StoreError> {
    let found: Option<String> = sqlx::query_scalar("SELECT contact FROM patients WHERE id = $1")
        .bind(patient.as_str())
        .fetch_optional(connection)
        .await?;
    found.as_deref().map(read).transpose()
}

async fn save(
    connection: &mut AnyConnection,
    patient: &PatientId,
    contact: &Contact,
    now_ms: i64,
) -> Result<(), StoreError> {
    let json = serde_json::to_string(contact).map_err(|_| damaged())?;
    sqlx::query(
        "INSERT INTO patients (id, has_phone, contact, changed_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (id) DO UPDATE SET has_phone = excluded.has_phone, contact = excluded.contact,
             changed_at = excluded.changed_at",
    )
    .bind(patient.as_str())
    .bind(i64::from(contact.phone.is_some()))
    .bind(json)
    .bind(now_ms)
    .execute(connection)
    .await?;
    Ok(())
}

/// Reads the column `contact`. It is not validated again: numbering plans change, and what was valid is still the
/// patient's.
///
/// # Errors
/// It is damaged.
pub fn read(contact: &str) -> Result<Contact, StoreError> {
    serde_json::from_str(contact).map_err(|_| damaged())
}

fn damaged() -> StoreError {
    StoreError::Statement("a contact that cannot be read or written".to_owned())
}
