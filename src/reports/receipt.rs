//! The receipt: a notification that tells a patient that a report has arrived. It commits with the report, or is left out.

use crate::{
    error::ApiError,
    model::PatientId,
    notifications::{Addressed, BULK, Channel, Message, Notifications, Title},
};
use chassis_queue::Refused;
use std::sync::Arc;

/// Makes receipts.
pub struct Receipts {
    pub notifications: Arc<Notifications>,
    pub channel: Channel,
    /// For push.
    pub title: Option<Title>,
    pub message: Message,
}

/// Why a report has no receipt. The report is kept all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skipped {
    NoContact,
    BacklogFull,
    Shed,
    StoreUnavailable,
}

impl Receipts {
    /// The receipt's jobs, not yet enqueued. It is shed with bulk notifications.
    ///
    /// # Errors
    /// The patient gets none.
    pub async fn prepare(&self, patient: &PatientId) -> Result<Addressed, Skipped> {
        self.notifications.degradation.admit(BULK).map_err(|_shed| Skipped::Shed)?;
        let (title, message) = (self.title.clone(), self.message.clone());
        let addressed = self.notifications.address(self.channel, patient, title, message).await;
        addressed.map_err(|error| match error {
            ApiError::NoContact(_) => Skipped::NoContact,
            _ => Skipped::StoreUnavailable,
        })
    }
}

impl Skipped {
    /// The reason of a refusal that concerns the receipt alone.
    pub fn of(refused: &Refused) -> Option<Self> {
        match refused {
            Refused::Unmet => Some(Self::NoContact),
            Refused::BacklogFull { .. } => Some(Self::BacklogFull),
            _ => None,
        }
    }

    /// The label of the metric.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoContact => "no_contact",
            Self::BacklogFull => "backlog_full",
            Self::Shed => "shed",
            Self::StoreUnavailable => "store_unavailable",
        }
    }
}
