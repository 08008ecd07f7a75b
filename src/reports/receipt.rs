//! A receipt: the word to a patient that a report has arrived. What it says and how it is sent is not the
//! reports' matter: here stands how one is asked for, so that it is queued in the report's own transaction or
//! not at all.

use super::model::PatientId;
use crate::platform::queue::Outgoing;
use futures_util::future::BoxFuture;

/// Reserves a receipt for a patient, to be written in the transaction of the report.
pub type Receipts = Box<dyn Fn(&PatientId) -> BoxFuture<'static, Result<Outgoing, Skipped>> + Send + Sync>;

/// Why there is no receipt. The report is kept all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skipped {
    /// The patient cannot be reached that way.
    NoContact,
    /// Too many notifications are waiting.
    BacklogFull,
    /// Left out to protect the service.
    Shed,
    /// It could not be found out how to reach the patient.
    StoreUnavailable,
}

impl Skipped {
    pub const ALL: [Self; 4] = [Self::NoContact, Self::BacklogFull, Self::Shed, Self::StoreUnavailable];

    /// The value of the metric's `outcome` label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoContact => "no_contact",
            Self::BacklogFull => "backlog_full",
            Self::Shed => "shed",
            Self::StoreUnavailable => "store_unavailable",
        }
    }
}
