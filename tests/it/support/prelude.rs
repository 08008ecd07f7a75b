//! What nearly every test uses.

pub use super::{
    gateway::Gateway,
    page::{Account, DomainPage, Ledger},
    service::{
        ASYNC, MESSAGE, PATIENT, PUSH, REPORTS, SYNC, Service, Site, counted, outcomes, replayed, stuck,
    },
};
pub use chassis_test::{
    Answer, Behaviour, Collector, Connection, Page, Signal, Tap, TraceParent, ask, until, until_so,
};
pub use serde_json::{Value, json};
