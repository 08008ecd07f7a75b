//! What patients report: kept, and given out again over HTTP ([`api`]) and gRPC ([`grpc`]).

pub mod api;
mod config;
pub mod grpc;
mod metrics;
pub mod model;
#[cfg(feature = "pdf")]
pub mod preview;
mod receipt;
mod store;

pub use config::{PreviewConfig, Receipt, ReportsConfig};
pub use metrics::{METRICS, Source};
pub use store::SCHEMA;

use crate::{
    error::ApiError,
    lookup::Lookup,
    model::{Moment, PatientId},
    notifications::{
        Delivery, Notifications,
        model::{Channel, Schedule},
    },
};
use chassis::Tasks;
use chassis_queue::{Answer, Enqueue, Enqueued, JobId, Key, Priority, StoreError};
use chassis_resilience::{Degradation, Feature};
use model::{NewReport, Report, Submitted};
use receipt::{Receipts, Skipped};
use std::sync::Arc;
use tracing::Instrument;

/// Drawing a report as PDF costs most and is missed least: it is shed first.
pub const PREVIEW: Feature = Feature { name: "report_preview", level: 1 };
/// Reading reports is shed last; submitting one never.
pub const READS: Feature = Feature { name: "report_reads", level: 3 };

/// The reports. Cheap to clone.
#[derive(Clone)]
pub struct Reports(Arc<Inner>);

struct Inner {
    notifications: Arc<Notifications>,
    latest: Lookup<Report>,
    receipts: Option<Receipts>,
    #[cfg(feature = "pdf")]
    preview: Option<preview::Preview>,
}

/// What became of a submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submission {
    New(Submitted),
    /// The key was used before for the same request, which got this answer.
    Replayed(Submitted),
}

impl Reports {
    /// Reports in the store of the notifications, whose queue sends the receipts.
    ///
    /// # Errors
    /// The preview's fonts can't be used.
    pub fn new(
        notifications: Arc<Notifications>,
        config: &ReportsConfig,
        tasks: &Tasks,
    ) -> Result<Self, String> {
        let (latest, looking) = store::latest(notifications.queue.store().clone());
        tasks.spawn_essential("latest-reports", looking);
        let receipts = config.receipt.channel().map(|channel| Receipts {
            notifications: Arc::clone(&notifications),
            channel,
            title: (channel == Channel::Push).then(|| config.receipt_title.clone()),
            message: config.receipt_text.clone(),
        });
        Ok(Self(Arc::new(Inner {
            #[cfg(feature = "pdf")]
            preview: config
                .preview
                .fonts()?
                .map(|fonts| preview::Preview::new(fonts, &notifications.degradation)),
            notifications,
            latest,
            receipts,
        })))
    }

    /// What sheds calls for reports.
    pub fn degradation(&self) -> &Degradation {
        &self.0.notifications.degradation
    }

    /// A patient's latest report.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn latest(&self, patient: &PatientId) -> Result<Option<Report>, StoreError> {
        self.0.latest.of(patient).await
    }

    /// The report with this id.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn find(&self, id: JobId) -> Result<Option<Report>, StoreError> {
        store::find(self.0.notifications.queue.store(), id).await
    }

    /// Commits a report, its idempotency key and its receipt in one transaction.
    ///
    /// # Errors
    /// Nothing was stored, unless the commit is unknown.
    pub async fn submit(
        &self,
        source: Source,
        report: NewReport,
        key: Option<Key>,
    ) -> Result<Submission, ApiError> {
        let reports = self.clone();
        let submit = async move {
            let result = reports.commit(report, key).await;
            match &result {
                Ok(Submission::New(_)) => metrics::submission(source, true),
                Ok(Submission::Replayed(_)) => {}
                Err(_) => metrics::submission(source, false),
            }
            result
        };
        #[expect(clippy::disallowed_methods, reason = "counts what is committed even if the caller left")]
        let submitted = tokio::spawn(submit.in_current_span()).await;
        submitted.unwrap_or(Err(ApiError::Internal))
    }

    async fn commit(&self, report: NewReport, key: Option<Key>) -> Result<Submission, ApiError> {
        let queue = &self.0.notifications.queue;
        let mut receipt = match &self.0.receipts {
            Some(receipts) => Some(receipts.prepare(&report.patient_id).await),
            None => None,
        };
        let (mut enqueue, submitted) = self.enqueue(&report, key)?;
        let mut without_receipt = None;
        if let Some(Ok(receipt)) = &receipt {
            without_receipt = Some(enqueue.clone());
            enqueue.id = receipt.id;
            enqueue.jobs.clone_from(&receipt.jobs);
            enqueue.guard.clone_from(&receipt.guard);
        }
        let mut enqueued = queue.enqueue(enqueue).await;
        if let (Some(again), Some(why)) = (without_receipt, enqueued.as_ref().err().and_then(Skipped::of)) {
            // A receipt that can't be queued is no reason to refuse the report.
            receipt = Some(Err(why));
            enqueued = queue.enqueue(again).await;
        }
        match enqueued? {
            Enqueued::New => {
                receipt.into_iter().for_each(|receipt| metrics::receipt(receipt.map(drop)));
                Ok(Submission::New(submitted))
            }
            Enqueued::Replayed(answer) => {
                let first = serde_json::from_slice(&answer.body).map_err(|_| ApiError::Internal)?;
                Ok(Submission::Replayed(first))
            }
        }
    }

    /// The report without a receipt, and its answer.
    fn enqueue(
        &self,
        report: &NewReport,
        key: Option<Key>,
    ) -> Result<(Enqueue<Delivery>, Submitted), ApiError> {
        let queue = &self.0.notifications.queue;
        let (id, submitted_at) = (queue.new_id(1), Moment::from_unix_ms(queue.store().now_ms()));
        let submitted = Submitted { report_id: id.to_string(), submitted_at };
        let enqueue = Enqueue {
            id,
            channel: self.0.receipts.as_ref().map_or(Channel::Sms, |receipts| receipts.channel).as_str(),
            priority: Priority::Normal,
            run_at: None,
            not_after: Schedule::now().not_after.unix_ms(),
            jobs: Vec::new(),
            key,
            answer: Answer {
                status: 201,
                body: serde_json::to_vec(&submitted).map_err(|_| ApiError::Internal)?,
                location: None,
            },
            guard: None,
            writes: vec![store::insert(id, report, submitted_at)],
        };
        Ok((enqueue, submitted))
    }
}
