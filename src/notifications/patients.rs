//! The contact directory: its handlers and its SQL.

use super::{
    Notifications,
    model::{Contact, Device, Token},
};
use crate::{
    error::{ApiError, NotFound},
    lookup::{Found, Look, Lookup},
    model::{PatientId, PatientPath},
};
use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use chassis_http::Valid;
use chassis_queue::{Migration, Store, StoreError, Tx};
use sha2::{Digest as _, Sha256};
use std::{collections::HashMap, sync::Arc};

pub const TABLES: Migration = Migration {
    min_reader: 1,
    // `contact` and `device` are the JSON of `Contact` (without its devices) and of `Device`. A device belongs to the
    // patient who registered it last; it is known by its token's hash, because PostgreSQL indexes no text of that length.
    sql: "CREATE TABLE patients (
        id TEXT PRIMARY KEY NOT NULL,
        has_phone BIGINT NOT NULL,
        contact TEXT NOT NULL,
        changed_at BIGINT NOT NULL
    );
    CREATE TABLE devices (
        hash {bytes} PRIMARY KEY NOT NULL,
        patient TEXT NOT NULL,
        position BIGINT NOT NULL,
        device TEXT NOT NULL
    );
    CREATE INDEX devices_patient ON devices (patient, position)",
};

/// A row for each device, or one without.
const FIND_SQLITE: &str =
    "SELECT json_group_array(json_array(p.id, json(p.contact), json(d.device)) ORDER BY d.position)
    FROM patients p LEFT JOIN devices d ON d.patient = p.id WHERE p.id IN (SELECT value FROM json_each($1))";
const FIND_POSTGRES: &str = "SELECT coalesce(CAST(json_agg(
        json_build_array(p.id, CAST(p.contact AS json), CAST(d.device AS json)) ORDER BY d.position) AS TEXT), '[]')
    FROM patients p LEFT JOIN devices d ON d.patient = p.id
    WHERE p.id IN (SELECT value FROM json_array_elements_text(CAST($1 AS json)) AS asked (value))";

const NO_PATIENT: ApiError = ApiError::NotFound("The directory has no such patient.");

/// Makes or replaces a contact.
///
/// What is left out is not there. Provider `console` needs no contact; any other refuses patients who have none.
#[utoipa::path(
    put, path = "/api/v1/patients/{patientId}", tag = "patients", operation_id = "putPatient",
    params(PatientPath), request_body = Contact,
    responses(
        (status = OK, body = Contact, description = "It replaced one."),
        (status = CREATED, body = Contact, description = "It is new."),
    )
)]
pub async fn put_patient(
    State(app): State<Arc<Notifications>>,
    Valid(Path(PatientPath { patient_id })): Valid<Path<PatientPath>>,
    Valid(Json(contact)): Valid<Json<Contact>>,
) -> Result<(StatusCode, Json<Contact>), ApiError> {
    let store = app.queue.store();
    let mut tx = store.begin().await?;
    let known = sqlx::query("SELECT 1 FROM patients WHERE id = $1").bind(patient_id.as_str());
    let is_new = known.fetch_optional(&mut *tx).await.map_err(StoreError::from)?.is_none();
    save(&mut tx, &patient_id, &contact, store.now_ms()).await?;
    tx.commit().await?;
    Ok((if is_new { StatusCode::CREATED } else { StatusCode::OK }, Json(contact)))
}

/// Shows a contact.
#[utoipa::path(
    get, path = "/api/v1/patients/{patientId}", tag = "patients", operation_id = "getPatient",
    params(PatientPath),
    responses((status = OK, body = Contact), NotFound)
)]
pub async fn get_patient(
    State(app): State<Arc<Notifications>>,
    Valid(Path(PatientPath { patient_id })): Valid<Path<PatientPath>>,
) -> Result<Json<Contact>, ApiError> {
    app.contacts().of(&patient_id).await?.map(Json).ok_or(NO_PATIENT)
}

