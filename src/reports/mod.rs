//! The sample domain: what patients report, kept and given out again over HTTP and gRPC.
//!
//! A fork deletes this room.

pub mod preview;
mod rpc;

use crate::platform::{grpc::Services, store::Store};

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
