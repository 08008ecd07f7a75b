//! The sample domain: what patients report, kept and given out again over HTTP and gRPC.
//!
//! A fork deletes this room. What a report is stands in [`model`]; `submit` keeps one, `api` and `rpc` are the
//! two ways to it, and `receipt` is how a patient is told that one has arrived.

mod api;
pub mod config;
mod metrics;
pub mod model;
pub mod preview;
mod receipt;
mod rpc;
mod store;
mod submit;

pub use api::openapi;
pub use receipt::{Receipts, Skipped};
pub use store::SCHEMA;

use crate::platform::{
    grpc::Services,
    http::{Listed, Routes},
    id::IdMaker,
    resilience::{Degradation, Feature},
    store::{Store, StoreError},
};
use config::ReportsConfig;
use metrics::Metrics;
use model::{PatientId, Report, ReportId};
use preview::Preview;
use std::sync::Arc;
use submit::Source;

/// Drawing a report as a PDF: costs most and is missed least.
pub const PREVIEW: Feature = Feature { name: "report_preview", level: 1 };
/// Reading reports: last of all, and never submitting one.
pub const READS: Feature = Feature { name: "report_reads", level: 3 };

/// What [`Reports::routes`] serves, without a domain that could.
pub fn listed() -> Vec<Listed> {
    api::routes().list()
}

/// The domain, ready to be served. Cheap to clone.
#[derive(Clone)]
pub struct Reports(Arc<Inner>);

struct Inner {
    store: Store,
    ids: IdMaker,
    receipts: Option<Receipts>,
    metrics: Metrics,
    preview: Preview,
}

impl Reports {
    /// Over a store that has [`SCHEMA`]; `receipts` if patients get any. Metrics have to be recorded by now.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn open(
        store: Store,
        receipts: Option<Receipts>,
        config: &ReportsConfig,
        degradation: Degradation,
    ) -> Result<Self, StoreError> {
        let preview = Preview::new(&config.preview, degradation);
        let highest = store.read("find highest report", store::highest).await?;
        let ids = IdMaker::new(highest);
        Ok(Self(Arc::new(Inner { store, ids, receipts, metrics: Metrics::new(), preview })))
    }

    /// A patient's latest report, if there is one.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn latest(&self, patient: PatientId) -> Result<Option<Report>, StoreError> {
        self.0.store.look_up("find latest report", move |tx| store::latest(tx, &patient)).await
    }

    /// The report of an id, if there is one.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn find(&self, id: ReportId) -> Result<Option<Report>, StoreError> {
        self.0.store.look_up("find report", move |tx| store::find(tx, id)).await
    }

    /// What draws reports.
    fn preview(&self) -> &Preview {
        &self.0.preview
    }

    /// Counts a submission that was rejected before it came to be one.
    fn rejected(&self, source: Source) {
        self.0.metrics.rejected(source);
    }

    /// What HTTP serves.
    pub fn routes(&self) -> Routes {
        api::routes().with_state(self.clone())
    }

    /// What gRPC serves.
    pub fn services(&self) -> Services {
        rpc::services(self.clone())
    }
}
