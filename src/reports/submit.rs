//! Submitting a report, whichever way it came: one transaction holds the report, the caller's key and the
//! receipt. It is answered once that is committed.

use super::{
    Inner, Reports,
    metrics::ReceiptOutcome,
    model::{Content, Kept, PatientId, Report, ReportId},
    receipt::Skipped,
    store,
};
use crate::platform::{
    queue::Outgoing,
    store::{IdempotencyKey, KeyUse, Operation, Purpose, StoreError, Tx, WriteError},
    telemetry::{SpanExt, TraceContext},
    time::now_ms,
};
use std::sync::Arc;
use tracing::Span;

/// Which API a report came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Http,
    Grpc,
}

impl Source {
    pub const ALL: [Self; 2] = [Self::Http, Self::Grpc];

    /// The value of the metric's `source` label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Grpc => "grpc",
        }
    }
}

/// What became of a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submitted {
    New(Kept),
    /// The key was used before for the same request: what was told then.
    Replayed(Kept),
}

/// Why a report was not kept.
#[derive(Debug)]
pub enum Rejected {
    /// The key was used before for another request.
    KeyReused,
    /// Only a commit in doubt may have stored it.
    Store(WriteError),
}

/// What the transaction came to.
enum Written {
    New { receipt: Option<ReceiptOutcome> },
    Known(Kept),
    Reused,
}

/// What the transaction is about.
struct Submission {
    report: Report,
    key: Option<IdempotencyKey>,
    receipt: Option<Result<Outgoing, Skipped>>,
}

impl Reports {
    /// Keeps a report, and queues its receipt with it. A receipt that cannot be queued is no reason to refuse
    /// the report.
    ///
    /// # Errors
    /// See `Rejected`.
    pub async fn submit(
        &self,
        source: Source,
        patient: PatientId,
        content: Content,
        key: Option<IdempotencyKey>,
    ) -> Result<Submitted, Rejected> {
        let receipt = match &self.0.receipts {
            Some(reserve) => Some(reserve(&patient).await),
            None => None,
        };
        let id = ReportId(self.0.ids.allocate(1));
        let report = Report { id, patient, content, submitted_at: now_ms() };
        let kept = report.kept();
        let submission = Arc::new(Submission { report, key, receipt });
        let (writing, telling, inner) =
            (Arc::clone(&submission), Arc::clone(&submission), Arc::clone(&self.0));
        let then = move |written: Result<&Written, &WriteError>| inner.ended(source, &telling, written);
        let done = self.0.store.write_then(submission.purpose(), move |tx| writing.write(tx), then).await;
        let done = done.map_err(told)?;
        if let Some(outgoing) = submission.outgoing() {
            outgoing.committed(&done);
        }
        match done.value {
            Written::New { receipt } => {
                if let Some(Err(why)) = receipt {
                    Span::current().add_event("receipt skipped", &[("reason", why.as_str().to_owned())]);
                }
                Ok(Submitted::New(kept))
            }
            Written::Known(before) => Ok(Submitted::Replayed(before)),
            Written::Reused => Err(Rejected::KeyReused),
        }
    }
}

impl Submission {
    fn outgoing(&self) -> Option<&Outgoing> {
        self.receipt.as_ref().and_then(|receipt| receipt.as_ref().ok())
    }

    fn purpose(&self) -> Purpose {
        let jobs = self.outgoing().map_or(0, Outgoing::jobs);
        Purpose { operation: Operation::Accept, rows: 1 + jobs, trace: TraceContext::current() }
    }

    fn write(&self, tx: &mut Tx<'_>) -> Result<Written, StoreError> {
        let now = now_ms();
        if let Some(key) = &self.key {
            match key.find(tx, now)? {
                None => key.remember(tx, self.report.id.0, now)?,
                Some(KeyUse::Created(id)) => return known(tx, ReportId(id)),
                Some(KeyUse::Reused) => return Ok(Written::Reused),
                Some(KeyUse::Answered(_)) => return Err(not_ours()),
            }
        }
        store::insert(tx, &self.report)?;
        let receipt = match &self.receipt {
            None => None,
            Some(Err(why)) => Some(Err(*why)),
            Some(Ok(outgoing)) => Some(if outgoing.write(tx)? { Ok(()) } else { Err(Skipped::NoContact) }),
        };
        Ok(Written::New { receipt })
    }
}

impl Inner {
    /// Makes known what became of a submission: runs in the order of the commits, also if the caller has left.
    fn ended(&self, source: Source, submission: &Submission, written: Result<&Written, &WriteError>) {
        if let Some(outgoing) = submission.outgoing() {
            outgoing.ended(written.map(|written| matches!(written, Written::New { receipt: Some(Ok(())) })));
        }
        match written {
            Ok(Written::New { receipt }) => {
                self.metrics.kept(source);
                receipt.iter().for_each(|outcome| self.metrics.receipt(*outcome));
            }
            // It was counted when it was kept.
            Ok(Written::Known(_)) => {}
            Ok(Written::Reused) | Err(_) => self.metrics.rejected(source),
        }
    }
}

fn known(tx: &mut Tx<'_>, id: ReportId) -> Result<Written, StoreError> {
    store::kept(tx, id)?.map(Written::Known).ok_or_else(not_ours)
}

/// Keys are scoped to a route, and reports stay: nothing else can stand behind one.
fn not_ours() -> StoreError {
    StoreError::Statement("a key of a report leads to something else".to_owned())
}

/// A statement that failed is our own defect, of which the caller learns nothing.
fn told(error: WriteError) -> Rejected {
    if let WriteError::Refused(StoreError::Statement(reason)) = &error {
        tracing::error!(reason, "a report could not be stored");
    }
    Rejected::Store(error)
}
