//! What a report is: values that cannot be invalid once they are there. How they travel and are stored is not
//! here.

pub use crate::platform::checked::Invalid;
use crate::platform::{
    checked::{checked_text, is_identifier},
    id::{NotAnId, RowId},
};
use std::{fmt, str::FromStr};

checked_text!(
    /// Whose report it is: the caller's own identifier of the patient.
    PatientId,
    "must be 1 to 64 characters out of letters, digits, '.', '_' and '-'",
    is_identifier
);

checked_text!(
    /// What the patient reports, in whatever form the caller gives it.
    Content,
    "must be 1 to 32768 bytes of UTF-8",
    |text| (1..=Content::MOST).contains(&text.len())
);

impl PatientId {
    /// Characters.
    pub const MOST: usize = crate::platform::checked::IDENTIFIER_MOST;
}

impl Content {
    /// Bytes of UTF-8: 32 KiB.
    pub const MOST: usize = 32 * 1024;
}

/// A report's id. Of two reports the later has the higher one, also within a millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReportId(pub RowId);

impl fmt::Display for ReportId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ReportId {
    type Err = NotAnId;
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        text.parse().map(Self)
    }
}

/// A report as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub id: ReportId,
    pub patient: PatientId,
    pub content: Content,
    /// Unix milliseconds.
    pub submitted_at: i64,
}

/// What a caller is told of a report that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    pub id: ReportId,
    /// Unix milliseconds.
    pub submitted_at: i64,
}

impl Report {
    pub fn kept(&self) -> Kept {
        Kept { id: self.id, submitted_at: self.submitted_at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_patient_id_is_what_the_contract_says(text in any::<String>(), id in "[A-Za-z0-9._-]{1,64}") {
            let right = (1..=64).contains(&text.chars().count())
                && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
            prop_assert_eq!(text.parse::<PatientId>().is_ok(), right);
            let parsed: PatientId = id.parse().unwrap();
            prop_assert_eq!(parsed.as_str(), id);
        }

        #[test]
        fn content_is_any_text_within_its_bytes(text in any::<String>(), repeats in 0usize..5000) {
            let text = text.repeat(repeats);
            let right = !text.is_empty() && text.len() <= 32 * 1024;
            prop_assert_eq!(text.parse::<Content>().is_ok_and(|content| content.as_str() == text), right);
        }

        #[test]
        fn a_report_id_is_read_back_and_anything_else_refused(number in 0..=i64::MAX, text in ".*") {
            let id = ReportId(RowId::from_store(number));
            prop_assert_eq!(id.to_string().parse(), Ok(id));
            if let Ok(id) = text.parse::<ReportId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }

    #[test]
    fn content_is_counted_in_bytes_and_its_bounds_are_inside() {
        assert!("ä".repeat(16 * 1024).parse::<Content>().is_ok());
        assert!("ä".repeat(16 * 1024 + 1).parse::<Content>().is_err());
        assert!("a".repeat(32 * 1024).parse::<Content>().is_ok());
        assert!("a".repeat(32 * 1024 + 1).parse::<Content>().is_err());
        assert!("".parse::<Content>().is_err());
    }

    #[test]
    fn debug_and_faults_show_no_value() {
        let report = Report {
            id: ReportId(RowId::from_store(1)),
            patient: "canary-4711".parse().unwrap(),
            content: "canary 4711".parse().unwrap(),
            submitted_at: 0,
        };
        let shown = format!("{report:?} {:?}", "canary 4711".parse::<PatientId>());
        assert!(!shown.contains("4711"), "{shown}");
    }
}
