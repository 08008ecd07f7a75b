//! The sample domain: what patients report, kept and given out again over HTTP and gRPC.
//!
//! A fork deletes this room.

mod rpc;

use crate::platform::{grpc::Services, resilience::Feature, store::Store};

/// Drawing a report as a PDF: costs most and is missed least.
pub const PREVIEW: Feature = Feature { name: "report_preview", level: 1 };
/// Reading reports: last of all, and never submitting one.
pub const READS: Feature = Feature { name: "report_reads", level: 3 };

/// The domain, ready to be served.
pub struct Reports {
    store: Store,
}

impl Reports {
    /// Over a store.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// What gRPC serves.
    pub fn services(&self) -> Services {
        rpc::services(self.store.clone())
    }
}
