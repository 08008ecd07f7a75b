//! What a report is here, and whose.

use crate::platform::checked::{checked_text, is_identifier};
use std::fmt;

checked_text!(
    /// The caller's own identifier of a patient.
    PatientId,
    "must be 1 to 64 characters out of letters, digits, '.', '_' and '-'",
    is_identifier
);

/// A patient's latest report, as the ePRO service told it.
#[derive(Clone, PartialEq, Eq)]
pub struct Report {
    pub id: String,
    pub content: String,
    /// Unix milliseconds.
    pub submitted_at: i64,
}

/// Without the content.
impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Report({}, {})", self.id, self.submitted_at)
    }
}

/// Why the ePRO service gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// It was not asked: it has failed too often of late.
    BreakerOpen,
    /// It was not asked: it has turned too many calls away of late.
    Throttled,
    /// There was not time enough.
    Deadline,
    /// None of it is to be reached, or able to answer.
    Unavailable,
    /// It has too much to do, or we have asked too often.
    Refused,
    /// It failed.
    Failed,
}

impl Outage {
    pub const ALL: [Self; 6] =
        [Self::BreakerOpen, Self::Throttled, Self::Deadline, Self::Unavailable, Self::Refused, Self::Failed];

    /// As metrics and spans name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BreakerOpen => "breaker_open",
            Self::Throttled => "throttled",
            Self::Deadline => "deadline",
            Self::Unavailable => "unavailable",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}