/// Deletes a contact.
#[utoipa::path(
    delete, path = "/api/v1/patients/{patientId}", tag = "patients", operation_id = "deletePatient",
    params(PatientPath),
    responses((status = NO_CONTENT), NotFound)
)]
pub async fn delete_patient(
    State(app): State<Arc<Notifications>>,
    Valid(Path(PatientPath { patient_id })): Valid<Path<PatientPath>>,
) -> Result<StatusCode, ApiError> {
    let mut tx = app.queue.store().begin().await?;
    let deleted = delete(&mut tx, "DELETE FROM patients WHERE id = $1", &patient_id).await?;
    delete(&mut tx, "DELETE FROM devices WHERE patient = $1", &patient_id).await?;
    tx.commit().await?;
    if deleted == 0 { Err(NO_PATIENT) } else { Ok(StatusCode::NO_CONTENT) }
}

/// Looks up contacts, and what answers.
pub fn contacts(store: Store) -> (Lookup<Contact>, impl Future<Output = ()> + Send) {
    Lookup::new(store, Look { name: "find contact", sql: [FIND_SQLITE, FIND_POSTGRES], read: read_contacts })
}

/// What is stored is not validated again: numbering plans change, and what was valid is still the patient's.
fn read_contacts(rows: &str) -> Found<Contact> {
    let rows: Vec<(String, Contact, Option<Device>)> = serde_json::from_str(rows).map_err(damaged)?;
    let mut found: HashMap<String, Contact> = HashMap::new();
    for (patient, contact, device) in rows {
        found.entry(patient).or_insert(contact).push_tokens.extend(device);
    }
    Ok(found)
}

/// Removes a device whose token the push service no longer knows.
///
/// # Errors
/// The store cannot be written.
pub async fn forget_device(store: &Store, patient: &PatientId, device: &Device) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    let delete = sqlx::query("DELETE FROM devices WHERE hash = $1 AND patient = $2");
    let delete = delete.bind(hash(&device.token)).bind(patient.as_str());
    // An attempt waits for it.
    store.bounded(delete.execute(&mut *tx)).await?;
    tx.commit().await
}

async fn save(tx: &mut Tx, patient: &PatientId, contact: &Contact, now_ms: i64) -> Result<(), StoreError> {
    let Contact { phone, push_tokens, time_zone, locale } = contact.clone();
    let has_phone = i64::from(phone.is_some());
    let contact = Contact { phone, push_tokens: Vec::new(), time_zone, locale };
    sqlx::query(
        "INSERT INTO patients (id, has_phone, contact, changed_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (id) DO UPDATE SET has_phone = excluded.has_phone, contact = excluded.contact,
             changed_at = excluded.changed_at",
    )
    .bind(patient.as_str())
    .bind(has_phone)
    .bind(serde_json::to_string(&contact).map_err(damaged)?)
    .bind(now_ms)
    .execute(&mut **tx)
    .await?;
    delete(tx, "DELETE FROM devices WHERE patient = $1", patient).await?;
    for (position, device) in push_tokens.iter().enumerate() {
        sqlx::query(
            "INSERT INTO devices (hash, patient, position, device) VALUES ($1, $2, $3, $4)
             ON CONFLICT (hash) DO UPDATE SET patient = excluded.patient, position = excluded.position,
                 device = excluded.device",
        )
        .bind(hash(&device.token))
        .bind(patient.as_str())
        .bind(position as i64)
        .bind(serde_json::to_string(device).map_err(damaged)?)
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

async fn delete(tx: &mut Tx, sql: &'static str, patient: &PatientId) -> Result<u64, StoreError> {
    let done = sqlx::query(sql).bind(patient.as_str()).execute(&mut **tx).await?;
    Ok(done.rows_affected())
}

fn hash(token: &Token) -> Vec<u8> {
    Sha256::digest(token.as_str()).to_vec()
}

fn damaged(_: serde_json::Error) -> StoreError {
    StoreError::Statement("a contact that cannot be read or written".to_owned())
}
