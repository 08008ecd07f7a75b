//! Looks things up by patient. Callers that ask while a look runs share the next one, as commits do: most of a small read is
//! the way to the database and back.

use crate::model::PatientId;
use chassis_queue::{Store, StoreError};
use chassis_telemetry::names;
use std::collections::HashMap;
use tokio::sync::{mpsc, oneshot};
use tokio::task::yield_now;

/// Callers that wait for a look.
const WAITING: usize = 4096;
/// Patients in one look, at most.
const BATCH: usize = 64;
/// Looks with one connection, at most, before others have their turn at it. To give one back costs half a look.
const LOOKS: usize = 16;

/// What a look found, by patient.
pub type Found<T> = Result<HashMap<String, T>, StoreError>;

/// How one thing of many patients is looked up.
pub struct Look<T> {
    /// Of the caller's span.
    pub name: &'static str,
    /// On SQLite, and on PostgreSQL: makes one JSON text for the patients in the JSON array $1. A row for each would be
    /// handed over to another thread one by one.
    pub sql: [&'static str; 2],
    /// Reads that text.
    pub read: fn(&str) -> Found<T>,
}

/// Asks for one thing of a patient. Cheap to clone.
#[derive(Clone)]
pub struct Lookup<T> {
    store: Store,
    name: &'static str,
    asking: mpsc::Sender<Asked<T>>,
}

struct Asked<T> {
    patient: PatientId,
    answer: oneshot::Sender<Result<Option<T>, StoreError>>,
}

impl<T: Clone + Send + 'static> Lookup<T> {
    /// Returns the handle and the task that serves it, which ends with the last clone of the handle.
    pub fn new(store: Store, look: Look<T>) -> (Self, impl Future<Output = ()> + Send) {
        let (asking, asked) = mpsc::channel(WAITING);
        (Self { store: store.clone(), name: look.name, asking }, answer(store, look, asked))
    }

    /// # Errors
    /// The store can't be read.
    pub async fn of(&self, patient: &PatientId) -> Result<Option<T>, StoreError> {
        const CLOSED: StoreError = StoreError::Unavailable("the store is closed");
        let span = self.store.read_span(self.name);
        let (answer, answered) = oneshot::channel();
        let asked = async {
            self.asking.send(Asked { patient: patient.clone(), answer }).await.map_err(|_| CLOSED)?;
            answered.await.unwrap_or(Err(CLOSED))
        };
        asked.await.inspect_err(|_| _ = span.record(names::OTEL_STATUS_CODE, "ERROR"))
    }
}

async fn answer<T: Clone>(store: Store, look: Look<T>, mut asked: mpsc::Receiver<Asked<T>>) {
    let sql = look.sql[usize::from(store.system() != "sqlite")];
    let (mut batch, mut kept, mut looks) = (Vec::new(), None, 0);
    while asked.recv_many(&mut batch, BATCH).await > 0 {
        let patients: Vec<&PatientId> = batch.iter().map(|Asked { patient, .. }| patient).collect();
        let found = async {
            let mut connection = match kept.take() {
                Some(connection) => connection,
                None => store.reader().await?,
            };
            let asked = serde_json::to_string(&patients).unwrap_or_default();
            let found = sqlx::query_scalar(sql).bind(asked).fetch_one(&mut *connection);
            let found: String = store.bounded(found).await?;
            kept = Some(connection);
            (look.read)(&found)
        }
        .await;
        for Asked { patient, answer } in batch.drain(..) {
            let one = found.as_ref().map(|found| found.get(patient.as_str()).cloned());
            // The caller may have left.
            let _ = answer.send(one.map_err(Clone::clone));
        }
        // Those who ask again at once share the next look.
        yield_now().await;
        looks += 1;
        if asked.is_empty() || looks % LOOKS == 0 {
            kept = None;
        }
    }
}
