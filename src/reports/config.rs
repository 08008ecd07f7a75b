//! Settings of the reports.

use super::preview::config::PreviewConfig;
use crate::platform::config::{Parse, Reader};

/// The reports' settings.
#[derive(Clone, Debug)]
pub struct ReportsConfig {
    pub receipt: Receipt,
    /// The head of a receipt that is a push notification.
    pub receipt_title: String,
    /// What a receipt says.
    pub receipt_text: String,
    pub preview: PreviewConfig,
}

/// How a patient is told that a report has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    None,
    Sms,
    Push,
}

impl ReportsConfig {
    /// Reads `reports.*`.
    pub fn read(reader: &mut Reader) -> Self {
        Self {
            receipt: reader.value(
                "reports.receipt",
                "none",
                "what a patient gets whose report has arrived: none, sms or push; queued with the report",
            ),
            receipt_title: reader.value(
                "reports.receipt_title",
                "Report received",
                "the head of a receipt by push; 1 to 120 characters",
            ),
            receipt_text: reader.value(
                "reports.receipt_text",
                "We have received your report. Thank you.",
                "what a receipt says; 1 to 1600 characters",
            ),
            preview: PreviewConfig::read(reader),
        }
    }
}

impl Parse for Receipt {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            "sms" => Ok(Self::Sms),
            "push" => Ok(Self::Push),
            _ => Err("must be none, sms or push".to_owned()),
        }
    }
}
