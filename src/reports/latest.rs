//! Looks up latest reports. Callers that ask while a look runs share the next one, as commits do: most of a small read is
//! the way to the database and back.

use super::{model::Report, store};
use crate::model::PatientId;
use chassis_queue::{Store, StoreError};
use tokio::sync::{mpsc, oneshot};

/// Callers that wait for a look.
const WAITING: usize = 4096;
/// Patients in one look, at most.
const BATCH: usize = 64;

/// What became of a look.
type Found = Result<Option<Report>, StoreError>;

/// Asks for latest reports. Cheap to clone.
#[derive(Clone)]
pub struct Latest {
    store: Store,
    asking: mpsc::Sender<Asked>,
}

struct Asked {
    patient: PatientId,
    answer: oneshot::Sender<Found>,
}

impl Latest {
    /// And what answers, until the last clone is dropped.
    pub fn new(store: Store) -> (Self, impl Future<Output = ()> + Send) {
        let (asking, asked) = mpsc::channel(WAITING);
        (Self { store: store.clone(), asking }, answer(store, asked))
    }

    /// A patient's latest report.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn of(&self, patient: PatientId) -> Found {
        const CLOSED: StoreError = StoreError::Unavailable("the store is closed");
        let _span = self.store.read_span("find latest report");
        let (answer, answered) = oneshot::channel();
        self.asking.send(Asked { patient, answer }).await.map_err(|_| CLOSED)?;
        answered.await.unwrap_or(Err(CLOSED))
    }
}

async fn answer(store: Store, mut asked: mpsc::Receiver<Asked>) {
    let mut batch = Vec::new();
    while asked.recv_many(&mut batch, BATCH).await > 0 {
        let patients: Vec<&PatientId> = batch.iter().map(|Asked { patient, .. }| patient).collect();
        let found = store::latest(&store, &patients).await;
        for Asked { patient, answer } in batch.drain(..) {
            let report = found.as_ref().map(|found| found.get(patient.as_str()).cloned());
            // The caller may have left.
            let _ = answer.send(report.map_err(Clone::clone));
        }
    }
}
